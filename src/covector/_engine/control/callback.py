"""Callbacks: functions of the user's that Programs call back into, for their results or for what they do.

A callback is one equation whatever transforms it: under `vmap` it goes over the elements itself, in their order.  It is
not differentiated: one without results is done with the primal values, one with results needs a rule of the user's.
"""

from __future__ import annotations

import operator
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from covector._engine import _native, primitives as prims
from covector._engine.base import errors, tree
from covector._engine.base.record import record, replace
from covector._engine.control.on_host import PURE, OnHost
from covector._engine.core.inside import Widening
from covector._engine.core.numbers import SCALARS
from covector._engine.core.trace import Array, StagingTrace, Tracer
from covector._engine.ir.effects import Effect
from covector._engine.ir.program import Atom, Eqn
from covector._engine.types import dims, dtypes
from covector._engine.types.avals import ShapedArray
from covector._engine.types.dims import Dim

DEBUG = frozenset({Effect("debug callback")})
DEBUG_ORDERED = frozenset({Effect("debug callback", ordered=True)})
IO = frozenset({Effect("io callback")})
IO_ORDERED = frozenset({Effect("io callback", ordered=True)})

VMAP_METHODS = (
    "sequential",
    "sequential_unrolled",
    "expand_dims",
    "broadcast_all",
    "legacy_vectorized",
)


class Same:
    """What cannot be hashed, as a part of keys: equal to itself alone."""

    __slots__ = ("value",)

    def __init__(self, value: Any):
        self.value = value

    def __eq__(self, other: object) -> bool:
        return type(other) is Same and other.value is self.value

    def __hash__(self) -> int:
        return id(self.value)


def keyed(x: Any) -> Any:
    """The value where it can be hashed, else a `Same`."""
    try:
        hash(x)
    except TypeError:
        return Same(x)
    return x


def plain(x: Any) -> Any:
    """What `keyed` was made from."""
    return x.value if type(x) is Same else x


@record
class Arguments:
    """How the arguments of a user's function are put together from arrays and from what is no array."""

    # Of (args, kwargs).  None: each argument is a leaf, the last ones have these names.  (That is quicker.)
    treedef: tree.TreeDef | None
    names: tuple[str, ...]
    static: tuple[tuple[int, Any], ...]  # the leaves that are no arrays, with their positions

    @classmethod
    def of(
        cls, args: Sequence[Any], kwargs: Mapping[str, Any], numbers: bool = True
    ) -> tuple[Arguments, list[Any]]:
        """For these arguments; and those of their leaves that are arrays, with `numbers` Python's numbers too."""
        names = tuple(sorted(kwargs))
        leaves, treedef = tree.flatten((tuple(args), dict(kwargs)))
        given = [*args, *[kwargs[name] for name in names]]
        simple = len(leaves) == len(given) and all(map(operator.is_, leaves, given))
        static: list[tuple[int, Any]] = []
        arrays: list[Any] = []
        for i, x in enumerate(leaves):
            if is_operand(x) and (numbers or not isinstance(x, SCALARS)):
                arrays.append(x)
            else:
                static.append((i, repr(x) if isinstance(x, Tracer) else keyed(x)))
        return cls(None if simple else treedef, names, tuple(static)), arrays

    def unflatten(self, arrays: Sequence[Any]) -> tuple[Sequence[Any], dict[str, Any]]:
        """(args, kwargs) with these arrays."""
        leaves = list(arrays)
        for position, value in self.static:
            leaves.insert(position, plain(value))
        if self.treedef is not None:
            return tree.unflatten(self.treedef, leaves)
        if not self.names:
            return leaves, {}
        stop = len(leaves) - len(self.names)
        return leaves[:stop], dict(zip(self.names, leaves[stop:], strict=True))


def is_operand(x: Any) -> bool:
    """Whether something can be an operand here: an array or number, but none of a function that was traced before."""
    if isinstance(x, Tracer):
        trace = x._trace
        return not (isinstance(trace, StagingTrace) and trace.closed)
    known = isinstance(x, np.ndarray | np.generic) and dtypes.native(x.dtype) is not None
    return known or type(x) is Array or isinstance(x, SCALARS)


@record
class Action:
    """A user's function that is called for what it does."""

    function: Any
    arguments: Arguments

    def __call__(self, *arrays: Any) -> tuple[Any, ...]:
        args, kwargs = self.arguments.unflatten(arrays)
        plain(self.function)(*args, **kwargs)
        return ()


@record
class Print:
    """`debug.print`: the text is made and written when it runs."""

    text: str
    formatted: bool  # whether it has places for the values, which else follow it
    arguments: Arguments
    options: tuple[tuple[str, Any], ...]  # NumPy's, when it was recorded

    def __call__(self, *arrays: Any) -> tuple[Any, ...]:
        if any(x.ndim for x in arrays):
            with np.printoptions(**{name: plain(value) for name, value in self.options}):
                text = self.made(arrays)
        else:
            text = self.made(arrays)
        sys.stdout.write(text + "\n")
        return ()

    def made(self, arrays: Sequence[Any]) -> str:
        """The text with these values."""
        args, kwargs = self.arguments.unflatten(arrays)
        if self.formatted:
            return self.text.format(*args, **kwargs)
        return " ".join((self.text, *map(str, args)))


@record
class Function:
    """A user's function that is called for its results, which are checked to be of these types."""

    function: Any
    arguments: Arguments
    out_tree: tree.TreeDef
    results: tuple[ShapedArray, ...]
    api: str

    def __call__(self, *arrays: Any) -> tuple[Any, ...]:
        args, kwargs = self.arguments.unflatten(arrays)
        out = plain(self.function)(*args, **kwargs)
        if len(self.results) == 1 and isinstance(out, _ONE_LEAF) and self.out_tree.is_leaf():
            return (self._checked(0, out),)
        leaves, treedef = tree.flatten(out)
        if treedef != self.out_tree:
            raise TypeError(
                f"{self.api}: {_name(self.function)} returned {treedef}, but its result_shape_dtypes are "
                f"{self.out_tree}"
            )
        return tuple([self._checked(i, x) for i, x in enumerate(leaves)])

    def _checked(self, i: int, x: Any) -> Any:
        """A result as an array of its type.  Numbers take it on; so do 64-bit arrays where 32 bits are declared."""
        aval = self.results[i]
        value = np.asarray(x)
        if value.dtype != aval.dtype:
            narrow = _NARROW.get(value.dtype) == aval.dtype
            if not (narrow or (isinstance(x, SCALARS) and np.can_cast(type(x), aval.dtype))):
                raise TypeError(self._wrong(i, f"the dtype {value.dtype.name}"))
            cast = value.astype(aval.dtype)
            if value.dtype.kind in "iu" and not np.array_equal(cast, value):
                raise OverflowError(self._wrong(i, f"{x!r}, which does not fit that"))
            value = cast
        if not _fits(value.shape, aval.shape):
            raise ValueError(self._wrong(i, f"the shape {value.shape}"))
        return value

    def _wrong(self, i: int, found: str) -> str:
        which = "the result" if len(self.results) == 1 else f"result {i}"
        return f"{self.api}: {which} of {_name(self.function)} is declared {self.results[i].text()}, but has {found}"


_ONE_LEAF = (np.ndarray, np.generic, *SCALARS, Array)
_NARROW = {
    dtypes.float64: dtypes.float32,
    dtypes.int64: dtypes.int32,
    dtypes.uint64: dtypes.uint32,
    dtypes.complex128: dtypes.complex64,
}


def _fits(shape: tuple[int, ...], declared: tuple[Dim, ...]) -> bool:
    return len(shape) == len(declared) and all(
        not isinstance(d, int) or d == n for n, d in zip(shape, declared, strict=True)
    )


def _name(function: Any) -> str:
    return getattr(plain(function), "__name__", None) or repr(plain(function))


@record
class Mapped:
    """A callback that goes over the elements along the leading axes of some operands, and stacks what it gives."""

    function: Any
    mapped: tuple[bool, ...]
    results: tuple[ShapedArray, ...]  # of one element

    def __call__(self, *arrays: Any) -> tuple[Any, ...]:
        rows = [np.asarray(x) if m else x for x, m in zip(arrays, self.mapped, strict=True)]
        size = next(len(x) for x, m in zip(rows, self.mapped, strict=True) if m)
        weak = [x.weak_type for x in arrays]
        found = [self.function(*self._element(rows, weak, i)) for i in range(size)]
        if not found:
            return tuple([np.zeros((0, *_known(t.shape)), t.dtype) for t in self.results])
        return tuple([np.stack([np.asarray(x) for x in xs]) for xs in zip(*found, strict=True)])

    def _element(self, rows: Sequence[Any], weak: Sequence[bool], i: int) -> list[Any]:
        return [
            _native.array_from(x[i], weak_type=w) if m else x
            for x, m, w in zip(rows, self.mapped, weak, strict=True)
        ]


def _known(shape: tuple[Dim, ...]) -> tuple[int, ...]:
    return tuple([dims.least(d) for d in shape])


class HostCall(OnHost):
    """What the three kinds of callbacks share: the function, which takes and gives arrays, and its result types."""

    function: Callable[..., Any]
    results: tuple[ShapedArray, ...]
    multiple: ClassVar[bool] = True

    def widened(self, eqn: Eqn, how: Widening) -> Sequence[Atom | None]:
        """What gives results takes numbers with all bits: it may compute with them what is of 64 bits."""
        inputs = eqn.inputs
        if self.asks_for_bits:
            inputs = tuple([how.wide(a) or a for a in eqn.inputs])
        how.record(Eqn(self, inputs, eqn.outputs, eqn.source))
        return (None,) * len(eqn.outputs)

    def type(self, *avals: ShapedArray) -> tuple[ShapedArray, ...]:
        return self.results

    def text(self) -> str:
        order = "ordered " if any(e.ordered for e in self.effects) else ""
        return f"{self.name}[{order}{_shown(self.function)}]"

    def results_on(self, *arrays: Any) -> Sequence[Any]:
        return tuple(
            [
                x if type(x) is Array else _native.array_from(x, weak_type=aval.weak_type)
                for x, aval in zip(self.function(*arrays), self.results, strict=True)
            ]
        )

    def reference(self, *xs: Any) -> tuple[Any, ...]:
        return tuple([np.asarray(x) for x in self.run(*map(_native.array_from, xs))])

    def _over_elements(
        self, args: Sequence[Any], axes: Sequence[int | None], size: Dim
    ) -> tuple[Any, Any]:
        """One callback that goes over the elements."""
        mapped = tuple([d is not None for d in axes])
        given = [
            x if d is None else prims.move_axis(x, d, 0) for x, d in zip(args, axes, strict=True)
        ]
        results = tuple([t.with_shape((size, *t.shape)) for t in self.results])
        function = Mapped(self.function, mapped, self.results)
        outs = replace(self, function=function, results=results)(*given)
        return outs, (0,) * len(results)


def _shown(function: Any) -> str:
    if isinstance(function, Mapped):
        return f"each {_shown(function.function)}"
    if isinstance(function, Print):
        return repr(function.text)
    return _name(getattr(function, "function", function))


@record
class DebugCallback(HostCall):
    """Called for what it does, to look at values."""

    function: Any
    effects: frozenset[Effect] = DEBUG  # type: ignore[misc]
    results: ClassVar[tuple[ShapedArray, ...]] = ()  # type: ignore[misc]
    name: ClassVar[str] = "debug_callback"
    no_slope: ClassVar[str | None] = "it has no results"

    def batch(self, args: Sequence[Any], dims: Sequence[int | None], size: Dim) -> tuple[Any, Any]:
        mapped = tuple([d is not None for d in dims])
        given = [
            x if d is None else prims.move_axis(x, d, 0) for x, d in zip(args, dims, strict=True)
        ]
        return replace(self, function=Mapped(self.function, mapped, ()))(*given), ()


_WHY = "a callback is a Python function, of which no derivative is known; define one with covector.custom_jvp"


@record
class PureCallback(HostCall):
    """Called for its results alone: as often as they are needed, not at all if nobody reads them."""

    function: Any
    results: tuple[ShapedArray, ...]
    vmap_method: str | None
    effects: ClassVar[frozenset[Effect]] = PURE
    name: ClassVar[str] = "pure_callback"
    asks_for_bits: ClassVar[bool] = True
    not_differentiable: ClassVar[str | None] = _WHY

    @property
    def users_batch(self) -> bool:  # type: ignore[override]
        return self.vmap_method is not None and not self.vmap_method.startswith("sequential")

    def batch(self, args: Sequence[Any], dims: Sequence[int | None], size: Dim) -> tuple[Any, Any]:
        method = self.vmap_method
        if method is None:
            raise NotImplementedError(
                f"vmap of a {self.name} that does not say how it is mapped{errors.at_user_line()}: give it "
                f"vmap_method, one of {', '.join(VMAP_METHODS)}"
            )
        if method.startswith("sequential"):
            return self._over_elements(args, dims, size)
        given: list[Any] = []
        for x, d in zip(args, dims, strict=True):
            if d is not None:
                given.append(prims.move_axis(x, d, 0))
            elif method == "legacy_vectorized":
                given.append(x)
            else:
                given.append(prims.add_batch_axis(x, size if method == "broadcast_all" else 1, 0))
        results = tuple([t.with_shape((size, *t.shape)) for t in self.results])
        function = replace(self.function, results=results)
        outs = replace(self, function=function, results=results)(*given)
        return outs, (0,) * len(results)


@record
class IOCallback(HostCall):
    """Called for what it does and for its results, exactly as often as the Program says."""

    function: Any
    results: tuple[ShapedArray, ...]
    effects: frozenset[Effect] = IO  # type: ignore[misc]
    name: ClassVar[str] = "io_callback"
    asks_for_bits: ClassVar[bool] = True

    @property
    def not_differentiable(self) -> str | None:  # type: ignore[override]
        return _WHY if self.results else None

    @property
    def no_slope(self) -> str | None:  # type: ignore[override]
        return None if self.results else "it has no results"

    def batch(self, args: Sequence[Any], dims: Sequence[int | None], size: Dim) -> tuple[Any, Any]:
        if self.effects == IO_ORDERED:
            raise ValueError(
                f"vmap of an ordered io_callback{errors.at_user_line()}: several of them would not run in the order "
                "in which each element runs them. Use ordered=False, or a loop (covector.lax.map)"
            )
        return self._over_elements(args, dims, size)
