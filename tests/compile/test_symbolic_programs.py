"""Programs with symbolic dimensions: compiled once, right for every size."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from covector._engine import _native, primitives as prims
from covector._engine.control.call import reference
from covector._engine.control.loop import Scan
from covector._engine.core import trace
from covector._engine.runtime.executable import Executable
from covector._engine.types import dims, dtypes
from covector._engine.types.avals import ShapedArray

N, M = dims.symbol("n", 0), dims.symbol("m", 0)
SIZES = ((1, 1), (2, 3), (16, 16), (17, 33), (100, 5), (300, 257), (0, 4), (4, 0), (5000, 3))


def rows(x: Any, v: Any) -> Any:
    return prims.Broadcast(x.shape, (1,))(v)


def softmax(x: Any) -> Any:
    e = prims.exp(prims.sub(x, rows(x, prims.Max((1,))(x))))
    return prims.div(e, rows(x, prims.Sum((1,))(e)))


PROGRAMS: dict[str, tuple[Callable[..., Any], tuple[tuple[Any, ...], ...]]] = {
    "elementwise": (lambda x: prims.add(prims.mul(x, 2.0), prims.sin(x)), ((N, M),)),
    "two operands": (lambda x, y: prims.mul(x, y), ((N, M), (N, M))),
    "row sums": (lambda x: prims.Sum((1,))(x), ((N, M),)),
    "column sums": (lambda x: prims.Sum((0,))(x), ((N, M),)),
    "total": (lambda x: prims.Sum((0, 1))(x), ((N, M),)),
    "softmax": (softmax, ((N, M),)),
    "transpose": (lambda x: prims.neg(prims.Transpose((1, 0))(x)), ((N, M),)),
    "flatten": (lambda x: prims.Reshape((N * M,))(prims.neg(x)), ((N, M),)),
    "outer product": (
        lambda x, y: prims.mul(prims.Broadcast((N, M), (1,))(x), prims.Broadcast((N, M), (0,))(y)),
        ((N,), (M,)),
    ),
    "reverse": (lambda x: prims.Reverse((0, 1))(x), ((N, M),)),
    "concatenate": (lambda x: prims.Concatenate(0)(x, prims.neg(x)), ((N, M),)),
    "pad": (lambda x: prims.Pad((1, 0), (0, 2), (0, 0))(x, 0.5), ((N, M),)),
    "product": (lambda x, y: prims.DotGeneral((1,), (0,))(x, y), ((N, M), (M, N))),
    "gram": (lambda x: prims.tanh(prims.DotGeneral((1,), (1,))(x, x)), ((N, M),)),
    "centred": (
        lambda x: prims.sub(x, prims.Broadcast((N, M), (0, 1))(prims.Sum((0, 1))(x))),
        ((N, M),),
    ),
}


def running(x: Any, width: int) -> Any:
    """A loop of symbolic length, in turns of three steps and a loop over those that are left."""
    step = trace.stage(
        lambda c, x: [prims.add(prims.mul(c, 0.5), prims.Broadcast((width,), (0,))(x)), c],
        [ShapedArray((width,), dtypes.float32), ShapedArray((), dtypes.float32)],
    )
    start = prims.Broadcast((width,), (0,))(np.float32(1))
    return Scan(step, x.shape[0], True, 0, 1, 3)(start, x)[1]


PROGRAMS |= {
    f"loop {width}": (lambda x, width=width: running(x, width), ((N,),)) for width in (3, 200)
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_one_program_for_all_sizes(name: str) -> None:
    f, shapes = PROGRAMS[name]
    avals = [ShapedArray(shape, dtypes.float32) for shape in shapes]
    program = trace.stage(lambda *xs: [f(*xs)], avals)
    executable = Executable(program)
    rng = np.random.default_rng(0)
    for n, m in SIZES:
        if name == "softmax" and m == 0:
            continue
        values = {"n": n, "m": m}
        sizes = [tuple(int(dims.substitute(d, values)) for d in shape) for shape in shapes]
        operands = [rng.uniform(-1, 1, shape).astype(np.float32) for shape in sizes]
        concrete = trace.stage(
            lambda *xs, values=values: [_with_sizes(f, values)(*xs)],
            [ShapedArray(s, dtypes.float32) for s in sizes],
        )
        (wanted,) = reference(concrete, operands)
        (actual,) = executable([_native.array_from(x) for x in operands])
        np.testing.assert_allclose(np.asarray(actual), wanted, rtol=1e-4, atol=1e-4)


def _with_sizes(f: Callable[..., Any], values: dict[str, int]) -> Callable[..., Any]:
    """The function with numbers in the place of the symbols that it names."""

    def run(*xs: Any) -> Any:
        before = dict(f.__globals__)
        try:
            f.__globals__.update(N=values["n"], M=values["m"])
            return f(*xs)
        finally:
            f.__globals__.update(N=before["N"], M=before["M"])

    return run


def test_contradicting_sizes_are_named() -> None:
    aval = ShapedArray((N,), dtypes.float32)
    executable = Executable(trace.stage(lambda x, y: [prims.add(x, y)], [aval, aval]))
    arrays = [_native.array_from(np.ones(n, np.float32)) for n in (3, 4)]
    with pytest.raises(ValueError, match="dimension n is 3 in one operand and 4 in another"):
        executable(arrays)
