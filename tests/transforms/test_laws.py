"""The laws of the transformations, on functions made by chance: with calls and loops, nested, staged or not."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pytest
from tests.transforms.functions import (
    FlatFunction,
    check_batch,
    check_jvp,
    check_linearize,
    gradient,
    mapped,
    pair,
    pushforward,
    random_function,
    staged,
)

SEEDS = range(24)


def compose(
    outer: Callable[[FlatFunction], FlatFunction], inner: Callable[[FlatFunction], FlatFunction]
) -> Callable[[FlatFunction], FlatFunction]:
    return lambda f: outer(inner(f))


COMPOSED: dict[str, Callable[[FlatFunction], FlatFunction]] = {
    "": lambda f: f,
    "grad": gradient,
    "jvp": pushforward,
    "vmap": mapped,
    **{
        f"{a.__name__} of {b.__name__}": compose(a, b)
        for a, b in itertools.product((gradient, pushforward, mapped), repeat=2)
    },
    "grad of vmap of grad": lambda f: gradient(mapped(gradient(f))),
}


@pytest.mark.parametrize("seed", SEEDS)
def test_derivatives_are_slopes(seed: int) -> None:
    rng = np.random.default_rng(seed)
    check_jvp(random_function(seed), pair(rng), pair(rng))


@pytest.mark.parametrize("seed", SEEDS)
def test_pulling_is_the_adjoint_of_pushing(seed: int) -> None:
    rng = np.random.default_rng(seed)
    check_linearize(random_function(seed), pair(rng), pair(rng), pair(rng))


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("dims", [(0, 0), (1, None), (None, 0), (0, 1)], ids=str)
def test_a_batch_is_a_loop(seed: int, dims: tuple[int | None, ...]) -> None:
    rng = np.random.default_rng(seed)
    shapes = {None: (3,), 0: (2, 3), 1: (3, 2)}
    check_batch(random_function(seed), [rng.normal(size=shapes[d]) for d in dims], dims, 2)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("composed", COMPOSED)
def test_transformations_nest(seed: int, composed: str) -> None:
    """Of a transformed function the same laws hold; and it is the same when it is staged first."""
    rng = np.random.default_rng(seed)
    f = COMPOSED[composed](random_function(seed, 4))
    args = pair(rng)
    _check_all(f, args, rng)
    whole = staged(f, args)
    for a, b in zip(f(*args), whole(*args), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9)
    _check_all(whole, args, rng)


def _check_all(f: FlatFunction, args: list[np.ndarray], rng: np.random.Generator) -> None:
    cts = [rng.normal(size=np.shape(o)) for o in f(*args)]
    check_jvp(f, args, pair(rng), 1e-4)
    check_linearize(f, args, pair(rng), cts)
    check_batch(f, [rng.normal(size=(2, 3)), args[1]], (0, None), 2)
