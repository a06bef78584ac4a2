"""Types of results, and classes of exceptions, that are JAX's: what the comparison in tools/agreement found."""

from __future__ import annotations

import array
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import covector as cv
import covector.numpy as cnp
from covector import lax, nn
from covector.scipy import special

SQUARE = cnp.ones((2, 2))

# In each of the states False and True: the type of the result.
TYPES: dict[str, tuple[Callable[[], Any], str, str]] = {
    "sum of int8": (lambda: cnp.sum(cnp.ones(2, "int8")), "int32[]", "int64[]"),
    "sum of uint8": (lambda: cnp.sum(cnp.ones(2, "uint8")), "uint32[]", "uint64[]"),
    "sum of int32": (lambda: cnp.sum(cnp.ones(2, "int32")), "int32[]", "int64[]"),
    "cumsum of int32": (lambda: cnp.cumsum(cnp.ones(2, "int32")), "int32[2]", "int32[2]"),
    "cumsum of bool": (lambda: cnp.cumsum(cnp.ones(2, bool)), "int32[2]", "int64[2]"),
    "argmin": (lambda: cnp.argmin(cnp.ones(2)), "int32[]", "int64[]"),
    "searchsorted": (lambda: cnp.searchsorted(cnp.ones(2), 1), "int32[]", "int32[]"),
    "argpartition": (lambda: cnp.argpartition(cnp.ones(2), 1), "int32[2]", "int32[2]"),
    "lexsort": (lambda: cnp.lexsort((cnp.ones(2),)), "int32[2]", "int64[2]"),
    "tril_indices": (lambda: cnp.tril_indices(2)[0], "int32[3]", "int64[3]"),
    "indices": (lambda: cnp.indices((2,)), "int32[1,2]", "int64[1,2]"),
    "bincount": (lambda: cnp.bincount(cnp.array([1], "int32")), "int32[2]", "int64[2]"),
    "hanning": (lambda: cnp.hanning(3), "float32[3]", "float64[3]"),
    "matrix_rank": (lambda: cnp.linalg.matrix_rank(SQUARE), "int32[]", "int64[]"),
    "fori_loop": (lambda: lax.fori_loop(0, 3, lambda i, c: c + i, 0), "int32*[]", "int64*[]"),
    "bitwise_count": (lambda: cnp.bitwise_count(2), "uint8[]", "uint8[]"),
    "heaviside": (lambda: cnp.heaviside(2.0, 1.5), "float32[]", "float64[]"),
    "round": (lambda: round(cnp.array(2.7)), "int32[]", "int64[]"),
    **{
        f"{name} of {x.dtype}": (lambda name=name, x=x: getattr(nn, name)(x), off, on)
        for name, x, off, on in (
            ("relu", cnp.ones(2, bool), "int32*[2]", "int64*[2]"),
            ("relu", cnp.ones(2, "int8"), "int8[2]", "int8[2]"),
            ("relu6", cnp.ones(2, "int8"), "float32*[2]", "float64*[2]"),
            ("hard_tanh", cnp.ones(2, bool), "int32*[2]", "int64*[2]"),
            ("hard_silu", cnp.ones(2, "uint8"), "float32*[2]", "float64*[2]"),
            ("selu", cnp.ones(2, "int32"), "float32*[2]", "float64*[2]"),
            ("sparse_plus", cnp.ones(2, bool), "float32*[2]", "float64*[2]"),
            ("elu", cnp.ones(2, "float16"), "float16[2]", "float16[2]"),
            ("soft_sign", cnp.ones(2, bool), "float32*[2]", "float64*[2]"),
            ("soft_sign", cnp.ones(2, "int32"), "float32[2]", "float32[2]"),
        )
    },
    "leaky_relu of integers": (
        lambda: nn.leaky_relu(cnp.ones(2, "int32"), 1),
        "int32[2]",
        "int32[2]",
    ),
    **{
        name: (lambda name=name: getattr(special, name)(0.5), "float32[]", "float64[]")
        for name in ("ndtr", "ndtri", "log_ndtr", "spence")
    },
    "beta": (lambda: special.beta(1.5, 2), "float32[]", "float64[]"),
    "gelu": (lambda: nn.gelu(1.5), "float32[]", "float64[]"),
}


@pytest.mark.parametrize("case", TYPES)
def test_types(case: str) -> None:
    call, off, on = TYPES[case]
    for state, wanted in ((False, off), (None, off), (True, on)):
        with cv.enable_x64(state):
            assert cv.typeof(call()).text() == wanted, state


ERRORS: dict[str, tuple[Callable[[], Any], type[Exception]]] = {
    "gcd": (lambda: cnp.gcd(1.5, 2), ValueError),
    "isposinf": (lambda: cnp.isposinf(1j), ValueError),
    "clip": (lambda: cnp.clip(1j, 0, 1), ValueError),
    "negative": (lambda: cnp.ones((-1, 1)), TypeError),
    "transpose": (lambda: lax.transpose(SQUARE, (0,)), TypeError),
    "slice": (lambda: lax.slice(cnp.ones(3), (0,), (9,)), TypeError),
    "reshape": (lambda: cnp.reshape(cnp.ones(4), (3,)), TypeError),
}


@pytest.mark.parametrize("case", ERRORS)
def test_errors(case: str) -> None:
    """They are of JAX's class, and of NumPy's where that is another."""
    call, kind = ERRORS[case]
    with pytest.raises(kind):
        call()


def test_what_is_taken() -> None:
    assert cv.jit(lambda k: cnp.eye(3, k=k))(1).tolist() == np.eye(3, k=1).tolist()
    assert not cnp.eye(3, k=2**70).any()
    assert cnp.diagonal(SQUARE, 5).shape == cnp.diag(SQUARE, -5).shape == (0,)
    assert float(cnp.finfo(SQUARE).eps) == 2.0**-23
    assert lax.dtype(np.float32) == lax.dtype("float32") == np.float32
    assert cnp.asarray(array.array("i", [1, 2])).tolist() == [1, 2]
    described = cv.ShapeDtypeStruct((2,), "int32")
    assert cnp.zeros_like(described).tolist() == [0, 0]
    assert len(described) == 2
    with cv.enable_x64(False):
        assert cnp.zeros_like(np.float64(1)).dtype == cnp.ones_like(np.ones(2)).dtype == np.float32
    assert described.update(shape=(3,)) == cv.ShapeDtypeStruct((3,), "int32")
    assert isinstance(cnp.meshgrid(cnp.arange(2), cnp.arange(3)), tuple)
    assert isinstance(cnp.broadcast_arrays(1, SQUARE), tuple)
    assert complex(cnp.fmax(1j, 2)) == 2
    assert complex(cnp.fmin(1j, cnp.nan)) == 1j
