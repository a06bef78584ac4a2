"""The rules run on the oracle here: every primitive is computed by its reference rule."""

from __future__ import annotations

import pytest

from covector._engine.backends.reference.primitives import evaluate_reference
from covector._engine.core import trace


@pytest.fixture(autouse=True)
def oracle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trace, "_evaluator", evaluate_reference)
