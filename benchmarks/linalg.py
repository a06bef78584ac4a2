"""Cases of linear algebra: factors of one large matrix, and of stacks of small ones."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.cases import ALL, GRADIENTS, case
from benchmarks.frameworks import Framework

LARGE = ((256, 256), (1024, 1024))
SMALL = ((10_000, 3, 3), (1_000, 8, 8))
OF_LARGE = ("svd", "qr", "cholesky", "lu", "eigh", "solve")
OF_SMALL = ("solve", "cholesky", "inv", "eigh", "det")
# Signs, or the order of pivots, are not the same in all libraries.
NOT_COMPARED = ("svd", "qr", "eigh", "lu")


def definite(f: Framework, shape: tuple[int, ...]) -> Any:
    """Return positive definite matrices, which all of these functions take."""
    x = np.random.default_rng(0).standard_normal(shape, dtype=np.float32)
    eye = shape[-1] * np.eye(shape[-1], dtype=np.float32)
    return f.array(x @ np.swapaxes(x, -1, -2) + eye)


def function(f: Framework, name: str) -> Callable[..., Any]:
    """Return a framework's function of that name."""
    package = importlib.import_module(f.name)
    if name == "lu":
        inside = package if f.name == "torch" else package.scipy
        return inside.linalg.lu_factor
    return getattr(f.np.linalg if f.name in ("covector", "jax") else package.linalg, name)


def add(name: str, shape: tuple[int, ...], limit: float) -> None:
    """Add the case of one function on matrices of one shape."""

    def build(f: Framework) -> Any:
        run, a = f.jit(function(f, name)), definite(f, shape)
        if name != "solve":
            return lambda: run(a)
        b = f.random(*shape[:-1], 1, seed=1)
        return lambda: run(a, b)

    build.__name__ = f"{name}_{shape[-1]}"
    build.__doc__ = f"`{name}` of {'x'.join(map(str, shape))} float32."
    frameworks = GRADIENTS if name == "lu" else ALL
    limits = {peer: limit for peer in frameworks if peer != "covector"}
    case("linalg", frameworks, compared=name not in NOT_COMPARED, **limits)(build)


for shape in LARGE:
    for name in OF_LARGE:
        add(name, shape, 1.05)
for shape in SMALL:
    for name in OF_SMALL:
        add(name, shape, 0.5)
