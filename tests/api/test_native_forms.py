"""Functions that users' calls with arrays alone go to native code of: the same as what their Python does."""

from __future__ import annotations

import numpy as np
import pytest

import covector as cv
import covector.numpy as cnp
from covector._engine import _native

X = np.array([[3.0, np.nan, -1.0], [0.0, 2.0, -0.0], [5.0, -4.0, 1.0]], np.float32)
V = np.array([3.0, 1.0, 2.0], np.float32)
FORMS = {
    "nan_to_num": (X,), "tril": (X,), "triu": (X,), "diag": (X,), "median": (V,), "diff": (X,),
    "cumsum": (V,), "cumprod": (V,), "kron": (V, V), "outer": (V, V), "trace": (X,), "vdot": (V, V),
    "inner": (V, V), "nansum": (X,), "nanprod": (X,), "nanmax": (X,), "nanmin": (X,), "nanmean": (X,),
    "nanvar": (X,), "nanstd": (X,), "nanargmax": (X,), "nanargmin": (X,), "sort": (X,), "argsort": (X,),
    "count_nonzero": (X,), "ptp": (V,), "any": (X,), "all": (X,), "argmax": (V,), "argmin": (V,),
    "isclose": (X, X), "allclose": (V, V), "array_equal": (V, X), "flip": (X,),
}  # fmt: skip


@pytest.mark.parametrize("name", FORMS)
def test_a_call_runs_no_python_and_gives_the_same(name: str) -> None:
    f = getattr(cnp, name)
    operands = [cnp.asarray(x) for x in FORMS[name]]
    first = f(*operands)
    again = f(*operands)  # by what the first call compiled
    under = cv.jit(lambda *xs: f(*xs))(*operands)
    expected = getattr(np, name)(*FORMS[name])
    for found in (first, again, under):
        np.testing.assert_allclose(np.asarray(found), expected, rtol=1e-6)
    assert first.dtype == again.dtype == under.dtype
    assert isinstance(f, _native.Boundary)


def test_arguments_that_are_no_arrays_and_options_that_are() -> None:
    """These go to the Python form, and so do traced values."""
    x = cnp.asarray(X)
    close = cnp.isclose(x, x, rtol=cnp.asarray(0.1), atol=cnp.asarray(1.0), equal_nan=True)
    assert close.all()
    assert cnp.nan_to_num(x, nan=cnp.asarray(9.0))[0, 1] == 9
    assert cnp.nan_to_num(np.float32(np.nan)) == 0
    assert cnp.median(V) == 2
    assert cnp.sort(V)[0] == 1
    assert cnp.diff(cnp.asarray(V), prepend=0).shape == (3,)
    assert cnp.any(x, axis=(0, 1))
    assert cnp.nansum(x, axis=1, where=cnp.isfinite(x)).shape == (3,)
    with pytest.raises(TypeError, match="sort"):
        cnp.sort([3, 1])
    with pytest.raises(ValueError, match=r"axis 5 is out of bounds.*argmax"):
        cnp.argmax(x, axis=5)


@pytest.mark.parametrize("name", ["median", "nansum", "tril", "diff", "cumsum", "trace", "kron"])
def test_their_eager_derivatives(name: str) -> None:
    f = getattr(cnp, name)
    operands = [cnp.asarray(np.nan_to_num(x)) for x in FORMS[name]]

    def loss(*xs):
        return (f(*xs) ** 2).sum()

    np.testing.assert_allclose(
        cv.grad(loss)(*operands), cv.jit(cv.grad(loss))(*operands), rtol=1e-6
    )
