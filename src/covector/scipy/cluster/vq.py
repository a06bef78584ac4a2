"""The nearest of a few vectors: names and meanings are those of `jax.scipy.cluster.vq`."""

from __future__ import annotations

from typing import Any

from covector._engine.base import errors
from covector._engine.base.public import publish
from covector.numpy import elementwise as el, reduce
from covector.numpy.operands import together
from covector.numpy.shape import expand_dims

__all__ = ["vq"]


def vq(obs: Any, code_book: Any, check_finite: bool = True) -> tuple[Any, Any]:
    """For each observation (m, n) the index of the nearest vector of the code book (k, n), and how far that is.

    Observations (m,) are of one number each.  ValueError for other shapes.  Nothing is checked for NaNs.

    >>> import covector.numpy as np
    >>> from covector.scipy.cluster.vq import vq
    >>> vq(np.array([[1.0], [4.0]]), np.array([[0.0], [3.0]]))
    (Array([0, 1], dtype=int32), Array([1., 1.], dtype=float32))
    """
    obs, code_book = together("vq", "inexact", obs, code_book)
    if obs.ndim != code_book.ndim or obs.ndim not in (1, 2) or obs.shape[1:] != code_book.shape[1:]:
        raise ValueError(
            f"vq takes observations (m, n) and a code book (k, n), got {obs.shape} and {code_book.shape}"
            f"{errors.at_user_line()}"
        )
    if obs.ndim == 1:
        obs, code_book = expand_dims(obs, -1), expand_dims(code_book, -1)
    off = el.abs(el.subtract(expand_dims(obs, 1), code_book))
    far = el.sqrt(reduce.sum(el.square(off), axis=-1))
    return reduce.argmin(far, axis=-1), reduce.min(far, axis=-1)


publish(__name__)
