"""pyhf: likelihoods of histograms, fits and tests of hypotheses."""

from __future__ import annotations

from typing import Any

from cases import case


@case(rtol=1e-3, atol=1e-4, repeats=1)
def a_counting_experiment() -> Any:
    import jax
    import pyhf

    def run() -> Any:
        pyhf.set_backend("jax", precision="32b")
        model = pyhf.simplemodels.uncorrelated_background([5.0, 10.0], [50.0, 60.0], [7.0, 8.0])
        data = pyhf.tensorlib.astensor([55.0, 62.0, *model.config.auxdata])
        start = pyhf.tensorlib.astensor(model.config.suggested_init())
        fitted = pyhf.infer.mle.fit(data, model)
        slopes = jax.grad(lambda p: model.logpdf(p, data)[0])(start)
        return model.logpdf(start, data), slopes, fitted, pyhf.infer.hypotest(1.0, data, model)

    return run, ()
