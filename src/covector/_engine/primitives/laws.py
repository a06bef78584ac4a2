"""Algebraic laws: what gives the same result in a simpler way.  Primitives take theirs as the rule `simplified`.

A law gets the equation, and the function that tells which equation an operand comes from.  It gives a value that is
the result, another equation, or None if it does not fit.  Those with `self` are methods of the classes that take them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np

from covector._engine import primitives as prims
from covector._engine.base.record import replace
from covector._engine.core.primitive import MadeBy, Primitive
from covector._engine.ir.program import Atom, Eqn, Literal, Var
from covector._engine.types import dtypes
from covector._engine.types.avals import ShapedArray

P = TypeVar("P", bound=Primitive)


class Rewriting:
    """Equations, one after the other, in the place of one: each call adds one and gives its result."""

    def __init__(self, eqn: Eqn):
        self.eqn = eqn
        self.made: list[Eqn] = []

    def __call__(self, primitive: Any, *inputs: Atom) -> Var:
        result = Var(primitive.type(*[a.aval for a in inputs]))
        self.made.append(Eqn(primitive, inputs, (result,), self.eqn.source))
        return result

    def apart(self, atoms: Sequence[Atom]) -> tuple[Var, ...]:
        """The same, which what comes before and what comes after are not computed together with."""
        outputs = tuple([Var(a.aval) for a in atoms])
        self.made.append(Eqn(prims.OptimizationBarrier(), tuple(atoms), outputs, self.eqn.source))
        return outputs

    def end(self, primitive: Primitive, *inputs: Atom) -> Sequence[Eqn]:
        """All of them, with one more, whose result is that of the equation."""
        return *self.made, _instead(self.eqn, primitive, *inputs)


def _instead(eqn: Eqn, primitive: Primitive, *inputs: Atom) -> Eqn:
    return Eqn(primitive, inputs, eqn.outputs, eqn.source)


def _is_literal(a: Atom, value: float) -> bool:
    return isinstance(a, Literal) and bool(a.value == value)


def _stands_for_all(eqn: Eqn, a: Atom) -> bool:
    """Whether an operand has the result's shape."""
    return a.aval.shape == eqn.outputs[0].aval.shape


# ------------------------------------------------------------------------------------------------ arithmetic


def the_operand(eqn: Eqn, made_by: MadeBy) -> Atom:
    """What changes no value."""
    return eqn.inputs[0]


def _adds_nothing(zero: Atom, least: bool) -> bool:
    """Whether this is the zero that changes no number: for floats -0 is, if it is added (+0, if subtracted)."""
    if not isinstance(zero, Literal) or zero.value != 0:
        return False
    if not dtypes.is_inexact(zero.aval.dtype):
        return True
    value, is_complex = zero.value, dtypes.is_complex(zero.aval.dtype)
    parts = (value.real, value.imag) if is_complex else (value,)
    return all(bool(np.signbit(part)) == least for part in parts)


def sum_with_zero(eqn: Eqn, made_by: MadeBy) -> Atom | None:
    """x + (-0), x + 0 of integers."""
    x, y = eqn.inputs
    if _adds_nothing(y, True) and _stands_for_all(eqn, x):
        return x
    return y if _adds_nothing(x, True) and _stands_for_all(eqn, y) else None


def sum_of_cotangents(eqn: Eqn, made_by: MadeBy) -> Eqn | Sequence[Eqn]:
    """x + a part in zeros: the part, added where it lies in x; the sign of a zero is of no account.  Else a sum.

    The cotangent of `x[i]` is such a part.  To add all of it took as long as the array is, in each step of a loop.
    """
    for x, y in (eqn.inputs, eqn.inputs[::-1]):
        made = made_by(y)
        whole = isinstance(x, Var) and _stands_for_all(eqn, x) and _stands_for_all(eqn, y)
        if made is None or not whole or not made.inputs or not _is_zeros(made.inputs[0], made_by):
            continue
        p, (_, *rest) = made.primitive, made.inputs
        if isinstance(p, prims.Scatter) and p.combine == "add":
            return _instead(eqn, p, x, *rest)
        if isinstance(p, prims.DynamicUpdateSlice):
            update, *starts = rest
            rewriting = Rewriting(eqn)
            old = rewriting(prims.DynamicSlice(update.aval.shape), x, *starts)
            return rewriting.end(p, x, rewriting(prims.add, old, update), *starts)
    return _instead(eqn, prims.add, *eqn.inputs)


def _is_zeros(a: Atom, made_by: MadeBy) -> bool:
    made = made_by(a)
    return made is not None and made.primitive.fills and _is_literal(made.inputs[0], 0)


def difference_with_zero(eqn: Eqn, made_by: MadeBy) -> Atom | None:
    """x - 0."""
    x, y = eqn.inputs
    return x if _adds_nothing(y, False) and _stands_for_all(eqn, x) else None


def product_with_one(eqn: Eqn, made_by: MadeBy) -> Atom | None:
    """x * 1, 1 * x."""
    x, y = eqn.inputs
    if _is_literal(y, 1) and _stands_for_all(eqn, x):
        return x
    return y if _is_literal(x, 1) and _stands_for_all(eqn, y) else None


def quotient(eqn: Eqn, made_by: MadeBy) -> Atom | Eqn | None:
    """x / 1; x / c is x * (1 / c) where 1 / c is exact: c is a power of two."""
    x, y = eqn.inputs
    if not isinstance(y, Literal):
        return None
    if _is_literal(y, 1) and _stands_for_all(eqn, x):
        return x
    dtype, c = y.aval.dtype, y.value
    if dtypes.kind(dtype) != "f" or not np.isfinite(c) or abs(np.frexp(float(c))[0]) != 0.5:
        return None
    limits, inverse = dtypes.finfo(dtype), 1 / float(c)
    if not float(limits.tiny) <= abs(inverse) <= float(limits.max):
        return None
    return _instead(eqn, prims.mul, x, Literal(dtype.type(inverse), y.aval))


def negative_of_negative(eqn: Eqn, made_by: MadeBy) -> Atom | None:
    """-(-x)."""
    made = made_by(eqn.inputs[0])
    return made.inputs[0] if made is not None and made.primitive is eqn.primitive else None


def power(self: Any, eqn: Eqn, made_by: MadeBy) -> Eqn | None:
    """x ** 2 is a square."""
    return _instead(eqn, prims.square, *eqn.inputs) if self.n == 2 else None


# ------------------------------------------------------------------------------------------------- movements


def same_shape(self: Any, eqn: Eqn, made_by: MadeBy) -> Atom | None:
    """What could only have changed the shape, and does not."""
    return eqn.inputs[0] if _stands_for_all(eqn, eqn.inputs[0]) else None


def same_type(self: Any, eqn: Eqn, made_by: MadeBy) -> Atom | None:
    """A conversion to the dtype that it has."""
    return eqn.inputs[0] if eqn.inputs[0].aval.dtype == self.dtype else None


def no_padding(self: Any, eqn: Eqn, made_by: MadeBy) -> Atom | None:
    """Padding by nothing."""
    return None if any(self.low) or any(self.high) or any(self.interior) else eqn.inputs[0]


def one_choice(self: Any, eqn: Eqn, made_by: MadeBy) -> Atom | None:
    """A choice between a value and itself, or one that is made."""
    condition, yes, no = eqn.inputs
    if isinstance(condition, Literal):
        chosen = yes if condition.value else no
        return chosen if _stands_for_all(eqn, chosen) else None
    return yes if yes is no and _stands_for_all(eqn, yes) else None


# Who asks for an element of a concatenation looks at all operands, and as it is cut into pieces, once for each of them.
_GROUP = 16


def concatenation(self: Any, eqn: Eqn, made_by: MadeBy) -> Atom | Sequence[Eqn] | None:
    """Of one operand that operand; of many the concatenation of groups: a thousand took 5 s to compile, and take 1."""
    inputs = eqn.inputs
    if len(inputs) == 1:
        return inputs[0]
    if len(inputs) <= _GROUP:
        return None
    made: list[Eqn] = []
    for n in range(0, len(inputs), _GROUP):
        group = inputs[n : n + _GROUP]
        result = Var(self.type(*[a.aval for a in group]))
        made.append(Eqn(self, group, (result,), eqn.source))
    return *made, _instead(eqn, self, *[v for e in made for v in e.outputs])


def _same_below(self: P, eqn: Eqn, made_by: MadeBy) -> tuple[P, tuple[Atom, ...]] | None:
    """The primitive and the operands of what the operand comes from, if that is of the same class."""
    made = made_by(eqn.inputs[0])
    if made is None or type(made.primitive) is not type(self):
        return None
    return made.primitive, made.inputs  # type: ignore[return-value]


def permutations(self: Any, eqn: Eqn, made_by: MadeBy) -> Atom | Eqn | None:
    """A permutation that changes nothing; one of another."""
    if self.permutation == tuple(range(len(self.permutation))):
        return eqn.inputs[0]
    made = _same_below(self, eqn, made_by)
    if made is None:
        return None
    inner, inputs = made
    order = tuple([inner.permutation[a] for a in self.permutation])
    return _instead(eqn, type(self)(order), *inputs)


def reshapes(self: Any, eqn: Eqn, made_by: MadeBy) -> Atom | Eqn | None:
    """A reshape that changes nothing; one of another."""
    if (same := same_shape(self, eqn, made_by)) is not None:
        return same
    made = _same_below(self, eqn, made_by)
    return None if made is None else _instead(eqn, self, *made[1])


def broadcasts(self: Any, eqn: Eqn, made_by: MadeBy) -> Atom | Eqn | None:
    """A broadcast that changes nothing; one of another."""
    if (same := same_shape(self, eqn, made_by)) is not None:
        return same
    made = _same_below(self, eqn, made_by)
    if made is None:
        return None
    (inner, inputs), kept = made, self.kept()
    axes = tuple(sorted((*self.axes, *[kept[a] for a in inner.axes])))
    return _instead(eqn, type(self)(self.shape, axes), *inputs)


def product(self: Any, eqn: Eqn, made_by: MadeBy) -> Eqn | Sequence[Eqn] | None:
    """What a product of matrices is in a simpler way."""
    found = product_without_sum(self, eqn)
    return product_of_permuted(self, eqn, made_by) if found is None else found


def product_for_convolution(self: Any, eqn: Eqn) -> Sequence[Eqn] | None:
    """The product of matrices that a convolution is where each axis of the kernel is one place, or meets all at once.

    None if it is none, or if an operand or the result would have to be copied for it.
    """
    (lhs, rhs), (out,) = [[x.aval for x in side] for side in (eqn.inputs, eqn.outputs)]
    axes = _contracted(self, lhs, rhs, out)
    if axes is None:
        return None
    numbers = self.dimension_numbers
    results = dict(zip(numbers.lhs_spec, numbers.out_spec, strict=True))
    free = [results[a] for a in range(lhs.ndim) if a not in axes]
    made, kernel_made = numbers.out_spec[1], numbers.rhs_spec[0]
    kept = [k for k in range(rhs.ndim) if k == kernel_made or k in axes.values()]
    pairs = [(a, kept.index(k)) for a, k in axes.items()]
    steps = Rewriting(eqn)
    kernel = steps(prims.Reshape(tuple([rhs.shape[k] for k in kept])), eqn.inputs[1])
    for left, right, order, contract in (
        (eqn.inputs[0], kernel, [*free, made], tuple(zip(*pairs, strict=True))),
        (kernel, eqn.inputs[0], [made, *free], tuple(zip(*pairs, strict=True))[::-1]),
    ):
        places = [a for a in order if out.shape[a] != 1]
        product = prims.DotGeneral(*contract, preferred=self.preferred_element_type)
        if places == sorted(places) and product.takes(left.aval.shape, right.aval.shape):
            return steps.end(prims.Reshape(out.shape), steps(product, left, right))
    return None


def _contracted(
    self: Any, lhs: ShapedArray, rhs: ShapedArray, out: ShapedArray
) -> dict[int, int] | None:
    """The axes of lhs that a product contracts, with those of the kernel; None if this is no product."""
    numbers, lengths = self.dimension_numbers, (*lhs.shape, *rhs.shape, *out.shape)
    known = all(isinstance(n, int) and n > 0 for n in lengths)
    if self.groups > 1 or lhs.dtype == dtypes.bool_ or not known:
        return None
    axes = {numbers.lhs_spec[1]: numbers.rhs_spec[1]}
    slides = self.slides(lhs.shape, rhs.shape)
    for s, a, k in zip(slides, numbers.lhs_spec[2:], numbers.rhs_spec[2:], strict=True):
        if (s.low, s.high, s.base) != (0, 0, 1):
            return None
        if s.window == s.size > 1 == s.spread:
            axes[a] = k
        elif s.window != 1 or s.stride != 1:
            return None
    return axes


def product_without_sum(self: Any, eqn: Eqn) -> Sequence[Eqn] | None:
    """A product that contracts no axis is one of elements: nothing is folded."""
    out = eqn.outputs[0].aval
    if self.lhs_contract or out.dtype == dtypes.bool_:
        return None
    new, batch = Rewriting(eqn), len(self.lhs_batch)
    free = [f(a.aval.ndim) for f, a in zip((self.lhs_free, self.rhs_free), eqn.inputs, strict=True)]
    split = batch + len(free[0])
    places = (range(split, out.ndim), range(batch, split))
    factors: list[Atom] = []
    for x, own, axes, gone in zip(
        eqn.inputs, (self.lhs_batch, self.rhs_batch), free, places, strict=True
    ):
        order = (*own, *axes)
        if order != tuple(range(len(order))):
            x = new(prims.Transpose(order), x)
        if (x.aval.dtype, x.aval.weak_type) != (out.dtype, out.weak_type):
            x = new(prims.Convert(out.dtype, out.weak_type), x)
        factors.append(new(prims.Broadcast(out.shape, tuple(gone)), x) if gone else x)
    return new.end(prims.mul, *factors)


def product_of_permuted(self: Any, eqn: Eqn, made_by: MadeBy) -> Eqn | None:
    """A product of a permuted operand is one of the operand over other axes, if its free axes keep their order."""
    inputs, changed = list(eqn.inputs), self
    for side, free_axes in enumerate((self.lhs_free, self.rhs_free)):
        made = made_by(inputs[side])
        if made is None or not isinstance(made.primitive, prims.Transpose):
            continue
        permutation = made.primitive.permutation
        free = [permutation[a] for a in free_axes(len(permutation))]
        if free != sorted(free):
            continue
        name = ("lhs", "rhs")[side]
        axes = {f"{name}_contract": (), f"{name}_batch": ()}
        for field in axes:
            axes[field] = tuple([permutation[a] for a in getattr(self, field)])
        changed = replace(changed, **axes)
        inputs[side] = made.inputs[0]
    return None if changed is self else _instead(eqn, changed, *inputs)


def converted(eqn: Eqn, primitive: Primitive, dtype: np.dtype) -> Sequence[Eqn]:
    """What `primitive` makes of the operands in this dtype, in the result's: 16-bit floats, by a float32 routine."""
    steps = Rewriting(eqn)
    operands = [x if x.aval.dtype == dtype else steps(prims.Convert(dtype), x) for x in eqn.inputs]
    wanted = eqn.outputs[0].aval.dtype
    if wanted == dtype:
        return steps.end(primitive, *operands)
    return steps.end(prims.Convert(wanted), steps(primitive, *operands))
