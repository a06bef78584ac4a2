"""Classes of libraries whose objects become arrays, by a table that the libraries write into."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from covector._engine.base import errors

__all__ = ["ArrayClasses"]


class ArrayClasses(dict[type, Callable[[Any], Any]]):
    """A table of classes: an object of one that is written into it is the array that NumPy makes of it.

    The class gets the method that says so, `__covector_array__`, unless it has one of that kind.
    """

    def __setitem__(self, cls: type, rule: Callable[[Any], Any]) -> None:
        super().__setitem__(cls, rule)
        if not any(hasattr(cls, name) for name in errors.ARRAY_PROTOCOL):
            setattr(cls, errors.ARRAY_PROTOCOL[0], _of_numpy)


def _of_numpy(x: Any) -> np.ndarray:
    return np.asarray(x)
