"""Convolutions of bfloat16, by pairs of features where they have them, beside those of the same numbers in float64."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest

import covector as cv
from covector import lax

BF16 = ml_dtypes.bfloat16
LAYOUT = ("NHWC", "HWIO", "NHWC")
# Shapes of operand and kernel, options, and whether the features that are multiplied lie in pairs.
CASES: dict[str, tuple[tuple[int, ...], tuple[int, ...], dict[str, Any]]] = {
    "plain": ((2, 9, 8, 6), (3, 3, 6, 20), {}),
    "points": ((2, 9, 8, 8), (1, 1, 8, 40), {"padding": "VALID"}),
    "strides": ((1, 9, 8, 4), (3, 2, 4, 8), {"window_strides": (2, 3)}),
    "elements apart": ((1, 5, 4, 4), (3, 3, 4, 8), {"lhs_dilation": (2, 3)}),
    "places apart": ((1, 9, 8, 4), (3, 3, 4, 8), {"rhs_dilation": (2, 1)}),
    "groups": ((2, 9, 8, 8), (3, 3, 4, 16), {"feature_group_count": 2}),
    "groups of the batch": ((4, 9, 8, 4), (3, 3, 4, 16), {"batch_group_count": 2}),
    "an odd number": ((2, 9, 8, 5), (3, 3, 5, 8), {}),
    "a long kernel": ((8, 3, 5, 4), (3, 5, 4, 8), {"padding": ((0, 0), (1, 1))}),
    "few features": ((1, 9, 8, 2), (3, 3, 2, 2), {}),
    "each on its own": ((1, 9, 8, 16), (3, 3, 1, 16), {"feature_group_count": 16}),
}


def convolved(name: str, x: Any, w: Any, **more: Any) -> np.ndarray:
    options = {"window_strides": (1, 1), "padding": ((1, 2), (1, 1)), **CASES[name][2], **more}
    numbers = lax.conv_dimension_numbers(x.shape, w.shape, LAYOUT)
    run = cv.jit(lambda x, w: lax.conv_general_dilated(x, w, dimension_numbers=numbers, **options))
    with cv.enable_x64(True):
        return np.asarray(run(x, w))


def operands(name: str, scale: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    lhs, rhs, _ = CASES[name]
    return (rng.normal(size=lhs) * scale).astype(BF16), rng.normal(size=rhs).astype(BF16)


@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize("name", CASES)
def test_sums_are_those_of_the_same_numbers(name: str, wide: bool) -> None:
    x, w = operands(name)
    wanted = convolved(name, x.astype(np.float64), w.astype(np.float64))
    more = {"preferred_element_type": np.float32} if wide else {}
    actual = convolved(name, x, w, **more)
    assert actual.dtype == (np.float32 if wide else BF16)
    tolerance = 1e-5 if wide else 2**-8
    np.testing.assert_allclose(actual.astype(np.float64), wanted, rtol=tolerance, atol=1e-5)


@pytest.mark.parametrize("name", ["plain", "strides", "elements apart", "groups", "an odd number"])
@pytest.mark.parametrize("odd", [np.inf, np.nan])
def test_what_is_not_finite(name: str, odd: float) -> None:
    x, w = operands(name)
    w[0, 1, 1, 0] = odd
    wanted = convolved(name, x.astype(np.float64), w.astype(np.float64))
    actual = convolved(name, x, w).astype(np.float64)
    np.testing.assert_allclose(actual, wanted, rtol=2**-7, atol=1e-2)


@pytest.mark.parametrize("name", ["plain", "points"])
def test_small_numbers_are_not_lost(name: str) -> None:
    """The instruction for pairs takes what is below 2^-126 for 0."""
    x, w = operands(name, 2.0**-126)
    wanted = convolved(name, x.astype(np.float64), w.astype(np.float64))
    actual = convolved(name, x, w, preferred_element_type=np.float32)
    np.testing.assert_allclose(actual, wanted, rtol=1e-4, atol=2e-44)
    assert np.abs(actual).max() > 0


def test_gradients() -> None:
    x, w = operands("plain")
    ct = convolved("plain", x, w)

    def back(x: Any, w: Any, ct: Any) -> Any:
        numbers = lax.conv_dimension_numbers(x.shape, w.shape, LAYOUT)
        _, pull = cv.vjp(
            lambda x, w: lax.conv_general_dilated(
                x, w, (1, 1), ((1, 2), (1, 1)), dimension_numbers=numbers
            ),
            x,
            w,
        )
        return pull(ct)

    wide = [v.astype(np.float32) for v in (x, w, ct)]
    for actual, wanted in zip(cv.jit(back)(x, w, ct), cv.jit(back)(*wide), strict=True):
        scale = np.abs(np.asarray(wanted)).max()
        close = np.asarray(actual).astype(np.float32), np.asarray(wanted)
        np.testing.assert_allclose(*close, rtol=2**-7, atol=2**-7 * float(scale))
