"""Parameters that JAX's functions have, and what they say here."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import covector as cv
from covector import api_util, dtypes, numpy as cnp, tree
from covector.experimental import checkify, sparse
from covector.experimental.jet import jet, jet2
from covector.extend import linear_util
from covector.interpreters import partial_eval


def test_custom_gradients_with_options() -> None:
    ran: list[str] = []

    @cv.custom_gradient(remat=True)
    def f(x: Any) -> Any:
        def again(x: Any) -> Any:
            ran.append("again")
            return x**2, lambda ct: 5 * ct * x

        ran.append("first")
        return x**2, again

    assert float(f(3.0)) == 9
    assert ran == ["first"]
    assert float(cv.grad(f)(3.0)) == 15
    assert float(cv.grad(cv.checkpoint(lambda x: f(x) * 2))(3.0)) == 30

    @cv.custom_gradient(with_logs=True)
    def g(x: Any) -> Any:
        return 2 * x, lambda ct: ((7 * ct,), {"ct": ct})

    assert float(cv.grad(g)(1.0)) == 7
    with pytest.raises(TypeError, match=r"must return \(result, rule\)"):
        cv.grad(cv.custom_gradient(lambda x: (x, lambda x: x), remat=True))(1.0)
    with pytest.raises(NotImplementedError, match="with_accums"):
        cv.custom_gradient(lambda x: (x, lambda x: x), with_accums=1)


def test_checks_for_debugging() -> None:
    checkify.check(False, "nobody sees it", debug=True)
    error, _ = checkify.checkify(lambda x: checkify.check(x > 0, "below", debug=True))(-1.0)
    assert "below" in str(error.get())


def test_what_is_weak() -> None:
    assert dtypes.result_type(1, 2.0, return_weak_type_flag=True) == (np.float32, True)
    assert dtypes.result_type(np.int8, 2, return_weak_type_flag=True) == (np.int8, False)
    key = cv.random.key(0)
    assert dtypes.result_type(key, return_weak_type_flag=True) == (key.dtype, False)


def test_sparse_arrays_have_one_form() -> None:
    x = cnp.array([0.0, 2.0])
    for call in (
        lambda: sparse.bcoo_fromdense(x, n_batch=1),
        lambda: sparse.bcoo_fromdense(x, n_dense=1),
        lambda: sparse.empty((2,), sparse_format="csr"),
        lambda: sparse.eye(2, sparse_format="coo"),
        lambda: sparse.eye(2, n_dense=1),
    ):
        with pytest.raises(ValueError, match="one form, 'bcoo'"):
            call()
    room = sparse.empty((2, 3), nse=4)
    assert room.nse == 4
    np.testing.assert_array_equal(room.todense(), np.zeros((2, 3)))
    np.testing.assert_array_equal(sparse.eye(2, n_batch=0).todense(), np.eye(2))


def test_coefficients_or_derivatives() -> None:
    exp = cnp.exp, (0.0,), ([1.0, 0.0],)
    assert str(jet2(*exp)) != str(jet(*exp))
    assert str(jet2(*exp, factorial_scaled=True)) == str(jet(*exp))


def test_axes_of_one_argument() -> None:
    one = tree.structure(([1, 2],))
    assert api_util.flatten_axes("in_axes", one, ([0, 1],), tupled_args=True) == [0, 1]
    with pytest.raises(
        ValueError, match=r"in_axes of one argument is a tuple of one: \(\[0, 1\],\)"
    ):
        api_util.flatten_axes("in_axes", one, [0, 1], tupled_args=True)
    both = tree.structure((([1, 2],), {"k": 3}))
    assert api_util.flatten_axes("x", both, ((0,), {"k": 1}), kws=True, tupled_args=True) == [
        0,
        0,
        1,
    ]
    with pytest.raises(ValueError, match="prefix") as caught:
        api_util.flatten_axes("x", both, ((0,), {"j": 1}), kws=True, tupled_args=True)
    assert "tuple of one" not in str(caught.value)


def test_transformations_at_once() -> None:
    def plus(n: Any, x: Any) -> Any:
        yield n + (yield (x,), {})

    def counted(*args: Any) -> Any:
        result = yield args, {}
        yield result, len(args)

    f = linear_util.transformation(plus, linear_util.wrap_init(abs), 10)
    assert f.call_wrapped(-1) == linear_util.transformation(plus)(f, 0).call_wrapped(-1) == 11
    g, count = linear_util.transformation_with_aux(counted, linear_util.wrap_init(max))
    assert (g.call_wrapped(1, 2), count()) == (2, 2)


def test_all_or_no_outputs() -> None:
    jaxpr = cv.make_jaxpr(lambda x, y: (x * x, y * y))(1, 2).jaxpr
    left, used = partial_eval.dce_jaxpr(jaxpr, True)
    assert (len(left.eqns), used) == (2, [True, True])
    left, used = partial_eval.dce_jaxpr(jaxpr, False, live_inputs=False)
    assert (len(left.eqns), used) == (0, [False, False])
