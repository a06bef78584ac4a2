"""The rules are tested twice: computed by the oracle, every primitive by its reference, and compiled."""

from __future__ import annotations

import pytest

from covector._engine.backends.reference.primitives import evaluate_reference
from covector._engine.core import trace
from covector._engine.runtime import eager


@pytest.fixture(autouse=True, params=["oracle", "compiled"])
def evaluator(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    chosen = evaluate_reference if request.param == "oracle" else eager.evaluate
    monkeypatch.setattr(trace, "_evaluator", chosen)
    return request.param
