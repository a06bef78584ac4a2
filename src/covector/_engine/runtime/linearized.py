"""Compiled linearizations: what makes a call a node of the native tape of eager derivatives.

The rules stay in Python and run once for each Program, types, and mask of the operands that are being differentiated:
what is known becomes one executable, with residuals as further outputs, and its transpose another, for each
set of results that cotangents arrive at.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import compress
from typing import Any

import numpy as np

from covector._engine import _native
from covector._engine.base.config import config
from covector._engine.control.call import Call
from covector._engine.control.touching import settling
from covector._engine.core.levels import LevelTracer, marked
from covector._engine.core.numbers import SCALARS
from covector._engine.core.trace import Array, typeof
from covector._engine.ir.effects import CHECKING, TOUCHING
from covector._engine.ir.program import Program, Var, map_eqns
from covector._engine.runtime.late import compile_program
from covector._engine.transforms.programs import (
    Mask,
    SplitProgram,
    TransposedProgram,
    linearize_program,
    transpose_program,
)  # fmt: skip
from covector._engine.transforms.widen import from_numbers, meets_64_bits, with_numbers
from covector._engine.types import dtypes
from covector._engine.types.avals import ShapedArray

MOST_RESULTS = 64  # of a call on the tape, as `kMostTaped` has it


def as_array(x: Any) -> Any:
    """An operand as an Array: NumPy values keep their dtype, Python's numbers are weak; what is of a level stays."""
    if type(x) is Array or isinstance(x, LevelTracer):
        return x
    aval = typeof(x)
    if isinstance(x, SCALARS):
        return _native.scalar(x, aval.dtype, aval.weak_type)
    return _native.array_from(np.asarray(x, aval.dtype), weak_type=aval.weak_type)


def fitted(x: Any, aval: ShapedArray) -> Any:
    """An operand as an Array: a Python number in the dtype of its input, which may have 64 bits."""
    return (
        _native.scalar(x, aval.dtype, True)
        if type(x) in SCALARS and aval.weak_type
        else as_array(x)
    )


def are_numbers(leaves: Sequence[Any]) -> Mask:
    """Which of the operands of a call are Python numbers, which may be read in 64 bits."""
    return tuple([type(x) in SCALARS and type(x) is not bool for x in leaves])


# From a Program to a function of native code, which takes values of levels: see `eager.as_function`.
Lift = Callable[..., Any]


def met_again(seen: set[Any], operands: Sequence[Any]) -> bool:
    """Whether an elementwise call on the tape is worth compiling: at the second call with operands of these types.

    The first goes by the rules, on kernels for any length, so shapes that occur once compile nothing.  Where operands
    of several shapes are differentiated, kernels for these shapes are needed anyway.
    """
    live = tuple(map(marked, operands))
    least = min(x.size for x in compress(operands, live))
    if any(x.ndim > y.ndim or x.size > least for x in operands for y in compress(operands, live)):
        return True
    types = tuple([(x.shape, x.dtype, x.weak_type) for x in operands])
    key = types, live, config.code_key()
    if key in seen:
        seen.discard(key)
        return True
    seen.add(key)
    return False


def computing(program: Program, leaves: int, lift: Lift | None, numbers: Mask = ()) -> Any:
    """What an Entry runs for a closed Program, of whose inputs so many are leaves; None if it has no native code.

    Inputs in `numbers` are Python numbers.
    With `lift` it is for values of levels further out: the Program is a call there.
    """
    if lift is None:
        return compile_program(with_numbers(program, numbers)).native
    codes = [dtypes.CODES[a.dtype] for a in program.in_avals[:leaves]]
    return lift(program), codes, len(program.outputs)


def linear_entry(
    program: Program,
    live: Mask,
    numbers: Mask,
    constants: Sequence[Any],
    out_spec: tuple[Any, ...],
    lift: Lift,
    further_out: Lift | None = None,
    committed: bool = False,
) -> Any:
    """How a call is run whose operands in a mask are on the tape; None if it must go by the rules.

    The Program takes the leaves and then the constants; the masks are of the leaves.  With `further_out` there are
    values of levels further out, for which that makes the function.
    """
    if any(eqn.effects for eqn in program.eqns):
        return None
    wide = meets_64_bits(program)
    if wide:
        program = from_numbers(program, numbers)
    split = linearize_program(program, live + (False,) * len(constants))
    if sum(split.nonzero) > MOST_RESULTS or (wide and meets_64_bits(split.linear)):
        return None  # of residuals the rounded numbers would be kept
    if _by_users(split.linear):  # whether its transpose can be a Program is known before it is used
        k = sum(live)
        mask = (False,) * (len(split.linear.inputs) - k) + (True,) * k
        back = transpose_program(split.linear, mask, (True,) * sum(split.nonzero)).program
        if not {CHECKING, TOUCHING}.isdisjoint(back.effects):
            return (
                None  # it raises, or touches references, where the rules run: compiled code cannot
            )
    known = computing(split.known, len(live), further_out)
    if known is None:
        return None
    trailing = [as_array(c) for c in (*constants, *split.constants)]
    return _native.Entry(
        known,
        list(range(len(live))),
        trailing,
        out_spec,
        (),
        split.nonzero,
        split.residuals,
        Linearized(split, sum(live), lift),
        committed=committed,
    )


def _by_users(program: Program) -> bool:
    """Whether the transpose of something in a Program is a function of the user's."""
    return any(e.primitive.users_transpose for p in program.within() for e in p.eqns)


class Linearized:
    """What leads from the results of a call on the tape back to its operands, or forward: residuals come first."""

    __slots__ = ("_lift", "_pulling", "_pushing", "operands", "split")

    def __init__(self, split: SplitProgram, operands: int, lift: Lift):
        self.split, self.operands, self._lift = split, operands, lift
        # What is applied under traces, made once: the evaluator finds the same by its hash, which is kept.
        self._pushing: Call | None = None
        self._pulling: dict[Mask, tuple[Call, TransposedProgram]] = {}

    def push(self, residuals: Sequence[Any], tangents: Sequence[Any]) -> Sequence[Any]:
        """The tangents of the results that are on the tape."""
        if self._pushing is None:
            self._pushing = Call(self.split.linear)
        return self._pushing(*residuals, *tangents)  # type: ignore[no-any-return]

    def pull(self, residuals: Sequence[Any], cotangents: Sequence[Any]) -> list[Any]:
        """The cotangents of the operands, under the current trace; None where there are none."""
        mask = tuple([ct is not None for ct in cotangents])
        known = self._pulling.get(mask)
        if known is None:
            linear = (False,) * len(self.split.residuals) + (True,) * self.operands
            made = transpose_program(self.split.linear, linear, mask)
            known = self._pulling[mask] = Call(made.program), made
        call, found = known
        backs = iter(settling(call, *residuals, *compress(cotangents, mask), *found.constants))
        return [next(backs) if there else None for there in found.nonzero]

    def __call__(self, given: int, lifted: bool) -> _native.Transposed:
        """The compiled transpose for the results whose bits are set; with `lifted` a function in its place."""
        lift = self._lift if lifted else None
        return _transposed(self.split, self.operands, given, lift)


def _transposed(
    split: SplitProgram, operands: int, given: int, lift: Lift | None
) -> _native.Transposed:
    """The same; what passes unchanged is not computed."""
    mask = tuple([bool(given >> i & 1) for i in range(sum(split.nonzero))])
    residuals = len(split.residuals)
    found = transpose_program(split.linear, (False,) * residuals + (True,) * operands, mask)
    program, getting = found.program, list(compress(range(operands), found.nonzero))
    places = {v: i for i, v in enumerate(program.inputs)}
    computed = [a for a in program.outputs if not (isinstance(a, Var) and a in places)]
    sources: list[int] = []
    made = 0
    for a in program.outputs:
        if isinstance(a, Var) and a in places:
            sources.append(len(computed) + places[a])
        else:
            sources.append(made)
            made += 1
    native = None
    if computed:
        left = map_eqns(program, program.eqns, computed)
        native = compile_program(left).native if lift is None else lift(left)
        assert native is not None, "the forward Program has native code on this backend"
    return native, tuple([as_array(c) for c in found.constants]), getting, sources
