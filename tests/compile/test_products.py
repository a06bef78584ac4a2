"""Products of operands that lie in memory as gemm can take them: nothing is copied."""

from typing import Any

import numpy as np
import pytest

import covector
from covector import lax, nn, numpy as cnp
from covector._engine import primitives as prims

RNG = np.random.default_rng(0)


def kernels(f: Any, *args: Any) -> str:
    return covector.jit(f).lower(*args).compile().as_text("kernels")


def heads(x: Any, w: Any) -> Any:
    """Queries, keys or values of eight heads."""
    return (x @ w).reshape(2, 64, 8, 32).transpose(0, 2, 1, 3)


def attention(x: Any, *ws: Any) -> Any:
    q, k, v = (heads(x, w) for w in ws)
    scores = nn.softmax(cnp.einsum("bhqd,bhkd->bhqk", q, k) / 8.0)
    return cnp.einsum("bhqk,bhkd->bhqd", scores, v).transpose(0, 2, 1, 3).reshape(2, 64, 256)


def test_heads_are_read_where_they_lie() -> None:
    x, *ws = (RNG.standard_normal(s).astype(np.float32) for s in [(2, 64, 256), *[(256, 256)] * 3])
    ws = [w / 16 for w in ws]
    text = kernels(attention, x, *ws)
    assert text.count("sgemm") == 5
    assert "reshape" not in text
    assert text.count("# transpose") == 1, "that of the result"
    wide = [a.astype(np.float64) for a in (x, *ws)]
    np.testing.assert_allclose(covector.jit(attention)(x, *ws), attention(*wide), atol=2e-5)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex64])
@pytest.mark.parametrize(
    ("subscripts", "lhs", "rhs"),
    [
        ("abc,adc->abd", (3, 40, 50), (3, 60, 50)),
        ("bac,dac->abd", (40, 3, 50), (60, 3, 50)),
        ("bca,dac->abd", (40, 50, 3), (60, 3, 50)),
        ("xaby,xbay->xab", (2, 50, 40, 30), (2, 40, 50, 30)),
        ("ijkl,klmn->ijmn", (6, 7, 8, 9), (8, 9, 10, 11)),
        ("ijkl,lkmn->ijmn", (6, 7, 8, 9), (9, 8, 10, 11)),
        ("kijl,klmn->ijmn", (8, 6, 7, 9), (8, 9, 10, 11)),
        ("abcd,abde->abce", (2, 1, 40, 50), (2, 1, 50, 60)),
        ("abcd,abde->abce", (2, 3, 1, 500), (2, 3, 500, 70)),
        ("abcd,abde->abce", (1, 3, 600, 1), (1, 3, 1, 700)),
        ("abcd,acbe->bcade", (2, 40, 3, 30), (2, 3, 40, 50)),
    ],
)
def test_axes_in_any_order(subscripts: str, lhs: Any, rhs: Any, dtype: Any) -> None:
    x, y = (RNG.integers(-4, 5, s).astype(dtype) for s in (lhs, rhs))
    found = covector.jit(lambda x, y: cnp.einsum(subscripts, x, y))(x, y)
    np.testing.assert_array_equal(np.asarray(found), np.einsum(subscripts, x, y))
    moved = covector.jit(lambda x, y: cnp.einsum(subscripts, x * 2, cnp.flip(y, -1)))(x, y)
    np.testing.assert_array_equal(np.asarray(moved), np.einsum(subscripts, x * 2, np.flip(y, -1)))


def test_a_reshaped_operand_is_not_copied() -> None:
    x, w = np.ones((64, 8, 32), np.float32), np.ones((256, 128), np.float32)
    text = kernels(lambda x, w: x.reshape(64, -1) @ w, x, w)
    assert "for" not in text
    text = kernels(lambda x, w: nn.relu(x).reshape(64, -1) @ w + nn.relu(x).sum(), x, w)
    assert "reshape" not in text


def test_what_is_updated_in_place_is_not_read_after_through_a_reshape() -> None:
    x = RNG.standard_normal((64, 8, 32)).astype(np.float32)
    w = RNG.standard_normal((256, 128)).astype(np.float32)

    def f(x: Any, w: Any) -> Any:
        y = cnp.exp(x)
        return y.at[3].set(0.0), y.reshape(64, -1) @ w

    updated, product = covector.jit(f)(x, w)
    y = np.exp(x)
    np.testing.assert_allclose(product, y.reshape(64, -1) @ w, rtol=1e-4, atol=1e-4)
    y[3] = 0
    np.testing.assert_allclose(updated, y, rtol=1e-6)


@pytest.mark.parametrize("rows", [1, 3, 4, 6, 8, 20])
def test_small_products_run_four_rows_at_once(rows: int) -> None:
    x, w = RNG.standard_normal((rows, 32)), RNG.standard_normal((32, 24))
    b = RNG.standard_normal(24)

    def layer(x: Any, w: Any, b: Any) -> Any:
        y = x @ w + b
        return cnp.tanh(y), y * 2

    assert kernels(layer, x, w, b).count("add=") == (4 if rows % 4 == 0 else 1)
    tanh, twice = covector.jit(layer)(x, w, b)
    np.testing.assert_allclose(tanh, np.tanh(x @ w + b), rtol=1e-12)
    np.testing.assert_allclose(twice, 2 * (x @ w + b), rtol=1e-12)


@pytest.mark.parametrize("preferred", ["float64", "complex64"])
def test_large_products_into_a_wider_dtype(preferred: str) -> None:
    x = np.random.default_rng(0).normal(size=(130, 130)).astype(np.float32)

    def product(a: Any, wanted: Any) -> Any:
        return lax.dot_general(a, a, (((1,), (0,)), ((), ())), preferred_element_type=wanted)

    np.testing.assert_allclose(product(cnp.asarray(x), preferred), x.astype(float) @ x, atol=1e-4)
    # The primitive itself, as derivatives and libraries may apply it.
    dot = prims.DotGeneral((1,), (0,), preferred=np.dtype(preferred))
    np.testing.assert_allclose(dot(cnp.asarray(x), cnp.asarray(x)), x.astype(float) @ x, atol=1e-4)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("preferred", [None, "float32"])
def test_16_bit_floats_are_multiplied_as_float32(dtype: str, preferred: str | None) -> None:
    """By gemm, if each is used often; the result is rounded once."""

    def product(x: Any, y: Any) -> Any:
        return cnp.matmul(x, y.T, preferred_element_type=preferred)

    # Integers, whose sums are exact in any order: so the one rounding is seen.
    x, y = (cnp.asarray(RNG.integers(-99, 99, s), dtype=dtype) for s in ((40, 50), (30, 50)))
    routine = "bgemm" if dtype == "bfloat16" else "sgemm"
    assert routine in kernels(product, x, y)
    wide = x.astype("float32") @ y.astype("float32").T
    wanted = wide.astype(preferred or dtype)
    got = covector.jit(product)(x, y)
    assert got.dtype == wanted.dtype
    np.testing.assert_array_equal(np.asarray(got), np.asarray(wanted))
    assert "sgemm" not in kernels(product, x[:3], y)


def test_products_of_vectors_are_sums() -> None:
    x = RNG.standard_normal((3, 20_000)).astype(np.float32)
    for subscripts in ("i,i->", "bi,bi->b"):
        operand = x[0] if subscripts == "i,i->" else x
        assert "gemm" not in kernels(lambda y, s=subscripts: cnp.einsum(s, y, y), operand)
        wanted = np.einsum(subscripts, *[operand.astype(np.float64)] * 2)
        got = covector.jit(lambda y, s=subscripts: cnp.einsum(s, y, y))(operand)
        np.testing.assert_allclose(np.asarray(got), wanted, rtol=2e-6)


def test_a_product_that_contracts_nothing_beside_a_fold() -> None:
    # The product is one of elements: as a fold over no axes it stood in a nest that folds one of its axes.
    def f(a: Any, b: Any, d: Any) -> Any:
        p = lax.dot_general(a, b, (((), ()), ((), ())))
        q = lax.dot_general(b, a, (((), ()), ((), ())), preferred_element_type="float64")
        r = p / d
        return r.sum(0) + b, p, r, q

    def both(a: Any, b: Any, d: Any) -> Any:
        p = a[:, None] * b
        return (p / d).sum(0) + b, p, p / d, p.T.astype("float64")

    a, b, d = (np.arange(1, n + 1, dtype="float32") for n in (24, 3, 72))
    for found, wanted in zip(
        covector.jit(f)(a, b, d.reshape(24, 3)), both(a, b, d.reshape(24, 3)), strict=True
    ):
        np.testing.assert_allclose(found, wanted, rtol=1e-6)


def test_products_of_bfloat16_take_pairs() -> None:
    rng = np.random.default_rng(0)
    a, b = (cnp.array(rng.standard_normal((40, 40)), cnp.bfloat16) for _ in range(2))
    wanted = np.asarray(a, np.float32) @ np.asarray(b, np.float32)
    for dtype in (None, cnp.float32):
        product = covector.jit(lambda a, b, d=dtype: cnp.matmul(a, b, preferred_element_type=d))
        assert "bgemm" in kernels(product, a, b)
        found = product(a, b)
        assert found.dtype == (dtype or cnp.bfloat16)
        np.testing.assert_allclose(np.asarray(found, np.float32), wanted, rtol=2**-7, atol=0.05)
    assert "bgemm" not in kernels(lambda a, b: a @ b, a[:8], b)
    assert "bgemm" not in kernels(
        lambda a, b: cnp.matmul(a, b, preferred_element_type=cnp.float64), a, b
    )
