"""The examples in docstrings run and print what they say: of every public name, and of every file."""

from __future__ import annotations

import ast
import doctest
import importlib
import inspect
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import ModuleType

import pytest

import covector

PACKAGE = Path(covector.__file__).parent
OPTIONS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
FILES = sorted(p for p in PACKAGE.rglob("*.py") if ">>>" in p.read_text())
# What users import; functions that tables make have their docstrings only here.
PUBLIC = ["covector"]
PUBLIC += [f"covector.{n}" for n in ("dtypes", "lax", "nn", "numpy", "numpy.linalg", "random")]
PUBLIC += ["covector.tree", "covector.tree_util", "covector.debug", "covector.experimental"]


def written(path: Path) -> Iterator[tuple[str, str, int]]:
    """The docstrings in a file: whose, text, line."""
    tree = ast.parse(path.read_text(), str(path))
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            text = ast.get_docstring(node)
            if text and ">>>" in text:
                yield getattr(node, "name", path.stem), text, getattr(node, "lineno", 1)


@cache
def in_files() -> frozenset[str]:
    """The texts of all of them, which need not run again where a function is public."""
    return frozenset(text for path in FILES for _, text, _ in written(path))


def made(module: ModuleType) -> Iterator[tuple[str, str, int]]:
    """The docstrings of a module's public functions that no file of ours has as they are."""
    for name in dir(module):
        text = getattr(getattr(module, name), "__doc__", None)
        if isinstance(text, str) and ">>>" in text:
            text = inspect.cleandoc(text)  # as `ast.get_docstring` gives it
            if text not in in_files():
                yield name, text, 0


def run(examples: Iterator[tuple[str, str, int]], where: str) -> int:
    """How many examples ran; a failure of the test for those that print something else."""
    report: list[str] = []
    count = 0
    for name, text, line in examples:
        test = doctest.DocTestParser().get_doctest(
            text, {"__name__": "__main__"}, name, where, line
        )
        runner = doctest.DocTestRunner(optionflags=OPTIONS)
        runner.run(test, out=report.append)
        count += len(test.examples)
    assert not report, "".join(report)
    return count


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.relative_to(PACKAGE).as_posix())
def test_examples_in_files(path: Path) -> None:
    assert run(written(path), str(path)) or not any(written(path))


@pytest.mark.parametrize("name", PUBLIC)
def test_examples_of_public_functions(name: str) -> None:
    run(made(importlib.import_module(name)), name)


def test_there_are_examples() -> None:
    assert sum(1 for path in FILES for _ in written(path)) >= 30
