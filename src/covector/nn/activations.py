"""Elementwise functions of neural networks: a name, a recipe, one line of text."""

from __future__ import annotations

from typing import Any

import numpy as np

from covector._engine import primitives as prims
from covector._engine.types import dtypes
from covector.nn.examples import EXAMPLES
from covector.numpy import elementwise as el
from covector.numpy.comparison import ordering
from covector.numpy.promotion import lift
from covector.numpy.ufunc import ALL_KINDS, binary, refuse, unary as ufunc_of_one

__all__ = [
    "celu",
    "elu",
    "gelu",
    "hard_sigmoid",
    "hard_silu",
    "hard_swish",
    "hard_tanh",
    "identity",
    "leaky_relu",
    "log1mexp",
    "log_sigmoid",
    "mish",
    "relu",
    "relu6",
    "selu",
    "sigmoid",
    "silu",
    "soft_sign",
    "softplus",
    "sparse_plus",
    "sparse_sigmoid",
    "squareplus",
    "swish",
    "tanh",
]

# Complex numbers are in the order of their real parts, then of the imaginary ones.
_above, _not_below = ordering(prims.gt), ordering(prims.ge)
_below, _not_above = ordering(prims.lt), ordering(prims.le)
_SELU_ALPHA, _SELU_SCALE = 1.6732632423543772, 1.0507009873554805


def unary(name: str, recipe: Any, kind: Any, doc: str, strong: str = "") -> Any:
    """A ufunc of one operand, with its example."""
    made = ufunc_of_one(
        name, recipe, kind, doc, EXAMPLES.get(name, ""), "x", ALL_KINDS if strong else ""
    )
    made.__module__ = "covector.nn"  # where pickle finds it
    return made


def _like(x: Any, value: Any) -> np.generic:
    return x.dtype.type(value)


def _relu(x: Any) -> Any:
    if not dtypes.is_complex(x.dtype):
        return prims.relu(x)
    zero = _like(x, 0)
    return prims.select(_not_above(x, zero), zero, x)


def _relu6(x: Any) -> Any:
    """The derivative is 0 at both ends, and of NaN."""
    six = _like(x, 6)
    return prims.select(_not_below(x, six), six, _relu(x))


def _softplus(x: Any) -> Any:
    """log1p(exp(x)), and x itself where that rounds to the same; so all derivatives are right, at 0 too."""
    large = _above(x, _like(x, 1 - np.log(float(dtypes.finfo(x.dtype).eps))))
    return prims.select(large, x, prims.log1p(prims.exp(prims.select(large, _like(x, 0), x))))


def _silu(x: Any) -> Any:
    return prims.mul(x, prims.logistic(x))


def _elu(x: Any, alpha: Any) -> Any:
    zero = _like(x, 0)
    positive = _above(x, zero)
    return prims.select(positive, x, prims.mul(alpha, prims.expm1(prims.select(positive, zero, x))))


def _celu(x: Any, alpha: Any) -> Any:
    zero = _like(x, 0)
    positive = _above(x, zero)
    negative = prims.div(prims.select(positive, zero, x), alpha)
    return prims.select(positive, x, prims.mul(alpha, prims.expm1(negative)))


def _selu(x: Any) -> Any:
    return prims.mul(_elu(x, _like(x, _SELU_ALPHA)), _like(x, _SELU_SCALE))


def _gelu_tanh(x: Any) -> Any:
    cube = prims.mul(prims.integer_pow(x, 3), _like(x, 0.044715))
    inner = prims.mul(prims.add(x, cube), _like(x, np.sqrt(2 / np.pi)))
    return prims.mul(x, prims.mul(prims.add(prims.tanh(inner), _like(x, 1)), _like(x, 0.5)))


def _gelu_erf(x: Any) -> Any:
    return prims.mul(
        prims.mul(x, _like(x, 0.5)), prims.erfc(prims.mul(prims.neg(x), _like(x, np.sqrt(0.5))))
    )


def _one_more(x: Any) -> Any:
    return prims.add(x, _like(x, 1))


def _hard_tanh(x: Any) -> Any:
    one = _like(x, 1)
    return prims.select(
        _above(x, one), one, prims.select(_below(x, prims.neg(one)), prims.neg(one), x)
    )


def _hard_sigmoid(x: Any) -> Any:
    return prims.div(_relu6(prims.add(x, _like(x, 3))), _like(x, 6))


def _leaky_relu(x: Any, slope: Any) -> Any:
    return prims.select(_not_below(x, _like(x, 0)), x, prims.mul(slope, x))


def _squareplus(x: Any, b: Any) -> Any:
    return prims.mul(prims.add(x, prims.sqrt(prims.add(prims.square(x), b))), _like(x, 0.5))


def _sparse_plus(x: Any) -> Any:
    above = _not_below(x, _like(x, 1))
    outside = prims.or_(above, _not_above(x, _like(x, -1)))
    middle = prims.select(outside, _like(x, 0), x)  # no infinite slope where it is not used
    bend = prims.mul(prims.square(prims.add(middle, _like(x, 1))), _like(x, 0.25))
    upper = prims.select(above, x, bend)
    return prims.select(_not_above(x, _like(x, -1)), _like(x, 0), upper)


def _sparse_sigmoid(x: Any) -> Any:
    if dtypes.is_complex(x.dtype):
        raise refuse("sparse_sigmoid", x)
    above = prims.maximum(prims.add(x, _like(x, 1)), _like(x, 0))  # half of the slope at both ends
    return prims.mul(prims.minimum(above, _like(x, 2)), _like(x, 0.5))


def _log1mexp(x: Any) -> Any:
    small = _below(x, _like(x, np.log(2)))
    near = prims.log(prims.neg(prims.expm1(prims.neg(prims.select(small, x, _like(x, 0.5))))))
    far = prims.log1p(prims.neg(prims.exp(prims.neg(prims.select(small, _like(x, 1), x)))))
    return prims.select(small, near, far)


relu = unary("relu", _relu, "with int", "max(x, 0).  The derivative at 0 is 0.")
relu6 = unary("relu6", _relu6, "with float", "min(max(x, 0), 6).")
sigmoid = unary("sigmoid", prims.logistic, "inexact", "1 / (1 + exp(-x)).")
tanh = el.tanh
silu = swish = unary("silu", _silu, "inexact", "x * sigmoid(x), also called swish.")
mish = unary(
    "mish",
    lambda x: prims.mul(x, prims.tanh(_softplus(x))),
    "inexact with int",
    "x * tanh(softplus(x)).",
)
softplus = unary("softplus", _softplus, "inexact with int", "log(1 + exp(x)), without overflow.")
log_sigmoid = unary(
    "log_sigmoid",
    lambda x: prims.neg(_softplus(prims.neg(x))),
    "inexact",
    "log(sigmoid(x)), without overflow.",
)
soft_sign = unary(
    "soft_sign",
    lambda x: prims.div(x, prims.convert(_one_more(prims.abs_(x)), x.dtype)),
    "inexact with int",
    "x / (|x| + 1).",
)
selu = unary(
    "selu",
    _selu,
    "with float",
    "The scaled exponential linear unit, which keeps mean 0 and variance 1.",
)
hard_tanh = unary("hard_tanh", _hard_tanh, "with int", "x, cut off at -1 and 1.")
hard_sigmoid = unary("hard_sigmoid", _hard_sigmoid, "with float", "relu6(x + 3) / 6.")
hard_silu = hard_swish = unary(
    "hard_silu",
    lambda x: prims.mul(x, _hard_sigmoid(x)),
    "with float",
    "x * hard_sigmoid(x), also called hard swish.",
)
sparse_plus = unary(
    "sparse_plus", _sparse_plus, "with float", "0 below -1, x above 1, (x + 1)²/4 between."
)
sparse_sigmoid = unary(
    "sparse_sigmoid", _sparse_sigmoid, "with float", "The derivative of sparse_plus."
)
log1mexp = unary(
    "log1mexp", _log1mexp, "inexact", "log(1 - exp(-x)) for x > 0, exact for small x too."
)

_elu_ufunc = binary("elu", _elu, "with float", "x above 0, alpha * (exp(x) - 1) below.")
_celu_ufunc = binary("celu", _celu, "with float", "x above 0, alpha * (exp(x / alpha) - 1) below.")
_leaky_ufunc = binary("leaky_relu", _leaky_relu, "any", "x above 0, a multiple of it below.")
_squareplus_ufunc = binary("squareplus", _squareplus, "inexact", "(x + sqrt(x² + b)) / 2.")
_gelu_ufuncs = {
    True: unary(
        "gelu", _gelu_tanh, "inexact", "x Φ(x), with Φ by a hyperbolic tangent.", ALL_KINDS
    ),
    False: unary(
        "gelu", _gelu_erf, "inexact", "x Φ(x), with the normal distribution Φ.", ALL_KINDS
    ),
}


def elu(x: Any, alpha: Any = 1.0) -> Any:
    """x above 0, alpha * (exp(x) - 1) below.

    Element by element; integers count as floats.

    >>> from covector import nn, numpy as cnp
    >>> nn.elu(cnp.array([-1.0, 0.0, 2.0]))
    Array([-0.63212055,  0.        ,  2.        ], dtype=float32)
    """
    return _elu_ufunc(x, alpha)


def celu(x: Any, alpha: Any = 1.0) -> Any:
    """x above 0, alpha * (exp(x / alpha) - 1) below.

    Element by element; integers count as floats.

    >>> from covector import nn, numpy as cnp
    >>> nn.celu(cnp.array([-1.0, 0.0, 2.0]))
    Array([-0.63212055,  0.        ,  2.        ], dtype=float32)
    """
    return _celu_ufunc(x, alpha)


def leaky_relu(x: Any, negative_slope: Any = 0.01) -> Any:
    """x above 0, negative_slope * x below.

    Element by element; integers count as floats.

    >>> from covector import nn, numpy as cnp
    >>> nn.leaky_relu(cnp.array([-1.0, 0.0, 2.0]))
    Array([-0.01,  0.  ,  2.  ], dtype=float32)
    """
    return _leaky_ufunc(x, negative_slope)


def squareplus(x: Any, b: Any = 4) -> Any:
    """(x + sqrt(x² + b)) / 2.

    Element by element; integers count as floats.

    >>> from covector import nn, numpy as cnp
    >>> nn.squareplus(cnp.array([-1.0, 0.0, 2.0]))
    Array([0.618034 , 1.       , 2.4142137], dtype=float32)
    """
    return _squareplus_ufunc(x, b)


def gelu(x: Any, approximate: bool = True) -> Any:
    """x times the normal distribution function at x; `approximate` uses a formula with tanh.

    >>> import covector
    >>> [f"{y:.4f}" for y in covector.nn.gelu(covector.numpy.array([-1., 0., 1.])).tolist()]
    ['-0.1588', '0.0000', '0.8412']
    """
    return _gelu_ufuncs[bool(approximate)](x)


def identity(x: Any) -> Any:
    """The array itself.

    >>> from covector import nn, numpy as cnp
    >>> nn.identity(cnp.array([1.0, 2.0]))
    Array([1., 2.], dtype=float32)
    """
    return lift("identity", x)
