"""Loops that change a large array an element at a time do as much in each step, however large it is: counted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import covector as cv
import covector.numpy as cnp
from covector import lax
from covector._engine.backends.cpu import backend
from covector._engine.backends.reference import kernels
from covector._engine.compile.pipeline import TO_KERNEL, run_passes
from covector._engine.control import pushed, while_
from covector._engine.control.unwind import Room
from covector._engine.ir.kernel import Copy, Kernel, Routine
from covector._engine.runtime.executable import job_of

Loop = Callable[[Any, Any, Any], Any]  # of a number, how many steps, an array


def filled(x: Any, n: Any, a: Any) -> Any:
    return lax.fori_loop(0, n, lambda i, a: a.at[i].set(cnp.sin(x * i)), a)


def that_reads(x: Any, n: Any, a: Any) -> Any:
    return lax.fori_loop(1, n, lambda i, a: a.at[i].set(a[i - 1] * x + a[i] * 0.1), a)


def with_a_choice(x: Any, n: Any, a: Any) -> Any:
    def step(i: Any, a: Any) -> Any:
        return lax.cond(i % 3 == 0, lambda a: a.at[i].set(cnp.sin(x * a[i])), lambda a: a, a)

    return lax.fori_loop(0, n, step, a)


def with_slices(x: Any, n: Any, a: Any) -> Any:
    def step(i: Any, a: Any) -> Any:
        row = lax.dynamic_slice(a, (i,), (2,))
        return lax.dynamic_update_slice(a, cnp.cos(row * x), (i,))

    return lax.fori_loop(0, n, step, a)


def stacked(x: Any, n: Any, a: Any) -> Any:
    def step(c: Any) -> Any:
        i, out, s = c
        return i + 1, out.at[i].set(s), cnp.sin(s * x + a[i])

    return lax.while_loop(lambda c: c[0] < n, step, (0, cnp.zeros_like(a), x))[1]


def with_its_own_choice(x: Any, n: Any, a: Any) -> Any:
    """The choice depends on the array, and is another one for each of a batch."""

    def step(i: Any, a: Any) -> Any:
        return lax.cond(a[i] < 0.7, lambda a: a.at[i].set(cnp.sin(x * a[i])), lambda a: a, a)

    return lax.fori_loop(0, n, step, a)


def multiplied(x: Any, n: Any, a: Any) -> Any:
    return lax.fori_loop(0, n, lambda i, a: a.at[i].mul(cnp.sin(x * i)), a)


def bounded(x: Any, n: Any, a: Any) -> Any:
    return lax.fori_loop(0, n, lambda i, a: a.at[i].min(x + i).at[i].max(a[i - 1]), a)


def stacked_by_a_scan(x: Any, n: Any, a: Any) -> Any:
    return lax.scan(lambda s, y: (cnp.sin(s * x + y), s), x, a)[1]


def inside_of_its_own(yes: Callable[[Any, Any, Any], Any]) -> Loop:
    """Steps in which each of a batch chooses for itself whether to change the array so."""

    def loop(x: Any, n: Any, a: Any) -> Any:
        def step(i: Any, a: Any) -> Any:
            return lax.cond(a[i] < 0.7, lambda a: yes(x, i, a), lambda a: a.at[i].add(x), a)

        return lax.fori_loop(0, n - 3, step, a)

    loop.__name__ = f"inside: {yes.__name__}"
    return loop


def a_shared_choice(x: Any, i: Any, a: Any) -> Any:
    """And another one in it that is the element's own."""

    def odd(a: Any) -> Any:
        return lax.cond(a[i] < 0.3, lambda a: a.at[i].mul(x), lambda a: a.at[i + 1].add(a[i]), a)

    return lax.cond(i % 2 == 0, lambda a: a.at[i].set(cnp.sin(x * a[i])), odd, a)


def a_scan(x: Any, i: Any, a: Any) -> Any:
    def step(a: Any, k: Any) -> Any:
        return a.at[i + k].set(cnp.sin(x * a[i + k + 1])), a[i]

    a, read = lax.scan(step, a, cnp.arange(3))
    return a.at[i].add(cnp.sum(read))


def a_loop_to_its_own_end(x: Any, i: Any, a: Any) -> Any:
    def step(c: Any) -> Any:
        return c[0] + 1, c[1].at[i + c[0]].mul(x)

    return lax.while_loop(lambda c: (c[0] < 3) & (c[1][i + c[0]] < 0.6), step, (0, a))[1]


def a_loop_that_all_share(x: Any, i: Any, a: Any) -> Any:
    def step(k: Any, a: Any) -> Any:
        return lax.cond(a[i] < 0.2, lambda a: a.at[i + k].set(cnp.cos(x)), lambda a: a, a)

    return lax.fori_loop(0, i % 3, step, a)


def a_loop_that_only_reads(x: Any, i: Any, a: Any) -> Any:
    total = lax.fori_loop(0, i % 3, lambda k, s: s + cnp.sin(a[i + k] * x), 0 * x)
    return a.at[i].set(lax.scan(lambda s, k: (s + a[i + k], None), total, cnp.arange(2))[0])


INSIDE = [
    a_shared_choice,
    a_scan,
    a_loop_to_its_own_end,
    a_loop_that_all_share,
    a_loop_that_only_reads,
]
LOOPS = [
    filled,
    that_reads,
    multiplied,
    bounded,
    with_a_choice,
    with_slices,
    stacked,
    stacked_by_a_scan,
    with_its_own_choice,
]


def gradient(f: Loop) -> Loop:
    return lambda x, n, a: cv.grad(lambda x, a: cnp.sum(cnp.sin(f(x, n, a))), (0, 1))(x, a)


def turn(f: Loop) -> Loop:
    """A derivative of the gradient."""
    return lambda x, n, a: cv.grad(lambda x: cnp.sum(gradient(f)(x, n, a)[1]))(x)


def batched(f: Loop) -> Loop:
    return lambda x, n, a: cv.vmap(lambda a: f(x, n, a))(cnp.stack([a, 2 * a]))


def batched_apart(f: Loop) -> Loop:
    """Of loops that end at other times."""
    return lambda x, n, a: cv.vmap(lambda n, a: f(x, n, a))(
        cnp.stack([n, n // 2]), cnp.stack([a, 2 * a])
    )


def gradient_of_a_batch(f: Loop) -> Loop:
    return lambda x, n, a: cv.grad(lambda x: cnp.sum(batched(f)(x, n, a)))(x)


WAYS: dict[str, Callable[[Loop], Loop]] = {
    "forwards": lambda f: f,
    "gradient": gradient,
    "turn": turn,
    "batch": batched,
    "batch apart": batched_apart,
    "gradient of a batch": gradient_of_a_batch,
    "gradients of a batch": lambda f: batched(gradient(f)),
    "gradients of a batch apart": lambda f: batched_apart(gradient(f)),
}


def one_place(machine: Any, s: Copy) -> bool:
    """Whether a copy has nothing to do."""
    (first, begin), (second, start) = [machine.where[b] for b, _ in (s.target, s.source)]
    return first is second and begin == start


def kernel_of(f: Loop, n: int, size: int) -> tuple[Kernel, Any]:
    """What runs so many steps on an array of so many elements, or any number of steps, and what it takes."""
    args = cnp.asarray(0.3), cnp.asarray(n), cnp.asarray(np.linspace(0, 1, size))
    program = cv.jit(f).trace(*args).program
    kernel = run_passes(program, TO_KERNEL, job_of(backend.BACKEND, ()))["memory"]
    assert isinstance(kernel, Kernel)
    return kernel, [np.asarray(x) for x in (*args, *program.constants)]


def bytes_written(kernel: Kernel, args: Any, monkeypatch: pytest.MonkeyPatch) -> int:
    """How many bytes a Kernel writes, when the oracle runs it."""
    count = 0
    write = kernels.Machine.write

    def counted(self: Any, buffer: Any, at: Any, value: Any, mask: Any, who: Any) -> None:
        nonlocal count
        called = isinstance(who, Routine) and who.name in kernel.functions  # that has written it
        if not called and not (isinstance(who, Copy) and one_place(self, who)):
            count += np.broadcast(at, value, mask).size * value.dtype.itemsize
        write(self, buffer, at, value, mask, who)

    with monkeypatch.context() as patched:
        patched.setattr(kernels.Machine, "write", counted)
        kernels.run(kernel, args)
    return count


def written(f: Loop, n: int, size: int, monkeypatch: pytest.MonkeyPatch) -> int:
    """How many bytes so many steps on an array of so many elements write."""
    return bytes_written(*kernel_of(f, n, size), monkeypatch)


CASES = [
    (f, way)
    for f in LOOPS
    for way in WAYS
    if (way != "turn" or f is that_reads)
    and (f is with_its_own_choice or way != "gradient of a batch")
]


@pytest.fixture
def little_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loops that go back have little memory, which the oracle fills with zeros."""
    room = Room(tape=1 << 15, steps=1000, states=0, digits=3)
    for module in (pushed, while_):
        for name in ("BOUNDED", "MANY"):
            monkeypatch.setattr(module, name, room)
    monkeypatch.setattr(pushed, "wide_room", lambda *_: room)


@pytest.mark.usefixtures("little_room")
@pytest.mark.parametrize(("loop", "way"), CASES, ids=lambda x: getattr(x, "__name__", x))
def test_what_is_written_grows_as_the_steps(
    loop: Loop, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    few, many = [written(WAYS[way](loop), n, n, monkeypatch) for n in (40, 80)]
    assert many <= 2.4 * few, (few, many)


@pytest.mark.usefixtures("little_room")
@pytest.mark.parametrize("way", ["forwards", "batch", "gradient", "gradients of a batch"])
@pytest.mark.parametrize("yes", INSIDE, ids=lambda f: f.__name__)
def test_what_is_inside_of_a_branch_writes_no_whole_array(
    yes: Any, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In so many steps; before and after the loop arrays are copied and filled.

    What runs to an end that is not known keeps for its gradient what it begins with.
    """
    if "loop" in yes.__name__ and "gradient" in way:
        return
    steps, few, many = 20, 100, 1100
    first, second = [
        written(WAYS[way](inside_of_its_own(yes)), steps, size, monkeypatch) for size in (few, many)
    ]
    arrays = (second - first) / (8 * (many - few))
    assert arrays <= (2 if "batch" in way else 1) * (20 if "gradient" in way else 1)


# Loops of unknown length within one of n steps.


def that_reads_only(x: Any, n: Any, a: Any) -> Any:
    def step(i: Any, s: Any) -> Any:
        more = lambda c: c[0] < i % 4  # noqa: E731
        return lax.while_loop(more, lambda c: (c[0] + 1, cnp.sin(c[1] * a[i + c[0]])), (0, s))[1]

    return lax.fori_loop(0, n, step, x)


def that_updates(x: Any, n: Any, a: Any) -> Any:
    return lax.fori_loop(0, n, lambda i, a: lax.fori_loop(i, i + i % 4, a_change(x), a), a)


def a_change(x: Any) -> Callable[[Any, Any], Any]:
    return lambda j, a: a.at[j].set(cnp.sin(a[j + 1] * x))


def in_a_branch(x: Any, n: Any, a: Any) -> Any:
    def step(i: Any, a: Any) -> Any:
        yes = lambda a: lax.fori_loop(i, i + i % 4, a_change(x), a)  # noqa: E731
        return lax.cond(i % 3 > 0, yes, lambda a: a.at[i].mul(x), a)

    return lax.while_loop(lambda c: c[0] < n, lambda c: (c[0] + 1, step(*c)), (0, a))[1]


def three_deep(x: Any, n: Any, a: Any) -> Any:
    def middle(j: Any, a: Any) -> Any:
        return lax.fori_loop(j, 2 * j, a_change(x), a)

    return lax.fori_loop(0, n, lambda i, a: lax.fori_loop(0, i % 3, middle, a).at[i].add(x), a)


def with_rows(x: Any, n: Any, a: Any) -> Any:
    """Too large for locals."""

    def middle(a: Any, j: Any) -> Any:
        return lax.fori_loop(j, 2 * j, a_change(x), a), a[j]

    def step(i: Any, a: Any) -> Any:
        a, read = lax.scan(middle, a, cnp.arange(3))
        return a.at[i].add(cnp.sum(read))

    return lax.fori_loop(0, n, step, a)


NESTS = [that_reads_only, that_updates, in_a_branch, three_deep, with_rows]


def arrays_in_a_step(f: Loop, monkeypatch: pytest.MonkeyPatch) -> float:
    """How many arrays of the size of all a step writes, what is written before and after the loops excepted."""
    found: list[int] = []
    for size in (600, 1200):
        kernel, (x, _, *rest) = kernel_of(f, 0, size)
        few, many = [bytes_written(kernel, [x, np.int32(n), *rest], monkeypatch) for n in (3, 9)]
        found.append(many - few)
    return (found[1] - found[0]) / (6 * 8 * 600)


@pytest.mark.usefixtures("little_room")
@pytest.mark.parametrize("way", ["gradient", "gradients of a batch", "gradient of a batch"])
@pytest.mark.parametrize("loop", NESTS)
def test_gradients_of_nests_write_no_whole_array_in_a_step(
    loop: Loop, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert arrays_in_a_step(WAYS[way](loop), monkeypatch) < 0.2


def twice(f: Loop) -> Loop:
    """A derivative of the gradient in the array, in the array."""

    def slope(x: Any, n: Any, a: Any) -> Any:
        return cv.grad(lambda a: cnp.sum(cnp.sin(f(x, n, a))))(a)

    return lambda x, n, a: cv.grad(lambda a: cnp.sum(cnp.sin(slope(x, n, a))))(a)


def forwards_over_gradient(f: Loop) -> Loop:
    """The product of the Hessian in the array with a vector."""

    def product(x: Any, n: Any, a: Any) -> Any:
        slope = cv.grad(lambda a: cnp.sum(cnp.sin(f(x, n, a))))
        return cv.jvp(slope, (a,), (cnp.cos(a),))[1]

    return product


def gradient_over_forwards(f: Loop) -> Loop:
    def product(x: Any, n: Any, a: Any) -> Any:
        pushed = lambda a: cv.jvp(lambda a: cnp.sum(cnp.sin(f(x, n, a))), (a,), (cnp.cos(a),))[1]  # noqa: E731
        return cv.grad(pushed)(a)

    return product


@pytest.mark.usefixtures("little_room")
@pytest.mark.parametrize(
    ("loop", "way"),
    [
        *[(f, twice) for f in NESTS],
        (that_updates, turn),
        (that_updates, gradient_over_forwards),
        (in_a_branch, forwards_over_gradient),
    ],
)
def test_second_derivatives_of_nests_write_no_whole_array_in_a_step(
    loop: Loop, way: Callable[[Loop], Loop], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is called changes arrays where they lie; and what is read of them is read first.

    The cotangent of a cotangent is set to 0 where it was read, and what was read is added there.
    """
    assert arrays_in_a_step(way(loop), monkeypatch) < 0.2


def test_gradients_of_many_small_loops_run_on_lanes() -> None:
    def advanced(y: Any) -> Any:
        def step(c: Any) -> Any:
            t, y = c
            return t + 0.01 * (1 + cnp.abs(y[0])), y + cnp.stack([cnp.sin(y[1]), -y[0] * y[1]])

        return lax.while_loop(lambda c: c[0] < 1, step, (cnp.float32(0), y))[1]

    slopes = cv.jit(cv.grad(lambda y: cv.vmap(advanced)(y).sum()))
    text = slopes.lower(cnp.ones((1000, 2))).compile().as_text()
    assert "for lane0 < 1000:  @ vector" in text
