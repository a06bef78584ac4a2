"""Flags: legal values are in the table, and what is not legal is named."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from covector._engine.backends import registry
from covector._engine.base.config import _PASSES, FLAGS, Flag, _epochs, config
from covector._engine.compile import pipeline

BY_NAME = {flag.name: flag for flag in FLAGS}
WRONG = {
    "backend": "gpu",
    "cache": "perhaps",
    "dump": "simplify,nonsense",
    "explain": "weather",
    "num_threads": "-3",
    "skip": "nonsense",
    "vector_bits": "96",
    "verify": "2",
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_variable_is_named_with_what_it_takes(name: str) -> None:
    flag = BY_NAME[name]
    with pytest.raises(
        ValueError, match=rf"^{flag.variable}='?{WRONG[name]}'?: expected "
    ) as raised:
        flag.parse(WRONG[name])
    assert all(str(choice) in str(raised.value) for choice in flag.choices)


@pytest.mark.parametrize("name", ["backend", "dump", "explain", "skip", "vector_bits"])
def test_a_wrong_value_is_named_with_what_the_flag_takes(name: str) -> None:
    before = getattr(config, name)
    with pytest.raises(ValueError, match=f"flag '{name}'=.*expected "):
        config.update(name, 96 if name == "vector_bits" else "nonsense")
    assert getattr(config, name) == before


@pytest.mark.parametrize("name", ["vector_bits", "num_threads"])
def test_what_is_wrong_ends_the_import(name: str) -> None:
    environment = os.environ | {BY_NAME[name].variable: WRONG[name]}
    run = subprocess.run(
        [sys.executable, "-c", "import covector"], env=environment, capture_output=True, text=True
    )
    assert run.returncode != 0
    assert run.stderr.splitlines()[-1].startswith(f"ValueError: {BY_NAME[name].variable}=")


@pytest.mark.parametrize("flag", FLAGS, ids=lambda flag: flag.name)
def test_defaults_are_legal(flag: Flag) -> None:
    assert flag.check(flag.default, flag.name) == flag.default


def test_a_flag_of_the_start_cannot_be_set_later() -> None:
    with pytest.raises(ValueError, match="COVECTOR_NUM_THREADS"):
        config.update("num_threads", 3)


def test_the_table_names_the_backends_and_the_passes() -> None:
    assert BY_NAME["backend"].choices == tuple(registry.MODULES)
    assert tuple(step.name for step in pipeline.TO_KERNEL) == _PASSES
    optional = tuple(step.name for step in pipeline.TO_KERNEL if step.optional)
    assert BY_NAME["skip"].choices == optional


def test_settings_that_change_code_have_a_number_each() -> None:
    before = _epochs.copy()
    with config.override(fuse=False):
        number = _epochs[(*config.code_key(), config.disable_jit, config.mesh)]
        assert number not in before.values() or before[(*config.code_key(), False, None)] == number
    with config.override(fuse=False):
        assert _epochs[(*config.code_key(), config.disable_jit, config.mesh)] == number
