"""The Python Array API standard: its signatures, its special cases, and what a namespace says of itself.

array_api.txt has the functions of its version 2025.12, those with one signature in one row; a row begins
with the extension (`.` is the main namespace).  NumPy follows the standard, so values and dtypes are compared with its.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import covector as cv
import covector.numpy as cnp

POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def functions() -> Iterator[tuple[str, str, inspect.Signature]]:
    text = (Path(__file__).parent / "array_api.txt").read_text().replace("\n    ", " ")
    for line in text.splitlines():
        names, _, signature = line.partition(": ")
        space: dict[str, Any] = {}
        exec(f"def f{signature}: ...", space)
        extension, *names = names.split()
        for name in names:
            yield extension.strip("."), name, inspect.signature(space["f"])


def differences(wanted: inspect.Signature, found: inspect.Signature) -> Iterator[str]:
    mine = list(found.parameters.values())
    any_number = any(p.kind == p.VAR_POSITIONAL for p in mine)
    places = [p for p in mine if p.kind in POSITIONAL]
    for i, p in enumerate(p for p in wanted.parameters.values() if p.kind in POSITIONAL):
        if i >= len(places):
            if not any_number:
                yield f"no place for {p.name}"
        elif p.kind == p.POSITIONAL_OR_KEYWORD and places[i].name != p.name:
            yield f"{places[i].name} for {p.name}"
    by_name = {p.name for p in mine if p.kind != p.POSITIONAL_ONLY}
    for p in wanted.parameters.values():
        if p.kind == p.KEYWORD_ONLY and p.name not in by_name:
            yield f"no keyword {p.name}"


def test_signatures() -> None:
    found, wrong = 0, []
    for extension, name, wanted in functions():
        module = importlib.import_module("covector.numpy" + (f".{extension}" if extension else ""))
        function = getattr(module, name)
        if not isinstance(function, type):  # dtypes' limits are classes elsewhere
            wrong += [(name, d) for d in differences(wanted, inspect.signature(function))]
            found += 1
    assert found > 170
    assert not wrong


# -------------------------------------------------------------------------------- what a namespace says


def test_a_namespace_says_what_it_can_do() -> None:
    x = cnp.ones(2)
    assert x.__array_namespace__() is cnp
    assert x.__array_namespace__(api_version="2023.12") is cnp
    assert cv.jit(lambda x: x.__array_namespace__().sum(x))(x) == 2
    with pytest.raises(ValueError, match="api_version '2019' is not there"):
        x.__array_namespace__(api_version="2019")
    info = cnp.__array_namespace_info__()
    assert info.capabilities()["max dimensions"] == 64
    assert info.default_device() in info.devices()
    defaults = info.default_dtypes(device=x.device)
    assert defaults["real floating"] == cnp.zeros(1).dtype
    assert defaults["indexing"] == cnp.argmax(x).dtype
    assert len(info.dtypes()) == 13
    assert set(info.dtypes(kind=("bool", "unsigned integer"))) == {
        "bool", "uint8", "uint16", "uint32", "uint64",
    }  # fmt: skip
    with pytest.raises(ValueError, match="'floats' is not a kind"):
        info.dtypes(kind="floats")
    with pytest.raises(ValueError, match="no device 'moon'"):
        info.dtypes(device="moon")


PLACES: dict[str, Callable[[Any], Any]] = {
    "zeros": lambda device: cnp.zeros(2, device=device),
    "asarray": lambda device: cnp.asarray([1], device=device),
    "astype": lambda device: cnp.ones(2).astype(int, device=device),
    "full_like": lambda device: cnp.full_like(cnp.ones(2), 1, device=device),
    "eye": lambda device: cnp.eye(2, device=device),
    "linspace": lambda device: cnp.linspace(0, 1, 3, device=device),
    "fftfreq": lambda device: cnp.fft.fftfreq(3, device=device),
    "from_dlpack": lambda device: cnp.from_dlpack(np.ones(2), device=device),
}


@pytest.mark.parametrize("name", PLACES)
def test_devices_that_are_not_there(name: str) -> None:
    assert PLACES[name](cnp.ones(1).device).size
    with pytest.raises(ValueError, match=rf"{name}: device='moon' is not a device"):
        PLACES[name]("moon")
    with pytest.raises(ValueError, match="no streams"):
        cnp.ones(2).to_device(cnp.ones(1).device, stream=1)


# --------------------------------------------------------------------------------------- special cases

NUMBERS = np.array(
    [0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 2.5, -2.5, np.inf, -np.inf, np.nan, 3.7, 1e-30], np.float32
)


@pytest.mark.parametrize(
    "name", ["floor_divide", "remainder", "copysign", "hypot", "atan2", "pow", "logaddexp"]
)
def test_special_cases_of_two_numbers(name: str) -> None:
    x, y = (np.ascontiguousarray(v) for v in np.broadcast_arrays(NUMBERS[:, None], NUMBERS))
    with np.errstate(all="ignore"):
        wanted = getattr(np, name)(x, y)
    found = np.asarray(getattr(cnp, name)(x, y))
    np.testing.assert_allclose(found, wanted, rtol=1e-5)
    numbers = ~np.isnan(wanted)
    np.testing.assert_array_equal(np.signbit(found)[numbers], np.signbit(wanted)[numbers])


def test_the_derivative_of_a_remainder_that_is_zero() -> None:
    slopes = cv.grad(cnp.remainder, argnums=(0, 1))
    assert [float(s) for s in slopes(2.5, 0.5)] == [1, -5]
    assert [float(s) for s in slopes(-3.0, 2.0)] == [1, 2]


# ------------------------------------------------------------------------------- functions against NumPy

# Where sizes or counts are what is asked, NumPy's are int64, ours int32.
DEFAULTS = {"int64": "int32", "uint64": "uint32", "float64": "float32"}
CALLS: dict[str, Callable[[Any, Any], Any]] = {
    "cumulative_sum": lambda m, x: m.cumulative_sum(x, axis=-1, include_initial=True),
    "cumulative_prod": lambda m, x: m.cumulative_prod(x, axis=-1),
    "prod": lambda m, x: m.prod(x, axis=0),
    "sum": lambda m, x: m.sum(x, keepdims=True),
    "take_along_axis": lambda m, x: m.take_along_axis(x, m.argsort(x, axis=0), axis=0),
    "searchsorted": lambda m, x: m.searchsorted(m.reshape(x, (-1,)), x, sorter=m.argsort(m.reshape(x, (-1,)))),
    "roll": lambda m, x: m.roll(x, (1, 2), axis=0),
    "tile": lambda m, x: m.tile(x, (2, 1, 2)),
    "repeat": lambda m, x: m.repeat(x, 2, axis=-1),
    "unique": lambda m, x: m.sort(m.unique_values(x)),
    "diff": lambda m, x: m.diff(x, prepend=x[..., :1], append=x[..., :1]),
    "vecdot": lambda m, x: m.vecdot(x, x),
    "matrix norm": lambda m, x: m.linalg.vector_norm(m.astype(x, m.float32), ord=float("inf"), keepdims=True),
}  # fmt: skip
TYPES = ["bool", "int8", "uint16", "int64", "float32", "complex64"]


@pytest.mark.parametrize("name", CALLS)
def test_functions_against_numpy(name: str) -> None:
    random = np.random.default_rng(0)
    for dtype in TYPES:
        for shape in ((0,), (1,), (4,), (2, 3), (0, 2)):
            x = random.integers(0, 5, shape).astype(dtype)
            if (dtype, name) in (("bool", "diff"), ("complex64", "matrix norm")):
                continue
            wanted, found = CALLS[name](np, x), np.asarray(CALLS[name](cnp, cnp.asarray(x)))
            narrow = dtype not in ("int64", "float64") or name == "searchsorted"
            wanted = wanted.astype(
                DEFAULTS.get(wanted.dtype.name, wanted.dtype) if narrow else wanted.dtype
            )
            assert (found.dtype, found.shape) == (wanted.dtype, wanted.shape), (dtype, shape)
            np.testing.assert_allclose(found, wanted, rtol=1e-5)


def test_norms_of_nothing_are_zero() -> None:
    for order in (1, 2, np.inf, "fro", "nuc"):
        assert cnp.linalg.norm(cnp.zeros((0, 0)), order) == 0
    assert cnp.linalg.norm(cnp.zeros(0), np.inf) == 0


def test_limits_of_arrays() -> None:
    assert cnp.finfo(cnp.ones(2)).bits == 32
    assert cnp.iinfo(cnp.arange(2)).bits == 32
