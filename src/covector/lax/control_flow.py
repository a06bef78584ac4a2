"""Loops over pytrees with a known number of steps: `scan`, `map`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from itertools import islice
from types import FunctionType
from typing import Any
from weakref import WeakKeyDictionary

from covector._engine import primitives as prims
from covector._engine.api.arguments import (
    as_array,
    check_callable,
    flatten,
    flatten_marked,
    function_place,
    is_value,
    operand,
)
from covector._engine.api.transforms import vmap
from covector._engine.base import errors, tree
from covector._engine.base.caches import forgotten_by
from covector._engine.base.config import config
from covector._engine.base.record import record
from covector._engine.control.loop import Scan
from covector._engine.core.numbers import SCALARS
from covector._engine.core.refs import StandIns, uses_of
from covector._engine.core.trace import context, stage, typeof
from covector._engine.ir.program import Program
from covector._engine.transforms.programs import interned
from covector._engine.types import dtypes
from covector._engine.types.avals import ShapedArray
from covector._engine.types.dims import Dim
from covector._engine.types.nothing import leaf_paths, with_axis
from covector.lax import by_steps
from covector.numpy.promotion import integer_of

Function = Callable[..., Any]

__all__ = ["map", "scan"]


@record
class Step:
    """How the step of a loop is made of a function of the user's: its arguments, and the carry and y of its result.

    The function itself is called by `stage`: loops inside loops may be as deep as Python's stack has room for.
    """

    takes: Callable[[Any, Any], tuple[Any, ...]]  # of carry and x
    # Of the function, the carry that it took, and its result.
    gives: Callable[[Function, Any, Any], Any]
    api: str = "scan"
    counters: int = 0  # how many parts of the carry are not the user's: they stand first

    def of(self, f: Function) -> Callable[[Any, Any], tuple[Any, Any]]:
        """The step of a function, from carry and x to carry and y."""
        return lambda carry, x: self.gives(f, carry, f(*self.takes(carry, x)))


@record(eq=False)
class Traced:
    """The body of a loop and its constants, and the structures that it takes and gives.

    Inputs of the body: constants, references that are read, the carry, references that are written, slices.
    Outputs: the carry, references that are written, ys.
    """

    body: Program
    constants: tuple[Any, ...]
    carry_tree: tree.TreeDef
    ys_tree: tree.TreeDef
    out_avals: tuple[ShapedArray, ...]  # of the carry and the ys
    read: tuple[Any, ...]  # references
    written: tuple[Any, ...]


# What was traced, per function that closes over nothing.
_traced: WeakKeyDictionary[Function, dict[Any, Traced]] = WeakKeyDictionary()
forgotten_by(_traced.clear)


def scan(
    f: Callable[[Any, Any], tuple[Any, Any]],
    init: Any,
    xs: Any = None,
    length: int | None = None,
    reverse: bool = False,
    unroll: int | bool = 1,
    _split_transpose: bool = False,
) -> tuple[Any, Any]:
    """Apply `carry, y = f(carry, x)` to the slices `x` of `xs` along the leading axis; (last carry, stacked ys).

    `init` is the first carry.  The carry is a pytree that keeps its structure, shapes and dtypes from step to step.
    `xs` is a pytree of arrays with one leading size, or None if only `length` steps are wanted.  With `reverse` the
    steps go from the last slice to the first.  `unroll` is how many steps a turn of the compiled loop does, True for
    all of them; it does not change the result.  Of a `Ref` in `xs` each step gets one to its slice.

    >>> import covector
    >>> import covector.numpy as np
    >>> total, sums = covector.lax.scan(lambda c, x: (c + x, c + x), 0, np.arange(4))
    >>> int(total), sums.tolist()
    (6, [0, 1, 3, 6])
    """
    check_callable(f, "scan")
    leaves, xs_tree = flatten(xs)
    refs = StandIns("scan", leaves)
    if not refs.places:
        return scanned(_SCANNED, f, init, xs, length, reverse, unroll)

    @wraps(f)
    def step(carry: Any, values: Sequence[Any]) -> Any:
        out = f(carry, tree.unflatten(xs_tree, refs.put(leaves, values)))
        after, y = _carry_and_y(f, None, out)
        return after, (y, refs.take())

    slices = refs.values(leaves)
    carry, (ys, lasts) = scanned(_SCANNED, step, init, slices, length, reverse, unroll)
    for i, last in zip(refs.written(), lasts, strict=True):
        leaves[i]._write(last)
    return carry, ys


def _carry_and_y(f: Function, _: Any, out: Any) -> Any:
    if not isinstance(out, tuple) or len(out) != 2:
        raise TypeError(
            f"scan: {function_place(f)} must return a pair (carry, y), it returned {out!r}{errors.at_user_line()}"
        )
    return out


_SCANNED = Step(lambda carry, x: (carry, x), _carry_and_y)


def scanned(
    step: Step,
    f: Function,
    init: Any,
    xs: Any,
    length: int | None,
    reverse: bool = False,
    unroll: object = 1,
) -> tuple[Any, Any]:
    """What `scan` does, for a body that `step` makes of a function of the user's."""
    if not isinstance(unroll, int) or unroll < 0:
        raise ValueError(
            f"{step.api}: unroll must be True, False or a positive int, got {unroll!r}{errors.at_user_line()}"
        )
    carry, carry_tree = flatten_marked(init)
    slices, xs_tree = flatten(xs)
    check_values(step, "init", init, carry)
    for i, x in enumerate(slices):
        if not is_value(x):
            raise TypeError(errors.not_a_value("scan", leaf_path("xs", xs, i), x))
    carry = [operand(x) for x in carry]
    size = _length(slices, length, xs)
    if config.disable_jit and isinstance(size, int) and size:
        return by_steps.scan(step.of(f), tree.unflatten(carry_tree, carry), xs, size, reverse)
    rest = xs_tree, tuple([_slice_type(typeof(x)) for x in slices])
    traced = traced_step("scan", step, f, carry, carry_tree, *rest)
    if (
        traced.carry_tree == carry_tree
        and (strong := promoted(carry, traced.out_avals)) is not None
    ):
        carry = strong
        traced = traced_step("scan", step, f, carry, carry_tree, *rest)
    check_carry(step, f, init, carry, carry_tree, traced)
    turns = size if unroll is True else max(int(unroll), 1)
    consts = [as_array(c) for c in (*traced.constants, *[c._read() for c in traced.read])]
    n, held = len(carry), [c._read() for c in traced.written]
    m = n + len(held)
    primitive = Scan(
        traced.body, size, reverse, len(consts), m, turns if isinstance(turns, int) else 1
    )
    outs = primitive(*consts, *carry, *held, *slices)
    for cell, value in zip(traced.written, outs[n:m], strict=True):
        cell._write(value)
    return tree.unflatten(carry_tree, outs[:n]), with_axis(
        tree.unflatten(traced.ys_tree, outs[m:]), size
    )


def check_values(step: Step, what: str, init: Any, leaves: Sequence[Any]) -> None:
    """TypeError, with the path, unless all that a loop begins with are arrays or numbers."""
    n = step.counters
    for i, x in enumerate(leaves):
        if not is_value(x):
            path = leaf_path("init_val", init[n], i - n) if n else leaf_path(what, init, i)
            raise TypeError(errors.not_a_value(step.api, path, x))


def leaf_path(what: str, whole: Any, i: int) -> str:
    """For messages: how a leaf of a pytree is reached."""
    return what + leaf_paths(whole)[i]


def _slice_type(aval: ShapedArray) -> ShapedArray:
    return aval.with_shape(aval.shape[1:])


def _length(slices: Sequence[Any], length: int | None, xs: Any) -> Dim:
    """The number of steps; ValueError if it is not known, or not one."""
    sizes: list[Dim] = []
    for i, x in enumerate(slices):
        aval = typeof(x)
        if not aval.shape:
            raise ValueError(
                f"scan: {leaf_path('xs', xs, i)} is {aval.text()}, which has no leading axis to go over"
                f"{errors.at_user_line()}; values that every step uses belong in a closure"
            )
        sizes.append(aval.shape[0])
    if length is not None:
        length = integer_of(length, "the length of scan")
        if length < 0:
            raise ValueError(
                f"scan: the length must not be negative, got {length}{errors.at_user_line()}"
            )
    if not sizes and length is None:
        raise ValueError(
            f"scan needs xs or length{errors.at_user_line()}, to know the number of steps"
        )
    size: Dim = sizes[0] if length is None else length
    if any(s != size for s in sizes):
        found = "".join(
            f"\n    {leaf_path('xs', xs, i)}: {typeof(x).text()}" for i, x in enumerate(slices)
        )
        wanted = "" if length is None else f", length={length}"
        raise ValueError(
            f"scan: the leading axes of xs must have one size{wanted}{errors.at_user_line()}:{found}"
        )
    return size


def traced_step(
    api: str,
    step: Step,
    f: Function,
    carry: Sequence[Any],
    carry_tree: Any,
    xs_tree: Any,
    xs: tuple[ShapedArray, ...],
) -> Traced:
    """The body as a Program with its constants as leading inputs; remembered per function and types."""
    avals = tuple([typeof(x) for x in carry])
    if not isinstance(f, FunctionType) or f.__closure__ is not None:
        return _trace_body(api, step, f, avals, carry_tree, xs_tree, xs)
    table = _traced.setdefault(f, {})
    key = step, carry_tree, avals, xs_tree, xs, context()
    found = table.get(key)
    if found is None:
        found = _trace_body(api, step, f, avals, carry_tree, xs_tree, xs)
        if not (found.constants or found.read or found.written):
            table[key] = found
    return found


def _trace_body(
    api: str,
    step: Step,
    f: Function,
    carry: tuple[ShapedArray, ...],
    carry_tree: Any,
    xs_tree: Any,
    xs: tuple[ShapedArray, ...],
) -> Traced:
    trees: list[Any] = []
    given: list[Any] = []

    def unpack(values: Sequence[Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        rest = iter(values)
        given.append(tree.unflatten(carry_tree, islice(rest, len(carry))))
        return step.takes(given[0], tree.unflatten(xs_tree, rest)), {}

    def pack(out: Any) -> list[Any]:
        results: list[Any] = []
        for what, part in zip(("carry", "y"), step.gives(f, given.pop(), out), strict=True):
            leaves, treedef = flatten_marked(part)
            for i, x in enumerate(leaves):
                if not is_value(x):
                    path = f"{leaf_path(what, part, i)} of {function_place(f)}"
                    raise TypeError(errors.not_a_value(api, path, x))
            results += leaves
            trees.append(treedef)
        return results

    def names() -> list[str]:
        own = leaf_paths(tree.unflatten(carry_tree, range(len(carry))))
        slices = leaf_paths(tree.unflatten(xs_tree, range(len(xs))))
        return [*[f"the carry{path}" for path in own], *[f"x{path}" for path in slices]]

    touched: dict[Any, Any] = {}
    name = getattr(f, "__name__", "body")
    known = None if step.counters else names
    program = stage(f, (*carry, *xs), name, touched, (unpack, pack), known)
    uses = uses_of(touched)
    n, total = len(carry), len(carry) + len(xs)
    refs = list(zip(uses, program.inputs[total:], strict=True))
    mine, rest = program.inputs[:n], program.inputs[n:total]
    reads = tuple([v for u, v in refs if not u.written])
    writes = tuple([v for u, v in refs if u.written])
    results = len(program.outputs) - len(writes)
    outputs = program.outputs[:n] + program.outputs[results:] + program.outputs[n:results]
    inputs = program.constant_vars + reads + mine + writes + rest
    body = interned(Program(inputs, program.eqns, outputs, name=program.name))
    read = tuple([u.cell for u in uses if not u.written])
    written = tuple([u.cell for u in uses if u.written])
    avals = program.out_avals[:results]
    return Traced(body, program.constants, trees[0], trees[1], avals, read, written)


def promoted(carry: Sequence[Any], outs: Sequence[ShapedArray]) -> list[Any] | None:
    """The first carry with weakly typed values in the dtype that the body returns; None if there is nothing to do.

    What gets another dtype is weak no longer.
    """
    result = list(carry)
    changed = False
    for i, (x, out) in enumerate(zip(carry, outs, strict=False)):
        aval = typeof(x)
        if aval.weak_type and (aval.dtype != out.dtype or not out.weak_type):
            dtype, weak = dtypes.promote((aval.dtype, True), (out.dtype, out.weak_type))
            weak = weak and dtype == aval.dtype
            if dtype != aval.dtype or not weak:
                exact = type(x) in SCALARS and not weak  # with all its digits
                result[i] = dtype.type(x) if exact else prims.Convert(dtype, weak)(x)
                changed = True
    return result if changed else None


def check_carry(
    step: Step,
    f: Callable[..., Any],
    init: Any,
    carry: Sequence[Any],
    carry_tree: Any,
    traced: Traced,
) -> None:
    """TypeError unless the body returns the carry with the structure, shapes and dtypes that it takes."""
    place, api, n = function_place(f), step.api, step.counters
    init = init[n] if n else init
    if traced.carry_tree != carry_tree:
        raise TypeError(
            f"{api}: the carry that {place} returns must have the structure of the one it takes{errors.at_user_line()}:"
            f"\n    takes   {tree.flatten(init)[1]}"
            f"\n    returns {traced.carry_tree.children()[n] if n else traced.carry_tree}"
        )
    wrong = [
        f"\n    {leaf_path('carry', init, i - n)}: takes {typeof(x).text()}, returns {out.text()}"
        for i, (x, out) in enumerate(zip(carry, traced.out_avals, strict=False))
        if i >= n and (typeof(x).shape, typeof(x).dtype) != (out.shape, out.dtype)
    ]
    if wrong:
        raise TypeError(
            f"{api}: the carry that {place} returns must have the types of the one it takes{errors.at_user_line()}:"
            f"{''.join(wrong)}\nConvert the first carry, or what is returned, for example with .astype."
        )


def map(f: Callable[[Any], Any], xs: Any, *, batch_size: int | None = None) -> Any:
    """`f` of each slice of `xs` along the leading axis, one after the other; the results stacked.

    As `vmap`, but with the memory of one step.  With `batch_size` above 0 so many slices are done at once, by `vmap`.

    >>> import covector
    >>> import covector.numpy as np
    >>> covector.lax.map(lambda x: x * x, np.arange(3)).tolist()
    [0, 1, 4]
    """
    check_callable(f, "map")
    if batch_size is None or (type(batch_size) is int and batch_size == 0):
        return scanned(_MAPPED, f, (), xs, None)[1]
    if batch_size < 1:
        raise ValueError(
            f"map: batch_size must be a positive int, got {batch_size!r}{errors.at_user_line()}"
        )
    size = _length(tree.leaves(xs), None, xs)
    turns, rest = divmod(size, batch_size)  # type: ignore[operator]
    batched = vmap(f)
    stop = turns * batch_size
    parts = [
        scanned(_MAPPED, batched, (), tree.map(lambda x: _rows(x, 0, stop, batch_size), xs), None)[
            1
        ]
    ]
    parts[0] = tree.map(lambda y: prims.Reshape((stop, *y.shape[2:]))(y), parts[0])
    if rest:
        parts.append(batched(tree.map(lambda x: _rows(x, stop, size), xs)))
    return tree.map(lambda *ys: ys[0] if len(ys) == 1 else prims.Concatenate(0)(*ys), *parts)


_MAPPED = Step(lambda _, x: (x,), lambda f, _, out: ((), out))


def _rows(x: Any, start: Dim, stop: Dim, batch: int | None = None) -> Any:
    """The slices from `start` to below `stop`, in groups of `batch`."""
    shape = typeof(x).shape
    part = prims.Slice((start, *[0] * (len(shape) - 1)), (stop, *shape[1:]), (1,) * len(shape))(x)
    return (
        part if batch is None else prims.Reshape(((stop - start) // batch, batch, *shape[1:]))(part)
    )
