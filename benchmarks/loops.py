"""Cases of control flow: loops with conditions, updates in place, and their gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks import c
from benchmarks.cases import ALL, COMPILED, GRADIENTS, WITH_NUMBA, case
from benchmarks.frameworks import Framework

STEPS, BODIES, FILLED, STARTS = 1_000, 8, 20_000, 1_000

# Dormand and Prince's method of order 5 with a step of order 4 inside.
STAGES = (
    (),
    (1 / 5,),
    (3 / 40, 9 / 40),
    (44 / 45, -56 / 15, 32 / 9),
    (19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729),
    (9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656),
    (35 / 384, 0.0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84),
)
ERRORS = (71 / 57600, 0.0, -71 / 16695, 71 / 1920, -17253 / 339200, 22 / 525, -1 / 40)


LORENZ = 10_000


def lorenz(f: Framework) -> Callable[..., Any]:
    """Return the function that carries a point through 10,000 Euler steps of the Lorenz system."""
    time_step = 1e-3

    def move(x: Any, y: Any, z: Any) -> Any:
        dx, dy, dz = 10.0 * (y - x), x * (28.0 - z) - y, x * y - 2.5 * z
        return x + time_step * dx, y + time_step * dy, z + time_step * dz

    if f.name == "numba":
        compiled_move = f.jit(move)

        def loop(x: Any, y: Any, z: Any) -> Any:
            for _ in range(LORENZ):
                x, y, z = compiled_move(x, y, z)
            return x, y, z

        return loop
    return lambda x, y, z: f.scan(lambda s, _: (move(*s), None), (x, y, z), None, length=LORENZ)[0]


@case("loops", (*WITH_NUMBA, "c"), jax=0.5, torch=0.01, numba=1.5, c=1.3)
def lorenz_forward(f: Framework) -> Any:
    """Lorenz system, 10,000 steps of `scan` over three scalars."""
    numbers = [np.float32(v) for v in (1.0, 1.5, 2.0)]
    if f.name == "c":
        carried = c.call("lorenz", [np.array(numbers)], np.empty(3, np.float32), LORENZ)
        return lambda: tuple(carried())
    fun, start = f.jit(lorenz(f)), numbers if f.name == "numba" else [f.array(v) for v in numbers]
    return lambda: fun(*start)


@case("loops", ALL, jax=1.2, torch=0.01)
def lorenz_vector(f: Framework) -> Any:
    """Lorenz system, 10,000 steps of `scan` over one vector of three."""

    def step(s: Any, _: None) -> Any:
        x, y, z = s[0], s[1], s[2]
        slope = f.np.stack([10.0 * (y - x), x * (28.0 - z) - y, x * y - 2.5 * z])
        return s + 1e-3 * slope, None

    fun, start = f.jit(lambda s: f.scan(step, s, None, length=LORENZ)[0]), f.random(3)
    return lambda: fun(start)


@case("loops", GRADIENTS, jax=0.5, torch=0.01)
def lorenz_gradient(f: Framework) -> Any:
    """Lorenz system, 10,000 steps: value and gradient of the last height."""
    run, start = lorenz(f), [f.random(seed=i) for i in (1, 2, 3)]
    fun = f.jit(f.value_and_grad(lambda start: run(*start)[2]))
    return lambda: fun(start)


@case("loops", (*ALL, "c"), jax=0.6, torch=0.5, numpy=0.5, c=1.3)
def scan_matmul(f: Framework) -> Any:
    """`h = tanh(h @ w)`, 1,000 steps of `scan`, h 8 x 32."""
    h, w = f.random(8, 32), f.random(32, 32, seed=1, scale=0.2)
    if f.name == "c":
        return c.call("rnn", [h, w], np.empty_like(h), 1000)

    def run(h: Any, w: Any) -> Any:
        return f.scan(lambda h, _: (f.np.tanh(h @ w), None), h, None, length=1000)[0]

    fun = f.jit(run)
    return lambda: fun(h, w)


@case("loops", COMPILED, jax=0.6)
def scan_matmul_gradient(f: Framework) -> Any:
    """`h = tanh(h @ w)`, 1,000 steps of `scan`, h 8 x 32: value and gradient."""
    h, w = f.random(8, 32), f.random(32, 32, seed=1, scale=0.2)

    def loss(w: Any) -> Any:
        run = f.scan(lambda h, _: (f.np.tanh(h @ w), None), h, None, length=1000)
        return (run[0] ** 2).sum()

    fun = f.jit(f.value_and_grad(loss))
    return lambda: fun(w)


def byte_loop(f: Framework, dtype: str) -> Callable[[], Any]:
    """Return 1,000 steps of `x = x * 5 + 3` in integers that wrap around, 16,384 elements."""
    x = f.array(np.arange(16_384).astype(dtype))

    def run(x: Any) -> Any:
        return f.scan(lambda x, _: (x * 5 + 3, None), x, None, length=1000)[0]

    fun = f.jit(run)
    return lambda: fun(x)


@case("loops", ALL, jax=1.0, torch=0.5, numpy=0.5)
def loop_int32(f: Framework) -> Any:
    """`x = x * 5 + 3`, 1,000 steps of `scan`, 16,384 int32."""
    return byte_loop(f, "int32")


@case("loops", ALL, jax=1.0, torch=0.5, numpy=0.5, beside={"loop_int32": 1})
def loop_uint8(f: Framework) -> Any:
    """`x = x * 5 + 3`, 1,000 steps of `scan`, 16,384 uint8."""
    return byte_loop(f, "uint8")


@case("loops", COMPILED, jax=0.5)
def many_scalars_gradient(f: Framework) -> Any:
    """600 steps of `scan` with 60 scalars in the carry: value and gradient."""
    start = [f.array(np.float32(0.01 * n)) for n in range(60)]

    def step(carry: Any, _: None) -> Any:
        turned = (*carry[1:], carry[0])
        return tuple([x + 0.01 * f.np.sin(y) for x, y in zip(carry, turned, strict=True)]), None

    def loss(start: Any) -> Any:
        return sum(f.scan(step, tuple(start), None, length=600)[0])

    fun = f.jit(f.value_and_grad(loss))
    return lambda: fun(start)


def bodies(f: Framework) -> Callable[..., Any]:
    """Return the function that carries 8 bodies through 1,000 steps."""

    def step(state: Any, _: None) -> Any:
        p, v = state
        d = p[None] - p[:, None]
        r = (d * d).sum(-1) + 1e-2
        v = v + 1e-3 * (d * (1.0 / (r * f.np.sqrt(r)))[..., None]).sum(1)
        return (p + 1e-3 * v, v), None

    return lambda p, v: f.scan(step, (p, v), None, length=STEPS)[0][0]


@case("loops", (*COMPILED, "c"), jax=0.5, c=1.3)
def bodies_forward(f: Framework) -> Any:
    """8 bodies that attract each other, 1,000 steps."""
    p, v = f.random(BODIES, 3), f.random(BODIES, 3, seed=1)
    if f.name == "c":
        return c.call("bodies", [p, v], np.empty_like(p), STEPS)
    fun = f.jit(bodies(f))
    return lambda: fun(p, v)


@case("loops", COMPILED, jax=0.5)
def bodies_gradient(f: Framework) -> Any:
    """8 bodies that attract each other, 1,000 steps: value and gradient of where they end."""
    run, v = bodies(f), f.random(BODIES, 3, seed=1)
    fun, p = f.jit(f.value_and_grad(lambda p: (run(p, v) ** 2).sum())), f.random(BODIES, 3)
    return lambda: fun(p)


@case("loops", COMPILED, compared=False, jax=0.2)
def mandelbrot(f: Framework) -> Any:
    """Mandelbrot's set, 512 x 512, at most 100 steps, by `vmap(while_loop)`."""

    def escape(a: Any, b: Any) -> Any:
        def inside(s: Any) -> Any:
            return (s[2] < 100) & (s[0] * s[0] + s[1] * s[1] <= 4.0)

        def step(s: Any) -> Any:
            return s[0] * s[0] - s[1] * s[1] + a, 2 * s[0] * s[1] + b, s[2] + 1

        zero = f.np.float32(0)
        return f.module.lax.while_loop(inside, step, (zero, zero, f.np.int32(0)))[2]

    x = f.array(np.linspace(-2, 1, 512, dtype=np.float32))
    y = f.array(np.linspace(-1.5, 1.5, 512, dtype=np.float32))
    vmap = f.module.vmap
    fun = f.jit(vmap(vmap(escape, (0, None)), (None, 0)))
    return lambda: fun(x, y)


@case("loops", (*COMPILED, "c"), jax=0.2, c=1.3)
def collatz(f: Framework) -> Any:
    """How many steps the numbers to 100,000 take to 1, by `vmap` of a `while_loop` with a `cond`."""
    n = f.array(np.arange(1, 100_001, dtype=np.uint32))
    if f.name == "c":
        return c.call("collatz", [n], np.empty(n.size, np.int32), n.size)
    lax = f.module.lax

    def count(n: Any) -> Any:
        def step(s: Any) -> Any:
            n = lax.cond(s[0] % 2 == 0, lambda n: n // 2, lambda n: 3 * n + 1, s[0])
            return n, s[1] + 1

        return lax.while_loop(lambda s: s[0] != 1, step, (n, f.np.int32(0)))[1]

    fun = f.jit(f.module.vmap(count))
    return lambda: fun(n)


def filled(f: Framework) -> Callable[[Any, Any], Any]:
    """Return the function that sets each element of an array in a loop."""
    fori_loop = f.module.lax.fori_loop
    return lambda x, v: fori_loop(0, FILLED, lambda i, x: x.at[i].set(v * i), x)


@case("loops", COMPILED, jax=0.8)
def fill(f: Framework) -> Any:
    """20,000 `x.at[i].set` in a loop."""
    fun, x, v = f.jit(filled(f)), f.random(FILLED), f.random()
    return lambda: fun(x, v)


@case("loops", COMPILED, jax=0.8)
def fill_gradient(f: Framework) -> Any:
    """20,000 `x.at[i].set` in a loop: value and gradient."""
    run, x, v = filled(f), f.random(FILLED), f.random()
    fun = f.jit(f.value_and_grad(lambda args: (run(*args) ** 2).sum() * 1e-9))
    return lambda: fun((x, v))


def solved(f: Framework) -> Callable[[Any], Any]:
    """Return the adaptive solver of van der Pol's equation from one start."""
    xp = f.np

    def slope(y: Any) -> Any:
        return xp.stack([y[1], (1.0 - y[0] * y[0]) * y[1] - y[0]])

    def step(s: Any) -> Any:
        t, h, y = s
        h, ks = xp.minimum(h, 5.0 - t), []
        new = y
        for row in STAGES:
            new = y
            for weight, k in zip(row, ks, strict=True):
                new = new + (h * weight) * k if weight else new
            ks.append(slope(new))
        error = h * sum([e * k for e, k in zip(ERRORS, ks, strict=True) if e])
        scale = 1e-5 + 1e-5 * xp.maximum(abs(y), abs(new))
        ratio = xp.sqrt(xp.mean((error / scale) ** 2))
        good = ratio <= 1.0
        factor = xp.clip(0.9 * (ratio + 1e-12) ** -0.2, 0.2, 5.0)
        return xp.where(good, t + h, t), h * factor, xp.where(good, new, y)

    def run(y: Any) -> Any:
        start = xp.float32(0), xp.float32(0.01), y
        return f.module.lax.while_loop(lambda s: s[0] < 5.0, step, start)[2]

    return run


def starts(f: Framework) -> Any:
    """Return 1,000 points."""
    return f.array(np.random.default_rng(0).uniform(-2, 2, (STARTS, 2)).astype(np.float32))


@case("loops", COMPILED, jax=0.3)
def solver(f: Framework) -> Any:
    """An adaptive solver (Dormand and Prince), by `vmap` of a `while_loop` over 1,000 starts."""
    fun, y = f.jit(f.module.vmap(solved(f))), starts(f)
    return lambda: fun(y)


@case("loops", ("covector",), beside={"solver": 6})
def solver_gradient(f: Framework) -> Any:
    """The reverse gradient of the adaptive solver, which jax does not have."""
    run, y = f.module.vmap(solved(f)), starts(f)
    fun = f.jit(f.module.grad(lambda y: run(y).sum()))
    return lambda: fun(y)
