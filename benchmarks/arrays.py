"""Cases over many functions of the array interface: what a call costs, and what first calls cost."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import numpy as np

from benchmarks.cases import COMPILED, case
from benchmarks.frameworks import Framework

UNARY = """
    abs sign floor ceil trunc rint sqrt cbrt exp exp2 expm1 log log2 log10 log1p sin cos tan arcsin
    arccos arctan sinh cosh tanh arcsinh arctanh square reciprocal negative positive deg2rad rad2deg
    isnan isinf isfinite signbit logical_not nan_to_num real imag conj angle sinc i0 ravel sum prod
    max min mean std var argmax argmin all any cumsum cumprod sort argsort median ptp count_nonzero
    flip diff zeros_like ones_like diag trace transpose atleast_2d squeeze nansum nanmax nanmean
    triu tril
"""
BINARY = """
    add subtract multiply divide power maximum minimum fmax fmin arctan2 hypot copysign logaddexp
    floor_divide remainder equal not_equal less less_equal greater greater_equal logical_and
    logical_or dot inner outer vdot matmul kron array_equal allclose isclose
"""
ARITY = dict.fromkeys(UNARY.split(), 1) | dict.fromkeys(BINARY.split(), 2)
SQUARES = ("trace", "diag", "triu", "tril", "matmul", "kron")  # these take a matrix


def calls(f: Framework, names: Iterable[str], length: int) -> list[Callable[[], Any]]:
    """Return a call of each function, on a vector of `length` elements or a matrix of 4 by 4."""
    vector, matrix = numbers(f, length), numbers(f, 4, 4)
    operands = [[matrix if n in SQUARES else vector] * ARITY[n] for n in names]
    return [partial(getattr(f.np, n), *xs) for n, xs in zip(names, operands, strict=True)]


def numbers(f: Framework, *shape: int) -> Any:
    """Return numbers between 0.1 and 0.9, where all of these functions are defined."""
    return f.array(np.linspace(0.1, 0.9, math.prod(shape), dtype=np.float32).reshape(shape))


@case("arrays", COMPILED, kind="geometric", compared=False, jax=0.1)
def eager_functions(f: Framework) -> Any:
    """A call of each of some hundred functions of `numpy`, not compiled, 16 elements, geometric mean."""
    return calls(f, ARITY, 16)


FIFTY = [*itertools.islice(UNARY.split(), 30), *itertools.islice(BINARY.split(), 20)]


def fifty(f: Framework, length: int) -> Callable[[], Any]:
    """Return the call of fifty different operations on vectors of `length` elements."""
    return lambda: [call() for call in calls(f, FIFTY, length)]


@case("arrays", COMPILED, kind="fresh", compared=False, under=0.5, jax=0.5)
def fifty_first(f: Framework) -> Any:
    """Fifty different operations in a fresh process that finds nothing on the disk."""
    return fifty(f, 100)


@case("arrays", ("covector",), kind="again", compared=False, under=0.05)
def fifty_again(f: Framework) -> Any:
    """The same in a second process, which finds them on the disk."""
    return fifty(f, 100)


@case("arrays", COMPILED, kind="fresh", compared=False, under=0.02, jax=0.5)
def fifty_lengths(f: Framework) -> Any:
    """The same operations on a second length, in a process that has called them on a first."""
    f.block(fifty(f, 100)())
    return fifty(f, 101)
