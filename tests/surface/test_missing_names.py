"""Names of JAX that are missing explain themselves, and the page of the docs tells of the same."""

from __future__ import annotations

import importlib
import re

import pytest
from tools.coverage import PAGE, missing_names, packages

import covector as cv
from covector._engine.base.absent import ABSENT, NOT_YET, absence, names_of
from covector._engine.base.jax_names import NAMES


def ours() -> list[str]:
    found = []
    for package in packages():
        try:
            importlib.import_module(package)
        except ModuleNotFoundError:
            continue
        found.append(package)
    return found


@pytest.mark.parametrize("package", ours())
def test_a_missing_name_says_why(package: str) -> None:
    module = importlib.import_module(package)
    for name in missing_names(package):
        with pytest.raises(AttributeError) as caught:
            getattr(module, name)
        found = absence(package, name)
        assert found is not None
        assert found is not NOT_YET
        text = str(caught.value)
        if package == "covector.interpreters.mlir":  # which has a better answer
            assert "there is no MLIR in Covector" in text
            continue
        assert f"jax{package.removeprefix('covector')}.{name} is missing here: {found.why}" in text
        assert found.instead in text


def test_names_that_nobody_has_are_plain_errors() -> None:
    for package in ("covector", "covector.numpy", "covector.lax", "covector.extend"):
        with pytest.raises(AttributeError, match=r"has no attribute 'nowhere'$"):
            importlib.import_module(package).nowhere  # noqa: B018


def test_what_to_use_instead() -> None:
    with pytest.raises(AttributeError, match=r"one process.*process_index"):
        getattr(cv, "distributed")  # noqa: B009
    with pytest.raises(AttributeError, match=r"jax\.profiler is missing"):
        getattr(cv, "profiler")  # noqa: B009


def test_the_table_names_what_jax_has() -> None:
    wrong = [
        f"{e.package}.{name}"
        for e in ABSENT
        for name in set(e.names.split()) - set(names_of(f"covector.{e.package}".rstrip(".")))
    ]
    assert not wrong


def test_the_table_names_only_what_is_missing() -> None:
    there = [
        f"{e.package}.{name}"
        for e in ABSENT
        for name in set(e.names.split()) - set(missing_names(f"covector.{e.package}".rstrip(".")))
    ]
    assert not there


def test_a_missing_module_says_why() -> None:
    for name, text in (
        ("covector.profiler", "jax.profiler is missing here: there is no profiler"),
        ("covector.experimental.pallas", "for kernels of GPUs and TPUs; use `covector.extend`"),
        ("covector.experimental.jax2tf", "use `dlpack`"),
    ):
        with pytest.raises(ModuleNotFoundError, match=re.escape(text)) as caught:
            importlib.import_module(name)
        assert caught.value.name == name
    with pytest.raises(ModuleNotFoundError, match=r"^No module named 'covector.nowhere'$"):
        importlib.import_module("covector.nowhere")


def test_each_name_has_one_reason() -> None:
    seen = [(e.package, name) for e in ABSENT for name in e.names.split()]
    assert len(seen) == len(set(seen))
    assert NOT_YET not in ABSENT
    assert "" in NAMES


def test_the_page_is_up_to_date() -> None:
    """All that is missing is on the page: python -m tools.coverage --write."""
    text = PAGE.read_text()
    for package in packages():
        part = re.search(rf"^## `{re.escape(package)}`\n\n(.*?)(?=^## |\Z)", text, re.M | re.S)
        told = set(re.findall(r"`(\w+)`[,:]", part[1])) if part else set()
        assert set(missing_names(package)) <= told, f"{package}: python -m tools.coverage --write"
        assert f"| `{package}` | {len(names_of(package))} |" in text
