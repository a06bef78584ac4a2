"""Values that Python finds equal, and that compile to different code, never share it."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from collections import namedtuple
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from tests.primitives.samples import all_samples

import covector as cv
import covector.numpy as cnp
from covector import config
from covector._engine.base.exact import exact
from covector._engine.base.record import fields, replace

Pair = namedtuple("Pair", "a b")


@dataclasses.dataclass(frozen=True)
class Options:
    scale: Any
    note: str = dataclasses.field(default="", compare=False)


# Each row: values that are equal in Python, or nearly, and are all different here.
DIFFERENT: dict[str, tuple[Any, ...]] = {
    "classes": (1, 1.0, True, 1 + 0j, np.int32(1), np.int64(1), np.float32(1), np.float64(1), np.bool_(True)),
    "signs of zero": (0.0, -0.0), "complex": (0j, complex(0.0, -0.0), complex(-0.0, 0.0)),
    "NumPy's zeros": (np.float32(0.0), np.float32(-0.0)),
    "tuples": ((1, 2), (1.0, 2), (True, 2), Pair(1, 2), Pair(1.0, 2)), "nested": (((0.0,),), ((-0.0,),)),
    "sets": (frozenset([1]), frozenset([1.0]), frozenset([True])),
    "ranges": (range(0, 3, 2), range(0, 4, 2)),
    "dataclasses": (Options(2), Options(2.0), Options((2,)), Options((2.0,))),
}  # fmt: skip


@pytest.mark.parametrize("row", DIFFERENT)
@pytest.mark.parametrize("fast", [True, False], ids=["fast", "twin"])
def test_static_arguments(row: str, fast: bool) -> None:
    values, seen = DIFFERENT[row], list[Any]()
    f = cv.jit(lambda x, s: (seen.append(s), x)[1], static_argnums=1)
    with config.override(fast_paths=fast):
        for _ in range(2):
            for value in values:
                f(1.0, copy.deepcopy(value))
    assert list(map(repr, seen)) == list(map(repr, values))  # traced once for each
    assert len({exact(v) for v in values}) == len(values)


@pytest.mark.parametrize("fast", [True, False], ids=["fast", "twin"])
def test_nan_is_itself(fast: bool) -> None:
    seen: list[Any] = []
    f = cv.jit(lambda x, s: (seen.append(s), x)[1], static_argnums=1)
    with config.override(fast_paths=fast):
        for _ in range(3):
            for value in (float("nan"), (float("nan"), 1), np.float32("nan")):
                f(1.0, value)
    assert len(seen) == 3
    assert exact(Options(1, "x")) == exact(Options(1, "y"))


@pytest.mark.parametrize("fast", [True, False], ids=["fast", "twin"])
def test_static_data_of_containers(fast: bool) -> None:
    seen: list[Any] = []
    f = cv.jit(lambda p: (seen.append(p), p)[1])
    with config.override(fast_paths=fast):
        for _ in range(2):
            for key in (1, True, 1.0):
                f({key: 2.0})
    assert [type(next(iter(p))) for p in seen] == [int, bool, float]


def twins(x: Any) -> Iterator[Any]:
    """Values that equal a field's value in Python and are another."""
    match x:
        case bool():
            yield int(x)
        case int():
            yield float(x)
            if x in (0, 1):
                yield bool(x)
        case float():
            yield np.float64(x)
            if x == 0:
                yield -x
        case tuple():
            for i, item in enumerate(x):
                for other in twins(item):
                    yield (*x[:i], other, *x[i + 1 :])
        case _:
            return


def test_parameters_of_primitives() -> None:
    """From the definitions: every field of every primitive."""
    count = 0
    for primitive in {s.primitive for s in all_samples()}:
        for name in fields(primitive):
            for other in twins(getattr(primitive, name)):
                count += 1
                changed = replace(primitive, **{name: other})
                assert changed != primitive, (primitive, name, other)
                assert changed == replace(primitive, **{name: copy.deepcopy(other)})
    assert count > 100


def test_values_to_fill_with() -> None:
    x = cnp.ones(3)
    for value in (0.0, -0.0, float("nan"), -0.0):
        found = np.asarray(x.at[cnp.array([7])].get(mode="fill", fill_value=value))[0]
        np.testing.assert_equal((found, np.signbit(found)), (np.float32(value), np.signbit(value)))


def test_the_zero_that_is_added() -> None:
    """x + 0 is x only for the zero that changes no sign; of complex numbers, in both parts."""
    for x in (np.float32(-0.0), np.complex64(complex(-0.0, -0.0))):
        for zero in (0.0, -0.0, complex(-0.0, 0.0), complex(0.0, -0.0)):
            if isinstance(zero, complex) and x.dtype.kind != "c":
                continue
            zero = x.dtype.type(zero)
            found = np.asarray(cv.jit(lambda x, zero=zero: x + zero)(x))
            assert found.tobytes() == np.asarray(x + zero).tobytes(), (x, zero)


# ------------------------------------------------------------------------------------- dicts


@pytest.mark.parametrize("fast", [True, False], ids=["fast", "twin"])
def test_dicts_are_in_order(fast: bool) -> None:
    """Whoever called first: functions see the keys in order, and so are they returned."""
    f = cv.jit(lambda p: (cnp.stack(list(p.values())), p))
    with config.override(fast_paths=fast):
        for p in ({"b": 1, "a": 2}, {"a": 2, "b": 1}, {"b": 1, "a": 2}):
            values, out = f(p)
            assert values.tolist() == [2, 1]
            assert list(out) == ["a", "b"]
    p = {"b": {2: 1.0, 1: 2.0}, "a": 3.0}
    assert repr(cv.tree.map(lambda x: x, p)) == "{'a': 3.0, 'b': {1: 2.0, 2: 1.0}}"
    assert list(cv.grad(lambda p: p["a"] * p["b"][1])(p)) == ["a", "b"]


# -------------------------------------------------------------------------------------- copies


@cv.jit
def add_one(x: Any) -> Any:
    return x + 1


def test_a_jitted_function_is_copied() -> None:
    assert copy.copy(add_one) is add_one
    assert copy.deepcopy({"f": add_one})["f"] is add_one
    assert pickle.loads(pickle.dumps(add_one)) is add_one
    with pytest.raises(TypeError, match="cannot be pickled"):
        pickle.dumps(cv.jit(lambda x: x))


def test_copies_are_arrays_of_their_own() -> None:
    """Donating a copy leaves the original alone."""
    f = cv.jit(lambda x: x + 1, donate_argnums=0)
    for make in (
        cnp.array, lambda x: cnp.array(x, copy=True), lambda x: x.astype("float32", copy=True),
        lambda x: cnp.astype(x, "float32", copy=True), cnp.copy, copy.copy,
    ):  # fmt: skip
        x = cnp.arange(1000.0)
        y = make(x)
        assert f(y)[5] == 6
        assert y.is_deleted()
        assert x[5] == 5
