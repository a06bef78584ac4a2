"""Diffrax: differential equations with fixed and adaptive steps, and gradients through them."""

from __future__ import annotations

from typing import Any

import diffrax
import jax
import jax.numpy as jnp
import lineax as lx
import optimistix as optx
from cases import case
from diffrax import ODETerm, PIDController, SaveAt, diffeqsolve


def field(t: Any, y: Any, a: Any) -> Any:
    """Lotka and Volterra's predators and prey."""
    u, v = y
    return jnp.stack([a[0] * u - a[1] * u * v, -a[2] * v + a[3] * u * v])


RATES = jnp.array([1.1, 0.4, 0.4, 0.1])
START = jnp.array([10.0, 5.0])
SIZES = jnp.array([0.3, 0.5])


def adaptive(a: Any, y: Any, solver: Any, **kwargs: Any) -> Any:
    controller = PIDController(rtol=1e-4, atol=1e-5)
    ts = SaveAt(ts=jnp.linspace(0.0, 10.0, 21))
    return diffeqsolve(
        ODETerm(field),
        solver,
        0.0,
        10.0,
        0.1,
        y,
        a,
        saveat=ts,
        stepsize_controller=controller,
        **kwargs,
    )


@case(rtol=1e-3, atol=1e-3)
def adaptive_steps() -> Any:
    def f(a: Any, y: Any) -> Any:
        found = adaptive(a, y, diffrax.Tsit5())
        return found.ts, found.ys, found.result == diffrax.RESULTS.successful

    return jax.jit(f), (RATES, START)


@case(rtol=1e-3, atol=1e-3)
def many_starts() -> Any:
    def f(a: Any, ys: Any) -> Any:
        return jax.vmap(lambda y: adaptive(a, y, diffrax.Tsit5()).ys)(ys)

    return jax.jit(f), (RATES, START + jnp.linspace(0.0, 1.0, 64)[:, None])


@case()
def fixed_steps() -> Any:
    def f(a: Any, y: Any) -> Any:
        solvers = diffrax.Euler(), diffrax.Heun(), diffrax.Midpoint(), diffrax.Dopri5()
        return [diffeqsolve(ODETerm(field), s, 0.0, 1.0, 0.05, y, a).ys for s in solvers]

    return jax.jit(f), (RATES, START)


def differentiated(adjoint: Any) -> Any:
    def loss(a: Any, y: Any) -> Any:
        return jnp.mean(adaptive(a, y, diffrax.Tsit5(), adjoint=adjoint, max_steps=256).ys ** 2)

    return jax.jit(jax.value_and_grad(loss, argnums=(0, 1))), (RATES, START)


@case(rtol=1e-2, atol=1e-2)
def recursive_checkpoint_adjoint() -> Any:
    return differentiated(diffrax.RecursiveCheckpointAdjoint())


@case(rtol=1e-3, atol=1e-3)
def direct_adjoint() -> Any:
    """With fixed steps: in float32 JAX loses the gradient through adaptive ones, which ours keeps."""

    def loss(a: Any, y: Any) -> Any:
        direct = diffrax.DirectAdjoint()
        return jnp.mean(
            diffeqsolve(
                ODETerm(field), diffrax.Tsit5(), 0.0, 5.0, 0.1, y, a, adjoint=direct, max_steps=64
            ).ys
            ** 2
        )

    return jax.jit(jax.value_and_grad(loss, argnums=(0, 1))), (RATES, START)


@case(rtol=5e-2, atol=5e-2)
def backsolve_adjoint() -> Any:
    return differentiated(diffrax.BacksolveAdjoint())


@case(rtol=1e-2, atol=1e-2)
def forward_mode() -> Any:
    def loss(a: Any, y: Any) -> Any:
        return jnp.mean(adaptive(a, y, diffrax.Tsit5(), adjoint=diffrax.ForwardMode()).ys ** 2)

    return jax.jit(jax.jacfwd(loss)), (RATES, START)


@case(rtol=1e-2, atol=1e-3)
def stiff_and_implicit() -> Any:
    def robertson(t: Any, y: Any, k: Any) -> Any:
        a, b, c = y
        fast = k[1] * b * c
        return jnp.stack([-k[0] * a + fast, k[0] * a - fast - k[2] * b**2, k[2] * b**2])

    def f(k: Any) -> Any:
        controller = PIDController(rtol=1e-4, atol=1e-6)
        start = jnp.array([1.0, 0.0, 0.0])
        return diffeqsolve(
            ODETerm(robertson), diffrax.Kvaerno5(), 0.0, 10.0, 1e-3, start, k,
            saveat=SaveAt(t1=True), stepsize_controller=controller, max_steps=2048,
        ).ys  # fmt: skip

    return jax.jit(f), (jnp.array([0.04, 1e4, 3e3]),)


@case(rtol=1e-3, atol=1e-4)
def stochastic() -> Any:
    def f(key: Any) -> Any:
        path = diffrax.VirtualBrownianTree(0.0, 1.0, tol=1e-2, shape=(), key=key)
        drift = ODETerm(lambda t, y, _: -y)
        noise = diffrax.ControlTerm(lambda t, y, _: 0.3 * jnp.ones_like(y), path)
        terms = diffrax.MultiTerm(drift, noise)
        times = SaveAt(ts=jnp.linspace(0.0, 1.0, 11))
        return [
            diffeqsolve(terms, s, 0.0, 1.0, 0.02, jnp.array(1.0), saveat=times).ys
            for s in (diffrax.Euler(), diffrax.Heun())
        ]

    return jax.jit(jax.vmap(f)), (jax.random.split(jax.random.key(0), 8),)


@case(rtol=1e-3, atol=1e-3)
def dense_output_and_events() -> Any:
    def f(a: Any, y: Any) -> Any:
        controller = PIDController(rtol=1e-4, atol=1e-5)
        dense = diffeqsolve(
            ODETerm(field),
            diffrax.Tsit5(),
            0.0,
            5.0,
            0.1,
            y,
            a,
            saveat=SaveAt(dense=True),
            stepsize_controller=controller,
        )
        event = diffrax.Event(lambda t, y, args, **kwargs: y[0] < 3.0)
        stopped = diffeqsolve(
            ODETerm(field), diffrax.Tsit5(), 0.0, 50.0, 0.01, y, a, event=event, max_steps=10_000
        )
        return jax.vmap(dense.evaluate)(jnp.linspace(0.0, 5.0, 7)), stopped.ts, stopped.ys

    return jax.jit(f), (RATES, START)


@case(rtol=1e-2, atol=1e-2)
def a_neural_equation() -> Any:
    import equinox as eqx
    import optax

    ts = jnp.linspace(0.0, 1.0, 8)
    target = jnp.stack([jnp.cos(3 * ts), jnp.sin(3 * ts)], 1)
    optimizer = optax.adam(1e-2)

    def loss(net: Any) -> Any:
        term = ODETerm(lambda t, y, args: net(y))
        found = diffeqsolve(
            term, diffrax.Tsit5(), 0.0, 1.0, 0.1, jnp.array([1.0, 0.0]), saveat=SaveAt(ts=ts),
            stepsize_controller=PIDController(rtol=1e-3, atol=1e-4),
        )  # fmt: skip
        return jnp.mean((found.ys - target) ** 2)

    @eqx.filter_jit
    def step(net: Any, state: Any) -> Any:
        value, grads = eqx.filter_value_and_grad(loss)(net)
        updates, state = optimizer.update(grads, state)
        return eqx.apply_updates(net, updates), state, value

    def train(key: Any) -> Any:
        net = eqx.nn.MLP(2, 2, 16, 2, activation=jnp.tanh, key=key)
        state, values = optimizer.init(eqx.filter(net, eqx.is_array)), []
        for _ in range(10):
            net, state, value = step(net, state)
            values.append(value)
        return jnp.stack(values)

    return train, (jax.random.key(0),)


@case(rtol=1e-3, atol=1e-4, repeats=0)
def stochastic_solvers() -> Any:
    """Additive noise, of solvers that ask for areas of the path beside its increments, and their slopes."""

    def f(rate: Any, key: Any) -> Any:
        def end(rate: Any, solver: Any, area: Any) -> Any:
            path = diffrax.VirtualBrownianTree(
                0.0, 1.0, tol=0.05, shape=(2,), key=key, levy_area=area
            )
            drift = ODETerm(lambda t, y, rate: -rate * y)
            noise = diffrax.ControlTerm(lambda t, y, rate: lx.DiagonalLinearOperator(SIZES), path)
            terms = diffrax.MultiTerm(drift, noise)
            return diffeqsolve(terms, solver, 0.0, 1.0, 0.1, jnp.ones(2), rate).ys[-1].sum()

        plain, areas = diffrax.BrownianIncrement, diffrax.SpaceTimeLevyArea
        solvers = (
            (diffrax.ItoMilstein(), plain), (diffrax.SEA(), areas), (diffrax.ShARK(), areas),
        )  # fmt: skip
        return [jax.value_and_grad(end)(rate, *s) for s in solvers]

    return jax.jit(f), (jnp.float32(0.7), jax.random.key(1))


@case(rtol=1e-3, atol=1e-3, repeats=0)
def the_time_of_an_event() -> Any:
    """When a ball that falls touches the ground, found by Newton's steps, and its slope."""

    def f(gravity: Any) -> Any:
        ball = ODETerm(lambda t, y, gravity: jnp.stack([y[1], -gravity]))
        touches = diffrax.Event(lambda t, y, args, **kwargs: y[0], optx.Newton(1e-5, 1e-5))
        controller = PIDController(rtol=1e-4, atol=1e-4)
        return diffeqsolve(
            ball, diffrax.Tsit5(), 0.0, jnp.inf, 0.1, jnp.array([10.0, 0.0]), gravity,
            stepsize_controller=controller, event=touches, max_steps=100,
        ).ts[0]  # fmt: skip

    return jax.jit(jax.value_and_grad(f)), (jnp.float32(9.8),)


@case(rtol=1e-3, atol=1e-3, repeats=0)
def what_is_saved() -> Any:
    def f(rate: Any) -> Any:
        term, controller = ODETerm(lambda t, y, rate: -rate * y), PIDController(1e-4, 1e-5)
        ways = (
            SaveAt(t0=True, t1=True, ts=jnp.array([0.3, 0.6])),
            SaveAt(steps=True),
            SaveAt(t1=True, fn=lambda t, y, args: (t, y.sum())),
            SaveAt(subs={"a": diffrax.SubSaveAt(t0=True), "b": diffrax.SubSaveAt(t1=True)}),
        )
        found = [
            diffeqsolve(
                term, diffrax.Dopri5(), 0.0, 1.0, 0.1, jnp.ones(2), rate,
                saveat=way, stepsize_controller=controller, max_steps=32,
            )
            for way in ways
        ]  # fmt: skip
        backwards = diffeqsolve(term, diffrax.Tsit5(), 1.0, 0.0, -0.1, jnp.ones(2), rate)
        return [(s.ts, s.ys, s.stats) for s in found], backwards.ys

    return jax.jit(f), (jnp.float32(1.3),)
