"""Routines of the runtime, and primitives that one computes: how it is called, and the loop of calls over a batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import numpy as np

from covector._engine.base.record import record
from covector._engine.core.primitive import Primitive, Types
from covector._engine.ir import index as ix
from covector._engine.ir.builder import Builder, Operand, Place, Result
from covector._engine.ir.kernel import Buffer
from covector._engine.types import dims
from covector._engine.types.avals import ShapedArray
from covector._engine.types.dims import Dim

# One operand: reads and writes elements at places counted from the routine's place, in the given dtype.
Read = Callable[[int, np.ndarray, np.dtype], np.ndarray]
Write = Callable[[int, np.ndarray, np.ndarray], None]
RoutineMeaning = Callable[[Sequence[int], Read, Write], None]

# What a routine does again and again; how long one takes is said by a target's `Costs.steps`.
Step = Literal["multiplied", "eliminated", "transformed", "moved", "exchanged", "sorted"]


@record(eq=False)
class RuntimeRoutine:
    """A routine of the runtime, where it is `cv_<name>`: all that Python code has to know of it."""

    name: str
    step: Step
    meaning: RoutineMeaning  # in NumPy, given the parameters of a call
    passed: Literal["one by one", "as a table", "as to BLAS"] = "one by one"  # the parameters
    on_all_threads: bool = False  # whether it keeps them busy itself, where there is much to do
    can_fail: bool = True  # it returns an error number, or 0; else it returns nothing


ROUTINES: dict[str, RuntimeRoutine] = {}


def runtime_routine(routine: RuntimeRoutine) -> str:
    """Make a routine known; its name."""
    assert routine.name not in ROUTINES, f"there are two routines {routine.name}"
    ROUTINES[routine.name] = routine
    return routine.name


class Called(NamedTuple):
    """What a call computes, told from its parameters: a primitive, of operands that lie densely."""

    primitive: Primitive
    operands: tuple[ShapedArray, ...]
    order: tuple[int, ...] | None = None  # of the call


def as_primitive(called: Callable[..., Called]) -> RoutineMeaning:
    """What a primitive's reference says, on the operands and results in the order in which the routine takes them."""

    def run(parameters: Sequence[int], read: Read, write: Write) -> None:
        primitive, operands, order = called(*parameters)
        begins = primitive.begins_as or (None,) * 8
        alone = [n for n in range(len(operands)) if n not in begins]
        given = {n: k for k, n in enumerate(alone)}
        given |= {n: len(alone) + k for k, n in enumerate(begins) if n is not None}
        taken = tuple(range(len(alone) + len(begins))) if order is None else order
        xs = [
            read(taken.index(given[n]), dense([int(d) for d in a.shape]), a.dtype)
            for n, a in enumerate(operands)
        ]
        outs = primitive.reference(*xs)
        for k, out in enumerate(outs if primitive.multiple else (outs,)):
            write(taken.index(len(alone) + k), dense(out.shape), out)

    return run


def dense(shape: Sequence[int], strides: Sequence[int] | None = None) -> np.ndarray:
    """The places of an array's elements, which are so far apart along its axes: row-major unless it is said."""
    if strides is None:
        return np.arange(int(np.prod(shape))).reshape(shape)
    grid = np.ogrid[tuple([slice(n) for n in shape])]
    return sum((at * step for at, step in zip(grid, strides, strict=True)), np.zeros(shape, int))


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
    side_by_side: bool = False  # calls may run at the same time
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
