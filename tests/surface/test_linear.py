"""Products of vectors and matrices, against NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, strategies as st

import covector.numpy as cnp

SHAPES = [
    ((3,), (3,)),
    ((2, 3), (3,)),
    ((3,), (3, 4)),
    ((2, 3), (3, 4)),
    ((5, 2, 3), (3, 4)),
    ((2, 3), (5, 3, 4)),
    ((5, 2, 3), (5, 3, 4)),
    ((5, 1, 2, 3), (6, 3, 4)),
    ((1, 2, 3), (5, 3, 4)),
    ((5, 2, 3), (1, 3, 4)),
    ((5, 2, 3), (3,)),
    ((3,), (5, 3, 4)),
    ((2, 1, 2, 3), (1, 5, 3, 4)),
    ((1, 5, 2, 3), (2, 1, 3, 4)),
    ((1, 1, 2, 3), (3, 4)),
]


def numbers(*shapes: tuple[int, ...]) -> list[np.ndarray]:
    rng = np.random.default_rng(len(shapes))
    return [rng.integers(-3, 4, s).astype(np.float32) for s in shapes]


@pytest.mark.parametrize(("one", "two"), SHAPES)
def test_matmul(one: tuple[int, ...], two: tuple[int, ...]) -> None:
    a, b = numbers(one, two)
    got = np.asarray(cnp.asarray(a) @ cnp.asarray(b))
    assert got.shape == np.matmul(a, b).shape
    np.testing.assert_array_equal(got, np.matmul(a, b))


@pytest.mark.parametrize("dtype", ["bool", "int8", "int64", "float16", "bfloat16", "complex64"])
def test_matmul_dtypes(dtype: str) -> None:
    a, b = (
        x.astype(cnp.dtype(dtype)) if dtype != "bfloat16" else cnp.asarray(x, dtype)
        for x in numbers((2, 3), (3, 2))
    )
    got = cnp.matmul(a, b)
    assert got.dtype == cnp.asarray(a).dtype
    wide = complex if dtype == "complex64" else np.float64
    expected = np.matmul(np.asarray(a).astype(wide), np.asarray(b).astype(wide))
    np.testing.assert_array_equal(
        np.asarray(got).astype(wide), expected.astype(bool) if dtype == "bool" else expected
    )
    assert (
        cnp.matmul(
            cnp.ones((2, 2), "int8"), cnp.ones((2, 2), "int8"), preferred_element_type="int32"
        ).dtype
        == np.int32
    )
    assert cnp.dot(cnp.arange(3), cnp.ones(3)).dtype == np.float32


def test_products() -> None:
    a, b, m, n = numbers((4,), (4,), (3, 4), (4, 2))
    t = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    cases = [
        (cnp.dot(a, b), np.dot(a, b)),
        (cnp.dot(m, n), np.dot(m, n)),
        (cnp.dot(m, a), np.dot(m, a)),
        (cnp.dot(2, a), 2 * a),
        (cnp.dot(t, n), np.dot(t, n)),
        (cnp.dot(a, t.swapaxes(1, 2)), np.dot(a, t.swapaxes(1, 2))),
        (cnp.vdot(m, m), np.vdot(m, m)),
        (cnp.inner(m, t), np.inner(m, t)),
        (cnp.outer(a, b), np.outer(a, b)),
        (cnp.outer(m, b), np.outer(m, b)),
        (cnp.tensordot(t, t, 3), np.tensordot(t, t, 3)),
        (cnp.tensordot(m, n, 0), np.tensordot(m, n, 0)),
        (cnp.tensordot(t, m, ((2, 1), (1, 0))), np.tensordot(t, m, ((2, 1), (1, 0)))),
        (cnp.vecdot(t, a), np.vecdot(t, a)),
        (cnp.vecdot(t, m), np.vecdot(t, m)),
        (cnp.vecdot(m, m, axis=0), np.vecdot(m, m, axis=0)),
        (cnp.matvec(t, a), np.matvec(t, a)),
        (cnp.vecmat(a, n), np.vecmat(a, n)),
        (cnp.kron(m, n), np.kron(m, n)),
        (cnp.kron(a, m), np.kron(a, m)),
        (cnp.cross(m[:, :3], m[:, 1:]), np.cross(m[:, :3], m[:, 1:])),
        (cnp.trace(t, axis1=1, axis2=2), np.trace(t, axis1=1, axis2=2)),
        (cnp.linalg.norm(m), np.linalg.norm(m)),
        (cnp.linalg.norm(m, 1), np.linalg.norm(m, 1)),
        (cnp.linalg.norm(m, np.inf), np.linalg.norm(m, np.inf)),
        (cnp.linalg.norm(a, 3), np.linalg.norm(a, 3)),
        (cnp.linalg.norm(t, axis=1), np.linalg.norm(t, axis=1)),
        (cnp.linalg.norm(t, "fro", (0, 2), True), np.linalg.norm(t, "fro", (0, 2), True)),
        (cnp.linalg.vector_norm(a, ord=0), np.linalg.vector_norm(a, ord=0)),
        (cnp.linalg.matrix_power(m[:, :3], 5), np.linalg.matrix_power(m[:, :3], 5)),
        (cnp.linalg.matrix_power(m[:, :3], 0), np.eye(3)),
        (cnp.linalg.multi_dot([m, n, n.T, m.T]), np.linalg.multi_dot([m, n, n.T, m.T])),
    ]
    for i, (got, expected) in enumerate(cases):
        assert got.shape == np.shape(expected), i
        np.testing.assert_allclose(np.asarray(got), expected, rtol=1e-5, err_msg=str(i))


EINSUMS = [
    ("ij,jk->ik", (2, 3), (3, 4)),
    ("ij,jk", (2, 3), (3, 4)),
    ("ii->i", (3, 3)),
    ("ii", (3, 3)),
    ("ij->ji", (2, 3)),
    ("ij->", (2, 3)),
    ("i,j->ij", (2,), (3,)),
    ("i,i->i", (3,), (3,)),
    ("bij,bjk->bik", (2, 3, 4), (2, 4, 5)),
    ("...ij,...jk->...ik", (2, 3, 4), (2, 4, 5)),
    ("...ij,jk", (2, 6, 3, 4), (4, 5)),
    ("ij,jk,kl->il", (2, 3), (3, 4), (4, 5)),
    ("ij,jk,kl,lm->mi", (2, 3), (3, 4), (4, 5), (5, 2)),
    ("bhqd,bhkd->bhqk", (2, 2, 3, 4), (2, 2, 5, 4)),
    ("iij->j", (3, 3, 2)),
    ("ab,cd->", (2, 3), (4, 5)),
    ("i,ij,j", (2,), (2, 3), (3,)),
    ("ijk,ikj->i", (2, 3, 4), (2, 4, 3)),
    ("...,...->...", (2, 3), (3,)),
    ("i...->...", (2, 3)),
    ("ij,kj->ik", (2, 1), (4, 3)),
    ("ij,ij->j", (2, 3), (2, 3)),
    ("iji,jk->ki", (3, 2, 3), (2, 4)),
    ("a,a,a->a", (3,), (3,), (3,)),
    ("ab,b->a", (2, 3), (3,)),
    ("b,ab->ab", (3,), (2, 3)),
]


@pytest.mark.parametrize("case", EINSUMS, ids=lambda c: c[0])
def test_einsum(case: tuple[Any, ...]) -> None:
    spec, *shapes = case
    arrays = numbers(*shapes)
    got, expected = (
        np.asarray(cnp.einsum(spec, *map(cnp.asarray, arrays))),
        np.einsum(spec, *arrays),
    )
    assert got.shape == expected.shape
    np.testing.assert_array_equal(got, expected)


@given(st.data())
def test_einsum_fuzz(data: st.DataObject) -> None:
    sizes = {c: data.draw(st.integers(1, 3)) for c in "abcde"}
    terms = data.draw(st.lists(st.text("abcde", max_size=4), min_size=1, max_size=4))
    used = sorted(set("".join(terms)))
    output = data.draw(st.permutations(used))[: data.draw(st.integers(0, len(used)))]
    spec = ",".join(terms) + "->" + "".join(output)
    arrays = numbers(*[tuple(sizes[c] for c in t) for t in terms])
    np.testing.assert_allclose(
        np.asarray(cnp.einsum(spec, *arrays)), np.einsum(spec, *arrays), rtol=1e-5
    )


def test_einsum_other_forms() -> None:
    a, b = numbers((2, 3), (3, 4))
    np.testing.assert_array_equal(np.asarray(cnp.einsum(a, [0, 1], b, [1, 2], [0, 2])), a @ b)
    assert (
        cnp.einsum(
            "i,i->", cnp.ones(2, "int8"), cnp.ones(2, "int8"), preferred_element_type="int32"
        ).dtype
        == np.int32
    )
    assert cnp.einsum("i,i", cnp.ones(2, bool), cnp.ones(2, bool)).dtype == bool


@pytest.mark.parametrize(
    ("f", "error", "text"),
    [
        (
            lambda: cnp.matmul(cnp.ones((2, 3)), cnp.ones((2, 3))),
            TypeError,
            r"matmul got shapes \(2, 3\) and \(2, 3\)",
        ),
        (lambda: cnp.matmul(cnp.ones((2, 3)), 2.0), ValueError, "at least one axis"),
        (
            lambda: cnp.dot(cnp.ones(3), cnp.ones(4)),
            TypeError,
            "axis 0 of the first and axis 0 of the second",
        ),
        (
            lambda: cnp.einsum("ij->i", cnp.ones(3)),
            ValueError,
            "names 2 axes, but the operand has 1",
        ),
        (
            lambda: cnp.einsum("i,i", cnp.ones(3), cnp.ones(2)),
            ValueError,
            "axes of lengths 3 and 2",
        ),
        (lambda: cnp.einsum("i->j", cnp.ones(3)), ValueError, "the output 'j'"),
        (lambda: cnp.einsum("i,j", cnp.ones(3)), ValueError, "is for 2 operands, got 1"),
        (lambda: cnp.tensordot(cnp.ones((2, 3)), cnp.ones((2, 3)), 1), TypeError, "must be equal"),
        (lambda: cnp.tensordot(cnp.ones(3), cnp.ones(3), (0,)), TypeError, "tensordot: axes is"),
        (lambda: cnp.vecdot(cnp.ones(3), cnp.ones(4)), ValueError, "must be of one length"),
        (lambda: cnp.vecdot(cnp.ones(3), cnp.ones(3), axis=None), TypeError, "axis of vecdot"),
    ],
)
def test_errors(f: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        f()
