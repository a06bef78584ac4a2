"""Runs calls with one library, and writes what each gives: types, weak types and values, or the exception.

python -m tools.agreement.outcomes LIBRARY STATE < calls > outcomes

A line of the output is JSON: the call, and its outcome.  Only this file runs by both interpreters.
"""

from __future__ import annotations

import importlib
import json
import os
import re
import signal
import sys
import threading
import warnings
from typing import Any

import ml_dtypes
import numpy as np

SECONDS = 20  # that one call may take
_WEAK = {"weak float": "float64", "weak int": "int64", "weak complex": "complex128"}


class Values:
    """Arrays of a library by dtype and shape: the same numbers for each of the two."""

    def __init__(self, library: Any):
        self.library = library

    def _made(self, values: Any, dtype: str, shape: tuple[int, ...]) -> Any:
        if dtype.startswith("weak "):
            return self._weak(self._plain(values, _WEAK[dtype], shape))
        return self.library.numpy.asarray(self._plain(values, dtype, shape))

    def _plain(self, values: Any, dtype: str, shape: tuple[int, ...]) -> np.ndarray:
        wanted = np.dtype(ml_dtypes.bfloat16) if dtype == "bfloat16" else np.dtype(dtype)
        real = np.resize(np.asarray(values), shape)
        if wanted.kind == "c":
            real = real + 0.5j * np.resize(np.asarray(values)[::-1], shape)
        if wanted.kind in "ub":
            real = np.abs(real)
        return real.astype(wanted)

    def _weak(self, values: np.ndarray) -> Any:
        """Weakly typed, of numbers that were made arrays one by one."""
        module = self.library.numpy
        if values.size == 0:
            return module.broadcast_to(module.asarray(values.dtype.type(0).item()), values.shape)
        made = module.stack([module.asarray(v) for v in values.ravel().tolist()])
        return made.reshape(values.shape)

    def a(self, dtype: str = "float32", *shape: int) -> Any:
        """An array."""
        return self._made([0.75, -2.5, 3.0, 1.25, -0.5, 2.0, 1.0], dtype, shape)

    def b(self, dtype: str = "float32", *shape: int) -> Any:
        """Another one, without zeros."""
        return self._made([2.25, 1.0, -1.5, 3.25, 1.75], dtype, shape)

    def positive(self, dtype: str = "float32", *shape: int) -> Any:
        """Of positive numbers."""
        return self._made([1.25, 2.0, 3.5, 1.0], dtype, shape)

    def unit(self, dtype: str = "float32", *shape: int) -> Any:
        """Of numbers between 0 and 1."""
        return self._made([0.25, 0.5, 0.875], dtype, shape)

    def ordered(self, dtype: str = "float32", *shape: int) -> Any:
        """Of growing numbers."""
        return self._made(np.arange(int(np.prod(shape))) * 1.25, dtype, shape)

    def odd(self, dtype: str = "float32", *shape: int) -> Any:
        """Of infinities, NaN and zeros with both signs; of integers the extremes."""
        if np.dtype(_WEAK.get(dtype, dtype)).kind not in "iu":
            return self._made([np.inf, -0.0, np.nan, 0.0, -np.inf, 1.0, -1.0], dtype, shape)
        bounds = np.iinfo(np.dtype(_WEAK.get(dtype, dtype)))
        values = [bounds.max, 0, bounds.min, 1, bounds.max - 1, 2, bounds.max // 2]
        return self.library.numpy.asarray(np.resize(np.array(values, dtype), shape))

    def spd(self, dtype: str, n: int) -> Any:
        """A symmetric positive matrix."""
        values = np.eye(n) * n + np.ones((n, n))
        if dtype.startswith("weak "):
            return self._weak(values.astype(_WEAK[dtype]))
        return self.library.numpy.asarray(values.astype(dtype))

    def whole(self, dtype: str = "float32", *shape: int) -> Any:
        """Of small whole numbers."""
        return self._made([2, 0, 1, 3], dtype, shape)

    def places(self, bound: int, *shape: int) -> Any:
        """Of indices below a bound."""
        return self.library.numpy.asarray(
            np.resize(np.array([1, 0, 2, 1, 3]) % bound, shape).astype("int32")
        )

    def mask(self, *shape: int) -> Any:
        """Of truth values."""
        return self.library.numpy.asarray(
            np.resize(np.array([True, False, True, True, False]), shape)
        )

    def weak(self, value: Any, *shape: int) -> Any:
        """Weakly typed, as a number that was made an array, and repeated."""
        return self.library.numpy.broadcast_to(self.library.numpy.asarray(value), shape)

    def names(self) -> dict[str, Any]:
        """What a call may name."""
        own = (
            "a",
            "b",
            "positive",
            "unit",
            "ordered",
            "odd",
            "whole",
            "spd",
            "places",
            "mask",
            "weak",
        )
        modules = _ROOTS[1:]
        functions = (
            "jit",
            "grad",
            "vmap",
            "jacfwd",
            "jacrev",
            "hessian",
            "linearize",
            "checkpoint",
            "value_and_grad",
            "jvp",
            "vjp",
            "eval_shape",
            "device_put",
        )
        found = {n: getattr(self, n) for n in own}
        found |= {n: getattr(self.library, n) for n in (*modules, *functions)}
        return {**found, "numpy": np, "key": getattr(self.library.random, "key", None)}


class NumPy:
    """NumPy in the place of a library: for what its own functions give of its own arrays."""

    numpy = np
    Array = (np.ndarray, np.generic)

    class tree:
        """Its results are arrays, and lists and tuples of these."""

        @staticmethod
        def flatten(x: Any) -> tuple[list[Any], str]:
            """The leaves, and nothing of the structure, in which NumPy differs."""
            if type(x) not in (list, tuple):
                return [x], ""
            return [leaf for part in x for leaf in NumPy.tree.flatten(part)[0]], ""

    lax = nn = random = scipy = tree_util = flatten_util = image = ops = jit = grad = vmap = None
    jacfwd = jacrev = hessian = linearize = checkpoint = value_and_grad = None
    jvp = vjp = eval_shape = device_put = None


_ROOTS = (
    *("numpy", "lax", "nn", "random", "scipy"),
    *("image", "ops", "tree", "tree_util", "flatten_util"),
)
_FUNCTION = (
    rf"({'|'.join(_ROOTS)})\.[\w.]+[(\[]"  # at the start of a call: one of the library's own
)
_MODULES = (
    "numpy.linalg",
    "numpy.fft",
    "lax.linalg",
    "nn.initializers",
    "tree_util",
    "flatten_util",
    "image",
    "ops",
    *[f"scipy.{m}" for m in (
        "special", "linalg", "cluster.vq", "fft", "integrate", "interpolate", "ndimage", "optimize", "signal",
        "sparse.linalg", "spatial.transform", "stats",
    )],
)  # fmt: skip


def loaded(name: str, state: str) -> Any:
    """A library with all its modules, in a state of `enable_x64`."""
    library = importlib.import_module(name)
    for module in _MODULES:
        importlib.import_module(f"{name}.{module}")
    library.config.update("jax_enable_x64", state == "on")
    return library


def _stop(*_: Any) -> None:
    raise TimeoutError("this call takes too long")


def leaf(library: Any, x: Any) -> Any:
    """What is compared of a leaf: [dtype, weak, shape, values] of an array, else a text."""
    if isinstance(x, library.Array) and str(x.dtype).startswith("key"):
        return [str(x.dtype), False, list(x.shape), np.asarray(library.random.key_data(x)).tolist()]
    if isinstance(x, library.Array):
        weak = bool(getattr(x, "weak_type", False))
        return [str(x.dtype), weak, list(x.shape), _listed(np.asarray(x))]
    if isinstance(x, np.ndarray | np.generic) and x.dtype.kind in "biufcV":
        return [f"NumPy's {x.dtype}", False, list(x.shape), _listed(np.asarray(x))]
    return f"{type(x).__name__} {x!r}"[:200].replace("covector", "jax")


def _listed(values: np.ndarray) -> Any:
    """The numbers of an array; of complex ones the real parts, then the imaginary ones."""
    if values.dtype.kind == "V":  # of ml_dtypes
        values = values.astype(np.float32)
    return (
        np.stack([values.real, values.imag]).tolist()
        if values.dtype.kind == "c"
        else values.tolist()
    )


def outcome(library: Any, names: dict[str, Any], call: str) -> Any:
    """What a call gives: a list of the structure and the leaves, or the exception's classes."""
    try:
        text = f"library.{call}" if re.match(_FUNCTION, call) else call
        found = eval(text, {**names, "library": library})
        leaves, structure = library.tree.flatten(found)
        return [str(structure).replace("PyTreeDef", ""), [leaf(library, x) for x in leaves]]
    except Exception as error:
        return {
            "raises": [c.__name__ for c in type(error).__mro__[:-2]],
            "message": str(error)[:300],
        }


def main(name: str, state: str) -> None:
    """Run the calls of the standard input."""
    warnings.simplefilter("ignore")
    library = NumPy if name == "numpy" else loaded(name, state)
    names = Values(library).names()
    signal.signal(signal.SIGALRM, _stop)
    for line in sys.stdin:
        call = line.strip()
        # What does not come back to Python ends the process; the call then counts as a crash.
        watch = threading.Timer(2 * SECONDS, os._exit, (1,))
        watch.start()
        signal.alarm(SECONDS)
        found = outcome(library, names, call)
        signal.alarm(0)
        watch.cancel()
        print(json.dumps([call, found]), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:3])
