"""The cases: one decorated function each, written once for all frameworks that can run it.

A case receives a `Framework`, prepares its data and returns the call to measure. The decorator
states its group, the frameworks that can run it and the limits we want to hold: `jax=0.5` says that
Covector is to take at most half of JAX's time (or memory), `beside={"call_tuple": 2}` at most twice
what it takes in that case, and `under=1e-6` at most a microsecond.
"""

from __future__ import annotations

import contextlib
import itertools
import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from benchmarks.frameworks import Framework

ALL = ("covector", "jax", "torch", "numpy")
GRADIENTS = ("covector", "jax", "torch")
COMPILED = ("covector", "jax")
WITH_NUMBA = (*ALL, "numba")

MILLION = 1_000_000
NONE: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True)
class Case:
    """One line of the report."""

    name: str
    text: str
    group: str
    frameworks: tuple[str, ...]
    limits: Mapping[str, float]  # peer -> the largest ratio covector/peer that we accept
    beside: Mapping[str, float]  # another case -> the largest ratio of ours here to ours there
    under: float  # seconds (or bytes) that ours may be at most
    kind: str  # "call", "cold" (built anew each round), "memory" or "import"
    per: int  # the result is divided by this many operations
    compared: bool  # the frameworks must give the same values
    build: Callable[[Framework], Callable[[], Any]]


CASES: dict[str, Case] = {}


def case(
    group: str,
    frameworks: tuple[str, ...],
    kind: str = "call",
    per: int = 1,
    compared: bool = True,
    beside: Mapping[str, float] = NONE,
    under: float = math.inf,
    **limits: float,
) -> Callable[[Callable[[Framework], Any]], Callable[[Framework], Any]]:
    """Add the decorated function to the cases; its docstring is the text of the report."""

    def add(build: Callable[[Framework], Any]) -> Callable[[Framework], Any]:
        text = (build.__doc__ or build.__name__).rstrip(".")
        CASES[build.__name__] = Case(
            name=build.__name__,
            text=text,
            group=group,
            frameworks=frameworks,
            limits=limits,
            beside=beside,
            under=under,
            kind=kind,
            per=per,
            compared=compared,
            build=build,
        )
        return build

    return add


# ---------------------------------------------------------------- calls


@case("calls", COMPILED, jax=0.25)
def call_refs(f: Framework) -> Any:
    """A compiled function that adds to a reference which it closes over, and to one that it is given."""
    ours, theirs, x = f.module.new_ref(f.random(4)), f.module.new_ref(f.random(4)), f.random(4)

    def add(ref: Any, x: Any) -> Any:
        ours[...] += x
        ref[...] += x
        return x

    run = f.jit(add)
    return lambda: run(theirs, x)


@case("calls", ALL, jax=0.25, torch=1.0)
def call_one(f: Framework) -> Any:
    """`jit(lambda x: x + 1)` on a scalar, per call."""
    add, x = f.jit(lambda x: x + 1), f.random()
    return lambda: add(x)


@case("calls", COMPILED, jax=0.5)
def call_anew(f: Framework) -> Any:
    """`jit(add)(x)`, where the compiled function is made anew in each call, on a scalar."""

    def add(x: Any) -> Any:
        return x + 1

    x = f.random()
    return lambda: f.jit(add)(x)


@case("calls", ALL, jax=0.3)
def call_twenty(f: Framework) -> Any:
    """`jit(lambda *xs: [x + 1 for x in xs])` on 20 scalars, per call."""
    add, xs = f.jit(lambda *xs: [x + 1 for x in xs]), [f.random(seed=i) for i in range(20)]
    return lambda: add(*xs)


@case("calls", ALL, jax=0.2, torch=1.0)
def eager_add(f: Framework) -> Any:
    """`x + 1` on one element, not compiled."""
    x = f.random(1)
    return lambda: x + 1


@case("calls", ALL, jax=0.2, torch=1.0)
def eager_chain(f: Framework) -> Any:
    """`tanh(x) * sin(x) + exp(-x * x)` on 100 elements, not compiled."""
    x, xp = f.random(100), f.np
    return lambda: xp.tanh(x) * xp.sin(x) + xp.exp(-x * x)


class Pair(NamedTuple):
    """Two values: a container whose type every framework has to be asked about."""

    a: Any
    b: Any


@dataclass
class Layer:
    """The same as a dataclass, which the frameworks with pytrees register."""

    a: Any
    b: Any


@case("calls", ALL, jax=0.25)
def call_tuple(f: Framework) -> Any:
    """`jit(lambda p: p[0] + p[1])` on a tuple of two scalars, per call."""
    add, pair = f.jit(lambda p: p[0] + p[1]), (f.random(), f.random(seed=1))
    return lambda: add(pair)


@case("calls", ALL, jax=0.25, beside={"call_tuple": 2})
def call_namedtuple(f: Framework) -> Any:
    """The same on a NamedTuple."""
    add, pair = f.jit(lambda p: p.a + p.b), Pair(f.random(), f.random(seed=1))
    return lambda: add(pair)


@case("calls", ALL, jax=0.25, beside={"call_tuple": 2})
def call_dataclass(f: Framework) -> Any:
    """The same on a registered dataclass."""
    f.register_dataclass(Layer)
    add, pair = f.jit(lambda p: p.a + p.b), Layer(f.random(), f.random(seed=1))
    return lambda: add(pair)


@case("calls", COMPILED, jax=0.25, beside={"call_tuple": 2})
def call_key(f: Framework) -> Any:
    """`jit(lambda key, x: x + 1)` on a typed key and a scalar, per call."""
    add, key, x = f.jit(lambda key, x: x + 1), f.module.random.key(0), f.random()
    return lambda: add(key, x)


# ---------------------------------------------------------------- kernels


@case("kernels", WITH_NUMBA, jax=0.35, torch=0.5)
def elementwise_heavy(f: Framework) -> Any:
    """`tanh(x) * sin(x) + exp(-x * x)`, 10M float32."""
    x, xp = f.random(10 * MILLION), f.np
    fun = f.jit(lambda x: xp.tanh(x) * xp.sin(x) + xp.exp(-x * x))
    return lambda: fun(x)


@case("kernels", WITH_NUMBA, jax=0.5, torch=0.75)
def elementwise_light(f: Framework) -> Any:
    """`2 * x + 1`, 10M float32."""
    fun, x = f.jit(lambda x: 2 * x + 1), f.random(10 * MILLION)
    return lambda: fun(x)


@case("kernels", ALL, jax=0.8, torch=1.0)
def softmax(f: Framework) -> Any:
    """Softmax of 4096 rows of 1024."""
    fun, x = f.jit(f.nn.softmax), f.random(4096, 1024)
    return lambda: fun(x)


@case("kernels", ALL, jax=0.8, torch=1.0)
def layer_norm(f: Framework) -> Any:
    """Layer norm of 4096 rows of 1024."""
    fun, x = f.jit(f.nn.layer_norm), f.random(4096, 1024)
    return lambda: fun(x)


@case("kernels", ALL, jax=1.0, torch=0.75)
def bias_gelu(f: Framework) -> Any:
    """`gelu(x + bias)` (tanh form), 4096 x 1024."""
    fun = f.jit(lambda x, bias: f.nn.gelu(x + bias))
    x, bias = f.random(4096, 1024), f.random(1024, seed=1)
    return lambda: fun(x, bias)


@case("kernels", ALL, jax=1.0, torch=1.0, numpy=1.0)
def sum_all(f: Framework) -> Any:
    """`sum` of 10M float32."""
    fun, x = f.jit(lambda x: f.np.sum(x)), f.random(10 * MILLION)
    return lambda: fun(x)


@case("kernels", ALL, jax=1.0, torch=1.0)
def sum_rows(f: Framework) -> Any:
    """`sum` over axis 0 of 4096 x 1024 float32."""
    fun, x = f.jit(lambda x: f.np.sum(x, axis=0)), f.random(4096, 1024)
    return lambda: fun(x)


@case("kernels", COMPILED, jax=1.0, under=1e-6)
def donated_fill(f: Framework) -> Any:
    """`x.at[3].set(1)` on 16 MB, donated, per call."""
    fill, x = f.jit(lambda x: x.at[3].set(1.0), donate_argnums=0), f.random(4 * 2**20)

    def call() -> Any:
        nonlocal x
        x = fill(x)
        return x

    return call


@case("kernels", ALL, jax=1.05, torch=1.05)
def matmul(f: Framework) -> Any:
    """`a @ b`, 1024 x 1024 float32."""
    fun = f.jit(lambda a, b: a @ b)
    a, b = f.random(1024, 1024), f.random(1024, 1024, seed=1)
    return lambda: fun(a, b)


@case("kernels", ALL, compared=False, jax=0.5, torch=1.0)
def random_normal(f: Framework) -> Any:
    """10M standard normals, float32."""
    return f.normal(10 * MILLION)


@case("kernels", ALL, jax=0.25, torch=1.0, numpy=1.0)
def sort(f: Framework) -> Any:
    """`sort` of 1M float32."""
    fun, x = f.jit(lambda x: f.np.sort(x)), f.random(MILLION)
    return lambda: fun(x)


@case("kernels", ALL, jax=0.5, torch=1.0, numpy=1.0)
def cumulative_sum(f: Framework) -> Any:
    """`cumsum` of 1M float32."""
    fun, x = f.jit(lambda x: f.np.cumsum(x)), f.random(MILLION)
    return lambda: fun(x)


# ---------------------------------------------------------------- callbacks


def calling_back(f: Framework, call: Callable[[Any], Any]) -> Any:
    """Return a call of a compiled loop of 1,000 steps that calls back into Python in each."""

    @f.jit
    def loop(x: Any) -> Any:
        return f.scan(lambda c, _: (call(c) * 0.5 + 1.0, None), x, None, length=1000)[0]

    x = f.random()

    def run() -> Any:
        out = loop(x)
        f.module.effects_barrier()
        return out

    return run


@case("callbacks", COMPILED, compared=False, jax=0.5)
def debug_print(f: Framework) -> Any:
    """1,000 calls of `debug.print` from a loop, to nowhere."""
    nowhere = open(os.devnull, "w")  # noqa: SIM115

    def call(c: Any) -> Any:
        f.module.debug.print("{:.3f} {}", c, c)
        return c

    run = calling_back(f, call)

    def quiet() -> Any:
        with contextlib.redirect_stdout(nowhere):
            return run()

    return quiet


@case("callbacks", COMPILED, jax=0.5)
def pure_callback(f: Framework) -> Any:
    """1,000 calls of `pure_callback(np.sin)` from a loop."""
    return calling_back(f, lambda c: f.module.pure_callback(np.sin, c, c))


# ---------------------------------------------------------------- training


def train_step(
    f: Framework, sizes: tuple[int, ...], batch: int, compiled: bool = True, rate: float = 1e-3
) -> Callable[[], Any]:
    """Return a call that makes one step of gradient descent of a dense network."""
    params = [
        {"w": f.random(m, n, seed=i, scale=m**-0.5), "b": f.random(n, scale=0.0)}
        for i, (m, n) in enumerate(itertools.pairwise(sizes))
    ]
    x = f.random(batch, sizes[0], seed=99)
    y = f.nn.softmax(f.random(batch, sizes[-1], seed=98))

    def loss(params: Any, x: Any, y: Any) -> Any:
        *hidden, last = params
        for layer in hidden:
            x = f.nn.relu(x @ layer["w"] + layer["b"])
        log_probability = f.nn.log_softmax(x @ last["w"] + last["b"])
        return -f.np.mean(f.np.sum(log_probability * y, axis=-1))

    def step(params: Any, x: Any, y: Any) -> Any:
        value, grads = f.value_and_grad(loss)(params, x, y)
        return f.sgd(params, grads, rate), value

    run = f.jit(step, donate_argnums=(0,)) if compiled else step

    def call() -> Any:
        nonlocal params
        params, value = run(params, x, y)
        return params, value

    return call


@case("training", GRADIENTS, jax=1.0, torch=1.0)
def mlp_step(f: Framework) -> Any:
    """One SGD step of a 784-512-512-10 network, batch 128, compiled, donated."""
    return train_step(f, (784, 512, 512, 10), 128)


@case("training", GRADIENTS, jax=0.25, torch=0.1)
def tiny_step(f: Framework) -> Any:
    """One SGD step of an 8-16-16-2 network, batch 16, compiled, donated."""
    return train_step(f, (8, 16, 16, 2), 16)


@case("training", GRADIENTS, jax=0.2, torch=1.0)
def tiny_step_eager(f: Framework) -> Any:
    """One SGD step of an 8-16-16-2 network, batch 16, not compiled."""
    return train_step(f, (8, 16, 16, 2), 16, compiled=False)


@case("training", GRADIENTS, jax=0.5, torch=1.0)
def mlp_step_eager(f: Framework) -> Any:
    """One SGD step of four layers of 256, batch 128, not compiled."""
    return train_step(f, (256,) * 5, 128, compiled=False)


def tiny_network(f: Framework) -> tuple[Callable[..., Any], tuple[Any, ...]]:
    """A network of 8-16-4 at one point, as a function of its parameters, and these."""
    x, sizes = f.random(8), ((8, 16), (16,), (16, 4), (4,))
    params = tuple([f.random(*shape, seed=i, scale=0.3) for i, shape in enumerate(sizes)])
    return lambda w, b, v, c: f.np.tanh(x @ w + b) @ v + c, params


@case("training", COMPILED, jax=0.2)
def tiny_jacobian_eager(f: Framework) -> Any:
    """`jacrev` of an 8-16-4 network in all its parameters, not compiled."""
    fun, params = tiny_network(f)
    jacobian = f.module.jacrev(fun, (0, 1, 2, 3))
    return lambda: jacobian(*params)


@case("training", COMPILED, jax=0.2)
def tiny_linearize_eager(f: Framework) -> Any:
    """`linearize` of an 8-16-4 network, and one push, not compiled."""
    fun, params = tiny_network(f)
    return lambda: f.module.linearize(fun, *params)[1](*params)


# ---------------------------------------------------------------- unrolled loops

UNROLLED = 24
STENCILS: dict[str, Callable[[Any, Any], Any]] = {
    "roll": lambda xp, x: xp.roll(x, 1) + x,
    "stencil": lambda xp, x: x + 0.1 * (xp.roll(x, 1) - 2 * x + xp.roll(x, -1)),
    "slices": lambda xp, x: xp.concatenate([x[1:] + x[:-1], x[:1]]),
    "butterfly": lambda xp, x: xp.concatenate([x[::2] + x[1::2], x[::2] - x[1::2]]),
}


def unrolled(f: Framework, name: str, factor: float = 1.0) -> Callable[[], Any]:
    """Return a call of `UNROLLED` steps of one stencil on 65,536 elements."""
    step = STENCILS[name]

    def run(x: Any) -> Any:
        x = x * factor
        for _ in range(UNROLLED):
            x = step(f.np, x) * 0.5  # stays in the range of float32
        return x

    fun, x = f.jit(run), f.random(1 << 16)
    return lambda: fun(x)


def stencil_cases(name: str) -> None:
    """Add the two cases of a stencil: how long it compiles, and how long it runs."""

    def compile_(f: Framework) -> Any:
        return unrolled(f, name, fresh())

    def run(f: Framework) -> Any:
        return unrolled(f, name)

    compile_.__name__, run.__name__ = f"compile_{name}", f"run_{name}"
    compile_.__doc__ = f"Cold compile and first run of {UNROLLED} steps of `{name}`, unrolled."
    run.__doc__ = f"{UNROLLED} steps of `{name}`, unrolled, 65,536 elements."
    case("unrolled", COMPILED, kind="cold", jax=1.0)(compile_)
    case("unrolled", COMPILED, jax=1.0)(run)


for _name in STENCILS:
    stencil_cases(_name)


# ---------------------------------------------------------------- compilation

_round = itertools.count(1)


def fresh() -> float:
    """Return a constant that no earlier program held, so that no cache knows the new one."""
    return 1.0 + 1e-4 * next(_round)


@case("compilation", COMPILED, kind="cold", jax=0.4)
def compile_mlp(f: Framework) -> Any:
    """Cold compile and first run of the 784-512-512-10 train step."""
    return train_step(f, (784, 512, 512, 10), 128, rate=1e-3 * fresh())


@case("compilation", COMPILED, kind="cold", jax=0.25)
def compile_chain(f: Framework) -> Any:
    """Cold compile and first run of 500 chained `sin`, 1,000 elements."""
    x, factor = f.random(1000), fresh()

    def chain(x: Any) -> Any:
        x = x * factor
        for _ in range(500):
            x = f.np.sin(x)
        return x

    fun = f.jit(chain)
    return lambda: fun(x)


@case("compilation", COMPILED, kind="cold", jax=0.5)
def compile_adam(f: Framework) -> Any:
    """Cold compile and first run of an Adam step of 400 arrays of 8 x 8, donated."""
    shape, count, rate = (8, 8), 400, 1e-3 * fresh()
    params = [f.random(*shape, seed=i) for i in range(count)]
    mean, square = ([f.random(*shape, scale=0.0) for _ in params] for _ in range(2))
    grads = [f.random(*shape, seed=i) for i in range(count)]

    def one(p: Any, m: Any, s: Any, g: Any, steps: Any) -> tuple[Any, Any, Any]:
        m, s = 0.9 * m + 0.1 * g, 0.999 * s + 0.001 * g * g
        change = (m / (1 - 0.9**steps)) / (f.np.sqrt(s / (1 - 0.999**steps)) + 1e-8)
        return p - rate * change, m, s

    def step(params: Any, mean: Any, square: Any, grads: Any, steps: Any) -> Any:
        results = [
            one(p, m, s, g, steps) for p, m, s, g in zip(params, mean, square, grads, strict=True)
        ]
        return tuple([list(part) for part in zip(*results, strict=True)])

    adam, steps = f.jit(step, donate_argnums=(0, 1, 2)), f.array(np.float32(1.0))
    return lambda: adam(params, mean, square, grads, steps)


@case("compilation", COMPILED, kind="cold", per=20, jax=0.5)
def compile_lengths(f: Framework) -> Any:
    """A new length of one small compiled function, cold, per length."""
    factor = fresh()
    fun = f.jit(lambda x: f.np.sum(f.np.tanh(x * factor) + 1))
    xs = [f.random(100 + i) for i in range(20)]
    return lambda: [fun(x) for x in xs]


@case("compilation", COMPILED, per=1000, compared=False, jax=0.5)
def tracing(f: Framework) -> Any:
    """`make_jaxpr` of 1,000 additions and products, per operation."""
    x = f.random(8)

    def call() -> None:
        def chain(x: Any) -> Any:
            y = x
            for _ in range(500):
                y = y * x + x
            return y

        f.module.make_jaxpr(chain)(x)

    return call


# ---------------------------------------------------------------- process


@case("process", ALL, kind="import", jax=0.3, torch=0.25)
def import_package(f: Framework) -> Any:
    """`import` of the package in a fresh interpreter."""


@case("process", ALL, kind="memory", jax=0.8, torch=0.75)
def memory_elementwise(f: Framework) -> Any:
    """Peak memory of a process that calls `tanh(x) * sin(x) + exp(-x * x)` once, 10M float32."""
    return elementwise_heavy(f)
