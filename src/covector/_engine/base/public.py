"""What users see of us: functions whose errors end at the user's line, modules that offer their public names only."""

from __future__ import annotations

import copyreg
import enum
import functools
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from importlib.util import find_spec
from opcode import opmap
from types import FunctionType, ModuleType
from typing import Any, TypeVar

import ml_dtypes
import numpy as np

from covector._engine import _native
from covector._engine.base.locks import import_late

# The folder of the package: what lies below it is ours, and no user's.
PACKAGE = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", "..")) + os.sep
# What frames of no user's are in, ours and those of functions that ours are made with.
NO_USERS = (PACKAGE, functools.__file__)
_OPTREE = os.path.join(*getattr(find_spec("optree"), "submodule_search_locations", ()), "")
# Libraries that we call with what users give us: their errors are about that.
_CALLED = (
    os.path.dirname(np.__file__) + os.sep,
    os.path.dirname(str(ml_dtypes.__file__)) + os.sep,
    enum.__file__,
    _OPTREE,
)
# Files and folders whose frames are left out of tracebacks: ours, and those of libraries.
_left_out = (
    PACKAGE,
    os.path.join(os.path.dirname(__file__), "tree.py"),
    _OPTREE,
)
# What meets no arguments of users, but what was made of them: an error from there that nobody meant is a defect.
_INSIDE = tuple(
    os.path.join(PACKAGE, "_engine", name, "")
    for name in ("transforms", "compile", "backends", "ir")
)


def _tell() -> None:
    _native.set_own_code(_left_out, opmap["RAISE_VARARGS"], _CALLED, _INSIDE)


_tell()

F = TypeVar("F", bound=Callable[..., Any])
C = TypeVar("C", bound=type)


def boundary(fun: F) -> F:
    """The function as users call it: our own frames and optree's are cut out of the traceback of an exception
    that leaves it.

    Frames of the user's functions that it calls stay, wherever they are between ours.  An exception that we did not
    raise on purpose keeps the innermost of our frames.  The flag `trim_tracebacks` switches this off.
    """
    return _native.Boundary(fun, None, _native_forms.get(fun))  # type: ignore[return-value]


# What attributes of functions have to be.
_KINDS = {"__name__": str, "__qualname__": str, "__annotations__": dict, "__type_params__": tuple}


def wraps(fun: Callable[..., Any]) -> Callable[[F], F]:
    """`functools.wraps` for any callable: a library's object has attributes of such names that are something else."""
    copied = [
        name
        for name in functools.WRAPPER_ASSIGNMENTS
        if isinstance(getattr(fun, name, None), _KINDS.get(name, object))
    ]

    def named(wrapper: F) -> F:
        functools.update_wrapper(wrapper, fun, copied)
        return wrapper

    return named


def leave_out(path: str) -> None:
    """Leave the frames of a library's file out of tracebacks from now on, as our own are."""
    global _left_out
    if path not in _left_out:
        _left_out = (*_left_out, path)
        _tell()


def is_left_out(path: str) -> bool:
    """Whether the frames of a file are left out of tracebacks."""
    return path.startswith(_left_out)


_native_forms: dict[Any, Any] = {}


def native_form(fun: Any) -> Any:
    """The native function that does what a function of ours does, if it has one; else the function."""
    return _native_forms.get(fun, fun)


def set_native_form(fun: Callable[..., Any], native: Callable[..., Any]) -> None:
    """Let users' calls of a function go to a native one, which calls it where it does not serve."""
    _native_forms[fun] = native


def bounded(cls: C) -> C:
    """The class, with a boundary for each of its methods that users call."""
    for name, value in list(vars(cls).items()):
        if type(value) is FunctionType and (not name.startswith("_") or name.endswith("__")):
            setattr(cls, name, _native.Boundary(value))
    return cls


def examples(setup: str, text: str) -> dict[str, str]:
    """The examples of functions by the functions' names, each with the line in front that it needs.

    The text is a session: a prompt with a call `module.name(...)`, and below it the lines that show the result.
    """
    pieces = text.strip().split("\n>>> ")
    calls = [pieces[0].removeprefix(">>> "), *pieces[1:]]
    return {
        call.partition("(")[0].rpartition(".")[2]: f"\n\n>>> {setup}\n>>> {call}\n"
        for call in calls
    }


def _is_of(f: FunctionType, modules: Sequence[str]) -> bool:
    """Whether a function is from one of these modules, or from below it."""
    return any(f.__module__ == m or f.__module__.startswith(m + ".") for m in modules)


def publish(
    name: str,
    modules: Sequence[str] = (),
    later: Iterable[str] = (),
    arrays: Sequence[str] = (),
    load: Callable[[str], Any] | None = None,
    find: Callable[[str], Any] | None = None,
) -> None:
    """Make a module public, when all its names are there: its functions become boundaries, `dir` offers its names.

    Its names are those in `__all__` if it has that, else all without an underscore in front that are not modules;
    `modules` are the modules among its names, and `later` those that are loaded when they are first used.  Functions
    from the modules in `arrays` take objects that stand for arrays.  `load` gives those in `later` when asked for, and
    `find` what is there and not offered, or None.
    """
    space = vars(sys.modules[name])
    names: list[str] = space.get("__all__") or [
        key
        for key, value in space.items()
        if not key.startswith("_") and (key in modules or not isinstance(value, ModuleType))
    ]
    functions = {space[key] for key in names if type(space[key]) is FunctionType}

    def seen(f: FunctionType) -> Any:
        return _native.Boundary(f, name, _native_forms.get(f), _is_of(f, arrays))

    made = {f: seen(f) for f in functions}  # one for all names of a function
    for key in names:
        if type(space[key]) is FunctionType:
            space[key] = made[space[key]]
    offered = sorted({*names, *later})
    space["__all__"] = offered
    loads = dict.fromkeys(later, load) if load else {}
    space["__getattr__"] = _finder(space, name, loads, find, seen)
    space["__dir__"] = lambda: [*offered, *[key for key in space if key.startswith("__")]]


def missing(package: str, name: str) -> AttributeError:
    """The error for a name that a package does not have; of one that JAX has, why, and what to use instead."""
    explain = import_late("covector._engine.base.absent").explain
    return AttributeError(explain(package, name), name=name, obj=sys.modules[package])


class Missing:
    """Asked last by `import`: of a module that JAX has and Covector has not it says why, and what to use instead."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> None:
        """Nothing; ModuleNotFoundError with the reason if there is one."""
        package, _, name = fullname.rpartition(".")
        if package.partition(".")[0] == "covector":
            absent = import_late("covector._engine.base.absent")
            if absent.absence(package, name) is not None:
                raise ModuleNotFoundError(
                    f"No module named {fullname!r}. {absent.reason(package, name)}", name=fullname
                )


def _finder(
    space: dict[str, Any],
    name: str,
    loads: dict[str, Callable[[str], Any]],
    find: Callable[[str], Any] | None,
    seen: Callable[[FunctionType], Any],
) -> Callable[[str], Any]:
    """The `__getattr__` of a module: loads names when they are first used, and explains those that are missing."""

    def __getattr__(key: str) -> Any:
        get = loads.get(key, find)
        found = None if get is None or key.startswith("__") else get(key)
        if found is None:
            raise missing(name, key)
        space[key] = seen(found) if type(found) is FunctionType else found
        return space[key]

    return __getattr__


def _reduce(function: _native.Boundary) -> Any:
    """For pickle: by name where it has one, else from what it wraps."""
    name = function.__wrapped__.__name__
    found = getattr(sys.modules.get(function.__module__), name, None)
    return name if found is function else (_native.Boundary, (function.__wrapped__,))


def _name(function: _native.Ufunc) -> str:
    """For pickle, which looks it up in its module, and for copies, which are the function itself."""
    return function.__name__


copyreg.pickle(_native.Boundary, _reduce)  # type: ignore[arg-type]
copyreg.pickle(_native.Ufunc, _name)  # type: ignore[arg-type]
