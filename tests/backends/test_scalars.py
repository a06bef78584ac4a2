"""Every scalar operation, dtype and vector width: emitted, compiled, run, compared with the interpreter."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import ml_dtypes
import numpy as np
import pytest
from tests.backends.elementwise import parameter, program, run

from covector._engine.backends.cpu import link
from covector._engine.backends.reference import scalars
from covector._engine.ir.scalar import Expr, apply, bitcast, call, const, convert, iterate, select

BFLOAT16 = np.dtype(ml_dtypes.bfloat16)
FLOATS = [np.dtype(d) for d in (np.float16, BFLOAT16, np.float32, np.float64)]
INTEGERS = [np.dtype(d) for d in ("i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8")]
BOOL = np.dtype(np.bool_)
WIDTHS = (1, 8, 16)


def samples(dtype: np.dtype, seed: int, count: int = 256) -> np.ndarray:
    """Random bits, ordinary values and the special ones of a dtype."""
    rng = np.random.default_rng(seed)
    if dtype == BOOL:
        return rng.integers(0, 2, count).astype(bool)
    raw = rng.integers(0, 256, count * dtype.itemsize, dtype=np.uint8).view(dtype)
    if dtype.kind in "iu":
        info = np.iinfo(dtype)
        small = rng.integers(max(info.min, -20), 20, count // 4).astype(dtype)
        special = np.array([0, 1, info.max, info.min, info.max - 1, 2], dtype)
    else:
        small = (rng.standard_normal(count // 4) * 3).astype(dtype)
        info = ml_dtypes.finfo(dtype)
        special = np.array(
            [
                0.0,
                -0.0,
                np.inf,
                -np.inf,
                np.nan,
                1,
                -1,
                0.5,
                1.5,
                2.5,
                -2.5,
                float(info.max),
                float(info.tiny),
                float(info.smallest_subnormal),
                3000000000.0,
                -3000000000.0,
                127.5,
                -128.5,
                255.5,
                256,
                65519,
                65520,
                2.0**63,
            ]
        )
        with np.errstate(over="ignore"):
            special = special.astype(dtype)
    values = np.concatenate([special, small, raw])[:count]
    return rng.permutation(values)


def assert_same(got: np.ndarray, expected: np.ndarray, what: str) -> None:
    """Equal values, signs of zeros too; any NaN is a NaN."""
    expected = np.broadcast_to(expected, got.shape)
    assert got.dtype == expected.dtype, (what, got.dtype, expected.dtype)
    if scalars.is_float(got.dtype):
        with np.errstate(invalid="ignore"):
            same = (got == expected) & (np.signbit(got) == np.signbit(expected))
            same |= np.isnan(got) & np.isnan(expected)
    else:
        same = got == expected
    wrong = np.flatnonzero(~same)
    assert not wrong.size, (
        f"{what}: lanes {wrong[:5]} give {got[wrong[:5]]}, not {expected[wrong[:5]]}"
    )


def check(results: Sequence[Expr], arrays: Sequence[np.ndarray], width: int, target=None) -> None:
    """Compiled results are the interpreter's."""
    env = {}
    for e in results:
        for leaf in leaves(e):
            env[leaf] = arrays[int(leaf.attr[1:])]  # type: ignore[index]
    got = run(results, arrays, width, target)
    for e, g in zip(results, got, strict=True):
        assert_same(
            g,
            scalars.evaluate(e, env),
            f"{e.op} {[str(a.dtype) for a in e.args]} x{width}",
        )


def leaves(e: Expr) -> set[Expr]:
    found, stack, seen = set(), [e], set()
    while stack:
        node = stack.pop()
        if node in seen:
            continue
        seen.add(node)
        stack += node.args
        if node.op == "local":
            found.add(node)
    return found


FLOAT_UNARY = ("neg", "abs", "sqrt", "floor", "ceil", "trunc", "rint")
FLOAT_BINARY = ("add", "sub", "mul", "div", "rem", "min", "max", "copysign")
INTEGER_UNARY = ("neg", "abs", "not", "clz", "popcount")
INTEGER_BINARY = ("add", "sub", "mul", "min", "max", "and", "or", "xor", "mulhi")
COMPARE = ("eq", "ne", "lt", "le", "gt", "ge")


def operations(dtype: np.dtype) -> list[Expr]:
    """All operations of the closed set on operands of one dtype."""
    x, y, z = (parameter(i, dtype) for i in range(3))
    made = [apply(op, x, y) for op in COMPARE]
    if dtype in FLOATS:
        made += [apply(op, x) for op in FLOAT_UNARY] + [apply(op, x, y) for op in FLOAT_BINARY]
        made += [apply("fma", x, y, z)]
    elif dtype == BOOL:
        made += [apply(op, x, y) for op in ("and", "or", "xor", "min", "max")] + [apply("not", x)]
    else:
        made += [apply(op, x) for op in INTEGER_UNARY] + [apply(op, x, y) for op in INTEGER_BINARY]
        count = y & (8 * dtype.itemsize - 1)
        made += [apply(op, x, count) for op in ("shl", "shr", "sar")]
        divisor = select(apply("eq", y, const(0, dtype)) | apply("eq", y, const(-1, dtype)), 3, y)
        made += [apply("div", x, divisor), apply("rem", x, divisor)]
        made += [apply("div", x, const(7, dtype)), apply("rem", x, const(7, dtype))]
    made.append(select(apply("lt", y, z), x, y))
    return made


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("dtype", [BOOL, *FLOATS, *INTEGERS], ids=str)
def test_operations(dtype: np.dtype, width: int) -> None:
    arrays = [samples(dtype, seed) for seed in range(3)]
    check(operations(dtype), arrays, width)


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("source", [BOOL, *FLOATS, *INTEGERS], ids=str)
def test_conversions(source: np.dtype, width: int) -> None:
    x = parameter(0, source)
    made = [convert(x, d) for d in (BOOL, *FLOATS, *INTEGERS) if d != source]
    made += [
        bitcast(x, d)
        for d in (*FLOATS, *INTEGERS)
        if d.itemsize == source.itemsize != 1 and d != source
    ]
    check(made, [samples(source, 5)], width)


ON_X86 = link.host().triple.startswith("x86_64")


@pytest.mark.skipif(not ON_X86, reason="the poorer targets are x86")
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("level", ["sse4", "avx2"])
def test_poorer_targets(level: str, width: int) -> None:
    target = poorer(level)
    for dtype in FLOATS:
        made = operations(dtype) if target.fma else [e for e in operations(dtype) if e.op != "fma"]
        check(made, [samples(dtype, seed) for seed in range(3)], width, target)
        x = parameter(0, dtype)
        check(
            [convert(x, d) for d in (*FLOATS, *INTEGERS) if d != dtype],
            [samples(dtype, 7)],
            width,
            target,
        )


def poorer(level: str) -> link.Processor:
    features = {"sse4.1": True, "ssse3": True, "sse4.2": True, "popcnt": True}
    if level == "avx2":
        features |= {
            "avx2": True,
            "avx": True,
            "fma": True,
            "f16c": True,
            "bmi": True,
            "bmi2": True,
        }
    return link.describe(link.host().triple, "x86-64", features)


@pytest.mark.skipif(not ON_X86, reason="the poorer targets are x86")
def test_emulated_fma() -> None:
    target = poorer("sse4")
    for dtype in (np.float32, np.float64):
        rng = np.random.default_rng(1)
        x, y = (rng.standard_normal(512).astype(dtype) for _ in range(2))
        z = (-(x * y)).astype(dtype) * (1 + rng.integers(-3, 3, 512) * np.finfo(dtype).eps).astype(
            dtype
        )
        e = apply("fma", *(parameter(i, np.dtype(dtype)) for i in range(3)))
        (got,) = run([e], [x, y, z], 8, target)
        expected = scalars.fma(x, y, z)
        assert np.all(np.abs(got - expected) <= np.spacing(np.abs(expected)))


def test_sse_floor_is_refused_below_v2() -> None:
    with pytest.raises(link.UnsupportedTarget, match=r"SSE4\.1"):
        link.describe("x86_64-unknown-linux-gnu", "core2", {"sse2": True})


@pytest.mark.parametrize("width", WIDTHS)
def test_iterate(width: int) -> None:
    """Lanes stop one by one: Collatz steps, and a nested iteration."""
    n = parameter(0, np.dtype(np.int64))

    def collatz(m: Expr, k: Expr) -> tuple[Expr, Expr]:
        return select(apply("eq", m & 1, const(0, m.dtype)), m >> 1, m * 3 + 1), k + 1

    steps = iterate(lambda m, k: m > 1, collatz, (n, const(0, np.int64)))[1]

    def outer(i: Expr, total: Expr) -> tuple[Expr, Expr]:
        inner = iterate(
            lambda j, s: j < i, lambda j, s: (j + 1, s + j), (const(0, np.int64), total)
        )
        return i + 1, inner[1] + n * 0

    nested = iterate(lambda i, total: i < n, outer, (const(0, np.int64), const(0, np.int64)))[1]
    check([steps, nested, steps + nested], [np.arange(1, 33, dtype=np.int64)], width)


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_calls(dtype: np.dtype, width: int) -> None:
    """Many sites: the first are written out, the others call one function; 16-bit floats round each time."""
    x = parameter(0, dtype)
    made, e = [], x
    for name in itertools.islice(itertools.cycle(["sin", "exp", "tanh"]), 24):
        e = call(name, e)
        made.append(e)
    arrays = [np.abs(samples(dtype, 3, 64))]
    check(made, arrays, width)


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_nextafter(dtype: np.dtype) -> None:
    """Functions that look at bits see those of the 16-bit formats."""
    x, y = samples(dtype, 1), samples(dtype, 2)
    (got,) = run([call("nextafter", parameter(0, dtype), parameter(1, dtype))], [x, y], 16)
    with np.errstate(all="ignore"):
        if dtype != BFLOAT16:
            assert_same(got, np.nextafter(x, y), "nextafter")
        moved = ~np.isnan(got) & (x != y) & (x != 0) & (got != 0)
        steps = np.abs(
            got.view(f"i{dtype.itemsize}").astype(np.int64) - x.view(f"i{dtype.itemsize}")
        )
        assert np.all(steps[moved] == 1)


def test_long_chain() -> None:
    x = parameter(0, np.dtype(np.float32))
    e = x
    for k in range(2500):
        e = e * 1.0001 + const(k % 7, np.float32)
    check([e], [samples(np.dtype(np.float32), 1, 64)], 16)


def test_no_library_calls() -> None:
    """No operation becomes a call of a function that the linker would have to find."""
    levels = ["sse4", "avx2"] if ON_X86 else []
    for target in [link.host(), *map(poorer, levels)]:
        for dtype, width in itertools.product([BOOL, *FLOATS, *INTEGERS], WIDTHS):
            x = parameter(0, dtype)
            made = operations(dtype) + [
                convert(x, d) for d in (BOOL, *FLOATS, *INTEGERS) if d != dtype
            ]
            assembly = link.emit_assembly(program(made, 3, width, target).text(), target)
            calls = {
                line.split()[-1]
                for line in assembly.splitlines()
                if line.lstrip().startswith("call")
            }
            outside = {c for c in calls if not c.startswith(("cv.", "*"))}  # cv.: library.py's
            assert not outside, (dtype, width, outside)


def test_constants() -> None:
    values: list[tuple[object, np.dtype]] = [
        (v, d) for d in FLOATS for v in (0.1, -0.0, np.inf, np.nan, 3e38)
    ]
    values += [(v, d) for d in INTEGERS for v in (0, 1, np.iinfo(d).max, np.iinfo(d).min)]
    values += [(True, BOOL), (False, BOOL)]
    made = [const(v, d) for v, d in values]
    made = [select(parameter(0, BOOL) | const(True, BOOL), c, c) for c in made]
    for width in WIDTHS:
        check(made, [np.zeros(16, bool)], width)


def test_freed() -> None:
    """Loading and dropping many objects does not pile up memory."""
    module = program([call("exp", parameter(0, np.dtype(np.float32)))], 1, 16, link.host())
    data = link.emit_object(module.text())

    def pages() -> int:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1])

    try:
        pages()
    except OSError:
        pytest.skip("needs /proc")
    for _ in range(50):
        link.load(data)
    before = pages()
    for _ in range(300):
        link.load(data)
    assert pages() - before < 300, "each dropped object still holds a page"
