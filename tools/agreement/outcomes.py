"""Runs calls with one library, and writes what each gives: types, weak types and values, or the exception.

python -m tools.agreement.outcomes LIBRARY STATE < calls > outcomes

A line of the output is JSON: the call, and its outcome.  Only this file runs by both interpreters.
"""

from __future__ import annotations

import importlib
import json
import signal
import sys
import warnings
from typing import Any

import ml_dtypes
import numpy as np

SECONDS = 30  # that one call may take


class Values:
    """Arrays of a library by dtype and shape: the same numbers for each of the two."""

    def __init__(self, library: Any):
        self.library = library

    def _made(self, values: Any, dtype: str, shape: tuple[int, ...]) -> Any:
        wanted = np.dtype(ml_dtypes.bfloat16) if dtype == "bfloat16" else np.dtype(dtype)
        real = np.resize(np.asarray(values), shape)
        if wanted.kind == "c":
            real = real + 0.5j * np.resize(np.asarray(values)[::-1], shape)
        if wanted.kind in "ub":
            real = np.abs(real)
        return self.library.numpy.asarray(real.astype(wanted))

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

    def spd(self, dtype: str, n: int) -> Any:
        """A symmetric positive matrix."""
        return self._made(np.eye(n) * n + np.ones((n, n)), dtype, (n, n)).real.astype(dtype)

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
        own = ("a", "b", "positive", "unit", "ordered", "whole", "spd", "places", "mask", "weak")
        modules = ("lax", "nn", "random", "scipy", "image", "tree", "tree_util")
        functions = (
            "jit",
            "grad",
            "vmap",
            "jacfwd",
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

    lax = nn = random = scipy = image = ops = tree_util = flatten_util = jit = grad = vmap = (
        jacfwd
    ) = value_and_grad = None
    jvp = vjp = eval_shape = device_put = None


_MODULES = (
    "numpy.linalg",
    "numpy.fft",
    "lax.linalg",
    "scipy.special",
    "scipy.linalg",
    "nn.initializers",
    "image",
    "ops",
    "flatten_util",
    "tree_util",
    *[f"scipy.{m}" for m in (
        "cluster.vq", "fft", "integrate", "interpolate", "ndimage", "optimize", "signal", "sparse.linalg",
        "spatial.transform", "stats",
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
    if isinstance(x, library.Array) and not str(x.dtype).startswith("key"):
        values = np.asarray(x)
        weak = bool(getattr(x, "weak_type", False))
        if values.dtype == ml_dtypes.bfloat16:
            values = values.astype(np.float32)
        listed = (
            np.stack([values.real, values.imag]).tolist()
            if values.dtype.kind == "c"
            else values.tolist()
        )
        return [str(x.dtype), weak, list(x.shape), listed]
    if isinstance(x, library.Array):
        return [str(x.dtype), False, list(x.shape), np.asarray(library.random.key_data(x)).tolist()]
    if isinstance(x, np.ndarray | np.generic):
        return [f"NumPy's {x.dtype}", False, list(x.shape), np.asarray(x).astype(float).tolist()]
    return f"{type(x).__name__} {x!r}"[:200].replace("covector", "jax")


def outcome(library: Any, names: dict[str, Any], call: str) -> Any:
    """What a call gives: a list of the structure and the leaves, or the exception's classes."""
    try:
        text = f"library.{call}" if call.split("(")[0].split(".")[0] in _ROOTS else call
        found = eval(text, {**names, "library": library})
        leaves, structure = library.tree.flatten(found)
        return [str(structure).replace("PyTreeDef", ""), [leaf(library, x) for x in leaves]]
    except Exception as error:
        return {
            "raises": [c.__name__ for c in type(error).__mro__[:-2]],
            "message": str(error)[:300],
        }


_ROOTS = (
    *("numpy", "lax", "nn", "random", "scipy"),
    *("image", "ops", "tree", "tree_util", "flatten_util"),
)


def main(name: str, state: str) -> None:
    """Run the calls of the standard input."""
    warnings.simplefilter("ignore")
    library = NumPy if name == "numpy" else loaded(name, state)
    names = Values(library).names()
    signal.signal(signal.SIGALRM, _stop)
    for line in sys.stdin:
        call = line.strip()
        signal.alarm(SECONDS)
        found = outcome(library, names, call)
        signal.alarm(0)
        print(json.dumps([call, found]), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:3])
