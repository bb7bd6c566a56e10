"""Which modules outside the project a script can import: its imports followed through the project, without running any.

Followed as `headcast.workflow.fingerprint` follows them: a string that names a project module is an import (the closed dicts of
backends). So is one that names a script, and one that holds Python for another process. Imports for type checkers are none;
what a package's ``__init__`` imports when it is called is its callers' business: those that take a name from it.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable
from pathlib import Path

from headcast.workflow.fingerprint import MODULE

PROJECT = {"headcast", "scripts"}
ON_DEMAND = {"import_module", "find_spec"}


def outside(modules: Iterable[str], root: Path) -> dict[str, set[str]]:
    """Third-party top-level modules that ``modules`` of the project at ``root`` reach, each with the files that import it."""
    found: dict[str, set[str]] = {}
    todo = [(module, "", True) for module in modules]
    seen: set[tuple[str, bool]] = set()
    while todo:
        module, importer, whole = todo.pop()
        parent, _, name = module.rpartition(".")
        path = source(root, module)
        if module.partition(".")[0] not in PROJECT:
            found.setdefault(module.partition(".")[0], set()).add(importer)
        elif path is None and parent:  # a name in a module
            todo.append((parent, importer, calls(root, parent, name)))
        elif path is not None and (module, whole) not in seen:
            seen.add((module, whole))
            names = imports(path.read_text(encoding="utf-8"), root, whole or path.name != "__init__.py")
            todo += [(name, path.relative_to(root).as_posix(), True) for name in names]
            todo += [(parent, importer, False)] if parent else []
    return {module: files for module, files in found.items() if module not in sys.stdlib_module_names}


def source(root: Path, module: str) -> Path | None:
    """The file of a project module; ``None`` where the name is not a module."""
    base = root.joinpath(*module.split("."))
    return next((path for path in (base.with_suffix(".py"), base / "__init__.py") if path.exists()), None)


def calls(root: Path, module: str, name: str) -> bool:
    """Whether ``name`` of ``module`` can be called, so that what the module imports in functions may happen."""
    path = source(root, module)
    body = ast.parse(path.read_text(encoding="utf-8")).body if path else []
    return any(isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name == name for node in body)


def imports(code: str, root: Path, whole: bool = True) -> set[str]:
    """Names of modules that ``code`` may import; not ``whole``: only what happens when it is itself imported."""
    walk = _Imports(root, whole)
    walk.visit(ast.parse(code))
    return walk.found


class _Imports(ast.NodeVisitor):
    def __init__(self, root: Path, whole: bool) -> None:
        self.root, self.whole = root, whole
        self.found: set[str] = set()

    def visit_Import(self, node: ast.Import) -> None:
        self.found |= {alias.name for alias in node.names}

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        assert node.module and not node.level, "the project imports by absolute names"
        self.found |= {f"{node.module}.{alias.name}" for alias in node.names}

    def visit_If(self, node: ast.If) -> None:
        checked = isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        for child in node.orelse if checked else [node.test, *node.body, *node.orelse]:
            self.visit(child)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        if self.whole:
            self.generic_visit(node)

    def visit_Expr(self, node: ast.Expr) -> None:
        if not isinstance(node.value, ast.Constant):  # a docstring is no import
            self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if name in ON_DEMAND and node.args and isinstance(node.args[0], ast.Constant):
            self.found.add(str(node.args[0].value))
        self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        text = node.value
        if not isinstance(text, str) or not self.whole:
            return
        if MODULE.fullmatch(text):
            self.found.add(text)
        elif text.endswith(".py") and (self.root / "scripts" / text).is_file():
            self.found.add(f"scripts.{Path(text).stem}")
        elif "\n" in text and "import " in text:
            self._visit_code(text)

    def _visit_code(self, text: str) -> None:
        try:
            self.visit(ast.parse(text))
        except SyntaxError:
            return
