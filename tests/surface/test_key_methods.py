"""Arrays of keys move as arrays of numbers do: each method does to the keys what it does to their numbers."""

import doctest
import inspect
from typing import Any

import numpy as np
import pytest
from tests.random.numbered import keys_of, numbers_of

import covector as cv
from covector import numpy as cnp, random

NUMBERS = np.arange(6, dtype=np.uint32).reshape(2, 1, 3)


MOVES: dict[str, Any] = {
    "T": lambda x: x.T,
    "mT": lambda x: x.mT if isinstance(x, random.Key) else np.swapaxes(x, -1, -2),
    "transpose": lambda x: x.transpose(2, 0, 1),
    "transpose of a tuple": lambda x: x.transpose((1, 0, 2)),
    "swapaxes": lambda x: x.swapaxes(0, -1),
    "squeeze": lambda x: x.squeeze(),
    "squeeze an axis": lambda x: x.squeeze(1),
    "take": lambda x: x.take(np.array([2, 0]), axis=-1),
    "take of all": lambda x: x.take(np.array([5, 1])),
    "repeat": lambda x: x.repeat(2, axis=2),
    "diagonal": lambda x: x.diagonal(0, 0, 2),
    "reshape": lambda x: x.reshape(3, 2),
    "ravel": lambda x: x.ravel(),
    "copy": lambda x: x.copy(),
    "index": lambda x: x[1, 0, ::-1],
    **{
        name: lambda x, name=name: _function_for(name, x)([x, x])
        for name in ("stack", "concatenate", "vstack", "hstack", "dstack", "concat", "array")
    },
    "stack of a tuple": lambda x: _function_for("stack", x)((x, x[::-1]), axis=-1),
    "array of single ones": lambda x: _function_for("array", x)([x[0, 0, 0], x[1, 0, 2]]),
}


def _function_for(name: str, x: Any) -> Any:
    return getattr(cnp if isinstance(x, random.Key) else np, name)


@pytest.mark.parametrize("name", MOVES)
def test_moves(name: str) -> None:
    move = MOVES[name]
    wanted = move(NUMBERS)
    np.testing.assert_array_equal(numbers_of(move(keys_of(NUMBERS))), wanted)
    np.testing.assert_array_equal(numbers_of(cv.jit(move)(keys_of(NUMBERS))), wanted)


def test_updates() -> None:
    keys = keys_of(NUMBERS)
    changed = NUMBERS.copy()
    changed[1, ..., 2] = 77
    np.testing.assert_array_equal(
        numbers_of(keys.at[1, ..., 2].set(keys_of(np.array([77])))), changed
    )
    np.testing.assert_array_equal(numbers_of(keys.at[0].get()), NUMBERS[0])
    with pytest.raises(TypeError, match="keys are set to keys"):
        keys.at[0].set(1)  # type: ignore[arg-type]


def test_where_they_are() -> None:
    keys: Any = keys_of(NUMBERS)
    assert (keys.nbytes, keys.itemsize, keys.is_fully_addressable) == (48, 8, True)
    assert keys.on_device_size_in_bytes() == 48
    assert keys.devices() == cnp.ones(1).devices()
    assert isinstance(keys.unsafe_buffer_pointer(), int)
    keys.copy_to_host_async()
    assert not keys.is_deleted()
    assert keys.reshape(6)[3].item() == keys_of(np.uint32(3))
    with pytest.raises(ValueError, match="item of 6 keys"):
        keys.item()


def test_choosing_from_keys_and_arrays() -> None:
    keys: Any = keys_of(NUMBERS)
    mask = cnp.array([False, True])
    assert (keys.compress(mask, axis=0) == keys[1:]).all()
    assert (keys.clone() == keys).all()
    assert keys.weak_type is False
    x = cnp.array([2, 0, 1])
    rows = np.array([[1, 2, 3], [4, 5, 6], [7, 8, 9]])
    for f in (lambda x: x.choose(list(cnp.asarray(rows)), mode="clip"), lambda x: x.clone()):
        np.testing.assert_array_equal(cv.jit(f)(x), f(x))
    np.testing.assert_array_equal(x.choose(list(cnp.asarray(rows))), np.choose([2, 0, 1], rows))
    np.testing.assert_array_equal(cnp.asarray(rows).compress(mask, axis=1), rows[:, 1:2])
    packed = cv.jit(lambda x: x.compress(x > 0, size=3, fill_value=-1))(x)
    np.testing.assert_array_equal(packed, [2, 1, -1])
    assert x.platform() == "cpu"


@pytest.mark.parametrize(
    "dtype", ["int8", "int16", "uint32", "int64", "float16", "float32", "float64", "complex64"]
)
def test_bytes_in_the_other_order(dtype: str) -> None:
    x = (np.arange(5) * 1.5 - 2).astype(dtype)
    swapped = cnp.asarray(x).byteswap()
    assert np.asarray(swapped).tobytes() == x.byteswap().tobytes()
    assert np.asarray(cv.jit(lambda x: x.byteswap())(x)).tobytes() == x.byteswap().tobytes()


def test_rows_backwards() -> None:
    x = np.arange(6).reshape(3, 2)
    assert [r.tolist() for r in reversed(cnp.asarray(x))] == x[::-1].tolist()
    out = cv.jit(lambda x: list(reversed(x)))(x)
    assert [r.tolist() for r in out] == x[::-1].tolist()


def test_examples_of_methods() -> None:
    for name in dir(random.Key):
        text = inspect.cleandoc(getattr(random.Key, name).__doc__ or "")
        if not name.startswith("_") and ">>>" in text:
            test = doctest.DocTestParser().get_doctest(text, {}, name, None, 0)
            assert not doctest.DocTestRunner().run(test).failed, name
