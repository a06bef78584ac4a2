"""The Python Array API standard's questions to a namespace: what it can do, its dtypes and devices."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from covector._engine.base import errors
from covector._engine.base.public import bounded
from covector._engine.runtime.device import default_device, devices
from covector._engine.types import dtypes
from covector.numpy.creation import asarray

__all__ = ["NamespaceInfo", "namespace_of"]

# Versions of which everything that is asked for is there, as each contains the ones before.
_VERSIONS = ("2021.12", "2022.12", "2023.12", "2024.12", "2025.12")

_KINDS = {
    "bool": "b",
    "signed integer": "i",
    "unsigned integer": "u",
    "integral": "iu",
    "real floating": "f",
    "complex floating": "c",
    "numeric": "iufc",
}
_NAMED = frozenset(
    ["bool", "float32", "float64", "complex64", "complex128"]
    + [f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)]
)  # the standard has no narrower floats


@bounded
class NamespaceInfo:
    """What `covector.numpy.__array_namespace_info__()` gives: the standard's questions, as methods.

    >>> from covector import numpy as cnp
    >>> cnp.__array_namespace_info__().default_dtypes()["real floating"]
    dtype('float32')
    """

    def capabilities(self) -> dict[str, bool | int]:
        """What programs may rely on.  Masks and results of any length work outside of `jit` only.

        >>> from covector import numpy as cnp
        >>> cnp.__array_namespace_info__().capabilities()["max dimensions"]
        64
        """
        return {"boolean indexing": True, "data-dependent shapes": True, "max dimensions": 64}

    def default_device(self) -> Any:
        """The device of arrays that name none.

        >>> from covector import numpy as cnp
        >>> cnp.__array_namespace_info__().default_device()
        CpuDevice(id=0)
        """
        return default_device()

    def devices(self) -> list[Any]:
        """The devices that arrays can be on.

        >>> from covector import numpy as cnp
        >>> cnp.__array_namespace_info__().devices()
        [CpuDevice(id=0)]
        """
        return list(devices())

    def default_dtypes(self, *, device: Any = None) -> dict[str, np.dtype]:
        """The dtypes of what is made of Python's numbers, and of indices.  ValueError for an unknown device.

        >>> from covector import numpy as cnp
        >>> cnp.__array_namespace_info__().default_dtypes()["integral"]
        dtype('int32')
        """
        _check_device("default_dtypes", device)
        return {
            "real floating": asarray(0.0).dtype,
            "complex floating": asarray(0j).dtype,
            "integral": asarray(0).dtype,
            "indexing": dtypes.index_dtype(0),
        }

    def dtypes(
        self, *, device: Any = None, kind: str | tuple[str, ...] | None = None
    ) -> dict[str, np.dtype]:
        """The standard's dtypes of a kind by name, or of several kinds; of all by default.

        ValueError for a kind that the standard does not know, or for an unknown device.

        >>> from covector import numpy as cnp
        >>> sorted(cnp.__array_namespace_info__().dtypes(kind="real floating"))
        ['float32', 'float64']
        """
        _check_device("dtypes", device)
        kinds = tuple(_KINDS) if kind is None else kind if isinstance(kind, tuple) else (kind,)
        for k in kinds:
            if k not in _KINDS:
                raise ValueError(
                    f"dtypes: {k!r} is not a kind of dtype{errors.at_user_line()}; "
                    f"the kinds are {', '.join(_KINDS)}"
                )
        letters = "".join([_KINDS[k] for k in kinds])
        return {d.name: d for d in dtypes.ALL if d.name in _NAMED and dtypes.kind(d) in letters}


def _check_device(name: str, device: Any) -> None:
    if device is not None and device not in devices():
        raise ValueError(f"{name}: there is no device {device!r}{errors.at_user_line()}")


def namespace_of(api_version: str | None) -> Any:
    """The module of the standard's functions; ValueError for a version of the standard that it does not follow."""
    if api_version is not None and api_version not in _VERSIONS:
        raise ValueError(
            f"__array_namespace__: api_version {api_version!r} is not there{errors.at_user_line()}; "
            f"there are {', '.join(_VERSIONS)}"
        )
    return sys.modules["covector.numpy"]
