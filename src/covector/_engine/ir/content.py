"""`content`: a Program as bytes that are the same in each process, and of no other Program.

Compiled code is kept on disk by it, so that a process that finds it there runs no pass.  All that code can depend on
is in it: types with their symbolic dimensions, literals bit for bit, primitives with their parameters.  The user's
lines are not.  What is of this process alone, such as a function, has no such bytes.
"""

from __future__ import annotations

import hashlib
import marshal
import sys
from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any

import numpy as np

from covector._engine.base.record import fields, is_only_fields
from covector._engine.ir.program import Literal, Program, Var
from covector._engine.types.avals import ShapedArray
from covector._engine.types.dims import Factor, Polynomial

Form = Any  # what `marshal` writes: numbers, texts, bytes and tuples of such
_OURS = __name__.partition(".")[0]
_WITHOUT_REFERENCES = 2  # the format of `marshal` that depends on values alone


class _OfThisProcess(Exception):
    """A value means something in this process only."""


def content(program: Program, named: Mapping[int, str]) -> bytes | None:
    """The digest of all that compiled code of a Program depends on; None if part of it is of this process alone.

    `named` gives names to values that are known by identity, and are the same in each process: primitives.
    """
    try:
        form = _Writer(named).whole(program)
    except _OfThisProcess:
        return None
    return hashlib.sha256(as_bytes(form)).digest()


def as_bytes(form: Form) -> bytes:
    """What `marshal.loads` reads back: the same bytes for equal forms."""
    return marshal.dumps(form, _WITHOUT_REFERENCES)


class _Writer:
    """Variables are numbers, in the order in which they are met."""

    def __init__(self, named: Mapping[int, str]):
        self.named = named
        self.numbers: dict[Var, int] = {}
        self.programs: list[
            Program
        ] = []  # those met, which are written one after the other: any depth will do
        # The forms of values by identity, with the values, so that they stay.
        self.known: dict[int, tuple[Any, Form]] = {}

    def whole(self, program: Program) -> Form:
        """A Program with all those inside."""
        self.place(program)
        # The list grows while they are written.
        return tuple([self.program(met) for met in self.programs])

    def place(self, program: Program) -> Form:
        """Where a Program is written."""
        self.programs.append(program)
        return ("program", len(self.programs))

    def program(self, program: Program) -> Form:
        """Its variables, equations and results; not its name."""
        variables = (*program.inputs, *program.constant_vars)
        return (
            tuple([(self.atom(v), self.value(v.aval)) for v in variables]),
            tuple([
                (
                    self.value(eqn.primitive),
                    tuple(map(self.atom, eqn.inputs)),
                    tuple([(self.atom(v), self.value(v.aval)) for v in eqn.outputs]),
                )
                for eqn in program.eqns
            ]),
            tuple(map(self.atom, program.outputs)),
        )  # fmt: skip

    def atom(self, atom: Var | Literal) -> Form:
        """The number of a variable, or what a literal is."""
        if isinstance(atom, Var):
            return self.numbers.setdefault(atom, len(self.numbers))
        return (self.value(atom.value), self.value(atom.aval))

    def value(self, x: Any) -> Form:
        """A parameter, with its class: 1, 1.0 and True are three values."""
        cls = type(x)
        if cls is int or cls is str or x is None:
            return x
        write = _FORMS.get(cls)
        if write is not None and cls in _SHORT:
            return write(self, x)
        if (found := self.known.get(id(x))) is None:
            found = self.known[id(x)] = (x, (write or _other)(self, x))
        return found[1]


def _other(writer: _Writer, x: Any) -> Form:
    """Of the classes that are many: records of ours (primitives among them), NumPy's scalars and dtypes, enums."""
    cls = type(x)
    if isinstance(x, np.dtype):
        return ("dtype", x.name)
    if isinstance(x, np.generic):
        return ("number", x.dtype.name, x.tobytes())
    module: Any = cls.__module__  # of functions a property: each has its own
    if not isinstance(module, str) or module.partition(".")[0] != _OURS:
        return _public(x)
    name = f"{cls.__module__}.{cls.__qualname__}"
    if (found := writer.named.get(id(x))) is not None:
        return (name, found)
    if isinstance(x, Enum):
        return (name, x.name)
    if isinstance(x, tuple):
        return (name, *map(writer.value, x))
    if "<locals>" in name or not is_only_fields(x):  # it is not known by its class and fields
        raise _OfThisProcess(cls)
    return (name, *[writer.value(getattr(x, n)) for n in fields(x)])


def _public(x: Any) -> Form:
    """Where one of our public functions is found: policies of `checkpoint` are such."""
    module, name = getattr(x, "__module__", None), getattr(x, "__qualname__", None)
    if not (isinstance(module, str) and isinstance(name, str)) or (
        module.partition(".")[0] != _OURS or getattr(sys.modules.get(module), name, None) is not x
    ):
        raise _OfThisProcess(type(x))
    return ("function", module, name)


def _array(writer: _Writer, x: np.ndarray) -> Form:
    return ("array", x.dtype.name, x.shape, x.tobytes())


def _polynomial(writer: _Writer, x: Polynomial) -> Form:
    return ("dim", tuple([(tuple([writer.value(f) for f in m]), c) for m, c in x.terms]))


def _factor(writer: _Writer, x: Factor) -> Form:
    own = (x.op, x.args, x.key, x.lower, x.upper, x.payload)
    return ("factor", *map(writer.value, own))


def _aval(writer: _Writer, x: ShapedArray) -> Form:
    return ("type", x.dtype.name, tuple(map(writer.value, x.shape)), x.weak_type)


_FORMS: dict[type, Callable[[_Writer, Any], Form]] = {
    bool: lambda writer, x: ("bool", x),
    float: lambda writer, x: ("float", x),
    complex: lambda writer, x: ("complex", x),
    bytes: lambda writer, x: ("bytes", x),
    tuple: lambda writer, x: ("tuple", *map(writer.value, x)),
    frozenset: lambda writer, x: ("set", *sorted(map(writer.value, x), key=repr)),
    np.ndarray: _array,
    Polynomial: _polynomial,
    Factor: _factor,
    ShapedArray: _aval,
    Program: _Writer.place,
}
_SHORT = frozenset({bool, float, complex, bytes})
