"""A pytree of arrays as one long vector: names and meanings are those of `jax.flatten_util`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from covector import numpy as cnp
from covector._engine.base import errors, tree
from covector._engine.base.public import publish
from covector._engine.core.trace import typeof

__all__ = ["ravel_pytree"]


def ravel_pytree(pytree: Any) -> tuple[Any, Callable[[Any], Any]]:
    """All elements of the arrays in a pytree as one vector, and the function that makes the pytree of such a vector.

    The vector has the dtype that the leaves' dtypes promote to.  Where that is the dtype of all leaves the function
    takes vectors of any dtype, and leaves that; else it gives each leaf its own dtype again.  It raises ValueError for
    an array of another shape, TypeError for one of another dtype.

    >>> from covector.flatten_util import ravel_pytree
    >>> vector, unravel = ravel_pytree({"w": [[1.0, 2.0]], "b": 3.0})
    >>> print(vector)
    [3. 1. 2.]
    >>> print(unravel(2 * vector)["b"])
    6.0
    """
    leaves, treedef = tree.flatten(pytree)
    arrays = [cnp.asarray(x) for x in leaves]
    if not arrays:
        return cnp.zeros(0), lambda vector: tree.unflatten(treedef, _pieces(vector, [], 0))
    shapes, dtypes = [x.shape for x in arrays], [x.dtype for x in arrays]
    dtype = cnp.result_type(*dtypes)
    ends = np.cumsum([x.size for x in arrays]).tolist()
    one = all(d == dtype for d in dtypes)

    def unravel(vector: Any) -> Any:
        given = typeof(vector).dtype
        if not one and given != dtype:
            raise TypeError(
                f"unravel: the vector must have the dtype {dtype.name}, got {given.name}{errors.at_user_line()}"
            )
        parts = [
            part.reshape(shape)
            for part, shape in zip(_pieces(vector, ends[:-1], ends[-1]), shapes, strict=True)
        ]
        if not one:
            parts = [_as(part, d) for part, d in zip(parts, dtypes, strict=True)]
        return tree.unflatten(treedef, parts)

    return cnp.concatenate([_as(x.reshape(-1), dtype) for x in arrays]), unravel


def _pieces(vector: Any, cuts: list[int], size: int) -> list[Any]:
    """The parts of a vector between these places; ValueError if it has another size."""
    shape = typeof(vector).shape
    if shape != (size,):
        raise ValueError(
            f"unravel: the vector must have the shape {(size,)}, got {shape}{errors.at_user_line()}"
        )
    x = cnp.asarray(vector)
    return [x[a:b] for a, b in zip([0, *cuts], [*cuts, size], strict=True)] if size or cuts else []


def _as(x: Any, dtype: np.dtype) -> Any:
    """In this dtype; of a complex number that becomes a real one, the real part."""
    if cnp.iscomplexobj(x) and not np.issubdtype(dtype, np.complexfloating):
        x = cnp.real(x)
    return x.astype(dtype)


publish(__name__)
