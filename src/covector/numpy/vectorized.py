"""Functions made of Python functions: applied along axes, to all elements, piece by piece."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Sequence
from functools import update_wrapper
from typing import Any

import numpy as np

from covector._engine import primitives as prims
from covector._engine.api.transforms import vmap
from covector._engine.base import errors
from covector._engine.types.dims import Dim
from covector.numpy.creation import asarray
from covector.numpy.dtype import is_of_keys
from covector.numpy.operands import converted
from covector.numpy.promotion import axis_of, broadcast_shapes, is_operand, lift
from covector.numpy.selection import where
from covector.numpy.shape import moveaxis

__all__ = [
    "apply_along_axis",
    "apply_over_axes",
    "iterable",
    "piecewise",
    "vectorize",
]


def iterable(y: Any) -> bool:
    """Whether `iter` takes a value: arrays with axes, sequences, ...

    >>> from covector import numpy as cnp
    >>> cnp.iterable(cnp.array([1, 2])), cnp.iterable(2)
    (True, False)
    """
    try:
        iter(y)
    except TypeError:
        return False
    return True


def apply_along_axis(
    func1d: Callable[..., Any], axis: int, arr: Any, *args: Any, **kwargs: Any
) -> Any:
    """A function of vectors applied along an axis, by `vmap` over the others; its results take the axis' place.

    >>> from covector import numpy as cnp
    >>> cnp.apply_along_axis(cnp.sum, 1, cnp.array([[1, 2], [3, 4]]))
    Array([3, 7], dtype=int32)
    """
    a = lift("apply_along_axis", arr)
    axis = axis_of(axis, a.ndim)

    def f(row: Any) -> Any:
        return asarray(func1d(row, *args, **kwargs))

    mapped: Callable[..., Any] = f
    for _ in range(a.ndim - 1):
        mapped = vmap(mapped)
    out = mapped(moveaxis(a, axis, -1))
    new = range(a.ndim - 1, out.ndim)
    return moveaxis(out, tuple(new), tuple(range(axis, axis + len(new))))


def apply_over_axes(func: Callable[..., Any], a: Any, axes: int | Sequence[int]) -> Any:
    """A function (array, axis) applied along axes one after another; an axis that it drops is kept with length 1.

    ValueError if a result has another number of axes.

    >>> from covector import numpy as cnp
    >>> cnp.apply_over_axes(cnp.sum, cnp.ones((2, 3)), [0, 1])
    Array([[6.]], dtype=float32)
    """
    a = lift("apply_over_axes", a)
    for axis in axes if isinstance(axes, Iterable) else (axes,):
        place = axis_of(axis, a.ndim)
        out = func(a, place)
        if out.ndim == a.ndim - 1:
            out = prims.expand_dims(out, (place,))
        if out.ndim != a.ndim:
            raise ValueError(
                f"apply_over_axes: the function made shape {out.shape} of {a.shape} along axis {place}"
                f"{errors.at_user_line()}; at most that axis may go"
            )
        a = out
    return a


def piecewise(x: Any, condlist: Any, funclist: Sequence[Any], *args: Any, **kw: Any) -> Any:
    """For each element the value of the function whose condition holds, of several the last; else of one more, or 0.

    The functions take all of x, and the further arguments; numbers stand for themselves.  The result has the dtype of
    x.  ValueError unless there are as many functions as conditions, or one more.

    >>> from covector import numpy as cnp
    >>> x = cnp.array([-2.0, 3.0])
    >>> cnp.piecewise(x, [x < 0, x >= 0], [lambda v: -v, 10])
    Array([ 2., 10.], dtype=float32)
    """
    x = lift("piecewise", x)
    if is_operand(condlist) or (len(condlist) and np.ndim(condlist[0]) == 0 and x.ndim):
        given = asarray(condlist)
        conditions = list(given) if given.ndim > x.ndim else [given]
    else:
        conditions = [asarray(c) for c in condlist]
    n = len(conditions)
    if len(funclist) not in (n, n + 1):
        raise ValueError(
            f"piecewise: {len(funclist)} functions for {n} conditions{errors.at_user_line()}; there must be as many, "
            "or one more"
        )
    functions = [*funclist[n:], *funclist[:n]] if len(funclist) > n else [0, *funclist]
    values = [f(x, *args, **kw) if callable(f) else f for f in functions]
    out = converted(asarray(values[0]), x.dtype)
    for condition, value in zip(conditions, values[1:], strict=True):
        out = where(condition, converted(asarray(value), x.dtype), out)
    return out if out.shape == x.shape else prims.Broadcast(x.shape, tuple(range(x.ndim)))(out)


# ---------------------------------------------------------------------------------------- vectorize

_CORE = r"\([\w,\s]*\)"
_SIGNATURE = re.compile(rf"\s*(?:{_CORE}(?:\s*,\s*{_CORE})*)?\s*->\s*{_CORE}(?:\s*,\s*{_CORE})*\s*")


def _core_dims(signature: str) -> tuple[list[tuple[str, ...]], list[tuple[str, ...]]]:
    """The names of the core axes of operands and results; ValueError if it is no signature."""
    if not _SIGNATURE.fullmatch(signature):
        raise ValueError(
            f"vectorize: {signature!r} is not a signature{errors.at_user_line()}, such as '(n,m),(m)->(n)'"
        )
    sides = [
        [tuple(re.findall(r"\w+", core)) for core in re.findall(_CORE, side)]
        for side in signature.split("->")
    ]
    return sides[0], sides[1]


def _split(name: str, x: Any, core: tuple[str, ...], sizes: dict[str, Dim]) -> tuple[Dim, ...]:
    """The shape in front of an operand's core axes, whose lengths must be those known, or are noted."""
    if x.ndim < len(core):
        raise ValueError(
            f"{name}: an operand of shape {x.shape}{errors.at_user_line()} has fewer axes than its "
            f"core ({', '.join(core)})"
        )
    lead = x.ndim - len(core)
    for axis, n in zip(core, x.shape[lead:], strict=True):
        n = int(axis) if axis.isdigit() and int(axis) != n else n
        if sizes.setdefault(axis, n) != x.shape[lead + core.index(axis)]:
            raise ValueError(
                f"{name}: the core axis {axis} has length {sizes[axis]} and, in an operand of shape {x.shape}, another"
                f"{errors.at_user_line()}"
            )
    return x.shape[:lead]


def _check_core(name: str, outs: Sequence[Any], cores: Any, sizes: dict[str, Dim]) -> None:
    """ValueError unless a function's results have the core axes that the signature says."""
    if len(outs) != len(cores):
        raise TypeError(
            f"{name}: the function returned {len(outs)} results{errors.at_user_line()}, but its signature says "
            f"{len(cores)}"
        )
    for out, core in zip(outs, cores, strict=True):
        wanted = tuple(
            [sizes.setdefault(axis, n) for axis, n in zip(core, out.shape, strict=False)]
        )
        if out.shape != wanted or len(core) != out.ndim:
            raise ValueError(
                f"{name}: the function returned shape {out.shape}{errors.at_user_line()}, but its signature says "
                f"({', '.join(core)})"
            )


def vectorize(
    pyfunc: Callable[..., Any],
    *,
    excluded: Collection[int | str] = frozenset(),
    signature: str | None = None,
) -> Callable[..., Any]:
    """The function applied to all elements of operands that broadcast together, by `vmap`.

    With a signature such as '(n,m),(m)->(n)' operands have these core axes at their end, and the function gets and
    returns arrays of them.  `excluded` are arguments, by place or name, that it gets as they are.

    >>> from covector import numpy as cnp
    >>> @cnp.vectorize
    ... def clipped_add(x, y):
    ...     return cnp.minimum(x + y, 10)
    >>> clipped_add(cnp.array([1, 8]), cnp.array([[2], [3]]))
    Array([[ 3, 10],
           [ 4, 10]], dtype=int32)
    """
    if any(not (isinstance(e, str) or e >= 0) for e in excluded):
        raise ValueError(
            f"vectorize: excluded={excluded!r}{errors.at_user_line()}; they are places (from 0) and names"
        )
    name = f"vectorize({getattr(pyfunc, '__name__', 'function')})"
    cores = None if signature is None else _core_dims(signature)

    def vectorized(*args: Any, **kwargs: Any) -> Any:
        kept = {i: args[i] for i in excluded if isinstance(i, int) and i < len(args)}
        held = {key: x for key, x in kwargs.items() if key in excluded}
        keys = [key for key in kwargs if key not in excluded]
        places = [i for i in range(len(args)) if i not in kept]
        given = [args[i] for i in places] + [kwargs[k] for k in keys]
        operands = [_operand(name, x) for x in given]

        def call(*xs: Any) -> Any:
            full = dict(kept) | dict(zip(places, xs, strict=False))
            named = dict(zip(keys, xs[len(places) :], strict=True)) | held
            return pyfunc(*[full[i] for i in range(len(args))], **named)

        return _mapped(name, call, operands, cores)

    return update_wrapper(vectorized, pyfunc)


def _mapped(name: str, call: Callable[..., Any], operands: list[Any], cores: Any) -> Any:
    """The function over the operands' leading axes, which broadcast together; axes of length 1 are not mapped."""
    ins, outs = cores if cores is not None else ([()] * len(operands), None)
    if len(ins) != len(operands):
        raise TypeError(
            f"{name} takes {len(ins)} operands by its signature, got {len(operands)}{errors.at_user_line()}"
        )
    sizes: dict[str, Dim] = {}
    leads = [_split(name, x, core, sizes) for x, core in zip(operands, ins, strict=True)]
    shape = broadcast_shapes(*leads)

    def checked(*xs: Any) -> Any:
        out = call(*xs)
        if outs is not None:
            results = [_result(o) for o in (out if isinstance(out, tuple) else (out,))]
            _check_core(name, results, outs, sizes)
            return tuple(results) if len(outs) > 1 else results[0]
        return type(out)(map(_result, out)) if type(out) in (tuple, list) else _result(out)

    f = checked
    squeezed = [
        x.reshape((*[n for n in lead if n != 1], *x.shape[len(lead) :]))
        for x, lead in zip(operands, leads, strict=True)
    ]
    for axis in reversed(range(len(shape))):
        if shape[axis] == 1:
            continue
        back = len(shape) - axis
        in_axes = [0 if len(lead) >= back and lead[-back] != 1 else None for lead in leads]
        f = vmap(f, in_axes=tuple(in_axes))
    out = f(*squeezed)
    ones = tuple([i for i, n in enumerate(shape) if n == 1])
    if isinstance(out, tuple | list):
        return type(out)([_with_ones(o, ones) for o in out])
    return _with_ones(out, ones)


def _with_ones(x: Any, axes: tuple[int, ...]) -> Any:
    """An array, or keys, with axes of length 1 put in."""
    if not is_of_keys(x):
        return prims.expand_dims(x, axes)
    shape = list(x.shape)
    for axis in axes:
        shape.insert(axis, 1)
    return x.reshape(tuple(shape))


def _result(x: Any) -> Any:
    return x if is_of_keys(x) else asarray(x)


def mapped(name: str, func: Callable[..., Any], args: Sequence[Any]) -> Any:
    """The function of numbers for all elements of operands that broadcast together."""
    return _mapped(name, func, [_operand(name, x) for x in args], None)


def _operand(name: str, x: Any) -> Any:
    return x if is_of_keys(x) else lift(name, x)
