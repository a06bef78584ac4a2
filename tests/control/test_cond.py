"""A Cond is the branch that is chosen, under every transformation; branches share what they keep for the gradient."""

from __future__ import annotations

from collections.abc import Callable
from itertools import compress
from typing import Any

import numpy as np
import pytest
from tests.transforms.functions import (
    VECTOR,
    FlatFunction,
    assert_close,
    check_batch,
    check_jvp,
    check_linearize,
    gradient,
    mapped,
    pair,
    pushforward,
    random_function,
    staged,
    total,
)

import covector as cv
import covector.numpy as cnp
from covector import lax
from covector._engine import primitives as prims
from covector._engine.control.cond import Cond
from covector._engine.core.trace import stage
from covector._engine.ir.program import Program
from covector._engine.transforms.forward import linearize_flat
from covector._engine.transforms.transpose import pull

Branch = Callable[[Any, Any], list[Any]]

BRANCHES: dict[str, tuple[Branch, ...]] = {
    "two": (
        lambda x, y: [prims.mul(prims.sin(x), y), prims.add(x, y)],
        lambda x, y: [prims.tanh(prims.mul(x, prims.exp(y))), y],
    ),
    "one is constant": (
        lambda x, y: [prims.square(x), prims.sin(y)],
        lambda x, y: [prims.full((3,), 2.0, VECTOR.dtype), x],
    ),
    "operands in another order": (lambda x, y: [x, y], lambda x, y: [y, x], lambda x, y: [y, y]),
    "random": (random_function(7, 4), random_function(8, 4)),
}


def programs_of(name: str) -> tuple[Program, ...]:
    return tuple([stage(f, [VECTOR, VECTOR], "branch") for f in BRANCHES[name]])


def chosen(name: str, index: int) -> FlatFunction:
    return lambda x, y: Cond(programs_of(name))(np.int32(index), x, y)


CASES = [(name, i) for name, branches in BRANCHES.items() for i in range(len(branches))]
TRANSFORMED: dict[str, Callable[[FlatFunction], FlatFunction]] = {
    "value": lambda f: f,
    "grad": gradient,
    "jvp": pushforward,
    "mapped": mapped,
    "grad of grad": lambda f: gradient(gradient(f)),
    "jvp of grad": lambda f: pushforward(gradient(f)),
    "grad of mapped": lambda f: gradient(mapped(f)),
    "mapped grad": lambda f: mapped(gradient(f)),
}


@pytest.mark.parametrize("transformed", TRANSFORMED)
@pytest.mark.parametrize(("name", "index"), CASES)
def test_it_is_the_branch(
    name: str, index: int, transformed: str, rng: np.random.Generator
) -> None:
    transform, args = TRANSFORMED[transformed], pair(rng)
    f = chosen(name, index)
    wanted = transform(BRANCHES[name][index])(*args)
    assert_close(transform(f)(*args), wanted)
    assert_close(staged(transform(f), args)(*args), wanted)


@pytest.mark.parametrize(("name", "index"), CASES)
def test_laws(name: str, index: int, rng: np.random.Generator) -> None:
    f, args, tangents = chosen(name, index), pair(rng), pair(rng)
    check_jvp(f, args, tangents)
    check_linearize(f, args, tangents, pair(rng))
    rows = [np.stack([x, 2 * x, -x], 1) for x in args]
    check_batch(f, rows, [1, 1], 3)
    check_batch(f, [rows[0], args[1]], [1, None], 3)


@pytest.mark.parametrize("name", BRANCHES)
def test_each_element_of_a_batch_has_a_branch(name: str, rng: np.random.Generator) -> None:
    index = np.arange(5, dtype=np.int32) % len(BRANCHES[name])
    args = [rng.normal(size=(5, 3)), rng.normal(size=3)]
    cond = Cond(programs_of(name))
    check_batch(lambda i, x, y: cond(i, x, y), [index, *args], [0, 0, None], 5)
    grads = gradient(lambda x, y: cond(index[2], x, y))(args[0][2], args[1])
    rows = lambda x, y: [prims.mul(o, 1.0) for o in cond(index[2], x, y)]  # noqa: E731
    assert_close(gradient(rows)(args[0][2], args[1]), grads)


def test_a_batch_with_one_index_stays_a_branch(rng: np.random.Generator) -> None:
    program = stage(mapped(chosen("two", 0)), [VECTOR, VECTOR])
    assert "cond" in {eqn.primitive.name for eqn in program.eqns}


def test_residuals_of_one_type_share_their_place(rng: np.random.Generator) -> None:
    """One slot for two branches that keep a vector each."""
    first = stage(lambda x: [prims.sin(prims.mul(prims.exp(x), 2.0))], [VECTOR], "first")
    second = stage(lambda x: [prims.exp(prims.neg(prims.tanh(x)))], [VECTOR], "second")

    def f(x: Any) -> list[Any]:
        _, tape = linearize_flat(lambda x: Cond((first, second))(np.int32(0), x), [x])
        return pull(tape, [np.ones(3)])

    known, transposed = stage(f, [VECTOR]).eqns
    kept = [len(b.outputs) - 1 for b in known.primitive.programs()]
    alone = [
        len(
            stage(
                lambda x, b=b: linearize_flat(lambda x: Cond((b,))(np.int32(0), x), [x])[0],
                [VECTOR],
            )
            .eqns[0]
            .outputs
        )
        - 1
        for b in (first, second)
    ]
    assert kept == [max(alone)] * 2
    assert transposed.primitive.name == "cond"


@pytest.mark.parametrize("name", BRANCHES)
def test_results_that_nobody_reads_are_left_out(name: str, rng: np.random.Generator) -> None:
    cond, args = Cond(programs_of(name)), [np.int32(1), *pair(rng)]
    wanted = cond(*args)
    for n in range(2):
        left, takes, gives = cond.live([i == n for i in range(2)])
        assert_close(left(*compress(args, takes)), list(compress(wanted, gives)))
    first = Cond((stage(lambda x, y: [prims.sin(x), total(y)], [VECTOR, VECTOR]),) * 2)
    left, takes, _ = first.live([True, False])
    assert list(takes) == [True, True, False]
    assert [e.primitive for e in left.programs()[0].eqns] == [prims.sin]


def test_branches_that_do_not_fit() -> None:
    first = stage(lambda x: [x], [VECTOR], "first")
    second = stage(lambda x: [total(x)], [VECTOR], "second")
    with pytest.raises(TypeError, match=r"results of the branches must be float64\[3\]; they are"):
        Cond((first, second))(np.int32(0), np.ones(3))
    with pytest.raises(TypeError, match=r"the index must be int32\[\]; they are int64\[\]"):
        Cond((first,))(np.int64(0), np.ones(3))


def collatz(n: Any, most: Any) -> Any:
    def step(s: Any) -> Any:
        n = lax.cond(s[0] % 2 == 0, lambda n: n // 2, lambda n: 3 * n + 1, s[0])
        # In a lane that is done the divisor is what it was: nothing may fail there.
        rest = lax.cond(
            n > 4, lambda: n % (s[1] - 3), lambda: lax.cond(n > 2, lambda: n, lambda: -n)
        )
        kind = lax.switch(n % 3, [lambda: 1, lambda: 10, lambda: s[1]])
        return n, s[1] + 1, s[2] + rest, s[3] + kind

    return lax.while_loop(lambda s: (s[0] != 1) & (s[1] < most), step, (n, 0, 0, 0))


def test_lanes_that_choose_between_values() -> None:
    """Each lane takes its branch at each step, until it is done; of a truth value the test is that itself."""
    numbers = cnp.arange(1, 151, dtype="int32")
    most = cnp.arange(150, dtype="int32")[::-1] // 2
    run = cv.jit(cv.vmap(collatz))
    found = run(numbers, most)
    one = cv.jit(collatz)
    wanted = [one(n, m) for n, m in zip(numbers, most, strict=True)]
    for got, want in zip(found, zip(*wanted, strict=True), strict=True):
        np.testing.assert_array_equal(got, np.asarray(want))
    kernel = run.lower(numbers, most).compile().as_text()
    assert "@ vector" in kernel
    assert "if s0:" in kernel
