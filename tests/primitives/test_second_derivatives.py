"""The rules' own results can be differentiated: the jvp of a jvp is the slope of the jvp."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.primitives.makers import array
from tests.primitives.samples import all_samples

from covector._engine import primitives as prims
from covector._engine.core.symbolic import Zero
from covector._engine.transforms.forward import jvp_flat
from covector._engine.types import dtypes
from covector.extend.testing import Sample, assert_close, directions, moving, operands

# The oracles of their slopes are rough.
NO_SECOND = {"lgamma", "digamma", "polygamma", "zeta", "bessel_i0e", "bessel_i1e", "betainc"}
EXTREMA = ("reduce_max", "reduce_min")
SAMPLES = [
    s
    for s in all_samples()
    if s.slopes
    and not s.primitive.multiple
    and moving(s)
    and s.primitive.name not in NO_SECOND
    and not (s.primitive.name in EXTREMA and 0 in s.avals[0].shape)  # of no elements: infinite
    and dtypes.is_inexact(s.primitive.type(*s.avals).dtype)
]


@pytest.mark.parametrize("sample", SAMPLES, ids=str)
def test_jvp_of_jvp(sample: Sample) -> None:
    xs = operands(sample)
    moved = moving(sample)
    first, second = directions(xs, moved), directions(xs, moved)
    second = [t if type(t) is Zero else t[::-1] if np.ndim(t) else -t for t in second]

    def slope(*values: Any) -> Any:
        primals = list(xs)
        for i, v in zip(moved, values, strict=True):
            primals[i] = v
        return [prims.materialize(sample.primitive.jvp(primals, first)[1])]

    def at(h: float) -> Any:
        return slope(*[(xs[i] + h * second[i]).astype(xs[i].dtype) for i in moved])[0]

    (out,), (tangent,) = jvp_flat(slope, [xs[i] for i in moved], [second[i] for i in moved])
    assert_close(out, at(0))
    h = 1e-4
    with np.errstate(all="ignore"):
        wanted = (8 * (at(h) - at(-h)) - (at(2 * h) - at(-2 * h))) / (12 * h)
    actual = np.zeros_like(out) if type(tangent) is Zero else tangent
    assert_close(actual, wanted, 1e-5)


@pytest.mark.parametrize("zeros", [0, 1, 2, 3])
def test_both_product_rules_are_one(zeros: int, rng: np.random.Generator) -> None:
    """The rule for symbolic lengths does what that for known ones does, and so does its derivative."""
    x, t = rng.normal(size=(2, 5)), rng.normal(size=(2, 5))
    x[1, :zeros] = 0
    for axes in ((1,), (0, 1), (0,)):
        product = prims.Prod(axes)
        rules = product._tangent_by_halves, product._tangent_by_steps
        for actual, wanted in zip(
            *[jvp_flat(lambda x, r=r: [r(x, t)], [x], [t]) for r in rules], strict=True
        ):
            np.testing.assert_allclose(actual, wanted, rtol=1e-12, atol=1e-14)


def test_the_slope_of_a_product_of_zeros_is_that_of_the_others() -> None:
    x = np.array([0.0, 3.0, 0.0, 5.0])
    first, second = np.array([1.0, 0, 0, 0]), np.array([0, 0, 1.0, 0])
    product = prims.Prod((0,))
    (slope,), (curvature,) = jvp_flat(lambda x: [product.jvp([x], [first])[1]], [x], [second])
    assert slope == 0
    assert curvature == 15
    assert product.type(array((4,))).shape == ()
