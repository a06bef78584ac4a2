"""Random compositions of control flow, transformations and rules, each also as plain Python.

A *form* makes a function of a vector from other functions of a vector.  `Compiled` makes it by what Covector has for
it, `Plain` by Python's own loops, choices and calls, which is what it must mean.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np
from hypothesis import strategies as st

import covector as cv
import covector.numpy as cnp
from covector import lax

SIZE = 3
Vector = Any
Fun = Callable[[Vector], Vector]
MATRIX = np.array([[0.3, -0.2, 0.5], [0.1, 0.4, -0.3], [-0.6, 0.2, 0.1]])


@dataclass(frozen=True)
class Form:
    """One of the methods of `Compiled` and `Plain`, with the numbers and the forms that it is made of."""

    name: str
    numbers: tuple[int, ...]
    inner: tuple[Form, ...]

    def __str__(self) -> str:
        return f"{self.name}({', '.join([*map(str, self.numbers), *map(str, self.inner)])})"


def count(x: Vector, most: int) -> Any:
    """A number of steps that depends on the data, from 0 to `most`."""
    return lax.convert_element_type(cnp.floor(cnp.abs(x[0]) * 7), np.int32) % (most + 1)


def total(f: Fun) -> Callable[[Vector], Any]:
    weights = cnp.asarray(np.array([1.0, -0.5, 0.25]))
    return lambda x: cnp.sum(f(x) * weights)


class Plain:
    """What the forms mean: Python runs them, one operation at a time."""

    def __init__(self, *outside: Vector) -> None:
        self.outside = outside  # values that functions close over

    def build(self, form: Form) -> Fun:
        parts = [self.build(x) for x in form.inner]
        return getattr(self, form.name)(*form.numbers, *parts)

    # -- what they have in common ------------------------------------------------------------------

    def leaf(self, kind: int) -> Fun:
        return [
            lambda x: cnp.sin(x * 1.5 + 0.3),
            lambda x: cnp.tanh(x) * cnp.roll(x, 1),
            lambda x: x.at[1].set(cnp.sum(x) * 0.3),
            lambda x: cnp.cos(cnp.asarray(MATRIX) @ x),
            lambda x: x / (1.0 + x * x) + self.outside[0] * 0.2,
            lambda x: cnp.where(x > 0.1, x * 0.7, cnp.cumsum(x) * 0.2),
            lambda x: cnp.sort(x)[::-1] * 0.8 + self.outside[-1] * x,
            lambda x: x.at[cnp.argmin(x)].add(0.5 * x[2]),
        ][kind]

    def chain(self, f: Fun, g: Fun) -> Fun:
        return lambda x: g(f(x))

    def both(self, f: Fun, g: Fun) -> Fun:
        return lambda x: cnp.sin(f(x) - g(x))

    # -- loops and choices -------------------------------------------------------------------------

    def scan(self, length: int, reverse: int, unroll: int, f: Fun) -> Fun:
        def run(x: Vector) -> Vector:
            ys = [None] * length
            for i in sorted(range(length), reverse=bool(reverse)):
                x = f(x + 0.1 * i)
                ys[i] = cnp.prod(cnp.cos(x))
            return x if not length else x + cnp.dot(cnp.stack(ys), cnp.arange(1.0, length + 1))

        return run

    def times(self, most: int, f: Fun) -> Fun:
        return lambda x: reduce(lambda c, _: f(c), range(int(count(x, most))), x)

    def until(self, most: int, f: Fun) -> Fun:
        def run(x: Vector) -> Vector:
            i = 0
            while i < most and bool(cnp.sum(x * x) < 1.5):
                i, x = i + 1, f(x) + 0.25
            return x * (1 + i)

        return run

    def cond(self, f: Fun, g: Fun) -> Fun:
        return lambda x: f(x) if x[0] > 0.2 else g(x)

    def switch(self, f: Fun, g: Fun, h: Fun) -> Fun:
        return lambda x: (f, g, h)[int(count(x, 2))](x)

    # -- transformations and rules -----------------------------------------------------------------

    def rows(self, axis: int, f: Fun) -> Fun:
        def run(x: Vector) -> Vector:
            return sum([f(x * (1.0 - 0.5 * k) + 0.1 * k) * (k + 1) for k in range(3)]) / 6

        return run

    def same(self, f: Fun) -> Fun:
        return f

    jit = checkpoint = custom_jvp = custom_vjp = same

    def callback(self, f: Fun) -> Fun:
        return lambda x: cnp.sin(f(x))

    def gradient(self, f: Fun) -> Fun:
        return lambda x: cnp.sin(cv.grad(total(f))(x))

    def tangent(self, f: Fun) -> Fun:
        return lambda x: cnp.sin(cv.jvp(f, (x,), (x * 0.5 + 1.0,))[1])

    def cotangent(self, f: Fun) -> Fun:
        def run(x: Vector) -> Vector:
            y, back = cv.vjp(f, x)
            return cnp.sin(back(y + 0.5)[0])

        return run

    def linear(self, f: Fun) -> Fun:
        def run(x: Vector) -> Vector:
            y, push = cv.linearize(f, x)
            return cnp.sin(y + push(x))

        return run


class Compiled(Plain):
    """The same, by what Covector has for it."""

    def scan(self, length: int, reverse: int, unroll: int, f: Fun) -> Fun:
        def step(c: Vector, i: Any) -> tuple[Vector, Any]:
            c = f(c + 0.1 * i)
            return c, cnp.prod(cnp.cos(c))

        def run(x: Vector) -> Vector:
            steps = cnp.asarray(np.arange(length, dtype=np.float64))
            x, ys = lax.scan(step, x, steps, reverse=bool(reverse), unroll=unroll)
            return x + cnp.dot(ys, steps + 1)

        return run

    def times(self, most: int, f: Fun) -> Fun:
        return lambda x: lax.fori_loop(0, count(x, most), lambda _, c: f(c), x)

    def until(self, most: int, f: Fun) -> Fun:
        def run(x: Vector) -> Vector:
            i, x = lax.while_loop(
                lambda c: (c[0] < most) & (cnp.sum(c[1] * c[1]) < 1.5),
                lambda c: (c[0] + 1, f(c[1]) + 0.25),
                (0, x),
            )
            return x * (1 + i)

        return run

    def cond(self, f: Fun, g: Fun) -> Fun:
        return lambda x: lax.cond(x[0] > 0.2, f, g, x)

    def switch(self, f: Fun, g: Fun, h: Fun) -> Fun:
        return lambda x: lax.switch(count(x, 2), [f, g, h], x)

    def rows(self, axis: int, f: Fun) -> Fun:
        def run(x: Vector) -> Vector:
            k = cnp.asarray(np.arange(3.0))[:, None]
            xs = x * (1.0 - 0.5 * k) + 0.1 * k
            ys = cv.vmap(f, in_axes=axis, out_axes=1)(xs if axis == 0 else xs.T)
            return (ys * (k[:, 0] + 1)).sum(1) / 6

        return run

    def jit(self, f: Fun) -> Fun:
        return cv.jit(f)

    def checkpoint(self, f: Fun) -> Fun:
        return cv.checkpoint(f)

    def custom_jvp(self, f: Fun) -> Fun:
        g = cv.custom_jvp(f)
        g.defjvp(lambda primals, tangents: cv.jvp(f, primals, tangents))
        return g

    def custom_vjp(self, f: Fun) -> Fun:
        g = cv.custom_vjp(f)
        g.defvjp(lambda x: (f(x), x), lambda x, ct: cv.vjp(f, x)[1](ct))
        return g

    def callback(self, f: Fun) -> Fun:
        def on_host(function: Any, x: Vector) -> Vector:
            aval = cv.ShapeDtypeStruct(x.shape, x.dtype)
            return cv.pure_callback(function, aval, x, vmap_method="expand_dims")

        turns = [np.sin, np.cos, lambda x: -np.sin(x), lambda x: -np.cos(x)]

        def turn(k: int) -> Any:
            g = cv.custom_jvp(lambda x: on_host(turns[k % 4], x))
            g.defjvp(lambda xs, ts: (g(*xs), turn(k + 1)(*xs) * ts[0]))
            return g

        return lambda x: turn(0)(f(x))


_INNER = {
    "chain": 2, "both": 2, "scan": 1, "times": 1, "until": 1, "cond": 2, "switch": 3, "rows": 1, "jit": 1,
    "checkpoint": 1, "custom_jvp": 1, "custom_vjp": 1, "callback": 1, "gradient": 1, "tangent": 1, "cotangent": 1,
    "linear": 1,
}  # fmt: skip
_NUMBERS = {
    "scan": ((0, 4), (0, 1), (1, 3)), "times": ((0, 3),), "until": ((0, 4),), "rows": ((0, 1),),
}  # fmt: skip
LEAVES, CLOSING = frozenset(range(8)), frozenset((4, 6))  # all kinds; those that close over a value
# These push tangents through what is inside, which a custom_vjp function refuses.
FORWARD = {"tangent", "linear", "custom_jvp"}


@st.composite
def forms(draw: Any, depth: int = 3, without: Sequence[str] = ()) -> Form:
    """A form of that depth at most."""
    if depth == 0:
        kinds = LEAVES - CLOSING if "closing" in without else LEAVES
        return Form("leaf", (draw(st.sampled_from(sorted(kinds))),), ())
    name = draw(st.sampled_from(sorted(_INNER.keys() - set(without))))
    numbers = tuple(draw(st.integers(*bounds)) for bounds in _NUMBERS.get(name, ()))
    if name in FORWARD:
        without = [*without, "custom_vjp"]
    if name in ("custom_jvp", "custom_vjp"):
        without = [*without, "closing"]  # rules refuse closures over what is differentiated
    inner = [
        draw(forms(draw(st.integers(0 if k else depth - 1, depth - 1)), without))
        for k in range(_INNER[name])
    ]
    return Form(name, numbers, tuple(inner))
