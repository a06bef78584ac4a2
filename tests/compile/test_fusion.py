"""What is stored and what is computed again: long and unrolled Programs stay linear, and the reasons are told."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from tests.compile.test_goldens import kernel_of, repeat

import covector
from covector import lax, numpy as cnp
from covector._engine.compile.cuts import cuts
from covector._engine.ir import index as ix
from covector._engine.ir.kernel import Buffer, If, Store, expressions, nodes, roots, walk
from covector._engine.ir.scalar import const
from covector._engine.types import dims

STEPS: dict[str, Callable[[Any, Any], Any]] = {
    "roll": lambda b, x: b.roll(x, 1) + x,
    "stencil": lambda b, x: x + 0.125 * (b.roll(x, 1) - 2 * x + b.roll(x, -1)),
    "slices": lambda b, x: b.concatenate([x[1:] + x[:-1], x[:1]]) * 0.5,
    "butterfly": lambda b, x: b.concatenate([x[::2] + x[1::2], x[::2] - x[1::2]]) * 0.5,
    "pad": lambda b, x: b.pad(x[2:], (1, 1)) - x,
    "interleave": lambda b, x: b.stack([x[::2], x[1::2] + x[::2]], 1).reshape(-1) * 0.5,
    "nine points": lambda b, x: b.pad(
        sum(x.reshape(8, 8)[i : i + 6, j : j + 6] for i in range(3) for j in range(3)) / 8, 1
    ).reshape(-1),
    "reversal": lambda b, x: x[::-1] + x,
    "gather": lambda b, x: x[np.arange(x.size) * 5 % x.size] + 1,
    "windows": lambda b, x: b.tile(x[:16] + x[-16:], 4) + x,
}


def size(f: Callable[..., Any], *args: Any) -> int:
    """How many nodes the expressions of a Kernel are."""
    seen: set[Any] = set()
    return sum(1 for s in walk(kernel_of(f, args).body) for _ in nodes(roots(s), seen))


@pytest.mark.parametrize("name", STEPS)
def test_unrolled_steps(name: str) -> None:
    """Code grows with the number of steps, and values are NumPy's."""

    def steps(b: Any, count: int) -> Callable[[Any], Any]:
        return repeat(lambda x: STEPS[name](b, x), count)

    x = np.random.default_rng(0).integers(-8, 9, 64).astype(np.float64)
    few, many = size(steps(cnp, 6), x), size(steps(cnp, 24), x)
    assert many < 6 * few
    np.testing.assert_allclose(covector.jit(steps(cnp, 7))(x), steps(np, 7)(x), rtol=1e-13)


@pytest.mark.parametrize(
    "step",
    [
        lambda x: x[::-1] + 1,
        lambda x: x.T + 1,
        lambda x: (x.T.reshape(2, 8) + 1).T.reshape(4, 4),
        lambda x: cnp.pad(x[1:] + x[:-1], ((0, 1), (0, 0))),
        lambda x: cnp.pad(x[1:], ((0, 1), (0, 0)), constant_values=1.0),
        lambda x: x[np.array([2, 0, 3, 1])] + 1,
        lambda x: cnp.where(x > 3, x - 1, x * 2),
    ],
)
def test_long_chains_need_no_deep_stack(step: Callable[[Any], Any]) -> None:
    x = np.ones((4, 4), np.float32)
    wanted, one = x, covector.jit(step)
    for _ in range(300):
        wanted = np.asarray(one(wanted))
    np.testing.assert_array_equal(covector.jit(repeat(step, 300))(x), wanted)


def test_conditions_vanish_where_a_space_is_cut() -> None:
    def conditions(f: Callable[..., Any], *args: Any) -> int:
        kernel, seen = kernel_of(f, args), set[Any]()
        inside = [n for s in walk(kernel.body) for n in nodes(expressions(s), seen)]
        assert not any(isinstance(s, If) for s in walk(kernel.body))
        return sum(n.op in ("select", "lt", "le", "gt", "ge", "eq", "ne") for n in inside)

    x, y = np.ones(100, np.float32), np.ones((20, 30), np.float32)
    assert conditions(lambda x: cnp.roll(x, 3) + x, x) == 0
    assert conditions(lambda x: cnp.concatenate([x, x * 2, x + 1]) * 2, x) == 0
    assert conditions(lambda y: cnp.pad(y, ((1, 2), (3, 4))) * 2, y) == 0
    assert conditions(lambda y: cnp.roll(y, (1, -2), (0, 1)) + y, y) == 0


def test_cuts_are_where_comparisons_change() -> None:
    i = ix.loop_variable("i0", 20)
    buffer = Buffer("b", np.dtype(np.bool_), 20, "temp")
    for op in ("lt", "le", "gt", "ge", "eq", "ne"):
        for slope in (-3, -1, 1, 2):
            for limit in range(-30, 31, 3):
                e = ix.compare(op, i * slope, limit)
                values = [ix.compare(op, slope * n, limit).attr for n in range(20)]
                changes = [n for n in range(1, 20) if values[n] != values[n - 1]]
                found = cuts([Store(buffer, i, e)], {"i0": 20}).get("i0", [])
                assert set(changes) <= set(found), (op, slope, limit)
                assert len(found) <= 2
    far = ix.compare("lt", dims.symbol("n", 1) + i, 3)
    assert cuts([Store(buffer, i, far & const(True, np.bool_))], {"i0": 20}) == {}


def test_the_reasons_have_numbers(capsys: pytest.CaptureFixture[str]) -> None:
    with covector.config.override(explain="fusion"):
        kernel_of(repeat(lambda x: cnp.roll(cnp.sin(x), 1) + cnp.sin(x), 2), (np.ones(50),))
    told = capsys.readouterr().err
    assert "is read at 3 places" in told
    assert "over 6" in told


@pytest.mark.parametrize("dtype", ["float32", "float64", "uint8", "int16", "bfloat16", "bool"])
@pytest.mark.parametrize("step", [-1, 2, -2, 3, 4, -4, 5])
def test_elements_a_few_apart(dtype: str, step: int) -> None:
    x = cnp.asarray(np.random.default_rng(0).integers(0, 100, 333)).astype(dtype)
    same = lambda x: cnp.where(x == x, x, x)  # noqa: E731
    for start in (0, 1, 2):
        got = covector.jit(lambda x, start=start: same(x[start:][::step]))(x)
        np.testing.assert_array_equal(np.asarray(got), np.asarray(x)[start:][::step])


@pytest.mark.parametrize("dtype", ["float32", "int16", "complex64"])
@pytest.mark.parametrize("count", [2, 3, 5])
def test_stored_a_few_apart(dtype: str, count: int) -> None:
    """Lanes whose results lie a stride apart, in whole vectors and in the rest."""
    for size in (8, 37):
        x = np.arange(size).astype(dtype)
        given = covector.jit(lambda x: cnp.stack([x + i for i in range(count)], axis=-1))(x)
        wanted = np.stack([x + np.asarray(i, dtype) for i in range(count)], axis=-1)
        np.testing.assert_array_equal(np.asarray(given), wanted)


@pytest.mark.parametrize("rows", [1, 3, 4])
def test_few_short_runs_are_written_out(rows: int) -> None:
    """Sums of few terms inside a loop with lanes, of fewer elements than there are lanes too."""
    for width in (3, 16, 21):
        x = np.arange(rows * width, dtype=np.float32).reshape(rows, width)
        sums, products = covector.jit(lambda x: (x.sum(0), cnp.cumsum(x * x, axis=0)))(x)
        np.testing.assert_array_equal(np.asarray(sums), x.sum(0))
        np.testing.assert_array_equal(np.asarray(products), np.cumsum(x * x, axis=0))


@pytest.mark.parametrize(
    ("f", "stored"),
    [
        (lambda x, b: x + cnp.exp(b), True),
        (lambda x, b: x + cnp.exp(b)[:, None], False),  # it is the same in the innermost loop
        (lambda x, b: x + (b + 1), False),  # as cheap as to load
        (lambda x, b: x[:, None] + cnp.tril(cnp.ones((64, 64), bool)), False),  # no memory
        (lambda x, b: x[:, None] + cnp.exp(lax.iota("float32", 64)), True),
        (lambda x, b: cnp.exp(b) @ x[:, :4], True),
    ],
)
def test_what_is_broadcast_is_computed_once(
    capsys: pytest.CaptureFixture[str], f: Any, stored: bool
) -> None:
    x, b = np.ones((64, 64), np.float32), np.linspace(0, 1, 64, dtype=np.float32)
    with covector.config.override(explain="fusion"):
        given = covector.jit(f)(x, b)
    assert ("times: " in capsys.readouterr().err) == stored
    with covector.config.override(fuse=False):
        np.testing.assert_allclose(given, covector.jit(f)(x, b), rtol=1e-6)


@pytest.mark.parametrize(
    ("f", "turned"),
    [
        (lambda x, y: (x.T * y).sum(), "calls"),
        (lambda x, y: abs(x - x.T).max(1), "calls"),
        (lambda x, y: covector.nn.softmax(x.T + y), "calls"),
        (lambda x, y: covector.nn.softmax(x.T), "tiles"),
        (lambda x, y: ((z := x.T + y), z.sum(1)), "tiles"),
        (lambda x, y: (x.T * y.T).sum(0), "nothing"),
        (lambda x, y: (x[:, :8].T * y[:8]).sum(), "nothing"),
    ],
)
def test_folds_do_not_read_across_rows(f: Callable[..., Any], turned: str) -> None:
    """What folds would read so is stored as they read it, where rows and columns are long; beside them it has tiles."""
    x, y = np.random.default_rng(0).standard_normal((2, 60, 60)).astype("f")
    text = covector.jit(f).lower(x, y).compile().as_text("kernels")
    assert ("turn(" in text) == (turned != "nothing"), text
    assert ("turned0[" in text) == (turned == "tiles"), text
    found, wanted = covector.jit(f)(x, y), f(cnp.asarray(x), cnp.asarray(y))
    for a, b in zip(covector.tree.leaves(found), covector.tree.leaves(wanted), strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-5)


def test_a_fold_in_pieces_keeps_the_rows_beside_it() -> None:
    """What is ready before a large fold to few results was never stored."""
    x = np.random.default_rng(0).random((8, 100_000), np.float32)
    v = np.arange(8, dtype=np.float32)
    sums, twice = covector.jit(lambda x, v: ((x * v[:, None]).sum(1), v * 2))(x, v)
    np.testing.assert_array_equal(twice, v * 2)
    np.testing.assert_allclose(sums, (x * v[:, None]).sum(1), rtol=1e-5)


@pytest.mark.parametrize("rows", [64, 1000, 1024, 1500])
def test_folds_over_long_columns(rows: int) -> None:
    """They run row by row, in pieces; results and what is computed beside them are NumPy's."""
    x = np.random.default_rng(rows).integers(-50, 50, (rows, 2100)).astype(np.float32)
    v = np.arange(2100, dtype=np.float32)

    def run(b: Any, x: Any, v: Any) -> Any:
        y = x * v
        return y.sum(0), (x - 1).max(0) * 2, v * 3, (x > 48).any(0), x.astype("int32").min(0)

    for got, wanted in zip(covector.jit(lambda *a: run(cnp, *a))(x, v), run(np, x, v), strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-3)
    complex_ = x + 1j * x[::-1]
    np.testing.assert_allclose(
        covector.jit(lambda z: z.sum(0))(complex_), complex_.sum(0), rtol=1e-4, atol=1e-2
    )


@pytest.mark.parametrize("seed", range(12))
def test_random_unrolled_chains(seed: int) -> None:
    """Steps of several kinds after one another, some values used by several of them, are NumPy's."""
    rng = np.random.default_rng(seed)
    names = rng.choice(list(STEPS), 6)
    shares = rng.integers(0, 2, 6)

    def run(b: Any, x: Any) -> Any:
        values = [x]
        for name, share in zip(names, shares, strict=True):
            y = STEPS[name](b, values[-1])
            values.append(y + values[len(values) // 2] * 0.5 if share else y)
        return values[-1], values[3].sum()

    x = rng.integers(-8, 9, 64).astype(np.float64)
    for got, wanted in zip(covector.jit(lambda x: run(cnp, x))(x), run(np, x), strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-12, atol=1e-12)


def test_lanes_have_what_does_not_change_in_their_loop() -> None:
    """What depends on the row only is computed once a row, not in each vector of it."""
    x, y = np.linspace(0, 3, 40, dtype=np.float32), np.ones((40, 1000), np.float32)
    for f in (
        lambda b, x, y: b.sqrt(x)[:, None] * y + 1,
        lambda b, x, y: (b.sqrt(x)[:, None] * y).sum(1),
        lambda b, x, y: b.where((b.sqrt(x) > 1)[:, None], y, 0),
    ):
        jitted: Any = covector.jit(lambda x, y, f=f: f(cnp, x, y))
        text = jitted.lower(x, y).compile().as_text("llvm")
        calls = [line for line in text.splitlines() if "@llvm.sqrt" in line and " = call " in line]
        assert calls
        assert not any("x float" in line for line in calls)
        np.testing.assert_allclose(jitted(x, y), f(np, x, y), rtol=1e-6)


def _masked_addresses(f: Callable[..., Any], *args: Any) -> list[str]:
    """How the address of each masked vector that is loaded is computed: the operation of LLVM's."""
    text = covector.jit(f).lower(*args).compile().as_text("llvm")
    lines = text.splitlines()
    made = {line.split(" = ")[0].strip(): line.split(" = ")[1] for line in lines if " = " in line}
    loads = [x for x in lines if "@llvm.masked.load" in x and " = call " in x]
    return [made[x.split("(ptr ")[1].split(",")[0]].split()[0] for x in loads]


@pytest.mark.parametrize(
    "pieces",
    [
        lambda b, x: b.roll(x, 1, 0) + b.roll(x, -1, 0) + b.roll(x, 1, 1) - 4 * x,
        lambda b, x: b.concatenate([x, x * 2, x + 1]),
        lambda b, x: b.roll(x[:, ::-1], 3, 0) * x,
        lambda b, x: b.roll(x * (1 + 2j), 1, 0) * x,
        lambda b, x: b.pad(x, ((33, 3), (0, 5))) ** 2,
        lambda b, x: b.roll(x[:, ::2], (1, -2), (0, 1)),
    ],
)
def test_vectors_of_which_no_lane_is_read_are_in_memory(pieces: Callable[[Any, Any], Any]) -> None:
    """A fold asks of each vector which piece it is of; where it is not of one, the address is far beyond its array."""

    def run(b: Any, x: Any) -> Any:
        y = pieces(b, x)
        return y, y.sum(), (y * y).sum(1), y.sum(0)

    x = np.random.default_rng(0).integers(-4, 5, (64, 70)).astype(np.float32)
    for got, wanted in zip(covector.jit(lambda x: run(cnp, x))(x), run(np, x), strict=True):
        np.testing.assert_array_equal(got, wanted)
    found = _masked_addresses(lambda x: pieces(cnp, x).sum(), x)
    assert "select" in found


def test_vectors_close_to_their_array_are_read_without_asking() -> None:
    x = np.ones((64, 64), np.float32)
    found = _masked_addresses(lambda x: cnp.pad(x, ((0, 0), (3, 5))).sum(1), x)
    assert found
    assert "select" not in found


def test_places_in_loops_of_other_lengths_are_others() -> None:
    """What the third element of one stack reads was taken for what the second of another does, and was not stored."""
    u32, u64 = np.uint32, np.uint64

    def halves(x: Any) -> Any:
        return (x & u64(0xFFFFFFFF)).astype(u32), (x >> u64(32)).astype(u32)

    def f(state: Any) -> Any:
        first, second = (cnp.broadcast_to(k, (1,)) for k in halves(state[0]))
        low, high = halves(state[1])
        start = low.astype(u64) | (high.astype(u64) << u64(32))
        a, b = halves(cnp.arange(1).astype(u64) + cnp.broadcast_to(start, (1,)))
        c, d = first, second
        for _ in range(3):
            low_a, high_a = halves(a.astype(u64) * u64(0xD2511F53))
            low_c, high_c = halves(c.astype(u64) * u64(0xCD9E8D57))
            a, b, c, d = high_c ^ b ^ first, low_c, high_a ^ d ^ second, low_a
        return cnp.stack([a, b, c, d], -1).reshape(4)[:3], cnp.stack([start, start + u64(1)])

    got, _ = covector.jit(f)(cnp.array(np.array([5, 7], u64)))
    np.testing.assert_array_equal(got, [2658862489, 2891351411, 3507258200])


@pytest.mark.parametrize("op", ["sum", "max", "argmax", "prod"])
def test_rows_are_folded_into_the_same_lanes(op: str) -> None:
    """What lanes of rows fold becomes one value after the last row, not after each."""
    x = np.random.default_rng(0).integers(1, 3, (20, 80)).astype("f") / 2

    def f(x: Any) -> Any:
        return getattr(x[:, 3:70], op)()

    text = covector.jit(f).lower(x).compile().as_text("llvm")
    lines = text.splitlines()
    loops = [n for n, line in enumerate(lines) if line.endswith(".latch:")]
    across = [
        n for n, line in enumerate(lines) if "extractelement" in line or "= call reassoc" in line
    ]
    assert op == "argmax" or min(across) > max(loops), text
    np.testing.assert_allclose(covector.jit(f)(x), getattr(x[:, 3:70], op)(), rtol=1e-5)
    empty = covector.jit(
        lambda x: getattr(x[:0, 3:70], op)(**({} if op != "max" else {"initial": -1.0}))
    )
    if op != "argmax":
        np.testing.assert_array_equal(empty(x), {"sum": 0, "prod": 1, "max": -1}[op])
