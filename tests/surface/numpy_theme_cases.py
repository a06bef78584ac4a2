"""What is called of the functions by theme (sets, histograms, polynomials, ...) on arrays, NumPy's and ours.

A row is a name, the operands and the call; `Case.ways` says how else than eagerly it is called.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

Call = Callable[..., Any]


@dataclass(frozen=True)
class Case:
    """A call of the module and its operands, which NumPy and we take alike."""

    name: str
    call: Call
    operands: tuple[Any, ...]
    ways: str = "jvg"  # jit, vmap, gradient (along with finite differences)
    digits: float = 1e-5


def _f(*values: float) -> np.ndarray:
    return np.array(values, np.float32)


def _i(*values: int) -> np.ndarray:
    return np.array(values, np.int32)


MIXED = _f(0.3, -1.5, 2.25, 0.35, 7.0, -4.5, 1.0, 2.0)
NUMBERS = _i(3, 1, 3, 7, 0, 1, 1, 5)
EMPTY = np.zeros(0, np.float32)
GRID = np.array([[0.5, -1.0, 2.0], [3.5, 0.25, -2.0]], np.float32)
WITH_NAN = _f(1.0, np.nan, -2.0, np.inf, 4.0, np.nan, 0.5)
WHOLE = np.array([[4, -6, 0], [9, 12, 15]], np.int32)
CUBE = np.arange(24, dtype=np.float32).reshape(2, 3, 4) % 7

SETS = (
    [Case("unique", lambda m, a: m.unique(a), (a,), "") for a in (MIXED, NUMBERS, EMPTY, WITH_NAN)]
    + [
        Case(
            "unique",
            lambda m, a: m.unique(a, return_index=True, return_inverse=True, return_counts=True),
            (a,),
            "",
        )
        for a in (MIXED, NUMBERS, WHOLE, WITH_NAN)
    ]
    + [
        Case("unique", lambda m, a: m.unique(a, axis=0), (WHOLE[[0, 1, 0]],), ""),
        Case(
            "unique",
            lambda m, a: m.unique(a, axis=1, return_counts=True),
            (WHOLE[:, [1, 0, 1]],),
            "",
        ),
        Case("unique", lambda m, a: m.unique(a, equal_nan=False), (WITH_NAN,), ""),
        Case(
            "unique",
            lambda m, a: m.unique(a),
            (np.array([1 + 2j, 1 - 2j, 1 + 2j, 0], np.complex64),),
            "",
        ),
        Case("unique_all", lambda m, a: tuple(m.unique_all(a)), (WHOLE,), ""),
        Case("unique_counts", lambda m, a: tuple(m.unique_counts(a)), (NUMBERS,), ""),
        Case("unique_inverse", lambda m, a: tuple(m.unique_inverse(a)), (NUMBERS,), ""),
        Case("unique_values", lambda m, a: m.sort(m.unique_values(a)), (NUMBERS,), ""),
        Case("isin", lambda m, a, b: m.isin(a, b), (WHOLE, _i(0, 9, 12)), "jv"),
        Case(
            "isin",
            lambda m, a, b: m.isin(a, b, invert=True),
            (NUMBERS, np.arange(0, 60, 3, np.int32)),
            "jv",
        ),
        Case("isin", lambda m, a, b: m.isin(a, b), (WITH_NAN, WITH_NAN), "jv"),
        Case("isin", lambda m, a, b: m.isin(a, b), (MIXED, EMPTY), "j"),
        Case("union1d", lambda m, a, b: m.union1d(a, b), (NUMBERS, WHOLE), ""),
        Case(
            "intersect1d",
            lambda m, a, b: m.intersect1d(a, b, return_indices=True),
            (NUMBERS, _i(7, 9, 1, 1)),
            "",
        ),
        Case("intersect1d", lambda m, a, b: m.intersect1d(a, b), (MIXED, EMPTY), ""),
        Case("setdiff1d", lambda m, a, b: m.setdiff1d(a, b), (NUMBERS, _i(7, 9, 1, 1)), ""),
        Case(
            "setdiff1d",
            lambda m, a, b: m.setdiff1d(a, b, assume_unique=True),
            (_i(4, 2, 9), _i(2)),
            "",
        ),
        Case("setxor1d", lambda m, a, b: m.setxor1d(a, b), (NUMBERS, _i(7, 9, 1, 1)), ""),
        Case("setxor1d", lambda m, a, b: m.setxor1d(a, b), (EMPTY, MIXED), ""),
    ]
)

HISTOGRAMS = [
    Case("bincount", lambda m, a: m.bincount(a), (NUMBERS,), ""),
    Case("bincount", lambda m, a: m.bincount(a, minlength=12), (NUMBERS.astype(np.uint8),), ""),
    Case("bincount", lambda m, a, w: m.bincount(a, w), (NUMBERS, MIXED), ""),
    Case("bincount", lambda m, a: m.bincount(a), (NUMBERS[:0],), ""),
    Case("digitize", lambda m, a, b: m.digitize(a, b), (MIXED, _f(-1, 0.3, 2)), "jv"),
    Case("digitize", lambda m, a, b: m.digitize(a, b, right=True), (MIXED, _f(-1, 0.3, 2)), "jv"),
    Case("digitize", lambda m, a, b: m.digitize(a, b), (MIXED, _f(2, 0.3, -1)), "jv"),
    Case("digitize", lambda m, a, b: m.digitize(a, b, right=True), (GRID, _f(2, 0.5, -1)), "jv"),
    Case("histogram", lambda m, a: m.histogram(a, 5), (MIXED,), "jv"),
    Case("histogram", lambda m, a: m.histogram(a, 3, range=(-1, 2)), (MIXED,), "jv"),
    Case("histogram", lambda m, a: m.histogram(a, density=True), (MIXED,), "jv"),
    Case(
        "histogram",
        lambda m, a, e, w: m.histogram(a, e, weights=w),
        (MIXED, _f(-2, 0.3, 1, 7), MIXED * 2),
        "jv",
    ),
    Case("histogram", lambda m, a: m.histogram(a, 4), (MIXED[:1],), "j"),
    Case("histogram", lambda m, a: m.histogram(a, 4), (EMPTY,), "j"),
    Case("histogram_bin_edges", lambda m, a: m.histogram_bin_edges(a, 4), (MIXED,), "jv"),
    Case("histogram2d", lambda m, a, b: m.histogram2d(a, b, (3, 4)), (MIXED, MIXED[::-1]), "j"),
    Case("histogramdd", lambda m, a: m.histogramdd(a, (2, 3, 2))[0], (CUBE.reshape(8, 3),), "jv"),
    Case(
        "histogramdd",
        lambda m, a: m.histogramdd(a, 3, density=True)[0],
        (CUBE.reshape(8, 3),),
        "jv",
    ),
]

WINDOWS = [
    Case(name, lambda m, n=n, name=name: getattr(m, name)(n), (), "")
    for name in ("bartlett", "blackman", "hamming", "hanning")
    for n in (0, 1, 2, 7)
] + [
    Case("kaiser", lambda m, b, n=n: m.kaiser(n, b), (np.float32(8.6),), "j") for n in (0, 1, 2, 7)
]

_X, _Y = np.linspace(-2, 3, 9).astype(np.float32), _f(1, 0.5, -1, 2, 3, 2.5, 0, -4, 1)


def _zeros(m: Any, p: Any) -> Any:
    return m.sort(m.roots(p).real)


POLYNOMIALS = [
    Case("roots", _zeros, (_f(1, -6, 11, -6),), "", 1e-4),
    Case("roots", _zeros, (_f(0, 0, 2, -6, 4, 0, 0),), "", 1e-4),
    Case("roots", lambda m, p: m.roots(p).shape, (_f(0, 0),), ""),
    Case(
        "poly", lambda m, a: m.real(m.poly(a)), (np.array([[2, 1], [1, 3]], np.float32),), "j", 1e-4
    ),
    Case("polyfit", lambda m, x, y: m.polyfit(x, y, 3), (_X, _Y), "jvg", 1e-4),
    Case("polyfit", lambda m, x, y: m.polyfit(x, m.stack([y, x], 1), 2), (_X, _Y), "j", 1e-4),
    Case(
        "polyfit",
        lambda m, x, y, w: m.polyfit(x, y, 2, w=w, cov=True),
        (_X, _Y, abs(_Y) + 1),
        "j",
        1e-4,
    ),
    Case("polyfit", lambda m, x, y: m.polyfit(x, y, 1, cov="unscaled"), (_X, _Y), "j", 1e-4),
    Case("polyfit", lambda m, x, y: m.polyfit(x, y, 2, full=True)[:4], (_X, _Y), "j", 1e-4),
    Case("poly", lambda m, a: m.poly(a), (_f(1, -2, 0.5),)),
    Case("polyadd", lambda m, a, b: m.polyadd(a, b), (_f(1, 2, 3), _f(5, 6))),
    Case("polysub", lambda m, a, b: m.polysub(a, b), (_f(5, 6), _f(1, 2, 3))),
    Case("polymul", lambda m, a, b: m.polymul(a, b), (_f(1, 2, 3), _f(5, 6))),
    Case("polydiv", lambda m, a, b: m.polydiv(a, b)[0], (_f(1, 2, 3, 4), _f(5, 6))),
    Case("polydiv", lambda m, a, b: m.polydiv(a, b)[1][-1:], (_f(1, 2, 3, 4), _f(5, 6))),
    Case("polyder", lambda m, a: m.polyder(a), (_f(1, 2, 3, 4),)),
    Case("polyder", lambda m, a: m.polyder(a, 2), (_f(1, 2, 3, 4),)),
    Case("polyint", lambda m, a: m.polyint(a), (_f(1, 2, 3),)),
    Case("polyint", lambda m, a: m.polyint(a, 3, k=[1, 2, 3]), (_f(1, 2, 3),)),
    Case("polyval", lambda m, p, x: m.polyval(p, x), (_f(1, 2, 3), GRID)),
    Case("polyval", lambda m, p, x: m.polyval(p, x), (np.ones(40, np.float32), GRID / 4), "j"),
    Case("polyval", lambda m, p, x: m.polyval(p, x), (NUMBERS, WHOLE), "j"),
]

GRIDS = [
    Case("mgrid", lambda m: m.mgrid[0:3, 1:2:3j], (), ""),
    Case("mgrid", lambda m: m.mgrid[4:0:-2], (), ""),
    Case("ogrid", lambda m: m.ogrid[0:3, -1:1:2], (), ""),
    Case("r_", lambda m, a: m.r_[a, 0.5, 1:4, a], (_f(1, 2),), "jg"),
    Case("r_", lambda m, a: m.r_["-1", a, a], (GRID,), "j"),
    Case("r_", lambda m, a: m.r_["0,2", a, a], (_f(1, 2),), "j"),
    Case("r_", lambda m, a: m.r_["1,3,0", a, a], (_f(1, 2),), "j"),
    Case("c_", lambda m, a: m.c_[a, a], (_f(1, 2),), "jg"),
    Case("c_", lambda m, a: m.c_[a, a], (GRID,), "j"),
    Case("s_", lambda m: m.arange(9)[m.s_[2:8:3]], (), ""),
    Case("index_exp", lambda m: m.arange(9)[m.index_exp[2:8:3]], (), ""),
    Case("block", lambda m, a, b: m.block([[a, b], [b, a]]), (GRID, GRID[:, :1])),
    Case("block", lambda m, a: m.block([a, a]), (_f(1, 2),)),
    Case("block", lambda m, a: m.block(a), (GRID,)),
    Case("ix_", lambda m, a, b: m.ix_(a, b), (_i(0, 1), _i(2, 0, 1)), "j"),
    Case("ix_", lambda m, a: m.ix_(a), (np.array([True, False, True]),), ""),
    Case("diag_indices", lambda m: m.diag_indices(3, 3), (), ""),
    Case("diag_indices_from", lambda m, a: m.diag_indices_from(a), (CUBE[:, :2, :2],), ""),
    Case("tril_indices_from", lambda m, a: m.tril_indices_from(a, 1), (GRID,), ""),
    Case("triu_indices_from", lambda m, a: m.triu_indices_from(a, -1), (GRID,), ""),
    Case("mask_indices", lambda m: m.mask_indices(3, m.triu, 1), (), ""),
    Case(
        "ravel_multi_index",
        lambda m, a, b: m.ravel_multi_index((a, b), (3, 4)),
        (_i(0, 2), _i(3, 1)),
        "",
    ),
    Case(
        "ravel_multi_index",
        lambda m, a, b: m.ravel_multi_index((a, b), (3, 4), mode=("wrap", "clip"), order="F"),
        (_i(0, -2), _i(9, -1)),
        "jv",
    ),
    Case("unravel_index", lambda m, a: m.unravel_index(a, (3, 2, 2)), (_i(0, 11, 7),), "jv"),
    Case("geomspace", lambda m: m.geomspace(2, 64, 6), (), ""),
    Case("geomspace", lambda m: m.geomspace(-8, -1, 4, endpoint=False), (), ""),
    Case("geomspace", lambda m: m.geomspace(1, 1000, 4, dtype="int32"), (), ""),
    Case("geomspace", lambda m, a: m.geomspace(a, 16, 3, axis=1), (_f(1, 4),), "j"),
]

EDITS = [
    Case("compress", lambda m, a: m.compress([True, False, True], a, axis=1), (GRID,), ""),
    Case("compress", lambda m, a: m.compress(m.asarray([0, 1, 1]), a), (GRID,), ""),
    Case("extract", lambda m, a: m.extract(a > 0, a), (GRID,), ""),
    Case("choose", lambda m, i, a: m.choose(i, [a, -a, 2 * a]), (_i(0, 2, 1), _f(1, 2, 3)), ""),
    Case(
        "choose",
        lambda m, i, a: m.choose(i, [a, -a], mode="wrap"),
        (_i(-1, 2, 5), _f(1, 2, 3)),
        "jv",
    ),
    Case(
        "choose",
        lambda m, i, a: m.choose(i, [a, -a], mode="clip"),
        (_i(-1, 2, 0), _f(1, 2, 3)),
        "jv",
    ),
    Case("delete", lambda m, a: m.delete(a, 1, axis=1), (GRID,), "jvg"),
    Case("delete", lambda m, a: m.delete(a, slice(None, None, 2)), (MIXED,), "jv"),
    Case("delete", lambda m, a: m.delete(a, np.array([-1, 0, 0])), (MIXED,), "jv"),
    Case("delete", lambda m, a: m.delete(a, np.array([True, False, False]), axis=1), (GRID,), "jv"),
    Case("insert", lambda m, a: m.insert(a, 1, 9.0), (MIXED,), "jvg"),
    Case(
        "insert",
        lambda m, a: m.insert(a, -1, np.array([7.0, 8.0], np.float32), axis=1),
        (GRID,),
        "jv",
    ),
    Case(
        "insert",
        lambda m, a: m.insert(a, np.array([2, 0, 2]), np.array([7, 8, 9])),
        (NUMBERS,),
        "jv",
    ),
    Case("insert", lambda m, a: m.insert(a, slice(0, 4, 2), 5), (NUMBERS,), "jv"),
    Case("trim_zeros", lambda m, a: m.trim_zeros(a), (_i(0, 0, 3, 0, 4, 0),), ""),
    Case("trim_zeros", lambda m, a: m.trim_zeros(a, "f"), (_i(0, 0, 3, 0, 4, 0),), ""),
    Case("trim_zeros", lambda m, a: m.trim_zeros(a), (_i(0, 0),), ""),
]

ESTIMATES = [
    Case("cov", lambda m, a: m.cov(a), (GRID,)),
    Case("cov", lambda m, a: m.cov(a, rowvar=False, bias=True), (GRID,)),
    Case("cov", lambda m, a, b: m.cov(a, b, ddof=0), (MIXED, MIXED[::-1])),
    Case(
        "cov",
        lambda m, a, f, w: m.cov(a, fweights=f, aweights=w),
        (GRID, _i(1, 3, 2), _f(1, 0.5, 2)),
        "j",
    ),
    Case("cov", lambda m, a: m.cov(a), (GRID + 1j * GRID[::-1],), "j"),
    Case("corrcoef", lambda m, a: m.corrcoef(a), (GRID,), "jv"),
    Case("corrcoef", lambda m, a: m.corrcoef(a), (MIXED,), "jv"),
    Case("gradient", lambda m, a: m.gradient(a), (MIXED,)),
    Case("gradient", lambda m, a: m.gradient(a, 0.5, edge_order=2), (MIXED,)),
    Case(
        "gradient", lambda m, a, x: m.gradient(a, x, axis=1, edge_order=2), (GRID, _f(0, 1, 3)), "j"
    ),
    Case("gradient", lambda m, a: m.gradient(a, 2.0, 3.0, axis=(0, 1)), (GRID,), "jv"),
    Case("gradient", lambda m, a, x: m.gradient(a, x), (MIXED[:2], _f(0, 4)), "j"),
    Case("interp", lambda m, x, f: m.interp(x, np.arange(8), f), (GRID + 1.1, MIXED)),
    Case(
        "interp",
        lambda m, x, f: m.interp(x, np.arange(8), f, left=-1, right=9),
        (GRID * 9, MIXED),
        "jv",
    ),
    Case(
        "interp",
        lambda m, x, f: m.interp(x, np.array([9, 2, 5]), f, period=6),
        (GRID * 9, MIXED[:3]),
        "jv",
    ),
    Case("unwrap", lambda m, a: m.unwrap(a), (_f(0, 4, 8, 1, -3, 3.2),)),
    Case("unwrap", lambda m, a: m.unwrap(a, discont=5.0, axis=0), (GRID * 4,), "jv"),
    Case("unwrap", lambda m, a: m.unwrap(a, period=6), (NUMBERS * 2,), "jv"),
]

INTEGERS = [
    Case("gcd", lambda m, a, b: m.gcd(a, b), (WHOLE, _i(6, -4, 0)), "jv"),
    Case(
        "gcd",
        lambda m, a, b: m.gcd(a, b),
        (np.array([[200], [255]], np.uint8), np.array([75, 85], np.uint8)),
        "j",
    ),
    Case("lcm", lambda m, a, b: m.lcm(a, b), (WHOLE, _i(6, -4, 0)), "jv"),
    Case("frexp", lambda m, a: m.frexp(a), (np.append(WITH_NAN, _f(-0.0, 1e-42, 3e38)),), "jv"),
    Case("frexp", lambda m, a: m.frexp(a), (np.array([5e-324, 1e300, -3.0]),), "j"),
    Case("frexp", lambda m, a: m.frexp(a), (np.array([6e-8, 65504, 0.1], np.float16),), "j"),
    Case("packbits", lambda m, a: m.packbits(a), (NUMBERS,), "jv"),
    Case("packbits", lambda m, a: m.packbits(a, axis=0, bitorder="little"), (WHOLE,), "jv"),
    Case("unpackbits", lambda m, a: m.unpackbits(a), (np.array([3, 129], np.uint8),), "jv"),
    Case(
        "unpackbits",
        lambda m, a: m.unpackbits(a, axis=1, count=10, bitorder="little"),
        (np.array([[3], [129]], np.uint8),),
        "j",
    ),
    Case(
        "unpackbits", lambda m, a: m.unpackbits(a, count=-3), (np.array([3, 129], np.uint8),), "j"
    ),
]

_METHODS = ("linear", "lower", "higher", "midpoint", "inverted_cdf")
QUANTILES = [
    Case("quantile", lambda m, a, k=k: m.quantile(a, 0.3, method=k), (MIXED,)) for k in _METHODS
] + [
    Case("quantile", lambda m, a: m.quantile(a, m.asarray([0.0, 0.4, 1.0]), axis=1), (GRID,), "jv"),
    Case("quantile", lambda m, a: m.quantile(a, 0.9, axis=(0, 2), keepdims=True), (CUBE,), "jv"),
    Case("quantile", lambda m, a: m.quantile(a, 0.5), (WITH_NAN,), "jv"),
    Case(
        "quantile",
        lambda m, a, w: m.quantile(a, 0.5, weights=w, method="inverted_cdf"),
        (MIXED, _f(1, 0, 3, 1, 2, 2, 0.5, 0)),
        "jv",
    ),
    Case("percentile", lambda m, a: m.percentile(a, 75, axis=0), (GRID,)),
    Case("nanquantile", lambda m, a: m.nanquantile(a, 0.6), (WITH_NAN,), "jv"),
    Case(
        "nanquantile",
        lambda m, a: m.nanquantile(a, 0.6, axis=0),
        (np.stack([WITH_NAN[:3], WITH_NAN[2::-1]]),),
        "j",
    ),
    Case("nanpercentile", lambda m, a: m.nanpercentile(a, 20, method="higher"), (WITH_NAN,), "jv"),
    Case("nanmedian", lambda m, a: m.nanmedian(a), (WITH_NAN,), "jv"),
    Case(
        "nanmedian", lambda m, a: m.nanmedian(a, axis=1, keepdims=True), (WITH_NAN[None, 1:2],), "j"
    ),
    Case("sort_complex", lambda m, a: m.sort_complex(a), (MIXED,), "jv"),
]

VECTORIZED = [
    Case("apply_along_axis", lambda m, a: m.apply_along_axis(lambda v: v * v[0], 1, a), (CUBE,)),
    Case("apply_along_axis", lambda m, a: m.apply_along_axis(m.sum, 0, a), (CUBE,)),
    Case(
        "apply_along_axis",
        lambda m, a: m.apply_along_axis(lambda v: m.outer(v, v), -1, a),
        (GRID,),
        "jv",
    ),
    Case("apply_over_axes", lambda m, a: m.apply_over_axes(m.sum, a, [0, -1]), (CUBE,)),
    Case(
        "piecewise", lambda m, a: m.piecewise(a, [a < 0, a > 1], [lambda v: -v, 7]), (GRID,), "jv"
    ),
    Case(
        "piecewise", lambda m, a: m.piecewise(a, [a < 0], [lambda v: v * v, m.sin]), (MIXED,), "jvg"
    ),
    Case(
        "vectorize", lambda m, a, b: m.vectorize(lambda x, y: x * y + 1)(a, b), (GRID, _f(1, 2, 3))
    ),
    Case(
        "vectorize",
        lambda m, a, b: m.vectorize(lambda x, y: m.dot(x, y), signature="(n,k),(k)->(n)")(a, b),
        (CUBE, _f(1, 2, 3, 4)),
    ),
    Case(
        "frompyfunc",
        lambda m, a: m.frompyfunc(lambda x, y: x + 2 * y, 2, 1).outer(a, a).astype("float32"),
        (MIXED,),
        "j",
    ),
    Case("iterable", lambda m, a: m.iterable(a), (MIXED,), ""),
]

_FOLDED = ("add", "multiply", "maximum", "minimum", "subtract", "logaddexp", "hypot")
UFUNCS = (
    [
        Case(
            f"{name}.{method}",
            lambda m, a, n=name, k=method: getattr(getattr(m, n), k)(a),
            (GRID,),
            "jv",
        )
        for name in _FOLDED
        for method in ("reduce", "accumulate")
    ]
    + [
        Case(f"{name}.reduce", lambda m, a, n=name: getattr(m, n).reduce(a, axis=1), (WHOLE,), "j")
        for name in (
            "bitwise_and",
            "bitwise_or",
            "bitwise_xor",
            "logical_and",
            "logical_or",
            "logical_xor",
        )
    ]
    + [
        Case("add.reduce", lambda m, a: m.add.reduce(a, axis=(0, 2), keepdims=True), (CUBE,), "jv"),
        Case(
            "logaddexp.reduce",
            lambda m, a: m.logaddexp.reduce(a, axis=None, where=a > 0),
            (GRID,),
            "j",
        ),
        Case(
            "subtract.reduce",
            lambda m, a: m.subtract.reduce(a, initial=10.0, keepdims=True),
            (GRID,),
            "jv",
        ),
        Case(
            "bitwise_xor.accumulate",
            lambda m, a: m.bitwise_xor.accumulate(a, axis=1),
            (WHOLE,),
            "j",
        ),
        Case("multiply.outer", lambda m, a, b: m.multiply.outer(a, b), (GRID, MIXED)),
        Case("add.reduceat", lambda m, a: m.add.reduceat(a, np.array([0, 3, 1])), (MIXED,), "jv"),
        Case(
            "subtract.reduceat",
            lambda m, a: m.subtract.reduceat(a, np.array([1, 0]), axis=1),
            (GRID,),
            "jv",
        ),
    ]
)

CASES = [
    *SETS, *HISTOGRAMS, *WINDOWS, *POLYNOMIALS, *GRIDS, *EDITS, *ESTIMATES, *INTEGERS, *QUANTILES, *VECTORIZED, *UFUNCS,
]  # fmt: skip
# Replacements, which NumPy makes in place; files and settings; and what NumPy does not have: tests of their own.
ELSEWHERE = {
    "fill_diagonal", "place", "put", "put_along_axis", "fromfile", "fromiter", "fromstring", "load", "save", "savez",
    "get_printoptions", "printoptions", "set_printoptions", "minmax",
}  # fmt: skip
