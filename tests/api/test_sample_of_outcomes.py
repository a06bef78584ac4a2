"""A sample of what JAX gave when docs/agreement.md was made, of every module: see tools/agreement/stored.py."""

from __future__ import annotations

import warnings

import pytest
from tools.agreement import compare, outcomes, stored

import covector as cv


@pytest.mark.parametrize("state", ["off", "on"])
def test_calls_of_every_module(state: str) -> None:
    with cv.enable_x64(state == "on"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        names = outcomes.Values(cv).names()
        found: dict[str, str] = {}
        for of, call, theirs in stored.rows():
            if of == state:
                ours = outcomes.outcome(cv, names, call)
                if kind := compare.difference(call, ours, theirs):
                    found[call] = f"{kind}: {ours}, not {theirs}"
    assert not found, "\n".join(f"{call}: {text}" for call, text in found.items())
