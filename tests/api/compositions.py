"""Random compositions of rules, effects, references, named axes and transformations, each also as plain Python.

A *form* makes a function of a vector from others.  `Real` (tests/api/real_forms.py) makes it by what Covector has for
it.  `Plain` says what it means: its functions take and give *lanes*, the vectors of all elements that `vmap` would run
side by side, so that what a collective does is an operation on a list.  Rules of the user's scale the derivative, so
one that is lost shows: a function whose value is y and whose derivatives are those of a y, of any order, is
a y + stop_gradient(y - a y).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np

import covector as cv
import covector.numpy as cnp
from covector import lax
from covector.ad_checkpoint import checkpoint_name

Vector = Any
Fun = Callable[[Any], Any]
MATRIX = np.array([[0.3, -0.2, 0.5], [0.1, 0.4, -0.3], [-0.6, 0.2, 0.1]])
WEIGHTS = np.array([1.0, -0.5, 0.25])
SCALES = np.array([1.5, 0.7, 1.2])
STEPS = np.arange(3.0)
log: list[tuple[int, float]] = []  # what effects saw, in their order


@dataclass(frozen=True)
class Form:
    """A method of `Plain` and `Real`, with a number and the forms that it is made of."""

    name: str
    number: int
    inner: tuple[Form, ...] = ()

    def __str__(self) -> str:
        return f"{self.name}({', '.join([str(self.number), *map(str, self.inner)])})"

    def names(self) -> set[str]:
        return {self.name}.union(*[f.names() for f in self.inner])


def weighed(y: Vector) -> Any:
    return cnp.sum(y * cnp.asarray(WEIGHTS))


def count(x: Vector, most: int) -> Any:
    """A number of steps that depends on the data, from 0 to `most`."""
    return lax.convert_element_type(cnp.floor(cnp.abs(x[0]) * 7), np.int32) % (most + 1)


def scaled(y: Vector, a: Any) -> Vector:
    """The value y with the derivatives of a y."""
    return a * y + lax.stop_gradient(y - a * y)


def _composed(a: Any, b: Any) -> Any:
    """Of two linear functions, one after the other."""
    return a[0] * b[0], a[1] * b[0] + b[1]


def _definite(x: Vector) -> Any:
    """A symmetric matrix with eigenvalues well apart."""
    return cnp.outer(x, x) * 0.3 + cnp.diag(cnp.asarray([1.0, 2.0, 3.5]))


LEAVES: tuple[Fun, ...] = (
    lambda x: cnp.sin(x * 1.5 + 0.3),
    lambda x: cnp.tanh(x) * cnp.roll(x, 1),
    lambda x: x.at[1].set(cnp.sum(x) * 0.3),
    lambda x: cnp.cos(cnp.asarray(MATRIX) @ x),
    lambda x: x / (1.0 + x * x),
    lambda x: cnp.where(x > 0.1, x * 0.7, cnp.cumsum(x) * 0.2),
    lambda x: checkpoint_name(cnp.sin(checkpoint_name(x * 0.7, "a")), "b"),
    lambda x: lax.dynamic_update_slice(x, x[:2] * 0.5, (np.int32(1),)),
    lambda x: lax.associative_scan(_composed, (cnp.cos(x), x * 0.5), reverse=True)[1],
    lambda x: cnp.sort(x)[::-1] * x,
    lambda x: cnp.concatenate([lax.top_k(x, 2)[0], lax.cummax(x)[1:2]]) * 0.7,
    lambda x: cnp.convolve(x, cnp.sin(x)[:2], mode="same"),
    lambda x: cnp.fft.irfft(cnp.fft.rfft(x) * (0.5 + 0.25j), 3),
    lambda x: cnp.linalg.solve(_definite(x), x),
    lambda x: cnp.linalg.cholesky(_definite(x))[2],
    lambda x: cnp.linalg.eigh(_definite(x))[0] * 0.3,
    lambda x: x.at[cnp.argsort(x)].add(x * 0.5).at[lax.rem(count(x, 5), 3)].multiply(0.8),
    lambda x: (
        x[cnp.argmax(x)] - 0.5 * cnp.take(x, cnp.asarray([2, 2, 0]) + count(x, 1), mode="clip")
    ),
    lambda x: cv.nn.softmax(x) + lax.cumlogsumexp(x * 0.5),
    lambda x: lax.reduce_window(cnp.sin(x), -np.inf, lax.max, (2,), (1,), "SAME") * x,
    lambda x: cnp.real(cnp.exp(1j * x) * lax.complex(x, cnp.ones(3, np.float64))),
    lambda x: lax.dynamic_slice(cnp.concatenate([x, x * x]), (count(x, 3),), (3,)),
)

# What a collective gives each element, from the list of all.
COLLECTIVES: tuple[tuple[Fun, Callable[[Sequence[Vector]], Sequence[Vector]]], ...] = (
    (lambda x: lax.psum(x, "r"), lambda xs: [sum(xs)] * 3),
    (lambda x: lax.pmean(x, "r"), lambda xs: [sum(xs) / 3] * 3),
    (lambda x: lax.ppermute(x, "r", [(0, 1), (1, 2)]), lambda xs: [0 * xs[0], xs[0], xs[1]]),
    (lambda x: lax.pshuffle(x, "r", [2, 0, 1]), lambda xs: [xs[2], xs[0], xs[1]]),
    (lambda x: lax.all_gather(x, "r")[1], lambda xs: [xs[1]] * 3),
    (lambda x: lax.all_gather(x, "r", tiled=True)[2:5], lambda xs: [cnp.concatenate(xs)[2:5]] * 3),
    (
        lambda x: lax.all_to_all(x, "r", 0, 0),
        lambda xs: [cnp.stack([x[i] for x in xs]) for i in range(3)],
    ),
    (lambda x: lax.pswapaxes(x, "r", 0), lambda xs: [cnp.stack(xs)[:, i] for i in range(3)]),
    (
        lambda x: lax.psum_scatter(x, "r") + x,
        lambda xs: [cnp.stack(xs).sum(0)[i] + x for i, x in enumerate(xs)],
    ),
    (lambda x: x * lax.axis_index("r"), lambda xs: [x * i for i, x in enumerate(xs)]),
    (lambda x: x * lax.axis_size("r"), lambda xs: [x * 3 for x in xs]),
)


class Plain:
    """What the forms mean, of lanes: Python runs them, one operation at a time."""

    def build(self, form: Form) -> Fun:
        return getattr(self, form.name)(form.number, *[self.build(f) for f in form.inner])

    def leaf(self, n: int) -> Fun:
        return lambda xs: [LEAVES[n % len(LEAVES)](x) for x in xs]

    def chain(self, n: int, f: Fun, g: Fun) -> Fun:
        return lambda xs: g(f(xs))

    def both(self, n: int, f: Fun, g: Fun) -> Fun:
        return lambda xs: [cnp.sin(a - b) for a, b in zip(f(xs), g(xs), strict=True)]

    # -- loops and choices -------------------------------------------------------------------------

    def scan(self, n: int, f: Fun) -> Fun:
        def run(xs: Any) -> Any:
            total = [0.0] * len(xs)
            for i in (2, 1, 0) if n % 2 else (0, 1, 2):
                xs = f([x + 0.1 * i for x in xs])
                products = [cnp.prod(cnp.cos(x)) for x in xs]
                total = [t + (i + 1) * p for t, p in zip(total, products, strict=True)]
            return [x + t for x, t in zip(xs, total, strict=True)]

        return run

    def fixed(self, n: int, f: Fun) -> Fun:
        return lambda xs: reduce(lambda c, i: [x + 0.1 * i for x in f(c)], range(n % 3), xs)

    def _while(self, xs: Any, go: Callable[[int, Any], bool], body: Fun) -> tuple[Any, list[int]]:
        """Each lane until it stops."""
        steps = [0] * len(xs)
        while any(going := [go(i, x) for i, x in zip(steps, xs, strict=True)]):
            after = body(xs)
            xs = [a if g else x for a, x, g in zip(after, xs, going, strict=True)]
            steps = [i + g for i, g in zip(steps, going, strict=True)]
        return xs, steps

    def times(self, n: int, f: Fun) -> Fun:
        def run(xs: Any) -> Any:
            most = [int(lax.stop_gradient(count(x, 3))) for x in xs]
            step = 0
            while step < max(most):
                after = f(xs)
                xs = [a if step < m else x for a, x, m in zip(after, xs, most, strict=True)]
                step += 1
            return xs

        return run

    def until(self, n: int, f: Fun) -> Fun:
        def run(xs: Any) -> Any:
            found, steps = self._while(
                xs,
                lambda i, x: i < 3 and bool(cnp.sum(x * x) < 1.5),
                lambda xs: [y + 0.25 for y in f(xs)],
            )
            return [x * (1 + i) for x, i in zip(found, steps, strict=True)]

        return run

    def cond(self, n: int, f: Fun, g: Fun) -> Fun:
        def run(xs: Any) -> Any:
            chosen = [bool(x[0] > 0.2) for x in xs]
            if len(xs) == 1:
                return f(xs) if chosen[0] else g(xs)
            return [a if c else b for a, b, c in zip(f(xs), g(xs), chosen, strict=True)]

        return run

    def switch(self, n: int, f: Fun, g: Fun) -> Fun:
        """Of which the index may be too small or too large."""

        def run(xs: Any) -> Any:
            chosen = [min(max(int(count(x, 4)) - 1, 0), 2) for x in xs]
            if len(xs) == 1:
                return (f, lambda xs: [x * 0.9 for x in xs], g)[chosen[0]](xs)
            each = f(xs), [x * 0.9 for x in xs], g(xs)
            return [each[c][i] for i, c in enumerate(chosen)]

        return run

    def guarded(self, n: int, f: Fun) -> Fun:
        return self.cond(0, f, lambda xs: [x * 0.8 for x in xs])

    def table(self, n: int, f: Fun) -> Fun:
        """Rows that each step writes, and reads of the step before."""

        def run(xs: Any) -> Any:
            tables = [[x * 0.0] * 3 for x in xs]
            for i in range(3):
                xs = f(xs)
                for x, rows in zip(xs, tables, strict=True):
                    rows[i] = x + 0.5 * rows[i - 1]
            return [sum(rows) / 3 + 0.1 * x * 3 for x, rows in zip(xs, tables, strict=True)]

        return run

    def filled(self, n: int, f: Fun) -> Fun:
        """As many rows as the data says."""

        def run(xs: Any) -> Any:
            most = [int(count(x, 3)) for x in xs]
            rows = [[x * 0.1] * 4 for x in xs]
            for step in range(max(most)):
                after = f(xs)
                for k, m in enumerate(most):
                    if step < m:
                        rows[k][step + 1] = rows[k][step] + after[k]
                xs = [a if step < m else x for a, x, m in zip(after, xs, most, strict=True)]
            return [sum(r) / 3 + x for r, x in zip(rows, xs, strict=True)]

        return run

    def around(self, n: int, f: Fun) -> Fun:
        """A loop that closes over where it began."""

        def run(xs: Any) -> Any:
            ys = xs
            for _ in range(2):
                ys = [y * 0.5 + cnp.sin(x) for x, y in zip(xs, f(ys), strict=True)]
            return ys

        return run

    def spread(self, n: int, f: Fun) -> Fun:
        def run(xs: Any) -> Any:
            parts = [f([x * s for x in xs]) for s in (0.5, 1.0)]
            return [cnp.sin(a) * 0.5 + b for a, b in zip(*parts, strict=True)]

        return run

    def divided(self, n: int, f: Fun) -> Fun:
        return lambda xs: [x / (2 + cnp.sin(y)) for x, y in zip(xs, f(xs), strict=True)]

    def mapped(self, n: int, f: Fun) -> Fun:
        def run(xs: Any) -> Any:
            parts = [f(part) for part in (xs, [x * 0.5 for x in xs], [x + 0.1 for x in xs])]
            return [sum(p) / 3 for p in zip(*parts, strict=True)]

        return run

    # -- named axes --------------------------------------------------------------------------------

    def rows(self, n: int, f: Fun) -> Fun:
        def run(xs: Any) -> Any:
            ys = f([x * (1.0 - 0.5 * k) + 0.1 * k for x in xs for k in range(3)])
            return [sum(ys[3 * i + k] * (k + 1) for k in range(3)) / 6 for i in range(len(xs))]

        return run

    def meet(self, n: int, f: Fun) -> Fun:
        meet = COLLECTIVES[n % len(COLLECTIVES)][1]

        def run(xs: Any) -> Any:
            met = [y for i in range(0, len(xs), 3) for y in meet(xs[i : i + 3])]
            return f([x * 0.5 + m * 0.2 for x, m in zip(xs, met, strict=True)])

        return run

    def by_rule(self, n: int, f: Fun) -> Fun:
        return lambda xs: f(xs) if len(xs) == 1 else [y * 1.2 for y in f(xs)]

    # -- transformations ---------------------------------------------------------------------------

    def _back(self, f: Fun, xs: Any, cts: Any) -> Any:
        return cv.vjp(f, xs)[1](cts)[0]

    def gradient(self, n: int, f: Fun) -> Fun:
        return lambda xs: [
            cnp.sin(g) for g in self._back(f, xs, [cnp.asarray(WEIGHTS) for _ in xs])
        ]

    def tangent(self, n: int, f: Fun) -> Fun:
        def run(xs: Any) -> Any:
            ys, ts = cv.jvp(f, (xs,), ([x * 0.5 + 1.0 for x in xs],))
            return [cnp.sin(t) + 0.1 * y for y, t in zip(ys, ts, strict=True)]

        return run

    def cotangent(self, n: int, f: Fun) -> Fun:
        def run(xs: Any) -> Any:
            ys, back = cv.vjp(f, xs)
            return [cnp.sin(b) for b in back([y + 0.5 for y in ys])[0]]

        return run

    def twist(self, n: int, f: Fun) -> Fun:
        """Forward over reverse."""

        def run(xs: Any) -> Any:
            weights = [cnp.asarray(WEIGHTS) for _ in xs]
            ts = cv.jvp(lambda xs: self._back(f, xs, weights), (xs,), (xs,))[1]
            return [cnp.sin(t) for t in ts]

        return run

    def linear(self, n: int, f: Fun) -> Fun:
        def run(xs: Any) -> Any:
            ys, ts = cv.jvp(f, (xs,), (xs,))
            return [cnp.sin(y + t * 1.3) for y, t in zip(ys, ts, strict=True)]

        return run

    def transposed(self, n: int, f: Fun) -> Fun:
        def run(xs: Any) -> Any:
            ys, back = cv.vjp(f, xs)
            return [cnp.sin(b) for b in back(ys)[0]]

        return run

    def jacobian(self, n: int, f: Fun) -> Fun:
        """Its product with x, or by rows its transpose's."""

        def run(xs: Any) -> Any:
            units = [[cnp.asarray(np.eye(3)[k]) for _ in xs] for k in range(3)]
            if n % 2:
                columns = [cv.jvp(f, (xs,), (e,))[1] for e in units]
                return [
                    cnp.sin(sum(c[i] * x[k] for k, c in enumerate(columns)))
                    for i, x in enumerate(xs)
                ]
            rows = [self._back(f, xs, e) for e in units]
            return [cnp.sin(cnp.stack([cnp.sum(r[i] * x) for r in rows])) for i, x in enumerate(xs)]

        return run

    # -- rules -------------------------------------------------------------------------------------

    def scales(self, n: int, f: Fun) -> Fun:
        return lambda xs: [scaled(y, cnp.asarray(SCALES)) for y in f(xs)]

    own_jvp = own_vjp = own_zeros = scales

    def root(self, n: int, f: Fun) -> Fun:
        def run(xs: Any) -> Any:
            ys = targets = f(xs)
            for _ in range(40):
                ys = [t - 0.2 * cnp.sin(y) for y, t in zip(ys, targets, strict=True)]
            return ys

        return run

    def solve(self, n: int, f: Fun) -> Fun:
        inverse = np.linalg.inv(2 * np.eye(3) + MATRIX)
        return lambda xs: f([cnp.asarray(inverse) @ x for x in xs])

    def call(self, n: int, f: Fun) -> Fun:
        return lambda xs: f([x * cnp.asarray(SCALES) for x in xs])

    def stop(self, n: int, f: Fun) -> Fun:
        return lambda xs: f([lax.stop_gradient(x) * 0.5 + x * 0.5 for x in xs])

    def sine(self, n: int, f: Fun) -> Fun:
        return lambda xs: [cnp.sin(y) for y in f(xs)]

    def same(self, n: int, f: Fun) -> Fun:
        return f

    jit = keep = one_by_one = barrier = closed = checked = read = same

    # -- effects and references --------------------------------------------------------------------

    def say(self, n: int, f: Fun) -> Fun:
        def run(xs: Any) -> Any:
            log.extend([(n, float(lax.stop_gradient(x[0]))) for x in xs])
            return f(xs)

        return run

    def cell(self, n: int, f: Fun, g: Fun) -> Fun:
        def run(xs: Any) -> Any:
            for i in range(2):
                xs = [x + 0.1 * i for x in self.cond(0, f, g)(xs)]
            return xs

        return run

    def row(self, n: int, f: Fun) -> Fun:
        def run(xs: Any) -> Any:
            total = [0.0 * x for x in xs]
            for _ in range(3):
                xs = f(xs)
                total = [t + x for t, x in zip(total, xs, strict=True)]
            return [t / 3 + x for t, x in zip(total, xs, strict=True)]

        return run


INNER = {"chain": 2, "both": 2, "cond": 2, "switch": 2, "cell": 2}  # of the others one
CONTROL = ("chain", "both", "scan", "fixed", "times", "until", "cond", "jit")
FIRST_ORDER = ("gradient", "tangent", "cotangent")
ALL = (
    *CONTROL, *FIRST_ORDER, "mapped", "rows", "meet", "by_rule", "linear", "transposed", "jacobian", "own_jvp",
    "own_vjp", "own_zeros", "root", "solve", "call", "stop", "sine", "keep", "one_by_one", "barrier",
    "closed", "checked", "read", "cell", "row", "switch", "guarded", "table", "filled", "around", "spread",
    "divided", "twist",
)  # fmt: skip
# What pushes tangents through what is inside, which a custom_vjp function refuses.
FORWARD = {
    "tangent",
    "twist",
    "linear",
    "transposed",
    "jacobian",
    "own_jvp",
    "own_zeros",
    "root",
    "sine",
}
BACKWARD_ONLY = {"own_vjp"}
# Where lanes stop at different steps, or which branch one takes depends on it, they cannot meet.
APART = {"times", "until", "cond", "switch", "guarded", "filled", "cell"}
DERIVING = {*FIRST_ORDER, *FORWARD, *BACKWARD_ONLY}


def random_form(rng: random.Random, depth: int, names: Sequence[str], refused: set[str]) -> Form:
    """A form of that depth at most, of these names."""
    number = rng.randrange(2 * len(LEAVES))
    if depth == 0:
        return Form("leaf", number)
    name = rng.choice([n for n in names if n not in refused])
    refused = set(refused)
    if name == "rows":
        refused.discard("meet")
    if name in APART:
        refused.add("meet")
    if name in FORWARD:
        refused |= BACKWARD_ONLY
    if name in DERIVING:
        refused.add("by_rule")  # whose derivative is another one in each mode
    if name in ("one_by_one", "by_rule", "mapped"):
        refused |= {"meet"}  # what is inside runs without the axis, or an element at a time
    inner = [
        random_form(rng, depth - 1 if k == 0 else rng.randrange(depth), names, refused)
        for k in range(INNER.get(name, 1))
    ]
    return Form(name, number, tuple(inner))
