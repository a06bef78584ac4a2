"""Functions to transform, made by chance, and the laws that every transformation of them keeps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from covector._engine import primitives as prims
from covector._engine.control.call import Call
from covector._engine.control.cond import Cond
from covector._engine.control.loop import Scan
from covector._engine.core.trace import evaluate, stage, typeof
from covector._engine.transforms.batch import batch_flat, place_axis
from covector._engine.transforms.forward import jvp_flat, linearize_flat
from covector._engine.transforms.transpose import pull
from covector._engine.types.avals import ShapedArray

FlatFunction = Callable[..., Sequence[Any]]
VECTOR = ShapedArray((3,), np.dtype(np.float64))


def total(x: Any) -> Any:
    return prims.Sum((0,))(x)


def repeat(x: Any) -> Any:
    return prims.Broadcast((3,), (0,))(x)


def element(x: Any, i: int) -> Any:
    return prims.Reshape(())(prims.Slice((i,), (i + 1,), (1,))(x))


UNARY: tuple[Callable[[Any], Any], ...] = (
    prims.sin, prims.tanh, prims.neg, prims.square, prims.logistic, lambda x: repeat(total(x)),
    lambda x: prims.mul(x, 0.5), prims.Reverse((0,)), prims.sign, lambda x: prims.mul(x, element(x, 1)),
)  # fmt: skip
BINARY: tuple[Callable[[Any, Any], Any], ...] = (
    prims.add, prims.sub, prims.mul, prims.maximum, lambda x, y: prims.select(prims.gt(x, 0.0), x, y),
    lambda x, y: prims.div(x, prims.add(prims.square(y), 1.0)),
)  # fmt: skip


def random_function(seed: int, steps: int = 6, nested: bool = True) -> FlatFunction:
    """Two vectors to two vectors, by operations, calls and loops chosen by chance."""
    rng = np.random.default_rng(seed)
    rows: list[Callable[[list[Any]], Any]] = []
    for n in range(2, 2 + steps):
        i, j, k = (int(v) for v in rng.integers(0, n, 3))
        choice = rng.random()
        if choice < 0.4:
            rows.append(_one(UNARY[rng.integers(len(UNARY))], i))
        elif choice < 0.75 or not nested:
            rows.append(_two(BINARY[rng.integers(len(BINARY))], i, j))
        elif choice < 0.82:
            rows.append(_two(_cond(int(rng.integers(1 << 30)), i % 2), i, j))
        elif choice < 0.9:
            rows.append(_two(_call(int(rng.integers(1 << 30))), i, j))
        else:
            rows.append(_three(_scan(int(rng.integers(1 << 30)), bool(rng.integers(2))), i, j, k))

    def f(x: Any, y: Any) -> list[Any]:
        values = [x, y]
        for row in rows:
            values.append(row(values))
        return values[-2:]

    return f


def _one(op: Callable[[Any], Any], i: int) -> Callable[[list[Any]], Any]:
    return lambda values: op(values[i])


def _two(op: Callable[[Any, Any], Any], i: int, j: int) -> Callable[[list[Any]], Any]:
    return lambda values: op(values[i], values[j])


def _three(
    op: Callable[[Any, Any, Any], Any], i: int, j: int, k: int
) -> Callable[[list[Any]], Any]:
    return lambda values: op(values[i], values[j], values[k])


def _call(seed: int) -> Callable[[Any, Any], Any]:
    program = stage(random_function(seed, 3, nested=False), [VECTOR, VECTOR], "inner")
    return lambda x, y: Call(program)(x, y)[-1]


def _cond(seed: int, chosen: int) -> Callable[[Any, Any], Any]:
    """One of three functions, by whether the sum of x is positive."""
    fs = [random_function(seed + n, 3, nested=False) for n in range(3)]
    branches = tuple([stage(f, [VECTOR, VECTOR], f"branch{n}") for n, f in enumerate(fs)])

    def f(x: Any, y: Any) -> Any:
        positive = prims.convert(prims.gt(total(x), 0.123), np.dtype(np.int32))
        return prims.add(*Cond(branches)(prims.add(positive, chosen), x, y))

    return f


def _scan(seed: int, reverse: bool) -> Callable[[Any, Any, Any], Any]:
    """A loop over the elements of z, with the const x and the carry y."""
    inner = random_function(seed, 3, nested=False)

    def body(x: Any, y: Any, z: Any) -> list[Any]:
        a, b = inner(x, y)
        return [prims.mul(a, prims.add(z, 0.5)), total(b)]

    program = stage(body, [VECTOR, VECTOR, ShapedArray((), np.dtype(np.float64))], "body")
    return lambda x, y, z: prims.add(*Scan(program, 3, reverse, 1, 1)(x, y, z))


def pair(rng: np.random.Generator) -> list[Any]:
    return [rng.normal(size=3), rng.normal(size=3)]


def assert_close(found: Sequence[Any], wanted: Sequence[Any], rtol: float = 1e-9) -> None:
    assert len(found) == len(wanted)
    for a, b in zip(found, wanted, strict=True):
        assert np.shape(a) == np.shape(b)
        np.testing.assert_allclose(np.asarray(a), np.asarray(b), rtol=rtol, atol=rtol)


def materialized(values: Sequence[Any]) -> list[Any]:
    return [np.asarray(prims.materialize(t)) for t in values]


def check_jvp(
    f: FlatFunction, args: Sequence[Any], tangents: Sequence[Any], rtol: float = 1e-5
) -> None:
    """The tangents are what finite differences say."""
    outs, pushed = jvp_flat(f, args, tangents)
    assert_close(outs, f(*args))
    h = 1e-6
    plus = f(*[x + h * t for x, t in zip(args, tangents, strict=True)])
    minus = f(*[x - h * t for x, t in zip(args, tangents, strict=True)])
    slopes = [(np.asarray(a) - np.asarray(b)) / (2 * h) for a, b in zip(plus, minus, strict=True)]
    scale = max(1.0, *[float(np.abs(s).max(initial=0)) for s in slopes])
    assert_close([p / scale for p in materialized(pushed)], [s / scale for s in slopes], rtol)


def check_linearize(
    f: FlatFunction, args: Sequence[Any], tangents: Sequence[Any], cts: Sequence[Any]
) -> None:
    """The tape pushes what jvp pushes, and pulling is its adjoint: ⟨Jv, w⟩ = ⟨v, Jᵀw⟩."""
    outs, pushed = jvp_flat(f, args, tangents)
    values, tape = linearize_flat(f, args)
    assert_close(values, outs)
    wanted = materialized(pushed)
    found = [
        np.zeros_like(w) if t is None else t
        for t, w in zip(tape.push(tangents), wanted, strict=True)
    ]
    assert_close(found, wanted)
    program, residuals = tape.program()
    live = [t for t, i in zip(wanted, tape.outputs, strict=True) if i is not None]
    assert_close(evaluate(program, [*residuals, *tangents]), live)
    back = materialized(pull(tape, cts))
    left = sum(float(np.sum(t * c)) for t, c in zip(wanted, cts, strict=True))
    right = sum(float(np.sum(t * b)) for t, b in zip(tangents, back, strict=True))
    np.testing.assert_allclose(left, right, rtol=1e-8, atol=1e-8)
    assert_close(materialized(pull(tape, cts, consume=True)), back)


def check_batch(
    f: FlatFunction, args: Sequence[Any], dims: Sequence[int | None], size: int
) -> None:
    """A batch is what a loop over its elements gives."""
    outs, axes = batch_flat(f, args, dims, size)
    stacked = [np.asarray(place_axis(o, d, 0, size)) for o, d in zip(outs, axes, strict=True)]
    for i in range(size):
        one = f(*[x if d is None else np.take(x, i, d) for x, d in zip(args, dims, strict=True)])
        assert_close([s[i] for s in stacked], one)


def staged(f: FlatFunction, args: Sequence[Any]) -> FlatFunction:
    """The function as a Program that is evaluated."""
    program = stage(f, [typeof(x) for x in args])
    return lambda *xs: evaluate(program, xs)


def gradient(f: FlatFunction) -> FlatFunction:
    """The gradient of the sum of all results."""

    def g(*args: Any) -> list[Any]:
        outs, tape = linearize_flat(f, args)
        seeds = [np.ones(typeof(o).shape, typeof(o).dtype) for o in outs]
        return [prims.materialize(ct) for ct in pull(tape, seeds)]

    return g


def pushforward(f: FlatFunction) -> FlatFunction:
    """The derivative along ones, with the values."""

    def g(*args: Any) -> list[Any]:
        outs, pushed = jvp_flat(f, args, [np.ones(typeof(x).shape, typeof(x).dtype) for x in args])
        return [*outs, *[prims.materialize(t) for t in pushed]]

    return g


def mapped(f: FlatFunction) -> FlatFunction:
    """The function applied to rows that are made from each argument by scaling it."""

    def g(*args: Any) -> list[Any]:
        rows = [
            prims.mul(
                prims.Broadcast((2, *typeof(x).shape), (0,))(x),
                np.array([[1.0], [0.5]]).repeat(3, 1),
            )
            for x in args
        ]
        outs, axes = batch_flat(f, rows, [0] * len(rows), 2)
        return [prims.Sum((0,))(place_axis(o, d, 0, 2)) for o, d in zip(outs, axes, strict=True)]

    return g
