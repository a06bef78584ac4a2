"""Random functions, as data: what a test needs to run them, transform them, print them.

A function is a list of steps over a pool of values.  Floats hold small integers and a bound on them is kept, so sums
and products are exact in any order and results are compared bit by bit.  `smooth` functions are for derivatives: their
values are any reals, and nothing in them jumps.  A kind of step is a function decorated with `kind`: they are in
`steps.py`, and in `programs.py` those with functions inside.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from random import Random
from typing import Any, NamedTuple

import numpy as np

import covector
from covector._engine.types.dims import Dim

SIZES = (0, 1, 1, 2, 3, 5, 16, 17, 40)
F32, F64, I32, C64, BOOL = map(np.dtype, ("float32", "float64", "int32", "complex64", "bool"))
LARGE = 2**24  # integers up to here are exact in float32
CLIP, LIMIT = 16, 256  # values beyond the limit are clipped before they are used
MAX_SIZE = 20_000  # elements of a value
MADE: Counter[str] = Counter()  # random functions and Kernels so far


class Value(NamedTuple):
    """What is known of a value before anything is run; `bound` is the largest modulus of an element."""

    shape: tuple[Dim, ...]
    dtype: np.dtype
    bound: int = CLIP

    @property
    def struct(self) -> Any:
        return covector.ShapeDtypeStruct(self.shape, self.dtype)


class Unfit(Exception):
    """No value in the pool is one that this kind of step takes."""


class Step(NamedTuple):
    """One operation: what it is called, the values it reads, how it is run with a library, bounds of its results."""

    text: str
    reads: tuple[int, ...]
    run: Callable[..., Any]
    bounds: tuple[int, ...]


@dataclass(frozen=True)
class Function:
    """A random function; `library` is the module that has `numpy`, `lax`, `jit` and `vmap`."""

    inputs: tuple[Value, ...]
    steps: tuple[Step, ...]
    results: tuple[int, ...]
    library: Any = covector

    def __call__(self, *xs: Any) -> tuple[Any, ...]:
        values = list(xs)
        for step in self.steps:
            out = step.run(self.library, *[values[i] for i in step.reads])
            values += out if len(step.bounds) > 1 else [out]
        return tuple([values[i] for i in self.results])

    def within(self, library: Any) -> Function:
        """The same function for another library."""
        return replace(self, library=library)

    def __repr__(self) -> str:
        lines = [f"v{i}: {v.dtype.name}{list(v.shape)}" for i, v in enumerate(self.inputs)]
        n = len(self.inputs)
        for step in self.steps:
            names = ", ".join(f"v{n + i}" for i in range(len(step.bounds)))
            lines.append(f"{names} = {step.text}({', '.join(f'v{i}' for i in step.reads)})")
            n += len(step.bounds)
        lines.append(f"return {', '.join(f'v{i}' for i in self.results)}")
        return "\n".join(lines)

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:  # for Hypothesis
        printer.text(repr(self))

    def nested(self) -> str:
        """The function as the text of a step."""
        return "{\n" + "\n".join("    " + line for line in repr(self).split("\n")) + "}"


Kind = Callable[["Pool"], Step]
EXACT: list[Kind] = []
SMOOTH: list[Kind] = []
SYMBOLIC: list[Kind] = []


def kind(
    weight: int = 1, smooth: bool = False, symbolic: bool = False, exact: bool = True
) -> Callable[[Kind], Kind]:
    """A kind of step, for so many chances; whether it has derivatives, takes symbolic sizes, keeps integers exact."""

    def add(f: Kind) -> Kind:
        for table, wanted in ((EXACT, exact), (SMOOTH, smooth), (SYMBOLIC, symbolic)):
            table.extend([f] * (weight if wanted else 0))
        return f

    return add


class Pool:
    """The values so far, and choices among them."""

    def __init__(
        self, random: Random, kinds: Sequence[Kind], inputs: Sequence[Value], depth: int = 2
    ):
        self.random, self.kinds, self.depth = random, kinds, depth
        self.inputs, self.values = tuple(inputs), list(inputs)
        self.steps: list[Step] = []

    @property
    def smooth(self) -> bool:
        return self.kinds is SMOOTH

    # ------------------------------------------------------------------------------------- choices

    def integer(self, low: int, high: int) -> int:
        return self.random.randint(low, high)

    def choose(self, options: Any) -> Any:
        return self.random.choice(list(options))

    def integers(self, shape: Sequence[int], low: int, high: int) -> np.ndarray:
        """An array of chosen integers."""
        values = [self.integer(low, high) for _ in range(math.prod(shape))]
        return np.asarray(values, np.int32).reshape(shape)

    def pick(self, fits: Callable[[Value], bool] = lambda v: True) -> int:
        """The number of a value; later ones are likelier."""
        found = [i for i, v in enumerate(self.values) if fits(v)]
        if not found:
            raise Unfit
        return self.choose([*found, *found[-3:], found[-1]])

    def array(self, dtypes: str = "fic", ndim: int = 1) -> int:
        """A value with axes, of one of these kinds of dtypes."""
        return self.pick(lambda v: v.dtype.kind in dtypes and len(v.shape) >= ndim)

    def like(self, i: int) -> int:
        """A value of the same shape and dtype, often another one."""
        return self.pick(lambda v: v[:2] == self.values[i][:2])

    def beside(self, i: int, dtype: np.dtype | None = None) -> int:
        """A value that broadcasts with another one, of its dtype or the given one."""
        x = self.values[i]
        wanted = x.dtype if dtype is None else dtype
        return self.pick(lambda v: v.dtype == wanted and fit(x.shape, v.shape))

    def order(self, n: int) -> tuple[int, ...]:
        """The numbers below n in some order."""
        return tuple(self.random.sample(range(n), n))

    def axes(self, ndim: int) -> tuple[int, ...]:
        """One axis or more."""
        return tuple(sorted(self.order(ndim)[: self.integer(1, ndim)]))

    def sizes(self, i: int) -> list[int]:
        """The shape of a value, of which no dimension is symbolic."""
        return [int(n) for n in self.values[i].shape]

    def axis(self, i: int) -> int:
        return self.integer(0, len(self.values[i].shape) - 1)

    def sub(self, inputs: Sequence[Value], most: int = 4) -> Pool:
        """The pool of a function inside this one, with steps in it."""
        if self.depth <= 0:
            raise Unfit
        pool = Pool(self.random, self.kinds, inputs, self.depth - 1)
        pool.grow(self.integer(0, most))
        return pool

    # ------------------------------------------------------------------------------------- growing

    def grow(self, count: int) -> None:
        """Add so many steps; fewer if often none fits."""
        wanted = len(self.steps) + count
        for _ in range(4 * count):
            if len(self.steps) >= wanted:
                break
            with suppress(Unfit):
                self.add(self.choose(self.kinds)(self))

    def add(self, step: Step) -> None:
        """The values of a step, clipped where they could grow too large."""
        reads = [self.values[i].struct for i in step.reads]
        found = covector.eval_shape(lambda *xs: step.run(covector, *xs), *reads)
        outs = list(found) if len(step.bounds) > 1 else [found]
        values = [Value(o.shape, o.dtype, b) for o, b in zip(outs, step.bounds, strict=True)]
        for v in values:
            large = v.bound > LARGE or (v.dtype.kind == "c" and v.bound > LIMIT)
            if large or (all(isinstance(n, int) for n in v.shape) and size_of(v) > MAX_SIZE):
                raise Unfit
        self.steps.append(step)
        first = len(self.values)
        self.values += values
        for i, v in enumerate(values, first):
            if v.bound > LIMIT:
                self.limit(i, CLIP)

    def limit(self, i: int, bound: int) -> int:
        """The number of a value that is another one with its elements inside a bound."""
        v = self.values[i]
        if v.bound <= bound or v.dtype.kind == "b":
            return i
        if v.dtype.kind == "c":
            raise Unfit
        self.add(one(f"clip[{bound}]", (i,), lambda b, x: b.numpy.clip(x, -bound, bound), bound))
        return len(self.values) - 1

    def function(self, results: Sequence[int]) -> Function:
        return Function(self.inputs, tuple(self.steps), tuple(results))


def one(text: str, reads: Sequence[int], run: Callable[..., Any], bound: int) -> Step:
    """A step with one result."""
    return Step(text, tuple(reads), run, (bound,))


def size_of(v: Value) -> int:
    return math.prod(int(n) for n in v.shape)  # type: ignore[arg-type]


def fit(a: Sequence[Any], b: Sequence[Any]) -> bool:
    pairs = zip(reversed(a), reversed(b), strict=False)
    return all(m == n or m == 1 or n == 1 for m, n in pairs)
