"""Special functions against SciPy: values at ordinary and at special points, dtypes, derivatives, errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.special

import covector
from covector import numpy as cnp
from covector.errors import NotDifferentiableError
from covector.scipy import special

INF, NAN = np.inf, np.nan
ORDINARY = np.array([0.15, 0.4, 0.85, 1.3, 2.6, 4.2])
REAL = np.array([-40.0, -3.3, -1.5, -0.4, 0.0, 0.3, 1.0, 2.5, 7.0, 30.0, INF, -INF, NAN])
POSITIVE = np.array([0.0, 1e-3, 0.3, 1.0, 2.5, 7.0, 30.0, INF, NAN])
UNIT = np.array([0.0, 1e-5, 0.3, 0.5, 0.9, 1.0, NAN])

# The points of each operand, and SciPy's function if it has another name.
UNARY: dict[str, tuple[np.ndarray, str]] = {
    "dawsn": (REAL, "dawsn"), "digamma": (POSITIVE, "digamma"), "entr": (REAL, "entr"), "erf": (REAL, "erf"),
    "erfc": (REAL, "erfc"), "erfcinv": (np.append(UNIT, [1.5, 2.0, -1.0]), "erfcinv"), "erfcx": (REAL, "erfcx"),
    "erfinv": (np.append(UNIT, -0.5), "erfinv"), "exp1": (POSITIVE, "exp1"), "expi": (REAL, "expi"),
    "expit": (REAL, "expit"), "factorial": (np.array([-1.0, 0.0, 1.0, 5.0, 2.5]), "factorial"),
    "gamma": (REAL[:-2], "gamma"), "gammaln": (POSITIVE, "gammaln"), "i0": (REAL, "i0"), "i0e": (REAL, "i0e"),
    "i1": (REAL, "i1"), "i1e": (REAL, "i1e"), "log_ndtr": (REAL, "log_ndtr"), "logit": (UNIT, "logit"),
    "ndtr": (REAL, "ndtr"), "ndtri": (np.append(UNIT, 1e-30), "ndtri"), "spence": (POSITIVE[:-2], "spence"),
    "loggamma": (POSITIVE, "loggamma"), "gammasgn": (np.array([-2.5, -1.5, 0.0, -0.0, 2.0]), "gammasgn"),
}  # fmt: skip
SEVERAL: dict[str, tuple[np.ndarray, ...]] = {
    "beta": (ORDINARY, ORDINARY[::-1]), "betaln": (ORDINARY, ORDINARY[::-1]), "gammainc": (ORDINARY, POSITIVE[:6]),
    "gammaincc": (ORDINARY, POSITIVE[:6]), "betainc": (ORDINARY, ORDINARY[::-1], UNIT[:6]),
    "boxcox": (POSITIVE[:6], np.array([0.0, 1.0, 2.0, -1.0, 0.5, 0.0])),
    "boxcox1p": (POSITIVE[:6], np.array([0.0, 1.0, 2.0, -1.0, 0.5, 0.0])),
    "expn": (np.array([0, 1, 2, 3, 5, 9, 2, 2]), np.array([0.3, 0.3, 0.0, 2.0, 1.0, 5.0, INF, NAN])),
    "kl_div": (np.array([0.0, 1, 1, -1, 0, NAN]), np.array([0.5, 0, 2, 1, -1, 1.0])),
    "rel_entr": (np.array([0.0, 1, 1, -1, 0, NAN]), np.array([0.5, 0, 2, 1, -1, 1.0])),
    "xlogy": (np.array([0.0, 0, 1, 2]), np.array([0.0, NAN, 2, 0])),
    "xlog1py": (np.array([0.0, 0, 1, 2]), np.array([-1.0, NAN, 2, -1])),
    "polygamma": (np.array([0, 1, 2, 3, 4, 5]), ORDINARY), "zeta": (ORDINARY + 1, ORDINARY),
    "owens_t": (np.array([0.0, 0.5, -1, 2, 3, INF]), np.array([1.0, 2, 0.3, -4, 0.5, 1])),
    "poch": (np.array([1.0, 0, -1.5, 3, 2.5]), np.array([2.0, 0, 2, -0.5, 3])),
    "hyp1f1": (ORDINARY, ORDINARY[::-1], np.array([-80.0, -3, 0, 0.5, 10, 100])),
    "hyp2f1": (ORDINARY, ORDINARY[::-1], ORDINARY + 0.3, np.array([-5.0, -0.5, 0, 0.5, 0.9, 0.99])),
    "comb": (np.array([5.0, 5, 2.5, 3, -3]), np.array([2.0, 0, 1, 5, 2])),
}  # fmt: skip
NAMES = sorted({**UNARY, **SEVERAL})


def case(name: str) -> tuple[tuple[np.ndarray, ...], Any]:
    """The operands, in float64, and SciPy's function."""
    if name in UNARY:
        points, theirs = UNARY[name]
        return (points,), getattr(scipy.special, theirs)
    return SEVERAL[name], getattr(scipy.special, name)


@pytest.mark.parametrize("name", NAMES)
def test_values(name: str) -> None:
    operands, theirs = case(name)
    function = covector.jit(getattr(special, name))
    with np.errstate(all="ignore"):
        whole = name in ("polygamma", "expn")
        first = operands[0].astype(int) if whole else operands[0]
        wanted = np.asarray(theirs(first, *operands[1:]), np.float64)
        for dtype, tolerance in (("float64", 3e-12), ("float32", 2e-6)):
            got = function(*[cnp.array(x.astype(dtype)) for x in operands])
            assert got.dtype == dtype
            narrow = [x.astype(dtype).astype(np.float64) for x in operands]
            exact = theirs(first, *narrow[1:]) if whole else theirs(*narrow)
            exact = np.asarray(exact).astype(dtype)
            near = np.isclose(np.asarray(got), exact, rtol=tolerance, atol=1e-30, equal_nan=True)
            assert near.all(), (dtype, np.stack([*operands, got, wanted], -1)[~near])


def test_pairs() -> None:
    for name in ("sici", "fresnel"):
        x = np.array([-8.0, -1.0, 0.0, 0.3, 1.4, 1.6, 5.0, 30.0])
        for got, wanted in zip(
            covector.jit(getattr(special, name))(cnp.array(x)),
            getattr(scipy.special, name)(x),
            strict=True,
        ):
            finite = np.isfinite(wanted)
            if name == "sici":  # of negative numbers SciPy says NaN, where the real part is meant
                wanted = np.where(finite, wanted, scipy.special.sici(np.abs(x))[1])
            np.testing.assert_allclose(np.asarray(got), wanted, rtol=1e-12)


# Those of several operations; the others' rules are tested with the primitives.
DERIVATIVES = [
    "beta", "betaln", "boxcox", "boxcox1p", "entr", "exp1", "gamma", "i1", "kl_div", "log_ndtr", "ndtri", "poch",
    "rel_entr", "xlogy", "xlog1py",
]  # fmt: skip


@pytest.mark.parametrize("name", DERIVATIVES)
def test_derivative_in_the_last_operand(name: str) -> None:
    count = 1 if name in UNARY else len(SEVERAL[name])
    x = np.array([0.2, 0.35, 0.6, 0.8])
    others = [np.array([2.0, 3.0, 4.0, 2.0]) + i for i in range(count - 1)]
    function = getattr(special, name)

    def total(x: Any) -> Any:
        return cnp.sum(function(*map(cnp.array, others), x))

    slope = np.asarray(covector.jit(covector.grad(total))(cnp.array(x)))
    values = covector.jit(lambda x: function(*map(cnp.array, others), x))
    h = 1e-3
    ends = [np.asarray(values(cnp.array(x + k * h))) for k in (-2, -1, 1, 2)]
    wanted = (8 * (ends[2] - ends[1]) - (ends[3] - ends[0])) / (12 * h)
    np.testing.assert_allclose(slope, wanted, rtol=2e-8, atol=1e-9)


def test_derivatives_at_edges() -> None:
    """Where a branch that is not taken would make NaN of it."""
    for name, x, wanted in (
        ("entr", 0.5, -np.log(0.5) - 1),
        ("xlogy", 0.0, 0.0),
        ("log_ndtr", -60.0, None),
        ("spence", 1.0, -1.0),
        ("poch", 0.0, None),
    ):
        function = getattr(special, name)
        args = (
            (lambda v: (v,)) if name in UNARY else (lambda v: (0.0, v)) if wanted == 0.0 else None
        )
        if args is None:
            continue
        slope = covector.grad(lambda v, f=function, a=args: f(*a(v)))(np.float64(x).item())
        assert np.isfinite(slope), name
        if wanted is not None:
            np.testing.assert_allclose(slope, wanted, rtol=1e-6)


def test_complex_error_function() -> None:
    rng = np.random.default_rng(0)
    size = 10.0 ** rng.uniform(-3, 2, 600)
    z = size * np.exp(1j * rng.uniform(0, np.pi, 600))
    z = np.concatenate([z, np.conj(z[size < 4]), [0, 1j, 0.5116633539732443, 1.0233267079464885]])
    w = covector.jit(special.wofz)
    np.testing.assert_allclose(np.asarray(w(cnp.array(z))), scipy.special.wofz(z), rtol=1e-13)
    assert special.wofz(cnp.ones(2)).dtype == "complex64"
    slope = covector.grad(special.wofz, holomorphic=True)(cnp.array(0.3 + 0.2j))
    w0 = scipy.special.wofz(0.3 + 0.2j)
    np.testing.assert_allclose(
        complex(slope), 2j / np.sqrt(np.pi) - 2 * (0.3 + 0.2j) * w0, rtol=1e-5
    )


def test_bessel_and_harmonics() -> None:
    x = np.array([0.0, 1e-6, 0.5, 2.0, 10.0, -3.0])
    wanted = np.array([scipy.special.jv(k, x) for k in range(4)])
    np.testing.assert_allclose(np.asarray(special.bessel_jn(cnp.array(x), v=3)), wanted, atol=1e-14)
    n, m = (g.ravel() for g in np.meshgrid(np.arange(5), np.arange(-5, 6)))
    theta, phi = np.linspace(0, 3, n.size), np.linspace(-1, 6, n.size)
    got = special.sph_harm_y(*map(cnp.array, (n, m, theta, phi)), n_max=4)
    np.testing.assert_allclose(
        np.asarray(got), scipy.special.sph_harm_y(n, m, theta, phi), atol=1e-14
    )


def test_numbers_of_bernoulli_and_others() -> None:
    np.testing.assert_allclose(special.bernoulli(20), scipy.special.bernoulli(20), rtol=1e-6)
    assert special.bernoulli(20)[19] == 0
    a = np.array([3.0, 7.5])
    for d in (0, 1, 3):
        wanted = scipy.special.multigammaln(a, d) if d else a * 0
        np.testing.assert_allclose(special.multigammaln(cnp.array(a), d), wanted, rtol=1e-13)
    assert special.comb(5, 2, repetition=True).item() == 15
    np.testing.assert_allclose(special.zeta(cnp.array([2.0])), np.pi**2 / 6, rtol=1e-6)
    x = cnp.array([[1.0, 2.0], [3.0, 5.0]])
    for name in ("softmax", "log_softmax"):
        for axis in (None, 0, (0, 1)):
            wanted = getattr(scipy.special, name)(np.asarray(x), axis)
            np.testing.assert_allclose(getattr(special, name)(x, axis=axis), wanted, rtol=1e-6)


ERRORS = [
    (lambda: special.gammaln(cnp.array([1j])), TypeError, "gammaln does not take complex64"),
    (lambda: special.bernoulli(-1), ValueError, "bernoulli: n is -1"),
    (lambda: special.bernoulli(1.5), TypeError, "n of bernoulli"),
    (lambda: special.factorial(3, exact=True), NotImplementedError, "factorial with exact=True"),
    (lambda: special.bessel_jn(cnp.ones(2), v=50), ValueError, "bessel_jn: v is 50"),
    (lambda: special.bessel_jn(cnp.ones(2) * 1j, v=1), TypeError, "bessel_jn takes real numbers"),
    (lambda: special.erf([1.0]), TypeError, "erf"),
    (lambda: special.sph_harm_y(1, 1, 0.1, 0.1, diff_n=1), NotImplementedError, "diff_n"),
    (lambda: covector.jit(special.sph_harm_y)(*[cnp.ones(1)] * 4), TypeError, "n is traced"),
    (
        lambda: covector.grad(special.expn)(1.0, 2.0),
        NotDifferentiableError,
        "expn has no derivative",
    ),
]


@pytest.mark.parametrize(("call", "error", "text"), ERRORS, ids=[text for _, _, text in ERRORS])
def test_errors(call: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        call()


def test_gamma_functions_of_complex_numbers() -> None:
    """On all sheets, at the poles, beside the negative axis on both sides, and where erfcx is infinite."""
    rng = np.random.default_rng(0)
    z = rng.normal(size=300) * 10.0 ** rng.uniform(-1, 2, 300) + 1j * rng.normal(size=300) * 5
    edges = [1, 2, complex(-2.5, 0.0), complex(-2.5, -0.0), complex(-3.5, -0.0), 0, -3, -30 + 0.1j]
    z = np.concatenate([z, edges])
    for name, least in (("loggamma", 1.0), ("gamma", 0.0), ("erfcx", 0.0)):
        wanted = getattr(scipy.special, name)(z)
        found = np.asarray(covector.jit(getattr(special, name))(cnp.array(z)))
        np.testing.assert_array_equal(np.isfinite(found), np.isfinite(wanted))
        finite = np.isfinite(wanted)
        size = np.maximum(np.abs(wanted[finite]), least)
        assert (np.abs(found[finite] - wanted[finite]) <= 1e-12 * size).all(), name
        assert getattr(special, name)(1j).dtype == "complex64"
    for w in (0.3 + 0.4j, -1.3 + 0.4j):
        slope = covector.grad(special.loggamma, holomorphic=True)(cnp.complex64(w))
        np.testing.assert_allclose(complex(slope), scipy.special.digamma(w), rtol=1e-5)


def test_complex_numbers() -> None:
    x = np.array([0.75 + 0.5j, -2.5 + 1j, 0], np.complex64)
    y = np.array([2.25 - 1j, 1 + 2j, 3j], np.complex64)
    for name, wanted in {
        "expit": 1 / (1 + np.exp(-x)),
        "logit": np.log(y) - np.log(1 - y),
        "xlogy": x * np.log(y),
        "xlog1py": x * np.log(1 + y),
    }.items():
        given = {"expit": (x,), "logit": (y,)}.get(name, (x, y))
        found = getattr(special, name)(*given)
        np.testing.assert_allclose(np.asarray(found), wanted, rtol=1e-5, atol=1e-6)
