"""Derivatives where functions are not smooth, or where formulas divide by zero: at ties, bounds, zeros, infinities.

The numbers are those that JAX gives, except where a comment says why ours are other ones (`docs/derivatives.md`).
The table of some 240 functions at all their points is `slopes.json`, which `slopes.py` writes.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.api import slopes

import covector as cv
import covector.numpy as cnp
from covector import lax, nn
from covector.scipy import special

inf, nan = float("inf"), float("nan")
Function = Callable[..., Any]

# A function; points; the first and the second derivative at each.
UNARY: dict[str, tuple[Function, list[float], list[float], list[float]]] = {
    # 1 at 0, so that functions of |x| that are smooth have the right second derivative there.
    "abs": (lax.abs, [-2, -0.0, 0, 3, -inf], [-1, 1, 1, 1, -1], [0, 0, 0, 0, 0]),
    "|x|²": (lambda x: cnp.abs(x) ** 2, [-1, 0, 2], [-2, 0, 4], [2, 2, 2]),
    "sign": (lax.sign, [-1, 0, 2], [0, 0, 0], [0, 0, 0]),
    "sqrt": (lax.sqrt, [0, 4, inf], [inf, 0.25, 0], [-inf, -1 / 32, 0]),
    "rsqrt": (lax.rsqrt, [0, 4, inf], [-inf, -1 / 16, 0], [inf, 3 / 128, 0]),
    "cbrt": (lax.cbrt, [0, 8, inf, -8, -inf], [inf, 1 / 12, 0, 1 / 12, 0], [-inf, -1 / 144, 0, 1 / 144, 0]),
    "log": (lax.log, [0, 1, inf], [inf, 1, 0], [-inf, -1, 0]),
    "log1p": (lax.log1p, [-1, 0], [inf, 1], [-inf, -1]),
    "sinc": (cnp.sinc, [0, 1], [0, -1], [-(np.pi**2) / 3, 2]),
    "x²": (lambda x: x**2, [0, -0.0, 3, inf], [0, 0, 6, inf], [2, 2, 2, 2]),
    "x³": (lambda x: x**3, [0, -2], [0, 12], [0, -12]),
    "x⁰": (lambda x: x**0, [0, 2, inf], [0, 0, 0], [0, 0, 0]),
    "1/x": (lambda x: x**-1, [0, 2, inf], [-inf, -0.25, 0], [inf, 0.25, 0]),
    "integer_pow 1": (lambda x: lax.integer_pow(x, 1), [0, 2], [1, 1], [0, 0]),
    "x^2.0": (lambda x: x**2.0, [0, 3], [0, 6], [2, 2]),
    "x^0.5": (lambda x: x**0.5, [0, 4], [inf, 0.25], [-inf, -1 / 32]),
    "x^0.0": (lambda x: x**0.0, [0, 3, -2], [0, 0, 0], [0, 0, 0]),  # JAX: NaN at 0
    "2^x": (lambda x: 2.0**x, [0, -inf], [np.log(2), 0], [np.log(2) ** 2, 0]),
    "0^x": (lambda x: 0.0**x, [0, 2], [0, 0], [0, 0]),
    "relu": (nn.relu, [-1, 0, 2, nan], [0, 0, 1, 0], [0, 0, 0, 0]),
    "relu6": (nn.relu6, [0, 2, 6, nan], [0, 1, 0, 0], [0, 0, 0, 0]),
    "sparse_sigmoid": (nn.sparse_sigmoid, [-2, -1, 0, 1], [0, 0.25, 0.5, 0.25], [0, 0, 0, 0]),
    "entr": (special.entr, [0, 1, inf], [inf, -1, -inf], [-inf, -1, 0]),
    "erf": (special.erf, [0, inf, -inf], [2 / np.pi**0.5, 0, 0], [0, 0, 0]),
    "erfcx": (special.erfcx, [1e3, inf], [-5.6418874e-7, 0], [1.1283766e-9, 0]),
    "dawsn": (special.dawsn, [1e3, inf], [-5.0000075e-7, 0], [1.000003e-9, 0]),
    "clip": (lambda x: cnp.clip(x, -1, 1), [-2, -1, 0, 1, 2], [0, 0.5, 1, 0.5, 0], [0] * 5),
    "maximum(x, 0)": (lambda x: cnp.maximum(x, 0), [-1, 0, 2], [0, 0.5, 1], [0, 0, 0]),
    "logaddexp(x, 0)": (lambda x: cnp.logaddexp(x, 0), [0, -inf, inf], [0.5, 0, 1], [0.25, 0, 0]),
    "logaddexp(x, x)": (lambda x: cnp.logaddexp(x, x), [0, 3], [1, 1], [0, 0]),
    "softplus": (nn.softplus, [0, -inf, inf], [0.5, 0, 1], [0.25, 0, 0]),
    "hypot(x, 1)": (lambda x: cnp.hypot(x, 1), [0, 1], [0, 2**-0.5], [1, 8**-0.5]),
    "where": (lambda x: cnp.where(x > 0, x * x, 0), [-1, 0, 2], [0, 0, 4], [0, 0, 2]),
    "log where": (
        lambda x: cnp.where(x > 0, cnp.log(cnp.where(x > 0, x, 1)), 0), [0, 2], [0, 0.5], [0, -0.25]
    ),
    "real + imag": (lambda x: (lambda z: z.real + z.imag)(lax.complex(x, 2 * x)), [0, inf], [3, 3], [0, 0]),
    "Re of conj": (lambda x: lax.conj(lax.complex(x, x)).real * x, [0, 3], [0, 6], [2, 2]),
    "|x + ix|": (lambda x: cnp.abs(lax.complex(x, x)), [2], [2**0.5], [0]),
    "i0": (cnp.i0, [0], [0], [0.5]),
    "lgamma": (lax.lgamma, [1], [-np.euler_gamma], [np.pi**2 / 6]),
    "norm": (lambda x: cnp.linalg.norm(cnp.stack([x, 2 * x])), [2], [5**0.5], [0]),
}  # fmt: skip


@pytest.mark.parametrize("name", UNARY)
def test_unary(name: str) -> None:
    f, points, first, second = UNARY[name]
    xs = cnp.asarray(np.asarray(points, np.float32))
    slope = cv.grad(lambda x: cnp.asarray(f(x), dtype="float32"))

    def tangent(x: Any) -> Any:
        return cv.jvp(f, (x,), (cnp.ones_like(x),))[1]

    for derivative, wanted in ((slope, first), (tangent, first), (cv.grad(slope), second)):
        for run in (cv.vmap(derivative), cv.jit(cv.vmap(derivative))):
            np.testing.assert_allclose(np.asarray(run(xs)), wanted, rtol=2e-6, atol=1e-7)
        each = [float(derivative(x)) for x in xs]
        np.testing.assert_allclose(each, wanted, rtol=2e-6, atol=1e-7)


# A function of several numbers; where; its gradient.
SEVERAL: dict[str, tuple[Function, tuple[float, ...], tuple[float, ...]]] = {
    "clamp inside": (lax.clamp, (0, 0.5, 1), (0, 1, 0)),
    "clamp at low": (lax.clamp, (0, 0, 1), (0, 0, 0)),
    "clamp at high": (lax.clamp, (0, 1, 1), (0, 0, 0)),
    "clamp below": (lax.clamp, (0, -1, 1), (1, 0, 0)),
    "clamp above": (lax.clamp, (0, 2, 1), (0, 0, 1)),
    "max of equals": (lax.max, (2, 2), (0.5, 0.5)),
    "min of equals": (lax.min, (-inf, -inf), (0.5, 0.5)),
    "pow 0 0": (lax.pow, (0, 0), (0, 0)),  # JAX: NaN
    "pow 0 2": (lax.pow, (0, 2), (0, 0)),
    "pow 0 1": (lax.pow, (0, 1), (1, 0)),
    "pow -2 3": (lax.pow, (-2, 3), (12, nan)),
    "pow 2 0": (lax.pow, (2, 0), (0, np.log(2))),
    "atan2 0 0": (lax.atan2, (0, 0), (nan, nan)),
    "atan2 0 -1": (lax.atan2, (0, -1), (-1, 0)),
    "rem": (lax.rem, (-7, 2), (1, 3)),
    "mod": (cnp.mod, (-7, 2), (1, 4)),
    "mod of a multiple": (cnp.mod, (4, 2), (1, -2)),
    "hypot 0 0": (cnp.hypot, (0, 0), (nan, nan)),
    "hypot inf": (cnp.hypot, (1, inf), (0, nan)),
    "xlogy 0 2": (special.xlogy, (0, 2), (np.log(2), 0)),
    "xlogy 0 0": (lambda y: special.xlogy(0.0, y), (0,), (0,)),  # JAX: NaN
    "xlog1py 0 1": (special.xlog1py, (0, 1), (np.log(2), 0)),
    "kl_div 0 1": (special.kl_div, (0, 1), (0, 1)),
    "rel_entr": (special.rel_entr, (2, 0.5), (np.log(4) + 1, -4)),
    "rel_entr outside": (special.rel_entr, (-1, 1), (0, 0)),
    "poch 2 0": (special.poch, (2, 0), (0, 1 - np.euler_gamma)),
    "boxcox 0 -1": (special.boxcox, (0, -1), (inf, nan)),
    "fmax of equals": (cnp.fmax, (1, 1), (0, 1)),
    "fmin of equals": (cnp.fmin, (1, 1), (0, 1)),
    "nextafter": (lax.nextafter, (1, 2), (1, 0)),
    "select": (lambda x, y: lax.select(x > y, x, y), (1, 1), (0, 1)),
    "logaddexp of minus infinity": (cnp.logaddexp, (-inf, 0), (0, 1)),
    "logaddexp of equal infinities": (cnp.logaddexp, (inf, inf), (0.5, 0.5)),
    "zeta": (lambda q: lax.zeta(2.0, q), (1.0,), (-2 * 1.2020569,)),
}  # fmt: skip


@pytest.mark.parametrize("name", SEVERAL)
def test_several(name: str) -> None:
    f, point, wanted = SEVERAL[name]
    xs = [np.float32(x) for x in point]
    gradient = cv.grad(f, argnums=tuple(range(len(xs))))
    for run in (gradient, cv.jit(gradient)):
        np.testing.assert_allclose(np.asarray(run(*xs)), wanted, rtol=2e-6)
    for i, slope in enumerate(wanted):
        tangents = [np.float32(i == j) for j in range(len(xs))]
        along = cv.jvp(f, tuple(xs), tuple(tangents))[1]
        if not np.isnan(wanted).any():
            np.testing.assert_allclose(np.asarray(along), slope, rtol=2e-6)


def test_mixed_derivative_of_a_power_where_the_exponent_is_zero() -> None:
    """d/dy d/dx x^y is 1/x at y = 0, and the other way round."""
    f = lax.pow
    for outer, inner in ((0, 1), (1, 0)):
        mixed = cv.grad(cv.grad(f, argnums=inner), argnums=outer)(2.0, 0.0)
        np.testing.assert_allclose(float(mixed), 0.5, rtol=1e-6)


def weighted(f: Function) -> Function:
    return lambda x: (lambda y: (y * cnp.arange(1.0, y.size + 1)).sum())(f(x))


# A function of a vector; where; its gradient.
VECTORS: dict[str, tuple[Function, list[float], list[float]]] = {
    "max": (cnp.max, [2, 1, 2], [0.5, 0, 0.5]),
    "min of equals": (cnp.min, [0, 0, 0], [1 / 3] * 3),
    "max with infinity": (cnp.max, [inf, 1, 1], [1, 0, 0]),
    "max with NaN": (cnp.max, [nan, 1, 1], [0, 0, 0]),
    "reduce of least numbers": (lambda x: lax.reduce(x, -inf, lax.max, (0,)), [-inf, -inf], [0.5, 0.5]),
    "pool of least numbers": (
        lambda x: lax.reduce_window(x, -inf, lax.max, (2,)).sum(), [-inf, -inf], [1, 0]
    ),
    "scatter max with NaN": (lambda x: cnp.zeros(1).at[cnp.zeros(2, int)].max(x).sum(), [nan, 1], [0, 0]),
    "ptp": (cnp.ptp, [1, 1, 1], [0, 0, 0]),
    "prod": (cnp.prod, [2, 0, 3], [0, 6, 0]),
    "prod of zeros": (cnp.prod, [0, 0, 3], [0, 0, 0]),
    "cumprod": (weighted(cnp.cumprod), [0, 1, 2], [9, 0, 0]),
    "cumprod of zeros": (weighted(cnp.cumprod), [0, 0, 3], [1, 0, 0]),
    "cummax of equals": (weighted(lax.cummax), [1, 1, 0], [3.5, 2.5, 0]),
    "cummax with NaN": (weighted(lax.cummax), [1, nan, 2], [1, 0, 0]),
    "cumlogsumexp of infinities": (weighted(lax.cumlogsumexp), [inf, inf, 0], [3.5, 2.5, 0]),
    "quantile of equals": (lambda x: cnp.quantile(x, 0.25), [1, 1, 1], [0.5, 0.5, 0]),
    "cummin of equals": (weighted(lax.cummin), [0, 0, 0], [2.75, 1.75, 1.5]),
    "sort of equals": (weighted(cnp.sort), [1, 1, 0], [2, 3, 1]),
    "sort of nothing": (weighted(cnp.sort), [], []),
    "top_k of nothing": (weighted(lambda x: lax.top_k(x, 0)[0]), [], []),
    "median": (cnp.median, [1, 1, 3], [0, 1, 0]),
    "logsumexp": (nn.logsumexp, [-inf, 0, 0], [0, 0.5, 0.5]),
    "logsumexp of minus infinities": (nn.logsumexp, [-inf, -inf], [nan, nan]),
    "softmax": (weighted(nn.softmax), [-inf, 0, 0], [0, -0.25, 0.25]),
    "norm": (cnp.linalg.norm, [3, 4], [0.6, 0.8]),
    "norm at 0": (cnp.linalg.norm, [0, 0], [nan, nan]),
    "1-norm": (lambda x: cnp.linalg.norm(x, 1), [-1, 0, 2], [-1, 1, 1]),
    "var": (cnp.var, [2, 2], [0, 0]),
    "std at 0": (cnp.std, [2, 2], [nan, nan]),
}  # fmt: skip


@pytest.mark.parametrize("name", VECTORS)
def test_vectors(name: str) -> None:
    f, point, wanted = VECTORS[name]
    x = cnp.asarray(np.asarray(point, np.float32))
    for run in (cv.grad(f), cv.jit(cv.grad(f))):
        np.testing.assert_allclose(np.asarray(run(x)), wanted, rtol=2e-6, atol=1e-7)


def test_the_branch_not_taken() -> None:
    """It is computed: in reverse mode 0 times its infinite slope is NaN, as in JAX.  The way out is a second where."""

    def f(x: Any) -> Any:
        return cnp.where(x > 0, cnp.sqrt(x), 0.0)

    def safe(x: Any) -> Any:
        return cnp.where(x > 0, cnp.sqrt(cnp.where(x > 0, x, 1.0)), 0.0)

    for run in (lambda g: g, cv.jit):
        assert np.isnan(float(run(cv.grad(f))(0.0)))
        assert float(run(lambda x: cv.jvp(f, (x,), (1.0,))[1])(0.0)) == 0
        assert float(run(cv.grad(safe))(0.0)) == 0


def test_an_infinite_tangent_of_a_part_leaves_the_other_part_alone() -> None:
    x = cnp.asarray(np.float32(1.0))
    _, (re, im) = cv.jvp(
        lambda x: (lambda z: (z.real, z.imag))(lax.complex(x, 2.0)), (x,), (cnp.asarray(inf),)
    )
    assert (float(re), float(im)) == (inf, 0)
    z = cnp.asarray(np.complex64(1 + 2j))
    ct = cv.grad(lambda z: cnp.sqrt(z.real - 1))(z)
    assert (np.asarray(ct).real, np.asarray(ct).imag) == (inf, 0)


@pytest.mark.parametrize("f", [lax.sign, lax.abs, lax.conj, lambda z: z / lax.abs(z) + 0j])
def test_complex_against_finite_differences(f: Function) -> None:
    """Along both axes; the sign of a complex number turns with it."""
    z, h = np.complex128(0.6 - 0.8j), 1e-5
    for t in (1 + 0j, 1j, 0.3 - 2j):
        t = np.complex128(t)
        slope = cv.jvp(f, (z,), (t,))[1]
        wanted = (np.asarray(f(z + h * t)) - np.asarray(f(z - h * t))) / (2 * h)
        np.testing.assert_allclose(np.asarray(slope), wanted, rtol=1e-8, atol=1e-9)


# Why derivatives are other than JAX's: the row of docs/derivatives.md, and the functions that it is about.
REASONS: dict[str, str] = {
    "`x ** y` at x = 0, y = 0": "x**0.0 float_power vander x**x",
    "`logaddexp`, `cumlogsumexp`": "logaddexp logaddexp2 cumlogsumexp",
    "`digamma`, `polygamma`": "digamma polygamma gammaln lgamma gamma loggamma multigammaln factorial betaln beta poch",
    "`zeta`": "zeta",
    "`spence`": "spence fresnel",
    "`sparse_plus`, `dawsn`": "sparse_plus dawsn logit exp1 log1mexp",
    "`entr` of negative numbers": "entr",
    "`bessel_i1e` of NaN": "bessel_i1e i1e",
    "`boxcox` at λ = 0": "boxcox boxcox1p",
    "`xlogy` in y": "xlogy xlog1py",
    "`kl_div` of two infinities": "kl_div",
    "`celu` at 0": "celu",
    "`modf` at infinity": "modf",
    "`sinc` at infinity": "sinc",
    "the square root of a complex 0": "sqrt log log1p",
    "`det` of singular matrices": "det slogdet cond",
    "norms by `max`": "norm",
    "quantiles between equal infinities": "quantile percentile nanquantile",
    "`sort(..., descending=True)`": "sort",
    "windows and `.at[].max`": "reduce_window max",
    "`piecewise`": "piecewise",
    "factorizations of what is no number": "eigvalsh eigh svdvals svd qr pinv cholesky solve lstsq inv",
}


@pytest.mark.parametrize("kind", slopes.KINDS)
def test_all_functions_at_all_points(kind: str) -> None:
    """The golden table; what differs from JAX is in it too, and each difference has its reason in the docs."""
    golden = slopes.recorded()[kind]
    wrong = [
        f"{which} derivative of {text}: {slopes.flat(values)}, not {wanted.tolist()}"
        for text, which, values in slopes.measured(cv, "covector", kind)
        if not slopes.alike(
            text, np.array(slopes.flat(values)), wanted := slopes.expected(golden[text], which)
        ).all()
    ]
    assert not wrong, "\n".join(wrong)
    docs = (Path(__file__).parents[2] / "docs" / "derivatives.md").read_text(encoding="utf-8")
    assert not [row for row in REASONS if row not in docs]
    known = {name for names in REASONS.values() for name in names.split()}
    assert not [
        text
        for text, row in golden.items()
        if "ours" in row and text not in known and not known & set(re.findall(r"\w+", text))
    ]


# Where one of the modes makes NaN: of a branch that is not taken, or of 0 times infinity.
ONE_MODE = {
    "nn.celu(x, y)",
    "nn.logsumexp(np.stack([x, x]), b=np.stack([y, y]))",
    "special.loggamma(x)",
    "np.where(x > 0, np.log(x), 0)",
    "np.sqrt(x + 0j).real",
    "special.beta(x, y)",
}


@pytest.mark.parametrize("kind", ["one", "two"])
def test_both_modes_agree(kind: str) -> None:
    xs = slopes.points(kind)
    finite = np.all([np.isfinite(x) for x in xs], 0)
    functions = slopes.functions("covector", kind)

    def forwards(f: Function, *x: Any) -> Any:
        """Along each operand alone: a tangent of 0 times an infinite slope would be NaN."""
        along = [lambda v, i=i: f(*x[:i], v, *x[i + 1 :]) for i in range(len(x))]
        return cnp.stack(
            [cv.jvp(g, (v,), (cnp.ones_like(v),))[1] for g, v in zip(along, x, strict=True)]
        )

    found = slopes.together(
        cv, {t: partial(forwards, f) for t, f in functions.items()}, [x[finite] for x in xs]
    )
    golden = slopes.recorded()[kind]
    other = set[str]()
    for text, values in found.items():
        wanted = slopes.expected(golden[text], "first").reshape(len(finite), -1)[finite]
        if not slopes.alike(text, values.ravel(), wanted.ravel()).all():
            other.add(text)
    assert other == ONE_MODE & functions.keys()
