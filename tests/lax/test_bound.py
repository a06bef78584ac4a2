"""Primitives of JAX's that are given computations, bound by name; and scaled products."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import covector as cv
from covector import lax, nn, numpy as cnp

RNG = np.random.default_rng(0)
X = RNG.permutation(20).reshape(4, 5).astype(np.float32)


def closed(f: Any) -> Any:
    return cv.make_jaxpr(f)(0.0, 0.0)


MIX = closed(lambda a, b: a * b + b)


def test_reductions_by_any_computation() -> None:
    (found,) = lax.reduce_p.bind(X, 0.5, jaxpr=MIX, dimensions=(0,))
    np.testing.assert_allclose(found, lax.reduce(X, 0.5, lambda a, b: a * b + b, (0,)))
    how: dict[str, Any] = {
        "window_dimensions": (2, 2),
        "window_strides": (1, 2),
        "padding": ((0, 1), (0, 0)),
    }
    ones = {"base_dilation": (1, 1), "window_dilation": (1, 1)}
    (found,) = lax.reduce_window_p.bind(X, 0.5, jaxpr=MIX.jaxpr, consts=(), **how, **ones)
    wanted = lax.reduce_window(X, 0.5, lambda a, b: a * b + b, *how.values())
    np.testing.assert_allclose(found, wanted)


SHAPES = [
    ((2, 2), (1, 1), ((0, 0), (0, 0))),
    ((2, 3), (2, 1), ((1, 1), (1, 0))),
    ((1, 2), (1, 2), ((0, 0), (0, 1))),
]


@pytest.mark.parametrize(("window", "strides", "padding"), SHAPES)
@pytest.mark.parametrize("name", ["add", "mul"])
def test_select_and_scatter(window: Any, strides: Any, padding: Any, name: str) -> None:
    start = {"add": 0.0, "mul": 1.0}[name]
    padded = np.pad(X, padding, constant_values=-1)
    counts = [(n - w) // s + 1 for n, w, s in zip(padded.shape, window, strides, strict=True)]
    source = RNG.normal(size=counts).astype(np.float32)
    wanted = np.full(padded.shape, start, np.float32)
    for at in np.ndindex(*counts):
        corner = [i * s for i, s in zip(at, strides, strict=True)]
        cut = tuple(slice(c, c + w) for c, w in zip(corner, window, strict=True))
        inner = np.unravel_index(padded[cut].argmax(), window)
        place = tuple(c + i for c, i in zip(corner, inner, strict=True))
        wanted[place] = {"add": np.add, "mul": np.multiply}[name](wanted[place], source[at])
    cut = tuple(slice(low, n - high) for (low, high), n in zip(padding, padded.shape, strict=True))
    found = lax.select_and_scatter_p.bind(
        cnp.asarray(X),
        cnp.asarray(source),
        start,
        select_jaxpr=closed(lambda a, b: a >= b).jaxpr,
        select_consts=(),
        scatter_jaxpr=closed(getattr(lax, name)).jaxpr,
        scatter_consts=(),
        window_dimensions=window,
        window_strides=strides,
        padding=padding,
    )
    np.testing.assert_allclose(found, wanted[cut], rtol=1e-6)


def test_other_primitives_by_name() -> None:
    (same,) = lax.device_put_p.bind(X, devices=[None], srcs=[None], copy_semantics=[None])
    np.testing.assert_array_equal(same, X)
    state, bits = lax.rng_bit_generator_p.bind(
        cnp.zeros(4, "uint32"),
        shape=(3,),
        dtype="uint32",
        algorithm=lax.RandomAlgorithm.RNG_DEFAULT,
    )
    np.testing.assert_array_equal(bits, lax.rng_bit_generator(cnp.zeros(4, "uint32"), (3,))[1])
    assert state.tolist() == [0, 0, 1, 0]
    assert lax.rng_uniform_p.bind(0.0, 1.0, shape=(2,)).shape == (2,)
    a = cnp.asarray(RNG.normal(size=(3, 2)).astype(np.float32))
    product = lax.linalg.symmetric_product_p.bind(a, cnp.eye(3), alpha=2.0, beta=1.0)
    np.testing.assert_allclose(product, 2 * a @ a.T + np.eye(3), rtol=1e-5)
    twice, half = (cv.make_jaxpr(f)(X) for f in (lambda v: [2 * v], lambda v: [v / 2]))
    (solved,) = lax.linear_solve_p.bind(
        X, const_lengths=(0, 0, 0, 0), jaxprs=(twice, twice, half, half)
    )
    np.testing.assert_allclose(solved, X / 2)


# ---------------------------------------------------------------------------------- scaled products


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "int8"])
def test_scaled_products(dtype: str) -> None:
    x, y = (RNG.integers(-4, 5, s).astype(np.float32) for s in ((2, 3, 8), (2, 8, 4)))
    a, b = (RNG.integers(1, 4, s).astype(np.float32) for s in ((2, 3, 2), (2, 4, 4)))
    wide = x * np.repeat(a, 4, 2), y * np.repeat(b, 2, 1)
    operands = [cnp.asarray(v).astype(dtype) for v in (x, y)]
    found = lax.scaled_dot(*operands, lhs_scale=a, rhs_scale=b, preferred_element_type=cnp.float32)
    np.testing.assert_allclose(found, wide[0] @ wide[1])
    assert lax.scaled_dot(*operands).dtype == cnp.bfloat16
    slope = cv.grad(
        lambda s: lax.scaled_dot(x, y, lhs_scale=s, preferred_element_type="float32").sum()
    )(a)
    np.testing.assert_allclose(slope[..., 0], (x * y.sum(2)[:, None])[..., :4].sum(2))
    stacked = nn.scaled_matmul(operands[0], operands[1].mT, a, np.swapaxes(b, 1, 2))
    np.testing.assert_allclose(stacked, wide[0] @ wide[1])


REFUSED: list[tuple[Any, str]] = [
    (
        lambda: lax.scaled_dot(X, X.T, lhs_scale=np.ones((4, 2), "f4")),
        r"lhs_scale is float32\[4,2\]",
    ),
    (
        lambda: lax.scaled_dot(X, X.T, rhs_scale=np.ones((5, 1), "f4")),
        r"rhs_scale is float32\[5,1\]",
    ),
    (lambda: lax.scaled_dot(X[0], X[0]), "needs dimension_numbers"),
    (lambda: nn.scaled_matmul(X, X, X, X), r"takes \(B, M, K\)"),
    (lambda: nn.scaled_matmul(*[np.ones((1, 1, 1))] * 4, int), "products are floats"),
]


@pytest.mark.parametrize(("call", "text"), REFUSED, ids=[text for _, text in REFUSED])
def test_scales_that_do_not_fit(call: Any, text: str) -> None:
    with pytest.raises(TypeError, match=text):
        call()
