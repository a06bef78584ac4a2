"""NumPy's ufuncs on our arrays: NumPy asks the operands first, and we answer with the function of the same name.

So `numpy.sin(x)` is `covector.numpy.sin(x)`, traced values included, and `a + x` with a NumPy array on the left is
`x.__radd__(a)`, which NumPy cannot tell from `numpy.add(a, x)`.  What only NumPy has (`out`, `where`, `reduce`, other
libraries' ufuncs) runs in NumPy on the values, and gives NumPy's arrays.  Python asks for `round` likewise.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from covector._engine.base import errors
from covector._engine.core.trace import Tracer
from covector.numpy import elementwise
from covector.numpy.creation import astype
from covector.numpy.promotion import Array, is_operand

_functions: dict[np.ufunc, Any] = {}


def offer(
    functions: Mapping[str, Any], later: Mapping[str, Any], load: Callable[[str], Any]
) -> None:
    """Make the functions of these names the answers to NumPy's ufuncs of the same names; some are loaded then."""
    for ufunc in {f for f in vars(np).values() if isinstance(f, np.ufunc)}:
        name = ufunc.__name__
        if name in functions:
            _functions[ufunc] = functions[name]
        elif name in later:
            _functions[ufunc] = _when_called(name, load)


def _when_called(name: str, load: Callable[[str], Any]) -> Callable[..., Any]:
    return lambda *args: load(name)(*args)


def array_ufunc(self: Any, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
    """What NumPy calls when an operand of one of its ufuncs is ours."""
    if not all(is_operand(x) or isinstance(x, list | tuple) for x in inputs):
        return NotImplemented  # another library's arrays, which may know us
    function = _functions.get(ufunc)
    if function is not None and method == "__call__" and not kwargs:
        return function(*[np.asarray(x) if isinstance(x, list | tuple) else x for x in inputs])
    for x in inputs:
        if isinstance(x, Tracer):
            name = ufunc.__name__ if method == "__call__" else f"{ufunc.__name__}.{method}"
            raise errors.TracerArrayConversionError(
                errors.numpy_function(x.describe(), name, kwargs)
            )
    if any(type(x) is Array or isinstance(x, Tracer) for x in kwargs.get("out", ())):
        raise TypeError(
            f"arrays are immutable{errors.at_user_line()}: they cannot be `out` of numpy.{ufunc.__name__}"
        )
    return getattr(ufunc, method)(*map(_value, inputs), **{k: _value(v) for k, v in kwargs.items()})


def _value(x: Any) -> Any:
    """An array of ours as NumPy's; anything else as it is."""
    return np.asarray(x) if type(x) is Array or isinstance(x, Tracer) else x


def rounded(x: Any, ndigits: int | None = None) -> Any:
    """What Python's `round` gives: without a number of digits, integers."""
    found = elementwise.round(x, ndigits or 0)
    return astype(found, int) if ndigits is None else found
