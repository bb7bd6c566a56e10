"""Who is built: names, participant numbers, ranges and shell-style patterns, chosen among what there is.

A selector is a name (``anna``, ``258``, ``HAIR``), a range of three-digit participants (``017-120``, both ends included) or a
pattern (``2*``, ``EXP-?-*``, ``[ab]*``); with ``!`` in front it takes names away again. Names are taken as they are, ranges and
patterns choose among what is present.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Any

NAME = r"[A-Za-z0-9][A-Za-z0-9+_-]*"
SELECTOR = r"!?[A-Za-z0-9*?\[][A-Za-z0-9*?!\[\]+_-]*"
RANGE = re.compile(r"(\d{3})-(\d{3})")
SMALLEST_BARE, LARGEST_BARE = 100, 999


def listed(subjects: Any) -> Any:
    """``[demo, 258, 017-120]`` as ``{demo: {}, "258": {}, "017-120": {}}``; a mapping keeps its options, a missing one is empty.

    ``ValueError`` for a number that YAML may have read as octal; whatever else is wrong is left for the model to say.
    """
    if isinstance(subjects, Mapping):
        entries: list[tuple[Any, Any]] = list(subjects.items())
    elif isinstance(subjects, list | tuple):
        entries = [pair for item in subjects for pair in (item.items() if isinstance(item, Mapping) else [(item, None)])]
    elif isinstance(subjects, str | int):
        entries = [(subjects, None)]
    else:
        return subjects
    return {_key(key): {} if options is None else options for key, options in entries}


def _key(key: Any) -> Any:
    if not isinstance(key, int) or isinstance(key, bool):
        return key
    if not SMALLEST_BARE <= key <= LARGEST_BARE:
        raise ValueError(f'a participant is three digits, and YAML reads 017 as fifteen: write "{key:03d}" with quotes')
    return str(key)


def is_plain(selector: str) -> bool:
    """Whether a selector names one thing, present or not."""
    return not (selector.startswith("!") or RANGE.fullmatch(selector) or set(selector) & set("*?["))


def matches(name: str, selector: str) -> bool:
    """Whether a selector without ``!`` chooses ``name``."""
    bounds = RANGE.fullmatch(selector)
    if bounds:
        return re.fullmatch(r"\d{3}", name) is not None and int(bounds[1]) <= int(name) <= int(bounds[2])
    return fnmatchcase(name, selector)


def select(selectors: Iterable[str], present: Callable[[str], Iterable[str]]) -> list[str]:
    """The names that ``selectors`` choose, each once, in the order of the selectors and sorted within one.

    ``present`` lists what a range or pattern chooses among; names of another form than ``NAME`` are passed over.
    """
    chosen: dict[str, None] = {}
    for selector in selectors:
        if selector.startswith("!"):
            chosen = {name: None for name in chosen if not matches(name, selector[1:])}
        elif is_plain(selector):
            chosen[selector] = None
        else:
            there = (name for name in present(selector) if re.fullmatch(NAME, name) and matches(name, selector))
            chosen |= dict.fromkeys(sorted(there))
    return list(chosen)
