"""The demonstration of `make demo`, shortened."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

pytest.importorskip("sklearn")
pytest.importorskip("matplotlib")

EXAMPLE = Path(__file__).resolve().parent.parent / "examples" / "digits.py"


@pytest.fixture(scope="module")
def digits() -> ModuleType:
    spec = importlib.util.spec_from_file_location("digits_example", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # its dataclass looks itself up there
    spec.loader.exec_module(module)
    return module


def test_a_few_epochs_read_most_digits(digits: ModuleType, tmp_path: Path) -> None:
    run = digits.fit(epochs=8)
    assert run.accuracies[-1] > 0.9
    assert run.losses[-1] < run.losses[0] / 2
    picture = tmp_path / "digits.png"
    digits.draw(run, picture)
    assert picture.stat().st_size > 10_000


def test_the_split_is_fixed_by_the_seed(digits: ModuleType) -> None:
    (x, labels), (test_x, test_labels) = digits.split(seed=3)
    (again, _), _ = digits.split(seed=3)
    (other, _), _ = digits.split(seed=4)
    assert len(x) == len(labels) == 1437
    assert len(test_x) == len(test_labels) == 360
    assert (x == again).all()
    assert (x != other).any()
