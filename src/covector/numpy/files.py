"""Arrays from files and text, and into files: NumPy's formats."""

from __future__ import annotations

from typing import Any

import numpy as np

from covector._engine.types import dtypes
from covector.numpy.creation import asarray
from covector.numpy.promotion import from_numpy, plain

__all__ = ["fromfile", "fromiter", "fromstring", "load", "save", "savez"]


def save(file: Any, arr: Any, allow_pickle: bool = True) -> None:
    """Writes an array to a file, in NumPy's format .npy.

    >>> import io
    >>> from covector import numpy as cnp
    >>> file = io.BytesIO()
    >>> cnp.save(file, cnp.array([1, 2]))
    >>> _ = file.seek(0)
    >>> cnp.load(file)
    Array([1, 2], dtype=int32)
    """
    np.save(file, plain("save", asarray(arr)), allow_pickle=allow_pickle)


def savez(file: Any, *args: Any, allow_pickle: bool = True, **kwds: Any) -> None:
    """Writes several arrays to a file, in NumPy's format .npz: by their names, or as arr_0, arr_1, ...

    >>> import io
    >>> from covector import numpy as cnp
    >>> file = io.BytesIO()
    >>> cnp.savez(file, x=cnp.array([1, 2]))
    >>> _ = file.seek(0)
    >>> cnp.load(file)['x']
    array([1, 2], dtype=int32)
    """
    arrays = [plain("savez", asarray(x)) for x in args]
    named = {name: plain("savez", asarray(x)) for name, x in kwds.items()}
    np.savez(file, *arrays, allow_pickle=allow_pickle, **named)  # type: ignore[arg-type]


def load(file: Any, *args: Any, **kwargs: Any) -> Any:
    """The array in a file in NumPy's format .npy; of one in .npz, NumPy's mapping of names to its arrays.

    Further arguments are those of `numpy.load`.  bfloat16, which the format writes as 2 bytes, is read as such.

    >>> import io
    >>> from covector import numpy as cnp
    >>> file = io.BytesIO()
    >>> cnp.save(file, cnp.array([1, 2]))
    >>> _ = file.seek(0)
    >>> cnp.load(file)
    Array([1, 2], dtype=int32)
    """
    found = np.load(file, *args, **kwargs)
    if not isinstance(found, np.ndarray):
        return found
    if found.dtype.kind == "V" and found.dtype.itemsize == 2:
        found = found.view(asarray(0, "bfloat16").dtype)
    return from_numpy("load", found)


def fromfile(file: Any, *args: Any, **kwargs: Any) -> Any:
    """The numbers in a file, bytes or text, as a vector: what `numpy.fromfile` reads, whose arguments these are.

    float64 is what it reads unless a dtype is given.

    >>> import tempfile
    >>> import numpy as np
    >>> from covector import numpy as cnp
    >>> with tempfile.TemporaryFile() as file:
    ...     np.array([1, 2], np.int32).tofile(file)
    ...     _ = file.seek(0)
    ...     cnp.fromfile(file, dtype=np.int32)
    Array([1, 2], dtype=int32)
    """
    return from_numpy("fromfile", np.fromfile(file, *args, **kwargs))


def fromiter(iter: Any, dtype: Any = float, count: int = -1) -> Any:
    """The numbers that an iterable gives, as a vector of a dtype; `count` of them, or all.

    >>> from covector import numpy as cnp
    >>> cnp.fromiter(range(3), int)
    Array([0, 1, 2], dtype=int32)
    """
    wanted = dtypes.or_default(dtype)
    return from_numpy("fromiter", np.fromiter(iter, wanted, count))


def fromstring(string: str, dtype: Any = float, count: int = -1, *, sep: str) -> Any:
    """The numbers in a text, between separators, as a vector of a dtype; `count` of them, or all.

    >>> from covector import numpy as cnp
    >>> cnp.fromstring("1 2 3", sep=" ")
    Array([1., 2., 3.], dtype=float32)
    """
    return from_numpy("fromstring", np.fromstring(string, dtypes.or_default(dtype), count, sep=sep))
