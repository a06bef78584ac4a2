"""`vjp` and `linearize` told which arguments have tangents, and which may be kept."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest

import covector as cv
import covector.numpy as cnp
from covector import ad, tree

X, Y = cnp.array([0.5, 2.0]), cnp.array([1.5, -1.0])
FUNCTIONS: dict[str, Any] = {
    "product": lambda x, y: x * y["b"],
    "apart": lambda x, y: (cnp.sin(x), [y["b"] ** 2, cnp.arange(2)]),
    "nested": lambda x, y: cv.grad(lambda z: cnp.sum(z * z * cnp.exp(y["b"])))(x),
    "jitted": cv.jit(lambda x, y: (cnp.sin(x) * y["b"], x)),
    "loop": lambda x, y: cv.lax.fori_loop(0, 3, lambda i, c: c * x, y["b"]),
}
ARGUMENTS = (X, {"b": Y})


def seed(out: Any) -> Any:
    """A cotangent of ones."""
    return tree.map(
        lambda x: cnp.ones_like(x) if cnp.issubdtype(x.dtype, cnp.inexact) else np.zeros(x.shape, cv.float0),
        out,
    )  # fmt: skip


def same(found: Any, wanted: Any) -> None:
    for x, y in zip(tree.leaves(found), tree.leaves(wanted), strict=True):
        if getattr(y, "dtype", None) != cv.float0:
            np.testing.assert_allclose(x, y, rtol=1e-6)


FLAGS = [
    written
    for x, y in product((True, False), repeat=2)
    for written in ((x, y), (x, (y,)), [x, {"b": y}])
]


@pytest.mark.parametrize("flags", FLAGS, ids=str)
@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_arguments_without_tangents_are_constants(name: str, compiled: bool, flags: Any) -> None:
    f = FUNCTIONS[name]
    nonzero: list[Any] = []

    def both(x: Any, y: Any) -> Any:
        out, pullback = cv.vjp(f, x, y, in_nzs=flags)
        pushforward = cv.linearize(f, x, y, in_nzs=flags)[1]
        assert pullback.out_nzs == pushforward.out_nzs
        nonzero.append(pullback.out_nzs)
        return pullback(seed(out)), pushforward(x, y)

    backs, pushed = (cv.jit(both) if compiled else both)(*ARGUMENTS)
    out, pullback = cv.vjp(f, *ARGUMENTS)
    zeros = tree.map(cnp.zeros_like, ARGUMENTS)

    def those(values: Any) -> Any:
        return tuple(
            v if n else z for n, v, z in zip(tree.leaves(flags), values, zeros, strict=True)
        )

    same(backs, those(pullback(seed(out))))
    same(pushed, cv.linearize(f, *ARGUMENTS)[1](*those(ARGUMENTS)))
    floats = [cnp.issubdtype(x.dtype, cnp.inexact) for x in tree.leaves(out)]
    reached = [f and bool(np.any(t)) for f, t in zip(floats, tree.leaves(pushed), strict=True)]
    assert tree.leaves(nonzero[0]) == reached


def test_the_form_of_what_depends() -> None:
    _, pullback = cv.vjp(FUNCTIONS["apart"], *ARGUMENTS, in_nzs=(False, True))
    assert pullback.out_nzs == (False, [True, False])


@pytest.mark.parametrize("name", FUNCTIONS)
def test_what_may_not_be_saved_is_put_back(name: str) -> None:
    f = FUNCTIONS[name]
    out, pullback = cv.vjp(f, *ARGUMENTS)
    wanted = pullback(seed(out))
    for saveable in (False, (True, True), (True, False), (False, True), (True, (False,))):
        out, pullback = cv.vjp(f, *ARGUMENTS, saveable_args=saveable)
        x, y = pullback.args_res
        flags = tree.leaves((saveable, saveable) if saveable is False else saveable)
        for mark, flag, value in zip((x, y["b"]), flags, (X, Y), strict=True):
            assert mark == ad.NotNeeded() or (mark is value if flag else mark == ad.NotSaveable())
        kept = [v for v in tree.leaves(pullback) if v is X or v is Y]
        assert len(kept) == sum(m is v for m, v in ((x, X), (y["b"], Y)))
        if ad.NotSaveable() in (x, y["b"]):
            with pytest.raises(ValueError, match=r"arguments that it may not save.*args_res"):
                pullback(seed(out))
        pullback.args_res = ARGUMENTS
        same(pullback(seed(out)), wanted)
        same(cv.jit(lambda p, ct: p(ct))(pullback, seed(out)), wanted)


def test_what_is_put_back_fits() -> None:
    _, pullback = cv.vjp(lambda x, y: x * y, X, Y, saveable_args=False)
    with pytest.raises(
        ValueError, match=r"args_res: in the place of float32\[2\] there is float32\[3\]"
    ):
        pullback.args_res = [cnp.ones(3), Y]
    with pytest.raises(ValueError, match="args_res has the form"):
        pullback.args_res = [X]
    with pytest.raises(AttributeError, match="tell vjp which may be saved"):
        _ = cv.vjp(lambda x: x, X)[1].args_res


@pytest.mark.parametrize("name", ["in_nzs", "saveable_args"])
def test_flags_that_do_not_fit(name: str) -> None:
    for flags in (3, (True,), (True, False, True), ((True,), True), (True, {"c": True}), "no"):
        with pytest.raises(ValueError, match=name):
            cv.vjp(FUNCTIONS["product"], *ARGUMENTS, **{name: flags})
    with pytest.raises(ValueError, match="in_nzs of linearize"):
        cv.linearize(lambda x: x, X, in_nzs=(1,))
