"""The Python Array API standard's array object, creation functions and questions about dtypes."""

from __future__ import annotations

import operator
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest
from tests.surface.array_api_calls import DTYPES, SHAPES, numbers, rules
from tests.surface.test_array_api_calls import to_ours

import covector as cv
import covector.numpy as cnp

KINDS = {d: k for k, names in DTYPES.items() for d in names}
ALL = list(KINDS)
# An operator's method, the standard's function, the kinds of its operands.
OPERATORS = [
    ("add", "add", "iufc"), ("sub", "subtract", "iufc"), ("mul", "multiply", "iufc"),
    ("truediv", "divide", "fc"), ("floordiv", "floor_divide", "iuf"), ("mod", "remainder", "iuf"),
    ("pow", "pow", "fc"), ("and", "bitwise_and", "biu"), ("or", "bitwise_or", "biu"),
    ("xor", "bitwise_xor", "biu"), ("lshift", "bitwise_left_shift", "iu"),
    ("rshift", "bitwise_right_shift", "iu"), ("matmul", "matmul", "iufc"),
]  # fmt: skip
COMPARISONS = [
    ("eq", "equal", "biufc"), ("ne", "not_equal", "biufc"), ("lt", "less", "iuf"),
    ("le", "less_equal", "iuf"), ("gt", "greater", "iuf"), ("ge", "greater_equal", "iuf"),
]  # fmt: skip
UNARY = [
    ("abs", "abs", "iufc"), ("invert", "bitwise_invert", "biu"), ("neg", "negative", "ifc"),
    ("pos", "positive", "iufc"),
]  # fmt: skip
# Python's numbers that go with arrays of a kind, whose dtype is the result's.
SCALARS = {"b": [True], "i": [2], "u": [2], "f": [2, 2.5], "c": [2, 2.5, 2.5 + 1j]}


def same(found: Any, wanted: Any) -> None:
    assert (found.dtype, found.shape) == (wanted.dtype, wanted.shape)
    np.testing.assert_array_equal(np.asarray(found), np.asarray(wanted))


def operand(dtype: str, shape: tuple[int, ...] = (2, 3), seed: int = 0) -> Any:
    values = np.abs(numbers(np.random.default_rng(seed), shape, dtype)).astype(dtype)
    return cnp.asarray(np.where(values == 0, values.dtype.type(1), values))


@pytest.mark.parametrize(("name", "function", "kinds"), [*OPERATORS, *COMPARISONS])
def test_operators_of_two(name: str, function: str, kinds: str) -> None:
    key = {"and": "and_", "or": "or_"}.get(name, name)
    by_operator, f = getattr(operator, key), getattr(cnp, function)
    for dtype in [d for d in ALL if KINDS[d] in kinds]:
        x, y = operand(dtype), operand(dtype, (3, 3) if name == "matmul" else (3,), 1)
        same(by_operator(x, y), f(x, y))
        same(getattr(type(x), f"__{name}__")(x, y), f(x, y))
        if name == "matmul":
            continue
        for number in SCALARS[KINDS[dtype]]:
            if name in ("floordiv", "mod") and number is True:
                continue
            same(by_operator(x, number), f(x, number))
            same(by_operator(number, x), f(number, x))
            if function not in [c[1] for c in COMPARISONS]:
                assert by_operator(x, number).dtype == by_operator(number, x).dtype == dtype
                assert not by_operator(x, number).weak_type
                reflected = getattr(type(x), f"__r{name}__")
                same(reflected(x, number), f(number, x))


@pytest.mark.parametrize(("name", "function", "kinds"), OPERATORS)
def test_operators_in_place_make_a_new_array(name: str, function: str, kinds: str) -> None:
    """As the standard allows where arrays cannot be written to: `x += y` binds x to the sum."""
    in_place = getattr(operator, "i" + name)
    for dtype in [d for d in ALL if KINDS[d] in kinds]:
        x, y = operand(dtype, (3, 3)), operand(dtype, (3, 3), 1)
        kept = np.array(x)
        same(in_place(x, y), getattr(cnp, function)(x, y))
        np.testing.assert_array_equal(np.asarray(x), kept)


@pytest.mark.parametrize(("name", "function", "kinds"), UNARY)
def test_operators_of_one(name: str, function: str, kinds: str) -> None:
    for dtype in [d for d in ALL if KINDS[d] in kinds]:
        x = operand(dtype)
        same(getattr(operator, name)(x), getattr(cnp, function)(x))


def test_a_complex_number_beside_real_ones() -> None:
    for dtype, wide in (("float32", "complex64"), ("float64", "complex128")):
        assert (operand(dtype) * 1j).dtype == (1j - operand(dtype)).dtype == wide


def test_functions_of_two_take_a_number_for_either() -> None:
    """Since 2024.12, of the kind of the array's elements, whose dtype is the result's."""
    two = [r for r in rules() if len(r.operands) == 2 and r.operands[1][0] in ("with", "divisor")]
    assert len(two) > 28
    for rule in two:
        f = getattr(cnp, rule.name)
        for dtype in [d for k in rule.operands[0][1] for d in DTYPES[k]]:
            x = operand(dtype)
            for number in SCALARS[KINDS[dtype]]:
                wanted = dtype if rule.results == ["promoted"] else "bool"
                full = cnp.full(x.shape, number, dtype=dtype)
                for found, right in ((f(x, number), f(x, full)), (f(number, x), f(full, x))):
                    assert found.dtype == wanted, (rule.name, dtype, number)
                    np.testing.assert_allclose(np.asarray(found), np.asarray(right), rtol=1e-6)
    where = cnp.where(cnp.array([True, False]), cnp.array([1, 2], "int8"), 5)
    assert (where.dtype, where.tolist()) == ("int8", [1, 5])
    assert cnp.searchsorted(cnp.arange(5), 3) == 3
    assert cnp.isin(3, cnp.arange(5)).shape == ()
    assert cnp.result_type(cnp.array([1], "int8"), 3) == "int8"


def test_attributes() -> None:
    for dtype in ALL:
        for shape in SHAPES:
            x, values = cnp.zeros(shape, dtype=dtype), np.zeros(shape, dtype)
            assert (x.dtype, x.shape, x.ndim, x.size) == (dtype, shape, len(shape), values.size)
            assert (type(x.shape), type(x.size), type(x.ndim)) == (tuple, int, int)
            assert x.device in cnp.__array_namespace_info__().devices()
            assert x.to_device(x.device).shape == shape
            if len(shape) == 2:
                assert x.T.shape == shape[::-1]
            if len(shape) >= 2:
                assert x.mT.shape == values.mT.shape
            else:
                with pytest.raises(ValueError, match="at least 2 dimensions"):
                    _ = x.mT


CONVERSIONS: list[tuple[Callable[[Any], Any], str]] = [
    (bool, "biufc"), (int, "biuf"), (float, "biuf"), (complex, "biufc"), (operator.index, "iu"),
]  # fmt: skip


@pytest.mark.parametrize(("convert", "kinds"), CONVERSIONS)
def test_conversions(convert: Callable[[Any], Any], kinds: str) -> None:
    for dtype in ALL:
        for number in (0, 1, 2):
            x = cnp.asarray(np.asarray(number, dtype))
            if KINDS[dtype] in kinds:
                found = convert(x)
                assert found == convert(number if dtype != "bool" else bool(number))
                assert type(found) is type(convert(number))
            else:
                with pytest.raises(TypeError):
                    convert(x)
    with pytest.raises((TypeError, ValueError)):
        convert(cnp.ones((2,)))


def test_conversions_of_special_numbers() -> None:
    for value in (np.nan, np.inf, -np.inf):
        x = cnp.asarray(value)
        assert bool(x) is True
        np.testing.assert_equal(float(x), value)
        np.testing.assert_equal(complex(x).real, value)
        with pytest.raises(ValueError if value != value else OverflowError):
            int(x)
    assert not bool(cnp.asarray(-0.0))
    assert bool(cnp.asarray(complex(0, np.nan)))
    assert [int(cnp.asarray(v)) for v in (2.7, -2.7, -0.0)] == [2, -2, 0]


INDICES: list[Any] = [
    0, -1, (0, 1), (0, -1), slice(None), slice(1, None), slice(None, None, -1), slice(3, 0, -2),
    (..., 0), (0, ...), ..., None, (None, 0, None), (slice(1), None, 1), (slice(0, 0), 1), (),
    np.array([0, 1, -1]), (np.array([[0], [1]]), np.array([0, 2])), (np.array([1, 0]), 1),
    np.array([True, False]), np.array([[True, False, True], [False, False, True]]),
    (np.array([0, 1]), slice(1, None)),
]  # fmt: skip


@pytest.mark.parametrize("index", INDICES, ids=repr)
def test_indexing(index: Any) -> None:
    values = np.arange(6).reshape(2, 3)
    ours = tuple(map(to_ours, index)) if isinstance(index, tuple) else to_ours(index)
    same(cnp.asarray(values)[ours], values[index])


# ------------------------------------------------------------------------------------- axes, memory, dlpack


def test_axes_that_are_not_there() -> None:
    named = {"axis", "axis0", "axis1", "axes", "joinaxis", "negaxis", "alongaxis"}
    tried = 0
    for rule in rules():
        if not named & {*rule.options}:
            continue
        f: Any = cnp
        for part in rule.name.split("."):
            f = getattr(f, part)
        dtype = DTYPES[(rule.operands[0][1] or "f")[-1]][0]
        x = operand(dtype)
        args = [x] * len(rule.operands) if rule.operands[0][0] != "list" else [[x, x]]
        if "index" in (o[0] for o in rule.operands):
            args[1] = cnp.zeros(x.shape, "int32")
        if "places" in rule.options:
            args.append(cnp.asarray([0]))
        if "repeats" in rule.options:
            args.append(2)
        key = "axes" if rule.name.startswith("fft.") and "axes" in rule.options else "axis"
        for axis in (7, -8):
            tried += 1
            with pytest.raises((ValueError, IndexError)):
                f(*args, **{key: axis})
    for axis in (5, -5):
        with pytest.raises(IndexError):
            cnp.expand_dims(cnp.ones((2, 2)), axis)
    assert tried > 60


def test_copies() -> None:
    """A copy is one to which no other library writes; within Covector no array is ever written to."""
    values = np.ones(64, np.float32)
    shared = cnp.from_dlpack(values)
    copies = {
        "asarray": cnp.asarray(shared, copy=True),
        "asarray of NumPy's": cnp.asarray(values, copy=True),
        "array": cnp.array(shared),
        "astype": cnp.astype(shared, cnp.float32, copy=True),
        "x.astype": shared.astype(cnp.float32, copy=True),
        "reshape": cnp.reshape(shared, (64,), copy=True),
        "reshape to another shape": cnp.reshape(shared, (8, 8), copy=True),
        "copy": cnp.copy(shared),
        "x.copy": shared.copy(),
        "from_dlpack": cnp.from_dlpack(values, copy=True),
        "from_dlpack of ours": cnp.from_dlpack(shared, copy=True),
        "numpy": cnp.asarray(np.from_dlpack(shared, copy=True)),
    }
    values[:] = 7
    assert shared[3] == 7
    assert not {k: v for k, v in copies.items() if (v == 7).any()}
    x = cnp.ones(3)
    for made in (cnp.astype(x, x.dtype, copy=True), cnp.reshape(x, (3,), copy=True)):
        made.delete()
    assert x.tolist() == [1, 1, 1]
    assert cnp.astype(x, x.dtype, copy=False) is x


def test_from_dlpack_without_a_copy() -> None:
    values = np.arange(12, dtype=np.float32)
    for source in (values[::2], values.reshape(3, 4).T):
        same(cnp.from_dlpack(source), source)
        with pytest.raises(BufferError, match=r"copy=False.*row-major order"):
            cnp.from_dlpack(source, copy=False)
    shared = cnp.from_dlpack(values, copy=False)
    values[0] = 5
    assert shared[0] == 5
    with pytest.raises(BufferError, match="longdouble"):  # the producer's own
        cnp.from_dlpack(np.ones(2, np.longdouble))
    with pytest.raises(TypeError, match="__dlpack__"):
        cnp.from_dlpack(object())
    with cv.enable_x64(False), pytest.raises(BufferError, match=r"copy=False.*float32"):
        cnp.from_dlpack(np.ones(2), copy=False)


def test_dlpack() -> None:
    x = cnp.arange(4.0)
    assert tuple(map(int, x.__dlpack_device__())) == (1, 0)
    for options in ({}, {"stream": None}, {"copy": False}, {"copy": True}, {"dl_device": (1, 0)}):
        for version in (None, (0, 8), (1, 0), (1, 2)):
            capsule = x.__dlpack__(max_version=version, **options)
            made = cnp.from_dlpack(type("Given", (), {"__dlpack__": lambda self, **k: capsule})())  # noqa: B023
            same(made, x)
    for stream in (1, -1, 0):
        with pytest.raises(ValueError, match="no stream"):
            x.__dlpack__(stream=stream)
    with pytest.raises(BufferError, match="device of type 2"):
        x.__dlpack__(dl_device=(2, 0))


# --------------------------------------------------------------------------------------------- creation

DEFAULTS = {bool: "bool", int: "int", float: "float", complex: "complex"}
MADE: dict[str, tuple[Callable[[], Any], str]] = {
    "arange": (lambda: cnp.arange(3), "int"),
    "arange of floats": (lambda: cnp.arange(0, 1, 0.25), "float"),
    "arange backwards": (lambda: cnp.arange(3, -1, -2), "int"),
    "arange of nothing": (lambda: cnp.arange(3, 1), "int"),
    "asarray of bool": (lambda: cnp.asarray([True, False]), "bool"),
    "asarray of int": (lambda: cnp.asarray([[1, 2], [3, 4]]), "int"),
    "asarray of bool and int": (lambda: cnp.asarray([True, 2]), "int"),
    "asarray of float": (lambda: cnp.asarray((1, 2.5)), "float"),
    "asarray of complex": (lambda: cnp.asarray([1, 2.5, 1j]), "complex"),
    "asarray of a number": (lambda: cnp.asarray(3), "int"),
    "empty": (lambda: cnp.zeros((2, 3)) * cnp.empty((2, 3)), "float"),
    "zeros": (lambda: cnp.zeros((2, 0)), "float"),
    "ones": (lambda: cnp.ones(3), "float"),
    "eye": (lambda: cnp.eye(2, 3, k=1), "float"),
    "eye of complex": (lambda: cnp.eye(2, dtype=cnp.complex64), "complex64"),
    "full of bool": (lambda: cnp.full((2,), True), "bool"),
    "full of int": (lambda: cnp.full((), 3), "int"),
    "full of float": (lambda: cnp.full((2, 2), 2.5), "float"),
    "full of complex": (lambda: cnp.full(2, 1j), "complex"),
    "linspace": (lambda: cnp.linspace(0, 1, 5), "float"),
    "linspace without its end": (lambda: cnp.linspace(0, 1, 4, endpoint=False), "float"),
    "linspace of complex": (lambda: cnp.linspace(0, 1j, num=3), "complex"),
    "linspace of one": (lambda: cnp.linspace(2, 5, 1), "float"),
    "fftfreq": (lambda: cnp.fft.fftfreq(5, d=0.5), "float"),
    "rfftfreq": (lambda: cnp.fft.rfftfreq(5), "float"),
    "fftfreq of a dtype": (lambda: cnp.fft.fftfreq(4, dtype=cnp.float64), "float64"),
}
VALUES: dict[str, Any] = {
    "arange backwards": [3, 1], "arange of floats": [0, 0.25, 0.5, 0.75], "eye": [[0, 1, 0], [0, 0, 1]],
    "linspace": [0, 0.25, 0.5, 0.75, 1], "linspace without its end": [0, 0.25, 0.5, 0.75],
    "linspace of one": [2], "linspace of complex": [0, 0.5j, 1j], "eye of complex": [[1, 0], [0, 1]],
    "asarray of bool and int": [1, 2], "arange of nothing": [],
}  # fmt: skip


@pytest.mark.parametrize("x64", [False, True], ids=["32", "64"])
@pytest.mark.parametrize("name", MADE)
def test_dtypes_of_what_is_made(name: str, x64: bool) -> None:
    with cv.enable_x64() if x64 else nullcontext():
        names = cnp.__array_namespace_info__().default_dtypes()
        dtypes = {
            "int": names["integral"],
            "float": names["real floating"],
            "complex": names["complex floating"],
        }
        make, dtype = MADE[name]
        made = make()
    assert made.dtype == dtypes.get(dtype, dtype)
    if name in VALUES:
        assert made.tolist() == VALUES[name]


def test_grids() -> None:
    x, y = cnp.arange(3), cnp.asarray([1.5, 2.5])
    for indexing in ("xy", "ij"):
        found, wanted = cnp.meshgrid(x, y, indexing=indexing), np.meshgrid(x, y, indexing=indexing)
        assert isinstance(found, tuple)
        for f, w, source in zip(found, wanted, (x, y), strict=True):
            assert f.dtype == source.dtype
            np.testing.assert_array_equal(np.asarray(f), w)
    assert isinstance(cnp.broadcast_arrays(x, x), tuple)
    assert cnp.broadcast_shapes() == ()


# ---------------------------------------------------------------------------------------------- dtypes

OF_KIND = {
    "bool": "b", "signed integer": "i", "unsigned integer": "u", "integral": "iu",
    "real floating": "f", "complex floating": "c", "numeric": "iufc",
}  # fmt: skip


def test_kinds_of_dtypes() -> None:
    for dtype in ALL:
        own = getattr(cnp, dtype)
        assert own == cnp.zeros(1, own).dtype == cnp.dtype(dtype)
        for kind, letters in OF_KIND.items():
            assert cnp.isdtype(own, kind) is (KINDS[dtype] in letters)
            assert cnp.isdtype(own, (kind, "bool")) is (KINDS[dtype] in letters + "b")
        for other in ALL:
            assert cnp.isdtype(own, getattr(cnp, other)) is (dtype == other)
            assert cnp.isdtype(own, (getattr(cnp, other),)) is (dtype == other)


def test_promotion_and_casts() -> None:
    """Within a kind, to the wider one; of signed and unsigned, to a signed one that has both."""
    tried = 0
    for a in ALL:
        for b in ALL:
            x, y = np.dtype(a), np.dtype(b)
            if x.kind not in "iu" or y.kind not in "iu":
                if x.kind != y.kind and {x.kind, y.kind} != {"f", "c"}:
                    continue
            elif {x.kind, y.kind} == {"i", "u"} and max(
                d.itemsize for d in (x, y) if d.kind == "u"
            ) == 8:
                continue
            tried += 1
            wanted = np.promote_types(x, y)
            assert cnp.result_type(cnp.zeros(1, a), getattr(cnp, b)) == wanted
            assert cnp.can_cast(getattr(cnp, a), getattr(cnp, b)) is bool(wanted == y)
            assert cnp.can_cast(cnp.zeros(1, a), getattr(cnp, b)) is bool(wanted == y)
    assert tried == 73


def test_limits() -> None:
    for dtype in DTYPES["f"] + DTYPES["c"]:
        found, wanted = cnp.finfo(getattr(cnp, dtype)), np.finfo(dtype)
        for name in ("bits", "eps", "max", "min", "smallest_normal", "dtype"):
            assert getattr(found, name) == getattr(wanted, name)
            assert name in ("bits", "dtype") or float(getattr(found, name)) == float(
                getattr(wanted, name)
            )
        assert cnp.finfo(cnp.zeros(2, dtype)).bits == wanted.bits
    for dtype in DTYPES["i"] + DTYPES["u"]:
        found, wanted = cnp.iinfo(getattr(cnp, dtype)), np.iinfo(dtype)
        for name in ("bits", "max", "min", "dtype"):
            assert getattr(found, name) == getattr(wanted, name)
        assert cnp.iinfo(cnp.zeros(2, dtype)).max == wanted.max


def test_constants() -> None:
    assert (cnp.e, cnp.pi, cnp.inf, cnp.newaxis) == (np.e, np.pi, np.inf, None)
    assert cnp.nan != cnp.nan
    assert cnp.__array_api_version__ == "2025.12"
    assert cnp.ones(1).__array_namespace__(api_version="2025.12") is cnp


def test_names_of_parts() -> None:
    x = cnp.eye(2)
    fields = {
        "eig": "eigenvalues eigenvectors", "eigh": "eigenvalues eigenvectors", "qr": "Q R",
        "slogdet": "sign logabsdet", "svd": "U S Vh",
    }  # fmt: skip
    for name, parts in fields.items():
        assert getattr(cnp.linalg, name)(x)._fields == tuple(parts.split())
    sets = {
        "unique_all": "values indices inverse_indices counts", "unique_counts": "values counts",
        "unique_inverse": "values inverse_indices",
    }  # fmt: skip
    for name, parts in sets.items():
        assert getattr(cnp, name)(x)._fields == tuple(parts.split())


def test_numbers_that_are_not_equal_to_themselves() -> None:
    undefined = complex(0, np.nan)
    for values in ([1.0, np.nan, np.nan, -0.0, 0.0], [1, undefined, undefined, 0, -0.0]):
        x = cnp.asarray(values)
        assert cnp.unique_values(x).size == 4
        assert sorted(cnp.unique_counts(x).counts.tolist()) == [1, 1, 1, 2]
        assert cnp.unique_inverse(x).inverse_indices.shape == x.shape
    with pytest.raises(ValueError, match="no axes"):
        cnp.nonzero(cnp.asarray(1))


def test_statistics_of_nothing() -> None:
    for dtype in DTYPES["f"] + DTYPES["c"]:
        nothing = cnp.zeros((0, 2), dtype)
        assert cnp.isnan(cnp.mean(nothing, axis=0)).all()
        if dtype[0] == "f":
            assert cnp.isnan(cnp.var(nothing, axis=0)).all()
            assert cnp.isnan(cnp.std(cnp.ones(2, dtype), correction=3))
        assert cnp.sum(nothing) == 0
        assert cnp.prod(nothing) == 1
    assert cnp.all(cnp.zeros(0))
    assert not cnp.any(cnp.zeros(0))
    for name in ("max", "min", "mean", "std", "var", "prod", "sum"):
        assert cnp.isnan(getattr(cnp, name)(cnp.asarray([1.0, np.nan, 2.0])))


def test_ranks_of_nothing() -> None:
    assert cnp.linalg.matrix_rank(cnp.zeros((0, 3))) == 0
    assert cnp.linalg.matrix_rank(cnp.zeros((2, 3, 0))).tolist() == [0, 0]
    assert cnp.linalg.matrix_rank(cnp.zeros((0, 2, 2))).shape == (0,)
