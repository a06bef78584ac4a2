"""Sharing memory with other libraries through DLPack: names and meanings are those of `jax.dlpack`."""

from __future__ import annotations

from typing import Any

from covector._engine.base.public import publish
from covector._engine.types import dtypes
from covector.numpy import creation

__all__ = ["from_dlpack", "is_supported_dtype"]


def from_dlpack(external_array: Any, device: Any = None, copy: bool | None = None) -> Any:
    """An array over the memory of another library's array, which both then share; or a copy, with `copy=True`.

    TypeError for what has no `__dlpack__`.

    >>> import covector.dlpack
    >>> import numpy as np
    >>> covector.dlpack.from_dlpack(np.arange(3, dtype=np.int32))
    Array([0, 1, 2], dtype=int32)
    """
    return creation.from_dlpack(external_array, device=device, copy=copy)


def is_supported_dtype(dtype: Any) -> bool:
    """Whether arrays of a dtype can be shared.

    >>> import covector.dlpack
    >>> covector.dlpack.is_supported_dtype('float32'), covector.dlpack.is_supported_dtype('U')
    (True, False)
    """
    try:
        found = dtypes.named_dtype(dtype)
    except TypeError:
        return False
    return dtypes.kind(found) in "biufc"


publish(__name__)
