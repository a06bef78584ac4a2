"""Scalar types, and what functions do with narrow types: facts of JAX, and values beside those of wider types."""

from __future__ import annotations

import copy
import pickle

import ml_dtypes
import numpy as np
import pytest

import covector as cv
import covector.numpy as cnp
from covector import lax, random
from covector._engine.types import dtypes, narrow

NAMES = [d.name for d in dtypes.ALL]
NARROW = [d.name for d in (*narrow.INTS, *narrow.FLOATS)]


@pytest.mark.parametrize("name", NAMES)
def test_scalar_types(name: str) -> None:
    own, dtype = getattr(cnp, name), dtypes.as_dtype(name)
    assert own == dtype == own.dtype
    assert dtype == own
    assert own == dtype.type
    assert own != name
    assert own is not None
    assert own != 3
    assert hash(own) == hash(dtype.type)
    assert own in {dtype.type: 1}
    assert np.dtype(own) == dtype
    assert np.zeros(2, own).dtype == dtype
    assert (own.__name__, own.__module__) == (name, "covector.numpy")
    assert repr(own) == f"<class 'covector.numpy.{name}'>"
    assert pickle.loads(pickle.dumps(own)) is own
    assert copy.deepcopy(own) is own
    x = own(1)
    assert type(x) is cv.Array
    assert (x.dtype, x.shape, x.weak_type) == (dtype, (), False)
    assert own([[1, 0]]).shape == (1, 2)
    assert isinstance(dtype.type(1), own)
    assert not isinstance(x, own)
    for f in (cnp.zeros, cnp.ones):
        assert f(2, own).dtype == f(2, dtype).dtype == f(2, name).dtype == dtype
    assert cnp.arange(2).astype(own).dtype == dtype
    assert lax.convert_element_type(1, own).dtype == cv.ShapeDtypeStruct((), own).dtype == dtype
    with pytest.raises(TypeError):
        own()


def test_kinds_of_types() -> None:
    kinds = [cnp.floating, cnp.integer, cnp.signedinteger, cnp.unsignedinteger, cnp.complexfloating]
    of = {"f": [0], "i": [1, 2], "u": [1, 3], "c": [4], "b": []}
    for dtype in dtypes.ALL:
        found = [n for n, k in enumerate(kinds) if cnp.issubdtype(getattr(cnp, dtype.name), k)]
        assert found == of[dtypes.kind(dtype)]
        assert cnp.issubdtype(dtype, cnp.generic)
        assert not cnp.issubdtype(dtype, cnp.character)
        assert cnp.issubdtype(dtype, cnp.number) == (dtypes.kind(dtype) != "b")
        assert cnp.isdtype(dtype, "real floating") == (dtypes.kind(dtype) == "f")
    assert cnp.issubdtype("float64", float)
    assert not cnp.issubdtype("float32", float)
    assert not cnp.issubdtype(object, cnp.number)
    assert cnp.issubdtype("U3", cnp.character)
    assert not cnp.isdtype("M8[s]", "numeric")
    assert cnp.can_cast("int4", "float32")
    for name, python in (("int4", int), ("float8_e5m2", float), (np.float64, float), (bool, bool)):
        assert cv.dtypes.scalar_type_of(name) is python
    assert [cv.dtypes.itemsize_bits(n) for n in ("uint2", "float6_e2m3fn", "bool", "int8")] == [
        2,
        6,
        8,
        8,
    ]


def sample(name: str) -> np.ndarray:
    """Eight small numbers that all formats have."""
    dtype = dtypes.as_dtype(name)
    low, high = (
        (int(dtypes.lowest(dtype)), int(dtypes.highest(dtype)))
        if dtypes.is_integer(dtype)
        else (1, 4)
    )
    return np.array([1, 2, 4, 1, 2, 2, 1, 4]).clip(low, high).astype(dtype)


# What is the same as in the wider type, converted at the end.
SAME = {
    "max": lambda x: x.max(),
    "min": lambda x: x.min(),
    "sort": lambda x: cnp.sort(x),
    "concatenate": lambda x: cnp.concatenate([x[2:], x[:2]]),
    "where": lambda x: cnp.where(x > x[0], x, x[0]),
    "select": lambda x: x[::-1],
    "gather": lambda x: x[cnp.array([3, 0, 7])],
    "scatter": lambda x: x.at[cnp.array([3, 0])].set(x[2]),
    "greatest": lambda x: x.at[cnp.array([3, 3])].max(x[:2]),
    "clip": lambda x: cnp.clip(x, x[0], x[1]),
    "transpose": lambda x: x.reshape(2, 4).T,
    "negative": lambda x: cnp.negative(-x),
    "add": lambda x: x + x,
    "multiply": lambda x: x * x[::-1],
    "scan": lambda x: lax.scan(lambda c, a: (cnp.maximum(c, a), c), x[0], x)[1],
    "vmap": lambda x: cv.vmap(lambda a: a * a)(x),
    "matmul": lambda x: x.reshape(2, 4) @ x.reshape(4, 2),
    "top_k": lambda x: lax.top_k(x, 3)[0],
    "cond": lambda x: lax.cond(x[0] > x[1], lambda a: a, lambda a: a[::-1], x),
}


@pytest.mark.parametrize("name", NARROW)
def test_functions(name: str) -> None:
    """Compiled, of a narrow type and of the wider one, whose result is converted."""
    x, dtype = cnp.asarray(sample(name)), dtypes.as_dtype(name)
    cases = {k: f for k, f in SAME.items() if name != "float8_e8m0fnu" or k != "negative"}
    found = cv.jit(lambda x: {k: f(x) for k, f in cases.items()})(x)
    wide = cv.jit(lambda x: {k: f(x).astype(dtype) for k, f in cases.items()})(
        x.astype(np.float32 if dtypes.is_float(dtype) else np.int32)
    )
    for case in cases:
        assert found[case].dtype == dtype, case
        np.testing.assert_array_equal(
            np.asarray(found[case]).astype(np.float32),
            np.asarray(wide[case]).astype(np.float32),
            case,
        )


@pytest.mark.parametrize("name", NARROW)
def test_arrays(name: str) -> None:
    """As NumPy's in `ml_dtypes`: printing, lists, numbers, files of bytes; every operation outside of `jit`."""
    x = sample(name)
    y = cnp.asarray(x)
    assert (y.dtype, y.nbytes, y.itemsize) == (x.dtype, 8, 1)
    assert str(y) == str(x)
    assert y.tolist() == x.astype(float).tolist()
    assert [float(y[0]), int(y[1]), bool(y[0])] == [float(x[0]), int(x[1]), bool(x[0])]
    assert repr(y[0]) == f"Array({x[0]!s}, dtype={name})"
    assert np.asarray(y).tobytes() == x.tobytes() == pickle.loads(pickle.dumps(y)).tobytes()
    assert (y + y).dtype == (y * 1).dtype == (1 + y).dtype == cv.device_put(x).dtype == x.dtype
    assert (y == y).all()
    assert cnp.array_equal(y, x)
    assert cnp.isfinite(y).all()
    assert not cnp.isinf(y).any()
    if cnp.issubdtype(name, cnp.integer):
        info = cnp.iinfo(name)
        assert [cnp.asarray(n, name).item() for n in (info.min, info.max)] == [info.min, info.max]
        with pytest.raises(TypeError, match="have no common dtype"):
            y + cnp.ones(8, "int32")
        assert cnp.sum(y).dtype == ("uint32" if name[0] == "u" else "int32")
        assert random.randint(random.key(0), (4,), 0, 1, name).dtype == name
    else:
        assert (y + 1.5).dtype == (y + cnp.ones(8, "int32")).dtype == name
        assert cv.grad(lambda a: (a.astype("float32") ** 2).sum())(y).dtype == name
        with pytest.raises(TypeError, match="have no common dtype"):
            y + cnp.ones(8, "float32")
        np.testing.assert_array_equal(
            np.asarray(cnp.nextafter(y, y + y)).astype(np.float32),
            np.nextafter(x, x + x).astype(np.float32),
        )


def test_matrix_products_into_wider_types() -> None:
    for name in ("float8_e4m3fn", "float8_e5m2", "float4_e2m1fn", "int4", "uint4"):
        x = cnp.asarray(sample(name)).reshape(2, 4)
        wanted = x.astype("float32") @ x.astype("float32").T
        kinds = ["float32", "bfloat16", "float64"] + ["int32"] * ("int" in name)
        for preferred in kinds:
            for product in (
                cnp.matmul(x, x.T, preferred_element_type=preferred),
                lax.dot_general(x, x, (((1,), (1,)), ((), ())), preferred_element_type=preferred),
            ):
                assert product.dtype == preferred
                np.testing.assert_array_equal(product.astype("float32"), wanted)


def test_bits_as_narrower_and_wider_types() -> None:
    x = cnp.array([0x21, 0x43], "uint8")
    halves = lax.bitcast_convert_type(x, "uint4")
    assert (halves.shape, halves.tolist()) == ((2, 2), [[1, 2], [3, 4]])
    assert lax.bitcast_convert_type(halves, "uint8").tolist() == x.tolist()
    assert lax.bitcast_convert_type(x, "int2").shape == (2, 4)
    quarters = lax.bitcast_convert_type(cnp.array([0x12345678], "uint32"), "float8_e5m2")
    assert np.asarray(quarters).view(np.uint8).tolist() == [[0x78, 0x56, 0x34, 0x12]]
    assert lax.bitcast_convert_type(halves, "float4_e2m1fn").tolist() == [[0.5, 1], [1.5, 2]]
    with pytest.raises(TypeError, match="8 bits are not so many times 6 bits"):
        lax.bitcast_convert_type(x, "float6_e2m3fn")


def test_random_floats_of_eight_bits() -> None:
    for name in NARROW:
        if name.startswith("float8") and name != "float8_e8m0fnu":
            x = random.uniform(random.key(0), (100,), name).astype("float32")
            assert x.min() >= 0
            assert x.max() < 1
            assert len(set(x.tolist())) > 3
    with pytest.raises(TypeError, match="float4_e2m1fn has 4"):
        random.uniform(random.key(0), (2,), "float4_e2m1fn")


def test_eager_operations_tell_all_dtypes_apart() -> None:
    """The 16th dtype after another one shares its low bits."""
    for n, dtype in enumerate(dtypes.ALL):
        other = dtypes.ALL[(n + 16) % len(dtypes.ALL)]
        assert (cnp.ones(2, dtype) * cnp.ones(2, dtype)).dtype == dtype
        assert (cnp.ones(2, other) * cnp.ones(2, other)).dtype == other


def test_arrays_of_ml_dtypes_go_in() -> None:
    x = np.array([1, 2], ml_dtypes.float8_e5m2)
    assert cnp.add(x, x).dtype == cv.jit(lambda x: x)(x).dtype == x.dtype
    assert cnp.asarray(x[0]).dtype == x.dtype


def test_results_that_are_never_weak() -> None:
    for f in (cnp.angle, cnp.log10, cnp.spacing, cv.scipy.special.gamma, cv.scipy.special.expi):
        x = f(2.0)
        assert (x.dtype, x.weak_type) == ("float32", False)
        assert not cv.jit(f)(2.0).weak_type
    assert not cnp.bitwise_count(3).weak_type
    assert cnp.sin(2.0).weak_type


def test_integers_of_64_bits_become_floats_of_64() -> None:
    x = cnp.asarray([2**53, 3], "int64")
    assert [v.dtype for v in cnp.modf(x)] == ["float64", "float64"]
    assert cnp.sort_complex(x).dtype == "complex128"
