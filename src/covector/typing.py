"""What arguments may be, for annotations: names and meanings are those of `jax.typing`.

`isinstance` takes `ArrayLike`; `DTypeLike` is for type checkers only.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from covector._engine._native import Array
from covector._engine.base.public import publish

__all__ = ["ArrayLike", "DTypeLike"]


class _HasDType(Protocol):
    """What has a dtype, such as the scalar types of `covector.numpy`."""

    @property
    def dtype(self) -> np.dtype: ...


ArrayLike = Array | np.ndarray | np.bool_ | np.number | bool | int | float | complex
DTypeLike = str | type[Any] | np.dtype | _HasDType

publish(__name__)
