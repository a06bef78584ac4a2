"""Functions that reshape, join, split, repeat and pad, against NumPy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, strategies as st

import covector.numpy as cnp


def same(actual: Any, expected: Any) -> None:
    if isinstance(expected, list | tuple):
        assert len(actual) == len(expected)
        for a, e in zip(actual, expected, strict=True):
            same(a, e)
        return
    a = np.asarray(actual)
    np.testing.assert_array_equal(a, expected)
    assert a.shape == np.shape(expected)


A = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
V = np.arange(4, dtype=np.float32)
M = np.arange(6, dtype=np.float32).reshape(2, 3)

Case = Callable[[Any, Callable[[Any], Any]], Any]  # the module and how it makes an array

CASES: list[Case] = [
    lambda n, a: n.reshape(a(A), (4, -1)),
    lambda n, a: n.reshape(a(A), -1),
    lambda n, a: n.reshape(a(A), (6, 4), order="F"),
    lambda n, a: n.ravel(a(A)),
    lambda n, a: n.ravel(a(A), order="F"),
    lambda n, a: n.transpose(a(A)),
    lambda n, a: n.transpose(a(A), (1, 2, 0)),
    lambda n, a: n.permute_dims(a(A), (2, 0, 1)),
    lambda n, a: n.matrix_transpose(a(A)),
    lambda n, a: n.swapaxes(a(A), 0, -1),
    lambda n, a: n.moveaxis(a(A), 0, -1),
    lambda n, a: n.moveaxis(a(A), (0, 1), (-1, 0)),
    lambda n, a: n.rollaxis(a(A), 2),
    lambda n, a: n.rollaxis(a(A), 0, 3),
    lambda n, a: n.expand_dims(a(A), (0, -1)),
    lambda n, a: n.squeeze(a(A[None, :, None])),
    lambda n, a: n.squeeze(a(A[None, :, None]), 0),
    lambda n, a: n.atleast_1d(a(V[0]), a(V)),
    lambda n, a: n.atleast_2d(a(V)),
    lambda n, a: n.atleast_3d(a(V), a(M), a(A)),
    lambda n, a: n.broadcast_to(a(V), (2, 3, 4)),
    lambda n, a: n.broadcast_to(a(M[:, :1]), (2, 2, 3)),
    lambda n, a: n.broadcast_arrays(a(V), a(M[:, :1])),
    lambda n, a: n.concatenate([a(A), a(A)], axis=1),
    lambda n, a: n.concatenate([a(A), a(V)], axis=None),
    lambda n, a: n.concat([a(V), a(V)]),
    lambda n, a: n.stack([a(M), a(M)], axis=-1),
    lambda n, a: n.stack([a(M), a(M)]),
    lambda n, a: n.vstack([a(V), a(V)]),
    lambda n, a: n.hstack([a(V), a(V)]),
    lambda n, a: n.hstack([a(M), a(M)]),
    lambda n, a: n.dstack([a(V), a(V)]),
    lambda n, a: n.column_stack([a(V), a(V)]),
    lambda n, a: n.append(a(M), a(V)),
    lambda n, a: n.append(a(M), a(M), axis=0),
    lambda n, a: n.split(a(A), 2, axis=2),
    lambda n, a: n.split(a(A), [1, 3], axis=2),
    lambda n, a: n.split(a(V), [-1]),
    lambda n, a: n.array_split(a(A), 3, axis=2),
    lambda n, a: n.array_split(a(V), 6),
    lambda n, a: n.vsplit(a(A), 2),
    lambda n, a: n.hsplit(a(A), 3),
    lambda n, a: n.dsplit(a(A), 2),
    lambda n, a: n.unstack(a(A), axis=1),
    lambda n, a: n.tile(a(M), 2),
    lambda n, a: n.tile(a(M), (2, 1, 2)),
    lambda n, a: n.tile(a(A), (2, 1)),
    lambda n, a: n.repeat(a(M), 2),
    lambda n, a: n.repeat(a(M), 2, axis=1),
    lambda n, a: n.repeat(a(M), np.array([1, 0, 2]), axis=1),
    lambda n, a: n.resize(a(V), (2, 3)),
    lambda n, a: n.flip(a(A)),
    lambda n, a: n.flip(a(A), (0, 2)),
    lambda n, a: n.fliplr(a(M)),
    lambda n, a: n.flipud(a(M)),
    lambda n, a: n.rot90(a(M)),
    lambda n, a: n.rot90(a(M), 2),
    lambda n, a: n.rot90(a(A), 3, axes=(1, 2)),
    lambda n, a: n.roll(a(V), 1),
    lambda n, a: n.roll(a(M), -2),
    lambda n, a: n.roll(a(M), (1, -1), axis=(0, 1)),
    lambda n, a: n.roll(a(M), 5, axis=1),
    lambda n, a: n.pad(a(M), 1),
    lambda n, a: n.pad(a(M), (1, 2), constant_values=5),
    lambda n, a: n.pad(a(M), ((0, 1), (2, 0)), constant_values=((1, 2), (3, 4))),
    lambda n, a: n.kron(a(M), a(V)),
]  # fmt: skip


@pytest.mark.parametrize("i", range(len(CASES)))
def test_as_numpy(i: int) -> None:
    same(CASES[i](cnp, cnp.asarray), CASES[i](np, lambda x: x))


@pytest.mark.parametrize("mode", ["edge", "wrap", "reflect", "symmetric"])
@pytest.mark.parametrize("widths", [1, (0, 2), ((3, 1), (7, 8)), ((0, 0), (1, 0))])
def test_pad_modes(mode: str, widths: Any) -> None:
    same(cnp.pad(cnp.asarray(M), widths, mode), np.pad(M, widths, mode))
    same(cnp.pad(cnp.asarray(V), (9, 10), mode), np.pad(V, (9, 10), mode))


@given(st.lists(st.integers(0, 4), max_size=4), st.data())
def test_moveaxis_and_transpose(shape: list[int], data: st.DataObject) -> None:
    x = np.arange(np.prod(shape, dtype=int)).reshape(shape)
    order = data.draw(st.permutations(range(len(shape))))
    same(cnp.transpose(cnp.asarray(x), order), np.transpose(x, order))
    if shape:
        source, destination = (
            data.draw(st.integers(-len(shape), len(shape) - 1)) for _ in range(2)
        )
        same(cnp.moveaxis(cnp.asarray(x), source, destination), np.moveaxis(x, source, destination))


def test_dtypes_promote_when_joined() -> None:
    assert cnp.concatenate([cnp.arange(2), cnp.ones(2)]).dtype == np.float32
    assert cnp.stack([cnp.ones(2), np.ones(2)]).dtype == np.float64
    assert cnp.hstack([cnp.ones(2), 2]).shape == (3,)
    assert cnp.concatenate([cnp.ones(2)], dtype=int).dtype == np.int32


def test_shape_of_things() -> None:
    assert cnp.shape(cnp.asarray(A)) == (2, 3, 4)
    assert (cnp.ndim(2.0), cnp.size(cnp.asarray(A)), cnp.size(cnp.asarray(A), 1)) == (0, 24, 3)
    assert cnp.broadcast_shapes((2, 1), (3,)) == (2, 3)


@pytest.mark.parametrize(
    ("f", "error", "text"),
    [
        (
            lambda a: cnp.reshape(a, (5, 2)),
            TypeError,
            r"cannot reshape an array of shape \(2, 3\) \(size 6\)",
        ),
        (lambda a: cnp.reshape(a, (-1, 4)), TypeError, "cannot reshape"),
        (lambda a: cnp.reshape(a, (-1, -1)), ValueError, "one dimension at most can be -1"),
        (lambda a: cnp.transpose(a, (0, 0)), ValueError, "names an axis twice"),
        (lambda a: cnp.squeeze(a, 0), ValueError, "has size 2, not 1"),
        (lambda a: cnp.concatenate([a, a[0]]), TypeError, "concatenate along axis 0"),
        (lambda a: cnp.concatenate([]), ValueError, "at least one array"),
        (lambda a: cnp.stack([a, a[0]]), ValueError, r"one shape, got \(2, 3\) and \(3,\)"),
        (lambda a: cnp.split(a, 2, axis=1), ValueError, "cannot be divided into 2 equal parts"),
        (lambda a: cnp.broadcast_to(a, (4, 3)), ValueError, "cannot be broadcast"),
        (
            lambda a: cnp.swapaxes(a, 0, 2),
            ValueError,
            "axis 2 is out of bounds for an array of 2 dimensions",
        ),
        (lambda a: cnp.pad(a, 1, "magic"), NotImplementedError, "mode 'magic'"),
    ],
)
def test_errors(f: Callable[[Any], Any], error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        f(cnp.asarray(M))


def test_none_has_no_axes_as_in_jax() -> None:
    for function, right in ((cnp.shape, ()), (cnp.ndim, 0), (cnp.size, 1)):
        with pytest.warns(DeprecationWarning, match="of None"):
            assert function(None) == right
    with pytest.raises(TypeError, match="shape got 'abc'"):
        cnp.shape("abc")
