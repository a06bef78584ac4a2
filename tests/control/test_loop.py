"""A Scan is the unrolled Python loop, under every transformation; it keeps no more residuals than it must."""

from __future__ import annotations

from collections.abc import Callable
from itertools import compress
from typing import Any

import numpy as np
import pytest
from tests.transforms.functions import (
    FlatFunction,
    assert_close,
    check_batch,
    check_jvp,
    check_linearize,
    gradient,
    mapped,
    pushforward,
    staged,
    total,
)

from covector._engine import primitives as prims
from covector._engine.control.derived import Layout
from covector._engine.control.loop import Scan
from covector._engine.control.parted import Origin, linearize_body
from covector._engine.core.trace import stage, typeof
from covector._engine.ir.program import Program
from covector._engine.transforms.forward import record_flat
from covector._engine.transforms.transpose import pull
from covector._engine.types.avals import ShapedArray

F64 = np.dtype(np.float64)
SCALAR, VECTOR, COUNT = (
    ShapedArray((), F64),
    ShapedArray((3,), F64),
    ShapedArray((), np.dtype(np.int32)),
)
LENGTH = 4


def recurrent(w: Any, h: Any, x: Any) -> list[Any]:
    h = prims.tanh(prims.add(prims.mul(w, h), x))
    return [h, prims.mul(h, prims.sin(w))]


def counting(w: Any, i: Any, h: Any, x: Any) -> list[Any]:
    """An integer in the carry, which the tangents do not reach."""
    scaled = prims.mul(h, prims.convert(i, F64))
    return [prims.add(i, 1), prims.add(scaled, prims.mul(w, x)), i]


def spreading(w: Any, a: Any, b: Any, x: Any) -> list[Any]:
    """What depends on w moves from one carried value to the next: two rounds until the masks settle."""
    return [prims.mul(w, x), prims.add(a, prims.square(b)), b]


def swapping(a: Any, b: Any, x: Any) -> list[Any]:
    return [b, prims.mul(a, x), a, b]


def forgetting(w: Any, h: Any, x: Any) -> list[Any]:
    """The carry ends up as a constant, results too."""
    return [prims.full((3,), 1.0, F64), prims.mul(h, prims.mul(w, x)), prims.full((3,), 2.0, F64)]


def without_xs(w: Any, h: Any) -> list[Any]:
    return [prims.mul(prims.sin(h), w)]


def nested(w: Any, h: Any, x: Any) -> list[Any]:
    """A loop in a loop, over the elements of the carry."""
    inner = stage(
        lambda c, s, e: [prims.add(prims.mul(c, s), prims.sin(e)), s],
        [SCALAR, SCALAR, SCALAR],
        "inner",
    )
    last, seen = Scan(inner, 3, False, 1, 1)(total(w), x, h)
    return [prims.mul(h, last), seen]


# The body, its consts, the first carry, the slices.
BODIES: dict[
    str, tuple[Callable[..., list[Any]], list[ShapedArray], list[ShapedArray], list[ShapedArray]]
] = {
    "recurrent": (recurrent, [VECTOR], [VECTOR], [VECTOR]),
    "counting": (counting, [VECTOR], [COUNT, VECTOR], [VECTOR]),
    "spreading": (spreading, [VECTOR], [VECTOR, VECTOR], [VECTOR]),
    "swapping": (swapping, [], [VECTOR, VECTOR], [VECTOR]),
    "forgetting": (forgetting, [VECTOR], [VECTOR], [VECTOR]),
    "without xs": (without_xs, [VECTOR], [VECTOR], []),
    "nested": (nested, [VECTOR], [VECTOR], [SCALAR]),
}


def program_of(name: str) -> Program:
    body, *types = BODIES[name]
    return stage(body, [t for group in types for t in group], "body")


def operands(name: str, rng: np.random.Generator) -> list[Any]:
    _, consts, carry, xs = BODIES[name]
    types = [*consts, *carry, *[x.with_shape((LENGTH, *x.shape)) for x in xs]]
    return [
        np.asarray(rng.normal(size=t.shape) if t.dtype == F64 else 2).astype(t.dtype) for t in types
    ]


def looped(name: str, reverse: bool = False) -> FlatFunction:
    _, consts, carry, _ = BODIES[name]
    return Scan(program_of(name), LENGTH, reverse, len(consts), len(carry))


def unrolled(name: str, reverse: bool = False) -> FlatFunction:
    body, consts, carry, _ = BODIES[name]
    k, n = len(consts), len(carry)

    def f(*args: Any) -> list[Any]:
        state, steps = list(args[k : k + n]), []
        for i in range(LENGTH)[:: -1 if reverse else 1]:
            shapes = [typeof(x).shape for x in args[k + n :]]
            cut = [
                prims.Slice((i, *[0] * len(s[1:])), (i + 1, *s[1:]), (1,) * len(s))(x)
                for x, s in zip(args[k + n :], shapes, strict=True)
            ]
            out = body(
                *args[:k],
                *state,
                *[prims.Reshape(s[1:])(x) for x, s in zip(cut, shapes, strict=True)],
            )
            state = out[:n]
            steps.append(out[n:])
        if reverse:
            steps.reverse()
        ys = [
            prims.Concatenate(0)(*[prims.Reshape((1, *typeof(y).shape))(y) for y in column])
            for column in zip(*steps, strict=True)
        ]
        return [*state, *ys]

    return f


def floats(f: FlatFunction, args: list[Any]) -> tuple[FlatFunction, list[Any]]:
    """The function of its floating arguments, with its floating results alone."""
    real = [np.asarray(x).dtype == F64 for x in args]

    def g(*given: Any) -> list[Any]:
        rest = iter(given)
        outs = f(*[next(rest) if r else x for x, r in zip(args, real, strict=True)])
        return [o for o in outs if typeof(o).dtype == F64]

    return g, [x for x, r in zip(args, real, strict=True) if r]


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("name", BODIES)
def test_the_loop_is_the_unrolled_loop(name: str, reverse: bool, rng: np.random.Generator) -> None:
    args = operands(name, rng)
    assert_close(looped(name, reverse)(*args), unrolled(name, reverse)(*args))


TRANSFORMED: dict[str, Callable[[FlatFunction], FlatFunction]] = {
    "grad": gradient,
    "jvp": pushforward,
    "grad of grad": lambda f: gradient(gradient(f)),
    "jvp of grad": lambda f: pushforward(gradient(f)),
    "grad of jvp": lambda f: gradient(pushforward(f)),
    "grad of grad of grad": lambda f: gradient(gradient(gradient(f))),
}


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("transformed", TRANSFORMED)
@pytest.mark.parametrize("name", BODIES)
def test_derivatives_are_those_of_the_unrolled_loop(
    name: str, transformed: str, reverse: bool, rng: np.random.Generator
) -> None:
    transform = TRANSFORMED[transformed]
    args = operands(name, rng)
    loop, values = floats(looped(name, reverse), args)
    wanted, _ = floats(unrolled(name, reverse), args)
    assert_close(transform(loop)(*values), transform(wanted)(*values))


@pytest.mark.parametrize("name", BODIES)
def test_derivatives_of_staged_loops(name: str, rng: np.random.Generator) -> None:
    loop, values = floats(looped(name), operands(name, rng))
    assert_close(gradient(staged(loop, values))(*values), gradient(loop)(*values))
    assert_close(staged(gradient(loop), values)(*values), gradient(loop)(*values))


@pytest.mark.parametrize("name", BODIES)
def test_laws(name: str, rng: np.random.Generator) -> None:
    f, args = floats(looped(name), operands(name, rng))
    tangents = [rng.normal(size=x.shape) for x in args]
    check_jvp(f, args, tangents)
    check_linearize(f, args, tangents, [rng.normal(size=np.shape(o)) for o in f(*args)])


@pytest.mark.parametrize("where", ["all", "consts", "carry", "xs"])
@pytest.mark.parametrize("position", [0, 1])
@pytest.mark.parametrize("name", BODIES)
def test_a_batch_of_loops(name: str, where: str, position: int, rng: np.random.Generator) -> None:
    _, consts, carry, xs = BODIES[name]
    kinds = ["consts"] * len(consts) + ["carry"] * len(carry) + ["xs"] * len(xs)
    args = operands(name, rng)
    dims = [
        min(position, x.ndim) if where in ("all", kind) and x.dtype == F64 else None
        for x, kind in zip(args, kinds, strict=True)
    ]
    if all(d is None for d in dims):
        return
    batched = [
        x if d is None else np.stack([x, 2 * x, -x], d) for x, d in zip(args, dims, strict=True)
    ]
    check_batch(looped(name), batched, dims, 3)
    f, values = floats(looped(name), args)
    rows = [np.stack([x, 2 * x]) for x in values]
    check_batch(gradient(f), rows, [0] * len(rows), 2)


@pytest.mark.parametrize("name", ["recurrent", "counting", "nested"])
def test_gradient_of_a_batch(name: str, rng: np.random.Generator) -> None:
    whole = operands(name, rng)
    chosen = [i for i, x in enumerate(whole) if x.shape == (3,)][:2]

    def of(f: FlatFunction) -> FlatFunction:
        def g(*vectors: Any) -> list[Any]:
            full = list(whole)
            for i, v in zip(chosen, vectors, strict=True):
                full[i] = v
            return [o for o in f(*full) if typeof(o).dtype == F64]

        return g

    args = [whole[i] for i in chosen]
    assert_close(
        gradient(mapped(of(looped(name))))(*args), gradient(mapped(of(unrolled(name))))(*args)
    )


def test_no_steps() -> None:
    scan = Scan(program_of("recurrent"), 0, False, 1, 1)
    h, ys = scan(np.ones(3), np.full(3, 2.0), np.zeros((0, 3)))
    assert_close([h, ys], [np.full(3, 2.0), np.zeros((0, 3))])
    back = gradient(scan)(np.ones(3), np.full(3, 2.0), np.zeros((0, 3)))
    assert_close(back, [np.zeros(3), np.ones(3), np.zeros((0, 3))])


def test_transposition_runs_known_carries_first(rng: np.random.Generator) -> None:
    """A counter, and the powers of a const, are carried beside what is linear."""

    def body(w: Any, i: Any, p: Any, y: Any, x: Any) -> list[Any]:
        return [
            prims.add(i, 1),
            prims.mul(p, w),
            prims.add(prims.mul(y, p), prims.mul(x, prims.convert(i, F64))),
            prims.mul(y, w),
        ]

    program = stage(body, [VECTOR, COUNT, VECTOR, VECTOR, VECTOR], "body")
    w, xs = rng.normal(size=3), rng.normal(size=(LENGTH, 3))

    def linear(y: Any, xs: Any) -> list[Any]:
        scan = Scan(program, LENGTH, False, 1, 3)
        _, _, last, ys = scan(w, np.int32(0), np.ones(3), y, xs)
        return [last, ys]

    y, cts = rng.normal(size=3), [rng.normal(size=3), rng.normal(size=(LENGTH, 3))]
    _, tape = record_flat(linear, [VECTOR, typeof(xs)], [True, True])
    back = pull(tape, cts)
    left = sum(float(np.sum(o * c)) for o, c in zip(linear(y, xs), cts, strict=True))
    right = float(np.sum(y * back[0]) + np.sum(xs * back[1]))
    np.testing.assert_allclose(left, right)


# ------------------------------------------------------------------------------------------------- residuals


def split(name: str) -> Any:
    _, consts, carry, _ = BODIES[name]
    program = program_of(name)
    nonzero = tuple(v.aval.dtype == F64 for v in program.inputs)
    return program, linearize_body(program, Layout(len(consts), len(carry)), nonzero)


def test_residuals_that_do_not_change_are_hoisted() -> None:
    _, found = split("recurrent")
    assert [str(e.primitive) for e in found.hoisted.eqns] == ["sin", "cos"]
    assert ["sin" in str(e.primitive) for e in found.known.eqns] == [False] * len(found.known.eqns)


def test_residuals_that_follow_from_others_are_not_stored() -> None:
    """tanh needs 1 - h**2: h is stored, and that is all beside the carry."""
    program, found = split("recurrent")
    assert len(found.known.outputs) - len(program.outputs) == 2
    assert {s.kind for s in found.xs_sources} == {"ys"}


def test_residuals_that_are_slices_or_results_are_not_stored_again() -> None:
    program, found = split("swapping")
    assert len(found.known.outputs) == len(program.outputs)  # x is a slice, a is a result
    assert set(found.xs_sources) == {Origin("xs", 0), Origin("ys", 0)}


def test_nothing_is_stored_for_a_linear_loop() -> None:
    body = stage(
        lambda w, h, x: [prims.add(prims.mul(h, 0.5), x), h], [VECTOR, VECTOR, VECTOR], "body"
    )
    found = linearize_body(body, Layout(1, 1), (False, True, True))
    assert len(found.known.outputs) == 2
    assert found.const_sources == found.xs_sources == ()


def test_what_is_linearized_again_is_remembered() -> None:
    program, found = split("recurrent")
    assert linearize_body(program, Layout(1, 1), (True, True, True)) is found


@pytest.mark.parametrize("name", BODIES)
def test_pruned_loops_give_the_results_that_are_used(name: str, rng: np.random.Generator) -> None:
    scan, args = looped(name), operands(name, rng)
    assert isinstance(scan, Scan)
    wanted = scan(*args)
    for i in range(len(wanted)):
        pruned, inputs, outputs = scan.live([j == i for j in range(len(wanted))])
        assert outputs[i]
        found = pruned(*compress(args, inputs))
        assert_close(found, list(compress(wanted, outputs)))


def test_pruned_loops_do_nothing_else() -> None:
    body = stage(
        lambda a, b, x: [prims.add(a, x), prims.sin(b), a], [SCALAR, SCALAR, SCALAR], "body"
    )
    pruned, inputs, outputs = Scan(body, LENGTH, False, 0, 2).live([True, False, False])
    assert (inputs, outputs) == ([True, False, True], [True, False, False])
    assert [e.primitive for e in pruned.body.eqns] == [prims.add]


# -------------------------------------------------------------------------------------------------- messages


def test_operands_that_do_not_fit() -> None:
    scan = Scan(program_of("recurrent"), LENGTH, False, 1, 1)
    with pytest.raises(
        TypeError,
        match=r"the operands must be float64\[3\], float64\[3\], float64\[4,3\]; they are",
    ):
        scan(np.ones(3), np.ones(3), np.ones((5, 3)))
    body = stage(lambda h, x: [prims.convert(h, np.dtype(np.float32)), x], [VECTOR, VECTOR], "body")
    with pytest.raises(
        TypeError, match=r"carry results of the body must be float64\[3\]; they are float32\[3\]"
    ):
        Scan(body, LENGTH, False, 0, 1)(np.ones(3), np.ones((4, 3)))
