"""Derivatives held against differences: names and meanings are those of `jax.test_util`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from covector._engine.api.derivatives import jvp, vjp
from covector._engine.base import errors, tree
from covector._engine.base.public import publish
from covector._engine.core.trace import typeof
from covector._engine.types import dtypes

__all__ = ["check_grads", "check_jvp", "check_vjp"]

# By the size of a real number in bytes: how far a derivative may be from a difference.
_TOLERANCE = {2: 1e-1, 4: 2e-2, 8: 1e-5}
_EPS = 1e-4


def _leaf(rng: np.random.Generator, x: Any) -> Any:
    """A random direction for a value; zeros of float0 where it has no tangents."""
    aval = typeof(x)
    if not aval.differentiable():
        return np.zeros(aval.shape, dtypes.float0)
    noise = rng.normal(size=aval.shape)
    if dtypes.is_complex(aval.dtype):
        noise = noise + 1j * rng.normal(size=aval.shape)
    return np.asarray(noise).astype(aval.dtype)


def _directions(values: Any, seed: int) -> Any:
    rng = np.random.default_rng(seed)
    return tree.map(partial(_leaf, rng), values)


def _moved(x: Any, t: Any, step: float) -> Any:
    return x if t.dtype == dtypes.float0 else np.asarray(x + np.asarray(step * t).astype(t.dtype))


def _slope(f: Callable[..., Any], args: Any, tangents: Any, eps: float) -> Any:
    """The central difference of `f` along the tangents, in double precision."""

    def at(step: float) -> Any:
        return tree.map(_wide, f(*tree.map(partial(_moved, step=step), args, tangents)))

    return tree.map(lambda a, b: (a - b) / eps, at(eps / 2), at(-eps / 2))


def _wide(x: Any) -> Any:
    found = np.asarray(x)
    return found.astype(np.complex128 if np.iscomplexobj(found) else np.float64)


def _tolerances(values: Any, atol: float | None, rtol: float | None) -> tuple[float, float]:
    kinds = [typeof(x).dtype for x in tree.leaves(values)]
    sizes = [dtypes.real_of(d).itemsize for d in kinds if dtypes.is_inexact(d)]
    default = _TOLERANCE[min(sizes, default=8)]
    return (default if atol is None else atol), (default if rtol is None else rtol)


def _compare(what: str, found: Any, wanted: Any, atol: float, rtol: float, message: str) -> None:
    """AssertionError, which shows both, unless all leaves are close; leaves without tangents are left out."""
    for (path, a), b in zip(tree.leaves_with_path(found), tree.leaves(wanted), strict=True):
        if np.asarray(a).dtype == dtypes.float0:
            continue
        at = tree.keystr(path)
        text = f"{what} at {at or 'the result'}" + (f": {message}" if message else "")
        np.testing.assert_allclose(_wide(a), _wide(b), atol=atol, rtol=rtol, err_msg=text)


def check_jvp(
    f: Callable[..., Any],
    f_jvp: Callable[[Any, Any], tuple[Any, Any]],
    args: Sequence[Any],
    atol: float | None = None,
    rtol: float | None = None,
    eps: float = _EPS,
    err_msg: str = "",
) -> None:
    """Hold the derivative that `f_jvp(args, tangents)` gives along a random direction against a difference of `f`.

    AssertionError, which shows both, if they are further apart than `atol` and `rtol` allow.

    >>> import covector
    >>> from covector import test_util
    >>> test_util.check_jvp(lambda x: x**2, lambda x, t: covector.jvp(lambda x: x**2, x, t), (3.0,))
    """
    args = tuple(args)
    tangents = _directions(args, 0)
    value, out = f_jvp(args, tangents)
    atol, rtol = _tolerances((args, value), atol, rtol)
    _compare("check_jvp: the value", value, f(*args), atol, rtol, err_msg)
    _compare("check_jvp: the tangent", out, _slope(f, args, tangents, eps), atol, rtol, err_msg)


def check_vjp(
    f: Callable[..., Any],
    f_vjp: Callable[..., tuple[Any, Callable[[Any], Any]]],
    args: Sequence[Any],
    atol: float | None = None,
    rtol: float | None = None,
    eps: float = _EPS,
    err_msg: str = "",
) -> None:
    """Hold the pullback that `f_vjp(*args)` gives against a difference of `f`, along a random direction.

    AssertionError, which shows both, if they are further apart than `atol` and `rtol` allow.

    >>> import covector
    >>> from covector import test_util
    >>> f = lambda x: x**2
    >>> test_util.check_vjp(f, lambda x: covector.vjp(f, x), (3.0,))
    """
    args = tuple(args)
    value, pullback = f_vjp(*args)
    atol, rtol = _tolerances((args, value), atol, rtol)
    _compare("check_vjp: the value", value, f(*args), atol, rtol, err_msg)
    tangents = _directions(args, 0)
    cotangents = _directions(value, 1)
    back = pullback(cotangents)
    pulled = _inner(tangents, back)
    pushed = _inner(_slope(f, args, tangents, eps), cotangents)
    np.testing.assert_allclose(
        pulled, pushed, atol=atol, rtol=rtol, err_msg=f"check_vjp: the cotangents {err_msg}".strip()
    )


def _inner(xs: Any, ys: Any) -> Any:
    """The sum of the products of all elements: the real part, without conjugation, as cotangents pair with tangents."""
    pairs = zip(tree.leaves(xs), tree.leaves(ys), strict=True)
    return sum(
        [
            np.real(np.sum(_wide(x) * _wide(y)))
            for x, y in pairs
            if dtypes.float0 not in (np.asarray(x).dtype, np.asarray(y).dtype)
        ],
        0.0,
    )


def _moving(f: Callable[..., Any], cotangents: Any, *args: Any) -> list[Any]:
    """The cotangents of the arguments that have some."""
    backs = tree.leaves(vjp(f, *args)[1](cotangents))
    return [x for x in backs if x.dtype != dtypes.float0]


def check_grads(
    f: Callable[..., Any],
    args: Sequence[Any],
    order: int,
    modes: Sequence[str] = ("fwd", "rev"),
    atol: float | None = None,
    rtol: float | None = None,
    eps: float | None = None,
) -> None:
    """Hold the derivatives of `f` up to this order against differences, in forward ("fwd") and reverse ("rev") mode.

    AssertionError if they are further apart than `atol` and `rtol` allow; ValueError for another mode.

    >>> import covector.numpy as np
    >>> from covector import test_util
    >>> test_util.check_grads(np.sin, (1.0,), order=2)
    """
    if wrong := [mode for mode in modes if mode not in ("fwd", "rev")]:
        raise ValueError(
            f"check_grads: modes are 'fwd' and 'rev', got {wrong[0]!r}{errors.at_user_line()}"
        )
    step = _EPS if eps is None else eps

    def check(f: Callable[..., Any], args: tuple[Any, ...], order: int, path: str) -> None:
        if "fwd" in modes:
            push = partial(jvp, f)
            check_jvp(f, push, args, atol, rtol, step, f"{path}jvp of {f}")
            if order > 1:
                tangents = _directions(args, order)
                check(lambda *xs: push(xs, tangents), args, order - 1, f"{path}jvp of ")
        if "rev" in modes:
            check_vjp(f, partial(vjp, f), args, atol, rtol, step, f"{path}vjp of {f}")
            if order > 1:
                cotangents = _directions(f(*args), order)
                pull = partial(_moving, f, cotangents)
                check(pull, args, order - 1, f"{path}vjp of ")

    check(f, tuple(args), order, "")


publish(__name__)
