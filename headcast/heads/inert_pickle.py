"""Pickles of head models without running them: a small machine that builds plain data and never calls what a file names.

Python's own unpickler imports and calls whatever a file asks for. FLAME's files need little of that: dicts, numbers, arrays,
chumpy wrappers and sparse matrices. `read` follows the instructions of a pickle on its own stack; a name in the file is a token,
not an object, and only the tokens of `CALLS` and `CLASSES` mean anything here. Text of Python 2 files is taken as Latin-1.
Nothing is allocated on a file's word: an array takes as many bytes as the file holds for it, or the file is refused.
"""

from __future__ import annotations

import codecs
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from headcast.heads import inert_values as values
from headcast.heads.inert_values import CALLS, CLASSES, MAX_DEPTH, TOKENS, Dtype, Inert, Name, Pending, Refused

MAX_INSTRUCTIONS = 5_000_000
MAX_GROWTH = 4  # bytes made by calls, per byte of the file: every array is converted at most twice


@dataclass
class _Source:
    data: bytes
    position: int = 0

    def take(self, count: int) -> bytes:
        if count < 0 or self.position + count > len(self.data):
            raise Refused("is cut short")
        self.position += count
        return self.data[self.position - count : self.position]

    def number(self, size: int, signed: bool = False) -> int:
        return int.from_bytes(self.take(size), "little", signed=signed)

    def sized(self, size: int) -> bytes:
        return self.take(self.number(size))

    def line(self) -> bytes:
        end = self.data.find(b"\n", self.position)
        if end < 0:
            raise Refused("is cut short")
        return self.take(end + 1 - self.position)[:-1]


def _whole(text: bytes) -> int | bool:
    return text == b"01" if text in (b"00", b"01") else int(text.rstrip(b"L"))


def _quoted(text: bytes) -> str:
    if len(text) < 2 or text[:1] != text[-1:] or text[:1] not in (b"'", b'"'):
        raise Refused("holds a damaged text")
    return bytes(codecs.escape_decode(text[1:-1])[0]).decode("latin-1")  # type: ignore[attr-defined]


LITERALS: dict[bytes, Callable[[_Source], Any]] = {
    b"N": lambda s: None,
    b"\x88": lambda s: True,
    b"\x89": lambda s: False,
    b"I": lambda s: _whole(s.line()),
    b"L": lambda s: _whole(s.line()),
    b"J": lambda s: s.number(4, signed=True),
    b"K": lambda s: s.number(1),
    b"M": lambda s: s.number(2),
    b"\x8a": lambda s: int.from_bytes(s.sized(1), "little", signed=True),
    b"\x8b": lambda s: int.from_bytes(s.sized(4), "little", signed=True),
    b"F": lambda s: float(s.line()),
    b"G": lambda s: struct.unpack(">d", s.take(8))[0],
    b"S": lambda s: _quoted(s.line()),
    b"T": lambda s: s.sized(4).decode("latin-1"),
    b"U": lambda s: s.sized(1).decode("latin-1"),
    b"V": lambda s: s.line().decode("raw-unicode-escape"),
    b"X": lambda s: s.sized(4).decode("utf-8"),
    b"\x8c": lambda s: s.sized(1).decode("utf-8"),
    b"\x8d": lambda s: s.sized(8).decode("utf-8"),
    b"B": lambda s: s.sized(4),
    b"C": lambda s: s.sized(1),
    b"\x8e": lambda s: s.sized(8),
    b"\x96": lambda s: s.sized(8),
    b")": lambda s: (),
    b"]": lambda s: [],
    b"}": lambda s: {},
}
IGNORED = {b"\x80": 1, b"\x95": 8}  # protocol number, frame length
PUTS: dict[bytes, Callable[[_Source], int]] = {
    b"p": lambda s: int(s.line()),
    b"q": lambda s: s.number(1),
    b"r": lambda s: s.number(4),
}
GETS = {b"g": PUTS[b"p"], b"h": PUTS[b"q"], b"j": PUTS[b"r"]}
TUPLES = {b"\x85": 1, b"\x86": 2, b"\x87": 3}


@dataclass
class _Machine:
    source: _Source
    stack: list[Any] = field(default_factory=list)
    marks: list[int] = field(default_factory=list)
    memo: dict[int, Any] = field(default_factory=dict)
    made: int = 0

    def run(self) -> Any:
        for _ in range(MAX_INSTRUCTIONS):
            code = self.source.take(1)
            if code == b".":
                return self.pop()
            self.step(code)
        raise Refused("has more instructions than any head model")

    def step(self, code: bytes) -> None:
        if code in LITERALS:
            self.stack.append(LITERALS[code](self.source))
        elif code in IGNORED:
            self.source.take(IGNORED[code])
        elif code in PUTS:
            self.memo[PUTS[code](self.source)] = self.top()
        elif code in GETS:
            self.stack.append(self.memo[GETS[code](self.source)])
        elif code in TUPLES:
            self.stack.append(tuple(self.popped(TUPLES[code])))
        elif code in STEPS:
            STEPS[code](self)
        else:
            raise Refused(f"uses the pickle instruction {code!r}, which no head model needs")

    def top(self) -> Any:
        if len(self.stack) <= (self.marks[-1] if self.marks else 0):
            raise Refused("is damaged")
        return self.stack[-1]

    def pop(self) -> Any:
        self.top()
        return self.stack.pop()

    def popped(self, count: int) -> list[Any]:
        return [self.pop() for _ in range(count)][::-1]

    def to_mark(self) -> list[Any]:
        start = self.marks.pop()
        items = self.stack[start:]
        del self.stack[start:]
        return items

    def extend(self, items: list[Any]) -> None:
        target = self.top()
        if not isinstance(target, list):
            raise Refused("is damaged")
        target.extend(items)

    def update(self, items: list[Any]) -> None:
        target = self.top()
        if not isinstance(target, dict) or len(items) % 2 or not all(isinstance(key, str | bytes | int) for key in items[::2]):
            raise Refused("is damaged")
        target.update(zip(items[::2], items[1::2], strict=True))

    def new_dict(self) -> None:
        items = self.to_mark()
        self.stack.append({})
        self.update(items)

    def name(self, module: str, member: str) -> None:
        text = f"{module}.{member}"
        if text not in CALLS and text not in CLASSES and text not in TOKENS:
            raise Refused(f"asks for {text[:80]!a}, which no head model needs")
        self.stack.append(Name(text))

    def stack_name(self) -> None:
        module, member = self.popped(2)
        self.name(str(module), str(member))

    def reduce(self) -> None:
        name, arguments = self.popped(2)
        if not isinstance(name, Name) or name.text not in CALLS or not isinstance(arguments, tuple):
            raise Refused("calls what no head model needs to call")
        self.push_made(CALLS[name.text](*arguments))

    def new_object(self) -> None:
        name, arguments = self.popped(2)
        if not isinstance(name, Name) or name.text not in CLASSES or arguments != ():
            raise Refused("makes an object that no head model needs")
        self.stack.append(Inert(name.text))

    def build(self) -> None:
        target, state = self.popped(2)
        if isinstance(target, Pending):
            target.value = values.array(*state[-4:])
        elif isinstance(target, Dtype):
            target.order = values.byte_order(state)
        elif isinstance(target, Inert) and isinstance(state, dict):
            target.state = state
        else:
            raise Refused("sets the state of what is no array")
        self.push_made(target)

    def push_made(self, made: Any) -> None:
        self.made += values.size_of(made)
        if self.made > MAX_GROWTH * len(self.source.data):
            raise Refused("asks for more memory than its data need")
        self.stack.append(made)


STEPS: dict[bytes, Callable[[_Machine], Any]] = {
    b"(": lambda m: m.marks.append(len(m.stack)),
    b"0": lambda m: m.pop(),
    b"1": lambda m: m.to_mark(),
    b"2": lambda m: m.stack.append(m.top()),
    b"t": lambda m: m.stack.append(tuple(m.to_mark())),
    b"l": lambda m: m.stack.append(m.to_mark()),
    b"d": lambda m: m.new_dict(),
    b"a": lambda m: m.extend(m.popped(1)),
    b"e": lambda m: m.extend(m.to_mark()),
    b"s": lambda m: m.update(m.popped(2)),
    b"u": lambda m: m.update(m.to_mark()),
    b"c": lambda m: m.name(m.source.line().decode("latin-1"), m.source.line().decode("latin-1")),
    b"\x93": lambda m: m.stack_name(),
    b"R": lambda m: m.reduce(),
    b"\x81": lambda m: m.new_object(),
    b"b": lambda m: m.build(),
    b"\x94": lambda m: m.memo.update({len(m.memo): m.top()}),
}


def read(data: bytes) -> Any:
    """The plain data of a pickle: dicts, lists, tuples, numbers, text, bytes, arrays and `Inert` objects.

    Raises ``Refused`` with what is wrong; nothing that the file names is imported or called.
    """
    machine = _Machine(_Source(data))
    try:
        return _finished(machine.run(), {}, 0)
    except (ValueError, KeyError, IndexError, TypeError, OverflowError, struct.error) as error:
        raise Refused(f"is not a whole pickle ({type(error).__name__} at byte {machine.source.position})") from error


def _finished(value: Any, done: dict[int, Any], depth: int) -> Any:
    """``value`` with every array in its place; each object once, however often the file refers to it."""
    if depth > MAX_DEPTH:
        raise Refused("is nested deeper than any head model")
    if isinstance(value, Pending):
        return _finished(value.value, done, depth + 1)
    if not isinstance(value, dict | list | tuple | Inert):
        return value
    if id(value) not in done:
        done[id(value)] = None  # a value that holds itself finds nothing there
        if isinstance(value, Inert):
            found: Any = Inert(value.kind, _finished(value.state, done, depth + 1))
        elif isinstance(value, dict):
            found = {key: _finished(item, done, depth + 1) for key, item in value.items()}
        else:
            found = type(value)(_finished(item, done, depth + 1) for item in value)
        done[id(value)] = found
    return done[id(value)]
