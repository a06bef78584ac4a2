"""Convolutions over seeded random parameters, by a formula that adds up one product after the other."""

from __future__ import annotations

import itertools
import re
from typing import Any

import numpy as np
import pytest

import covector as cv
import covector.numpy as cnp
from covector import lax

Sizes = list[int]


def same(actual: Any, wanted: np.ndarray, tolerance: float = 1e-5) -> None:
    assert actual.shape == wanted.shape
    scale = max(1.0, float(np.abs(wanted).max(initial=0)))
    np.testing.assert_allclose(np.asarray(actual), wanted, rtol=tolerance, atol=tolerance * scale)


def plainly(
    x: np.ndarray,
    w: np.ndarray,
    strides: Sizes,
    pads: Any,
    base: Sizes,
    spread: Sizes,
    groups: int,
    batches: int,
) -> np.ndarray:
    """NCHW and OIHW: out[n, o, s] is the sum over c and k of x[n, c, (s stride + k spread - low) / base] w[o, c, k]."""
    counts = [
        max((low + max((n - 1) * b + 1, 0) + high - ((k - 1) * d + 1)) // s + 1, 0)
        for n, k, s, (low, high), b, d in zip(
            x.shape[2:], w.shape[2:], strides, pads, base, spread, strict=True
        )
    ]
    made, batch = w.shape[0] // (groups * batches), x.shape[0] // batches
    out = np.zeros((batch, w.shape[0], *counts), np.float64)
    for n, o, c in itertools.product(range(batch), range(w.shape[0]), range(w.shape[1])):
        group = o // made
        row = group * batch + n if batches > 1 else n
        feature = group * w.shape[1] + c if groups > 1 else c
        for s in np.ndindex(*counts):
            for k in np.ndindex(*w.shape[2:]):
                at = [
                    divmod(i * t + j * d - low, b)
                    for i, t, j, d, (low, _), b in zip(
                        s, strides, k, spread, pads, base, strict=True
                    )
                ]
                if all(r == 0 and 0 <= q < m for (q, r), m in zip(at, x.shape[2:], strict=True)):
                    out[(n, o, *s)] += x[(row, feature, *[q for q, _ in at])] * w[(o, c, *k)]
    return out


def drawn(rng: np.random.Generator) -> tuple[Any, ...]:
    """Operands in NCHW and OIHW, and the parameters."""
    rank = int(rng.integers(1, 4))
    groups, batches = [(1, 1), (1, 1), (2, 1), (1, 2)][rng.integers(4)]
    taken = int(rng.integers(1, 4))
    shape = int(rng.integers(1, 3)) * batches, taken * groups, *rng.integers(1, 6, rank)
    kernel = int(rng.integers(1, 4)) * groups * batches, taken, *rng.integers(1, 4, rank)
    strides, base, spread = ([int(n) for n in rng.integers(1, 3, rank)] for _ in range(3))
    pads = [(int(a), int(b)) for a, b in rng.integers(0, 4, (rank, 2))]
    x, w = rng.normal(size=shape), rng.normal(size=kernel)
    return x.astype(np.float32), w.astype(np.float32), strides, pads, base, spread, groups, batches


@pytest.mark.parametrize("seed", range(12))
def test_against_the_formula(seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, w, *parameters = drawn(rng)
    wanted = plainly(x, w, *parameters)
    letters = "HWD"[: x.ndim - 2]
    orders = [rng.permutation(x.ndim) for _ in range(3)]
    where = np.sort(np.flatnonzero(orders[1] > 1))  # the parameters are in the kernel's order
    orders[1][where] = np.arange(2, x.ndim)
    names = ["NC" + letters, "OI" + letters, "NC" + letters]
    numbers = tuple(
        ["".join(name[i] for i in order) for name, order in zip(names, orders, strict=True)]
    )
    strides, pads, base, spread, groups, batches = parameters

    def f(x: Any, w: Any) -> Any:
        return lax.conv_general_dilated(x, w, strides, pads, base, spread, numbers, groups, batches)

    got = cv.jit(f)(np.transpose(x, orders[0]), np.transpose(w, orders[1]))
    same(got, np.transpose(wanted, orders[2]))


@pytest.mark.parametrize("padding", ["SAME", "SAME_LOWER", "VALID"])
def test_padding_by_name(padding: str) -> None:
    x, w = np.arange(14, dtype=np.float32).reshape(1, 2, 7), np.ones((1, 2, 4), np.float32)
    (pads,) = lax.padtype_to_pads((7,), (4,), (2,), padding)
    wanted = plainly(x, w, [2], [pads], [1], [1], 1, 1)
    same(lax.conv(cnp.asarray(x), w, (2,), padding.lower()), wanted)
    assert lax.conv_shape_tuple(x.shape, w.shape, (2,), padding) == wanted.shape


@pytest.mark.parametrize("padding", ["SAME", "VALID", [(1, 2)]])
@pytest.mark.parametrize("stride", [1, 3])
def test_transposed(padding: Any, stride: int) -> None:
    rng = np.random.default_rng(stride)
    x, w = rng.normal(size=(2, 5, 3)), rng.normal(size=(4, 3, 2))
    got = lax.conv_transpose(cnp.asarray(x), w, (stride,), padding)
    shape = lax.conv_transpose_shape_tuple(
        x.shape, w.shape, (stride,), padding, ("NHC", "HIO", "NHC")
    )
    assert got.shape == shape
    if padding == "SAME":
        assert got.shape == (2, 5 * stride, 2)
    if padding == "VALID":  # it is the transpose of the convolution with that padding
        kernel = lax.conv_transpose(
            cnp.asarray(x), np.swapaxes(w, 1, 2)[::-1], (stride,), padding, transpose_kernel=True
        )
        same(kernel, np.asarray(got))
        y = rng.normal(size=got.shape)
        forward = lax.conv_general_dilated(
            cnp.asarray(y),
            np.swapaxes(w, 1, 2)[::-1],
            (stride,),
            padding,
            dimension_numbers=("NHC", "HIO", "NHC"),
        )
        if forward.shape == x.shape:
            np.testing.assert_allclose((np.asarray(forward) * x).sum(), (np.asarray(got) * y).sum())


def test_patches_and_kernels_of_their_own() -> None:
    x = np.random.default_rng(0).normal(size=(2, 3, 5, 6)).astype(np.float32)
    w = np.random.default_rng(1).normal(size=(4, 3, 2, 3)).astype(np.float32)
    parameters = (2, 1), [(1, 0), (0, 1)], (1, 1), (1, 2)
    patches = lax.conv_general_dilated_patches(cnp.asarray(x), (2, 3), *parameters)
    wanted = lax.conv_general_dilated(x, w, *parameters)
    same(cnp.einsum("nphw,op->nohw", patches, w.reshape(4, 18)), np.asarray(wanted))
    everywhere = np.broadcast_to(w.reshape(4, 18, 1, 1), (4, 18, *wanted.shape[2:]))
    strides, pads, base, spread = parameters
    local = lax.conv_general_dilated_local(
        cnp.asarray(x), np.array(everywhere), strides, pads, (2, 3), base, spread
    )
    same(local, np.asarray(wanted))


# Widths that are cut into parts, windows into runs; features that fill vectors, or a part of one.
APART = [
    # width, features, made of each, window, stride, padding, spread
    *[(width, 16, 1, 3, 1, (1, 1), 1) for width in (1, 2, 3, 5, 7, 8, 13, 14, 15, 29)],
    *[(9, 8, 1, window, 1, (2, 3), 1) for window in (1, 2, 4, 5, 6, 7)],
    *[(width, 24, 1, 3, 2, (0, 1), 1) for width in (3, 6, 14, 15, 17, 32)],
    *[(11, features, 1, 3, 1, (1, 1), 1) for features in (8, 13, 17, 32, 40, 48, 72)],
    *[(13, 16, 1, 3, stride, (4, 5), spread) for stride, spread in ((3, 1), (1, 2), (2, 3))],
    *[(13, 16, 1, 3, 1, pads, 1) for pads in ((-1, 2), (2, -3), (-2, -2), (9, 0), (0, 9))],
    *[(10, 12, made, 3, 1, (1, 1), 1) for made in (2, 3, 4, 5, 8, 16, 17)],
    *[(10, features, 2, 5, 2, (1, 1), 1) for features in (4, 5, 8, 9, 16, 23)],
]


LAST = "NHWC", "HWIO", "NHWC"


def _drawn_apart(dtype: Any, width: int, features: int, kernel: tuple[int, ...]) -> Any:
    """A generator, and of it what lies under a kernel and this, of small whole numbers."""
    rng = np.random.default_rng(width)
    x = rng.integers(-8, 9, (2, 4, width, features)).astype(dtype)
    return rng, x, rng.integers(-8, 9, kernel).astype(dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("width", "features", "made", "window", "stride", "pads", "spread"), APART)
def test_each_feature_on_its_own(
    dtype: Any,
    width: int,
    features: int,
    made: int,
    window: int,
    stride: int,
    pads: tuple[int, int],
    spread: int,
) -> None:
    _, x, w = _drawn_apart(dtype, width, features, (3, window, 1, features * made))
    slides = (1, stride), ((1, 1), pads), (1, 1), (1, spread)
    got = lax.conv_general_dilated(cnp.asarray(x), w, *slides, LAST, features)
    around = ((0, 0, 0), (1, 1, 0), (*pads, 0), (0, 0, 0))
    filled = np.repeat(np.asarray(lax.pad(x, dtype(0), around)), made, 3)
    same(got, _with_zeros(filled, w, (1, stride), (1, spread), features * made))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("features", [8, 13, 16, 23, 72, 128])
@pytest.mark.parametrize(
    ("width", "window", "stride", "pads", "spread"),
    [(7, 3, 1, (1, 1), 1), (9, 4, 2, (0, 1), 1), (9, 2, 1, (-1, 2), 2), (1, 5, 1, (2, 2), 1)],
)
def test_slopes_of_kernels_of_features_on_their_own(
    dtype: Any,
    features: int,
    width: int,
    window: int,
    stride: int,
    pads: tuple[int, int],
    spread: int,
) -> None:
    rng, x, w = _drawn_apart(dtype, width, features, (3, window, 1, features))
    slides = (1, stride), ((1, 1), pads), (1, 1), (1, spread)

    def convolve(w: Any) -> Any:
        return lax.conv_general_dilated(x, w, *slides, LAST, features)

    out, back = cv.vjp(convolve, cnp.asarray(w))
    g = rng.integers(-8, 9, out.shape).astype(dtype)
    around = ((0, 0, 0), (1, 1, 0), (*pads, 0), (0, 0, 0))
    filled = np.asarray(lax.pad(x, dtype(0), around))
    wanted = np.zeros(w.shape)
    for i, j in np.ndindex(3, window):
        under = filled[:, i : i + 4, j * spread :][:, :, ::stride][:, :, : out.shape[2]]
        wanted[i, j, 0] = (under * g).sum((0, 1, 2))
    same(back(cnp.asarray(g))[0], wanted)


@pytest.mark.parametrize("last", [True, False])
@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize(
    ("size", "window"),
    [((5, 6), (1, 1)), ((5, 6), (5, 6)), ((5, 6), (1, 6)), ((1, 6), (1, 1)), ((1, 1), (1, 1))],
)
def test_products_of_matrices(
    size: tuple[int, int], window: tuple[int, int], batch: int, last: bool
) -> None:
    """Where the kernel is one place along an axis, or meets all elements at once: values, and both slopes."""
    rng = np.random.default_rng(0)
    x = rng.integers(-5, 6, (batch, *size, 40)).astype(np.float32)
    w = rng.integers(-5, 6, (*window, 40, 48)).astype(np.float32)
    wanted = _with_zeros(x, w, (1, 1), (1, 1), 1)
    g = rng.integers(-5, 6, wanted.shape).astype(np.float32)
    slope_x, slope_w = np.zeros(x.shape), np.zeros(w.shape)
    for i, j in np.ndindex(*window):
        under = np.s_[:, i : i + wanted.shape[1], j : j + wanted.shape[2]]
        slope_w[i, j] = np.einsum("nhwc,nhwo->co", x[under], g)
        slope_x[under] += g @ w[i, j].T
    layout = ("NHWC", "HWIO", "NHWC") if last else ("NCHW", "OIHW", "NCHW")

    def convolve(x: Any, w: Any) -> Any:
        return lax.conv_general_dilated(x, w, (1, 1), "VALID", dimension_numbers=layout)

    def slopes(x: Any, w: Any, g: Any) -> Any:
        return cv.vjp(convolve, x, w)[1](g)

    def laid(image: np.ndarray) -> np.ndarray:
        return image if last else np.moveaxis(image, 3, 1)

    kernel = w if last else np.transpose(w, (3, 2, 0, 1))
    same(cv.jit(convolve)(laid(x), kernel), laid(wanted))
    got_x, got_w = cv.jit(slopes)(laid(x), kernel, laid(g))
    same(got_x, laid(slope_x))
    same(got_w, slope_w if last else np.transpose(slope_w, (3, 2, 0, 1)))


EMPTY = [
    *[
        ((n, i, h, 8), (o, i, k, 3))
        for n, i, h, o, k in ((0, 3, 8, 4, 3), (1, 3, 8, 0, 3), (1, 0, 8, 4, 3))
    ],
    *[
        ((n, i, h, 8), (o, i, k, 3))
        for n, i, h, o, k in ((1, 3, 0, 4, 3), (1, 3, 8, 4, 0), (9, 0, 8, 0, 5))
    ],
]


@pytest.mark.parametrize("strides", [(1, 1), (2, 3)])
@pytest.mark.parametrize(("lhs", "rhs"), EMPTY)
def test_sums_of_nothing(lhs: Any, rhs: Any, strides: Any) -> None:
    """A length of zero anywhere: zeros, or nothing; so are the slopes."""
    x, w = cnp.ones(lhs), cnp.ones(rhs)

    def total(x: Any, w: Any) -> Any:
        return lax.conv_general_dilated(x, w, strides, [(2, 3)] * 2)

    out = total(x, w)
    same(
        out, plainly(np.ones(lhs), np.ones(rhs), list(strides), [(2, 3)] * 2, [1, 1], [1, 1], 1, 1)
    )
    for slope, of in zip(
        cv.grad(lambda x, w: total(x, w).sum(), (0, 1))(x, w), (x, w), strict=True
    ):
        assert slope.shape == of.shape
        assert not np.any(slope)


WRONG = [
    (lambda f, x, w: f(x, w[:, :1], (1, 1), "SAME"), ValueError, "lhs has 2 features"),
    (lambda f, x, w: f(x, w, (1,), "VALID"), ValueError, "window and a stride"),
    (lambda f, x, w: f(x, w, (1,), [(1, 1)]), ValueError, "window_strides"),
    (lambda f, x, w: f(x, w[0], (1, 1), "SAME"), TypeError, "number of axes"),
    (lambda f, x, w: f(x, w, (1, 1), "other"), ValueError, "'other'"),
    (lambda f, x, w: f(x, w.astype(int), (1, 1), "SAME"), TypeError, "one dtype"),
    (lambda f, x, w: f(x, w, (0, 1), [(0, 0)] * 2), ValueError, "stride 0"),
    (lambda f, x, w: f(x, w, (1, 1), "SAME", (2, 1)), ValueError, "conv_transpose"),
    (lambda f, x, w: f(x, w, (1, 1), [(0, 0), (-4, 0)]), ValueError, "cuts more"),
    (lambda f, x, w: f(x, w, (1, 1), [(0, 0), 1]), ValueError, "padding"),
    (lambda f, x, w: f(x, w, 1, "SAME"), TypeError, "window_strides"),
    (lambda f, x, w: f(x, w, (1, 1), "SAME", batch_group_count=2), ValueError, "the batch"),
    (lambda f, x, w: f(x, w, (1, 1), "SAME", feature_group_count=0), ValueError, "at least 1"),
    (
        lambda f, x, w: f(x, w, (1, 1), "SAME", dimension_numbers=("NCHW", "OIHW")),
        TypeError,
        "three strings",
    ),
    (
        lambda f, x, w: f(x, w, (1, 1), "SAME", dimension_numbers=("NCHW", "OIHW", "NCHX")),
        TypeError,
        "'NCHX'",
    ),
    (lambda f, x, w: f(x, w, (1, 1), "SAME", preferred_element_type="int32"), TypeError, "int32"),
]


@pytest.mark.parametrize(("call", "error", "text"), WRONG)
def test_wrong_arguments(call: Any, error: type, text: str) -> None:
    x, w = cnp.ones((1, 2, 3, 3)), cnp.ones((4, 2, 2, 2))
    with pytest.raises(error, match=re.escape(text)):
        call(lax.conv_general_dilated, x, w)


# Shapes of the operand and of the kernel (batch and features last but one and last), and how it slides.
MEETINGS: dict[str, tuple[Sizes, Sizes, dict[str, Any]]] = {
    "sliding": ([2, 5, 6, 4], [3, 3, 4, 8], {}),
    "strides": ([1, 7, 6, 4], [3, 3, 4, 8], {"window_strides": (2, 3)}),
    "elements apart": ([1, 3, 4, 4], [3, 3, 4, 8], {"lhs_dilation": (2, 1)}),
    "places apart": ([1, 7, 6, 4], [3, 3, 4, 8], {"rhs_dilation": (2, 1)}),
    "cut": ([1, 5, 6, 4], [3, 3, 4, 8], {"padding": ((-1, 2), (1, -1))}),
    "depthwise": ([2, 5, 6, 16], [3, 3, 1, 16], {"feature_group_count": 16}),
    "two results a feature": ([2, 5, 6, 8], [3, 3, 1, 16], {"feature_group_count": 8}),
    "groups": ([2, 5, 6, 8], [3, 3, 4, 8], {"feature_group_count": 2}),
    "gathering": ([8, 3, 3, 4], [4, 4, 4, 8], {}),
    "kernel that meets zeros alone": ([1, 1, 6, 4], [3, 3, 4, 64], {"padding": ((1, 1), (1, 1))}),
    "few features": ([1, 5, 6, 2], [3, 3, 2, 2], {}),
    "no zeros": ([1, 5, 6, 4], [3, 3, 4, 8], {"padding": ((0, 0), (0, 0))}),
}


@pytest.mark.parametrize("odd", [np.inf, np.nan])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", MEETINGS)
def test_zeros_of_the_padding_are_multiplied(name: str, dtype: Any, odd: float) -> None:
    """By a formula that has zeros where there is no element: what is infinite makes NaN of them, on every side."""
    lhs, rhs, options = MEETINGS[name]
    options = {"window_strides": (1, 1), "padding": ((1, 1), (1, 1)), **options}
    rng = np.random.default_rng(0)
    x, w = rng.uniform(1, 2, lhs).astype(dtype), rng.uniform(1, 2, rhs).astype(dtype)
    w[0, 1, 0, 1] = w[2, 0, -1, 0] = odd
    layout = lax.conv_dimension_numbers(x.shape, w.shape, ("NHWC", "HWIO", "NHWC"))
    with cv.enable_x64(True):
        actual = np.asarray(lax.conv_general_dilated(x, w, dimension_numbers=layout, **options))
    base = options.get("lhs_dilation", (1, 1))
    pads = [(1, 1), (1, 1), *options["padding"], (1, 1)][2:4]
    apart = np.zeros(
        (lhs[0], *[(n - 1) * b + 1 for n, b in zip(lhs[1:3], base, strict=True)], lhs[3])
    )
    apart[:, :: base[0], :: base[1]] = x
    filled = np.asarray(
        lax.pad(apart, 0.0, ((0, 0, 0), *[(low, high, 0) for low, high in pads], (0, 0, 0)))
    )
    groups, spread = options.get("feature_group_count", 1), options.get("rhs_dilation", (1, 1))
    with np.errstate(invalid="ignore"):
        wanted = _with_zeros(filled, w, options["window_strides"], spread, groups)
    np.testing.assert_allclose(actual, wanted, rtol=1e-5)


def _with_zeros(x: np.ndarray, w: np.ndarray, strides: Any, spread: Any, groups: int) -> np.ndarray:
    """NHWC and HWIO, of an operand that has its padding already."""
    counts = [
        (n - (k - 1) * d - 1) // s + 1
        for n, k, s, d in zip(x.shape[1:3], w.shape[:2], strides, spread, strict=True)
    ]
    out = np.zeros((x.shape[0], *counts, w.shape[3]))
    taken, made = w.shape[2], w.shape[3] // groups
    for o, i, j in np.ndindex(w.shape[3], *w.shape[:2]):
        first = o // made * taken
        under = x[:, i * spread[0] :, j * spread[1] :, first : first + taken]
        under = under[:, :: strides[0], :: strides[1]][:, : counts[0], : counts[1]]
        out[..., o] += (under * w[i, j, :, o]).sum(-1)
    return out
