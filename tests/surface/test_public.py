"""What is offered to users: every public module names what it has, and nothing of its inside."""

from __future__ import annotations

import inspect
import re
import types
from pathlib import Path

import pytest

import covector as cv
from covector._engine import _native

ROOT = Path(cv.__file__).parent


def public_modules(module: types.ModuleType) -> list[types.ModuleType]:
    """A module and the modules among its names."""
    inner = [v for n in module.__all__ if isinstance(v := getattr(module, n), types.ModuleType)]
    return [module, *[m for child in inner for m in public_modules(child)]]


MODULES = {module.__name__: module for module in public_modules(cv)}


def test_every_public_file_is_a_public_module() -> None:
    files = [p for p in ROOT.glob("*.py") if p.stem != "__init__"] + [
        p.parent for p in ROOT.glob("[!_]*/__init__.py")
    ]
    assert {f"covector.{p.stem}" for p in files} <= set(MODULES)


@pytest.mark.parametrize("name", MODULES)
def test_completion_offers_public_names_only(name: str) -> None:
    module = MODULES[name]
    offered = [n for n in dir(module) if not re.fullmatch(r"__\w+__", n)]
    assert offered == module.__all__ == sorted(set(offered))
    assert not [n for n in offered if n.startswith("_")]
    for n in offered:
        value = getattr(module, n)
        if isinstance(value, types.ModuleType):
            assert value.__name__ in MODULES, f"{name}.{n} is the module {value.__name__}"
        if isinstance(value, type) or inspect.isroutine(value):
            home = value.__module__.partition(".")[0]
            # What JAX has a class for is raised as Python's here.
            homes = ("covector", "numpy", "ml_dtypes", "optree")
            assert home in homes or n == "JaxRuntimeError", f"{name}.{n}: {home}"


@pytest.mark.parametrize("name", MODULES)
def test_a_star_import_gives_what_is_offered(name: str) -> None:
    names: dict[str, object] = {}
    exec(f"from {name} import *", names)
    assert sorted(n for n in names if n != "__builtins__") == MODULES[name].__all__


@pytest.mark.parametrize("name", MODULES)
def test_public_functions_have_a_boundary_and_say_what_they_do(name: str) -> None:
    module = MODULES[name]
    plain = [n for n in module.__all__ if isinstance(getattr(module, n), types.FunctionType)]
    assert not plain, f"publish these: {', '.join(plain)}"
    silent = [
        n for n in module.__all__ if callable(f := getattr(module, n)) and not inspect.getdoc(f)
    ]
    assert not silent


def test_arrays_offer_public_names_only() -> None:
    names = [n for n in dir(cv.Array) if not n.startswith("__")]
    assert not [n for n in names if n.startswith("_")]
    plain = [n for n in names if isinstance(getattr(cv.Array, n), types.FunctionType)]
    assert not plain
    assert isinstance(vars(cv.Array)["reshape"], _native.Boundary)


def test_the_package_is_typed() -> None:
    assert (ROOT / "py.typed").exists()
