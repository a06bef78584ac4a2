"""Flags that are neither true nor false, where JAX refuses them."""

from typing import Any

import numpy as np
import pytest

import covector as cv
import covector.numpy as cnp
from covector import lax, ops

X, IDS = cnp.array([3.0, 1.0, 2.0]), cnp.array([0, 1, 1])

CALLS: dict[str, Any] = {
    "jit: keep_unused": lambda v: cv.jit(cnp.sin, keep_unused=v),
    "checkpoint: prevent_cse": lambda v: cv.checkpoint(cnp.sin, prevent_cse=v),
    "sort: stable": lambda v: cnp.sort(X, stable=v),
    "argsort: stable": lambda v: cnp.argsort(X, stable=v),
    "sort: is_stable": lambda v: lax.sort(X, is_stable=v),
    "top_k: is_stable": lambda v: lax.top_k(X, 1, is_stable=v),
    "an update: unique_indices": lambda v: X.at[IDS].set(1.0, unique_indices=v),
    "an update: indices_are_sorted": lambda v: X.at[IDS].add(1.0, indices_are_sorted=v),
    "segment_sum: unique_indices": lambda v: ops.segment_sum(X, IDS, 2, unique_indices=v),
    "segment_sum: indices_are_sorted": lambda v: ops.segment_sum(X, IDS, 2, indices_are_sorted=v),
}


@pytest.mark.parametrize("name", CALLS)
def test_a_flag_is_true_or_false(name: str) -> None:
    for value in ("no", "", 1, 2.5, X, None):
        with pytest.raises(TypeError, match=f"{name} must be True or False, got"):
            CALLS[name](value)
    for value in (True, False, np.True_):
        CALLS[name](value)
