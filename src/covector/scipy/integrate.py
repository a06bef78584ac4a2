"""Integrals of samples: names and meanings are those of `jax.scipy.integrate`."""

from __future__ import annotations

from covector._engine.base.public import publish
from covector.numpy.ordering import trapezoid

__all__ = ["trapezoid"]

publish(__name__)
