"""What a result depends on besides its files: a hash of what a stage's code means.

Snakemake does not see edits in an imported package; rules carry ``code_hash`` as a parameter instead, so that an edit re-runs
what it really touches and a comment re-runs nothing.
"""

from __future__ import annotations

import ast
import hashlib
import re
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
MODULE = re.compile(r"headcast(\.\w+)+")
DATA = re.compile(r"\w+\.json")


def code_hash(*modules: str, root: Path = ROOT) -> str:
    """Twelve hex digits over the syntax of ``modules`` and, recursively, of their in-project imports.

    Comments and docstrings do not count. A string constant that names a module (the closed dicts of backends) counts as an import,
    one that names a data file beside its module counts with the content of that file.
    """
    seen: dict[str, str] = {}
    todo = list(modules)
    while todo:
        module = todo.pop()
        path = _source(root, module)
        if module in seen or path is None:
            continue
        seen[module], imports = _parse(path)
        todo += imports
    return hashlib.sha256(repr(sorted(seen.items())).encode()).hexdigest()[:12]


def _source(root: Path, module: str) -> Path | None:
    base = root.joinpath(*module.split("."))
    for path in (base.with_suffix(".py"), base / "__init__.py"):
        if module.startswith("headcast") and path.exists():
            return path
    return None


@cache
def _parse(path: Path) -> tuple[str, tuple[str, ...]]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    imports: list[str] = []
    data: list[bytes] = []
    for node in ast.walk(tree):
        _drop_docstring(node)
        if isinstance(node, ast.Import):
            imports += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            imports += [f"{node.module}.{alias.name}" for alias in node.names]
            imports += [node.module] if "." in node.module else []  # the root's functions import what none but they need
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            if MODULE.fullmatch(node.value):
                imports.append(node.value)
            elif DATA.fullmatch(node.value) and (path.parent / node.value).is_file():
                data.append((path.parent / node.value).read_bytes())
    return hashlib.sha256(b"".join([ast.dump(tree).encode(), *data])).hexdigest(), tuple(imports)


def _drop_docstring(node: ast.AST) -> None:
    if (
        isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and ast.get_docstring(node, clean=False) is not None
    ):
        node.body = node.body[1:]
