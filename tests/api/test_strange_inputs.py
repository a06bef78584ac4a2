"""What is given for an array and is none of Covector's: NumPy's kinds, buffers, sequences, and numbers beyond a dtype.

Each gives the value that it stands for, or an exception that says what it is; none is read as something else.
"""

from __future__ import annotations

import array
import collections
import ctypes
import datetime
import decimal
import enum
import fractions
from typing import Any

import numpy as np
import pytest

import covector as cv
from covector import lax, numpy as cnp

TABLE = np.arange(6, dtype=np.float32).reshape(2, 3)


class Member(enum.IntEnum):
    THREE = 3


class Own(int):
    pass


class Sub(np.ndarray):
    pass


class Interface:
    __array_interface__ = TABLE.__array_interface__


class Sequence(collections.UserList[Any]):
    pass


def _read_only() -> np.ndarray:
    x = TABLE.copy()
    x.flags.writeable = False
    return x


# What is given, and the NumPy array that it stands for.
MEANT: dict[str, tuple[Any, Any]] = {
    "array.array": (array.array("f", [1, 2]), np.float32([1, 2])),
    "array.array of int8": (array.array("b", [1, -2]), np.int8([1, -2])),
    "bytearray": (bytearray(b"abc"), np.uint8([97, 98, 99])),
    "ctypes array": ((ctypes.c_float * 2)(1, 2), np.float32([1, 2])),
    "ctypes number": (ctypes.c_int(3), np.int32(3)),
    "deque": (collections.deque([1, 2]), np.int32([1, 2])),
    "interface": (Interface(), TABLE),
    "memoryview": (memoryview(TABLE), TABLE),
    "range": (range(3), np.int32([0, 1, 2])),
    "sequence": (Sequence([1.5, 2]), np.float32([1.5, 2])),
    "IntEnum": (Member.THREE, np.int32(3)),
    "subclass of int": (Own(3), np.int32(3)),
    "float16": (np.float16(1.5), np.float16(1.5)),
    "bool of NumPy": (np.True_, np.bool_(True)),
    "nothing": ([], np.float32([])),
}
# Arrays of NumPy, which are taken everywhere.
ARRAYS: dict[str, np.ndarray] = {
    "axes turned": TABLE.T,
    "backwards": TABLE[::-1, ::-1],
    "every second": TABLE[:, ::2],
    "other byte order": TABLE.astype(">f4"),
    "other byte order, integers": np.arange(3, dtype=">i4"),
    "other byte order, single": np.array(3, ">i2"),
    "read-only": _read_only(),
    "repeated": np.broadcast_to(np.float32(2), (2, 3)),
    "subclass": TABLE.view(Sub),
}


@pytest.mark.parametrize("name", MEANT)
def test_what_stands_for_an_array(name: str) -> None:
    given, wanted = MEANT[name]
    for made in (cnp.asarray(given), cnp.array(given)):
        assert made.dtype == wanted.dtype
        np.testing.assert_array_equal(made, wanted)
    np.testing.assert_array_equal(cnp.asarray(given, "complex64"), wanted)


@pytest.mark.parametrize("name", ARRAYS)
def test_arrays_of_numpy(name: str) -> None:
    given = ARRAYS[name]
    wanted = np.asarray(given).astype(given.dtype.newbyteorder("="))
    one = cnp.ones((), given.dtype.newbyteorder("="))
    for made in (
        cnp.asarray(given),
        cnp.array(given),
        cv.jit(lambda x: x)(given),
        one * given,
        given * one,
        lax.mul(one, given),
        cv.device_put(given),
        lax.cond(True, lambda x: x, lambda x: x, given),
    ):
        assert made.dtype == wanted.dtype
        np.testing.assert_array_equal(made, wanted)
    assert cv.eval_shape(lambda x: x, given).shape == given.shape


REFUSED: dict[str, Any] = {
    "None": None,
    "None in a list": [None, 1],
    "None in an array": np.array([1, None]),
    "bytes": b"abc",
    "bytes in an array": np.array([b"a"]),
    "complex256": np.clongdouble([1]),
    "date": np.array(["2020-01-01"], "datetime64[D]"),
    "date of Python": datetime.date(2020, 1, 1),
    "date, single": np.datetime64("2020-01-01"),
    "decimal": decimal.Decimal("1.5"),
    "decimal in a list": [decimal.Decimal("1.5")],
    "dict": {"a": 1},
    "fraction": fractions.Fraction(1, 3),
    "generator": (i for i in range(2)),
    "longdouble": np.longdouble([1.5]),
    "longdouble, single": np.longdouble(1.5),
    "masked": np.ma.array([1, 2], mask=[0, 1]),
    "objects": np.array([1, 2], object),
    "record": np.array([(1, 2.0)], [("a", "i4"), ("b", "f4")]),
    "set": {1, 2},
    "text": "abc",
    "text in a list": ["a"],
    "text in an array": np.array(["a"]),
    "time": np.timedelta64(3, "s"),
    "times": np.array([1], "timedelta64[s]"),
    "void": np.zeros(2, "V4"),
}


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("dtype", [None, "float32", "bool"])
def test_what_is_no_array_is_refused(name: str, dtype: str | None) -> None:
    if dtype and name in ("objects", "None in an array"):
        np.testing.assert_array_equal(
            cnp.asarray(REFUSED[name], dtype), REFUSED[name].astype(dtype)
        )
        return
    with pytest.raises(TypeError):
        cnp.asarray(REFUSED[name], dtype)
    if dtype is None and not isinstance(REFUSED[name], list | dict | type(None)):
        x = cnp.arange(3)
        for f in (lambda v: x + v, cv.jit(lambda v: v), cnp.sin, lambda v: lax.add(x, v)):
            with pytest.raises(TypeError):
                f(REFUSED[name])


def test_numbers_in_lists_keep_their_value_or_are_refused() -> None:
    for beyond in ([np.int64(2**40)], [1, np.int64(-(2**40))], [np.uint64(2**63), 1], [2**40]):
        with pytest.raises(OverflowError, match="give a wider dtype"):
            cnp.array(beyond, "int32")
    with pytest.raises(OverflowError, match="300"):
        cnp.array([[np.int16(300)], [np.int16(2)]], "uint8")
    with cv.enable_x64(False), pytest.raises(OverflowError, match="give a wider dtype"):
        cnp.asarray([np.int64(2**40)])
    for number, way_out in ((2**40, r"numpy\.int64"), (2**63, "uint64"), (-(2**63) - 1, "float")):
        for beyond in (number, [1, number], [[number], [2]]):
            with pytest.raises(
                OverflowError, match=rf"{number} does not fit int32.* give.*{way_out}"
            ):
                cnp.asarray(beyond)
    assert cnp.array([np.uint64(2**63 + 1), 1], "uint64").tolist() == [2**63 + 1, 1]
    assert cnp.asarray([np.uint64(2**63 + 1), 1]).tolist() == [2**63 + 1, 1]
    # Arrays are converted, as by astype.
    assert cnp.array([np.array([300])], "uint8").tolist() == [[44]]
    assert cnp.asarray([np.int64(2**40)], "float32").tolist() == [2.0**40]
    for wanted in ("float16", "float32", "bfloat16"):
        with pytest.raises(TypeError, match=f"complex numbers as {wanted} .* would be lost"):
            cnp.asarray([1, 1j], wanted)
    assert cnp.asarray([0, 1j], bool).tolist() == [False, True]


def test_what_is_no_shape() -> None:
    for wrong in (b"abc", bytearray(b"ab"), {1}, {2: 3}, (i for i in range(2)), 1.5, "3", None):
        with pytest.raises(TypeError, match="must be an integer or a sequence of integers"):
            cnp.zeros(wrong)
    assert cnp.zeros(np.array([2, 3])).shape == cnp.zeros(collections.deque([2, 3])).shape == (2, 3)


def test_shapes_of_what_is_no_array() -> None:
    assert cnp.shape(range(3)) == (3,)
    assert cnp.ndim([range(3), range(3)]) == 2
    assert cnp.iscomplexobj(np.clongdouble(1))
    assert not cnp.iscomplexobj(np.longdouble(1))
