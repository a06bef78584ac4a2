"""Kinds of steps of random functions: one operation each, a row or a few lines."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from tests.compile.pool import (
    BOOL,
    C64,
    F32,
    F64,
    I32,
    SIZES,
    Pool,
    Step,
    Unfit,
    Value,
    fit,
    kind,
    one,
    size_of,
)


def known(v: Value) -> bool:
    """An array, with elements."""
    return bool(v.shape) and 0 not in v.shape


# ---------------------------------------------------------------------------------------- elementwise

Row = tuple[str, Callable[..., Any], Callable[[int], int]]

# By kind of dtype: a name, the function, the bound of its result.
UNARY: dict[str, tuple[Row, ...]] = {
    "f": (
        ("neg", lambda b, x: -x, lambda n: n), ("abs", lambda b, x: abs(x), lambda n: n),
        ("sign", lambda b, x: b.numpy.sign(x), lambda n: 1),
        ("sin", lambda b, x: b.numpy.floor(4 * b.numpy.sin(b.numpy.clip(x, -9, 9)) + 0.25), lambda n: 4),
        ("exp", lambda b, x: b.numpy.floor(b.numpy.exp(b.numpy.clip(x, -3, 3)) + 0.25), lambda n: 20),
        ("remainder", lambda b, x: x % 5, lambda n: 5), ("half", lambda b, x: b.numpy.floor(x / 2), lambda n: n),
    ),
    "i": (
        ("neg", lambda b, x: -x, lambda n: n), ("abs", lambda b, x: abs(x), lambda n: n),
        ("invert", lambda b, x: ~x, lambda n: n + 1), ("remainder", lambda b, x: x % 5, lambda n: 5),
        ("shift", lambda b, x: x >> 1, lambda n: n), ("and", lambda b, x: x & 7, lambda n: 7),
        ("floor_divide", lambda b, x: x // 3, lambda n: n + 1),
    ),
    "b": (("invert", lambda b, x: ~x, lambda n: 1),),
    "c": (("neg", lambda b, x: -x, lambda n: n), ("conj", lambda b, x: b.numpy.conj(x), lambda n: n)),
    "smooth": (
        ("neg", lambda b, x: -x, lambda n: n), ("sin", lambda b, x: b.numpy.sin(x), lambda n: 1),
        ("tanh", lambda b, x: b.numpy.tanh(x), lambda n: 1), ("half", lambda b, x: x * 0.5, lambda n: n),
        ("logistic", lambda b, x: b.lax.logistic(x), lambda n: 1), ("abs", lambda b, x: abs(x), lambda n: n),
        ("sqrt", lambda b, x: b.numpy.sqrt(x * x + 1), lambda n: n + 1),
    ),
}  # fmt: skip
BINARY: dict[str, tuple[tuple[str, Callable[..., Any], Callable[[int, int], int]], ...]] = {
    "c": (
        ("add", lambda b, x, y: x + y, lambda m, n: m + n), ("sub", lambda b, x, y: x - y, lambda m, n: m + n),
        ("mul", lambda b, x, y: x * y, lambda m, n: 2 * m * n),
    ),
    "b": (
        ("and", lambda b, x, y: x & y, lambda m, n: 1), ("or", lambda b, x, y: x | y, lambda m, n: 1),
        ("xor", lambda b, x, y: x ^ y, lambda m, n: 1),
    ),
}  # fmt: skip
BINARY["f"] = BINARY["i"] = (
    *BINARY["c"],
    ("max", lambda b, x, y: b.numpy.maximum(x, y), max),
    ("min", lambda b, x, y: b.numpy.minimum(x, y), max),
)
COMPARE: dict[str, Callable[..., Any]] = {
    "lt": lambda b, x, y: x < y, "ge": lambda b, x, y: x >= y, "eq": lambda b, x, y: x == y,
    "ne": lambda b, x, y: x != y,
}  # fmt: skip


@kind(4, smooth=True, symbolic=True)
def unary(p: Pool) -> Step:
    i = p.pick()
    v = p.values[i]
    table = "smooth" if p.smooth and v.dtype.kind == "f" else v.dtype.kind
    text, run, bound = p.choose(UNARY[table])
    return one(text, (i,), run, bound(v.bound))


@kind(5, smooth=True, symbolic=True)
def binary(p: Pool) -> Step:
    i = p.pick()
    j = p.beside(i)
    x, y = p.values[i], p.values[j]
    text, run, bound = p.choose(BINARY[x.dtype.kind])
    return one(text, (i, j), run, bound(x.bound, y.bound))


@kind(smooth=True, symbolic=True)
def compare(p: Pool) -> Step:
    i = p.array("fib", 0)
    text = p.choose(["lt", "ge"] if p.smooth else COMPARE)
    if p.smooth:  # at a place where no value is by chance
        return one(text, (i,), lambda b, x: COMPARE[text](b, x, 0.123), 1)
    return one(text, (i, p.beside(i)), COMPARE[text], 1)


@kind(smooth=True, symbolic=True)
def where(p: Pool) -> Step:
    i = p.pick()
    j, c = p.beside(i), p.beside(i, BOOL)
    if not fit(p.values[j].shape, p.values[c].shape):
        raise Unfit
    bound = max(p.values[i].bound, p.values[j].bound)
    return one("where", (c, i, j), lambda b, c, x, y: b.numpy.where(c, x, y), bound)


@kind(symbolic=True)
def convert(p: Pool) -> Step:
    i = p.pick()
    v = p.values[i]
    if v.dtype.kind == "c":
        part = p.choose(["real", "imag"])
        return one(part, (i,), lambda b, x: getattr(b.numpy, part)(x), v.bound)
    dtype = p.choose([F32, F64, I32, C64, BOOL])
    return one(f"astype[{dtype.name}]", (i,), lambda b, x: x.astype(dtype), max(v.bound, 1))


# ------------------------------------------------------------------------------------------ movements


@kind(2, smooth=True, symbolic=True)
def transpose(p: Pool) -> Step:
    i = p.array("ficb", 2)
    axes = p.order(len(p.values[i].shape))
    return one(f"transpose{axes}", (i,), lambda b, x: b.lax.transpose(x, axes), p.values[i].bound)


@kind(smooth=True, symbolic=True)
def reverse(p: Pool) -> Step:
    i = p.array("ficb")
    axes = p.axes(len(p.values[i].shape))
    return one(f"rev{axes}", (i,), lambda b, x: b.lax.rev(x, axes), p.values[i].bound)


@kind(2, smooth=True)
def slice_(p: Pool) -> Step:
    i = p.array("ficb")
    shape = p.sizes(i)
    starts = tuple(p.integer(0, n) for n in shape)
    limits = tuple(p.integer(s, n) for s, n in zip(starts, shape, strict=True))
    steps = tuple(p.integer(1, 3) for _ in shape)
    run = lambda b, x: b.lax.slice(x, starts, limits, steps)  # noqa: E731  # a table cell
    return one(f"slice[{starts}:{limits}:{steps}]", (i,), run, p.values[i].bound)


@kind(smooth=True)
def pad(p: Pool) -> Step:
    i = p.array("fi")
    v = p.values[i]
    config = [tuple(p.integer(low, 2) for low in (-1, -1, 0)) for _ in v.shape]
    if any(lo + hi + n + max(n - 1, 0) * gap < 0 for n, (lo, hi, gap) in zip(v.shape, config)):  # noqa: B905
        raise Unfit
    run = lambda b, x: b.lax.pad(x, v.dtype.type(3), config)  # noqa: E731
    return one(f"pad{config}", (i,), run, max(v.bound, 3))


@kind(2, smooth=True)
def broadcast(p: Pool) -> Step:
    i = p.pick(lambda v: len(v.shape) < 3)
    shape = p.values[i].shape
    size, at = p.choose(SIZES), p.integer(0, len(shape))
    new = (*shape[:at], size, *shape[at:])
    kept = tuple(a for a in range(len(new)) if a != at)
    run = lambda b, x: b.lax.broadcast_in_dim(x, new, kept)  # noqa: E731
    return one(f"broadcast[{new}, {kept}]", (i,), run, p.values[i].bound)


@kind(smooth=True, symbolic=True)
def concatenate(p: Pool) -> Step:
    i = p.array("ficb")
    j = p.like(i)
    axis = p.axis(i)
    bound = max(p.values[i].bound, p.values[j].bound)
    run = lambda b, x, y: b.lax.concatenate([x, y], axis)  # noqa: E731
    return one(f"concatenate[{axis}]", (i, j), run, bound)


@kind(2, smooth=True)
def reshape(p: Pool) -> Step:
    i = p.pick()
    size = size_of(p.values[i])
    rows = p.choose([n for n in (1, 2, 3, 4, 5, 16) if size % n == 0])
    shape = p.choose([(size,), (rows, size // rows), (size // rows, 1, rows)])
    return one(f"reshape{shape}", (i,), lambda b, x: b.lax.reshape(x, shape), p.values[i].bound)


@kind(smooth=True, symbolic=True)
def flatten(p: Pool) -> Step:
    i = p.array("ficb", 2)
    return one("ravel", (i,), lambda b, x: b.numpy.ravel(x), p.values[i].bound)


# ------------------------------------------------------------------------- reductions, products, order


def _length(v: Value, axes: Sequence[int]) -> int:
    """The most elements that fold to one."""
    return math.prod(n if isinstance(n, int) else 300 for n in (v.shape[a] for a in axes))


@kind(3, smooth=True, symbolic=True)
def reduce(p: Pool) -> Step:
    i = p.array("ficb")
    v = p.values[i]
    axes = p.axes(len(v.shape))
    names = {"b": ("any", "all", "sum"), "c": ("sum",)}.get(v.dtype.kind, ("sum", "max", "min"))
    name = p.choose(names)
    if name in ("max", "min") and not all(isinstance(v.shape[a], int) and v.shape[a] for a in axes):
        raise Unfit
    keep = p.choose([False, True])
    bound = v.bound * max(_length(v, axes), 1) if name == "sum" else v.bound
    run = lambda b, x: getattr(b.numpy, name)(x, axis=axes, keepdims=keep)  # noqa: E731
    return one(f"{name}[{axes}, {keep}]", (i,), run, bound)


@kind(smooth=True)
def centre(p: Pool) -> Step:
    """A value without its maximum: a reduction and what reads it become one nest."""
    i = p.pick(lambda v: v.dtype.kind in "fi" and known(v))
    axes = p.axes(len(p.values[i].shape))
    run = lambda b, x: x - b.numpy.max(x, axis=axes, keepdims=True)  # noqa: E731
    return one(f"centre{axes}", (i,), run, 2 * p.values[i].bound)


@kind(2, smooth=True, symbolic=True)
def product(p: Pool) -> Step:
    i = p.pick(lambda v: v.dtype.kind in "fc" and len(v.shape) == 2)
    x = p.values[i]
    j = p.pick(lambda v: v.dtype == x.dtype and len(v.shape) == 2 and v.shape[0] == x.shape[1])
    bound = 2 * x.bound * p.values[j].bound * max(_length(x, (1,)), 1)
    return one("matmul", (i, j), lambda b, x, y: x @ y, bound)


@kind(smooth=True, symbolic=True)
def gram(p: Pool) -> Step:
    i = p.pick(lambda v: v.dtype.kind in "fc" and len(v.shape) == 2)
    bound = 2 * p.values[i].bound ** 2 * max(_length(p.values[i], (1,)), 1)
    run = lambda b, x: b.lax.dot_general(x, x, (((1,), (1,)), ((), ())))  # noqa: E731
    return one("gram", (i,), run, bound)


@kind(smooth=True, symbolic=True)
def cumulative(p: Pool) -> Step:
    i = p.array("fi")
    axis, back = p.axis(i), p.choose([False, True])
    name, more = p.choose([("cumsum", max(_length(p.values[i], (axis,)), 1)), ("cummax", 1)])
    run = lambda b, x: getattr(b.lax, name)(x, axis=axis, reverse=back)  # noqa: E731
    return one(f"{name}[{axis}, {back}]", (i,), run, p.values[i].bound * more)


@kind()
def order(p: Pool) -> Step:
    i = p.pick(lambda v: v.dtype.kind in "fi" and known(v))
    axis, name = p.axis(i), p.choose(["sort", "argsort", "argmax", "argmin"])
    bound = max(p.values[i].bound, p.sizes(i)[axis])
    run = lambda b, x: getattr(b.numpy, name)(x, axis=axis).astype(  # noqa: E731
        x.dtype if name == "sort" else I32
    )
    return one(f"{name}[{axis}]", (i,), run, bound)


# --------------------------------------------------------------------------------- gathers and updates


def _index(p: Pool, n: int, most: int = 2) -> tuple[str, tuple[int, ...], Callable[..., Any]]:
    """An index along an axis, in bounds or not: integers that are known, or a value of the pool."""
    kinds = ["number", "numbers", "scalar", "vector"][: 4 if most else 1]
    match p.choose(kinds):
        case "number" if n:
            k = p.integer(-n, n - 1)
            return str(k), (), lambda: k
        case "numbers":
            shape = p.choose([(1,), (2,), (3,), (17,), (2, 3)])
            ks = p.integers(shape, -n - 1, n + 1)
            return str(ks.tolist()), (), lambda: ks
        case "scalar":
            i = p.pick(lambda v: v.dtype == I32 and v.shape == ())
        case _:
            i = p.pick(
                lambda v: v.dtype == I32 and len(v.shape) in range(1, most) and size_of(v) < 50
            )
    return f"v{i}", (i,), lambda k: k


@kind(3, smooth=True)
def gather(p: Pool) -> Step:
    """x[:, index], or x[index, index]: what is out of bounds is clamped, or filled."""
    i = p.pick(lambda v: known(v) and len(v.shape) < 4)
    v = p.values[i]
    axis, fill = p.axis(i), p.choose([False, False, True])
    text, reads, index = _index(p, p.sizes(i)[axis])

    def run(b: Any, x: Any, *k: Any) -> Any:
        at = (slice(None),) * axis + (index(*k),)
        return x.at[at].get(mode="fill", fill_value=3) if fill else x[at]

    return one(f"gather[{axis}, {text}, {fill}]", (i, *reads), run, max(v.bound, 3))


@kind(smooth=True)
def take_along_axis(p: Pool) -> Step:
    i = p.pick(known)
    v = p.values[i]
    axis = p.axis(i)
    shape = [p.choose([1, 2, 5]) if a == axis else n for a, n in enumerate(p.sizes(i))]
    ks = p.integers(shape, 0, p.sizes(i)[axis] - 1)
    run = lambda b, x: b.numpy.take_along_axis(x, ks, axis)  # noqa: E731
    return one(f"take_along_axis[{axis}, {shape[axis]}]", (i,), run, v.bound)


def _starts(p: Pool, sizes: Sequence[int]) -> tuple[tuple[int, ...], Callable[..., list[Any]]]:
    """A start along each axis, known or a value of the pool."""
    ks = [np.int32(p.integer(-n - 1, n + 1)) for n in sizes]
    scalars = [i for i, v in enumerate(p.values) if v.dtype == I32 and v.shape == ()]
    if not scalars or p.choose([False, False, True]):
        return (), lambda: list(ks)
    i, at = p.choose(scalars), p.integer(0, len(ks) - 1)
    return (i,), lambda k: [k if a == at else n for a, n in enumerate(ks)]


@kind(2, smooth=True)
def dynamic_slice(p: Pool) -> Step:
    i = p.pick(known)
    shape = p.sizes(i)
    sizes = tuple(p.integer(0 if n < 3 else 1, n) for n in shape)
    reads, starts = _starts(p, shape)
    run = lambda b, x, *k: b.lax.dynamic_slice(x, starts(*k), sizes)  # noqa: E731
    return one(f"dynamic_slice[{starts(0)}, {sizes}]" if reads else f"dynamic_slice[{starts()}, {sizes}]",
               (i, *reads), run, p.values[i].bound)  # fmt: skip


@kind(3, smooth=True)
def dynamic_update_slice(p: Pool) -> Step:
    i = p.pick(known)
    x = p.values[i]
    j = p.pick(
        lambda v: (
            v.dtype == x.dtype
            and len(v.shape) == len(x.shape)
            and all(m <= n for m, n in zip(v.shape, x.shape, strict=True))
        )  # type: ignore[operator]
    )
    reads, starts = _starts(p, p.sizes(i))
    run = lambda b, x, y, *k: b.lax.dynamic_update_slice(x, y, starts(*k))  # noqa: E731
    bound = max(x.bound, p.values[j].bound)
    text = starts(0) if reads else starts()
    return one(f"dynamic_update_slice[{text}]", (i, j, *reads), run, bound)


UPDATES: dict[str, Callable[[int, int], int]] = {
    "set": max, "add": lambda m, n: m + 60 * n, "min": max, "max": max,
}  # fmt: skip


@kind(5, smooth=True)
def update(p: Pool) -> Step:
    """x.at[:, index].set(y) and its kin; y is the value's own part changed, a number or another value."""
    i = p.pick(lambda v: known(v) and v.dtype.kind in "fic" and len(v.shape) < 4)
    v = p.values[i]
    axis = p.axis(i)
    name = p.choose(["set", "add"] if v.dtype.kind == "c" else UPDATES)
    text, reads, index = _index(p, p.sizes(i)[axis])
    if name == "set" and not text.lstrip("-").isdigit():
        ks = np.asarray(p.order(p.sizes(i)[axis] + 2)[:3], np.int32)
        text, reads, index = str(ks.tolist()), (), lambda: ks
    return _updated(p, i, axis, name, text, reads, index)


def _updated(
    p: Pool, i: int, axis: int, name: str, text: str, reads: tuple[int, ...], index: Any
) -> Step:
    x = p.values[i]
    source = p.choose(["number", "own", "other"])
    others: tuple[int, ...] = ()
    if source == "other":
        rest = x.shape[axis + 1 :]
        others = (p.pick(lambda v: v.dtype == x.dtype and v.shape in ((), rest)),)
    bound = p.values[others[0]].bound if others else max(x.bound, 3)

    def run(b: Any, x: Any, *rest: Any) -> Any:
        at = (slice(None),) * axis + (index(*rest[: len(reads)]),)
        new = rest[-1] if others else -x[at] if source == "own" else 3
        return getattr(x.at[at], name)(new)

    full = f"{name}[{axis}, {text}, {source}]"
    return one(full, (i, *reads, *others), run, UPDATES[name](x.bound, bound))


@kind(2, smooth=True)
def update_slice(p: Pool) -> Step:
    """x.at[start:stop:step].set(y), backwards too."""
    i = p.pick(lambda v: known(v) and v.dtype.kind in "fic")
    axis = p.axis(i)
    size = p.sizes(i)[axis]
    a, z = sorted((p.integer(0, size), p.integer(0, size)))
    s = p.choose([slice(a, z), slice(a, z, 2), slice(None, None, -1), slice(None, None, -2)])
    name = p.choose(["set", "add"])
    return _updated(p, i, axis, name, str(s), (), lambda: s)
