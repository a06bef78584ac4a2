"""Run element, fold and target rules with NumPy, a whole array at a time: slow and simple.

Every read is checked: an index out of bounds, where no false guard protects it, is an error.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from covector._engine import primitives as prims
from covector._engine.backends.reference.scalars import evaluate
from covector._engine.core.families import Cumulative, Mapped, Reduction, Update, View
from covector._engine.core.trace import typeof
from covector._engine.ir.index import Index, loop_variable
from covector._engine.ir.scalar import Expr, Iteration, Scalar
from covector._engine.types import dims, dtypes
from covector._engine.types.avals import ShapedArray

COMBINATIONS = {"add": np.add, "mul": np.multiply, "min": np.minimum, "max": np.maximum}
DIM_OPERATIONS = {"floordiv": np.floor_divide, "mod": np.mod, "max": np.maximum, "min": np.minimum}


def leaves(*expressions: Expr) -> Iterator[Expr]:
    """The loads, indices and locals, except the slots of iterations."""
    stack, seen = list(expressions), set[Expr]()
    while stack:
        e = stack.pop()
        if e in seen:
            continue
        seen.add(e)
        stack.extend(e.args)
        if isinstance(e.attr, Iteration):
            stack.extend((e.attr.condition, *e.attr.step))
        if e.op in ("load", "index") or (e.op == "local" and isinstance(e.attr, str)):
            yield e


class Evaluator:
    """Values of index expressions and scalars, where symbols and locals have these values."""

    def __init__(self, symbols: dict[str, Any]):
        self.symbols = symbols
        self.known: dict[Expr, Any] = {}

    def dim(self, d: Any) -> Any:
        if isinstance(d, int):
            return np.int64(d)
        total: Any = np.int64(0)
        for monomial, c in d.terms:
            term: Any = np.int64(c)
            for factor in monomial:
                if factor.op != "symbol":
                    value = DIM_OPERATIONS[factor.op](*[self.dim(a) for a in factor.args])
                elif isinstance(factor.payload, Expr):
                    value = self.scalar(factor.payload).astype(np.int64)
                else:
                    value = self.symbols[factor.key]
                term = term * value
            total = total + term
        return total

    def scalar(self, e: Expr) -> Any:
        return evaluate(e, {leaf: np.asarray(self._leaf(leaf)) for leaf in leaves(e)})

    def _leaf(self, e: Expr) -> Any:
        if e not in self.known:
            if e.op == "load":
                self.known[e] = self._load(*e.attr)  # type: ignore[misc]
            else:
                self.known[e] = (
                    self.symbols[e.attr] if e.op == "local" else self.dim(e.attr).astype(e.dtype)
                )  # type: ignore[index]
        return self.known[e]

    def _load(self, array: np.ndarray, index: Index, condition: Expr | None) -> Any:
        place = np.broadcast_arrays(*[self.dim(d) for d in index]) if index else []
        read: Any = True if condition is None else self.scalar(condition)
        if not index:
            return array[()]
        place = np.broadcast_arrays(*place, read)[:-1]
        for i, n in zip(place, array.shape, strict=True):
            assert np.all(((i >= 0) & (i < n)) | ~np.asarray(read)), "a read out of bounds"
        if not array.size:
            return np.zeros(place[0].shape, array.dtype)
        return array[tuple([np.where(read, i, 0) for i in place])]


def view(x: np.ndarray, aval: ShapedArray | None = None) -> View:
    """An array as the view of an operand."""
    parts = (x.real, x.imag) if dtypes.is_complex(x.dtype) else (x,)

    def read(condition: Expr | None, index: Index) -> Scalar:
        assert len(index) == x.ndim
        loads = [Expr("load", (), p.dtype, (p, index, condition)) for p in parts]
        return (loads[0], loads[1]) if len(loads) == 2 else loads[0]

    return View(aval or typeof(x), lambda index: read(None, index), read)


def grid(shape: Sequence[Any], name: str = "i") -> tuple[Index, dict[str, np.ndarray]]:
    """Loop variables over a shape, and their values."""
    index = tuple([loop_variable(f"{name}{a}", n) for a, n in enumerate(shape)])
    values = np.indices([n if isinstance(n, int) else 0 for n in shape])
    return index, {f"{name}{a}": v for a, v in enumerate(values)}


def joined(parts: Sequence[Any], shape: Sequence[int], dtype: np.dtype) -> np.ndarray:
    """The array of a scalar's values; complex if there are two."""
    whole = [np.broadcast_to(p, shape) for p in parts]
    return (whole[0] + 1j * whole[1]).astype(dtype) if len(whole) == 2 else whole[0]


def run_mapped(
    primitive: Mapped, xs: Sequence[np.ndarray], avals: Sequence[ShapedArray] | None = None,
    symbols: dict[str, int] | None = None,
) -> Any:  # fmt: skip
    """The result by the element rule; with `avals` and `symbols`, by the rule for symbolic shapes."""
    symbols = symbols or {}
    avals = avals or [typeof(x) for x in xs]
    types = primitive.type(*avals)
    shape = (types[0] if primitive.multiple else types).shape
    sizes = [int(dims.substitute(n, symbols)) for n in shape]
    index = tuple([loop_variable(f"i{a}", n) for a, n in enumerate(shape)])
    values = {f"i{a}": v for a, v in enumerate(np.indices(sizes))}
    element = primitive.element(index, *[view(x, aval) for x, aval in zip(xs, avals, strict=True)])
    evaluator = Evaluator({**values, **{name: np.int64(v) for name, v in symbols.items()}})
    elements = element if isinstance(element, tuple) else (element,)
    if 0 in sizes:  # there are no elements, so nothing is read
        parts = [np.zeros((), e.dtype) for e in elements]
    else:
        parts = [evaluator.scalar(e) for e in elements]
    if primitive.multiple:
        return tuple([joined([p], sizes, t.dtype) for p, t in zip(parts, types, strict=True)])
    return joined(parts, sizes, types.dtype)


def run_reduction(primitive: Reduction, x: np.ndarray) -> np.ndarray:
    """The result by the fold, backwards, so that nothing relies on the order."""
    out = primitive.type(typeof(x))
    free = [a for a in range(x.ndim) if a not in primitive.axes]
    state = [np.broadcast_to(Evaluator({}).scalar(e), out.shape) for e in primitive.start(x.dtype)]
    _, values = grid(out.shape, "o")
    for spot in reversed(list(np.ndindex(*[x.shape[a] for a in primitive.axes]))):
        symbols = {f"o{k}": values[f"o{k}"] for k in range(len(free))}
        index: list[Any] = [0] * x.ndim
        for k, a in enumerate(free):
            index[a] = loop_variable(f"o{k}", out.shape[k])
        for a, i in zip(primitive.axes, spot, strict=True):
            index[a] = i
        new = primitive.lift(tuple(index), view(x)(tuple(index)))
        old = tuple([Expr("local", (), e.dtype, f"state{k}") for k, e in enumerate(new)])
        symbols |= {f"state{k}": s for k, s in enumerate(state)}
        evaluator = Evaluator(symbols)
        state = [
            np.broadcast_to(evaluator.scalar(e), out.shape) for e in primitive.combine(old, new)
        ]
    locals_ = tuple([Expr("local", (), s.dtype, f"state{k}") for k, s in enumerate(state)])
    result = primitive.finish(locals_, x.dtype)
    evaluator = Evaluator({f"state{k}": s for k, s in enumerate(state)})
    parts = [evaluator.scalar(e) for e in (result if isinstance(result, tuple) else (result,))]
    return joined(parts, out.shape, out.dtype)  # type: ignore[arg-type]


def run_cumulative(primitive: Cumulative, xs: Sequence[np.ndarray]) -> np.ndarray:
    """The result element by element; the states are combined from blocks of two, so that grouping is free."""
    shape, axis, dtype = xs[0].shape, primitive.axis, xs[0].dtype
    out = np.empty(shape, dtype)
    rest = shape[:axis] + shape[axis + 1 :]
    index, values = grid(rest)

    def run(state: Sequence[Expr], symbols: dict[str, Any]) -> list[Any]:
        return [np.broadcast_to(Evaluator(symbols).scalar(e), rest) for e in state]

    def names(stem: str, state: Sequence[Any]) -> tuple[tuple[Expr, ...], dict[str, Any]]:
        exprs = tuple([Expr("local", (), s.dtype, f"{stem}{k}") for k, s in enumerate(state)])
        return exprs, {f"{stem}{k}": s for k, s in enumerate(state)}

    def merge(a: Sequence[Any], b: Sequence[Any]) -> list[Any]:
        (x, env), (y, more) = names("a", a), names("b", b)
        return run(primitive.combine(x, y), env | more)

    places = list(range(shape[axis]))[:: -1 if primitive.reverse else 1]
    elements = [[view(np.take(x, k, axis))(index) for x in xs] for k in places]
    lifted = [run(primitive.lift(*element), values) for element in elements]
    start = run(primitive.start(dtype), {})
    for k, place in enumerate(places):
        blocks = [
            functools.reduce(merge, lifted[i : min(i + 2, k + 1)]) for i in range(0, k + 1, 2)
        ]
        exprs, env = names("s", functools.reduce(merge, blocks, start))
        element = primitive.finish(exprs, dtype)
        parts = run(element if isinstance(element, tuple) else (element,), env)
        out[(slice(None),) * axis + (place,)] = joined(parts, rest, dtype)
    return out


def run_update(primitive: Update, xs: Sequence[np.ndarray]) -> np.ndarray:
    """The result by the target rule, update by update."""
    out, updates = np.array(xs[0]), xs[primitive.update]
    index, values = grid(updates.shape, "u")
    target, inside = primitive.target(index, *[view(x) for x in xs])
    evaluator = Evaluator(values)
    places = [np.broadcast_to(evaluator.dim(d), updates.shape) for d in target]
    keep = np.broadcast_to(True if inside is None else evaluator.scalar(inside), updates.shape)
    writers: dict[tuple[int, ...], set[tuple[int, ...]]] = {}
    for u in prims.ordered(updates.shape, primitive.loop_axes(updates.ndim)):
        if not keep[u]:
            continue
        place = tuple([int(p[u]) for p in places])
        writers.setdefault(place, set()).add(
            tuple([u[a] for a in primitive.independent_axes(updates.ndim)])
        )
        assert all(0 <= i < n for i, n in zip(place, out.shape, strict=True)), (
            "a write out of bounds"
        )
        if primitive.combination == "set":
            out[place] = updates[u]
        else:
            out[place] = COMBINATIONS[primitive.combination](out[place], updates[u])
    assert all(len(w) == 1 for w in writers.values()), "independent axes wrote one element"
    return out
