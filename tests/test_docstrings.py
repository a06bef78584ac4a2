"""The examples in docstrings run and print what they say: of every public name, and of every file."""

from __future__ import annotations

import ast
import doctest
import enum
import importlib
import inspect
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import ModuleType

import pytest

import covector
from covector import numpy as cnp
from covector.scipy import stats

PACKAGE = Path(covector.__file__).parent
OPTIONS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
FILES = sorted(p for p in PACKAGE.rglob("*.py") if ">>>" in p.read_text())
# What users import; functions that tables make have their docstrings only here.
PUBLIC = ["covector"]
PUBLIC += [f"covector.{n}" for n in ("dtypes", "errors", "lax", "nn", "nn.initializers", "numpy")]
PUBLIC += [
    f"covector.{n}"
    for n in (
        "numpy.fft",
        "numpy.linalg",
        "random",
        "scipy.fft",
        "scipy.special",
        "scipy.interpolate",
        "scipy.optimize",
        "scipy.spatial.transform",
        "scipy.stats",
        "tree",
        "tree_util",
    )
]
PUBLIC += [
    f"covector.scipy.stats.{n}" for n in dir(stats) if isinstance(getattr(stats, n), ModuleType)
]
PUBLIC += ["covector.debug", "covector.experimental", "covector.experimental.checkify"]
PUBLIC += ["covector.extend.testing", "covector.ffi", "covector.sharding", "covector.ref"]
PUBLIC += ["covector.ad", "covector.extend.random", "covector.monitoring"]
PUBLIC += ["covector.experimental.colocated_python", "covector.experimental.sparse.linalg"]

# Names for types of others: they have no docstring of ours.
ALIASES = {"DotDimensionNumbers", "Initializer", "KeyPath", "PyTreeDef"}
# Methods and attributes that say what they do, and have no example yet.  To be shortened, never to be added to.
WITHOUT_EXAMPLE = {
    "Array": """T at block_until_ready delete device dtype imag is_deleted is_ready item itemsize mT nbytes ndim
        real shape size tobytes tolist unsafe_buffer_pointer weak_type""",
    "Device": "device_kind memory_stats",
    "custom_jvp": "defjvp defjvps",
    "custom_vjp": "defvjp",
    "GatherDimensionNumbers": "window_dims",
    "Key": "block_until_ready dtype flatten ndim ravel reshape shape size",
    "ScatterDimensionNumbers": "gather window",
    "ShapeDtypeStruct": "ndim size",
}


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


def is_ours(x: object) -> bool:
    return callable(x) and str(getattr(x, "__module__", "")).startswith("covector")


def members(cls: type) -> Iterator[tuple[str, object]]:
    """The public methods and properties of a class that are not inherited from others' classes."""
    ours = {name for c in cls.__mro__ if is_ours(c) for name in vars(c)}
    for name, value in inspect.getmembers(cls):
        described = (
            callable(value) or isinstance(value, property) or inspect.isgetsetdescriptor(value)
        )
        if name in ours and not name.startswith("_") and described:
            yield name, value


def lines_of(x: object) -> str:
    return getattr(x, "__doc__", None) or ""


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_function_and_class_has_an_example(name: str) -> None:
    module = importlib.import_module(name)
    names = [n for n in dir(module) if not n.startswith("_") and n not in ALIASES]
    lacking = [n for n in names if is_ours(x := getattr(module, n)) and ">>>" not in lines_of(x)]
    assert not lacking, f"write an example into the docstrings of {name}: {', '.join(lacking)}"


@pytest.mark.parametrize("name", PUBLIC)
def test_methods_have_an_example_or_are_in_the_list_of_those_without(name: str) -> None:
    module = importlib.import_module(name)
    for cls in {x for n in dir(module) if isinstance(x := getattr(module, n), type) and is_ours(x)}:
        described = {n: lines_of(value) for n, value in members(cls)}
        assert all(described.values()), f"{cls.__name__}: {described}"
        without = {n for n, text in described.items() if ">>>" not in text}
        plain = isinstance(cls, type(cnp.int32)) or issubclass(cls, Exception | enum.Enum)
        assert plain or without == set(WITHOUT_EXAMPLE.get(cls.__name__, "").split()), cls
