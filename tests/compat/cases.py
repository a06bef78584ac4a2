"""What the programs are made of: cases, each a function that gives a computation and its arguments."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

# A Gaussian in three dimensions, for samplers: its means and covariances.
MEANS = np.array([1.0, -1.0, 0.5], "float32")
COVARIANCE = np.array([[1.0, 0.6, 0.2], [0.6, 2.0, -0.4], [0.2, -0.4, 0.5]], "float32")


@dataclass(frozen=True)
class Case:
    """A computation by name; its results agree if they are this close, or equal where they are no floats."""

    name: str
    make: Callable[[], tuple[Callable[..., Any], tuple[Any, ...]]]
    rtol: float
    atol: float
    repeats: int


CASES: list[Case] = []


def case(rtol: float = 1e-5, atol: float = 1e-6, repeats: int = 5) -> Callable[..., Any]:
    """A decorator for what makes a case.  The computation is timed when first called, and `repeats` times after."""

    def note(make: Callable[[], Any]) -> Callable[[], Any]:
        CASES.append(Case(make.__name__, make, rtol, atol, repeats))
        return make

    return note


def as_the_gaussian(xs: Any, effective_sample_size: Callable[[Any], Any]) -> dict[str, Any]:
    """Whether a chain's means and variances are those of the Gaussian, within four Monte Carlo errors.

    `effective_sample_size` is that of one chain, (1, n, 3).  The errors themselves must be small.
    """
    xs = np.asarray(xs, "float64")

    def found(values: Any, wanted: Any) -> dict[str, Any]:
        error = values.std(0) / np.sqrt(np.asarray(effective_sample_size(values[None])))
        return {
            "near": np.abs(values.mean(0) - wanted) < 4 * error,
            "sure": error < 0.3 * np.sqrt(np.diag(COVARIANCE)),
        }

    return {
        "means": found(xs, MEANS),
        "variances": found((xs - MEANS) ** 2, np.diag(COVARIANCE)),
        "steps": xs.shape,
    }
