"""Optax: optimizers, schedules and clipping, on a small network."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import optax
from cases import case


def network(key: Any, sizes: tuple[int, ...] = (8, 32, 32, 1)) -> list[dict[str, Any]]:
    keys = jax.random.split(key, len(sizes))
    return [
        {"w": jax.random.normal(k, (m, n)) / jnp.sqrt(m), "b": jnp.zeros(n)}
        for k, m, n in zip(keys, sizes, sizes[1:], strict=False)
    ]


def predict(params: list[dict[str, Any]], x: Any) -> Any:
    for layer in params[:-1]:
        x = jnp.tanh(x @ layer["w"] + layer["b"])
    return x @ params[-1]["w"] + params[-1]["b"]


def data() -> tuple[Any, Any]:
    x = jax.random.normal(jax.random.key(1), (64, 8))
    return x, jnp.sin(x.sum(1, keepdims=True))


def loss(params: Any, x: Any, y: Any) -> Any:
    return jnp.mean(optax.l2_loss(predict(params, x), y))


def trained(optimizer: optax.GradientTransformation, steps: int = 50) -> Any:
    @jax.jit
    def step(params: Any, state: Any, x: Any, y: Any) -> Any:
        value, grads = jax.value_and_grad(loss)(params, x, y)
        updates, state = optimizer.update(grads, state, params)
        return optax.apply_updates(params, updates), state, value

    def train(params: Any, x: Any, y: Any) -> Any:
        state, values = optimizer.init(params), []
        for _ in range(steps):
            params, state, value = step(params, state, x, y)
            values.append(value)
        return params, jnp.stack(values)

    return train, (network(jax.random.key(0)), *data())


@case(rtol=1e-3, atol=1e-4)
def adam() -> Any:
    return trained(optax.adam(1e-2))


@case(rtol=1e-3, atol=1e-4)
def adamw_with_a_schedule() -> Any:
    schedule = optax.warmup_cosine_decay_schedule(0.0, 1e-2, 10, 50, 1e-4)
    return trained(optax.adamw(schedule, weight_decay=1e-3))


@case(rtol=1e-3, atol=1e-4)
def clipping_by_the_global_norm() -> Any:
    return trained(optax.chain(optax.clip_by_global_norm(0.1), optax.sgd(0.1, momentum=0.9)))


@case(rtol=1e-3, atol=1e-4)
def clipping_of_elements() -> Any:
    return trained(optax.chain(optax.clip(0.01), optax.rmsprop(1e-2)))


@case(rtol=1e-3, atol=1e-4)
def lamb_lion_and_adafactor() -> Any:
    made = [trained(o, 10) for o in (optax.lamb(1e-2), optax.lion(1e-3), optax.adafactor(1e-2))]
    return lambda *args: [train(*args)[1] for train, _ in made], made[0][1]


def one_step_of_each(make: dict[str, optax.GradientTransformation]) -> Any:
    """What each optimizer makes of three steps, with the loss where it asks for it."""

    def run(params: Any, x: Any, y: Any) -> Any:
        found = {}
        for name, optimizer in make.items():
            o, p = optax.with_extra_args_support(optimizer), params
            state = o.init(p)
            for _ in range(3):
                value, grads = jax.value_and_grad(loss)(p, x, y)
                updates, state = o.update(grads, state, p, value=value)
                p = optax.apply_updates(p, updates)
            found[name] = p
        return found

    return jax.jit(run), (network(jax.random.key(0), (8, 16, 1)), *data())


@case(rtol=1e-3, atol=1e-4, repeats=0)
def optimizers() -> Any:
    return one_step_of_each(
        {
            "adabelief": optax.adabelief(1e-2),
            "adadelta": optax.adadelta(1.0),
            "adagrad": optax.adagrad(1e-1),
            "adan": optax.adan(1e-2),
            "amsgrad": optax.amsgrad(1e-2),
            "lars": optax.lars(1e-1),
            "nadamw": optax.nadamw(1e-2),
            "noisy sgd": optax.noisy_sgd(1e-2),
            "novograd": optax.novograd(1e-2),
            "radam": optax.radam(1e-2),
            "rprop": optax.rprop(1e-2),
            "sm3": optax.sm3(1e-1),
            "yogi": optax.yogi(1e-2),
            "every third": optax.MultiSteps(optax.adam(1e-2), 3),
            "finite": optax.apply_if_finite(optax.sgd(0.1), 3),
            "polyak": optax.polyak_sgd(1.0),
        }
    )


@case(rtol=2e-3, atol=1e-3, repeats=0)
def contributed_optimizers() -> Any:
    from optax import contrib

    return one_step_of_each(
        {
            "muon": contrib.muon(1e-2),
            "prodigy": contrib.prodigy(),
            "dadapt": contrib.dadapt_adamw(),
            "dowg": contrib.dowg(),
            "cocob": contrib.cocob(),
            "mechanize": contrib.mechanize(optax.adam(1e-2)),
            "momo": contrib.momo(0.1),
            "ademamix": contrib.ademamix(1e-2),
            "schedule free": contrib.schedule_free_adamw(1e-2),
        }
    )


@case(rtol=1e-4, atol=1e-5, repeats=0)
def diagonals_of_second_derivatives() -> Any:
    def f(params: Any, x: Any, y: Any) -> Any:
        return (
            optax.second_order.hessian_diag(loss, params, x, y),
            optax.second_order.fisher_diag(loss, params, x, y),
        )

    return f, (network(jax.random.key(0), (8, 16, 1)), *data())


@case(rtol=1e-4, atol=1e-5)
def sequences_and_pairs() -> Any:
    def all_of(logits: Any, labels: Any) -> Any:
        sequences = jnp.stack([logits, logits[::-1]])
        padded = jnp.zeros((2, 16)).at[1, 12:].set(1)
        targets = jnp.array([[1, 2, 2], [3, 1, 0]])
        return [
            optax.ctc_loss(sequences, padded, targets, jnp.array([[0.0, 0, 0], [0, 0, 1]])),
            optax.losses.ntxent(logits, labels),
            optax.losses.triplet_margin_loss(logits, logits[::-1] + 1, 2 * logits),
            optax.losses.multiclass_sparsemax_loss(logits, labels),
            optax.sigmoid_focal_loss(logits, jnp.round(jax.nn.softmax(logits))),
        ]

    logits = jax.random.normal(jax.random.key(2), (16, 10))
    return jax.jit(jax.jacrev(all_of)), (logits, jnp.arange(16) % 10)


@case()
def schedules() -> Any:
    made = [
        optax.cosine_decay_schedule(1.0, 100),
        optax.exponential_decay(1.0, 10, 0.9, staircase=True),
        optax.piecewise_constant_schedule(1.0, {10: 0.5, 50: 0.1}),
        optax.linear_onecycle_schedule(100, 1.0),
        optax.join_schedules(
            [optax.constant_schedule(1.0), optax.polynomial_schedule(1.0, 0.0, 2, 50)], [30]
        ),
    ]
    return jax.jit(lambda steps: [jax.vmap(s)(steps) for s in made]), (jnp.arange(100),)


@case(rtol=1e-3, atol=1e-4)
def lbfgs() -> Any:
    optimizer = optax.lbfgs()

    def rosenbrock(x: Any) -> Any:
        return jnp.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)

    value_and_grad = optax.value_and_grad_from_state(rosenbrock)

    @jax.jit
    def step(x: Any, state: Any) -> Any:
        value, grad = value_and_grad(x, state=state)
        updates, state = optimizer.update(
            grad, state, x, value=value, grad=grad, value_fn=rosenbrock
        )
        return optax.apply_updates(x, updates), state

    def minimum(x: Any) -> Any:
        state = optimizer.init(x)
        for _ in range(20):
            x, state = step(x, state)
        return x

    return minimum, (jnp.zeros(4),)


@case()
def losses() -> Any:
    def all_of(logits: Any, labels: Any) -> Any:
        return [
            optax.softmax_cross_entropy_with_integer_labels(logits, labels),
            optax.sigmoid_binary_cross_entropy(logits, logits > 0),
            optax.huber_loss(logits, 0.5 * logits),
            optax.cosine_similarity(logits, logits[::-1]),
            optax.tree.norm({"a": logits, "b": logits}),
        ]

    logits = jax.random.normal(jax.random.key(2), (16, 10))
    return jax.jit(jax.jacrev(all_of)), (logits, jnp.arange(16) % 10)
