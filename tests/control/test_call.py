"""A Call is its Program, under every transformation; what is derived from the Program is made once."""

from __future__ import annotations

import gc
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pytest
from tests.transforms.functions import (
    VECTOR,
    assert_close,
    check_batch,
    check_jvp,
    check_linearize,
    materialized,
    pair,
    random_function,
)

from covector._engine import primitives as prims
from covector._engine.control.call import Call
from covector._engine.core.primitive import Primitive
from covector._engine.core.trace import stage
from covector._engine.ir import program as ir_program
from covector._engine.ir.effects import Effect
from covector._engine.ir.program import Program
from covector._engine.transforms import programs
from covector._engine.transforms.forward import linearize_flat
from covector._engine.transforms.transpose import pull
from covector._engine.types.avals import ShapedArray


def program_of(seed: int) -> Program:
    return stage(random_function(seed), [VECTOR, VECTOR], "f")


@pytest.mark.parametrize("seed", range(12))
def test_a_call_obeys_the_laws(seed: int, rng: np.random.Generator) -> None:
    f = Call(program_of(seed))
    args = pair(rng)
    assert_close(f(*args), random_function(seed)(*args))
    check_jvp(f, args, pair(rng))
    check_linearize(f, args, pair(rng), pair(rng))
    check_batch(f, [rng.normal(size=(3, 2)), args[1]], (1, None), 2)


def test_repeated_transformation_derives_nothing_new(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    f = Call(program_of(3))
    args = pair(rng)

    def gradient() -> list[Any]:
        outs, tape = linearize_flat(f, args)
        return materialized(pull(tape, [np.ones_like(o) for o in outs]))

    first = gradient()
    monkeypatch.setattr(programs, "stage", None)
    assert_close(gradient(), first)


def test_what_is_derived_goes_with_the_program(rng: np.random.Generator) -> None:
    gc.collect()
    before = len(ir_program._derived)
    program = program_of(4)
    outs, tape = linearize_flat(Call(program), pair(rng))
    pull(tape, [np.ones_like(o) for o in outs])
    assert len(ir_program._derived) > before
    del program, tape
    gc.collect()
    assert len(ir_program._derived) == before


def test_grad_of_a_call_is_two_calls(rng: np.random.Generator) -> None:
    """One runs forwards and keeps residuals, the other is the transposed linear Program."""
    program = program_of(5)

    def f(x: Any, y: Any) -> list[Any]:
        outs, tape = linearize_flat(Call(program), [x, y])
        return pull(tape, [np.ones((3,)) for _ in outs])

    names = [eqn.primitive.program.name for eqn in stage(f, [VECTOR, VECTOR]).eqns]
    assert names == ["known_f", "transposed_linear_f"]


def test_inputs_and_results_are_not_returned_again_as_residuals() -> None:
    scalar = ShapedArray((), np.dtype(np.float64))
    program = stage(lambda x, y: [prims.exp(prims.mul(x, y))], [scalar, scalar], "f")
    split = programs.linearize_program(program, (True, True))
    assert len(split.known.outputs) == 1
    assert sorted(split.residuals) == [0, 1, 2]


def test_zero_tangents_stay_symbolic() -> None:
    program = stage(lambda x, y: [prims.sin(x), prims.cos(y)], [VECTOR, VECTOR], "f")
    assert programs.jvp_program(program, (False, True)).nonzero == (False, True)
    split = programs.linearize_program(program, (True, False))
    assert split.nonzero == (True, False)
    assert programs.transpose_program(split.linear, (False, True), (True,)).nonzero == (True,)


@dataclass(frozen=True)
class Noted(Primitive):
    """The operand itself; that it was computed is an effect."""

    name: ClassVar[str] = "noted"
    effects: ClassVar[frozenset[Effect]] = frozenset({Effect("note")})

    def type(self, x: ShapedArray) -> ShapedArray:
        return x

    def reference(self, x: Any) -> Any:
        return x

    def jvp(self, primals: Any, tangents: Any) -> Any:
        return self(*primals), tangents[0]


def test_effects_pass_through() -> None:
    def f(x: Any) -> list[Any]:
        Noted()(x)
        return [prims.sin(x)]

    call = Call(stage(f, [VECTOR], "f"))
    assert call.effects == {Effect("note")}
    outer = Call(stage(lambda x: call(x), [VECTOR], "g"))
    assert outer.effects == {Effect("note")}
    split = programs.linearize_program(outer.program, (True,))
    assert Call(split.known).effects == {Effect("note")}
    assert Call(split.linear).effects == frozenset()


def test_wrong_operands_are_refused() -> None:
    f = Call(program_of(0))
    with pytest.raises(
        TypeError, match=r"call\[f\] takes float64\[3\], float64\[3\]; it got float64\[3\]"
    ):
        f(np.zeros(3))
    with pytest.raises(TypeError, match=r"it got float64\[3\], float32\[3\]"):
        f(np.zeros(3), np.zeros(3, np.float32))


def test_text_shows_the_functions_name() -> None:
    f = Call(program_of(0))
    text = str(stage(lambda x, y: f(x, y), [VECTOR, VECTOR]))
    assert "call[f] a b" in text
    assert "f(a:float64[3], b:float64[3]) {" in text
