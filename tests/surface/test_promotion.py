"""Result dtypes and weak types against JAX's, recorded in golden/promotion.json.

Recorded with 64-bit types disabled (JAX's default; there int64 and the like do not exist, and uint32 beside a signed
integer is left out) but for `promote_types`, which is the lattice with them.  A star marks a weak type.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import covector.numpy as cnp

GOLDEN: dict[str, dict[str, str]] = json.loads(
    (Path(__file__).parent / "golden" / "promotion.json").read_text()
)
NUMBERS: dict[str, Any] = {"True": True, "2": 2, "2.5": 2.5, "2j": 2j}


def operand(text: str) -> Any:
    return NUMBERS[text] if text in NUMBERS else cnp.ones(2, text)


def result(f: Any, key: str) -> str:
    try:
        out = f(*[operand(text) for text in key.split()])
    except TypeError:
        return "error"
    return out.dtype.name + ("*" if out.weak_type else "")


@pytest.mark.parametrize("name", [name for name in GOLDEN if name != "promote_types"])
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_results(name: str) -> None:
    f = (lambda x, y: cnp.where(True, x, y)) if name == "where" else getattr(cnp, name)
    wrong = {key: (result(f, key), wanted) for key, wanted in GOLDEN[name].items()}
    assert not {key: pair for key, pair in wrong.items() if pair[0] != pair[1]}


def test_the_lattice() -> None:
    for key, wanted in GOLDEN["promote_types"].items():
        a, b = key.split()
        assert cnp.promote_types(a, b) == wanted, key
        assert cnp.result_type(a, b) == wanted


def test_weak_numbers_follow_arrays() -> None:
    for dtype in (cnp.float16, cnp.bfloat16, cnp.float32, cnp.float64):
        x = cnp.ones(2, dtype)
        for y in (
            x + 1,
            1 - x,
            x * 2.5,
            x / 3,
            x**2,
            x**0.5,
            cnp.maximum(x, 0),
            x.sum(),
            x.mean(),
            x @ x,
            -x,
        ):
            assert y.dtype == dtype
            assert not y.weak_type
    assert (cnp.ones(2, cnp.int8) + 1).dtype == np.int8
    assert (cnp.ones(2, cnp.int8) * 1.5).dtype == np.float32
    assert (cnp.ones(2) + np.float64(1)).dtype == np.float32


def test_numpy_arrays_are_taken_as_written() -> None:
    assert cnp.sin(np.ones(2)).dtype == np.float64
    assert (cnp.ones(2) + np.ones(2)).dtype == np.float64
    assert (np.ones(2) + cnp.ones(2)).dtype == np.float64
    assert cnp.sum(np.arange(3)).dtype == np.int64


def test_dtype_functions() -> None:
    assert cnp.issubdtype(cnp.bfloat16, cnp.floating)
    assert cnp.issubdtype(cnp.int32, cnp.integer)
    assert not cnp.issubdtype(cnp.float32, np.integer)
    assert cnp.issubdtype("float32", cnp.float32)
    assert cnp.isdtype(cnp.int8, "signed integer")
    assert cnp.isdtype(cnp.int8, (cnp.int16, "integral"))
    assert not cnp.isdtype(cnp.bool_, "numeric")
    assert cnp.finfo(cnp.bfloat16).bits == 16
    assert cnp.iinfo(cnp.int8).max == 127
    assert cnp.can_cast(cnp.int8, cnp.int16)
    assert not cnp.can_cast(cnp.float32, cnp.int32)
    assert cnp.float32 == np.dtype("float32")
    assert np.dtype(cnp.float32) == np.float32
    assert cnp.ones(1).dtype == cnp.float32
    assert cnp.iscomplexobj(cnp.ones(1, complex))
    assert isinstance(np.float32(1), cnp.float32)
    assert cnp.isscalar(cnp.float32(1))
    with pytest.raises(TypeError, match="is not a dtype of arrays"):
        cnp.zeros(1, "datetime64[s]")
