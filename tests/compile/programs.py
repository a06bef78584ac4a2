"""Random functions: kinds of steps that have functions inside, and the strategies."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any

import numpy as np
from hypothesis import strategies as st
from tests.compile import sampled, steps
from tests.compile.pool import (
    BOOL,
    C64,
    CLIP,
    EXACT,
    F32,
    F64,
    I32,
    MADE,
    SIZES,
    SMOOTH,
    Function,
    Kind,
    Pool,
    Step,
    Value,
    kind,
    one,
)
from tests.compile.steps import known

STEPS = (steps, sampled)  # where the other kinds of steps are

# ----------------------------------------------------------------------- functions inside: jit, vmap, scan


@kind(2, smooth=True, symbolic=True)
def call(p: Pool) -> Step:
    """A jitted function; its results may be its arguments, and the same one twice."""
    reads = [p.pick() for _ in range(p.integer(1, 3))]
    inner = p.sub([p.values[i] for i in reads])
    results = [inner.pick() for _ in range(p.integer(2, 3))]
    f = inner.function(results)
    run = lambda b, *xs: b.jit(f.within(b))(*xs)  # noqa: E731
    return Step(f"jit{f.nested()}", tuple(reads), run, _bounds(inner, results))


def _bounds(pool: Pool, results: Sequence[int]) -> tuple[int, ...]:
    return tuple(pool.values[i].bound for i in results)


@kind(smooth=True)
def mapped(p: Pool) -> Step:
    """A function under vmap, over one axis of each argument or none."""
    i = p.array("ficb")
    axis = p.axis(i)
    size = p.values[i].shape[axis]
    reads, axes = [i], [axis]
    for _ in range(p.integer(0, 2)):
        j = p.pick()
        fitting = [a for a, n in enumerate(p.values[j].shape) if n == size]
        reads.append(j)
        axes.append(p.choose([None, *fitting]))
    inner = p.sub([_without(p.values[j], a) for j, a in zip(reads, axes, strict=True)], 3)
    results = [inner.pick() for _ in range(2)]
    f = inner.function(results)
    run = lambda b, *xs: b.vmap(f.within(b), tuple(axes))(*xs)  # noqa: E731
    return Step(f"vmap[{axes}]{f.nested()}", tuple(reads), run, _bounds(inner, results))


def _without(v: Value, axis: int | None) -> Value:
    if axis is None:
        return v
    return Value(v.shape[:axis] + v.shape[axis + 1 :], v.dtype, v.bound)


@kind(4, smooth=True, symbolic=True)
def scan(p: Pool) -> Step:
    """A loop with one or two carries, over no, one or two arrays, that closes over values."""
    carry = [p.pick() for _ in range(p.integer(1, 2))]
    length: Any = p.choose([0, 1, 2, 3, 7])
    xs: list[int] = []
    if p.choose([True, True, False]):
        xs = [p.array("ficb")]
        length = p.values[xs[0]].shape[0]
        if p.choose([False, True]):
            xs.append(p.pick(lambda v: bool(v.shape) and v.shape[0] == length))
    closed = [p.pick() for _ in range(p.integer(0, 2))]
    start = [p.values[i]._replace(bound=max(CLIP, p.values[i].bound)) for i in carry]
    slices = [_without(p.values[i], 0) for i in xs]
    inner = p.sub([*start, *slices, *[p.values[i] for i in closed]])
    news = [inner.limit(inner.like(k), v.bound) for k, v in enumerate(start)]
    ys = [inner.pick() for _ in range(p.integer(1, 2))]
    f = inner.function([*news, *ys])
    n, m = len(carry), len(carry) + len(xs)
    back, unroll = p.choose([False, True]), p.choose([1, 1, 2])

    def run(b: Any, *values: Any) -> Any:
        def body(c: Any, x: Any) -> Any:
            outs = f.within(b)(*c, *(x or ()), *values[m:])
            return outs[:n], outs[n:]

        slices = tuple(values[n:m]) or None
        last, ys = b.lax.scan(body, tuple(values[:n]), slices, None if slices else length,
                              reverse=back, unroll=unroll)  # fmt: skip
        return [*last, *ys]

    text = f"scan[{n} carries, {len(xs)} xs, {length}, {back=}, {unroll=}]{f.nested()}"
    bounds = (*[v.bound for v in start], *_bounds(inner, ys))
    return Step(text, (*carry, *xs, *closed), run, bounds)


@kind(2, smooth=True)
def fori(p: Pool) -> Step:
    """A loop whose counter may be an index."""
    i = p.pick(known)
    v = p.values[i]._replace(bound=max(CLIP, p.values[i].bound))
    low, high = p.integer(-2, 1), p.choose([0, 1, 3, 6])
    inner = p.sub([Value((), I32, 8), v])
    results = [inner.limit(inner.like(1), v.bound)]
    f = inner.function(results)

    def run(b: Any, x: Any) -> Any:
        return b.lax.fori_loop(np.int32(low), np.int32(high), lambda k, c: f.within(b)(k, c)[0], x)

    return one(f"fori[{low}, {high}]{f.nested()}", (i,), run, v.bound)


@kind(3, smooth=True, symbolic=True)
def branches(p: Pool) -> Step:
    """One of up to four functions, chosen by how many elements of a value are positive."""
    by = p.pick()
    reads = [p.pick() for _ in range(p.integer(1, 3))]
    start = [p.values[i]._replace(bound=max(CLIP, p.values[i].bound)) for i in reads]
    chosen: list[Function] = []
    for _ in range(p.integer(2, 4)):
        inner = p.sub(start, 3)
        chosen.append(
            inner.function([inner.limit(inner.like(k), v.bound) for k, v in enumerate(start)])
        )
    is_complex = p.values[by].dtype.kind == "c"

    def run(b: Any, x: Any, *xs: Any) -> Any:
        count = b.numpy.sum((b.numpy.real(x) if is_complex else x) > 0.123)
        if len(chosen) == 2:
            out = b.lax.cond(count % 2 == 1, chosen[1].within(b), chosen[0].within(b), *xs)
        else:
            out = b.lax.switch(count - 1, [f.within(b) for f in chosen], *xs)
        return out if len(out) > 1 else out[0]

    text = "\nor ".join([f.nested() for f in chosen])
    return Step(f"branches{text}", (by, *reads), run, tuple([v.bound for v in start]))


@kind(3, symbolic=True)
def repeat(p: Pool) -> Step:
    """A loop that does as many steps as elements of a value are positive, up to five; it may be none."""
    by = p.pick()
    reads = [p.pick() for _ in range(p.integer(1, 2))]
    closed = [p.pick() for _ in range(p.integer(0, 2))]
    start = [p.values[i]._replace(bound=max(CLIP, p.values[i].bound)) for i in reads]
    inner = p.sub([Value((), I32, 8), *start, *[p.values[i] for i in closed]], 4)
    f = inner.function([inner.limit(inner.like(k + 1), v.bound) for k, v in enumerate(start)])
    is_complex, counts = p.values[by].dtype.kind == "c", p.choose([False, True])
    n = len(reads)

    def run(b: Any, x: Any, *xs: Any) -> Any:
        count = b.numpy.sum((b.numpy.real(x) if is_complex else x) > 0.123).astype(np.int32) % 6
        step = lambda i, c: f.within(b)(i, *c, *xs[n:])  # noqa: E731
        if counts:
            out = b.lax.fori_loop(0, count, step, tuple(xs[:n]))
        else:
            out = b.lax.while_loop(
                lambda c: c[0] > 0, lambda c: (c[0] - 1, step(c[0], c[1])), (count, tuple(xs[:n]))
            )[1]
        return out if n > 1 else out[0]

    return Step(
        f"repeat[{counts=}]{f.nested()}",
        (by, *reads, *closed),
        run,
        tuple([v.bound for v in start]),
    )


# ------------------------------------------------------------------------------------------ functions


def random_function(
    random: Random,
    kinds: Sequence[Kind] = EXACT,
    most: int = 8,
    inputs: Sequence[Value] | None = None,
) -> Function:
    """Inputs can be among the results, and a value can be there twice."""
    MADE["functions"] += 1
    if inputs is None:
        dtypes = [F64] if kinds is SMOOTH else [F32, F32, F32, F64, I32, I32, BOOL, C64]
        sizes = random.choices(SIZES, k=random.randint(1, 3))
        inputs = [Value((), I32, 4)]
        for _ in range(random.randint(1, 3)):
            shape = tuple(random.choices(sizes, k=random.randint(0, 3)))
            dtype = random.choice(dtypes)
            inputs.append(Value(shape, dtype, 1 if dtype == BOOL else 4))
    pool = Pool(random, kinds, inputs)
    pool.grow(random.randint(1, most))
    return pool.function([pool.pick() for _ in range(random.randint(1, 4))])


def functions(*args: Any, **options: Any) -> st.SearchStrategy[Function]:
    """Half of them shrink well, the other half are more varied."""
    random = st.booleans().flatmap(lambda b: st.randoms(use_true_random=b))
    return random.map(lambda r: random_function(r, *args, **options))


def operands(f: Function, seed: int, smooth: bool = False, sizes: Any = None) -> list[np.ndarray]:
    """Values for the inputs of a function; `sizes` has those of symbolic dimensions."""
    rng = np.random.default_rng(seed)
    made: list[np.ndarray] = []
    for v in f.inputs:
        shape = tuple(n if isinstance(n, int) else sizes[str(n)] for n in v.shape)
        x: Any = rng.integers(-v.bound, v.bound + 1, shape)
        if v.dtype == BOOL:
            x = x > 0
        elif v.dtype.kind == "c":
            x = rng.integers(-2, 3, shape) + 1j * rng.integers(-2, 3, shape)
        elif smooth and v.dtype.kind == "f":
            x = rng.uniform(-2, 2, shape)
        made.append(np.asarray(x, v.dtype))
    return made
