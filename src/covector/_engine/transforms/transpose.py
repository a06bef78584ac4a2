"""Transposition: a linear Program run backwards, from cotangents of its outputs to cotangents of its inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from covector._engine import primitives as prims
from covector._engine.base import errors
from covector._engine.core.primitive import Primitive
from covector._engine.core.symbolic import Linear, Zero
from covector._engine.core.trace import _state, current, evaluate
from covector._engine.ir.program import Program
from covector._engine.transforms.forward import LinearTracer, Tape, record_flat
from covector._engine.types.avals import ShapedArray, is_large


def pull(
    tape: Tape, cotangents: Sequence[Any], consume: bool = False, sums: Sequence[Any] = ()
) -> list[Any]:
    """The cotangents of the tape's inputs, under the current trace; Zero where nothing arrives.

    With `consume` each node is dropped when it has been used, so that its residuals are freed: the tape cannot be
    pulled again.  What arrives at an input is added to what is in `sums`, if that is not None.
    """
    cts: list[Any] = [*sums, *[None] * (tape.count - len(sums))]  # None: zero
    for index, ct in zip(tape.outputs, cotangents, strict=True):
        if index is not None and type(ct) is not Zero:
            cts[index] = _sum(cts[index], ct)
    before = _state.source
    try:
        _pull_nodes(tape, cts, consume)
    finally:
        _state.source = before
    inputs = zip(tape.inputs, map(_whole, cts), strict=False)
    return [Zero(aval) if ct is None else ct for aval, ct in inputs]


def _pull_nodes(tape: Tape, cts: list[Any], consume: bool) -> None:
    """Replace cotangents of results by cotangents of operands, from the last node to the first."""
    trace, nodes = tape.trace, tape.nodes
    for position in range(len(nodes) - 1, -1, -1):
        primitive, args, first, types, source = nodes.pop() if consume else nodes[position]
        if primitive.multiple:
            ct = _cotangents_of_results(types, first, cts)
        else:
            ct = _whole(cts[first])
            cts[first] = None
        if ct is None:
            continue
        if source is not None:
            _state.source = source
        operands = [
            Linear(x._aval) if type(x) is LinearTracer and x._trace is trace else x for x in args
        ]
        onto = primitive.adds_onto and trace.staging
        if onto and primitive.reads_part and is_large(operands[0].aval):
            index = args[0].index
            cts[index] = _with_part(cts[index], (primitive, ct, operands))
            continue
        sums = _sums(args, operands, cts) if onto and not primitive.reads_part else {}
        for n, (x, back) in enumerate(
            zip(args, _backs(primitive, ct, operands, sums), strict=True)
        ):
            if back is not None and type(back) is not Zero:
                index = x.index
                cts[index] = back if n in sums else _sum(cts[index], back)


def _backs(
    primitive: Primitive, ct: Any, operands: Sequence[Any], sums: Mapping[int, Any]
) -> Sequence[Any]:
    """The cotangents of operands, added to sums."""
    try:
        if sums:
            given = [sums.get(n) for n, _ in enumerate(operands)]
            return primitive.transpose_onto(given, ct, *operands)
        return primitive.transpose(ct, *operands)
    except AssertionError as error:  # so rules of ours say that operands are not what they are for
        if primitive.has_programs or primitive.users_transpose:
            raise
        raise TypeError(errors.not_linear()) from error


# Something that reads a part of a large array, the cotangent of the part, and its operands.
Part = tuple[Primitive, Any, Sequence[Any]]


class _Parts:
    """Cotangents of parts of an array, which are added where they lie in another one, as soon as there is one."""

    __slots__ = ("parts",)

    def __init__(self, parts: Sequence[Part]):
        self.parts = parts

    def onto(self, total: Any) -> Any:
        """What is in the parts added to a whole array."""
        for primitive, ct, operands in self.parts:
            total, *_ = primitive.transpose_onto((total, *operands[1:]), ct, *operands)
        return total


def _with_part(before: Any, part: Part) -> Any:
    """A cotangent, and one of a part."""
    if before is None:
        return _Parts([part])
    return _Parts([*before.parts, part]) if type(before) is _Parts else _Parts([part]).onto(before)


def _whole(ct: Any) -> Any:
    """A cotangent, if one has arrived."""
    if type(ct) is not _Parts:
        return ct
    (primitive, first, operands), *rest = ct.parts
    whole, *_ = primitive.transpose(first, *operands)
    return _Parts(rest).onto(whole)


def _sums(args: Sequence[Any], operands: Sequence[Any], cts: list[Any]) -> dict[int, Any]:
    """What has arrived at large operands, of an equation that holds Programs: these add to it."""
    found, taken = dict[int, Any](), set[int]()
    for n, (x, operand) in enumerate(zip(args, operands, strict=True)):
        if type(operand) is not Linear or x.index in taken or cts[x.index] is None:
            continue
        if is_large(operand.aval):
            found[n] = cts[x.index] = _whole(cts[x.index])
            taken.add(x.index)
    return found


def _sum(a: Any, b: Any) -> Any:
    """Of two cotangents, of which the first may not be there: a law of `add_any` looks for parts where it is staged."""
    if a is None:
        return b
    if type(a) is _Parts:
        return a.onto(b)
    return prims.add_any(a, b) if current().staging else prims.add(a, b)


def _cotangents_of_results(
    types: Sequence[ShapedArray], first: int, cts: list[Any]
) -> tuple[Any, ...] | None:
    """Of a primitive with several results: Zero for those that nothing arrives at; None if that is all of them."""
    found = list(map(_whole, cts[first : first + len(types)]))
    if all(ct is None for ct in found):
        return None
    cts[first : first + len(types)] = [None] * len(types)
    return tuple([Zero(t) if ct is None else ct for ct, t in zip(found, types, strict=True)])


def transpose_flat(
    program: Program,
    args: Sequence[Any],
    linear: Sequence[bool],
    cotangents: Sequence[Any],
    sums: Sequence[Any] = (),
) -> list[Any]:
    """The cotangents of a Program's linear inputs (given as types among `args`) from those of its outputs.

    Equations that do not depend on a linear input are computed forwards first.
    """
    _, tape = record_flat(lambda *xs: evaluate(program, xs), args, linear)
    return pull(tape, cotangents, sums=sums)
