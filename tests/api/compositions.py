"""Random compositions of rules, effects, references, named axes and transformations, each also as plain Python.

A *form* makes a function of a vector from others.  `Real` makes it by what Covector has for it.  `Plain` says what it
means: its functions take and give *lanes*, the vectors of all elements that `vmap` would run side by side, so that
what a collective does is an operation on a list.  Rules of the user's scale the derivative, so one that is lost shows:
a function whose value is y and whose derivatives are those of a y, of any order, is a y + stop_gradient(y - a y).
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
from covector.custom_batching import custom_vmap, sequential_vmap
from covector.custom_derivatives import SymbolicZero, linear_call
from covector.experimental import checkify, io_callback

Vector = Any
Fun = Callable[[Any], Any]
MATRIX = np.array([[0.3, -0.2, 0.5], [0.1, 0.4, -0.3], [-0.6, 0.2, 0.1]])
WEIGHTS = np.array([1.0, -0.5, 0.25])
SCALES = np.array([1.5, 0.7, 1.2])
STEPS = np.arange(3.0)
log: list[tuple[int, float]] = []  # what effects saw, in their order

policies = cv.checkpoint_policies
POLICIES: tuple[Any, ...] = (
    None,
    policies.everything_saveable,
    policies.dots_saveable,
    policies.save_only_these_names("a"),
    policies.save_any_names_but_these("b"),
    policies.save_from_both_policies(policies.dots_saveable, policies.save_only_these_names("b")),
)


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


LEAVES: tuple[Fun, ...] = (
    lambda x: cnp.sin(x * 1.5 + 0.3),
    lambda x: cnp.tanh(x) * cnp.roll(x, 1),
    lambda x: x.at[1].set(cnp.sum(x) * 0.3),
    lambda x: cnp.cos(cnp.asarray(MATRIX) @ x),
    lambda x: x / (1.0 + x * x),
    lambda x: cnp.where(x > 0.1, x * 0.7, cnp.cumsum(x) * 0.2),
    lambda x: checkpoint_name(cnp.sin(checkpoint_name(x * 0.7, "a")), "b"),
    lambda x: lax.dynamic_update_slice(x, x[:2] * 0.5, (np.int32(1),)),
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


class Real:
    """The same, of one vector, by what Covector has for it."""

    build = Plain.build

    def leaf(self, n: int) -> Fun:
        return LEAVES[n % len(LEAVES)]

    def chain(self, n: int, f: Fun, g: Fun) -> Fun:
        return lambda x: g(f(x))

    def both(self, n: int, f: Fun, g: Fun) -> Fun:
        return lambda x: cnp.sin(f(x) - g(x))

    def scan(self, n: int, f: Fun) -> Fun:
        def step(c: Vector, i: Any) -> tuple[Vector, Any]:
            c = f(c + 0.1 * i)
            return c, cnp.prod(cnp.cos(c))

        def run(x: Vector) -> Vector:
            steps = cnp.asarray(STEPS)
            x, ys = lax.scan(step, x, steps, reverse=bool(n % 2), unroll=1 + n % 3)
            return x + cnp.dot(ys, steps + 1)

        return run

    def fixed(self, n: int, f: Fun) -> Fun:
        return lambda x: lax.fori_loop(0, n % 3, lambda i, c: f(c) + 0.1 * i, x)

    def times(self, n: int, f: Fun) -> Fun:
        return lambda x: lax.fori_loop(0, count(x, 3), lambda _, c: f(c), x)

    def until(self, n: int, f: Fun) -> Fun:
        def run(x: Vector) -> Vector:
            i, x = lax.while_loop(
                lambda c: (c[0] < 3) & (cnp.sum(c[1] * c[1]) < 1.5),
                lambda c: (c[0] + 1, f(c[1]) + 0.25),
                (0, x),
            )
            return x * (1 + i)

        return run

    def cond(self, n: int, f: Fun, g: Fun) -> Fun:
        if n % 2:
            return lambda x: lax.switch(lax.convert_element_type(x[0] > 0.2, np.int32), [g, f], x)
        return lambda x: lax.cond(x[0] > 0.2, f, g, x)

    def mapped(self, n: int, f: Fun) -> Fun:
        size = (None, 1, 2, 3)[n % 4]
        return lambda x: lax.map(f, cnp.stack([x, x * 0.5, x + 0.1]), batch_size=size).sum(0) / 3

    def rows(self, n: int, f: Fun) -> Fun:
        def run(x: Vector) -> Vector:
            k = cnp.asarray(STEPS)[:, None]
            xs = x * (1.0 - 0.5 * k) + 0.1 * k
            each = cv.vmap(f, in_axes=n % 2, out_axes=1, axis_name="r")
            return (each(xs.T if n % 2 else xs) * (k[:, 0] + 1)).sum(1) / 6

        return run

    def meet(self, n: int, f: Fun) -> Fun:
        meet = COLLECTIVES[n % len(COLLECTIVES)][0]
        return lambda x: f(x * 0.5 + meet(x) * 0.2)

    def by_rule(self, n: int, f: Fun) -> Fun:
        g = custom_vmap(f)
        g.def_vmap(lambda size, batched, x: (cv.vmap(f, axis_name="r")(x) * 1.2, True))
        return g

    def gradient(self, n: int, f: Fun) -> Fun:
        if n % 2:
            return lambda x: cnp.sin(cv.value_and_grad(lambda x: weighed(f(x)))(x)[1])
        return lambda x: cnp.sin(cv.grad(lambda x: (weighed(f(x)), x), has_aux=True)(x)[0])

    def tangent(self, n: int, f: Fun) -> Fun:
        def run(x: Vector) -> Vector:
            y, t = cv.jvp(f, (x,), (x * 0.5 + 1.0,))
            return cnp.sin(t) + 0.1 * y

        return run

    def cotangent(self, n: int, f: Fun) -> Fun:
        def run(x: Vector) -> Vector:
            y, back = cv.vjp(f, x)
            return cnp.sin((cv.jit(back) if n % 2 else back)(y + 0.5)[0])

        return run

    def linear(self, n: int, f: Fun) -> Fun:
        def run(x: Vector) -> Vector:
            y, push = cv.linearize(f, x)
            return cnp.sin(y + push(x) + cv.vmap(push)(cnp.stack([x, x * 2])).sum(0) * 0.1)

        return run

    def transposed(self, n: int, f: Fun) -> Fun:
        def run(x: Vector) -> Vector:
            y, push = cv.linearize(f, x)
            return cnp.sin(cv.linear_transpose(push, x)(y)[0])

        return run

    def jacobian(self, n: int, f: Fun) -> Fun:
        return lambda x: cnp.sin((cv.jacfwd if n % 2 else cv.jacrev)(f)(x) @ x)

    def own_jvp(self, n: int, f: Fun) -> Fun:
        g = cv.custom_jvp(f)
        g.defjvp(lambda xs, ts: (g(*xs), cv.jvp(f, xs, ts)[1] * cnp.asarray(SCALES)))
        return g

    def own_zeros(self, n: int, f: Fun) -> Fun:
        """With symbolic zeros, of which one is among the tangents."""
        g = cv.custom_jvp(lambda x, a: f(x) + 0.0 * a)

        def rule(xs: Any, ts: Any) -> Any:
            assert type(ts[1]) is SymbolicZero
            x, t = xs[0], ts[0]
            if type(t) is SymbolicZero:
                return g(*xs), cnp.zeros(3, np.float64)
            return g(*xs), cv.jvp(f, (x,), (t,))[1] * cnp.asarray(SCALES)

        g.defjvp(rule, symbolic_zeros=True)
        return lambda x: g(x, 2.0)

    def own_vjp(self, n: int, f: Fun) -> Fun:
        g, scales = cv.custom_vjp(f), cnp.asarray(SCALES)
        forward: tuple[Any, Any] = (
            lambda x: (g(x), x),
            lambda x, ct: cv.vjp(f, x)[1](ct * scales),
        )
        if n % 3 == 1:  # a pullback is what is kept
            forward = lambda x: (g(x), cv.vjp(f, x)[1]), lambda back, ct: back(ct * scales)
        g.defvjp(*forward, optimize_remat=n % 3 == 2)
        return g

    def root(self, n: int, f: Fun) -> Fun:
        def run(x: Vector) -> Vector:
            def of(y: Vector) -> Vector:
                return y + 0.2 * cnp.sin(y) - f(x)

            def steps(of: Fun, y: Vector) -> Vector:
                return lax.fori_loop(0, 40, lambda _, y: y - of(y), y)

            return lax.custom_root(
                of,
                cnp.zeros(3, np.float64),
                steps,
                lambda g, y: cnp.linalg.solve(cv.jacobian(g)(y), y),
            )

        return run

    def solve(self, n: int, f: Fun) -> Fun:
        a = 2 * np.eye(3) + MATRIX

        def run(x: Vector) -> Vector:
            return f(
                lax.custom_linear_solve(
                    lambda v: cnp.asarray(a) @ v,
                    x,
                    lambda _, b: cnp.linalg.solve(cnp.asarray(a), b),
                    lambda _, b: cnp.linalg.solve(cnp.asarray(a.T), b),
                )
            )

        return run

    def call(self, n: int, f: Fun) -> Fun:
        return lambda x: f(
            linear_call(lambda r, x: x * r, lambda r, c: c * r, cnp.asarray(SCALES), x)
        )

    def stop(self, n: int, f: Fun) -> Fun:
        return lambda x: f(lax.stop_gradient(x) * 0.5 + x * 0.5)

    def sine(self, n: int, f: Fun) -> Fun:
        """By callbacks, whose derivatives are callbacks."""
        turns = [np.sin, np.cos, lambda x: -np.sin(x), lambda x: -np.cos(x)]
        method = ("sequential", "expand_dims", "broadcast_all")[n % 3]

        def turn(k: int) -> Any:
            def called(x: Vector) -> Vector:
                aval = cv.ShapeDtypeStruct(x.shape, x.dtype)
                return cv.pure_callback(turns[k % 4], aval, x, vmap_method=method)

            g = cv.custom_jvp(called)
            g.defjvp(lambda xs, ts: (g(*xs), turn(k + 1)(*xs) * ts[0]))
            return g

        return lambda x: turn(0)(f(x))

    def jit(self, n: int, f: Fun) -> Fun:
        return cv.jit(f)

    def keep(self, n: int, f: Fun) -> Fun:
        policy = POLICIES[n % len(POLICIES)]
        return cv.checkpoint(f, policy=policy, prevent_cse=n % 4 > 0)

    def one_by_one(self, n: int, f: Fun) -> Fun:
        return sequential_vmap(f)

    def barrier(self, n: int, f: Fun) -> Fun:
        return lambda x: lax.optimization_barrier({"y": f(x), "x": x})["y"]

    def closed(self, n: int, f: Fun) -> Fun:
        def run(x: Vector) -> Vector:
            g, more = cv.closure_convert(lambda z: f(x) + 0.0 * z, x)
            return g(x, *more)

        return run

    def checked(self, n: int, f: Fun) -> Fun:
        sets = (
            checkify.user_checks,
            checkify.nan_checks,
            checkify.index_checks,
            checkify.all_checks,
        )

        def run(x: Vector) -> Vector:
            def with_check(x: Vector) -> Vector:
                checkify.check(cnp.sum(x) < 100, "too large: {}", x[0])
                return f(x)

            return checkify.checkify(with_check, errors=sets[n % 4])(x)[1]

        return run

    def read(self, n: int, f: Fun) -> Fun:
        """Of a reference that a jitted function, or a plain one, takes and writes."""

        def run(x: Vector) -> Vector:
            ref = cv.new_ref(cnp.zeros(3, np.float64))

            def write(ref: Any, x: Vector) -> None:
                ref[1:] = f(x)[1:]
                ref[0] += f(x)[0]

            (cv.jit(write) if n % 2 else write)(ref, x)
            return cv.freeze(ref)

        return run

    def say(self, n: int, f: Fun) -> Fun:
        def run(x: Vector) -> Vector:
            def note(value: Any) -> Any:
                log.append((n, float(value)))
                return value

            seen = lax.stop_gradient(x[0])
            if n % 2:
                cv.debug.callback(note, seen, ordered=True)
            else:
                io_callback(note, cv.ShapeDtypeStruct((), seen.dtype), seen, ordered=True)
            return f(x)

        return run

    def cell(self, n: int, f: Fun, g: Fun) -> Fun:
        """In a reference, which a branch in a loop writes."""

        def run(x: Vector) -> Vector:
            ref = cv.new_ref(x)

            def step(i: Any, nothing: None) -> None:
                more = 0.1 * lax.convert_element_type(i, np.float64)

                def one() -> None:
                    ref[...] = f(ref[...]) + more

                def other() -> None:
                    ref[...] = g(ref[...]) + more

                lax.cond(ref[0] > 0.2, one, other)

            lax.fori_loop(0, 2, step, None)
            return ref[...]

        return run

    def row(self, n: int, f: Fun) -> Fun:
        """In a reference, of which each step of a loop writes a row."""

        def run(x: Vector) -> Vector:
            ref = cv.new_ref(cnp.zeros((3, 3), np.float64))

            def step(c: Vector, i: Any) -> Any:
                c = f(c)
                ref[i] = c
                return c, None

            last, _ = lax.scan(step, x, cnp.arange(3))
            return ref[...].sum(0) / 3 + last

        return run


INNER = {"chain": 2, "both": 2, "cond": 2, "cell": 2}  # of the others one
CONTROL = ("chain", "both", "scan", "fixed", "times", "until", "cond", "jit")
FIRST_ORDER = ("gradient", "tangent", "cotangent")
ALL = (
    *CONTROL, *FIRST_ORDER, "mapped", "rows", "meet", "by_rule", "linear", "transposed", "jacobian", "own_jvp",
    "own_vjp", "own_zeros", "root", "solve", "call", "stop", "sine", "keep", "one_by_one", "barrier",
    "closed", "checked", "read", "cell", "row",
)  # fmt: skip
# What pushes tangents through what is inside, which a custom_vjp function refuses.
FORWARD = {"tangent", "linear", "transposed", "jacobian", "own_jvp", "own_zeros", "root", "sine"}
BACKWARD_ONLY = {"own_vjp"}
# Where lanes stop at different steps, or which branch one takes depends on it, they cannot meet.
APART = {"times", "until", "cond", "cell"}
DERIVING = {*FIRST_ORDER, *FORWARD, *BACKWARD_ONLY}


def random_form(rng: random.Random, depth: int, names: Sequence[str], refused: set[str]) -> Form:
    """A form of that depth at most, of these names."""
    number = rng.randrange(12)
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
