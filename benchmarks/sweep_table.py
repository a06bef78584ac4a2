"""The operations that `make sweep` measures, a row for each."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from benchmarks.operations import (
    LENGTHS,
    ROWS,
    SIDES,
    Operation,
    complexes,
    indexed,
    integers,
    narrow,
    normal,
    rows,
    shaped,
    short,
    square,
    stack,
    vectors,
    wide,
)


def table() -> Iterator[Operation]:
    """All operations."""
    for part in (
        elementwise,
        reductions,
        ordering,
        indexing,
        moving,
        products,
        layers,
        transforms,
        draws,
        linalg,
    ):
        yield from part()


def elementwise() -> Iterator[Operation]:
    """One element at a time."""
    for code, torch, numpy in (
        ("x + y", None, None),
        ("np.exp(x)", None, None),
        ("np.log(x)", None, None),
        ("np.sin(x)", None, None),
        ("np.tanh(x)", None, None),
        ("np.sqrt(x)", None, None),
        ("x ** y", None, None),
        ("np.where(x < y, x, y)", None, None),
        ("np.clip(x, 0.2, 0.8)", None, None),
        ("x < y", None, None),
        ("np.floor(x / y)", None, None),
        ("nn.gelu(x)", "F.gelu(x, approximate='tanh')", ""),
        ("nn.sigmoid(x)", "torch.sigmoid(x)", ""),
        ("nn.relu(x)", "torch.relu(x)", "np.maximum(x, 0)"),
    ):
        yield Operation(code, code, vectors, LENGTHS, torch, numpy)
    some = (1_000, 1_000_000)
    for dtype in ("float64", "float16", "bfloat16"):
        yield Operation("x + y", "x + y", vectors, some, dtype=dtype)
        yield Operation("np.exp(x)", "np.exp(x)", vectors, some, dtype=dtype)
    yield Operation("x + y", "x + y", lambda n: {"x": integers(n, 9), "y": integers(n, 7)}, some)
    yield Operation(
        "x // y", "x // y", lambda n: {"x": integers(n, 99), "y": integers(n, 7) + 1}, some
    )
    for code in ("x ** 3", "x ** -2", "x ** 0.5", "x ** 2.5", "np.where(x < 0.5, 0, x)", "x == y"):
        yield Operation(code, code, vectors, some)
    yield Operation("(x < y) & (x > 0.2)", "(x < y) & (x > 0.2)", vectors, some)
    for bits in (8, 16, 64):
        pair = partial(wide, bits=bits)
        yield Operation(f"i + j int{bits}", "i + j", pair, some)
        yield Operation(f"i * j int{bits}", "i * j", pair, some)
        yield Operation(f"i // j int{bits}", "i // j", pair, some)
        yield Operation(f"i % j int{bits}", "i % j", pair, some)
    for code in ("x * y", "np.tanh(x)", "np.maximum(x, y)"):
        yield Operation(code, code, vectors, some, dtype="float16")
    for ours, torch in (
        ("x.astype(np.int8)", "x.to(torch.int8)"),
        ("x.astype(np.float16)", "x.half()"),
        ("x.astype(np.float64)", "x.double()"),
        ("i.astype(np.float32)", "i.float()"),
        ("i.astype(bool)", "i.bool()"),
    ):
        make = vectors if ours.startswith("x") else partial(wide, bits=32)
        yield Operation(ours, ours, make, some, torch)
    yield Operation("np.sqrt(z)", "np.sqrt(z)", complexes(0), some)
    yield Operation("np.log(z)", "np.log(z)", complexes(0), some)
    yield Operation("z * z", "z * z", complexes(0), some)
    yield Operation("np.abs(z)", "np.abs(z)", complexes(0), some)
    yield Operation("np.exp(z)", "np.exp(z)", complexes(0), some)
    yield Operation("int32", "x.astype(np.int32)", vectors, some, "x.int()")
    yield Operation("bfloat16", "x.astype(np.bfloat16)", vectors, some, "x.bfloat16()", "")
    yield Operation("x + row", "x + row", rows, ROWS)
    yield Operation("outer", "x[:, None] * y[None, :]", vectors, (10, 100, 1_000))


def reductions() -> Iterator[Operation]:
    """Sums and extremes over each axis, what is made of them, and cumulative ones."""
    for name in ("sum", "max", "argmax", "mean", "var", "prod"):
        numpy = f"np.{name}(x, AXIS)"
        torch = {"max": "torch.amax(x, AXIS)", "var": "torch.var(x, AXIS, correction=0)"}.get(name)
        for axis in ("0", "1"):
            yield Operation(
                f"{name} {axis}",
                numpy.replace("AXIS", axis),
                rows,
                ROWS,
                torch and torch.replace("AXIS", axis),
            )
        whole = f"np.{name}(x)"
        yield Operation(
            whole,
            whole,
            vectors,
            LENGTHS,
            "torch.var(x, correction=0)" if torch and name == "var" else None,
        )
    for name in ("any", "all"):
        yield Operation(
            name, f"np.{name}(x > 0.99)" if name == "any" else "np.all(x < 0.99)", vectors, LENGTHS
        )
    for dtype in ("float64", "bfloat16", "float16"):
        yield Operation("sum 1", "np.sum(x, 1)", rows, ROWS, dtype=dtype)
        yield Operation("sum 0", "np.sum(x, 0)", rows, ROWS, dtype=dtype)
    middle = shaped(x=(0, 100, 30))
    yield Operation("sum middle", "np.sum(x, 1)", middle, (10, 1_000))
    yield Operation("max middle", "np.max(x, 1)", middle, (10, 1_000), "torch.amax(x, 1)")
    yield Operation("softmax", "nn.softmax(x)", rows, ROWS, "torch.softmax(x, 1)", "")
    yield Operation("softmax 0", "nn.softmax(x, axis=0)", rows, ROWS, "torch.softmax(x, 0)", "")
    yield Operation("log_softmax", "nn.log_softmax(x)", rows, ROWS, "torch.log_softmax(x, 1)", "")
    yield Operation("logsumexp", "nn.logsumexp(x, axis=1)", rows, ROWS, "torch.logsumexp(x, 1)", "")
    yield Operation("layer norm", "(x - x.mean(1, keepdims=True)) / np.sqrt(x.var(1, keepdims=True) + 1e-5)",
                    rows, ROWS, "F.layer_norm(x, (1000,))", None)  # fmt: skip
    yield Operation("norm", "np.linalg.norm(x)", vectors, LENGTHS)
    yield Operation(
        "norm 1", "np.linalg.norm(x, axis=1)", rows, ROWS, "torch.linalg.norm(x, dim=1)"
    )
    yield Operation("cumsum", "np.cumsum(x)", vectors, LENGTHS, "np.cumsum(x, 0)")
    yield Operation("cumprod", "np.cumprod(x)", vectors, LENGTHS, "np.cumprod(x, 0)")
    yield Operation(
        "cummax",
        "lax.cummax(x)",
        vectors,
        LENGTHS,
        "np.cummax(x, 0)[0]",
        "np.maximum.accumulate(x)",
    )
    yield Operation("cumsum 0", "np.cumsum(x, 0)", rows, ROWS)
    yield Operation("cumsum 1", "np.cumsum(x, 1)", rows, ROWS)
    yield Operation("diff", "np.diff(x)", vectors, LENGTHS)
    yield Operation("count_nonzero", "np.count_nonzero(x > 0.5)", vectors, LENGTHS)
    for name in ("max", "argmax", "argmin", "sum"):
        torch = "torch.amax(a, 1)" if name == "max" else None
        yield Operation(f"{name} of short rows", f"np.{name}(a, 1)", short, (100, 10_000), torch)


def ordering() -> Iterator[Operation]:
    """Sorting, searching and counting."""
    some = (10, 1_000, 100_000, 1_000_000)
    of_rows = (10, 1_000)
    yield Operation("sort", "np.sort(x)", indexed, some, "np.sort(x).values")
    yield Operation("argsort", "np.argsort(x)", indexed, some)
    yield Operation("sort int", "np.sort(at)", indexed, some, "np.sort(at).values")
    yield Operation("sort 1", "np.sort(x, 1)", rows, of_rows, "np.sort(x, 1).values")
    yield Operation("sort 0", "np.sort(x, 0)", rows, of_rows, "np.sort(x, 0).values")
    yield Operation("argsort 1", "np.argsort(x, 1)", rows, of_rows)
    yield Operation("top_k 8", "lax.top_k(x, 8)", indexed, some, "torch.topk(x, 8)", "")
    yield Operation("top_k 8, rows", "lax.top_k(x, 8)", rows, of_rows, "torch.topk(x, 8)", "")
    yield Operation("top_k 50, rows", "lax.top_k(x, 50)", rows, of_rows, "torch.topk(x, 50)", "")
    yield Operation("median", "np.median(x)", vectors, some)
    yield Operation("median 1", "np.median(x, 1)", rows, of_rows, "torch.median(x, 1)")
    yield Operation("searchsorted", "np.searchsorted(sorted, x)", indexed, some)
    yield Operation(
        "bincount",
        "np.bincount(few, length=1000)",
        indexed,
        some,
        "np.bincount(few, minlength=1000)",
        "np.bincount(few, minlength=1000)",
    )
    yield Operation(
        "nonzero",
        "np.nonzero(x > 0, size=8)",
        indexed,
        some,
        "np.nonzero(x > 0)[:8]",
        "np.nonzero(x > 0)[0][:8]",
    )
    yield Operation(
        "all nonzero",
        "np.nonzero(x > 0, size=N)",
        indexed,
        some,
        "np.nonzero(x > 0)",
        "np.nonzero(x > 0)[0]",
    )
    for torch, code in (
        ("np.unique(few)", "np.unique(few, size=1000)"),
        ("torch.histc(x, 100)", "np.histogram(x, 100)[0]"),
    ):
        yield Operation(torch, code, indexed, some[1:], torch, code.replace(", size=1000", ""))


def indexing() -> Iterator[Operation]:
    """Elements and rows at places that come from data."""
    yield Operation("take", "x[at]", indexed, LENGTHS)
    yield Operation("take rows of 64", "x[rows]", narrow, (10, 1_000, 100_000))
    yield Operation("take rows of 1000", "x[rows]", rows, ROWS)
    yield Operation(
        "take columns",
        "np.take(x, at, axis=1)",
        lambda n: {"x": normal(n, 1_000), "at": integers(100, 1_000)},
        ROWS,
        "torch.index_select(x, 1, at)",
    )
    yield Operation(
        "take_along_axis",
        "np.take_along_axis(x, at, 1)",
        rows,
        ROWS,
        "torch.take_along_dim(x, at.long(), 1)",
    )
    yield Operation("scatter add", "x.at[at].add(x)", indexed, LENGTHS, "x.index_add(0, at, x)", "")
    yield Operation(
        "scatter add rows",
        "x.at[rows].add(y)",
        narrow,
        (10, 1_000, 100_000),
        "x.index_add(0, rows, y)",
        "",
    )
    yield Operation(
        "scatter set", "x.at[at].set(x)", indexed, LENGTHS, "x.index_copy(0, at.long(), x)", ""
    )
    yield Operation(
        "segment_sum",
        "ops.segment_sum(x, few, 1000)",
        indexed,
        LENGTHS,
        "torch.zeros(1000).index_add_(0, few, x)",
        "np.bincount(few, x, 1000)",
    )


def moving() -> Iterator[Operation]:
    """What takes elements from one place to another."""
    yield Operation("concatenate 0", "np.concatenate([x, x], 0)", rows, ROWS)
    yield Operation("concatenate 1", "np.concatenate([x, x], 1)", rows, ROWS)
    yield Operation("stack", "np.stack([x, y], 1)", vectors, LENGTHS)
    for dtype in ("float32", "float64", "float16"):
        yield Operation(
            "transpose",
            "np.transpose(a)",
            square,
            (256, 512, 1_000, 1_024, 2_048, 4_096) if dtype == "float32" else (1_000, 1_024),
            "a.T.contiguous()",
            "np.ascontiguousarray(a.T)",
            dtype,
        )
    image = shaped(x=(0, 56, 56, 64))
    yield Operation(
        "features first",
        "np.transpose(x, (0, 3, 1, 2))",
        image,
        (1, 16),
        "x.permute(0, 3, 1, 2).contiguous()",
        "np.ascontiguousarray(x.transpose(0, 3, 1, 2))",
    )
    yield Operation(
        "heads",
        "np.transpose(x, (0, 2, 1, 3))",
        shaped(x=(0, 128, 8, 64)),
        (1, 16),
        "x.permute(0, 2, 1, 3).contiguous()",
        "np.ascontiguousarray(x.transpose(0, 2, 1, 3))",
    )
    yield Operation(
        "flip",
        "np.flip(x)",
        vectors,
        LENGTHS,
        "np.flip(x, (0,))",
        "np.ascontiguousarray(np.flip(x))",
    )
    yield Operation("roll", "np.roll(x, 5)", vectors, LENGTHS)
    yield Operation("pad", "np.pad(x, 3)", rows, ROWS, "F.pad(x, (3, 3, 3, 3))")
    yield Operation("tile", "np.tile(x, (2, 2))", rows, ROWS[:2])
    yield Operation("repeat", "np.repeat(x, 3)", vectors, LENGTHS, "torch.repeat_interleave(x, 3)")
    yield Operation("tril", "np.tril(a)", square, SIDES)
    yield Operation(
        "every second", "x[::2]", vectors, LENGTHS, "x[::2].contiguous()", "x[::2].copy()"
    )
    yield Operation(
        "one_hot",
        "nn.one_hot(at, 1000)",
        lambda n: {"at": integers(n, 1_000)},
        ROWS,
        "F.one_hot(at.long(), 1000).float()",
        "",
    )
    yield Operation("arange", "np.arange(N, dtype=np.float32)", vectors, LENGTHS)
    yield Operation("full", "np.full((N,), 2.5)", vectors, LENGTHS)


def products() -> Iterator[Operation]:
    """Products of vectors and matrices."""
    sizes = (4, 16, 64, 128, 256, 512, 1_024)
    yield Operation("a @ b", "a @ b", square, (*sizes, 2_048))
    for dtype in ("bfloat16", "float16", "float64", "complex64"):
        yield Operation(
            "a @ b", "a @ b", square, sizes, numpy="" if dtype == "float16" else None, dtype=dtype
        )
    yield Operation("a @ b", "a @ b", square, sizes[:-1], dtype="int32")
    yield Operation("a @ b.T", "a @ b.T", square, sizes)
    yield Operation("a.T @ b", "a.T @ b", square, sizes)
    yield Operation("a @ v", "a @ v", square, (*sizes, 4_096))
    yield Operation("v @ a", "v @ a", square, (*sizes, 4_096))
    yield Operation("dot", "np.dot(x, y)", vectors, LENGTHS)
    for dtype in ("bfloat16", "float16", "float64"):
        yield Operation(
            "dot",
            "np.dot(x, y)",
            vectors,
            (1_000, 1_000_000),
            numpy="" if dtype != "float64" else None,
            dtype=dtype,
        )
        yield Operation(
            "a @ v",
            "a @ v",
            square,
            (64, 1_024),
            numpy="" if dtype != "float64" else None,
            dtype=dtype,
        )
    yield Operation("thin", "x @ y", shaped(x=(0, 8), y=(8, 0)), SIDES)
    yield Operation("tall", "x @ y", shaped(x=(0, 64), y=(64, 64)), (100, 10_000, 100_000))
    yield Operation("gram", "x.T @ x", shaped(x=(0, 64)), (100, 10_000, 100_000))
    yield Operation("layer", "x @ y", shaped(x=(0, 784), y=(784, 512)), (1, 32, 128, 1_024))
    for side in (3, 8, 32, 64):
        yield Operation(f"a @ b of {side}", "a @ b", stack(side), (10, 1_000))
        yield Operation(f"a @ v of {side}", "a @ v", stack(side), (10, 1_000))
    heads = shaped(q=(0, 128, 8, 64), k=(0, 128, 8, 64), p=(0, 8, 128, 128))
    for formula in ("bqhd,bkhd->bhqk",):
        yield Operation(formula, f"np.einsum('{formula}', q, k)", heads, (1, 16), numpy="")
    yield Operation(
        "bhqk,bkhd->bqhd", "np.einsum('bhqk,bkhd->bqhd', p, k)", heads, (1, 16), numpy=""
    )
    for formula in (
        "ij,jk->ik",
        "ij,kj->ik",
        "ij,ij->i",
        "ij,ij->",
        "ij,j->ij",
        "ij->ji",
        "ii->i",
        "ii",
    ):
        operands = "a, b" if "," in formula else "a"
        operands = "a, v" if formula == "ij,j->ij" else operands
        yield Operation(
            formula,
            f"np.einsum('{formula}', {operands})",
            square,
            SIDES,
            None
            if formula[:3] != "ii->i" and formula != "ij->ji"
            else f"np.einsum('{formula}', a).contiguous()",
            None
            if "j->ji" not in formula and "->i" not in formula[:5]
            else f"np.einsum('{formula}', a).copy()",
        )
    yield Operation("ij,jk,kl->il", "np.einsum('ij,jk,kl->il', a, b, d)", square, SIDES, numpy="")
    yield Operation("kron", "np.kron(a, b)", square, (4, 16, 32))


def layers() -> Iterator[Operation]:
    """Convolutions as residual networks have them, features last and first, and pooling."""
    for name, side, inner, outer, kernel, stride in (
        ("7x7 /2 of 224 3-64", 224, 3, 64, 7, 2),
        ("1x1 of 56 64-64", 56, 64, 64, 1, 1),
        ("3x3 of 56 64-64", 56, 64, 64, 3, 1),
        ("1x1 of 56 64-256", 56, 64, 256, 1, 1),
        ("3x3 /2 of 56 128-128", 56, 128, 128, 3, 2),
        ("3x3 of 28 128-128", 28, 128, 128, 3, 1),
        ("3x3 of 14 256-256", 14, 256, 256, 3, 1),
        ("3x3 of 7 512-512", 7, 512, 512, 3, 1),
        ("5x5 of 28 1-6", 28, 1, 6, 5, 1),
    ):
        pad = kernel // 2
        last = shaped(x=(0, side, side, inner), w=(kernel, kernel, inner, outer))
        first = shaped(x=(0, inner, side, side), w=(outer, inner, kernel, kernel))
        call = f"lax.conv_general_dilated(x, w, ({stride}, {stride}), [({pad}, {pad})] * 2, dimension_numbers="
        peer = f"F.conv2d(x, w, stride={stride}, padding={pad})"
        yield Operation(
            f"NHWC {name}", f"{call}('NHWC', 'HWIO', 'NHWC'))", last, (1, 8), peer, "", last=True
        )
        yield Operation(f"NCHW {name}", f"{call}('NCHW', 'OIHW', 'NCHW'))", first, (1, 8), peer, "")
    deep = shaped(x=(0, 56, 56, 64), w=(3, 3, 1, 64))
    call = "lax.conv_general_dilated(x, w, (1, 1), [(1, 1)] * 2, feature_group_count=64"
    call += ", dimension_numbers=('NHWC', 'HWIO', 'NHWC'))"
    yield Operation(
        "NHWC depthwise 3x3 of 56",
        call,
        deep,
        (1, 8),
        "F.conv2d(x, w, padding=1, groups=64)",
        "",
        last=True,
    )
    deep = shaped(x=(0, 64, 56, 56), w=(64, 1, 3, 3))
    call = call.replace("NHWC", "NCHW").replace("HWIO", "OIHW")
    yield Operation(
        "NCHW depthwise 3x3 of 56", call, deep, (1, 8), "F.conv2d(x, w, padding=1, groups=64)", ""
    )
    image = shaped(x=(0, 112, 112, 64))
    yield Operation(
        "NHWC max pool 3x3 /2",
        "lax.reduce_window(x, -np.inf, lax.max, (1, 3, 3, 1), (1, 2, 2, 1), 'VALID')",
        image,
        (1, 8),
        "F.max_pool2d(x, 3, 2)",
        "",
        last=True,
    )
    yield Operation(
        "NHWC average pool 2x2",
        "lax.reduce_window(x, 0., lax.add, (1, 2, 2, 1), (1, 2, 2, 1), 'VALID') / 4",
        image,
        (1, 8),
        "F.avg_pool2d(x, 2)",
        "",
        last=True,
    )
    image = shaped(x=(0, 64, 112, 112))
    yield Operation(
        "NCHW max pool 3x3 /2",
        "lax.reduce_window(x, -np.inf, lax.max, (1, 1, 3, 3), (1, 1, 2, 2), 'VALID')",
        image,
        (1, 8),
        "F.max_pool2d(x, 3, 2)",
        "",
    )
    yield Operation(
        "NCHW average pool 2x2",
        "lax.reduce_window(x, 0., lax.add, (1, 1, 2, 2), (1, 1, 2, 2), 'VALID') / 4",
        image,
        (1, 8),
        "F.avg_pool2d(x, 2)",
        "",
    )
    yield Operation("NCHW global average", "x.mean((2, 3))", image, (1, 8), None, "")


def transforms() -> Iterator[Operation]:
    """Fourier transforms."""
    lengths = (16, 1_000, 1_024, 10_007, 65_536, 1_000_000, 1_048_576)
    yield Operation("fft", "np.fft.fft(z)", complexes(0), lengths)
    yield Operation("rfft", "np.fft.rfft(x)", complexes(0), lengths)
    yield Operation("irfft", "np.fft.irfft(z)", complexes(0), lengths)
    for length in (64, 100, 251, 1_024):
        yield Operation(f"fft of {length}", "np.fft.fft(z)", complexes(0, length), (10, 1_000))
        yield Operation(f"rfft of {length}", "np.fft.rfft(x)", complexes(0, length), (10, 1_000))
    yield Operation("fft2", "np.fft.fft2(z)", complexes(0, 0), (16, 100, 256, 1_024))
    yield Operation("rfft2", "np.fft.rfft2(x)", complexes(0, 0), (16, 100, 256, 1_024))
    yield Operation(
        "fft 0", "np.fft.fft(z, axis=0)", complexes(0, 0), (256, 1_000), "np.fft.fft(z, dim=0)"
    )


def draws() -> Iterator[Operation]:
    """Random numbers."""
    for name, torch, numpy in (
        ("normal(key, (N,))", "torch.randn(N)", "rng.standard_normal(N, dtype=np.float32)"),
        ("uniform(key, (N,))", "torch.rand(N)", "rng.random(N, dtype=np.float32)"),
        (
            "randint(key, (N,), 0, 100)",
            "torch.randint(0, 100, (N,), dtype=torch.int32)",
            "rng.integers(0, 100, N, dtype=np.int32)",
        ),
        (
            "bernoulli(key, 0.3, (N,))",
            "torch.rand(N) < 0.3",
            "rng.random(N, dtype=np.float32) < 0.3",
        ),
        (
            "exponential(key, (N,))",
            "torch.empty(N).exponential_()",
            "rng.standard_exponential(N, dtype=np.float32)",
        ),
    ):
        yield Operation(name, f"random.{name}", vectors, LENGTHS, torch, numpy)
    yield Operation(
        "permutation(key, N)",
        "random.permutation(key, N)",
        vectors,
        (10, 1_000, 100_000, 1_000_000),
        "torch.randperm(N)",
        "rng.permutation(N)",
    )


def linalg() -> Iterator[Operation]:
    """Factors, solutions and inverses of one matrix, and of stacks."""
    named = (
        ("cholesky", "np.linalg.cholesky(d)", None, None),
        ("inv", "np.linalg.inv(b)", None, None),
        ("det", "np.linalg.det(b)", None, None),
        ("slogdet", "np.linalg.slogdet(b)", None, None),
        ("solve", "np.linalg.solve(b, a)", None, None),
        (
            "triangular_solve",
            "lax.linalg.triangular_solve(b, a, left_side=True, lower=True)",
            "torch.linalg.solve_triangular(b, a, upper=False)",
            "",
        ),
        ("qr", "np.linalg.qr(a)", None, None),
        ("lu", "lax.linalg.lu(b)[0]", "torch.linalg.lu_factor(b)[0]", ""),
        ("svd", "np.linalg.svd(a, full_matrices=False)", None, None),
        ("svdvals", "np.linalg.svd(a, compute_uv=False)", "torch.linalg.svdvals(a)", None),
        ("eigh", "np.linalg.eigh(d)", None, None),
        ("eigvalsh", "np.linalg.eigvalsh(d)", None, None),
        ("matrix_power", "np.linalg.matrix_power(a, 5)", None, None),
        ("pinv", "np.linalg.pinv(a)", None, None),
        ("expm", "scipy.linalg.expm(a)", "torch.linalg.matrix_exp(a)", ""),
    )
    for name, code, torch, numpy in named:
        yield Operation(
            name,
            code,
            square,
            (2, 8, 32, 128, 512) if name in ("pinv", "expm") else (2, 8, 32, 128, 512, 1_024),
            torch,
            numpy,
        )
        for side, counts in (
            (3, (10_000,)),
            (8, (1_000,)),
            (16, (1_000,)),
            (32, (10, 100, 1_000)),
            (64, (100,)),
            (128, (16,)),
        ):
            yield Operation(f"{name} of {side}", code, stack(side), counts, torch, numpy)
    for dtype in ("float64", "complex64"):
        for name, code, torch, numpy in named[:11]:
            yield Operation(name, code, square, (8, 256), torch, numpy, dtype)
            yield Operation(f"{name} of 4", code, stack(4), (1_000,), torch, numpy, dtype)
    yield Operation("eig", "np.linalg.eig(a)", square, (8, 128))
