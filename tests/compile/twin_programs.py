"""Random programs of the operations that `twin_operations.py` has twice, with inputs, laid out oddly."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from random import Random
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np
from tests.compile.pool import Unfit
from tests.compile.twin_operations import (
    Array,
    Both,
    Inexact,
    Ours,
    Theirs,
    kind_of,
    limits,
    narrow,
)

WIDE = (
    "bool", "int8", "uint8", "uint16", "int32", "int32", "int64", "uint64", "float32", "float32", "float64",
    "complex64",
)  # fmt: skip
NARROW = ("float16", "bfloat16", "float8_e4m3fn", "float8_e5m2", "int4", "uint4")
DTYPES = [np.dtype(getattr(ml_dtypes, n, n)) for n in (*WIDE, *WIDE, *NARROW)]
SHAPE = (7, 11)  # of what is drawn for arrays of any size
MOST = 4  # times as many elements as the inputs have


class Step(NamedTuple):
    """An operation of both libraries, the values it reads, and what else it is told."""

    name: str
    reads: tuple[int, ...]
    options: dict[str, Any]

    def __str__(self) -> str:
        told = [f"{k}={v!r}" for k, v in self.options.items()]
        return f"{self.name}({', '.join([*[f'v{i}' for i in self.reads], *told])})"


class Program(NamedTuple):
    inputs: tuple[Array, ...]
    steps: tuple[Step, ...]
    results: tuple[int, ...]

    def run(self, library: type[Both], xs: Sequence[Array]) -> list[Array]:
        values = list(xs)
        for step in self.steps:
            run = getattr(library, step.name)
            found = run(*[values[i] for i in step.reads], **step.options)
            values.append(np.asarray(found) if library is Theirs else found)
        return [values[i] for i in self.results]

    def __call__(self, *xs: Array) -> list[Array]:
        return self.run(Ours, xs)

    def wanted(self, xs: Sequence[Array]) -> list[Array]:
        """What NumPy gives; `Inexact` if that depends on the order of sums."""
        with np.errstate(all="ignore"):
            return self.run(Theirs, xs)

    def __str__(self) -> str:
        lines = [f"v{i}: {x.dtype.name}{list(x.shape)}" for i, x in enumerate(self.inputs)]
        lines += [f"v{i} = {s}" for i, s in enumerate(self.steps, len(self.inputs))]
        return "\n".join([*lines, f"return {', '.join(f'v{i}' for i in self.results)}"])


Kind = Callable[["Drawing", int], Step]
KINDS: list[Kind] = []
OF_ANY_SIZE: list[Kind] = []


def kind(weight: int, any_size: bool = False) -> Callable[[Kind], Kind]:
    """A kind of step, for so many chances; whether all that it is told suits arrays of other sizes."""

    def add(f: Kind) -> Kind:
        for kinds in (KINDS, OF_ANY_SIZE) if any_size else (KINDS,):
            kinds.extend([f] * weight)
        return f

    return add


class Drawing:
    """The values so far, as NumPy has them, and choices among them."""

    def __init__(self, seed: int, size: int, kinds: Sequence[Kind] = KINDS) -> None:
        self.random, self.rng, self.size = Random(seed), np.random.default_rng(seed), size
        self.kinds = kinds
        same = self.shape() if kinds is KINDS else SHAPE
        shapes = [same if self.chance(0.7) else self.shape() for _ in range(self.integer(2, 3))]
        self.inputs = tuple([self.numbers(s, self.choose(DTYPES)) for s in shapes])
        self.values: list[Array] = list(self.inputs)
        self.steps: list[Step] = []

    # -- choices -----------------------------------------------------------------------------------

    def integer(self, low: int, high: int) -> int:
        return self.random.randint(low, high)

    def chance(self, p: float) -> bool:
        return self.random.random() < p

    def choose(self, options: Sequence[Any]) -> Any:
        if not options:
            raise Unfit
        return self.random.choice(options)

    def axis(self, x: Array) -> int:
        return self.choose(range(x.ndim))

    def axes(self, x: Array) -> tuple[int, ...]:
        """One or more."""
        if not x.ndim:
            raise Unfit
        return tuple(sorted(self.random.sample(range(x.ndim), self.integer(1, x.ndim))))

    def shape(self) -> tuple[int, ...]:
        if self.kinds is OF_ANY_SIZE:
            return tuple(self.random.sample(SHAPE, self.integer(1, 2)))
        if self.size < 10:
            return tuple(
                [self.choose([0, 1, 1, 2, 2, 3, self.size]) for _ in range(self.integer(0, 3))]
            )
        ndim = self.integer(1, 3)
        if ndim == 1:
            return (self.size + self.choose([-1, 0, 3]),)
        sizes = [self.choose([2, 3, 7, 8, 16, 33]) if ndim == 2 else self.choose([2, 3, 5])]
        if ndim == 3:
            sizes.append(self.choose([1, 4, 9, 17]))
        sizes.append(max(1, self.size // int(np.prod(sizes))))
        return tuple(self.random.sample(sizes, ndim))

    def numbers(self, shape: tuple[int, ...], dtype: np.dtype) -> Array:
        """Small ones, whose sums are exact, at times with the limits of the dtype among them."""
        letter = kind_of(dtype)
        if letter == "b":
            return self.rng.random(shape) > 0.5
        small = self.rng.integers(0 if letter == "u" else -7, 8, shape)
        if letter == "c":
            return (small + 1j * self.rng.integers(-7, 8, shape)).astype(dtype)
        x = np.asarray(small / 4 if letter == "f" else small).astype(dtype)
        if self.chance(0.7):
            return x
        info = limits(dtype)
        ends = [info.min, info.max, *([np.nan, -0.0, info.tiny] if letter == "f" else [])]
        chosen = self.rng.integers(0, len(ends), shape)
        special = np.stack([np.asarray(e).astype(dtype) for e in ends])[chosen]
        return np.where(self.rng.random(shape) < 0.2, special, x).astype(dtype)

    def pick(self, fits: Callable[[Array], bool]) -> int:
        return self.choose([i for i, v in enumerate(self.values) if fits(v)])

    def like(self, x: Array) -> int:
        return self.pick(lambda v: (v.shape, v.dtype) == (x.shape, x.dtype))

    def mask(self, shape: tuple[int, ...]) -> int:
        return self.pick(lambda v: v.dtype == bool and v.shape in (shape, ()))

    def number(self, dtype: np.dtype) -> Any:
        """One of a dtype, as a NumPy scalar."""
        return self.numbers((1,), dtype)[0]

    # -- growing -----------------------------------------------------------------------------------

    def grow(self, count: int) -> None:
        """So many steps, of which the last values are the likeliest operands; fewer if often none fits."""
        for _ in range(15 * count):
            if len(self.steps) == count:
                return
            back = min(int(self.random.expovariate(0.5)), len(self.values) - 1)
            with suppress(Unfit, Inexact):
                self.add(self.choose(self.kinds)(self, len(self.values) - 1 - back))

    def add(self, step: Step) -> None:
        run = getattr(Theirs, step.name)
        try:
            with np.errstate(all="ignore"):
                found = np.asarray(run(*[self.values[i] for i in step.reads], **step.options))
        except TypeError as error:  # NumPy has no such loop for a narrow dtype
            raise Unfit from error
        if found.size > MOST * max(self.size, 64) or found.dtype not in DTYPES:
            raise Unfit
        self.values.append(found)
        self.steps.append(step)

    def program(self) -> Program:
        last, first = len(self.values) - 1, len(self.inputs)
        more = [self.integer(first, last) for _ in range(2)] if self.steps else []
        return Program(self.inputs, tuple(self.steps), tuple(sorted({last, *more})))


def program(seed: int, size: int, kinds: Sequence[Kind] = KINDS) -> Program:
    drawing = Drawing(seed, size, kinds)
    drawing.grow(drawing.integer(4, 12))
    return drawing.program()


# ---------------------------------------------------------------------------------------- elementwise

UNARY = {
    "b": ("logical_not",),
    "i": ("negative", "abs", "sign", "invert", "square"),
    "u": ("sign", "invert", "square"),
    "c": ("negative", "conj", "real", "imag"),
    "f": ("negative", "abs", "sign", "floor", "ceil", "trunc", "isnan", "square", "rint", "isfinite", "sqrt"),
}  # fmt: skip
BINARY = {
    "b": ("logical_and", "logical_or", "logical_xor", "equal", "not_equal", "less", "maximum"),
    "i": ("add", "subtract", "multiply", "maximum", "minimum", "bitwise_and", "bitwise_xor", "less", "equal"),
    "c": ("add", "subtract", "multiply", "equal"),
    "f": ("add", "subtract", "multiply", "divide", "maximum", "minimum", "less", "greater_equal", "not_equal"),
}  # fmt: skip
BINARY["u"] = BINARY["i"]
OF_BITS = ("div", "rem", "shift_left", "shift_right_logical", "shift_right_arithmetic")


@kind(5, any_size=True)
def binary(d: Drawing, i: int) -> Step:
    x = d.values[i]
    return Step("named", (i, d.like(x)), {"name": d.choose(BINARY[kind_of(x.dtype)])})


@kind(2, any_size=True)
def unary(d: Drawing, i: int) -> Step:
    return Step("named", (i,), {"name": d.choose(UNARY[kind_of(d.values[i].dtype)])})


@kind(2, any_size=True)
def of_bits(d: Drawing, i: int) -> Step:
    x = d.values[i]
    if x.dtype.kind not in "iu":
        raise Unfit
    if d.chance(0.3):
        return Step("lax", (i,), {"name": d.choose(["population_count", "clz"])})
    return Step("lax", (i, d.like(x)), {"name": d.choose(OF_BITS)})


@kind(3, any_size=True)
def convert(d: Drawing, i: int) -> Step:
    if d.values[i].dtype.kind == "c":
        raise Unfit
    return Step("convert", (i,), {"dtype": d.choose([t for t in DTYPES if t.kind != "c"])})


@kind(2, any_size=True)
def where(d: Drawing, i: int) -> Step:
    x = d.values[i]
    return Step("where", (d.mask(x.shape), i, d.like(x)), {})


# --------------------------------------------------------------------------------------------- shapes


@kind(2, any_size=True)
def transpose(d: Drawing, i: int) -> Step:
    n = d.values[i].ndim
    return Step("transpose", (i,), {"order": tuple(d.random.sample(range(n), n))})


def _part(d: Drawing, n: int) -> slice:
    ends = [d.choose([None, None, d.integer(-n - 1, n + 1)]) for _ in range(2)]
    return slice(*ends, d.choose([1, 1, 2, 3, -1, -1, -2, -3]))


@kind(2)
def part(d: Drawing, i: int) -> Step:
    return Step("slice", (i,), {"index": tuple([_part(d, n) for n in d.values[i].shape])})


@kind(2)
def pad(d: Drawing, i: int) -> Step:
    x, config = d.values[i], []
    for n in x.shape:
        low, high, inside = d.integer(-2, 3), d.integer(-2, 3), d.choose([0, 0, 1, 2])
        if n + max(0, n - 1) * inside + low + high < 0:
            raise Unfit
        config.append((low, high, inside))
    return Step("pad", (i,), {"by": d.number(x.dtype), "config": config})


@kind(2, any_size=True)
def concatenate(d: Drawing, i: int) -> Step:
    x = d.values[i]
    axis = d.axis(x)

    def fits(v: Array) -> bool:
        if v.dtype != x.dtype or v.ndim != x.ndim:
            return False
        return all(
            a == b for k, (a, b) in enumerate(zip(v.shape, x.shape, strict=True)) if k != axis
        )

    return Step("concatenate", (i, *[d.pick(fits) for _ in range(d.integer(1, 2))]), {"axis": axis})


@kind(2)
def reshape(d: Drawing, i: int) -> Step:
    n = d.values[i].size
    if n == 0:
        return Step("reshape", (i,), {"shape": (0, 3)})
    a = d.choose([k for k in range(1, min(n, 40) + 1) if n % k == 0])
    b = d.choose([k for k in range(1, min(n, 40) + 1) if n // a % k == 0])
    return Step("reshape", (i,), {"shape": tuple(d.random.sample([a, b, n // a // b], 3))})


@kind(1)
def broadcast(d: Drawing, i: int) -> Step:
    x = d.values[i]
    return Step("broadcast", (i,), {"shape": (d.choose([1, 2, 3]), *x.shape)})


@kind(1, any_size=True)
def roll(d: Drawing, i: int) -> Step:
    return Step("roll", (i,), {"by": d.integer(-9, 9), "axis": d.axis(d.values[i])})


@kind(1, any_size=True)
def flip(d: Drawing, i: int) -> Step:
    return Step("flip", (i,), {"axes": d.axes(d.values[i])})


@kind(1, any_size=True)
def minus_first(d: Drawing, i: int) -> Step:
    x = d.values[i]
    axis = d.axis(x)
    if x.shape[axis] == 0 or kind_of(x.dtype) == "b":
        raise Unfit
    return Step("minus_first", (i,), {"axis": axis})


# ----------------------------------------------------------------------------------------- reductions


@kind(4, any_size=True)
def reduce(d: Drawing, i: int) -> Step:
    x = d.values[i]
    axes, letter = d.axes(x), kind_of(x.dtype)
    names = {"c": ("sum",), "b": ("any", "all", "max"), "f": ("sum", "max", "min", "any")}
    name = d.choose(names.get(letter, ("sum", "prod", "max", "min", "any", "all")))
    of_order, reads, initial = name in ("max", "min"), (i,), None
    if name not in ("any", "all") and d.chance(0.3):
        initial = d.number(x.dtype)
    if (initial is not None or not of_order) and d.chance(0.5):
        reads = (i, d.mask(x.shape))
    if of_order and initial is None and 0 in [x.shape[a] for a in axes]:
        raise Unfit
    return Step("reduce", reads, {"name": name, "axes": axes, "initial": initial})


@kind(2)
def spread(d: Drawing, i: int) -> Step:
    """Of the last reduction, beside what it was made of."""
    made = [(k, s) for k, s in enumerate(d.steps, len(d.inputs)) if s.name == "reduce"]
    k, step = d.choose(made)
    options = {"axes": step.options["axes"], "shape": d.values[step.reads[0]].shape}
    return Step("spread", (k,), options)


@kind(2, any_size=True)
def position(d: Drawing, i: int) -> Step:
    x = d.values[i]
    axis = d.axis(x)
    if x.shape[axis] == 0 or x.dtype.kind == "c":
        raise Unfit
    return Step("position", (i,), {"name": d.choose(["argmax", "argmin", "argsort"]), "axis": axis})


@kind(3, any_size=True)
def sort(d: Drawing, i: int) -> Step:
    """Of one key or several, with payloads; any of the sorted."""
    x = d.values[i]
    axis = d.axis(x)
    reads = (i, *[d.pick(lambda v: v.shape == x.shape) for _ in range(d.integer(0, 2))])
    keys = d.integer(1, len(reads))
    if any(d.values[k].dtype.kind == "c" for k in reads[:keys]):
        raise Unfit
    return Step("sort", reads, {"axis": axis, "keys": keys, "result": d.choose(range(len(reads)))})


@kind(2, any_size=True)
def running(d: Drawing, i: int) -> Step:
    x = d.values[i]
    if kind_of(x.dtype) in "bc":
        raise Unfit
    name = d.choose(["cumsum", "cumprod", "cummax", "cummin"])
    return Step("running", (i,), {"name": name, "axis": d.axis(x), "reverse": d.chance(0.5)})


@kind(2)
def product(d: Drawing, i: int) -> Step:
    x = d.values[i]
    if kind_of(x.dtype) == "b" or narrow(x.dtype):
        raise Unfit
    j = d.pick(lambda v: v.dtype == x.dtype)
    y, roles = d.values[j], ([], [], [], [])
    free = list(range(y.ndim))
    for a in d.random.sample(range(x.ndim), x.ndim):
        matching = [b for b in free if y.shape[b] == x.shape[a]]
        role = d.choose(["sum", "batch", "free"])
        if not matching or role == "free":
            continue
        b = d.choose(matching)
        free.remove(b)
        for side, axis in zip(roles[:2] if role == "sum" else roles[2:], (a, b), strict=True):
            side.append(axis)
    work = x.size * np.prod([y.shape[b] for b in free])
    if work > 2e6:
        raise Unfit
    return Step("product", (i, j), {"sums": roles[:2], "batch": roles[2:]})


# --------------------------------------------------------------------------------------------- places


def _index(d: Drawing, x: Array) -> tuple[tuple[Any, ...], tuple[int, ...]]:
    """Slices and arrays of places, some out of bounds; an ellipsis stands for a value that is computed."""
    shape = d.choose([(), (1,), (3,), (2, 3), (0,), (9,)])
    found: list[Any] = []
    reads: list[int] = []
    for n in x.shape:
        if d.chance(0.4):
            found.append(_part(d, n) if d.chance(0.5) else slice(None))
            continue
        computed = [k for k, v in enumerate(d.values) if v.dtype == np.int32 and v.shape == shape]
        if computed and d.chance(0.5):
            reads.append(d.choose(computed))
            found.append(Ellipsis)
        else:
            beyond = d.choose([0, 0, 2])
            found.append(d.rng.integers(-n - beyond, n + beyond + (n == 0), shape).astype(np.int32))
    if all(isinstance(p, slice) for p in found) or 0 in x.shape:
        raise Unfit
    return tuple(found), tuple(reads)


@kind(3)
def gather(d: Drawing, i: int) -> Step:
    x = d.values[i]
    index, reads = _index(d, x)
    options = {"index": index, "mode": d.choose(["fill", "clip"]), "fill": d.number(x.dtype)}
    return Step("gather", (i, *reads), options)


@kind(4)
def scatter(d: Drawing, i: int) -> Step:
    """Of a value that has the shape already, or a number."""
    x = d.values[i]
    index, reads = _index(d, x)
    options = {"index": index, "mode": d.choose(["drop", "clip"])}
    where = [d.values[r] for r in reads]
    with np.errstate(all="ignore"):
        room = Theirs.gather(x, *where, index=index, mode="clip", fill=None)
    y = d.pick(lambda v: v.dtype == x.dtype and v.shape in (room.shape, ()))
    by_order = kind_of(x.dtype) in "bc" or (room.size > 1 and narrow(x.dtype))
    names = ["set"] if by_order else ["set", "add", "max", "min", "multiply"]
    name = d.choose(names)
    if name == "set" and not _apart(x.shape, index, where) and d.values[y].ndim:
        raise Unfit  # which of several is last is not told
    return Step("scatter", (i, y, *reads), {**options, "name": name})


def _apart(shape: Sequence[int], index: Any, where: Sequence[Array]) -> bool:
    """Whether all places differ, clipped or not."""
    places = np.arange(np.prod(shape)).reshape(shape)
    found = Theirs.gather(places, *where, index=index, mode="clip", fill=None)
    return len(np.unique(found)) == found.size


@kind(2)
def dynamic_slice(d: Drawing, i: int) -> Step:
    x = d.values[i]
    starts, sizes = [d.integer(-3, n + 3) for n in x.shape], [d.integer(0, n) for n in x.shape]
    return Step("dynamic_slice", (i,), {"starts": starts, "sizes": sizes})


@kind(3)
def dynamic_update(d: Drawing, i: int) -> Step:
    x = d.values[i]

    def fits(v: Array) -> bool:
        same = (v.dtype, v.ndim) == (x.dtype, x.ndim)
        return same and all(a <= b for a, b in zip(v.shape, x.shape, strict=True))

    starts = [d.integer(-3, n + 3) for n in x.shape]
    return Step("dynamic_update", (i, d.pick(fits)), {"starts": starts})


# ------------------------------------------------------------------------------------------- layouts


def laid_out(x: Array, random: Random) -> Array:
    """The same array, its elements elsewhere in memory."""
    way = random.choice(["plain", "fortran", "apart", "backwards", "odd", "repeated", "fixed"])
    if way == "fortran" and x.ndim > 1:
        return np.asfortranarray(x)
    if way == "apart" and x.ndim:
        return np.repeat(x, 2, -1)[..., ::2]
    if way == "backwards" and x.ndim:
        axes = tuple(random.sample(range(x.ndim), random.randint(1, x.ndim)))
        return np.flip(np.flip(x, axes).copy(), axes)
    if way == "odd" and x.size:  # not at a multiple of its size
        room = np.zeros(x.nbytes + 1, np.uint8)[1:].view(x.dtype).reshape(x.shape)
        room[...] = x
        return room
    if way == "repeated" and x.ndim and x.size and (x == x[:1]).all():
        return np.broadcast_to(x[:1], x.shape)
    if way == "fixed" and x.ndim:
        x = x.copy()
        x.flags.writeable = False
    return x
