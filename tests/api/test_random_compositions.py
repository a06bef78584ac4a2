"""Random compositions of rules, effects, references, named axes and transformations mean what Python does with them."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Generator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from tests.amount import TIMES
from tests.api.compositions import (
    ALL,
    BACKWARD_ONLY,
    CONTROL,
    FIRST_ORDER,
    Form,
    Plain,
    log,
    random_form,
    weighed,
)
from tests.api.real_forms import Real

import covector as cv
import covector.numpy as cnp

Fun = Callable[[Any], Any]
X = cnp.asarray(np.array([0.31, -0.42, 0.73]))


def gradient(f: Fun) -> Fun:
    return cv.grad(lambda x: weighed(f(x)))


WAYS: dict[str, Callable[[Fun], Fun]] = {
    "value": lambda f: f,
    "gradient": gradient,
    "curvature": lambda f: cv.grad(lambda x: cnp.sum(gradient(f)(x) ** 2)),
    "pushed": lambda f: lambda x: cv.jvp(f, (x,), (x + 0.3,)),
    "hessian": lambda f: cv.jacfwd(gradient(f)),
}
FORWARD_WAYS = {"pushed", "hessian"}


def plain(form: Form) -> Fun:
    f = Plain().build(form)
    return lambda x: f([x])[0]


def real(form: Form) -> Fun:
    return Real().build(form)


def drawn(seed: int, depth: int, names: Sequence[str], ways: Collection[str]) -> tuple[str, Form]:
    """A way to transform, and a form for it."""
    rng = random.Random(seed)
    way = rng.choice(sorted(ways))
    refused = {"meet"} | (BACKWARD_ONLY if way in FORWARD_WAYS else set[str]())
    if way != "value":
        refused.add("by_rule")
    return way, random_form(rng, depth, names, refused)


@contextmanager
def told(way: str, form: Form) -> Generator[None]:
    """What fails says of which form."""
    try:
        yield
    except BaseException as error:
        error.add_note(f"{way} of {form}")
        raise


def assert_alike(found: Any, wanted: Any) -> None:
    for a, w in zip(cv.tree.leaves(found), cv.tree.leaves(wanted), strict=True):
        a, w = np.asarray(a), np.asarray(w)
        assert (a.shape, a.dtype) == (w.shape, w.dtype)
        scale = max(1.0, float(np.abs(w).max(initial=0)))
        np.testing.assert_allclose(a, w, rtol=1e-8, atol=1e-8 * scale)


@pytest.mark.parametrize("seed", range(12 * TIMES))
def test_compositions(seed: int) -> None:
    way, form = drawn(seed, 2 + seed % 2, ALL, WAYS)
    with told(way, form):
        wanted = WAYS[way](plain(form))(X)
        found = WAYS[way](real(form))
        assert_alike((cv.jit(found) if seed % 3 == 0 else found)(X), wanted)


def written(text: str) -> Form:
    """The form that is written like "scan8 checked11 leaf0": each with one inside."""
    first, _, rest = text.partition(" ")
    name = first.rstrip("0123456789")
    return Form(name, int(first[len(name) :]), (written(rest),) if rest else ())


@pytest.mark.parametrize(
    ("way", "text"),
    [
        ("gradient", "until11 own_zeros7 leaf10"),  # rules that make constants, in loops
        ("curvature", "until4 own_zeros7 leaf6"),
        ("gradient", "until6 own_vjp7 leaf8"),
        ("gradient", "scan8 checked11 own_vjp4 leaf0"),  # a rule that calls its own function
        ("curvature", "keep0 own_vjp0 leaf0"),  # rules that a checkpoint lost
    ],
)
def test_compositions_that_once_failed(way: str, text: str) -> None:
    made = written(text)
    assert_alike(WAYS[way](real(made))(X), WAYS[way](plain(made))(X))


@pytest.mark.parametrize("seed", range(6 * TIMES))
def test_effects_are_in_the_order_of_the_program(seed: int) -> None:
    names = (*CONTROL, *FIRST_ORDER, "say", "say")
    way, form = drawn(seed, 2, names, ("value", "gradient", "pushed"))
    form = Form("chain", 0, (Form("say", 3, (form,)), Form("say", 4, (Form("leaf", 0),))))
    with told(way, form):
        wanted, f = WAYS[way](plain(form)), WAYS[way](real(form))
        log.clear()
        result = wanted(X)
        seen = [(n, round(x, 6)) for n, x in log]
        for run in (f, cv.jit(f)):
            log.clear()
            assert_alike(run(X), result)
            cv.effects_barrier()
            assert [(n, round(x, 6)) for n, x in log] == seen
