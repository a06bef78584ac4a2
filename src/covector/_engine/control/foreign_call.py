"""`ForeignCall`: a function of a user's in the C layout of XLA's typed FFI, called by compiled code itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from covector._engine import _native, primitives as prims
from covector._engine.base import errors
from covector._engine.base.record import record, replace
from covector._engine.control.callback import VMAP_METHODS
from covector._engine.control.loop import Scan
from covector._engine.core.foreign import MachineFunction
from covector._engine.core.primitive import Primitive
from covector._engine.core.trace import typeof
from covector._engine.ir.builder import Builder, Operand, Result
from covector._engine.ir.effects import Effect
from covector._engine.transforms.programs import stage_closed
from covector._engine.types import dtypes
from covector._engine.types.avals import ShapedArray
from covector._engine.types.dims import Dim

EFFECT = frozenset({Effect("ffi")})
NO_EFFECT = frozenset[Effect]()

# Handlers by target, and of each by stage: to instantiate, prepare, initialize, execute; 0: there is none.
Stages = tuple[int, int, int, int]
TARGETS: dict[str, Stages] = {}

# The axes of a value from the slowest in memory to the fastest; None: in their order.
Layout = tuple[int, ...] | None


def register(name: str, stages: Stages) -> None:
    """Make handlers a target; ValueError if there is another one of this name."""
    if TARGETS.setdefault(name, stages) != stages:
        raise ValueError(f"register_ffi_target: there is another target named {name!r} already")


def attribute(name: str, value: Any) -> tuple[Any, ...]:
    """An attribute as the native core takes it: Python's numbers have 64 bits; TypeError if there is no such one."""
    if isinstance(value, str | bytes):
        return name, "string", value.encode() if isinstance(value, str) else value
    if isinstance(value, dict):
        return name, "dictionary", attributes(value)
    array = np.asarray(value)
    dtype = dtypes.native(array.dtype)
    if dtype is None:
        raise TypeError(
            f"ffi_call: the attribute {name} is {value!r}{errors.at_user_line()}; attributes are numbers, strings, "
            "arrays of one axis, and dictionaries of these"
        )
    kind = (name, "array") if array.ndim else (name, "scalar")
    data = np.ascontiguousarray(array).tobytes()
    return (*kind, dtypes.CODES[dtype], data, *([array.size] if array.ndim else []))


def attributes(values: dict[str, Any]) -> tuple[tuple[Any, ...], ...]:
    """The attributes, sorted by name as handlers expect them."""
    return tuple([attribute(name, values[name]) for name in sorted(values)])


@record
class ForeignCall(Primitive):
    """A call of a target.  Operands and results lie in memory as the layouts say, with their axes in that order."""

    target: str
    results: tuple[ShapedArray, ...]
    attributes: tuple[tuple[Any, ...], ...]
    vmap_method: str | None
    has_side_effect: bool
    aliases: tuple[tuple[int, int], ...]  # (operand, result) that are one place in memory
    input_layouts: tuple[Layout, ...]
    output_layouts: tuple[Layout, ...]
    name: ClassVar[str] = "ffi_call"
    multiple: ClassVar[bool] = True
    not_differentiable: ClassVar[str | None] = (
        "it is a function of machine code, of which no derivative is known; define one with covector.custom_jvp or "
        "covector.custom_vjp"
    )

    @property
    def effects(self) -> frozenset[Effect]:  # type: ignore[override]
        return EFFECT if self.has_side_effect else NO_EFFECT

    @property
    def begins_as(self) -> tuple[int | None, ...]:  # type: ignore[override]
        starts = {out: operand for operand, out in self.aliases}
        return tuple([starts.get(out) for out in range(len(self.results))])

    def type(self, *avals: ShapedArray) -> tuple[ShapedArray, ...]:
        return self.results

    def text(self) -> str:
        return f"{self.name}[{self.target}]"

    def function(self) -> MachineFunction:
        """What compiled code calls; the handler that instantiates has run."""
        native = _native.Foreign(self.target, TARGETS[self.target], self.attributes)
        layouts = zip(self.results, self.output_layouts, strict=True)
        return MachineFunction(native, [_logical(t, layout) for t, layout in layouts], self.aliases)

    def reference(self, *xs: Any) -> tuple[Any, ...]:
        layouts = zip(xs, self.input_layouts, strict=True)
        found = self.function()(*[x.reshape(_logical(typeof(x), at).shape) for x, at in layouts])
        return tuple([x.reshape(t.shape) for x, t in zip(found, self.results, strict=True)])

    def lower(self, b: Builder, operands: Sequence[Operand], results: Sequence[Result]) -> None:
        places = [x.place for x in operands]
        for operand, out in self.aliases:
            b.copy(results[out].place, operands[operand])
            places[operand] = results[out].place
        given = [
            (place, _logical(x.aval, layout))
            for place, x, layout in zip(places, operands, self.input_layouts, strict=True)
        ]
        made = [
            (r.place, _logical(r.aval, layout))
            for r, layout in zip(results, self.output_layouts, strict=True)
        ]
        b.callback(self, self.function(), given, made)

    def batch(self, args: Sequence[Any], dims: Sequence[int | None], size: Dim) -> tuple[Any, Any]:
        method = self.vmap_method
        if method is None:
            raise NotImplementedError(
                f"vmap of the ffi_call of {self.target!r}, which does not say how it is mapped{errors.at_user_line()}: "
                f"give it vmap_method, one of {', '.join(VMAP_METHODS)}"
            )
        front = [
            x if d is None else prims.move_axis(x, d, 0) for x, d in zip(args, dims, strict=True)
        ]
        mapped = [d is not None for d in dims]
        if method.startswith("sequential"):
            return self._sequential(front, mapped, size), (0,) * len(self.results)
        shared = {operand for operand, _ in self.aliases}  # is as large as the result
        layouts = list(self.input_layouts)
        for i, there in enumerate(mapped):
            if not there and not (method == "legacy_vectorized" and i not in shared):
                whole = method == "broadcast_all" or i in shared
                front[i] = prims.add_batch_axis(front[i], size if whole else 1, 0)
                there = True
            layouts[i] = _batched(layouts[i]) if there else layouts[i]
        batched = replace(
            self,
            results=tuple([t.with_shape((size, *t.shape)) for t in self.results]),
            input_layouts=tuple(layouts),
            output_layouts=tuple(map(_batched, self.output_layouts)),
        )
        return batched(*front), (0,) * len(self.results)

    def _sequential(self, front: Sequence[Any], mapped: Sequence[bool], size: Dim) -> Sequence[Any]:
        """A loop of calls over the elements."""
        types: list[ShapedArray] = []
        for x, there in zip(front, mapped, strict=True):
            aval = typeof(x)
            types.append(aval.with_shape(aval.shape[1:]) if there else aval)
        fixed = [i for i, there in enumerate(mapped) if not there]
        order = [*fixed, *[i for i, there in enumerate(mapped) if there]]

        def step(*xs: Any) -> Sequence[Any]:
            given = dict(zip(order, xs, strict=True))
            return self(*[given[i] for i in range(len(order))])

        body, _ = stage_closed(step, [types[i] for i in order], self.target)
        unroll = size if self.vmap_method == "sequential_unrolled" and isinstance(size, int) else 1
        loop = Scan(body, size, False, len(fixed), 0, max(unroll, 1))
        return loop(*[front[i] for i in order])


def _batched(layout: Layout) -> Layout:
    return None if layout is None else (0, *[a + 1 for a in layout])


def _logical(aval: ShapedArray, layout: Layout) -> ShapedArray:
    """The type as the handler sees it, of a value whose axes are in the order of its layout."""
    if layout is None:
        return aval
    back = prims.inverse_permutation(layout)
    return aval.with_shape(tuple([aval.shape[a] for a in back]))
