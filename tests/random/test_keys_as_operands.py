"""Functions of arrays do to keys what they do to numbers in their places, if they only move them; or refuse them."""

from __future__ import annotations

import weakref
from typing import Any

import numpy as np
import pytest
from tests.random.numbered import keys_of, numbers_of

import covector as cv
from covector import lax, numpy as cnp, random

NUMBERS = np.arange(6, dtype=np.uint32).reshape(2, 3)
MASK = np.array([[True, False, True], [False, True, False]])
GATHER = lax.GatherDimensionNumbers((), (0,), (0,))
SCATTER = lax.ScatterDimensionNumbers((), (0,), (0,))


# Of an array, and a single element: the same for numbers and for keys.
MOVES: dict[str, Any] = {
    "append": lambda x, _: cnp.append(x, x),
    "array": lambda x, k: cnp.array([k, k]),
    "array of its dtype": lambda x, _: cnp.array(x, x.dtype),
    "astype": lambda x, _: cnp.astype(x, x.dtype),
    "atleast_2d": lambda x, k: cnp.atleast_2d(k),
    "block": lambda x, _: cnp.block([x, x]),
    "broadcast": lambda x, _: lax.broadcast(x, (4,)),
    "broadcast_arrays": lambda x, k: cnp.broadcast_arrays(x, k)[1],
    "broadcast_in_dim": lambda x, _: lax.broadcast_in_dim(x, (4, 2, 3), (1, 2)),
    "broadcast_to": lambda x, k: cnp.broadcast_to(k, (2, 2)),
    "broadcast_to_rank": lambda x, _: lax.broadcast_to_rank(x, 4),
    "choose": lambda x, _: cnp.choose(np.array([1, 0, 1]), [x[0], x[1]]),
    "clip of indices": lambda x, _: cnp.take(x, np.array([0, 9]), 1, mode="clip"),
    "collapse": lambda x, _: lax.collapse(x, 0),
    "compress": lambda x, _: x.compress(np.array([False, True]), axis=0),
    "concatenate": lambda x, _: lax.concatenate([x, x], 1),
    "conjugate": lambda x, _: cnp.conj(x),
    "convert_element_type": lambda x, _: lax.convert_element_type(x, x.dtype),
    "copy": lambda x, _: cnp.copy(x),
    "delete": lambda x, _: cnp.delete(x, 1, axis=1),
    "diag": lambda x, _: cnp.diag(x),
    "diagonal": lambda x, _: cnp.diagonal(x, 1),
    "dynamic_index_in_dim": lambda x, _: lax.dynamic_index_in_dim(x, 2, 1),
    "dynamic_slice": lambda x, _: lax.dynamic_slice(x, (0, 1), (2, 2)),
    "dynamic_update_slice": lambda x, _: lax.dynamic_update_slice(x, x[:1, :2], (1, 1)),
    "expand_dims": lambda x, _: cnp.expand_dims(x, (0, 2)),
    "extract": lambda x, _: cnp.extract(MASK, x),
    "flip": lambda x, _: cnp.flip(x),
    "fliplr": lambda x, _: cnp.fliplr(x),
    "full": lambda x, k: cnp.full((3,), k),
    "full_like": lambda x, k: cnp.full_like(x, k),
    "gather": lambda x, _: lax.gather(x[0], np.array([[2], [0]]), GATHER, (1,)),
    "insert": lambda x, k: cnp.insert(x[0], 1, k),
    "matrix_transpose": lambda x, _: cnp.matrix_transpose(x),
    "meshgrid": lambda x, _: cnp.meshgrid(x[0], x[1])[0],
    "moveaxis": lambda x, _: cnp.moveaxis(x, 0, 1),
    "nan_to_num": lambda x, _: cnp.nan_to_num(x),
    "positive": lambda x, _: cnp.positive(x),
    "ravel": lambda x, _: cnp.ravel(x),
    "real": lambda x, _: cnp.real(x),
    "repeat": lambda x, _: cnp.repeat(x, np.array([1, 2, 0]), 1, total_repeat_length=3),
    "resize": lambda x, _: cnp.resize(x, (3, 3)),
    "rev": lambda x, _: lax.rev(x, (0,)),
    "roll": lambda x, _: cnp.roll(x, 1, 1),
    "rot90": lambda x, _: cnp.rot90(x),
    "scatter": lambda x, k: lax.scatter(x[0], np.array([[1]]), cnp.reshape(k, (1,)), SCATTER),
    "select": lambda x, _: lax.select(MASK, x, x[::-1]),
    "select_n": lambda x, _: lax.select_n(MASK, x, x[::-1]),
    "slice": lambda x, _: lax.slice(x, (0, 1), (2, 3)),
    "split": lambda x, _: cnp.split(x, 2)[1],
    "squeeze": lambda x, _: cnp.squeeze(x[:1]),
    "stack": lambda x, _: cnp.stack([x, x], 1),
    "take": lambda x, _: cnp.take(x, np.array([2, 0]), 1),
    "take of all": lambda x, _: cnp.take(x, np.array([5, 0])),
    "take_along_axis": lambda x, _: cnp.take_along_axis(x, np.array([[2, 0]]), 1),
    "tile": lambda x, _: cnp.tile(x, (2, 1)),
    "transpose": lambda x, _: lax.transpose(x, (1, 0)),
    "unstack": lambda x, _: cnp.unstack(x)[1],
    "where": lambda x, k: cnp.where(MASK, x, k),
}


@pytest.mark.parametrize("name", MOVES)
def test_moves(name: str) -> None:
    move = MOVES[name]
    x, one = cnp.asarray(NUMBERS), cnp.asarray(np.uint32(77))
    wanted = np.asarray(move(x, one))
    keys, key = keys_of(NUMBERS), keys_of(77)
    np.testing.assert_array_equal(numbers_of(move(keys, key)), wanted)
    if name not in ("extract",):
        np.testing.assert_array_equal(numbers_of(cv.jit(move)(keys, key)), wanted)


def test_what_is_no_key_stays_what_it_is() -> None:
    keys = keys_of(NUMBERS)
    left, right = cnp.broadcast_arrays(keys, 1.5)
    assert isinstance(left, random.Key)
    assert right.tolist() == [[1.5] * 3] * 2
    assert cnp.zeros_like(keys, "int32").tolist() == [[0] * 3] * 2
    assert cnp.resize(keys, (0, 2)).dtype == keys.dtype


def test_comparisons() -> None:
    keys, other = keys_of(NUMBERS), keys_of(NUMBERS % 4)
    same = (NUMBERS == NUMBERS % 4).tolist()
    for f in (cnp.equal, lax.eq, cnp.isclose):
        assert f(keys, other).tolist() == same
        assert cv.jit(f)(keys, other).tolist() == same
    for f in (cnp.not_equal, lax.ne):
        assert f(keys, other).tolist() == (~np.array(same)).tolist()
    assert bool(cnp.allclose(keys, keys))
    assert not cnp.array_equal(keys, other)
    assert not cnp.array_equal(keys, other[:1])
    assert cnp.array_equal(keys, keys)
    assert cnp.array_equiv(keys[:1], keys[0])
    assert not cnp.array_equiv(keys, keys[0, :2])
    assert cnp.isin(keys, other).tolist() == np.isin(NUMBERS, NUMBERS % 4).tolist()
    assert cnp.isin(keys, other, invert=True).tolist() == [[False] * 3, [False, True, True]]
    assert cnp.isfinite(keys).all()
    for f in (cnp.isnan, cnp.isinf, cnp.isposinf, cnp.isneginf):
        assert f(keys).tolist() == [[False] * 3] * 2
    for like, word in ((cnp.zeros_like, 0), (cnp.ones_like, 1), (cnp.empty_like, 0)):
        assert (random.key_data(like(keys)) == word).all()
        assert like(keys, shape=(4,)).shape == (4,)
    assert lax.dtype(keys) == keys.dtype == cnp.result_type(keys)


K, V = keys_of(NUMBERS), keys_of([1, 2, 3])
REFUSED: dict[str, Any] = {
    "add": lambda: cnp.add(V, 1),
    "among keys: append": lambda: cnp.append(V, 0),
    "among keys: concatenate": lambda: cnp.concatenate([V, np.arange(3, dtype="uint32")]),
    "among keys: dynamic_update_slice": lambda: lax.dynamic_update_slice(
        V, np.zeros(1, "uint32"), (0,)
    ),
    "among keys: full": lambda: cnp.full_like(V, 1),
    "among keys: scatter": lambda: lax.scatter(V, np.array([[1]]), np.zeros(1, "uint32"), SCATTER),
    "among keys: select": lambda: lax.select(MASK, K, np.zeros((2, 3), "uint32")),
    "among keys: where": lambda: cnp.where(MASK, K, 0),
    "another dtype": lambda: cnp.asarray(K, "uint32"),
    "another dtype, stacked": lambda: cnp.stack([K, K], dtype="uint32"),
    "compared with numbers": lambda: cnp.equal(V, 1),
    "converted": lambda: lax.convert_element_type(V, "float32"),
    "counts": lambda: cnp.repeat(V, V),
    "indices of keys": lambda: cnp.take(K, V),
    "indices along an axis": lambda: cnp.take_along_axis(V, V, 0),
    "indices of numbers": lambda: cnp.take(NUMBERS, V),
    "indices to delete": lambda: cnp.delete(V, V),
    "maximum": lambda: cnp.maximum(V, V),
    "mask": lambda: cnp.where(K, K, K),
    "nan_to_num as numbers": lambda: cnp.nan_to_num(K + 0),
    "pmax": lambda: cv.vmap(lambda k: lax.pmax(k, "i"), axis_name="i")(V),
    "psum": lambda: cv.vmap(lambda k: lax.psum(k, "i"), axis_name="i")(V),
    "psum of axes": lambda: lax.psum(V, 0),
    "rolled by": lambda: cnp.roll(V, V),
    "scatter_add": lambda: lax.scatter_add(V, np.array([[1]]), V[:1], SCATTER),
    "sort": lambda: cnp.sort(V),
    "starts": lambda: lax.dynamic_slice(V, (V[0],), (1,)),
    "sum": lambda: cnp.sum(V),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    with pytest.raises(TypeError):
        REFUSED[name]()


def test_methods_of_numbers_say_that_keys_are_none() -> None:
    key = random.key(0)
    for name in ("sum", "view", "clip", "real"):
        assert not hasattr(key, name)
        with pytest.raises(AttributeError, match=rf"no attribute '{name}' .*keys are no numbers"):
            getattr(key, name)
    with pytest.raises(AttributeError, match=r"no attribute 'nowhere'$"):
        getattr(key, "nowhere")  # noqa: B009
    assert +key is key
    assert weakref.ref(key)() is key
