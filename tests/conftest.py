"""What every test shares: seeds, a cache of its own, and the verifiers after every pass."""

from __future__ import annotations

import gc
import os
import signal
import tempfile
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

# Before covector is imported: tests neither read nor fill the user's cache of compiled code.
_CACHE = tempfile.TemporaryDirectory(prefix="covector-cache-", ignore_cleanup_errors=True)
os.environ["COVECTOR_CACHE_DIR"] = _CACHE.name
os.environ.setdefault("COVECTOR_VERIFY", "1")
os.environ.setdefault("COVECTOR_TRIM_TRACEBACKS", "0")  # who reads a failure here wants our frames

import covector  # noqa: E402

# A shell starts its background jobs deaf to Ctrl-C, and their children inherit it: what tests send must arrive.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Times vary on a busy machine, and a first call compiles; CI tries the same examples each time.
settings.register_profile("dev", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", settings.get_profile("dev"), derandomize=True, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "dev")


def pytest_collection_finish() -> None:
    """The tests stay to the end: who collects garbage in one need not look at all the others each time."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def afresh() -> Iterator[None]:
    """For tests that change what the compiler decides by: they find nothing made before, and leave nothing made so."""
    covector.clear_caches()
    yield
    covector.clear_caches()


@pytest.fixture
def rng() -> np.random.Generator:
    """A generator with the same seed in every test."""
    return np.random.default_rng(0)


@pytest.fixture
def close():
    """Compare pytrees of arrays: `close(actual, desired)`, to a tolerance that suits the dtype."""

    def check(actual: object, desired: object, ulps: float = 64) -> None:
        a, d = np.asarray(actual), np.asarray(desired)
        assert a.shape == d.shape, f"shapes {a.shape} and {d.shape}"
        exact = not np.issubdtype(a.dtype, np.inexact)
        rtol = 0.0 if exact else ulps * float(np.finfo(a.dtype).eps)
        np.testing.assert_allclose(a, d, rtol=rtol, atol=rtol)

    return check
