"""Random programs on references against the same on plain cells of NumPy arrays, nested, under every transformation.

A program is a tree of statements, which two interpreters run: `Oracle` with Python's loops on NumPy, `Ours` with loops,
branches, jitted and checkpointed functions of the package, as the tree says.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

import covector as cv
import covector.numpy as cnp
from covector import lax

Statement = tuple[Any, ...]
KINDS = ("scan", "fori", "while", "cond", "switch", "jit", "checkpoint", "unrolled")
SIZE = 3


def expression(random: np.random.Generator, depth: int) -> Statement:
    """A number: of x, the loop's counter, constants, and elements of references."""
    if depth == 0 or random.random() < 0.3:
        return (
            ("x",),
            ("counter",),
            ("constant", round(float(random.uniform(-1, 1)), 2)),
            ("element", int(random.integers(2)), index(random)),
            ("whole",),
        )[random.integers(5)]
    kind = ("sin", "mul", "add")[random.integers(3)]
    return kind, expression(random, depth - 1), expression(random, depth - 1)


def index(random: np.random.Generator) -> int | None:
    """A place, or None: the counter modulo the size."""
    return None if random.random() < 0.5 else int(random.integers(SIZE))


def statements(random: np.random.Generator, depth: int) -> list[Statement]:
    made: list[Statement] = []
    for _ in range(random.integers(1, 4)):
        if depth and random.random() < 0.6:
            kind = KINDS[random.integers(len(KINDS))]
            count = {"cond": 2, "switch": 3}.get(kind, 1)
            bodies = [statements(random, depth - 1) for _ in range(count)]
            made.append((kind, int(random.integers(0, 4)), index(random), bodies))
        else:
            how = ("set", "add", "addupdate", "fill")[random.integers(4)]
            made.append((how, int(random.integers(2)), index(random), expression(random, 2)))
    return made


class Machine:
    """What both interpreters share: cells 0 and 1 have three elements, cell 2 is a number."""

    sin: Any
    double: Any

    def __init__(self, cells: Sequence[Any], x: Any):
        self.cells, self.x = cells, x

    def value(self, e: Statement, i: Any) -> Any:
        kind, *rest = e
        if kind == "x":
            return self.x
        if kind == "counter":
            return 0.125 * self.double(i)
        if kind == "constant":
            return self.double(rest[0])
        if kind == "element":
            return self.cells[rest[0]][i % SIZE if rest[1] is None else rest[1]]
        if kind == "whole":
            return 0.5 * self.cells[2][...]
        a, b = self.value(rest[0], i), self.value(rest[1], i)
        return self.sin(a) * 0.9 if kind == "sin" else 0.5 * a * b if kind == "mul" else a + 0.5 * b

    def run(self, body: list[Statement], i: Any) -> None:
        for kind, number, place, rest in body:
            if isinstance(rest, list):
                self.block(kind, number, place, rest, i)
                continue
            at = i % SIZE if place is None else place
            cell, total = self.cells[number], self.cells[2]
            value = self.value(rest, i)
            if kind == "fill":
                cell[...] = cell[...] * 0.5 + value
            elif kind == "set":
                cell[at] = value
                total[...] = total[...] * 0.5 + value
            elif kind == "add":
                cell[at] += value
            else:
                self.add(cell, at, value)

    def add(self, cell: Any, at: Any, value: Any) -> None:
        raise NotImplementedError

    def block(self, kind: str, number: int, place: Any, bodies: list[Any], i: Any) -> None:
        raise NotImplementedError

    def chosen(self, place: Any, i: Any) -> Any:
        """A truth value of data."""
        return self.cells[0][i % SIZE if place is None else place] > 0.2


class Oracle(Machine):
    sin = staticmethod(math.sin)
    double = staticmethod(float)

    def add(self, cell: Any, at: Any, value: Any) -> None:
        cell[at] += value

    def block(self, kind: str, number: int, place: Any, bodies: list[Any], i: Any) -> None:
        if kind in ("jit", "checkpoint"):
            self.run(bodies[0], i)
        elif kind == "cond":
            self.run(bodies[0 if self.chosen(place, i) else 1], i)
        elif kind == "switch":
            self.run(bodies[(i + number) % 3], i)
        else:
            for j in range(number):
                self.run(bodies[0], j)


class Ours(Machine):
    sin = staticmethod(cnp.sin)
    double = staticmethod(lambda i: cnp.asarray(i, "float64"))

    def add(self, cell: Any, at: Any, value: Any) -> None:
        cv.ref.addupdate(cell, at, value)

    def block(self, kind: str, number: int, place: Any, bodies: list[Any], i: Any) -> None:
        runs: list[Callable[[Any], None]] = [lambda j, b=b: self.run(b, j) for b in bodies]
        body = runs[0]
        if kind == "jit":
            cv.jit(body)(i)
        elif kind == "checkpoint":
            cv.checkpoint(body)(i)
        elif kind == "cond":
            lax.cond(self.chosen(place, i), *runs, i)
        elif kind == "switch":
            lax.switch((i + number) % 3, runs, i)
        elif kind == "scan":
            lax.scan(lambda _, j: (None, body(j)), None, cnp.arange(number))
        elif kind == "fori":
            lax.fori_loop(0, number, lambda j, _: body(j), None)
        elif kind == "while":

            def step(j: Any) -> Any:
                body(j)
                return j + 1

            lax.while_loop(lambda j: j < number, step, 0)
        else:
            for j in range(number):
                body(j)


def start() -> list[np.ndarray]:
    return [np.array([0.1, 0.5, -0.3]), np.zeros(SIZE), np.array(0.25)]


def expected(body: list[Statement], x: float) -> list[np.ndarray]:
    cells = start()
    cells[0][1] = x
    Oracle(cells, x).run(body, 0)
    return cells


def inside(body: list[Statement], x: Any) -> Any:
    """A number, by references that are made inside."""
    refs = [cv.new_ref(cnp.asarray(v)) for v in start()]
    refs[0][1] = x
    Ours(refs, x).run(body, 0)
    return refs[0][...].sum() + 2 * refs[1][...].sum() + 3 * refs[2][...]


def number_of(cells: Sequence[np.ndarray]) -> float:
    return float(cells[0].sum() + 2 * cells[1].sum() + 3 * cells[2])


@pytest.mark.parametrize("seed", range(14))
def test_programs_on_references(seed: int) -> None:
    random = np.random.default_rng(seed)
    body = statements(random, 2)
    x = float(random.uniform(0.3, 1.2))
    wanted = expected(body, x)

    # Made outside: run as it is, and jitted with them captured, and passed.
    refs = [cv.new_ref(cnp.asarray(v)) for v in start()]
    point = cnp.asarray(np.float64(x))

    def run(cells: Sequence[Any], x: Any) -> None:
        cells[0][1] = x
        Ours(cells, x).run(body, 0)

    run(refs, point)
    for ref, value in zip(refs, wanted, strict=True):
        np.testing.assert_allclose(ref[...], value, rtol=1e-12, atol=1e-13)
    for form in (cv.jit(lambda x: run(refs, x)), lambda x: cv.jit(run)(refs, x)):
        for ref, value in zip(refs, start(), strict=True):
            ref[...] = value
        form(point)
        for ref, value in zip(refs, wanted, strict=True):
            np.testing.assert_allclose(ref[...], value, rtol=1e-12, atol=1e-13)

    # Made inside: a function of x, with all its derivatives.
    def f(x: Any) -> Any:
        return inside(body, x)

    step = 1e-6
    slope = (number_of(expected(body, x + step)) - number_of(expected(body, x - step))) / (2 * step)
    near = {"rtol": 2e-6, "atol": 1e-7}
    np.testing.assert_allclose(cv.jit(f)(point), number_of(wanted), rtol=1e-12)
    np.testing.assert_allclose(cv.grad(f)(point), slope, **near)
    np.testing.assert_allclose(cv.jit(cv.grad(f))(point), slope, **near)
    np.testing.assert_allclose(cv.jvp(f, (point,), (cnp.ones_like(point),))[1], slope, **near)
    np.testing.assert_allclose(cv.grad(cv.checkpoint(f))(point), slope, **near)
    points = cnp.asarray(np.array([x, 0.4, -0.2]))
    values = [number_of(expected(body, float(p))) for p in points]
    np.testing.assert_allclose(cv.vmap(f)(points), values, rtol=1e-12)
    np.testing.assert_allclose(cv.vmap(cv.grad(f))(points)[0], slope, **near)
