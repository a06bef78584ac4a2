"""The sources as the tests of the architecture and of the style read them."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "src" / "covector"

# The extension module is below everything, and imports nothing of ours.
FREE = "covector._engine._native"


def python_files(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def label(path: Path) -> str:
    """A file of the package as `FLOORS` names it."""
    return path.relative_to(PACKAGE).with_suffix("").as_posix()


@cache
def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), str(path))


def called(node: ast.Call) -> str:
    """The last name of what is called, if it has one."""
    func = node.func
    return func.id if isinstance(func, ast.Name) else getattr(func, "attr", "")


@cache
def labels() -> frozenset[str]:
    return frozenset(label(path) for path in python_files("src/covector"))


def resolve(module: str, name: str | None = None) -> str | None:
    """The file that `import module` or `from module import name` reads; None if it is not ours."""
    parts = module.split(".")
    if parts[0] != "covector" or FREE in (module, f"{module}.{name}"):
        return None
    for tail in ([name] if name else []), []:
        path = "/".join([*parts[1:], *tail])
        for candidate in (path, f"{path}/__init__".lstrip("/")):
            if candidate in labels():
                return candidate
    return f"{module}.{name}" if name else module  # a name that no file of ours has: reported


def by_name(path: Path) -> Iterator[tuple[str, int]]:
    """The modules that a file imports by name, with their lines.

    In a file that does so every string that could name a module of ours is taken for one: it may be in a table.
    """
    if "import_late" not in path.read_text():
        return
    calls = [
        node
        for node in ast.walk(parse(path))
        if isinstance(node, ast.Call) and called(node).strip("_") == "import_late"
    ]
    for call in calls:
        name = call.args[0]
        if isinstance(name, ast.Constant):
            yield str(name.value), call.lineno
        elif isinstance(name, ast.JoinedStr):
            parts = [v.value if isinstance(v, ast.Constant) else "{}" for v in name.values]
            yield "".join(map(str, parts)), call.lineno
        else:
            yield from (
                (node.value, node.lineno)
                for node in ast.walk(parse(path))
                if isinstance(node, ast.Constant)
                and isinstance(node.value, str)
                and re.fullmatch(r"covector(\.\w+)+", node.value)
            )


def imports(path: Path) -> Iterator[tuple[str, int]]:
    """The files of ours that a file imports, at any depth of nesting and by name, with their lines."""
    for module, line in by_name(path):
        if "{}" in module:
            prefix = module.partition("{}")[0].removeprefix("covector.").replace(".", "/")
            targets = [t for t in labels() if re.fullmatch(rf"{prefix}\w+(/__init__)?", t)]
            yield from ((t, line) for t in targets if t != label(path))
        elif (target := resolve(module)) is not None:
            yield target, line
    package = ["covector", *path.relative_to(PACKAGE).parent.parts]
    for node in ast.walk(parse(path)):
        if isinstance(node, ast.Import):
            found = [resolve(alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            found = [resolve(module, alias.name) for alias in node.names]
        else:
            continue
        for target in found:
            if target is not None:
                yield target, node.lineno


def for_types(path: Path) -> set[int]:
    """The lines that only type checkers read."""
    blocks = [
        node
        for node in ast.walk(parse(path))
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING"
    ]
    return {
        inner.lineno
        for block in blocks
        for s in block.body
        for inner in ast.walk(s)
        if isinstance(inner, ast.stmt)
    }
