"""The frameworks under test behind one small interface, so that a case is written once.

Each framework is used the way its own users use it: JAX and Covector compile with `jit`, PyTorch
runs eagerly with its fused functions and in-place updates, NumPy runs as it is.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from types import SimpleNamespace
from typing import Any

import numpy as np

from benchmarks import c

NAMES = ("covector", "jax", "torch", "numpy", "numba", "c")


@dataclass(frozen=True)
class Framework:
    """What a case may use; a part that a framework lacks is None."""

    name: str
    version: str
    np: Any  # the namespace of array functions, in NumPy's spelling
    nn: Any  # relu, gelu, softmax, log_softmax, one_hot, layer_norm
    array: Callable[[np.ndarray], Any]  # an array of the framework with these values
    block: Callable[[Any], Any]  # waits until every array in a pytree is there
    jit: Callable[..., Any]  # the identity where the framework runs eagerly
    grad: Any = None
    value_and_grad: Any = None
    vmap: Any = None  # (fun, in_axes, out_axes)
    sgd: Any = None  # (params, grads, rate) -> params
    scan: Any = None
    normal: Any = None  # n -> a call that draws n standard normals, float32
    register_dataclass: Any = None  # makes a container of a dataclass; nothing to do where any goes
    module: Any = None  # the package itself, for what only some have (make_jaxpr)

    def random(self, *shape: int, seed: int = 0, scale: float = 1.0) -> Any:
        """Return float32 normals, the same values in every framework."""
        values = np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)
        return self.array(values * np.float32(scale))


@cache
def load(name: str) -> Framework:
    """Import a framework and return its interface; ImportError if it is not installed."""
    makers = {"torch": _torch, "numpy": _numpy, "numba": _numba, "c": _c}
    return makers[name]() if name in makers else _jax_like(name)


def _jax_like(name: str) -> Framework:
    module = importlib.import_module(name)
    xp, lax, nn, random, tree = (
        importlib.import_module(f"{name}.{part}")
        for part in ("numpy", "lax", "nn", "random", "tree")
    )

    def layer_norm(x: Any) -> Any:
        centred = x - xp.mean(x, axis=-1, keepdims=True)
        variance = xp.mean(centred * centred, axis=-1, keepdims=True)
        return centred / xp.sqrt(variance + 1e-5)

    def normal(n: int) -> Callable[[], Any]:
        key = random.key(0)
        draw = module.jit(lambda key: random.normal(key, (n,)))
        return lambda: draw(key)

    return Framework(
        name=name,
        version=module.__version__,
        np=xp,
        nn=SimpleNamespace(
            relu=nn.relu,
            gelu=nn.gelu,
            softmax=nn.softmax,
            log_softmax=nn.log_softmax,
            one_hot=nn.one_hot,
            layer_norm=layer_norm,
        ),
        array=xp.asarray,
        block=module.block_until_ready,
        jit=module.jit,
        grad=module.grad,
        vmap=module.vmap,
        value_and_grad=module.value_and_grad,
        sgd=lambda params, grads, rate: tree.map(lambda p, g: p - rate * g, params, grads),
        scan=lax.scan,
        normal=normal,
        register_dataclass=cache(module.tree_util.register_dataclass),
        module=module,
    )


def _identity(fun: Any, **_options: Any) -> Any:
    return fun


def _python_scan(step: Any, carry: Any, xs: None = None, length: int = 0) -> Any:
    for _ in range(length):
        carry, _ys = step(carry, None)
    return carry, None


def _torch() -> Framework:
    torch = importlib.import_module("torch")
    functional = torch.nn.functional

    def value_and_grad(loss: Any) -> Any:
        def run(params: Any, *arguments: Any) -> Any:
            leaves = _leaves(params)
            for leaf in leaves:
                leaf.requires_grad_()
            value = loss(params, *arguments)
            return value.detach(), torch.autograd.grad(value, leaves)

        return run

    @torch.no_grad()
    def sgd(params: Any, grads: Any, rate: float) -> Any:
        for leaf, grad in zip(_leaves(params), grads, strict=True):
            leaf.sub_(grad, alpha=rate)
        return params

    return Framework(
        name="torch",
        version=torch.__version__,
        np=_torch_numpy(torch),
        nn=SimpleNamespace(
            relu=functional.relu,
            gelu=lambda x: functional.gelu(x, approximate="tanh"),
            softmax=lambda x: functional.softmax(x, dim=-1),
            log_softmax=lambda x: functional.log_softmax(x, dim=-1),
            one_hot=lambda x, n: functional.one_hot(x.long(), n).float(),
            layer_norm=lambda x: functional.layer_norm(x, x.shape[-1:]),
        ),
        array=lambda values: torch.from_numpy(np.array(values)),
        block=_identity,
        jit=_identity,
        grad=torch.func.grad,
        vmap=torch.func.vmap,
        value_and_grad=value_and_grad,
        sgd=sgd,
        scan=_python_scan,
        register_dataclass=_identity,
        normal=lambda n: lambda: torch.randn(n),
        module=torch,
    )


def _torch_numpy(torch: Any) -> SimpleNamespace:
    return SimpleNamespace(
        float32=torch.float32,
        sin=torch.sin,
        tanh=torch.tanh,
        exp=torch.exp,
        sum=lambda x, axis=None: x.sum() if axis is None else x.sum(axis),
        mean=lambda x, axis=None: x.mean() if axis is None else x.mean(axis),
        stack=torch.stack,
        sort=lambda x: torch.sort(x).values,
        cumsum=lambda x: torch.cumsum(x, 0),
        fft=torch.fft,
    )


def host_values(result: Any) -> list[np.ndarray]:
    """Return copies of a result's arrays in NumPy, in the same order for every framework."""
    leaves = _leaves(result)
    return [np.array(x.detach() if hasattr(x, "detach") else x) for x in leaves if x is not None]


def _leaves(tree: Any) -> list[Any]:
    if isinstance(tree, dict):
        tree = [tree[key] for key in sorted(tree)]
    elif not isinstance(tree, (list, tuple)):
        return [tree]
    return [leaf for part in tree for leaf in _leaves(part)]


def _numpy() -> Framework:
    def softmax(x: np.ndarray) -> np.ndarray:
        e = np.exp(x - x.max(-1, keepdims=True))
        return e / e.sum(-1, keepdims=True)

    def layer_norm(x: np.ndarray) -> np.ndarray:
        centred = x - x.mean(-1, keepdims=True)
        return centred / np.sqrt((centred * centred).mean(-1, keepdims=True) + np.float32(1e-5))

    def gelu(x: np.ndarray) -> np.ndarray:
        inner = np.float32(0.7978845608) * (x + np.float32(0.044715) * (x * x * x))
        return np.float32(0.5) * x * (1 + np.tanh(inner))

    generator = np.random.default_rng(0)
    return Framework(
        name="numpy",
        version=np.__version__,
        np=np,
        nn=SimpleNamespace(
            relu=lambda x: np.maximum(x, 0), gelu=gelu, softmax=softmax, layer_norm=layer_norm
        ),
        array=np.array,
        block=_identity,
        jit=_identity,
        scan=_python_scan,
        register_dataclass=_identity,
        normal=lambda n: lambda: generator.standard_normal(n, dtype=np.float32),
        module=np,
    )


def _c() -> Framework:
    """The loops that are written in C beside the cases: see `c.py`."""
    return Framework(
        name="c",
        version=c.version(),
        np=np,
        nn=None,
        array=np.array,
        block=_identity,
        jit=_identity,
        module=c,
    )


def _numba() -> Framework:
    numba = importlib.import_module("numba")
    return Framework(
        name="numba",
        version=numba.__version__,
        np=np,
        nn=None,
        array=np.array,
        block=_identity,
        jit=lambda fun, **_options: numba.njit(fun, parallel=True),
        module=numba,
    )
