"""How arrays are shown: NumPy's settings, which our arrays follow."""

from __future__ import annotations

from typing import Any

import numpy as np

from covector._engine.base import errors
from covector.numpy.promotion import integer_of, lift

__all__ = ["array_repr", "array_str", "get_printoptions", "printoptions", "set_printoptions"]


def get_printoptions() -> dict[str, Any]:
    """How arrays are shown: the settings that `set_printoptions` changes.

    >>> from covector import numpy as cnp
    >>> cnp.get_printoptions()['precision']
    8
    """
    return dict(np.get_printoptions())


def set_printoptions(*args: Any, **kwargs: Any) -> None:
    """Changes how arrays are shown, ours and NumPy's: precision, threshold, edgeitems, linewidth, suppress, ...

    Arguments and errors are those of `numpy.set_printoptions`.

    >>> from covector import numpy as cnp
    >>> cnp.set_printoptions(precision=8)
    """
    np.set_printoptions(*args, **kwargs)


def printoptions(*args: Any, **kwargs: Any) -> Any:
    """A context in which arrays are shown as `set_printoptions` would have it.

    >>> from covector import numpy as cnp
    >>> with cnp.printoptions(precision=2):
    ...     print(cnp.array([0.12345]))
    [0.12]
    """
    return np.printoptions(*args, **kwargs)


def _options(
    name: str, max_line_width: int | None, precision: int | None, suppress_small: object
) -> dict[str, Any]:
    for option, number in (("max_line_width", max_line_width), ("precision", precision)):
        if number is not None:
            integer_of(number, f"{name}: {option}")
    if not isinstance(suppress_small, bool | np.bool_ | None):
        raise TypeError(
            f"{name}: suppress_small is {suppress_small!r}{errors.at_user_line()}; it is True or False"
        )
    given = {"linewidth": max_line_width, "precision": precision, "suppress": suppress_small}
    return {name: value for name, value in given.items() if value is not None}


def array_repr(
    arr: Any,
    max_line_width: int | None = None,
    precision: int | None = None,
    suppress_small: bool | None = None,
) -> str:
    """The array as text with its dtype, as `repr` gives it: in lines so wide, with so many digits.

    `suppress_small` shows numbers close to 0 as 0.

    >>> from covector import numpy as cnp
    >>> print(cnp.array_repr(cnp.array([1.0, 2.12345]), precision=2))
    Array([1.  , 2.12], dtype=float32)
    """
    with np.printoptions(**_options("array_repr", max_line_width, precision, suppress_small)):
        return repr(lift("array_repr", arr))


def array_str(
    a: Any,
    max_line_width: int | None = None,
    precision: int | None = None,
    suppress_small: bool | None = None,
) -> str:
    """The array's elements as text, as `str` gives them; the rest is that of `array_repr`.

    >>> from covector import numpy as cnp
    >>> print(cnp.array_str(cnp.array([1.0, 2.12345]), precision=2))
    [1.   2.12]
    """
    with np.printoptions(**_options("array_str", max_line_width, precision, suppress_small)):
        return str(lift("array_str", a))
