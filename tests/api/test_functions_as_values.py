"""Functions, and other objects, that transformations are given and return."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest

import covector as cv
from covector import numpy as cnp

X = np.arange(3.0, dtype=np.float32)


def test_what_is_not_mapped_may_be_anything() -> None:
    def f(x: Any, how: Any) -> Any:
        return how["f"](x) * how["w"]

    axes = (0, {"f": None, "w": 0, "name": None})
    how = {"f": cnp.sin, "w": X, "name": "sine"}
    wanted = np.sin(X) * X
    np.testing.assert_allclose(cv.vmap(f, axes)(X, how), wanted, rtol=1e-6)
    jitted = cv.jit(lambda x: cv.vmap(f, axes)(x, how))
    np.testing.assert_allclose(jitted(X), wanted, rtol=1e-6)
    slope = cv.grad(lambda x: cv.vmap(lambda x, g: g(x), (0, None))(x, cnp.sin).sum())(X)
    np.testing.assert_allclose(slope, np.cos(X), rtol=1e-6)
    with pytest.raises(TypeError, match="g is <ufunc"):
        cv.vmap(lambda x, g: g(x))(X, np.sin)
    with pytest.raises(TypeError, match="vmap: y is 'a'"):
        cv.vmap(lambda x, f, y: f(x), (0, None, 0))(X, np.sin, "a")


def test_pushforwards_leave_jit_and_vmap() -> None:
    y, push = cv.jit(lambda x: cv.linearize(lambda a: (cnp.sin(a), 2.0, a * a), x))(X)
    np.testing.assert_allclose(y[0], np.sin(X), rtol=1e-6)
    for call in (push, cv.jit(push)):
        slopes = call(cnp.ones(3))
        np.testing.assert_allclose(slopes[0], np.cos(X), rtol=1e-6)
        assert float(slopes[1]) == 0
        np.testing.assert_allclose(slopes[2], 2 * X, rtol=1e-6)
    pushes = cv.vmap(lambda x: cv.linearize(cnp.sin, x)[1])(X)
    got = cv.vmap(lambda f, t: f(t))(pushes, cnp.full(3, 2.0))
    np.testing.assert_allclose(got, 2 * np.cos(X), rtol=1e-6)
    # A pushforward with residuals is mapped, and differentiated, as what made it.
    slope = cv.grad(lambda x: cv.linearize(cnp.sin, x)[1](cnp.ones(3)).sum())(X)
    np.testing.assert_allclose(slope, -np.sin(X), rtol=1e-6)


def test_constants_of_programs() -> None:
    closed = cv.jit(lambda x: x * X).trace(X).jaxpr
    assert [c.tolist() for c in closed.consts] == [X.tolist()]
    assert cv.make_jaxpr(lambda x: x * X)(X).literals[0].tolist() == X.tolist()


@pytest.mark.parametrize(
    "f", [cnp.tanh, cnp.add, cv.nn.relu, cv.scipy.special.gammaln, cnp.sum, cv.lax.exp, cv.nn.gelu]
)
def test_functions_of_ours_are_copied_and_pickled(f: Any) -> None:
    """As a module's functions are, by name: models keep them beside their arrays."""
    model = {"activation": f, "bound": cv.tree_util.Partial(f, X)}
    for again in (copy.copy(f), copy.deepcopy(f), pickle.loads(pickle.dumps(f))):
        assert again is f
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert other["activation"] is f
        assert other["bound"].func is f


def test_a_function_without_a_name_is_not_pickled() -> None:
    f = cnp.frompyfunc(lambda x, y: x + y, nin=2, nout=1, identity=0)
    with pytest.raises((pickle.PicklingError, AttributeError)):
        pickle.dumps(f)
