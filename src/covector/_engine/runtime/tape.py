"""Eager reverse mode on the native tape: `grad` of what is inside no trace but those of native levels.

Calls of operators, functions of `covector.numpy` and jitted functions go on the tape in native code; `TapeTrace` is for
the primitives that Python code applies one by one.  The specification are the traces of `transforms/forward.py`
and `transforms/transpose.py`, which serve every other nesting.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import compress
from typing import Any

from covector._engine import _native, primitives as prims
from covector._engine.core import levels
from covector._engine.core.levels import LevelTrace, TapeTracer
from covector._engine.core.symbolic import is_zero
from covector._engine.core.trace import Tracer, current, set_current, typeof
from covector._engine.runtime.eager import as_array, by_rules, function_of, operand_of
from covector._engine.transforms.forward import Tape, record_flat


class TapeTrace(LevelTrace):
    """Puts operations on values of its tape on it."""

    __slots__ = ()

    def apply(self, primitive: Any, args: Sequence[Any]) -> Any:
        operands = [operand_of(primitive, x) for x in args]
        if primitive.online or primitive.effects:  # nothing keeps the functions that it calls
            return by_rules(primitive, operands)
        return function_of(primitive)(*operands)


def serves(primals: Sequence[Any], mask: Sequence[bool]) -> bool:
    """Whether a function can be recorded at these values: outside any other trace, at arrays."""
    return (
        levels.serves()
        and any(mask)
        and all(_native.is_native_value(x) for x in compress(primals, mask))
    )


def serves_cotangents(cotangents: Sequence[Any]) -> bool:
    """Whether a tape can be pulled natively: outside any other trace, with values."""
    return levels.serves() and not any(
        isinstance(ct, Tracer) and not _native.is_native_value(ct) for ct in cotangents
    )


class Recording:
    """The results of a function, and the tape that leads back to its arguments."""

    __slots__ = ("_inputs", "_results", "_tape", "outs")

    outs: list[Any]  # the results' values

    def __init__(
        self, f: Callable[..., Sequence[Any]], primals: Sequence[Any], mask: Sequence[bool]
    ):
        tape = self._tape = _native.Tape()
        self._inputs = [typeof(x) for x in compress(primals, mask)]
        args = [tape.input(x) if live else x for x, live in zip(primals, mask, strict=True)]
        before = set_current(TapeTrace(tape, current()))
        outer = _native.set_level(tape)
        try:
            self._results = tuple(f(*args))
        finally:
            _native.set_level(outer)
            tape.close()
            set_current(before)
        self.outs = [
            x.primal if type(x) is TapeTracer and x._trace is tape else x for x in self._results
        ]

    def pull(self, cotangents: Sequence[Any], consume: bool = False) -> list[Any]:
        """The cotangents of the arguments from those of the first results; None where nothing arrives.

        With `consume` residuals are freed as they are used: it can be pulled once.
        """
        given = tuple([None if is_zero(ct) else as_array(ct) for ct in cotangents])
        return self._tape.pull(self._results[: len(given)], given, len(self._inputs), consume)

    def push(self, tangents: Sequence[Any], results: int) -> list[Any]:
        """The tangents of the first results, under the current trace; None where they are zero."""
        env = dict(enumerate(tangents))
        for back, residuals, operands, first, count in self._tape.nodes():
            pushed = back.push(residuals, [env[i] for i in operands])
            env.update(zip(range(first, first + count), pushed, strict=True))
        outputs = self._tape.numbers(self._results[:results])
        return [None if i is None else env[i] for i in outputs]

    def pull_traced(self, cotangents: Sequence[Any]) -> list[Any]:
        """As `pull`, under the current trace, which may be one of a batch."""
        cts: dict[int, Any] = {}

        def arrive(number: int, ct: Any) -> None:
            if ct is not None and not is_zero(ct):
                cts[number] = prims.add(cts[number], ct) if number in cts else ct

        outputs = self._tape.numbers(self._results[: len(cotangents)])
        for number, ct in zip(outputs, cotangents, strict=True):
            if number is not None:
                arrive(number, ct)
        for back, residuals, operands, first, count in reversed(self._tape.nodes()):
            given = [cts.pop(i, None) for i in range(first, first + count)]
            if any(ct is not None for ct in given):
                backs = back.pull(residuals, given)
                for number, ct in zip(operands, backs, strict=True):
                    arrive(number, ct)
        return [cts.get(i) for i in range(len(self._inputs))]

    def linear(self, results: int) -> Tape:
        """The tape as the traces in Python have it, to so many results: for what other traces do with it."""
        types = [aval.tangent() for aval in self._inputs]
        return record_flat(lambda *ts: self.push(ts, results), types, [True] * len(types))[1]
