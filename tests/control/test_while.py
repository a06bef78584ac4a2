"""A While is the Python loop, under every transformation; each element of a batch has a loop of its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import compress
from typing import Any

import numpy as np
import pytest
from tests.transforms.functions import (
    FlatFunction,
    assert_close,
    check_batch,
    check_jvp,
    check_linearize,
    gradient,
    mapped,
    pushforward,
    staged,
    total,
)

import covector as cv
import covector.numpy as cnp
from covector import lax
from covector._engine import primitives as prims
from covector._engine.control import pushed, unwind, while_
from covector._engine.control.while_ import While
from covector._engine.core.trace import stage, typeof
from covector._engine.transforms.batch import batch_flat
from covector._engine.types.avals import ShapedArray

F64, I32 = np.dtype(np.float64), np.dtype(np.int32)
SCALAR, VECTOR, COUNT = ShapedArray((), F64), ShapedArray((3,), F64), ShapedArray((), I32)


@dataclass
class Example:
    """A loop: its condition and body on consts and carry, and their types."""

    condition: Callable[..., Any]
    body: Callable[..., list[Any]]
    consts: list[ShapedArray]
    carry: list[ShapedArray]

    def loop(self) -> While:
        types = [*self.consts, *self.carry]
        condition = stage(lambda *xs: [self.condition(*xs)], types, "condition")
        return While(condition, stage(self.body, types, "body"), len(self.consts))

    def unrolled(self, *xs: Any) -> list[Any]:
        k = len(self.consts)
        consts, carry = xs[:k], list(xs[k:])
        while bool(value_of(self.condition(*consts, *carry))):
            carry = self.body(*consts, *carry)
        return carry

    def operands(self, rng: np.random.Generator, steps: int = 4) -> list[Any]:
        """The first integer is how many steps there are."""
        made = [
            np.asarray(rng.normal(size=t.shape) if t.dtype == F64 else steps).astype(t.dtype)
            for t in (*self.consts, *self.carry)
        ]
        return made


def value_of(x: Any) -> Any:
    return x.concrete() if hasattr(x, "concrete") else x


def positive(x: Any) -> Any:
    return prims.gt(x, 0)


EXAMPLES: dict[str, Example] = {
    "counting": Example(
        lambda w, n, h: positive(n),
        lambda w, n, h: [prims.sub(n, 1), prims.tanh(prims.add(prims.mul(w, h), w))],
        [VECTOR],
        [COUNT, VECTOR],
    ),
    "swapping": Example(
        lambda n, a, b: positive(n),
        lambda n, a, b: [prims.sub(n, 1), b, prims.sin(a)],
        [],
        [COUNT, VECTOR, VECTOR],
    ),
    "scalars": Example(
        lambda w, n, x, y: prims.lt(x, prims.convert(n, F64)),
        lambda w, n, x, y: [
            n,
            prims.add(prims.add(prims.abs_(w), prims.abs_(x)), 0.7),
            prims.mul(y, w),
        ],
        [SCALAR],
        [COUNT, SCALAR, SCALAR],
    ),
    "spreading": Example(
        lambda w, n, a, b: positive(n),
        lambda w, n, a, b: [prims.sub(n, 1), prims.mul(w, b), prims.sin(w)],
        [VECTOR],
        [COUNT, VECTOR, VECTOR],
    ),
}


def nested(w: Any, n: Any, h: Any) -> list[Any]:
    """A loop in a loop, of n steps in the step n."""
    inner = EXAMPLES["counting"].loop()
    return [prims.sub(n, 1), inner(w, n, h)[1]]


EXAMPLES["nested"] = Example(lambda w, n, h: positive(n), nested, [VECTOR], [COUNT, VECTOR])


def floats(f: FlatFunction, args: list[Any]) -> tuple[FlatFunction, list[Any]]:
    """The function of its floating arguments, with its floating results alone."""
    real = [np.asarray(x).dtype == F64 for x in args]

    def g(*given: Any) -> list[Any]:
        rest = iter(given)
        outs = f(*[next(rest) if r else x for x, r in zip(args, real, strict=True)])
        return [o for o in outs if typeof(o).dtype == F64]

    return g, [x for x, r in zip(args, real, strict=True) if r]


TRANSFORMED: dict[str, Callable[[FlatFunction], FlatFunction]] = {
    "value": lambda f: f,
    "jvp": pushforward,
    "grad": gradient,
    "jvp of jvp": lambda f: pushforward(pushforward(f)),
}


@pytest.mark.parametrize("transformed", TRANSFORMED)
@pytest.mark.parametrize("steps", [0, 1, 4])
@pytest.mark.parametrize("name", EXAMPLES)
def test_it_is_the_python_loop(
    name: str, steps: int, transformed: str, rng: np.random.Generator
) -> None:
    example, transform = EXAMPLES[name], TRANSFORMED[transformed]
    args = example.operands(rng, steps)
    loop, values = floats(example.loop(), args)
    wanted, _ = floats(example.unrolled, args)
    assert_close(transform(loop)(*values), transform(wanted)(*values))
    assert_close(staged(transform(loop), values)(*values), transform(wanted)(*values))


@pytest.mark.parametrize("steps", [0, 3])
def test_second_derivatives(steps: int, rng: np.random.Generator) -> None:
    example = EXAMPLES["scalars"]
    args = example.operands(rng, steps)
    loop, values = floats(example.loop(), args)
    wanted, _ = floats(example.unrolled, args)
    for second in (pushforward, gradient):
        assert_close(second(gradient(loop))(*values), second(gradient(wanted))(*values))


@pytest.mark.parametrize("steps", [0, 3])
@pytest.mark.parametrize("name", ["counting", "swapping", "scalars"])
def test_laws(name: str, steps: int, rng: np.random.Generator) -> None:
    example = EXAMPLES[name]
    loop, values = floats(example.loop(), example.operands(rng, steps))
    tangents = [rng.normal(size=x.shape) for x in values]
    check_jvp(loop, values, tangents)
    check_linearize(loop, values, tangents, [rng.normal(size=np.shape(o)) for o in loop(*values)])


@pytest.mark.parametrize("where", ["all", "consts", "carry", "steps"])
@pytest.mark.parametrize("name", EXAMPLES)
def test_a_batch_of_loops(name: str, where: str, rng: np.random.Generator) -> None:
    """Loops of different numbers of steps, none among them; of batches too."""
    example = EXAMPLES[name]
    args, k = example.operands(rng), len(example.consts)
    dims: list[int | None] = []
    for i, x in enumerate(args):
        is_count = x.dtype == I32
        mine = where == "all" or (
            is_count if where == "steps" else (i < k) == (where == "consts") and not is_count
        )
        dims.append(0 if mine else None)
    if all(d is None for d in dims):
        return
    batched = [
        x if d is None else np.array([4, 0, 2], I32) if x.dtype == I32 else np.stack([x, 2 * x, -x])
        for x, d in zip(args, dims, strict=True)
    ]
    check_batch(example.loop(), batched, dims, 3)
    if name != "scalars":
        check_batch(mapped_over_steps(example.loop()), batched, dims, 3)


def mapped_over_steps(loop: FlatFunction) -> FlatFunction:
    """Batches of what is batched already: two loops for each element."""

    def f(*xs: Any) -> list[Any]:
        counts = [typeof(x).dtype == I32 for x in xs]
        vectors = [x for x, c in zip(xs, counts, strict=True) if not c]

        def g(*given: Any) -> list[Any]:
            rest = iter(given)
            return loop(*[x if c else next(rest) for x, c in zip(xs, counts, strict=True)])

        return mapped(lambda *ys: [o for o in g(*ys) if typeof(o).dtype == F64])(*vectors)

    return f


@pytest.mark.parametrize("name", ["counting", "swapping", "nested"])
def test_gradients_of_batches(name: str, rng: np.random.Generator) -> None:
    """Of loops of their own for each element, which go back as many steps as they went."""
    example = EXAMPLES[name]
    args = example.operands(rng)
    counts = np.array([3, 0, 1], I32)
    vectors = [x for x in args if x.dtype == F64]

    def of(f: FlatFunction, n: Any) -> FlatFunction:
        def g(*given: Any) -> list[Any]:
            rest = iter(given)
            outs = f(*[n if x.dtype == I32 else next(rest) for x in args])
            return [o for o in outs if typeof(o).dtype == F64]

        return g

    def batch(*xs: Any) -> list[Any]:
        f = lambda n, *ys: of(example.loop(), n)(*ys)  # noqa: E731
        return batch_flat(f, [counts, *xs], [0, *[None] * len(xs)], 3)[0]

    each = [gradient(of(example.unrolled, n))(*vectors) for n in counts]
    wanted = [sum(column) for column in zip(*each, strict=True)]
    assert_close(gradient(batch)(*vectors), wanted)
    found, _ = batch_flat(
        lambda n, *ys: gradient(of(example.loop(), n))(*ys),
        [counts, *vectors],
        [0, *[None] * len(vectors)],
        3,
    )
    assert_close(found, [np.stack(column) for column in zip(*each, strict=True)])


@pytest.mark.usefixtures("afresh")
@pytest.mark.parametrize("tape", [0, 50, 1000], ids=lambda n: f"{n} bytes")
@pytest.mark.parametrize("steps", [1, 8, 9, 64, 65, 150])
def test_states_that_are_kept_are_few(
    steps: int, tape: int, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Eight of them, a step a stretch: from 9 on states are computed again, from 65 on more than once."""
    for module in (while_, pushed):
        monkeypatch.setattr(module, "BOUNDED", unwind.Room(tape, 10, 0, 3))
    monkeypatch.setattr(pushed, "wide_room", lambda *_: unwind.Room(tape, 10, 0, 3, filled=False))
    body = lambda w, n, h: [prims.sub(n, 1), prims.mul(prims.sin(h), w)]  # noqa: E731
    example = Example(lambda w, n, h: positive(n), body, [SCALAR], [COUNT, SCALAR])
    loop, values = floats(example.loop(), [np.float64(1.7), np.int32(steps), np.float64(0.3)])
    wanted, _ = floats(example.unrolled, [np.float64(1.7), np.int32(steps), np.float64(0.3)])
    assert_close(gradient(loop)(*values), gradient(wanted)(*values))


def test_a_batch_whose_loops_have_one_condition_stays_one_loop(rng: np.random.Generator) -> None:
    args = EXAMPLES["counting"].operands(rng)
    f = lambda w, h: EXAMPLES["counting"].loop()(w, args[1], h)[1:]  # noqa: E731
    program = stage(mapped(f), [VECTOR, VECTOR])
    (loop,) = [e.primitive for e in program.eqns if e.primitive.name == "while"]
    assert loop.lanes == ()


@pytest.mark.parametrize("name", EXAMPLES)
def test_results_that_nobody_reads_are_left_out(name: str, rng: np.random.Generator) -> None:
    loop, args = EXAMPLES[name].loop(), EXAMPLES[name].operands(rng)
    wanted = loop(*args)
    for i in range(len(wanted)):
        left, takes, gives = loop.live([j == i for j in range(len(wanted))])
        assert gives[i]
        assert_close(left(*compress(args, takes)), list(compress(wanted, gives)))
    first = EXAMPLES["scalars"].loop().live([True, False, False])
    assert list(first[2]) == [True, True, False]  # the number and what is compared with it


def test_the_condition_reads_what_is_hoisted(rng: np.random.Generator) -> None:
    """What is the same in each step is computed before; so the loop takes more than it did."""
    example = Example(
        lambda w, n, h: prims.lt(n, prims.convert(total(prims.exp(w)), I32)),
        lambda w, n, h: [prims.add(n, 1), prims.mul(h, total(prims.exp(w)))],
        [VECTOR],
        [COUNT, VECTOR],
    )
    args = example.operands(rng, 0)
    assert_close(example.loop()(*args), example.unrolled(*args))


def test_operands_that_do_not_fit(rng: np.random.Generator) -> None:
    loop = EXAMPLES["counting"].loop()
    with pytest.raises(TypeError, match=r"while: the operands must be float64\[3\], int32\[\], f"):
        loop(np.ones(3), np.ones(3), np.ones(3))
    body = stage(lambda n: [prims.convert(n, F64)], [COUNT])
    with pytest.raises(TypeError, match=r"results of the body must be int32\[\]; they are float64"):
        While(stage(lambda n: [positive(n)], [COUNT]), body, 0)(np.int32(1))
    with pytest.raises(TypeError, match=r"results of the condition must be bool\[\]; they are int"):
        While(stage(lambda n: [n], [COUNT]), stage(lambda n: [n], [COUNT]), 0)(np.int32(1))


def test_batches_of_gradients_of_batches() -> None:
    """The way back of loops that stop on their own, for an axis more: also where the lanes share an operand."""

    def looped(w: Any, x: Any) -> Any:
        going = lambda c: (c[0] < 7) & (cnp.sum(c[1]) < 1.5)  # noqa: E731
        body = lambda c: (c[0] + 1, cnp.sin(c[1]) * 1.2 + w * x * c[1])  # noqa: E731
        return lax.while_loop(going, body, (0, x))[1]

    def plain(w: Any, x: Any) -> Any:
        n, s = 0, x
        while n < 7 and bool(cnp.sum(s) < 1.5):
            n, s = n + 1, cnp.sin(s) * 1.2 + w * x * s
        return s

    w = cnp.asarray(np.array([[0.1, 0.2, 0.3], [0.2, 0.1, 0.0]]))
    x = cnp.asarray(np.random.default_rng(0).uniform(0, 0.3, (2, 4, 3)))
    every = lambda w, x: cnp.sum(cv.vmap(looped, (None, 0))(w, x) ** 2)  # noqa: E731
    single = lambda w, x: sum([cnp.sum(plain(w, row) ** 2) for row in x])  # noqa: E731
    slope = lambda f: cv.grad(f, (0, 1))  # noqa: E731
    turn = lambda f: cv.grad(lambda w, x: sum(map(cnp.sum, map(cnp.sin, slope(f)(w, x)))), (0, 1))  # noqa: E731
    for way in (slope, turn):
        for axes in ((None, 0), (0, None)):
            picked = [w if axes[0] == 0 else w[0], x if axes[1] == 0 else x[0]]
            found = cv.jit(cv.vmap(way(every), axes))(*picked)
            for k in range(2):
                given = [a[k] if d == 0 else a for a, d in zip(picked, axes, strict=True)]
                wanted = way(single)(*given)
                assert_close([f[k] for f in found], [np.asarray(g) for g in wanted])
