"""Functions, and points where their derivatives are a matter of choice: ties, bounds, zeros, infinities, NaN.

A function is an expression in x (and y) and the modules of a package with JAX's names.  The golden table `slopes.json`
is written by `python tests/api/slopes.py jax`, where that is installed: the derivatives that JAX gives; then by
`python tests/api/slopes.py covector`: those that are other ones here, of which each has its reason in
`docs/derivatives.md`.
"""

from __future__ import annotations

import importlib
import json
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

Function = Callable[..., Any]
inf, nan = float("inf"), float("nan")
GOLDEN = Path(__file__).with_name("slopes.json")


def named(module: str, names: str, operands: str = "x") -> list[str]:
    """Calls of functions by name."""
    return [f"{module}.{name}({operands})" for name in names.split()]


def lines(text: str) -> list[str]:
    """One expression a line."""
    return [line.strip() for line in text.strip().splitlines()]


def weighted(expressions: list[str]) -> list[str]:
    """Arrays, made one number: each element counts by another factor."""
    return [f"np.vdot({e}, np.arange(1.0, len({e}) + 1))" for e in expressions]


# Of one number.
POINTS = (-inf, -2.0, -1.0, -0.5, -0.0, 0.0, 0.5, 1.0, 2.0, inf, nan)
OF_ONE = [
    *named(
        "np",
        "abs sign floor ceil round trunc rint sqrt cbrt exp exp2 expm1 log log2 log10 log1p sin cos tan arcsin arccos "
        "arctan sinh cosh tanh arcsinh arccosh arctanh square reciprocal negative sinc i0 nan_to_num fabs deg2rad",
    ),
    *named(
        "nn",
        "relu relu6 sigmoid softplus soft_sign silu log_sigmoid leaky_relu hard_sigmoid hard_silu hard_tanh elu celu "
        "selu gelu mish squareplus sparse_plus sparse_sigmoid log1mexp",
    ),
    *named(
        "special",
        "erf erfc erfinv gammaln digamma gamma i0 i0e i1 i1e ndtr ndtri log_ndtr logit expit entr spence exp1 expi "
        "factorial loggamma erfcx dawsn erfcinv",
    ),
    *named("lax", "rsqrt logistic lgamma erf_inv bessel_i0e bessel_i1e"),
    *lines("""
        x**2
        x**3
        x**0
        x**-1
        x**0.5
        x**1.5
        x**2.0
        x**0.0
        2.0**x
        0.0**x
        x / 0.0
        0.0 / x
        x % 1.0
        x // 1.0
        nn.gelu(x, approximate=False)
        np.clip(x, -1, 1)
        lax.clamp(-1.0, x, 1.0)
        lax.integer_pow(x, 1)
        lax.reduce_precision(x, 5, 5)
        lax.round(x, lax.RoundingMethod.TO_NEAREST_EVEN)
        lax.stop_gradient(x) * x
        np.where(x > 0, x * x, 0)
        np.where(x > 0, np.log(x), 0)
        np.where(np.abs(x) <= 1, 0.5 * x * x, np.abs(x) - 0.5)
        np.maximum(x, 0)
        np.minimum(0.0, x)
        np.maximum(x, -x)
        np.abs(x) ** 2
        np.sqrt(x * x)
        np.sin(x) / x
        x * np.log(x)
        np.cbrt(x**3)
        np.heaviside(x, 0.5)
        np.ldexp(x, 2)
        np.frexp(x)[0]
        np.modf(x)[0]
        np.divmod(x, 0.5)[1]
        np.interp(x, np.array([-1.0, 0, 1]), np.array([0.0, 1, 3]))
        np.interp(0.5, np.stack([x, x + 1]), np.stack([x, 3 * x]))
        np.angle(x + 0j)
        np.abs(x + 0j)
        np.sqrt(x + 0j).real
        np.linspace(0.0, x, 3)[1]
        np.logspace(0.0, x, 3)[1]
        np.geomspace(1.0, x, 3)[1]
        np.unwrap(np.stack([x, 4 * x])).sum()
        np.vander(x[None])[0, 0]
        np.linalg.norm(np.stack([x, 0 * x]))
        np.linalg.det(np.stack([np.stack([x, x]), np.stack([x, x])]))
        nn.standardize(np.stack([x, 2 * x]))[0]
        nn.glu(np.stack([x, x]))[0]
        special.multigammaln(x, 2)
        special.polygamma(1, x)
        special.gammainc(2.0, x)
        special.betainc(2.0, 3.0, x)
        special.boxcox(x, 0.0)
        special.sici(x)[0]
        special.fresnel(x)[1]
        lax.cond(x > 0, lambda: x, lambda: -x)
    """),
]
# Of two numbers: each with each.
OF_TWO = (-inf, -1.0, 0.0, 1.0, inf, nan)
OF_TWO_NUMBERS = [
    *named(
        "np",
        "arctan2 hypot logaddexp logaddexp2 maximum minimum fmax fmin fmod remainder copysign float_power divide "
        "floor_divide heaviside multiply",
        "x, y",
    ),
    *named("lax", "rem", "x, y"),
    *named(
        "special",
        "xlogy xlog1py rel_entr kl_div betaln beta zeta boxcox boxcox1p poch",
        "x, y",
    ),
    *named("nn", "leaky_relu elu celu squareplus", "x, y"),
    *lines("""
        lax.clamp(x, y, 1.0)
        lax.clamp(0.0, x, y)
        np.clip(0.0, x, y)
        lax.select(x > y, x, y)
        nn.softmax(np.stack([x, y]))[0]
        nn.logsumexp(np.stack([x, y]))
        nn.logsumexp(np.stack([x, x]), b=np.stack([y, y]))
        np.sqrt(x * x + y * y)
        np.divmod(x, y)[1]
        np.abs(lax.complex(x, y))
        np.angle(lax.complex(x, y))
        np.average(np.stack([x, 2 * x]), weights=np.stack([y, y]))
        special.betainc(1.5, 2.0, x * y)
        lax.fori_loop(0, 2, lambda i, c: c * y, x)
        lax.scan(lambda c, _: (np.maximum(c, y), c), x, None, 2)[0]
    """),
]
# Of three numbers in a vector.
VECTORS = (
    (2.0, 1.0, 2.0),
    (1.0, 1.0, 1.0),
    (0.0, 0.0, 0.0),
    (0.0, 2.0, 3.0),
    (0.0, 0.0, 3.0),
    (-1.0, 0.0, 1.0),
    (inf, 1.0, 1.0),
    (-inf, -inf, -inf),
    (inf, inf, 0.0),
    (inf, -inf, 0.0),
    (nan, 1.0, 2.0),
    (1.0, inf, nan),
)
OF_VECTORS = [
    *named(
        "np",
        "max min ptp prod sum mean var std median nanmax nanmin nansum nanmean nanvar nanmedian nanprod",
    ),
    *[f"np.linalg.norm(x, {p})" for p in (None, 0, 1, 2, 3, -1, -2, 0.5, "np.inf", "-np.inf")],
    *weighted(
        named("np", "cumprod sort nancumprod gradient")
        + named("lax", "cummax cummin cumlogsumexp")
        + named("nn", "softmax log_softmax")
        + ["lax.top_k(x, 2)[0]", "np.sort(x, descending=True)", "x[np.argsort(x)]"]
        + ["lax.associative_scan(np.maximum, x)"]
    ),
    *lines("""
        nn.logsumexp(x)
        nn.logmeanexp(x)
        np.quantile(x, 0.25)
        np.percentile(x, 80)
        np.quantile(x, 0.3, method="lower")
        np.quantile(x, 0.25, method="nearest")
        np.quantile(x, 0.25, method="midpoint")
        np.nanquantile(x, 0.4)
        np.max(x, where=x > 0, initial=0.5)
        np.max(x, initial=1.0)
        x[np.argmax(x)]
        np.zeros(2).at[np.array([0, 0, 1])].max(x).sum()
        np.zeros(2).at[np.array([0, 0, 1])].min(x).sum()
        x.at[np.array([0, 1, 1])].max(1.0).sum()
        ops.segment_max(x, np.array([0, 0, 1]), 2).sum()
        ops.segment_min(x, np.array([0, 0, 1]), 2).sum()
        lax.reduce_window(x, -np.inf, lax.max, (2,), (1,), "VALID").sum()
        lax.reduce_window(x, np.inf, lax.min, (2,), (1,), "SAME").sum()
        lax.reduce(x, -np.inf, lax.max, (0,))
        lax.reduce(x, 1.0, lax.mul, (0,))
        x[0] / np.linalg.norm(x)
        np.select([x > 1, x > 0], [x, x * x], 0).sum()
        np.piecewise(x, [x > 0], [lambda v: v, lambda v: v * v]).sum()
        np.maximum.reduce(x)
        np.multiply.reduce(x)
        np.logaddexp.reduce(x)
        np.abs(np.fft.fft(x)).sum()
        special.entr(x).sum()
    """),
]
# Of a complex number: branch points, and points on the cuts.
COMPLEX = (0j, 1 + 0j, -1 + 0j, 1j, -1j, 2 + 0j, -2 + 0j, 2j, -2j, 0.5 + 0.5j)
OF_COMPLEX = [
    *named(
        "np",
        "sqrt exp exp2 expm1 log log2 log10 log1p sin cos tan arcsin arccos arctan sinh cosh tanh arcsinh arccosh "
        "arctanh square reciprocal sinc sign conj real imag abs angle",
    ),
    *named("lax", "rsqrt logistic"),
    *named("nn", "softplus silu gelu"),
    *lines("""
        x**2
        x**0.5
        x**1j
        x**x
        2**x
        x**-2
        x**0.0
        np.abs(x) ** 2
        x * np.conj(x)
        np.linalg.norm(x[None])
        np.prod(np.stack([x, x * x, x]))
        np.cumprod(np.stack([x, x - 1, x]))[2]
        np.var(np.stack([x, 2 * x]))
        np.std(np.stack([x, 2 * x]))
    """),
]
# Of a matrix: singular ones, equal eigenvalues, and a number that is none.
MATRICES = (
    ((0, 0), (0, 0)),
    ((1, 0), (0, 1)),
    ((1, 1), (1, 1)),
    ((0, 1), (1, 0)),
    ((2, 0), (0, 3)),
    ((0, 1), (0, 0)),
    ((2, 1), (1, 2)),
    ((nan, 1), (1, 1)),
)
OF_MATRICES = [
    *[f"linalg.norm(x, {p!r})" for p in (None, "nuc", 1, -1, 2, -2)],
    *lines("""
        linalg.norm(x, np.inf)
        linalg.norm(x, axis=1).sum()
        linalg.det(x)
        linalg.slogdet(x)[1]
        linalg.slogdet(x)[0]
        linalg.inv(x).sum()
        linalg.pinv(x).sum()
        linalg.eigvalsh(x)[0]
        linalg.eigh(x)[0][1]
        (linalg.eigh(x)[1] ** 2)[0, 0]
        linalg.svdvals(x)[0]
        (linalg.svd(x)[0] @ np.diag(linalg.svd(x)[1]) @ linalg.svd(x)[2]).sum()
        (linalg.qr(x)[0] @ linalg.qr(x)[1])[0, 1]
        linalg.cond(x)
        linalg.cond(x, 1)
        linalg.matrix_power(x, 3).sum()
        linalg.matrix_power(x, -1).sum()
        linalg.matrix_power(x, 0).sum()
        linalg.cholesky(x)[1].sum()
        linalg.solve(x, np.ones(2)).sum()
        linalg.lstsq(x, np.ones(2))[0].sum()
        linalg.multi_dot([x, x, x]).sum()
        np.max(x, axis=1).sum()
        np.prod(x, axis=0).sum()
        np.trace(x)
    """),
]


def _pairs() -> list[np.ndarray]:
    return [v.ravel() for v in np.meshgrid(OF_TWO, OF_TWO, indexing="ij")]


# Of each kind: the expressions, the points (an array for each operand), the dtype.
KINDS: dict[str, tuple[list[str], list[Any], str]] = {
    "one": (OF_ONE, [np.array(POINTS)], "float32"),
    "two": (OF_TWO_NUMBERS, _pairs(), "float32"),
    "vector": (OF_VECTORS, [np.array(VECTORS)], "float32"),
    "complex": (OF_COMPLEX, [np.array(COMPLEX)], "complex64"),
    "matrix": (OF_MATRICES, [np.array(MATRICES)], "float32"),
}


def points(kind: str) -> list[np.ndarray]:
    """The operands: all points along the first axis."""
    _, arrays, dtype = KINDS[kind]
    return [a.astype(dtype) for a in arrays]


def functions(package: str, kind: str) -> dict[str, Function]:
    """The expressions of a kind, as functions of their operands, by their text."""
    parts = {"np": "numpy", "linalg": "numpy.linalg", "special": "scipy.special"}
    parts |= {name: name for name in ("lax", "nn", "ops")}
    modules = {k: importlib.import_module(f"{package}.{v}") for k, v in parts.items()}
    real = modules["np"].real

    def function(text: str) -> Function:
        made = eval(f"lambda x, y=None: {text}", modules)
        if kind == "complex":  # holomorphic derivatives, whether the function has any or not
            return lambda x: made(x) + 0j
        return lambda *xs: 1.0 * real(made(*xs))

    return {text: function(text) for text in KINDS[kind][0]}


def slopes(jax: Any, kind: str, f: Function) -> dict[str, Function]:
    """The gradient, and the derivative of its sum, as functions of one point."""
    several, holomorphic = len(KINDS[kind][1]), kind == "complex"
    argnums = tuple(range(several))

    def first(*xs: Any) -> Any:
        return jax.numpy.stack(jax.grad(f, argnums, holomorphic=holomorphic)(*xs))

    def second(*xs: Any) -> Any:
        whole = jax.grad(lambda *xs: first(*xs).sum(), argnums, holomorphic=holomorphic)
        return jax.numpy.stack(whole(*xs))

    return {"first": first, "second": second}


def measured(jax: Any, package: str, kind: str) -> Iterator[tuple[str, str, np.ndarray]]:
    """(expression, which derivative, its values at all points) of a kind, computed by one Program for each derivative.

    Second derivatives are those at the points without infinities and NaN.
    """
    xs = points(kind)
    finite = np.all([np.isfinite(x).reshape(len(x), -1).all(1) for x in xs], 0)
    made = {text: slopes(jax, kind, f) for text, f in functions(package, kind).items()}
    for which in ("first", "second"):
        at = xs if which == "first" else [x[finite] for x in xs]
        each = {text: fs[which] for text, fs in made.items()}
        for text, values in together(jax, each, at).items():
            yield text, which, values


def together(jax: Any, each: dict[str, Function], xs: list[np.ndarray]) -> dict[str, np.ndarray]:
    """The values of functions of one point at all points, computed by one Program."""
    found = jax.jit(jax.vmap(lambda *x: {t: f(*x) for t, f in each.items()}))(*xs)
    return {text: np.asarray(found[text]) for text in each}


def flat(values: np.ndarray) -> list[float]:
    """The numbers of an array one after the other, of complex ones both parts."""
    return np.ascontiguousarray(values).view(np.float32).ravel().tolist()


def recorded() -> dict[str, Any]:
    """The golden table: by kind and expression, JAX's numbers, and `ours` where they are other ones."""
    return json.loads(GOLDEN.read_text(encoding="utf-8"))


# At the singular matrix of ones these are made of rounding, which is another on another processor.
_SINGULAR = MATRICES.index(((1, 1), (1, 1)))
_OF_ROUNDING = ("(linalg.qr(x)[0] @ linalg.qr(x)[1])[0, 1]", "linalg.cond(x)")


def alike(text: str, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Where numbers are the same, in four digits, or are nothing but rounding."""
    same = np.isclose(a, b, rtol=2e-3, atol=1e-4, equal_nan=True)
    if text in _OF_ROUNDING:
        same[4 * _SINGULAR : 4 * _SINGULAR + 4] = True
    return same


def expected(row: dict[str, Any], which: str) -> np.ndarray:
    """What the derivatives of a row are to be here."""
    values = np.array(row[which], np.float32)
    for place, value in row.get("ours", {}).get(which, {}).items():
        values[int(place)] = value
    return values


def _rounded(v: float) -> float:
    """In four digits; a whole number as such, which is shorter."""
    v = float(f"{v:.4g}")
    return int(v) if v.is_integer() else v


def main(package: str) -> None:
    """Write what JAX gives; or, for `covector`, what is other here: read the difference before it is kept."""
    warnings.simplefilter("ignore")
    module = importlib.import_module(package)
    table: dict[str, Any] = recorded() if package != "jax" else {"jax": module.__version__}
    for kind in KINDS:
        rows: dict[str, Any] = table.setdefault(kind, {})
        for text, which, values in measured(module, package, kind):
            row, found = rows.setdefault(text, {}), [_rounded(v) for v in flat(values)]
            if package == "jax":
                row[which] = found
                continue
            other = np.nonzero(~alike(text, np.array(found), np.array(row[which])))[0]
            row.setdefault("ours", {})[which] = {str(i): found[i] for i in other}
            row["ours"] = {k: v for k, v in row["ours"].items() if v}
            if not row["ours"]:
                del row["ours"]
    text = json.dumps(table, separators=(",", ":"), ensure_ascii=False)
    GOLDEN.write_text(text.replace("},", "},\n") + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
