"""The text of a Jaxpr as JAX prints it: `{ lambda ; a:f32[]. let b:f32[] = sin a in (b,) }`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from covector._engine.ir.program import Atom, Literal, ShortNames
from covector._engine.types.avals import ShapedArray

Note = Callable[[Any], str]  # what stands at the right of an equation
WIDTH = 80  # what is longer goes on several lines, as in JAX


def _letters(dtype: np.dtype) -> str:
    name = dtype.name
    for long, short in (("bfloat", "bf"), ("float", "f"), ("uint", "u"), ("int", "i")):
        if name.startswith(long):
            return short + name[len(long) :]
    return name.replace("complex", "c")


def _type(aval: ShapedArray) -> str:
    return f"{_letters(aval.dtype)}[{','.join(map(str, aval.shape))}]"


class _Printer:
    """Names of variables, and how much is shown."""

    def __init__(self, shapes: bool, note: Note | None):
        self.shapes, self.note = shapes, note

    def typed(self, v: Atom, names: ShortNames) -> str:
        return f"{names[v]}:{_type(v.aval)}" if self.shapes else names[v]

    def read(self, v: Atom, names: ShortNames) -> str:
        return f"{v.value}:{_type(v.aval)}" if isinstance(v, Literal) else names[v]

    def jaxpr(self, jaxpr: Any, names: ShortNames, width: int = WIDTH) -> list[str]:
        """The lines of a Jaxpr: one if it is short."""
        consts = "".join([f" {self.typed(v, names)}" for v in jaxpr.constvars])
        ins = "".join([f" {self.typed(v, names)}" for v in jaxpr.invars]) or " "
        eqns = [self.eqn(eqn, names, width - 4) for eqn in jaxpr.eqns]
        outs = ", ".join([self.read(v, names) for v in jaxpr.outvars])
        end = f"in ({outs},) }}" if len(jaxpr.outvars) == 1 else f"in ({outs}) }}"
        head = f"{{ lambda{consts} ;{ins}. let"
        lines = [line for eqn in eqns for line in eqn]
        if len(lines) < 2 and self.note is None:
            whole = f"{head} {''.join(lines)} {end}"
            if len(whole) <= width:
                return [whole]
        return [head, *_indented(4, lines), f"  {end}"]

    def eqn(self, eqn: Any, names: ShortNames, width: int) -> list[str]:
        """The lines of an equation: one if its parameters are short."""
        args = " " + " ".join([self.read(v, names) for v in eqn.invars])
        outs = " ".join([self.typed(v, names) for v in eqn.outvars])
        params = [self.param(k, v, names, width - 2) for k, v in _shown(eqn)]
        head = f"{outs} = {eqn.primitive.name}" if outs else eqn.primitive.name
        flat = f"[{' '.join([lines[0] for lines in params])}]" if params else ""
        if all(len(p) == 1 for p in params) and len(head + flat + args) <= width:
            lines = [head + flat + args]
        else:
            lines = [f"{head}[", *_indented(2, [x for p in params for x in p]), f"]{args}"]
        if self.note is None:
            return lines
        return [f"{lines[0]:<72}  # {self.note(eqn)}", *lines[1:]]

    def param(self, name: str, value: Any, names: ShortNames, width: int) -> list[str]:
        """The lines of a parameter, which may hold Jaxprs."""
        if hasattr(value, "jaxpr"):
            first, *rest = self.jaxpr(value.jaxpr, names, width - len(name) - 1)
            return [f"{name}={first}", *rest]
        if isinstance(value, tuple) and value and all(hasattr(x, "jaxpr") for x in value):
            inner = [x for v in value for x in self.jaxpr(v.jaxpr, names, width - 2)]
            return [f"{name}=(", *_indented(2, inner), ")"]
        return [f"{name}={_value(value)}"]


# What JAX does not show of some primitives; of all of them what says nothing.
_HIDDEN = {
    "broadcast_in_dim": {"shape", "sharding"},
    "cond": {"linear"},
    "convert_element_type": {"sharding"},
    "dot_general": {"out_sharding", "precision", "preferred_element_type"},
}
_OF_JIT = ("name", "jaxpr")


def _shown(eqn: Any) -> Sequence[tuple[str, Any]]:
    name, params = eqn.primitive.name, eqn.params
    if name == "jit":
        return [(k, params[k]) for k in _OF_JIT if k in params]
    hidden = _HIDDEN.get(name, ())
    if name == "dot_general":
        (left, right), (ours, theirs) = params["dimension_numbers"]
        numbers = ([*left], [*right]), ([*ours], [*theirs])
        params = {**params, "dimension_numbers": numbers}
    return [
        (k, v)
        for k, v in sorted(params.items())
        if not (v is None and (k in hidden or k in ("accuracy", "out_dtype")))
        and not (name == "broadcast_in_dim" and (k == "shape" or v == ()))
    ]


def _value(x: Any) -> str:
    if isinstance(x, np.dtype):
        return x.name
    name = getattr(x, "__name__", None)
    return str(name) if callable(x) and name else str(x)


def _indented(by: int, lines: Sequence[str]) -> list[str]:
    return [" " * by + line for line in lines]


def text_of(jaxpr: Any, shapes: bool = True, note: Note | None = None) -> str:
    """The text; `note` gives what stands at the right of each equation."""
    return "\n".join(_Printer(shapes, note).jaxpr(jaxpr, ShortNames()))
