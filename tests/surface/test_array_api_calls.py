"""The Array API standard's functions over dtypes, shapes and options: dtypes by rules, shapes and values as NumPy's."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest
from tests.surface.array_api_calls import Call, calls, rules

import covector as cv
import covector.numpy as cnp

RULES = list(rules())
WIDE = {"float32": "complex64", "float64": "complex128"}
NARROW = {"complex64": "float32", "complex128": "float64"}


def result_dtype(word: str, call: Call) -> str:
    """The dtype that a rule's word stands for."""
    x = call.operands[0][0] if isinstance(call.operands[0], list) else call.operands[0]
    own = x.dtype.name
    default = cnp.asarray(0).dtype.name
    if word == "promoted":
        arrays = [a for a in call.operands if isinstance(a, np.ndarray)]
        return np.result_type(*[a.dtype for a in arrays][-2:]).name
    if word == "asked":
        asked = call.options.get("dtype", call.operands[1] if call.rule.name == "astype" else None)
        return str(asked or own)
    if word == "summed":
        if (asked := call.options.get("dtype")) is not None:
            return str(asked)
        if x.dtype.kind in "iu" and x.dtype.itemsize < np.dtype(default).itemsize:
            return ("u" if x.dtype.kind == "u" else "") + default
        return own
    names = {
        "same": own,
        "real": NARROW.get(own, own),
        "complex": WIDE.get(own, own),
        "index": default,
    }
    return names.get(word, word)


def result_dtypes(call: Call, number: int) -> list[str]:
    words = call.rule.results
    if words[0].startswith("*"):
        words = [words[0][1:]] * number
    return [result_dtype(w, call) for w in words]


def descending(
    name: str, x: Any, axis: int = -1, descending: bool = False, stable: bool = True
) -> Any:
    """What NumPy's orders are with `descending`: equal elements stay in their order."""
    if not descending:
        return getattr(np, name)(x, axis=axis, stable=True)
    places = np.argsort(np.flip(x, axis), axis=axis, stable=True)
    places = np.flip(x.shape[axis] - 1 - places, axis)
    return places if name == "argsort" else np.take_along_axis(x, places, axis)


# NumPy's results where it has another call for the standard's.
ORACLES: dict[str, Callable[..., Any]] = {
    "sort": lambda x, **k: descending("sort", x, **k),
    "argsort": lambda x, **k: descending("argsort", x, **k),
    "empty_like": np.zeros_like,
    "unique_values": lambda x: np.sort(np.unique_values(x)),
}


def adjoint(x: Any) -> Any:
    return np.conj(np.swapaxes(x, -1, -2))


def _product(u: Any, s: Any, v: Any) -> Any:
    n = s.shape[-1]
    return u[..., :n] * s[..., None, :] @ v[..., :n, :]


# What is compared where results are not unique, of the results and the operand.
COMPARED: dict[str, Callable[..., tuple[Any, ...]]] = {
    "linalg.eigh": lambda w, v: (w, v * w[..., None, :] @ adjoint(v)),
    "linalg.eig": lambda w, v: (np.sort_complex(w.round(3)), v * w[..., None, :] @ np.linalg.inv(v)),
    "linalg.eigvals": lambda w: (np.sort_complex(w.round(3)),),
    "linalg.qr": lambda q, r: (q @ r, adjoint(q) @ q, np.zeros(q.shape), np.zeros(r.shape)),
    "linalg.svd": lambda u, s, v: (s, _product(u, s, v), np.zeros(u.shape), np.zeros(v.shape)),
    "empty_like": lambda x: (np.zeros(x.shape),),
}  # fmt: skip


def function(module: Any, name: str) -> Any:
    for part in name.split("."):
        module = getattr(module, part)
    return module


def listed(out: Any) -> list[Any]:
    return list(out) if isinstance(out, tuple | list) else [out]


def to_ours(x: Any) -> Any:
    if isinstance(x, list):
        return [cnp.asarray(v) for v in x]
    return cnp.asarray(x) if isinstance(x, np.ndarray) else x


def differs(call: Call) -> str | None:
    """In what the call's outcome differs from what it must be."""
    name = call.rule.name
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        oracle = ORACLES.get(name) or function(np, name)
        wanted = [np.asarray(o) for o in listed(oracle(*call.operands, **call.options))]
        ours = [to_ours(x) for x in call.operands]
        options = {k: to_ours(v) for k, v in call.options.items()}
        found = [np.asarray(o) for o in listed(function(cnp, name)(*ours, **options))]
        dtypes = [o.dtype.name for o in found]
        if dtypes != (right := result_dtypes(call, len(found))):
            return f"dtypes {dtypes}, not {right}"
        if (made := [o.shape for o in found]) != [o.shape for o in wanted]:
            return f"shapes {made}, not {[o.shape for o in wanted]}"
        tolerance = 2e-4 if "32" in str(dtypes) or "64" in str(dtypes) else 1e-9
        if name in COMPARED:
            found, wanted = COMPARED[name](*found), COMPARED[name](*wanted)
        for f, w in zip(found, wanted, strict=True):
            if not np.allclose(f, w, rtol=tolerance, atol=tolerance, equal_nan=True):
                return f"{f.tolist()}, not {w.tolist()}"
    return None


@pytest.mark.parametrize("x64", [False, True], ids=["32", "64"])
@pytest.mark.parametrize("rule", RULES, ids=lambda r: r.name)
def test_calls(rule: Any, x64: bool) -> None:
    wrong, count = [], 0
    with cv.enable_x64() if x64 else nullcontext():
        for call in calls(rule):
            count += 1
            try:
                reason = differs(call)
            except Exception as e:
                reason = f"{type(e).__name__}: {e}"
            if reason:
                wrong.append(f"{call}: {reason}"[:400])
    assert count
    assert not wrong, "\n".join([f"{len(wrong)} of {count}", *wrong[:12]])
