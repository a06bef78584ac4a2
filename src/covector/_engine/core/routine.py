"""Primitives that a routine of the runtime computes: how it is called, and the loop of calls over a batch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from covector._engine.base.record import record
from covector._engine.core.primitive import Primitive, Types
from covector._engine.ir import index as ix
from covector._engine.ir.builder import Builder, Operand, Place, Result
from covector._engine.ir.kernel import Buffer
from covector._engine.types import dims
from covector._engine.types.avals import ShapedArray
from covector._engine.types.dims import Dim


@record
class RoutineCall:
    """One call for each element of the batch.

    It gets the places of the operands, of the results, and its scratch memory; an operand that a result begins as
    (`begins_as`) is copied to the result's place first, where the routine finds and overwrites it.
    """

    name: str
    parameters: tuple[Dim, ...]
    batch: tuple[Dim, ...] = ()  # sizes of the axes that the calls run over
    # Of each place: how far its elements lie apart along these axes.
    steps: tuple[tuple[Dim, ...], ...] = ()
    work: Dim = 1  # steps of one call: multiplications of a product, elements that are sorted
    side_by_side: bool = False  # calls may run at the same time: only if they cannot fail
    scratch: Dim = 0  # bytes that a call needs beside
    order: tuple[int, ...] | None = None  # in which it takes the places, if not as they come


class ByRoutine(Primitive):
    """Computed by a routine of the runtime.

    A member says what the call is (`call`), and in which layouts it takes operands (`arranged`).  A routine that can
    fail returns a status; one that is not 0 ends the Program, as its error number.
    """

    def call(self, avals: Types) -> RoutineCall:
        """The call, for operands of these types."""
        raise self._missing("call")

    def lower(self, b: Builder, operands: Sequence[Operand], results: Sequence[Result]) -> None:
        """The loop over the batch with the call in it."""
        lower_call(self.call([x.aval for x in operands]), self.begins_as, b, operands, results)


def lower_call(
    call: RoutineCall,
    begins_as: Sequence[int | None],
    b: Builder,
    operands: Sequence[Operand],
    results: Sequence[Result],
) -> None:
    """Build the loop over the batch of a call, with the call in it, and what it begins with in front."""
    begins = begins_as or (None,) * len(results)
    places = [(x.place, x.aval) for n, x in enumerate(operands) if n not in begins]
    first = len(places)  # that is written
    copied: set[int] = set()
    for out, start in zip(results, begins, strict=True):
        if start is not None:
            b.copy(out.place, operands[start])
            copied.add(len(places))
        places.append((out.place, out.aval))
    count = dims.product(call.batch)
    which = b.variable("b", count)
    index = ix.unflatten(which, call.batch)
    for n, steps in enumerate(call.steps):
        place, aval = places[n]
        step = sum((i * step for i, step in zip(index, steps, strict=True)), 0)
        places[n] = Place(place.buffer, ix.rejoin(place.offset + step)), aval
    own: list[Buffer] = []
    if call.scratch != 0:
        memory = ShapedArray((call.scratch,), np.dtype(np.uint8))
        own.append(b.temp("scratch", memory.dtype, call.scratch))
        places.append((Place(own[0]), memory))
    order = tuple(range(len(places))) if call.order is None else call.order
    writes = [k for k, n in enumerate(order) if n >= first and order.index(n) == k]
    updates = [k for k in writes if order[k] in copied]
    with b.loop(which, count, call.side_by_side, own):
        at = [places[n] for n in order]
        b.routine(call.name, at, call.parameters, writes, updates, call.work)
