"""Looking for NaNs and infinities in what is computed: which operation made one, on which line of the user's.

The results of what was compiled are looked at.  If there is something, the Program runs again, equation by equation,
and each value carries what first made it what it is.  So what was made on the way and did not reach a result, as in a
branch of `where` that was not chosen, is not blamed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from covector._engine import _native
from covector._engine.base import errors
from covector._engine.base.config import config
from covector._engine.control.call import in_one
from covector._engine.core.primitive import Primitive
from covector._engine.core.trace import EVAL, Array, _known, _state, typeof, using
from covector._engine.ir.effects import is_kept
from covector._engine.ir.program import Eqn, Literal, Program
from covector._engine.types import dtypes
from covector._engine.types.avals import ShapedArray

_TESTS: dict[str, Callable[[np.ndarray], Any]] = {"nan": np.isnan, "inf": np.isinf}


def _places(x: Any, kinds: Iterable[str]) -> tuple[str, np.ndarray] | None:
    """The first of these kinds of which an array has elements, and where."""
    if not dtypes.is_inexact(x.dtype):
        return None
    values = np.asarray(x)
    for kind in kinds:
        places = _TESTS[kind](values)
        if places.any():
            return kind, places
    return None


def _has_any(xs: Iterable[Any], kinds: Sequence[str]) -> bool:
    return any(_places(x, kinds) is not None for x in xs)


class Origin:
    """What first made a value what it is: an operation, or an argument that came so."""

    __slots__ = ("kind", "text")

    def __init__(self, kind: str, text: str):
        self.kind, self.text = kind, text

    @classmethod
    def of(
        cls,
        name: str,
        source: errors.Source | None,
        operands: Sequence[Any],
        result: Any,
        found: tuple[str, np.ndarray],
        had: bool,
        steps: str = "",
    ) -> Origin:
        """An operation that gave such a result; `had`: an operand, a constant, was so already."""
        kind, places = found
        first = tuple(map(int, np.argwhere(places)[0]))
        types = [typeof(x).text() for x in operands]
        text = errors.made_invalid(name, source, types, typeof(result).text())
        text += errors.invalid_places(kind, int(places.sum()), places.size, first)
        if had:
            text += ", as an operand has"
        return cls(kind, text + steps)

    def error(self) -> FloatingPointError:
        """What to raise."""
        return FloatingPointError(f"invalid value ({self.kind}) encountered in {self.text}")


class Watched:
    """An array, and what made it have a NaN or infinity; None if it has none."""

    __slots__ = ("origin", "value")

    def __init__(self, value: Any, origin: Origin | None):
        self.value, self.origin = value, origin


class Watcher:
    """The interpreter that follows NaNs or infinities through a Program."""

    def __init__(self, kinds: Sequence[str]):
        self.kinds = kinds
        self.steps: list[str] = []

    def run(
        self, program: Program, args: Sequence[Watched], step: int | None = None
    ) -> list[Watched]:
        """The results of a closed Program, with what made them what they are."""
        if step is not None:
            self.steps.append(f"step {step} of {program.name}")
        env: dict[Any, Watched] = dict(zip(program.inputs, args, strict=True))

        def value(a: Any) -> Watched:
            return Watched(_known(a), None) if type(a) is Literal else env[a]

        for eqn in program.eqns:
            operands = [value(a) for a in eqn.inputs]
            if eqn.primitive.has_programs:
                outs = eqn.primitive.interpreted(self, *operands)
            else:
                outs = self._applied(eqn, operands)
            env.update(zip(eqn.outputs, outs, strict=True))
        if step is not None:
            self.steps.pop()
        return [value(a) for a in program.outputs]

    def _applied(self, eqn: Eqn, operands: Sequence[Watched]) -> list[Watched]:
        """The results of an equation that holds no Programs."""
        values = [x.value for x in operands]
        results = applied(eqn.primitive, values)
        outs: list[Watched] = []
        for result in results:
            found = _places(result, self.kinds)
            origin = None
            if found is not None:
                origin = self._inherited(eqn.primitive, operands, found)
            if found is not None and origin is None:
                had = _has_any([x for x in values if hasattr(x, "dtype")], self.kinds)
                source = eqn.source or _state.source or errors.user_source()
                name = eqn.primitive.name
                origin = Origin.of(name, source, values, result, found, had, self._where())
            outs.append(Watched(result, origin))
        return outs

    def _inherited(
        self, primitive: Primitive, operands: Sequence[Watched], found: tuple[str, np.ndarray]
    ) -> Origin | None:
        """The origin of the operand that a result has its places from."""
        bad = [i for i, x in enumerate(operands) if x.origin is not None]
        for i in bad if len(bad) > 1 else ():
            values = [x.value for x in operands]
            values[i] = _cleaned(values[i])
            again = [_places(x, self.kinds) for x in applied(primitive, values)]
            if not any(x is not None and np.array_equal(x[1], found[1]) for x in again):
                return operands[i].origin
        return operands[bad[0]].origin if bad else None

    def _where(self) -> str:
        return "".join([f", in {step}" for step in reversed(self.steps)])

    def number(self, x: Watched) -> Any:
        """The value of a scalar."""
        return np.asarray(x.value)[()]

    def part(self, x: Watched, at: int | tuple[int, ...]) -> Watched:
        """A part of an array: what made the whole what it is made the part so, if it is."""
        if at == ():
            return x
        value = _native.array_from(np.asarray(x.value)[at], weak_type=typeof(x.value).weak_type)
        return Watched(value, x.origin if _has_any([value], self.kinds) else None)

    def stacked(self, parts: Sequence[Watched], aval: ShapedArray) -> Watched:
        """The array whose parts these are."""
        value = _native.array_from(in_one([x.value for x in parts], aval), weak_type=aval.weak_type)
        origins = [x.origin for x in parts if x.origin is not None]
        return Watched(value, origins[0] if origins else None)


def applied(primitive: Primitive, values: Sequence[Any]) -> Sequence[Any]:
    """The results of a primitive on arrays, not looked at."""
    with config.override(debug_nans=False, debug_infs=False), using(EVAL):
        out = primitive(*values)
    return out if primitive.multiple else (out,)


def _cleaned(x: Any) -> Any:
    """The array with ones in the place of what is not finite."""
    values = np.asarray(x)
    return np.where(np.isfinite(values), values, np.ones((), values.dtype))


def look_at(name: str, operands: Sequence[Any], results: Sequence[Any]) -> None:
    """FloatingPointError if results of an operation have what the flags look for."""
    kinds = config.watched
    for x in results:
        if (found := _places(x, kinds)) is not None:
            source = _state.source or errors.user_source()
            raise Origin.of(name, source, operands, x, found, _has_any(operands, kinds)).error()


def watched(
    program: Program, arrays: Sequence[Any], compiled: Callable[[], list[Any]]
) -> list[Any]:
    """The results of a closed Program; FloatingPointError if they have what the flags look for.

    What has effects is done once: such a Program is not compiled, but runs equation by equation from the start.
    """
    kinds = config.watched
    if not is_kept(program.effects):
        results = compiled()
        if not _has_any(results, kinds):
            return results
    watcher = Watcher(kinds)
    types = [typeof(x).text() for x in arrays]
    given = [
        Watched(x, _argument(program.name, i, types[i], found))
        if (found := _places(x, kinds)) is not None
        else Watched(x, None)
        for i, x in enumerate(arrays)
    ]
    outs = watcher.run(program, given)
    for out in outs:
        if out.origin is not None:
            raise out.origin.error()
    if is_kept(program.effects):
        return [_array(x.value) for x in outs]
    raise Origin(
        kinds[0],
        f"{program.name}{errors.at_user_line()}: its results have one, but not when it runs operation by operation",
    ).error()


def _argument(name: str, i: int, type_: str, found: tuple[str, np.ndarray]) -> Origin:
    kind, places = found
    first = tuple(map(int, np.argwhere(places)[0]))
    where = errors.invalid_places(kind, int(places.sum()), places.size, first)
    text = f"{name}{errors.at_user_line()}: operand {i}, {type_}{where}, and a result has it from there"
    return Origin(kind, text)


def _array(x: Any) -> Any:
    if type(x) is Array:
        return x
    aval = typeof(x)
    return _native.array_from(np.asarray(x, aval.dtype), weak_type=aval.weak_type)
