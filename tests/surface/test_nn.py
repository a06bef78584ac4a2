"""Functions of neural networks: against JAX's values (golden/nn.json), and against formulas."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import scipy.special

import covector as cv
import covector.numpy as cnp
from covector import nn, random

GOLDEN: dict[str, Any] = json.loads((Path(__file__).parent / "golden" / "nn.json").read_text())
X = np.array(GOLDEN["x"], np.float32)
ACTIVATIONS = [name[2:] for name in GOLDEN if name.startswith("f ")]
WITH_GRADIENTS = [name[2:] for name in GOLDEN if name.startswith("g ")]
K = random.key(3)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_values(name: str) -> None:
    f = (lambda x: nn.gelu(x, approximate=False)) if name == "gelu exact" else getattr(nn, name)
    x = np.abs(X) + np.float32(0.1) if name == "log1mexp" else X
    got = np.asarray(f(cnp.asarray(x)))
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, GOLDEN[f"f {name}"], rtol=2e-6, atol=1e-7)


@pytest.mark.parametrize("name", WITH_GRADIENTS)
def test_gradients(name: str) -> None:
    x = cnp.asarray(X[:-1])
    _, got = cv.jvp(getattr(nn, name), (x,), (cnp.ones_like(x),))
    wanted = np.array(GOLDEN[f"g {name}"])
    keep = np.full(x.shape, True)
    if name in ("relu6", "hard_sigmoid", "hard_silu"):  # at the upper corner JAX takes half
        keep = ~np.isin(X[:-1], [6.0, 3.0, -3.0])
    if name == "sparse_sigmoid":
        keep = np.abs(X[:-1]) != 1
    np.testing.assert_allclose(np.asarray(got)[keep], wanted[keep], rtol=1e-5, atol=1e-6)


def test_relu() -> None:
    _, slope = cv.jvp(nn.relu, (cnp.array([-1.0, 0.0, 2.0]),), (cnp.ones(3),))
    np.testing.assert_array_equal(np.asarray(slope), [0, 0, 1])
    assert nn.relu(cnp.arange(3)).dtype == np.int32
    assert np.isnan(np.asarray(nn.relu(np.float32("nan"))))
    assert nn.sigmoid(cnp.arange(3)).dtype == np.float32


@pytest.mark.parametrize("axis", [-1, 0, (0, 1), None])
def test_softmax(axis: Any, rng: np.random.Generator) -> None:
    x = rng.normal(size=(3, 4)).astype(np.float32) * 50
    axes = axis if axis is not None else (0, 1)
    np.testing.assert_allclose(
        np.asarray(nn.softmax(x, axis)), scipy.special.softmax(x, axes), rtol=1e-5, atol=1e-30
    )
    np.testing.assert_allclose(
        np.asarray(nn.log_softmax(x, axis)),
        scipy.special.log_softmax(x, axes),
        rtol=1e-5,
        atol=1e-5,
    )
    for keepdims in (False, True):
        got = nn.logsumexp(x, axis, keepdims=keepdims)
        np.testing.assert_allclose(
            np.asarray(got), scipy.special.logsumexp(x, axes, keepdims=keepdims), rtol=1e-5
        )


def test_softmax_with_where() -> None:
    x, where = np.array([[1.0, 2.0, 3.0]], np.float32), np.array([True, False, True])
    part = scipy.special.softmax(x[:, [0, 2]], -1)
    np.testing.assert_allclose(
        np.asarray(nn.softmax(x, where=where)), [[part[0, 0], 0, part[0, 1]]], rtol=1e-6
    )
    got = np.asarray(nn.log_softmax(x, where=where))
    np.testing.assert_allclose(got[0, [0, 2]], np.log(part[0]), rtol=1e-5)
    assert got[0, 1] == -np.inf
    np.testing.assert_allclose(
        np.asarray(nn.logsumexp(x, where=where)), scipy.special.logsumexp(x[:, [0, 2]]), rtol=1e-6
    )
    np.testing.assert_allclose(np.asarray(nn.logmeanexp(x)), np.log(np.mean(np.exp(x))), rtol=1e-6)
    np.testing.assert_allclose(
        np.asarray(nn.logmeanexp(x, where=where)), np.log(np.mean(np.exp(x[:, [0, 2]]))), rtol=1e-6
    )


def test_logsumexp_with_weights() -> None:
    x, b = np.array([1.0, 2.0, 3.0]), np.array([1.0, -4.0, 0.5])
    got, sign = nn.logsumexp(x, b=b, return_sign=True)
    wanted, wanted_sign = scipy.special.logsumexp(x, b=b, return_sign=True)
    np.testing.assert_allclose([float(got), float(sign)], [wanted, wanted_sign], rtol=1e-12)
    assert np.isnan(float(nn.logsumexp(x, b=b)))
    assert float(nn.logsumexp(cnp.full(3, -np.inf))) == -np.inf
    _, slope = cv.jvp(nn.logsumexp, (cnp.array([1000.0, 1000.0]),), (cnp.array([1.0, 0.0]),))
    assert float(slope) == 0.5


def test_standardize_one_hot_glu(rng: np.random.Generator) -> None:
    x = rng.normal(size=(4, 6)).astype(np.float32)
    wanted = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)
    for algorithm in ("fast", "stable"):
        np.testing.assert_allclose(
            np.asarray(nn.standardize(x, algorithm=algorithm)), wanted, rtol=1e-4, atol=1e-5
        )
    np.testing.assert_allclose(
        np.asarray(nn.standardize(x, 0, mean=0.0, variance=1.0, epsilon=0.0)), x, rtol=1e-6
    )
    np.testing.assert_array_equal(
        np.asarray(nn.one_hot(cnp.array([0, 2, 5]), 3)), [[1, 0, 0], [0, 0, 1], [0, 0, 0]]
    )
    assert nn.standardize(cnp.arange(3), epsilon=cnp.float64(0.1)).dtype == "float64"
    with cv.enable_x64(True):
        assert nn.standardize(cnp.arange(3, dtype="int32")).dtype == "float32"
    assert nn.one_hot(cnp.arange(2), 3, axis=0, dtype=cnp.int8).shape == (3, 2)
    first, second = np.split(x, 2, -1)
    np.testing.assert_allclose(
        np.asarray(nn.glu(x)), first * scipy.special.expit(second), rtol=1e-5
    )
    with pytest.raises(ValueError, match="odd size"):
        nn.glu(x[:, :5])


@pytest.mark.parametrize("heads", [(4, 4), (4, 2), (4, 1)])
@pytest.mark.parametrize("causal", [False, True])
def test_attention(heads: tuple[int, int], causal: bool, rng: np.random.Generator) -> None:
    n, k = heads
    q = rng.normal(size=(2, 5, n, 8)).astype(np.float32)
    key, value = (rng.normal(size=(2, 6, k, 8)).astype(np.float32) for _ in range(2))
    bias = rng.normal(size=(2, n, 5, 6)).astype(np.float32)
    mask = rng.uniform(size=(5, 6)) > 0.2
    mask[:, 0] = True
    full_key, full_value = (np.repeat(x, n // k, 2) for x in (key, value))
    logits = np.einsum("btnh,bsnh->bnts", q, full_key) / np.sqrt(8) + bias
    logits = np.where(mask & (np.tri(5, 6, dtype=bool) if causal else True), logits, -np.inf)
    wanted = np.einsum("bnts,bsnh->btnh", scipy.special.softmax(logits, -1), full_value)
    got = nn.dot_product_attention(q, key, value, bias, mask, is_causal=causal)
    np.testing.assert_allclose(np.asarray(got), wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "name",
    ["glorot_uniform", "glorot_normal", "lecun_uniform", "lecun_normal", "he_uniform", "he_normal"],
)
def test_initializers(name: str) -> None:
    got = getattr(nn.initializers, name)()(K, (3, 2))
    np.testing.assert_allclose(np.asarray(got).ravel(), GOLDEN[name], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("shape", [(4, 2), (2, 5), (3, 2, 4)])
def test_orthogonal_initializers(shape: tuple[int, ...]) -> None:
    w = np.asarray(nn.initializers.orthogonal(2.0)(K, shape))
    assert w.shape == shape
    flat = w.reshape(-1, shape[-1])
    flat = flat if len(flat) >= shape[-1] else flat.T
    np.testing.assert_allclose(flat.T @ flat, 4 * np.eye(flat.shape[1]), atol=1e-5)
    first = np.asarray(nn.initializers.orthogonal(column_axis=0)(K, shape)).reshape(shape[0], -1)
    first = first if first.shape[0] <= first.shape[1] else first.T
    np.testing.assert_allclose(first @ first.T, np.eye(len(first)), atol=1e-5)


def test_delta_orthogonal() -> None:
    w = np.array(nn.initializers.delta_orthogonal()(K, (3, 3, 2, 4)))
    np.testing.assert_allclose(w[1, 1] @ w[1, 1].T, np.eye(2), atol=1e-5)
    w[1, 1] = 0
    assert not w.any()
    with pytest.raises(ValueError, match="delta_orthogonal takes shapes"):
        nn.initializers.delta_orthogonal()(K, (3, 4, 2))
    with pytest.raises(ValueError, match="orthogonal takes shapes of two axes"):
        nn.initializers.orthogonal()(K, (3,))


def test_more_initializers() -> None:
    i = nn.initializers
    for name, got in {
        "normal": i.normal(0.5)(K, (4,)), "uniform": i.uniform(0.5)(K, (4,)),
        "truncated_normal": i.truncated_normal(0.5)(K, (4,)),
        "geo": i.variance_scaling(2.0, "fan_geo_avg", "normal")(K, (2, 4)), "conv": i.he_normal()(K, (2, 1, 3, 2)),
    }.items():  # fmt: skip
        np.testing.assert_allclose(np.asarray(got).ravel(), GOLDEN[name], rtol=1e-5, atol=1e-6)
    for name, f in (("complex", i.glorot_uniform), ("complex normal", i.glorot_normal)):
        z = np.asarray(f()(K, (2, 2), cnp.complex64)).ravel()
        np.testing.assert_allclose(
            np.stack([z.real, z.imag], -1), GOLDEN[name], rtol=1e-4, atol=1e-5
        )
    np.testing.assert_array_equal(np.asarray(i.constant(3)(K, (2,))), [3, 3])
    assert i.zeros(K, (2, 3), cnp.bfloat16).dtype == cnp.bfloat16
    assert i.ones(K, (2, 3)).shape == (2, 3)
    assert i.xavier_normal is i.glorot_normal
    with pytest.raises(ValueError, match="at least two axes"):
        i.he_normal()(K, (3,))
    with pytest.raises(ValueError, match="mode is one of"):
        i.variance_scaling(1.0, "fan", "normal")


def test_second_derivatives() -> None:
    for x in (-30.0, -1.0, 0.0, 2.0, 30.0):
        p = scipy.special.expit(x)
        for f, wanted in ((nn.softplus, p * (1 - p)), (nn.log_sigmoid, -p * (1 - p))):
            got = cv.grad(cv.grad(f))(np.float64(x))
            np.testing.assert_allclose(float(got), wanted, rtol=1e-9, atol=1e-12)
    x = np.array([1.0, -2.0, 0.5])
    p = scipy.special.softmax(x)
    slopes = np.diag(p) - np.outer(p, p)
    for jacobian in (cv.jacfwd, cv.jacrev):
        np.testing.assert_allclose(
            np.asarray(jacobian(nn.softmax)(x)), slopes, rtol=1e-12, atol=1e-15
        )
    np.testing.assert_allclose(
        np.asarray(cv.hessian(nn.logsumexp)(x)), slopes, rtol=1e-12, atol=1e-15
    )


def test_a_missing_name_is_an_attribute_error() -> None:
    for module in (nn, nn.initializers):
        with pytest.raises(AttributeError):
            _ = module.no_such_function


COMPLEX = np.array([0.75 + 0.5j, -2.5 + 1j, 3 - 0.25j, 7 + 1j, 1 - 2j, 1j], np.complex64)


def larger(x: np.ndarray, bound: complex) -> np.ndarray:
    """Complex numbers in the order of their real parts, then of the imaginary ones."""
    return np.where(
        (x.real > bound.real) | ((x.real == bound.real) & (x.imag > bound.imag)), x, bound
    )


OF_COMPLEX: dict[str, Any] = {
    "relu": lambda x: larger(x, 0),
    "relu6": lambda x: -larger(-larger(x, 0), -6),
    "hard_tanh": lambda x: -larger(-larger(x, -1), -1),
    "hard_sigmoid": lambda x: -larger(-larger(x + 3, 0), -6) / 6,
    "elu": lambda x: np.where(larger(x, 0) == x, x, np.expm1(x)),
    "leaky_relu": lambda x: np.where(larger(x, 0) == x, x, x * 0.01),
    "softplus": lambda x: np.log(1 + np.exp(x)),
    "soft_sign": lambda x: x / (1 + np.abs(x)),
    "mish": lambda x: x * np.tanh(np.log(1 + np.exp(x))),
    "softmax": lambda x: np.exp(x) / np.exp(x).sum(),
}


@pytest.mark.parametrize("name", OF_COMPLEX)
def test_complex_numbers(name: str) -> None:
    found = getattr(nn, name)(cnp.asarray(COMPLEX))
    assert found.dtype == np.complex64
    np.testing.assert_allclose(np.asarray(found), OF_COMPLEX[name](COMPLEX), rtol=1e-5, atol=1e-6)


def test_complex_numbers_without_an_order() -> None:
    for f in (nn.sparse_sigmoid, nn.standardize):
        with pytest.raises(ValueError, match=f"{f.__name__} does not take complex64"):
            f(cnp.asarray(COMPLEX))


# The format, the scale of a block by its largest element, and the blocks' length.
FORMATS: dict[str, tuple[Any, Any, int]] = {
    "mxfp8": (ml_dtypes.float8_e4m3fn, lambda top: 2.0 ** np.ceil(np.log2(top / 448)), 32),
    "mxfp4": (ml_dtypes.float4_e2m1fn, lambda top: 2.0 ** np.ceil(np.log2(top / 6)), 32),
    "nvfp4": (
        ml_dtypes.float4_e2m1fn,
        lambda top: (top / np.float32(6) / 2).astype(ml_dtypes.float8_e4m3fn).astype("float32") * 2,
        16,
    ),
}


def few_bits(x: np.ndarray, mode: str) -> np.ndarray:
    data, scale_of, size = FORMATS[mode]
    blocks = x.reshape(*x.shape[:-1], -1, size)
    scale = scale_of(np.abs(blocks).max(-1, keepdims=True)).astype(np.float32)
    most = float(ml_dtypes.finfo(data).max)
    return (np.clip(blocks / scale, -most, most).astype(data).astype(np.float32) * scale).reshape(
        x.shape
    )


@pytest.mark.parametrize("mode", FORMATS)
def test_scaled_dot_general(mode: Any, rng: np.random.Generator) -> None:
    a, b, g = (rng.normal(size=s).astype(np.float32) * 3 for s in ((32, 64), (32, 64), (32, 32)))
    configs = [
        nn.get_scaled_dot_general_config(mode, np.float32(2) if mode == "nvfp4" else None)
    ] * 3
    numbers = (((1,), (1,)), ((), ()))

    def f(a: Any, b: Any) -> Any:
        return nn.scaled_dot_general(a, b, numbers, configs=configs)

    out, pull = cv.vjp(cv.jit(f), a, b)
    wanted = few_bits(a, mode) @ few_bits(b, mode).T
    np.testing.assert_allclose(np.asarray(out), wanted, rtol=1e-5, atol=1e-4)
    by_a, by_b = pull(cnp.asarray(g))
    for found, (x, y) in ((by_a, (g, b.T)), (by_b, (g.T, a.T))):
        np.testing.assert_allclose(
            np.asarray(found), few_bits(x, mode) @ few_bits(y, mode).T, rtol=1e-5, atol=1e-4
        )


def test_scaled_dot_general_of_other_forms() -> None:
    config = nn.get_scaled_dot_general_config("mxfp8")
    x, y = cnp.zeros((2, 3, 32)), cnp.ones((32, 2, 4), "bfloat16")
    out = nn.scaled_dot_general(
        x + 1, y, (((2,), (0,)), ((0,), (1,))), "bfloat16", configs=[config] * 3
    )
    assert (out.shape, out.dtype.name) == ((2, 3, 4), "bfloat16")
    assert cnp.all(out == 32)
    numbers = (((2,), (0,)), ((0,), (1,)))
    assert nn.scaled_dot_general(x, y.astype("float32"), numbers).shape == (2, 3, 4)
    assert not cnp.any(nn.scaled_dot_general(x, y, numbers, configs=[config] * 3))
    with pytest.raises(ValueError, match="scaled_dot_general: blocks of 32 along an axis of 3"):
        nn.scaled_dot_general(
            cnp.ones(3), cnp.ones(3), (((0,), (0,)), ((), ())), configs=[config] * 3
        )
    with pytest.raises(TypeError, match="scaled_dot_general: configs are three"):
        nn.scaled_dot_general(x, y, numbers, configs=[config])
    with pytest.raises(ValueError, match="mode is 'x'"):
        nn.get_scaled_dot_general_config("x")  # type: ignore[arg-type]
