"""Every primitive's rules agree with its reference, on the rows of `samples`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from tests.primitives import interpret
from tests.primitives.samples import all_samples

from covector._engine import primitives as prims
from covector._engine.core import trace
from covector._engine.core.families import Cumulative, Mapped, Reduction, Update
from covector._engine.core.routine import ByRoutine
from covector.extend import testing
from covector.extend.testing import Sample, operands, results

SAMPLES = all_samples()


def samples(wanted: Callable[[Sample], object] = lambda sample: True) -> Any:
    """Run a test on each sample that is wanted."""
    return pytest.mark.parametrize("sample", [s for s in SAMPLES if wanted(s)], ids=str)


# Compiled they are in tests/compile/test_compiled.py.
RULES = [name for name in testing.CHECKS if name != "compiled"]


@pytest.mark.parametrize("check", testing.checks(SAMPLES, *RULES), ids=str)
def test_rule(check: testing.Check) -> None:
    check()


def has_elements(sample: Sample) -> bool:
    """Whether elements of the result come from elements of the operands by a rule of the family's."""
    p = sample.primitive
    by_routine = isinstance(
        p, ByRoutine | prims.Conv | prims.Fft | prims.Unfilled
    ) and not isinstance(p, prims.DotGeneral)
    return not p.passes_on and not by_routine


@samples(has_elements)
def test_element_rule(sample: Sample) -> None:
    primitive, xs = sample.primitive, operands(sample)
    wanted = primitive(*xs)
    if isinstance(primitive, Mapped):
        actual = interpret.run_mapped(primitive, xs)
    elif isinstance(primitive, Reduction):
        actual = interpret.run_reduction(primitive, xs[0])
    elif isinstance(primitive, Cumulative):
        actual = interpret.run_cumulative(primitive, xs)
    elif isinstance(primitive, Update):
        actual = interpret.run_update(primitive, xs)
    else:
        assert isinstance(primitive, prims.DotGeneral)
        actual = contraction(primitive, *xs)
    for a, w in zip(results(sample, actual), results(sample, wanted), strict=True):
        testing.assert_close(a, w)


def contraction(dot: prims.DotGeneral, lhs: np.ndarray, rhs: np.ndarray) -> np.ndarray:
    """By the indices that meet."""
    out = dot.type(trace.typeof(lhs), trace.typeof(rhs))
    total = np.zeros(out.shape, dot.accumulator(lhs.dtype))
    for index in np.ndindex(*out.shape):
        for contracted in np.ndindex(*[lhs.shape[a] for a in dot.lhs_contract]):
            i, j = dot.operand_indices(index, contracted, lhs.ndim, rhs.ndim)
            total[index] += lhs[i].astype(total.dtype) * rhs[j].astype(total.dtype)
    return total.astype(out.dtype)
