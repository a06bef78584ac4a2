"""Layers as pairs of functions: names and meanings are those of JAX's example library.

A layer is `(init, apply)`: `init(key, input_shape)` gives the shape of the result and the parameters, and
`apply(params, inputs, **kwargs)` the result.  A size that does not matter is -1.

>>> from covector import numpy as np, random
>>> from covector.example_libraries import stax
>>> init, apply = stax.serial(stax.Dense(8), stax.Relu, stax.Dense(1))
>>> shape, params = init(random.key(0), (-1, 3))
>>> shape, apply(params, np.ones((5, 3))).shape
((-1, 1), (5, 1))
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from covector import lax, numpy as cnp, random
from covector._engine.base import errors
from covector._engine.base.public import publish
from covector.nn import (
    elu as elu,
    gelu as gelu,
    leaky_relu as leaky_relu,
    log_softmax as log_softmax,
    relu as relu,
    selu as selu,
    sigmoid as sigmoid,
    softmax as softmax,
    softplus as softplus,
    standardize as standardize,
)
from covector.nn.initializers import glorot_normal, normal, ones, zeros

__all__ = [
    "AvgPool",
    "BatchNorm",
    "Conv",
    "Conv1DTranspose",
    "ConvTranspose",
    "Dense",
    "Dropout",
    "Elu",
    "Exp",
    "FanInConcat",
    "FanInSum",
    "FanOut",
    "Flatten",
    "Gelu",
    "GeneralConv",
    "GeneralConvTranspose",
    "Identity",
    "LeakyRelu",
    "LogSoftmax",
    "MaxPool",
    "Relu",
    "Selu",
    "Sigmoid",
    "Softmax",
    "Softplus",
    "SumPool",
    "Tanh",
    "elementwise",
    "elu",
    "gelu",
    "glorot",
    "leaky_relu",
    "log_softmax",
    "logsoftmax",
    "parallel",
    "randn",
    "relu",
    "selu",
    "serial",
    "shape_dependent",
    "sigmoid",
    "softmax",
    "softplus",
    "standardize",
]

Layer = tuple[Callable[..., Any], Callable[..., Any]]
glorot, randn, logsoftmax = glorot_normal, normal, log_softmax
_BIAS = normal(1e-6)


def Dense(
    out_dim: int,
    W_init: Any = None,
    b_init: Any = _BIAS,
) -> Layer:
    """A product with a matrix, and a sum with a vector.

    >>> from covector import random
    >>> from covector.example_libraries import stax
    >>> stax.Dense(4)[0](random.key(0), (2, 3))[0]
    (2, 4)
    """
    weights = glorot_normal() if W_init is None else W_init

    def init(rng: Any, input_shape: Any) -> Any:
        first, second = random.split(rng)
        params = weights(first, (input_shape[-1], out_dim)), b_init(second, (out_dim,))
        return (*input_shape[:-1], out_dim), params

    def apply(params: Any, inputs: Any, **kwargs: Any) -> Any:
        matrix, bias = params
        return cnp.dot(inputs, matrix) + bias

    return init, apply


def GeneralConv(
    dimension_numbers: Any,
    out_chan: int,
    filter_shape: Sequence[int],
    strides: Sequence[int] | None = None,
    padding: Any = "VALID",
    W_init: Any = None,
    b_init: Any = _BIAS,
) -> Layer:
    """A convolution, with the layouts of input, filter and output as three texts, such as ("NHWC", "HWIO", "NHWC").

    >>> from covector import random
    >>> from covector.example_libraries import stax
    >>> stax.Conv(4, (3, 3))[0](random.key(0), (1, 8, 8, 3))[0]
    (1, 6, 6, 4)
    """
    return _conv(
        lax.conv_general_dilated,
        dimension_numbers,
        (out_chan, filter_shape),
        strides,
        padding,
        (W_init, b_init),
    )


def GeneralConvTranspose(
    dimension_numbers: Any,
    out_chan: int,
    filter_shape: Sequence[int],
    strides: Sequence[int] | None = None,
    padding: Any = "VALID",
    W_init: Any = None,
    b_init: Any = _BIAS,
) -> Layer:
    """A transposed convolution, said in the same way.

    >>> from covector import random
    >>> from covector.example_libraries import stax
    >>> stax.ConvTranspose(4, (3, 3), (2, 2))[0](random.key(0), (1, 8, 8, 3))[0]
    (1, 17, 17, 4)
    """
    return _conv(
        lax.conv_transpose,
        dimension_numbers,
        (out_chan, filter_shape),
        strides,
        padding,
        (W_init, b_init),
    )


def _conv(
    function: Callable[..., Any],
    layouts: Any,
    sizes: tuple[int, Sequence[int]],
    strides: Sequence[int] | None,
    padding: Any,
    inits: tuple[Any, Any],
) -> Layer:
    inputs_layout, filter_layout, out_layout = layouts
    (channels, window), (weights, bias) = sizes, inits
    steps = strides or (1,) * len(window)
    weights = weights or glorot_normal(filter_layout.index("I"), filter_layout.index("O"))

    def convolved(x: Any, kernel: Any) -> Any:
        return function(x, kernel, steps, padding, dimension_numbers=layouts)

    def init(rng: Any, input_shape: Any) -> Any:
        rest = iter(window)
        known = {"O": channels, "I": input_shape[inputs_layout.index("C")]}
        shape = [known[c] if c in known else next(rest) for c in filter_layout]
        batch = inputs_layout.index("N")
        example = cnp.empty([1 if i == batch else n for i, n in enumerate(input_shape)])
        # The batch's size may be open, as -1.
        out = list(cnp.shape(convolved(example, cnp.empty(shape))))
        out[out_layout.index("N")] = input_shape[batch]
        first, second = random.split(rng)
        biases = tuple([channels if c == "C" else 1 for c in out_layout])
        return tuple(out), (weights(first, tuple(shape)), bias(second, biases))

    def apply(params: Any, inputs: Any, **kwargs: Any) -> Any:
        kernel, added = params
        return convolved(inputs, kernel) + added

    return init, apply


Conv = functools.partial(GeneralConv, ("NHWC", "HWIO", "NHWC"))
Conv1DTranspose = functools.partial(GeneralConvTranspose, ("NHC", "HIO", "NHC"))
ConvTranspose = functools.partial(GeneralConvTranspose, ("NHWC", "HWIO", "NHWC"))


def BatchNorm(
    axis: int | Sequence[int] = (0, 1, 2),
    epsilon: float = 1e-5,
    center: bool = True,
    scale: bool = True,
    beta_init: Any = zeros,
    gamma_init: Any = ones,
) -> Layer:
    """Inputs standardized along axes, by their own mean and variance; then scaled and moved.

    >>> from covector import random
    >>> from covector.example_libraries import stax
    >>> stax.BatchNorm()[0](random.key(0), (1, 8, 8, 3))[1][0]
    Array([0., 0., 0.], dtype=float32)
    """
    axes = (axis,) if isinstance(axis, int) else tuple(axis)

    def init(rng: Any, input_shape: Any) -> Any:
        shape = tuple([n for i, n in enumerate(input_shape) if i not in axes])
        first, second = random.split(rng)
        beta = beta_init(first, shape) if center else ()
        return input_shape, (beta, gamma_init(second, shape) if scale else ())

    def apply(params: Any, x: Any, **kwargs: Any) -> Any:
        beta, gamma = params
        wide = tuple([None if i in axes else slice(None) for i in range(cnp.ndim(x))])
        out = standardize(x, axes, epsilon=epsilon)
        out = gamma[wide] * out if scale else out
        return out + beta[wide] if center else out

    return init, apply


def elementwise(fun: Callable[..., Any], **fun_kwargs: Any) -> Layer:
    """A function of the inputs, without parameters.

    >>> from covector import numpy as np
    >>> from covector.example_libraries import stax
    >>> print(stax.elementwise(np.abs)[1]((), -1.0))
    1.0
    """
    return lambda rng, input_shape: (input_shape, ()), lambda params, x, **kwargs: fun(
        x, **fun_kwargs
    )


Tanh = elementwise(cnp.tanh)
Relu = elementwise(relu)
Exp = elementwise(cnp.exp)
LogSoftmax = elementwise(log_softmax, axis=-1)
Softmax = elementwise(softmax, axis=-1)
Softplus = elementwise(softplus)
Sigmoid = elementwise(sigmoid)
Elu = elementwise(elu)
LeakyRelu = elementwise(leaky_relu)
Selu = elementwise(selu)
Gelu = elementwise(gelu)
Identity: Layer = (
    lambda rng, input_shape: (input_shape, ()),
    lambda params, inputs, **kwargs: inputs,
)


def _pooling(
    fold: Callable[..., Any], start: float, after: Callable[..., Any] | None = None
) -> Any:
    def layer(
        window_shape: Sequence[int],
        strides: Sequence[int] | None = None,
        padding: Any = "VALID",
        spec: str | None = None,
    ) -> Layer:
        """Pools, over windows of this shape; `spec` is the layout, such as "NHWC", which it is by default.

        >>> from covector import random
        >>> from covector.example_libraries import stax
        >>> stax.MaxPool((2, 2))[0](random.key(0), (1, 8, 8, 3))[0]
        (1, 7, 7, 3)
        """
        steps = tuple(strides or (1,) * len(window_shape))
        layout = spec or f"N{'HWD'[: len(window_shape)]}C"
        placed, moved = dict(zip(_spatial(layout), window_shape, strict=True)), {}
        moved.update(zip(_spatial(layout), steps, strict=True))
        window = tuple([placed.get(i, 1) for i in range(len(layout))])
        stride = tuple([moved.get(i, 1) for i in range(len(layout))])

        def init(rng: Any, input_shape: Any) -> Any:
            pads = lax.padtype_to_pads(input_shape, window, stride, padding)
            shape = [
                (n + sum(pad) - w) // s + 1 if i in placed else n
                for i, (n, pad, w, s) in enumerate(
                    zip(input_shape, pads, window, stride, strict=True)
                )
            ]
            return tuple(shape), ()

        def apply(params: Any, inputs: Any, **kwargs: Any) -> Any:
            out = lax.reduce_window(inputs, start, fold, window, stride, padding)
            return out if after is None else after(out, inputs, window, stride, padding)

        return init, apply

    return layer


def _spatial(layout: str) -> list[int]:
    return [i for i, c in enumerate(layout) if c not in "NC"]


def _mean(out: Any, inputs: Any, window: Any, stride: Any, padding: Any) -> Any:
    counts = lax.reduce_window(cnp.ones_like(inputs), 0.0, lax.add, window, stride, padding)
    return out / counts


MaxPool = _pooling(lax.max, -np.inf)
SumPool = _pooling(lax.add, 0.0)
AvgPool = _pooling(lax.add, 0.0, _mean)

Flatten: Layer = (
    lambda rng, input_shape: (
        (input_shape[0], functools.reduce(operator.mul, input_shape[1:], 1)),
        (),
    ),
    lambda params, inputs, **kwargs: inputs.reshape((inputs.shape[0], -1)),
)
FanInSum: Layer = (
    lambda rng, input_shape: (input_shape[0], ()),
    lambda params, inputs, **kwargs: sum(inputs),
)


def FanOut(num: int) -> Layer:
    """The inputs so many times, for the branches of `parallel`.

    >>> from covector.example_libraries import stax
    >>> stax.FanOut(2)[1]((), 1.0)
    [1.0, 1.0]
    """
    return lambda rng, input_shape: (
        [input_shape] * num,
        (),
    ), lambda params, inputs, **kwargs: [inputs] * num


def FanInConcat(axis: int = -1) -> Layer:
    """The inputs of several branches, one after the other along an axis.

    >>> from covector import random
    >>> from covector.example_libraries import stax
    >>> stax.FanInConcat()[0](random.key(0), [(2, 3), (2, 4)])[0]
    (2, 7)
    """

    def init(rng: Any, input_shape: Any) -> Any:
        place = axis % len(input_shape[0])
        total = sum(shape[place] for shape in input_shape)
        return (*input_shape[0][:place], total, *input_shape[0][place + 1 :]), ()

    return init, lambda params, inputs, **kwargs: cnp.concatenate(inputs, axis)


def Dropout(rate: float, mode: str = "train") -> Layer:
    """In training, elements are kept with probability `rate`, and divided by it; `apply` needs an `rng` then.

    >>> from covector.example_libraries import stax
    >>> stax.Dropout(0.5, mode="test")[1]((), 1.0)
    1.0
    """

    def apply(params: Any, inputs: Any, **kwargs: Any) -> Any:
        if mode != "train":
            return inputs
        if (rng := kwargs.get("rng")) is None:
            raise ValueError(
                f"Dropout: apply needs a key, as in apply(params, inputs, rng=key){errors.at_user_line()}"
            )
        return cnp.where(random.bernoulli(rng, rate, inputs.shape), inputs / rate, 0)

    return lambda rng, input_shape: (input_shape, ()), apply


# -------------------------------------------------------------------------------------------------- combinations


def serial(*layers: Layer) -> Layer:
    """One layer after the other.

    >>> from covector.example_libraries import stax
    >>> print(stax.serial(stax.Relu, stax.Exp)[1]([(), ()], -1.0))
    1.0
    """

    def init(rng: Any, input_shape: Any) -> Any:
        params: list[Any] = []
        for layer_init, _ in layers:
            rng, own = random.split(rng)
            input_shape, found = layer_init(own, input_shape)
            params.append(found)
        return input_shape, params

    def apply(params: Any, inputs: Any, **kwargs: Any) -> Any:
        rng = kwargs.pop("rng", None)
        keys = [None] * len(layers) if rng is None else random.split(rng, len(layers))
        for (_, layer), found, key in zip(layers, params, keys, strict=True):
            inputs = layer(found, inputs, rng=key, **kwargs)
        return inputs

    return init, apply


def parallel(*layers: Layer) -> Layer:
    """Each layer on an input of its own, as `FanOut` makes them.

    >>> from covector.example_libraries import stax
    >>> stax.parallel(stax.Identity, stax.Identity)[1]([(), ()], [1.0, 2.0])
    [1.0, 2.0]
    """

    def init(rng: Any, input_shape: Any) -> Any:
        keys = random.split(rng, len(layers))
        found = [
            layer_init(key, shape)
            for (layer_init, _), key, shape in zip(layers, keys, input_shape, strict=True)
        ]
        return [shape for shape, _ in found], tuple([params for _, params in found])

    def apply(params: Any, inputs: Any, **kwargs: Any) -> Any:
        rng = kwargs.pop("rng", None)
        keys = [None] * len(layers) if rng is None else random.split(rng, len(layers))
        return [
            layer(found, x, rng=key, **kwargs)
            for (_, layer), found, x, key in zip(layers, params, inputs, keys, strict=True)
        ]

    return init, apply


def shape_dependent(make_layer: Callable[[Any], Layer]) -> Layer:
    """The layer that a function makes for the shape of the inputs.

    >>> from covector.example_libraries import stax
    >>> from covector import numpy as np, random
    >>> stax.shape_dependent(lambda shape: stax.Dense(shape[-1]))[0](random.key(0), (2, 3))[0]
    (2, 3)
    """

    def apply(params: Any, inputs: Any, **kwargs: Any) -> Any:
        return make_layer(inputs.shape)[1](params, inputs, **kwargs)

    return lambda rng, input_shape: make_layer(input_shape)[0](rng, input_shape), apply


publish(__name__)
