"""Index arithmetic in a loop, for one element or for lanes side by side."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Self

import numpy as np

from covector._engine.backends.cpu.frame import Frame
from covector._engine.backends.cpu.instructions import (
    family,
    register_element,
    suffix,
    vector,
)  # fmt: skip
from covector._engine.backends.cpu.scalars import Emitter
from covector._engine.ir import index as ix
from covector._engine.ir.kernel import index_values, nodes
from covector._engine.ir.scalar import Expr
from covector._engine.types.dims import Dim, Factor


class IndexEmitter(Emitter):
    """Emits indices inside loops.

    With `width` lanes, the loop variable `lane` stands for base, base + 1, ...; its symbol holds the base.  `mask`
    (an operand of lanes x i1, or None) says which lanes exist or, where these have `parted`, which of them are here.
    `one` emits what is the same in all lanes.
    """

    def __init__(
        self, frame: Frame, width: int = 1, lane: str | None = None, one: Self | None = None
    ):
        super().__init__(frame.module, width, frame.lines, frame.fresh)
        self.frame, self.lane, self.mask = frame, lane, None
        self.one: Self = self if one is None else one
        self.mask: str | None
        self.parted = False
        self.indices: dict[Any, str] = {}

    # -- scopes ----------------------------------------------------------------------------------

    def mark(self) -> tuple[Any, ...]:
        """What is known now, in this emitter and the one for uniform values."""
        own = (*self.scope(), len(self.indices))
        return own if self.one is self else (*own, self.one.mark())

    def reset(self, mark: tuple[Any, ...]) -> None:
        """Forget what was emitted since `mark`."""
        self.restore(mark[:2])
        while len(self.indices) > mark[2]:
            self.indices.popitem()
        if self.one is not self:
            self.one.reset(mark[3])

    # -- indices ---------------------------------------------------------------------------------

    def scalar_index(self, d: Dim) -> str:
        """An index as an i64 operand; with lanes, of the first one."""
        if isinstance(d, int):
            return str(d)
        found = self.indices.get(d)
        if found is None:
            found = self.indices[d] = self._sum(d, self._scalar_factor, "i64")
        return found

    def _sum(self, d: Any, value_of: Callable[[Factor], str], type_: str) -> str:
        total: str | None = None
        known = 0  # what numbers add up to: `sroa` sees the places of private memory if they are numbers
        for monomial, c in d.terms:
            values = [value_of(a) for a in monomial]
            if type_ == "i64" and all(map(str.isdigit, values)):
                known += c * math.prod(map(int, values))
                continue
            term: str | None = None
            for value in values:
                term = value if term is None else self.line(f"mul nsw {type_} {term}, {value}")
            if term is None:
                term = str(c) if type_ == "i64" else f"splat (i64 {c})"
            elif c != 1:
                factor = str(c) if type_ == "i64" else f"splat (i64 {c})"
                term = self.line(f"mul nsw {type_} {term}, {factor}")
            total = term if total is None else self.line(f"add nsw {type_} {total}, {term}")
        if total is None or known:
            total = str(known) if total is None else self.line(f"add nsw {type_} {total}, {known}")
        return total

    def _scalar_factor(self, a: Factor) -> str:
        if a.op == "symbol":
            if isinstance(a.payload, Expr):
                return self._widen(self.one.value(a.payload), a.payload.dtype, 1)
            return self.frame.symbols[a.key]
        x, y = (self.scalar_index(arg) for arg in a.args)
        return self._binary(a, x, y, "i64")

    def _binary(self, a: Factor, x: str, y: str, type_: str) -> str:
        if x.isdigit() and y.isdigit() and a.op in ("floordiv", "mod"):
            return str(int(x) // int(y) if a.op == "floordiv" else int(x) % int(y))
        if a.op in ("floordiv", "mod"):
            if ix.is_nonnegative(a.args[0]):
                return self.line(f"{'udiv' if a.op == 'floordiv' else 'urem'} {type_} {x}, {y}")
            rest = self.line(f"srem {type_} {x}, {y}")
            rest = self.line(f"srem {type_} {self.line(f'add {type_} {rest}, {y}')}, {y}")
            if a.op == "mod":
                return rest
            return self.line(f"sdiv {type_} {self.line(f'sub {type_} {x}, {rest}')}, {y}")
        name = f"@llvm.s{a.op}.{suffix('i64', self.width if type_ != 'i64' else 1)}"
        self.module.declare(name, f"declare {type_} {name}({type_}, {type_})")
        return self.line(f"call {type_} {name}({type_} {x}, {type_} {y})")

    def _widen(self, operand: str, dtype: np.dtype, width: int) -> str:
        """An integer register value as i64."""
        if dtype.itemsize == 8:
            return operand
        narrow, wide = vector(register_element(dtype), width), vector("i64", width)
        return self.line(
            f"{'sext' if family(dtype) == 'signed' else 'zext'} {narrow} {operand} to {wide}"
        )

    def vector_index(self, d: Dim) -> str:
        """An index as an operand of lanes x i64."""
        type_ = vector("i64", self.width)
        stride = 0 if isinstance(d, int) else ix.coefficient(d, self.lane or "")
        if isinstance(stride, int):
            base = self.spread(self.scalar_index(d), "i64")
            if stride == 0:
                return base
            lanes = ", ".join(f"i64 {n * stride}" for n in range(self.width))
            return self.line(f"add nsw {type_} {base}, <{lanes}>")
        return self._sum(d, self._vector_factor, type_)

    def _vector_factor(self, a: Factor) -> str:
        if a.op == "symbol":
            if isinstance(a.payload, Expr):
                return self._widen(self.value(a.payload), a.payload.dtype, self.width)
            base = self.spread(self.frame.symbols[a.key], "i64")
            if a.key != self.lane:
                return base
            lanes = ", ".join(f"i64 {n}" for n in range(self.width))
            return self.line(f"add nsw {vector('i64', self.width)} {base}, <{lanes}>")
        x, y = (self.vector_index(arg) for arg in a.args)
        return self._binary(a, x, y, vector("i64", self.width))

    def spread(self, operand: str, element: str) -> str:
        """The same scalar in all lanes."""
        type_ = vector(element, self.width)
        first = self.line(f"insertelement {type_} poison, {element} {operand}, i64 0")
        return self.line(
            f"shufflevector {type_} {first}, {type_} poison, <{self.width} x i32> zeroinitializer"
        )

    def take_over(self, fixed: Sequence[Expr]) -> None:
        """Let all lanes have what was computed once for all of them; LLVM does not move calls out of a loop."""
        for e in fixed:
            if e.op not in ("const", "local", "load", "index", "iterate"):
                self.values[e] = self.spread(self.one.value(e), register_element(e.dtype))

    def index_value(self, e: Expr) -> str:
        """The value of an index as a number."""
        d: Any = e.attr
        element = register_element(e.dtype)
        if self.width > 1 and self.uniform_index(d):
            return self.spread(self.one.value(e), element)
        wide = self.scalar_index(d) if self.width == 1 else self.vector_index(d)
        if element == "i64":
            return wide
        return self.line(f"trunc {vector('i64', self.width)} {wide} to {self.type(e.dtype)}")

    def uniform_index(self, d: Dim) -> bool:
        """Whether an index is surely the same in all lanes."""
        return self.lane is None or (ix.coefficient(d, self.lane) == 0 and not self._parts(d))

    def stride(self, d: Dim) -> Dim | None:
        """How far apart the lanes' elements are; None if that is not known."""
        return None if self._parts(d) else ix.coefficient(d, self.lane or "")

    def _parts(self, d: Dim) -> bool:
        """Whether lanes may read an index from data that differ, or that only some of them may read."""
        found = index_values(d)
        if not found or self.parted or self.lane is None:
            return bool(found)
        return any(
            node.op in ("local", "iterate", "project", "call")
            or (node.op == "load" and (node.args or node.attr[0] in self.frame.lane_buffers))  # type: ignore[index]
            for node in nodes(found, set())
        )
