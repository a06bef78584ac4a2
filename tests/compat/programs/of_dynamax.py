"""dynamax: hidden Markov models and linear Gaussian ones."""

from __future__ import annotations

from typing import Any

import jax
from cases import case

KEY = jax.random.PRNGKey(0)


@case(rtol=1e-3, atol=1e-3)
def a_hidden_markov_model() -> Any:
    from dynamax.hidden_markov_model import GaussianHMM

    model = GaussianHMM(3, 2)
    parameters, _ = model.initialize(KEY)

    def run(key: Any) -> Any:
        states, emissions = model.sample(parameters, key, 40)
        posterior = model.smoother(parameters, emissions)
        return (
            states,
            emissions,
            posterior.marginal_loglik,
            posterior.smoothed_probs,
            model.most_likely_states(parameters, emissions),
        )

    return jax.jit(run), (KEY,)


@case(rtol=2e-3, atol=2e-3, repeats=0)
def expectation_maximization() -> Any:
    from dynamax.hidden_markov_model import GaussianHMM

    model = GaussianHMM(2, 2)
    truth, _ = model.initialize(KEY)

    def run(key: Any) -> Any:
        _, emissions = jax.vmap(lambda k: model.sample(truth, k, 30))(jax.random.split(key, 4))
        start, properties = model.initialize(jax.random.PRNGKey(5))
        return model.fit_em(start, properties, emissions, num_iters=4, verbose=False)

    return run, (KEY,)


@case(rtol=2e-3, atol=2e-3)
def a_linear_gaussian_model() -> Any:
    from dynamax.linear_gaussian_ssm import LinearGaussianSSM

    model = LinearGaussianSSM(2, 3)
    parameters, _ = model.initialize(KEY)

    def run(key: Any) -> Any:
        _, emissions = model.sample(parameters, key, 25)
        smoothed = model.smoother(parameters, emissions)
        slopes = jax.grad(lambda y: model.marginal_log_prob(parameters, y))(emissions)
        return (
            smoothed.marginal_loglik,
            smoothed.smoothed_means,
            smoothed.smoothed_covariances,
            slopes,
        )

    return jax.jit(run), (KEY,)
