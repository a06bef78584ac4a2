"""The benchmarks' own machinery: cases, clocks and the report, on NumPy alone."""

from __future__ import annotations

import math

import numpy as np
import pytest

from benchmarks import frameworks, report, run, sweep, sweep_table, timing
from benchmarks.cases import Case
from benchmarks.suite import CASES


def row(name: str = "call_one", **values: float) -> report.Row:
    return report.Row(CASES[name], dict(values))


@pytest.mark.parametrize("case", CASES.values(), ids=lambda case: case.name)
def test_a_case_is_complete(case: Case) -> None:
    assert case.text
    assert case.text[-1] != "."
    assert case.kind in ("call", "cold", "geometric", "import", *timing.IN_CHILD)
    assert set(case.frameworks) <= set(frameworks.NAMES)
    assert set(case.limits) <= set(case.frameworks) - {report.OURS}
    assert set(case.beside) <= set(CASES)
    assert report.limits(case), "say what we want"


@pytest.mark.parametrize("case", CASES.values(), ids=lambda case: case.name)
def test_a_case_is_compared_with_one_before_it(case: Case) -> None:
    """So that its figure is there when the later one is judged."""
    order = list(CASES)
    assert all(order.index(other) < order.index(case.name) for other in case.beside)


def test_autorange_makes_samples_long_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing, "MIN_SAMPLE", 1e-3)
    monkeypatch.setattr(timing, "sample", lambda call, block, calls: 1e-6)
    assert 1000 <= timing.autorange(lambda: 0, lambda x: x) <= 1300


def test_measure_keeps_the_best_of_the_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([3.0, 1.0, 2.0])
    monkeypatch.setattr(run, "sampler", lambda *_: lambda: next(times))
    assert run.measure(CASES["call_one"], ["numpy"], rounds=3).values == {"numpy": 1.0}


def test_a_failure_does_not_end_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> float:
        raise ValueError("no such thing\nat all")

    monkeypatch.setattr(run, "sampler", lambda *_: broken)
    measured = run.measure(CASES["call_one"], ["numpy"], rounds=2)
    assert measured.values == {}
    assert measured.failures == {"numpy": "ValueError: no such thing"}


def test_a_wrong_value_is_a_failure() -> None:
    measured = row()
    run.compare(measured, {"covector": [np.ones(2)], "jax": [np.ones(2)]})
    assert measured.failures == {}
    run.compare(measured, {"covector": [np.ones(2)], "jax": [np.ones(2)], "torch": [np.zeros(2)]})
    assert measured.failures == {"covector": "ValueError: differs from torch by up to 1.0"}


def test_the_report_marks_missed_limits() -> None:
    held, missed = row(covector=1e-6, jax=4e-6), row(covector=3e-6, jax=4e-6)
    assert held.missed() == []
    assert missed.missed() == ["jax"]
    text = report.markdown([held, missed], {"covector": "0", "jax": "1"}, rounds=1)
    assert f"{report.MISSED}: jax" in text
    assert "Limits held in 1 of 2 cases." in text
    assert "| jax | 2 | 0.43 |" in text


def test_a_limit_may_be_another_case_of_ours_or_a_time() -> None:
    pair = report.Row(CASES["call_namedtuple"], {"covector": 3e-7}, beside={"call_tuple": 1e-7})
    assert pair.missed() == ["`call_tuple`"]
    pair.beside["call_tuple"] = 2e-7
    assert pair.missed() == []
    assert row("donated_fill", covector=2e-6).missed() == ["under"]
    assert "under 1 µs" in report.markdown(
        [row("donated_fill", covector=9e-7)], {"covector": "0"}, 1
    )


def test_a_framework_that_is_not_there_is_named() -> None:
    text = report.markdown([row(covector=1.0)], {"covector": "0"}, 1, {"torch": "ImportError: no"})
    assert "| torch | left out: ImportError: no |" in text


def test_a_failure_of_ours_misses_every_limit() -> None:
    failed = report.Row(CASES["call_one"], {"jax": 1.0}, {"covector": "ValueError: no"})
    assert failed.missed() == list(CASES["call_one"].limits)
    assert "`call_one` on covector: ValueError: no" in report.markdown([failed], {"jax": "1"}, 1)


@pytest.mark.parametrize(
    ("value", "kind", "text"),
    [
        (2.5, "call", "2.5 s"),
        (0.0123, "call", "12.3 ms"),
        (4.56e-6, "call", "4.56 µs"),
        (7e-9, "call", "7 ns"),
        (3 * 2**20, "memory", "3.0 MiB"),
    ],
)
def test_values_have_units(value: float, kind: str, text: str) -> None:
    assert report.show(value, kind) == text


def test_geometric_mean() -> None:
    assert report.geometric_mean([]) is None
    assert math.isclose(report.geometric_mean([0.5, 2.0, 8.0]) or 0.0, 2.0)


@pytest.mark.parametrize("name", ["call_one", "eager_chain", "lorenz_forward", "scan_matmul"])
def test_cases_run_on_numpy(name: str) -> None:
    CASES[name].build(frameworks.load("numpy"))()


def test_operations_of_the_sweep_can_be_called() -> None:
    """Each row in NumPy at its smallest size, and some in Covector; the names of rows are their own."""
    rows = list(sweep_table.table())
    for op in rows:
        if min(op.sizes) <= 10 and (call := sweep.call_of(op, "numpy", min(op.sizes))) is not None:
            call()
    assert len({(op.name, op.dtype, op.sizes) for op in rows}) > 250
    for op in rows[:: len(rows) // 12]:
        call = sweep.call_of(op, "covector", min(op.sizes))
        assert call is not None
        call()


def test_a_sweep_says_who_is_ahead() -> None:
    op = next(sweep_table.table())
    ratio, text = sweep.line(op, 10, {"covector": 3e-6, "jax": 2e-6, "numpy": 4e-6})
    assert ratio == pytest.approx(1.5)
    assert text == "| 1.50 | jax | x + y | 10 | 3 | 2 |  | 4 |"
