"""Convolutions and pooling: layers as networks have them, and their gradients.

Arrays are NHWC and kernels HWIO; torch has the same numbers as NCHW in its memory format of channels last.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.cases import GRADIENTS, case
from benchmarks.frameworks import Framework

BATCH = 32


@dataclass(frozen=True)
class Layer:
    """A convolution: sizes, and how the kernel slides."""

    shape: tuple[int, ...]
    kernel: tuple[int, ...]
    stride: int = 1
    padding: int = 1
    dilation: int = 1
    groups: int = 1
    transposed: bool = False


LAYERS = {
    "plain": Layer((BATCH, 28, 28, 32), (3, 3, 32, 64)),
    "strided": Layer((BATCH, 28, 28, 32), (3, 3, 32, 64), stride=2),
    "dilated": Layer((BATCH, 28, 28, 32), (3, 3, 32, 64), padding=2, dilation=2),
    "depthwise": Layer((BATCH, 28, 28, 64), (3, 3, 1, 64), groups=64),
    "line": Layer((BATCH, 1024, 32), (5, 32, 64), padding=2),
    "transposed": Layer((BATCH, 14, 14, 64), (2, 2, 64, 32), 2, 0, transposed=True),
}


def numbers(f: Framework, shape: tuple[int, ...], seed: int) -> Any:
    """The same random numbers for all frameworks, around 0."""
    values = np.random.default_rng(seed).random(shape, dtype=np.float32) - 0.5
    return f.array(values)


def layer(f: Framework, which: Layer) -> tuple[Callable[[Any, Any], Any], Any, Any]:
    """A layer's function, and its operands."""
    x, w = numbers(f, which.shape, 0), numbers(f, which.kernel, 1)
    rank = len(which.shape) - 2
    if f.name == "torch":
        return torch_layer(f, which, rank, x, w)
    lax = f.module.lax
    spatial = "HW"[:rank]
    names = f"N{spatial}C", f"{spatial}IO", f"N{spatial}C"

    def convolve(x: Any, w: Any) -> Any:
        if which.transposed:
            return lax.conv_transpose(x, w, (which.stride,) * rank, "VALID")
        return lax.conv_general_dilated(
            x,
            w,
            (which.stride,) * rank,
            [(which.padding,) * 2] * rank,
            None,
            (which.dilation,) * rank,
            names,
            which.groups,
        )

    return convolve, x, w


def torch_layer(
    f: Framework, which: Layer, rank: int, x: Any, w: Any
) -> tuple[Callable[[Any, Any], Any], Any, Any]:
    """The same in torch: features first in its shapes, last in its memory."""
    functional = f.module.nn.functional
    spatial = tuple(range(2, rank + 2))
    x = x.permute(0, rank + 1, *range(1, rank + 1))
    taken, made = rank, rank + 1
    w = w.permute(*((taken, made) if which.transposed else (made, taken)), *range(rank))
    if which.transposed:
        w = w.flip(spatial)
        return lambda x, w: functional.conv_transpose2d(x, w, stride=which.stride), x, w
    convolve = (functional.conv1d, functional.conv2d)[rank - 1]
    if rank == 1:
        x, w = x.contiguous(), w.contiguous()

    def run(x: Any, w: Any) -> Any:
        return convolve(x, w, None, which.stride, which.padding, which.dilation, which.groups)

    return run, x, w


def forward(f: Framework, name: str) -> Callable[[], Any]:
    """A call of a layer."""
    convolve, x, w = layer(f, LAYERS[name])
    run = f.jit(convolve)
    return lambda: run(x, w)


def gradient(f: Framework, name: str) -> Callable[[], Any]:
    """A call of a layer and of the way back to both operands."""
    convolve, x, w = layer(f, LAYERS[name])
    run = f.jit(f.value_and_grad(lambda p: (convolve(*p) ** 2).sum()))
    return lambda: run((x, w))


@case("convolutions", GRADIENTS, compared=False, jax=1.0, torch=1.0)
def convolution(f: Framework) -> Any:
    """3 x 3 of 32 x 28 x 28 x 32 to 64 features."""
    return forward(f, "plain")


@case("convolutions", GRADIENTS, compared=False, jax=1.0, torch=1.0)
def convolution_gradient(f: Framework) -> Any:
    """The same with its gradient."""
    return gradient(f, "plain")


@case("convolutions", GRADIENTS, compared=False, jax=1.0, torch=1.0)
def convolution_strided(f: Framework) -> Any:
    """The same with stride 2."""
    return forward(f, "strided")


@case("convolutions", GRADIENTS, compared=False, jax=1.0, torch=1.0)
def convolution_dilated(f: Framework) -> Any:
    """The same with a dilation of 2."""
    return forward(f, "dilated")


@case("convolutions", GRADIENTS, compared=False, jax=1.0, torch=1.0)
def convolution_depthwise(f: Framework) -> Any:
    """3 x 3 of 32 x 28 x 28 x 64, each feature on its own."""
    return forward(f, "depthwise")


@case("convolutions", GRADIENTS, compared=False, jax=1.0, torch=1.0)
def convolution_transposed(f: Framework) -> Any:
    """2 x 2 of 32 x 14 x 14 x 64 to 28 x 28 x 32, transposed with stride 2."""
    return forward(f, "transposed")


@case("convolutions", GRADIENTS, compared=False, jax=1.0, torch=1.0)
def convolution_line(f: Framework) -> Any:
    """5 of 32 x 1024 x 32 to 64 features, along a line."""
    return forward(f, "line")


def pooling(f: Framework, largest: bool) -> Callable[[], Any]:
    """Pooling of 2 x 2 with its gradient."""
    x = numbers(f, (BATCH, 56, 56, 64), 0)
    if f.name == "torch":
        functional = f.module.nn.functional
        x = x.permute(0, 3, 1, 2)
        pool = functional.max_pool2d if largest else functional.avg_pool2d
        run = f.value_and_grad(lambda p: (pool(p[0], 2) ** 2).sum())
        return lambda: run((x,))
    lax = f.module.lax

    def pooled(x: Any) -> Any:
        window = (1, 2, 2, 1), (1, 2, 2, 1), "VALID"
        if largest:
            return lax.reduce_window(x, -np.inf, lax.max, *window)
        return lax.reduce_window(x, 0.0, lax.add, *window) / 4

    run = f.jit(f.value_and_grad(lambda p: (pooled(p[0]) ** 2).sum()))
    return lambda: run((x,))


@case("convolutions", GRADIENTS, compared=False, jax=1.0, torch=1.0)
def max_pool_gradient(f: Framework) -> Any:
    """Max pooling 2 x 2 of 32 x 56 x 56 x 64 with its gradient."""
    return pooling(f, True)


@case("convolutions", GRADIENTS, compared=False, jax=1.0, torch=1.0)
def average_pool_gradient(f: Framework) -> Any:
    """Average pooling 2 x 2 of 32 x 56 x 56 x 64 with its gradient."""
    return pooling(f, False)
