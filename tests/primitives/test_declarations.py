"""Every primitive says what its derivative is: a rule, zero, or none and why.  None is zero by oversight."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from tests.primitives.makers import array
from tests.primitives.samples import all_samples

import covector as cv
from covector import lax
from covector._engine import primitives as prims
from covector._engine.base import errors
from covector._engine.control import call, loop
from covector._engine.core.primitive import Primitive
from covector._engine.core.symbolic import NO_SLOPE, NoSlope, NotDifferentiable, Zero
from covector._engine.primitives import linalg_orthogonal, linalg_solve, linalg_spectral
from covector._engine.primitives.collective import AlongNames
from covector._engine.types import dtypes
from covector._engine.types.avals import ShapedArray
from covector.extend.testing import Sample, directions, operands, results

SAMPLES = all_samples()


def classes(*modules: ModuleType) -> Iterator[type[Primitive]]:
    """The classes of primitives that can be made: those that have a name."""
    for module in modules:
        for value in vars(module).values():
            if inspect.isclass(value) and issubclass(value, Primitive) and hasattr(value, "name"):
                yield value


ALL = sorted(
    {*classes(prims, call, loop, linalg_solve, linalg_orthogonal, linalg_spectral)},
    key=lambda c: (c.name if isinstance(c.name, str) else "", c.__name__),
)
# Their cotangents are added to zeros: what they read is but a part.
READ_PARTS = {prims.Gather, prims.DynamicSlice}
ROWS = sorted(
    {p for p in vars(prims).values() if isinstance(p, prims.Elementwise)}, key=lambda p: p.name
)


@pytest.mark.parametrize("cls", ALL, ids=lambda c: c.__name__)
def test_a_class_has_a_rule_or_says_why_not(cls: type[Primitive]) -> None:
    if issubclass(cls, prims.ElementwiseBase):
        assert (
            cls.pushes is not prims.ElementwiseBase.pushes
            or cls.jvp is not prims.ElementwiseBase.jvp
        )
        return
    declared = cls.no_slope or cls.not_differentiable
    assert (cls.jvp is Primitive.jvp) == bool(declared), (
        f"{cls.__name__} needs one of: a jvp rule, `flat`, `not_differentiable`"
    )


@pytest.mark.parametrize("cls", ALL, ids=lambda c: c.__name__)
def test_what_adds_onto_cotangents_has_the_rule_for_it(cls: type[Primitive]) -> None:
    own = cls.transpose_onto is not Primitive.transpose_onto
    assert own or not cls.adds_onto, f"{cls.__name__} needs `transpose_onto`"
    both = own and cls.transpose is not Primitive.transpose
    assert cls in READ_PARTS or not both, f"{cls.__name__}: `transpose` is `transpose_onto` of None"


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_a_row_has_an_entry_for_each_operand(row: prims.Elementwise) -> None:
    for entry in row.push:
        assert callable(entry) or entry is NO_SLOPE or isinstance(entry, NotDifferentiable)
    for entry in row.push:
        if isinstance(entry, NotDifferentiable):
            assert entry.argument
            assert entry.why
    if not {"f", "c"} & set(row.kinds):
        assert set(row.push) == {NO_SLOPE}


def test_every_primitive_has_samples() -> None:
    # Collectives mean something along a named axis only: tests/lax/test_collectives.py has those.
    others = (call.Call, loop.Scan)
    missing = {c for c in ALL if c not in others and not issubclass(c, AlongNames)}
    missing -= {c for s in SAMPLES for c in type(s.primitive).__mro__}
    assert not missing, f"give these rows in samples.py: {missing}"


def flat(primitive: Primitive, operand: int, dtype: np.dtype) -> bool:
    """Whether a primitive declares that its derivative in an operand of this dtype is zero."""
    if isinstance(primitive, prims.ElementwiseBase):
        entry = primitive.pushes()[operand] if not isinstance(primitive, LINEAR) else None
        real_sign = primitive is prims.sign and not dtypes.is_complex(dtype)
        return type(entry) is NoSlope or real_sign
    return primitive.no_slope is not None or operand in primitive.no_slope_of


LINEAR = (prims.Convert, prims.ReducePrecision)
moved = pytest.mark.parametrize(
    ("sample", "operand"),
    [
        (s, i)
        for s in SAMPLES
        for i, a in enumerate(s.avals)
        if a.differentiable() and 0 not in a.shape
    ],
    ids=str,
)


@moved
def test_a_derivative_is_zero_only_if_it_is_declared(sample: Sample, operand: int) -> None:
    primitive, xs = sample.primitive, operands(sample)
    outs: Any = primitive.type(*sample.avals)
    tangents = directions(xs, [operand])
    if operand in sample.fixed and operand not in primitive.no_slope_of:
        wanted = "unique_indices" if isinstance(primitive, prims.Scatter) else "stop_gradient"
        with pytest.raises(NotImplementedError, match=wanted) as caught:
            primitive.jvp(xs, tangents)
        assert primitive.name in str(caught.value)
        return
    _, slopes = primitive.jvp(xs, tangents)
    found = [type(t) is not Zero for t in results(sample, slopes)]
    inexact = [dtypes.is_inexact(t.dtype) for t in results(sample, outs)]
    if flat(primitive, operand, xs[operand].dtype):
        assert not any(found)
    elif any(inexact):
        assert any(found)


def test_what_is_declared_is_not_called_with_a_symbolic_zero() -> None:
    """A constant in place of the argument without a derivative is no error."""
    x = np.asarray(0.4)
    zero = Zero(ShapedArray((), dtypes.float64))
    _, slope = prims.betainc.jvp((x, x, x), (zero, zero, x))
    assert slope > 0


CASES: list[tuple[Callable[..., Any], tuple[float, ...], int, str]] = [
    (lax.betainc, (0.5, 0.6, 0.7), 0, r"betainc has no derivative with respect to a "),
    (lax.betainc, (0.5, 0.6, 0.7), 1, r"betainc has no derivative with respect to b "),
    (lax.polygamma, (2.0, 0.6), 0, r"polygamma has no derivative with respect to n "),
    (lax.igamma_grad_a, (0.5, 0.6), 0, r"igamma_grad_a has no derivative with respect to a "),
]


@pytest.mark.parametrize(("f", "args", "operand", "message"), CASES)
def test_message(
    f: Callable[..., Any], args: tuple[float, ...], operand: int, message: str
) -> None:
    slope = cv.grad(f, argnums=operand)
    with pytest.raises(errors.NotDifferentiableError, match=message) as caught:
        slope(*args)
    for part in ("test_declarations.py", "covector.lax.stop_gradient", "argnums"):
        assert part in str(caught.value)


def test_the_way_out_that_the_message_names() -> None:
    def f(a: Any) -> Any:
        return lax.betainc(lax.stop_gradient(a), 0.6, 0.7) * a

    assert cv.grad(f)(0.5) == lax.betainc(0.5, 0.6, 0.7)


def test_the_line_is_that_of_the_operation_also_in_compiled_functions() -> None:
    def inside(a: Any) -> Any:
        return lax.betainc(a, 0.6, 0.7)

    for f in (inside, cv.jit(inside), cv.jit(cv.jit(inside))):
        with pytest.raises(errors.NotDifferentiableError, match=r"\(inside\)"):
            cv.grad(f)(0.5)
        with pytest.raises(errors.NotDifferentiableError, match=r"\(inside\)"):
            cv.jvp(f, (0.5,), (1.0,))


class Lonely(Primitive):
    """A primitive that says nothing of its derivative, and one that says there is none."""

    name = "lonely"

    def type(self, *avals: ShapedArray) -> ShapedArray:
        return avals[0]


class Refusing(Lonely):
    name = "refusing"
    not_differentiable = "it is a test"


def test_a_primitive_without_any_declaration_is_an_error() -> None:
    x = np.zeros(3)
    with pytest.raises(errors.MissingRuleError, match="'lonely' has no jvp rule"):
        Lonely().jvp((x,), (x,))
    with pytest.raises(errors.NotDifferentiableError, match="refusing has no derivative with"):
        Refusing().jvp((x,), (x,))
    assert array((3,)).differentiable()
