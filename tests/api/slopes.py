"""Functions, and points where their derivatives are a matter of choice: ties, bounds, zeros, infinities, NaN.

The tables are made for a package with JAX's names (`covector`, or `jax`): run as a script this prints the golden
table `slopes.json` of what JAX gives.
"""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

inf, nan = float("inf"), float("nan")
Function = Callable[..., Any]

POINTS = (-inf, -2.0, -1.0, -0.5, -0.0, 0.0, 0.5, 1.0, 2.0, inf, nan)
OF_TWO = (-inf, -1.0, 0.0, 1.0, 2.0, inf, nan)  # each with each
VECTORS = (
    (2.0, 1.0, 2.0), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0), (0.0, 2.0, 3.0), (0.0, 0.0, 3.0), (-1.0, 0.0, 1.0),
    (inf, 1.0, 1.0), (-inf, 1.0, 2.0), (-inf, -inf, -inf), (inf, inf, 0.0), (inf, -inf, 0.0),
    (nan, 1.0, 2.0), (nan, nan, 1.0), (1.0, inf, nan),
)  # fmt: skip
COMPLEX = (0j, 1 + 0j, -1 + 0j, 1j, -1j, 2 + 0j, -2 + 0j, 2j, -2j, complex(-2, -0.0), 0.5 + 0.5j)
MATRICES = (
    ((0, 0), (0, 0)), ((1, 0), (0, 1)), ((1, 1), (1, 1)), ((1, 2), (2, 4)), ((0, 1), (1, 0)), ((2, 0), (0, 3)),
    ((0, 1), (0, 0)), ((2, 1), (1, 2)), ((inf, 1), (1, 1)), ((nan, 1), (1, 1)), ((-1, 0), (0, 2)),
)  # fmt: skip


def of_one(jax: Any) -> dict[str, Function]:
    """Functions of a number."""
    np_, lax, nn, special, linalg = jax.numpy, jax.lax, jax.nn, jax.scipy.special, jax.numpy.linalg
    names = {
        np_: "abs sign floor ceil round trunc rint sqrt cbrt exp exp2 expm1 log log2 log10 log1p sin cos tan arcsin "
        "arccos arctan sinh cosh tanh arcsinh arccosh arctanh square reciprocal negative positive sinc i0 nan_to_num "
        "fabs deg2rad real imag conj",
        nn: "relu relu6 sigmoid softplus soft_sign silu log_sigmoid leaky_relu hard_sigmoid hard_silu hard_tanh elu "
        "celu selu gelu mish squareplus sparse_plus sparse_sigmoid identity log1mexp",
        special: "erf erfc erfinv gammaln digamma gamma i0 i0e i1 i1e ndtr ndtri log_ndtr logit expit entr spence exp1 "
        "expi factorial loggamma erfcx dawsn erfcinv sici fresnel",
        lax: "rsqrt logistic lgamma erf_inv bessel_i0e bessel_i1e erf erfc is_finite",
    }
    table: dict[str, Function] = {
        f"{module.__name__.partition('.')[2]}.{name}": getattr(module, name)
        for module, row in names.items()
        for name in row.split()
    }
    first: dict[str, Function] = {
        "x**2": lambda x: x**2, "x**3": lambda x: x**3, "x**0": lambda x: x**0, "x**1": lambda x: x**1,
        "x**-1": lambda x: x**-1, "x**-2": lambda x: x**-2, "x**.5": lambda x: x**0.5, "x**1.5": lambda x: x**1.5,
        "x**2.": lambda x: x**2.0, "x**0.": lambda x: x**0.0, "2**x": lambda x: 2.0**x, "0**x": lambda x: 0.0**x,
        "clip": lambda x: np_.clip(x, -1, 1), "clamp": lambda x: lax.clamp(-1.0, x, 1.0),
        "where": lambda x: np_.where(x > 0, x * x, 0), "log where": lambda x: np_.where(x > 0, np_.log(x), 0),
        "reduce_precision": lambda x: lax.reduce_precision(x, 5, 5), "x/0": lambda x: x / 0.0, "0/x": lambda x: 0.0 / x,
        "gelu exact": lambda x: nn.gelu(x, approximate=False),
        "heaviside": lambda x: np_.heaviside(x, 0.5), "ldexp": lambda x: np_.ldexp(x, 2),
        "frexp": lambda x: np_.frexp(x)[0], "modf": lambda x: np_.modf(x)[0], "modf whole": lambda x: np_.modf(x)[1],
        "interp": lambda x: np_.interp(x, np_.array([-1.0, 0, 1]), np_.array([0.0, 1, 3])),
        "interp of equals": lambda x: np_.interp(0.5, np_.stack([x, x + 1]), np_.stack([x, 3 * x])),
        "angle": lambda x: np_.angle(x + 0j), "|x + 0i|": lambda x: np_.abs(x + 0j),
        "re sqrt": lambda x: np_.sqrt(x + 0j).real, "re log": lambda x: np_.log(x + 0j).real,
        "|x + ix|": lambda x: np_.abs(lax.complex(x, x)),
        "round to even": lambda x: lax.round(x, lax.RoundingMethod.TO_NEAREST_EVEN),
        "round away": lambda x: lax.round(x, lax.RoundingMethod.AWAY_FROM_ZERO),
        "huber": lambda x: np_.where(np_.abs(x) <= 1, 0.5 * x * x, np_.abs(x) - 0.5),
        "logspace": lambda x: np_.logspace(0.0, x, 3)[1], "linspace": lambda x: np_.linspace(0.0, x, 3)[1],
        "multigammaln": lambda x: special.multigammaln(x, 2), "polygamma 1": lambda x: special.polygamma(1, x),
        "polygamma 0": lambda x: special.polygamma(0, x), "gammainc 2": lambda x: special.gammainc(2.0, x),
        "betainc 2 3": lambda x: special.betainc(2.0, 3.0, x), "boxcox 0": lambda x: special.boxcox(x, 0.0),
        "unwrap": lambda x: np_.unwrap(np_.stack([x, 4 * x])).sum(),
        "standardize": lambda x: nn.standardize(np_.stack([x, 2 * x]))[0],
        "glu": lambda x: nn.glu(np_.stack([x, x]))[0], "square of abs": lambda x: np_.abs(x) ** 2,
        "sqrt of square": lambda x: np_.sqrt(x * x), "norm x 0": lambda x: linalg.norm(np_.stack([x, 0 * x])),
        "det x x": lambda x: linalg.det(np_.stack([np_.stack([x, x]), np_.stack([x, x])])),
        "digitize": lambda x: x * np_.digitize(x, np_.array([-1.0, 0, 1])), "vander": lambda x: np_.vander(x[None])[0, 0],
        "polyval": lambda x: np_.polyval(np_.stack([x, x, x]), x), "cond": lambda x: lax.cond(x > 0, lambda: x, lambda: -x),
        "abs by max": lambda x: np_.maximum(x, -x), "relu by max": lambda x: np_.maximum(x, 0),
        "min by 0": lambda x: np_.minimum(0.0, x), "relu by where": lambda x: np_.where(x > 0, x, 0.0),
        "self maximum": lambda x: np_.maximum(x, x), "mod 1": lambda x: x % 1.0, "floor by 1": lambda x: x // 1.0,
        "integer_pow 1": lambda x: lax.integer_pow(x, 1), "stop": lambda x: lax.stop_gradient(x) * x,
        "ratio": lambda x: np_.sin(x) / x, "x log x": lambda x: x * np_.log(x), "cbrt of cube": lambda x: np_.cbrt(x**3),
        "divmod": lambda x: np_.divmod(x, 0.5)[1], "fix": lambda x: np_.fix(x), "geomspace": lambda x: np_.geomspace(1.0, x, 3)[1],
    }  # fmt: skip
    return table | first


def of_two(jax: Any) -> dict[str, Function]:
    """Functions of two numbers."""
    np_, lax, special = jax.numpy, jax.lax, jax.scipy.special
    names = {
        np_: "arctan2 hypot logaddexp logaddexp2 maximum minimum fmax fmin fmod remainder copysign float_power "
        "divide power floor_divide heaviside multiply subtract",
        lax: "pow rem atan2 max min div",
        special: "xlogy xlog1py rel_entr kl_div betaln beta zeta gammainc gammaincc boxcox boxcox1p poch",
    }
    table: dict[str, Function] = {
        f"{module.__name__.partition('.')[2]}.{name}": getattr(module, name)
        for module, row in names.items()
        for name in row.split()
    }
    first: dict[str, Function] = {
        "nextafter": lambda x, y: lax.nextafter(x, y) if jax.__name__ != "jax" else x,
        "clamp low": lambda x, y: lax.clamp(x, y, 1.0), "clamp high": lambda x, y: lax.clamp(0.0, x, y),
        "clip": lambda x, y: np_.clip(0.0, x, y), "betainc x": lambda x, y: special.betainc(1.5, 2.0, x * y),
        "select": lambda x, y: lax.select(x > y, x, y), "softmax": lambda x, y: jax.nn.softmax(np_.stack([x, y]))[0],
        "logsumexp": lambda x, y: jax.nn.logsumexp(np_.stack([x, y])), "sum of square roots": lambda x, y: np_.sqrt(x * x + y * y),
        "divmod": lambda x, y: np_.divmod(x, y)[1], "leaky_relu": jax.nn.leaky_relu, "elu": jax.nn.elu, "celu": jax.nn.celu,
        "squareplus": jax.nn.squareplus, "|x + iy|": lambda x, y: np_.abs(lax.complex(x, y)),
        "angle": lambda x, y: np_.angle(lax.complex(x, y)), "logsumexp b": lambda x, y: jax.nn.logsumexp(np_.stack([x, x]), b=np_.stack([y, y])),
        "average": lambda x, y: np_.average(np_.stack([x, 2 * x]), weights=np_.stack([y, y])),
        "entropy": lambda x, y: jax.scipy.stats.entropy(np_.stack([x, y])), "norm pdf": lambda x, y: jax.scipy.stats.norm.logpdf(x, 0.0, y),
        "gamma pdf": lambda x, y: jax.scipy.stats.gamma.logpdf(x, y), "poisson": lambda x, y: jax.scipy.stats.poisson.logpmf(2, x * y),
        "isclose": lambda x, y: np_.isclose(x, y) * x, "trapezoid": lambda x, y: np_.trapezoid(np_.stack([x, y]), np_.stack([y, x])),
        "while": lambda x, y: lax.fori_loop(0, 2, lambda i, c: c * y, x), "scan": lambda x, y: lax.scan(lambda c, _: (np_.maximum(c, y), c), x, None, 2)[0],
    }  # fmt: skip
    return table | first


def _weighted(np_: Any, f: Function) -> Function:
    return lambda x: (lambda y: (y * np_.arange(1.0, y.size + 1)).sum())(f(x))


def of_vectors(jax: Any) -> dict[str, Function]:
    """Functions of three numbers in a vector."""
    np_, lax, nn, linalg = jax.numpy, jax.lax, jax.nn, jax.numpy.linalg
    table: dict[str, Function] = {
        name: getattr(np_, name)
        for name in "max min ptp prod sum mean var std median nanmax nanmin nansum nanmean nanvar nanstd nanmedian nanprod".split()
    }
    table |= {
        name: _weighted(np_, getattr(np_, name))
        for name in "cumprod cumsum sort nancumsum nancumprod diff ediff1d gradient unwrap flip".split()
    }
    table |= {
        f"norm {p}": lambda x, p=p: linalg.norm(x, p)
        for p in (None, 0, 1, 2, 3, -1, -2, 0.5, inf, -inf)
    }
    table |= {
        "cummax": _weighted(np_, lax.cummax), "cummin": _weighted(np_, lax.cummin),
        "cumlogsumexp": _weighted(np_, lax.cumlogsumexp), "top_k": _weighted(np_, lambda x: lax.top_k(x, 2)[0]),
        "logsumexp": nn.logsumexp, "softmax": _weighted(np_, nn.softmax), "log_softmax": _weighted(np_, nn.log_softmax),
        "logmeanexp": nn.logmeanexp,
        "quantile .25": lambda x: np_.quantile(x, 0.25), "percentile 80": lambda x: np_.percentile(x, 80),
        "quantile lower": lambda x: np_.quantile(x, 0.3, method="lower"), "nanquantile": lambda x: np_.nanquantile(x, 0.4),
        "quantile nearest": lambda x: np_.quantile(x, 0.25, method="nearest"),
        "quantile midpoint": lambda x: np_.quantile(x, 0.25, method="midpoint"),
        "in q": lambda x: np_.quantile(np_.array([0.0, 1.0, 4.0]), x[1] / 4 + 0.25),
        "max where": lambda x: np_.max(x, where=x > 0, initial=0.5), "max initial": lambda x: np_.max(x, initial=1.0),
        "argmax": lambda x: x[np_.argmax(x)], "argsort": _weighted(np_, lambda x: x[np_.argsort(x)]),
        "sort descending": _weighted(np_, lambda x: np_.sort(x, descending=True)),
        "scatter max": lambda x: np_.zeros(2).at[np_.array([0, 0, 1])].max(x).sum(),
        "scatter min": lambda x: np_.zeros(2).at[np_.array([0, 0, 1])].min(x).sum(),
        "scatter mul": lambda x: np_.full(2, 2.0).at[np_.array([0, 1, 1])].mul(x).sum() if False else x.sum(),
        "scatter into": lambda x: x.at[np_.array([0, 1, 1])].max(1.0).sum(),
        "segment max": lambda x: jax.ops.segment_max(x, np_.array([0, 0, 1]), 2).sum(),
        "segment min": lambda x: jax.ops.segment_min(x, np_.array([0, 0, 1]), 2).sum(),
        "segment prod": lambda x: jax.ops.segment_prod(x, np_.array([0, 0, 1]), 2).sum() if False else x.sum(),
        "max pool": lambda x: lax.reduce_window(x, -inf, lax.max, (2,), (1,), "VALID").sum(),
        "min pool": lambda x: lax.reduce_window(x, inf, lax.min, (2,), (1,), "SAME").sum(),
        "sum pool": lambda x: lax.reduce_window(x, 0.0, lax.add, (2,), (1,), "VALID").sum(),
        "reduce max": lambda x: lax.reduce(x, -inf, lax.max, (0,)), "reduce mul": lambda x: lax.reduce(x, 1.0, lax.mul, (0,)),
        "reduce by function": lambda x: lax.reduce(x, 0.0, lambda a, b: np_.hypot(a, b), (0,)),
        "standardize": lambda x: nn.standardize(x)[0], "normalize": lambda x: x[0] / linalg.norm(x),
        "cross": lambda x: np_.cross(x, np_.flip(x)).sum(), "convolve": lambda x: np_.convolve(x, x).sum(),
        "associative_scan": _weighted(np_, lambda x: lax.associative_scan(np_.maximum, x)),
        "cov": lambda x: np_.cov(x), "corrcoef": lambda x: np_.corrcoef(x, np_.array([0.0, 1.0, 3.0]))[0, 1],
        "huber loss": lambda x: np_.where(np_.abs(x) < 1, x**2, np_.abs(x)).sum(),
        "sinh of norm": lambda x: np_.sinh(linalg.norm(x)), "fft": lambda x: np_.abs(np_.fft.fft(x)).sum(),
        "median of two": lambda x: np_.median(x[:2]), "trim": lambda x: np_.sum(np_.where(np_.isnan(x), 0, x)),
        "interp": lambda x: np_.interp(0.5, x, x * x), "poly": lambda x: np_.polyval(x, 0.0),
        "vecdot": lambda x: np_.vdot(x, x), "max by complex": lambda x: np_.max(np_.abs(x + 0j)),
        "count": lambda x: np_.count_nonzero(x) * x.sum(), "maximum.reduce": lambda x: np_.maximum.reduce(x),
        "multiply.reduce": lambda x: np_.multiply.reduce(x), "logaddexp.reduce": lambda x: np_.logaddexp.reduce(x),
        "select max": lambda x: np_.select([x > 1, x > 0], [x, x * x], 0).sum(), "piecewise": lambda x: np_.piecewise(x, [x > 0], [lambda v: v, lambda v: v * v]).sum(),
        "entr": lambda x: jax.scipy.special.entr(x).sum(), "approx_max_k": _weighted(np_, lambda x: lax.approx_max_k(x, 2)[0]),
    }  # fmt: skip
    return table


def of_complex(jax: Any) -> dict[str, Function]:
    """Holomorphic functions (and some that are not) of a complex number."""
    np_, lax = jax.numpy, jax.lax
    names = (
        "sqrt exp exp2 expm1 log log2 log10 log1p sin cos tan arcsin arccos arctan sinh cosh tanh arcsinh arccosh "
        "arctanh square reciprocal negative sinc sign conj real imag abs angle"
    )
    table: dict[str, Function] = {name: getattr(np_, name) for name in names.split()}
    return table | {
        "rsqrt": lax.rsqrt, "logistic": lax.logistic, "z**2": lambda z: z**2, "z**.5": lambda z: z**0.5,
        "z**i": lambda z: z ** 1j, "z**z": lambda z: z**z, "2**z": lambda z: 2**z, "1/z": lambda z: 1 / z, "z**-2": lambda z: z**-2,
        "z**0": lambda z: z ** 0.0, "|z|**2": lambda z: np_.abs(z) ** 2, "norm": lambda z: np_.linalg.norm(z[None]),
        "prod": lambda z: np_.prod(np_.stack([z, z * z, z])), "var": lambda z: np_.var(np_.stack([z, 2 * z])),
        "softplus": jax.nn.softplus, "silu": jax.nn.silu, "gelu": jax.nn.gelu,
        "mul conj": lambda z: z * np_.conj(z), "cumprod": lambda z: np_.cumprod(np_.stack([z, z - 1, z]))[2],
        "std": lambda z: np_.std(np_.stack([z, 2 * z])),
    }  # fmt: skip


def of_matrices(jax: Any) -> dict[str, Function]:
    """Functions of a matrix of two rows."""
    np_, lax, linalg, sl = jax.numpy, jax.lax, jax.numpy.linalg, jax.scipy.linalg
    table: dict[str, Function] = {
        f"norm {p}": lambda x, p=p: linalg.norm(x, p)
        for p in (None, "fro", "nuc", 1, -1, 2, -2, inf, -inf)
    }
    sym = lambda x: x + x.T  # noqa: E731
    return table | {
        "det": linalg.det, "slogdet": lambda x: linalg.slogdet(x)[1], "inv": lambda x: linalg.inv(x).sum(),
        "eigvalsh": lambda x: linalg.eigvalsh(x)[0], "eigh values": lambda x: linalg.eigh(x)[0][1],
        "eigh vectors": lambda x: (linalg.eigh(x)[1] ** 2)[0, 0], "svdvals": lambda x: linalg.svdvals(x)[0],
        "svd": lambda x: (lambda u, s, v: (u @ np_.diag(s) @ v).sum())(*linalg.svd(x)), "svd smallest": lambda x: linalg.svdvals(x)[1],
        "qr": lambda x: (lambda q, r: (q @ r)[0, 1] + np_.abs(r[0, 1]))(*linalg.qr(x)),
        "pinv": lambda x: linalg.pinv(x).sum(), "cond": linalg.cond, "cond 1": lambda x: linalg.cond(x, 1),
        "matrix_power 3": lambda x: linalg.matrix_power(x, 3).sum(), "matrix_power -1": lambda x: linalg.matrix_power(x, -1).sum(),
        "matrix_power 0": lambda x: linalg.matrix_power(x, 0).sum(),
        "cholesky": lambda x: linalg.cholesky(x)[1].sum(), "solve": lambda x: linalg.solve(x, np_.ones(2)).sum(),
        "lu": lambda x: sl.lu(x)[2].sum(), "expm": lambda x: sl.expm(x).sum(), "sqrtm": lambda x: 0 * x.sum(),
        "trace": np_.trace, "triangular": lambda x: sl.solve_triangular(x, np_.ones(2), lower=True).sum(),
        "lstsq": lambda x: linalg.lstsq(x, np_.ones(2))[0].sum(), "matrix_rank": lambda x: linalg.matrix_rank(x) * x.sum(),
        "multi_dot": lambda x: linalg.multi_dot([x, x, x]).sum(), "vector norms": lambda x: linalg.norm(x, axis=1).sum(),
        "max of rows": lambda x: np_.max(x, axis=1).sum(), "prod of columns": lambda x: np_.prod(x, axis=0).sum(),
        "polar": lambda x: sl.polar(x)[1].sum(), "funm": lambda x: 0 * x.sum(), "eigvals": lambda x: np_.abs(linalg.eigvals(x)).sum(),
        "slogdet sign": lambda x: linalg.slogdet(x)[0], "logdet of cholesky": lambda x: np_.log(np_.diag(linalg.cholesky(sym(x)))).sum(),
        "tensorinv": lambda x: linalg.tensorinv(x, 1).sum(), "cov": lambda x: np_.cov(x)[0, 1], "logsumexp": lambda x: jax.nn.logsumexp(x, axis=1).sum(),
    }  # fmt: skip


def slopes(jax: Any, kind: str) -> dict[str, dict[str, np.ndarray]]:
    raise NotImplementedError
