"""Donation: arrays that are given up, and results that take over their memory."""

import numpy as np
import pytest

INPUT, RESULT, ARENA = range(3)
SLOW = 10**6


@pytest.fixture
def where(make):
    """A program of two float32[n] inputs whose int64 output tells addresses; may alias input 0."""

    def build(n=8, aliases=((0, 0),), cost_ns=0):
        return make(
            "addresses", [(11, (n,))], [(4, (n // 2,), False)], aliases=aliases, cost_ns=cost_ns
        )

    return build


def floats(native, n=8):
    return native.array_from(np.arange(n, dtype=np.float32))


def test_donated_arrays_are_gone(native, make, four):
    for cost in (0, 20_000, SLOW):
        x = four()
        (y,) = make("add_one", cost_ns=cost).execute([x], [0])
        assert x.is_deleted()
        with pytest.raises(RuntimeError, match=r"float32\[4\] was donated to a compiled call"):
            x.tolist()
        assert y.tolist() == [1, 2, 3, 4]


def test_results_take_donated_memory(native, where):
    for n, cost in ((8, 0), (8, 20_000), (10_000, 0), (10_000, 20_000), (10_000, SLOW)):
        x = floats(native, n)
        pointer = x.unsafe_buffer_pointer()
        (y,) = where(n, cost_ns=cost).execute([x], [0])
        assert x.is_deleted()
        assert y.item(RESULT) == y.item(INPUT) == pointer == y.unsafe_buffer_pointer()


def test_no_alias_without_donation(native, where):
    for cost in (0, SLOW):
        x = floats(native)
        (y,) = where(cost_ns=cost).execute([x])
        assert y.item(RESULT) != x.unsafe_buffer_pointer()
        assert x.tolist() == list(range(8))
        (y,) = where(cost_ns=cost, aliases=()).execute([x], [0])
        assert y.item(RESULT) != y.item(INPUT)


def test_no_alias_of_shared_memory(native, where):
    for cost in (0, SLOW):
        x = floats(native)
        twin = native.reshape(x, (2, 4))
        (y,) = where(cost_ns=cost).execute([x], [0])
        assert y.item(RESULT) != y.item(INPUT)
        assert x.is_deleted()
        assert twin.tolist() == [[0, 1, 2, 3], [4, 5, 6, 7]]


def test_no_alias_of_other_sizes(native, make):
    run = make("addresses", outputs=[(4, (3,), False)], aliases=[(0, 0)])
    (y,) = run.execute([floats(native, 4)], [0])
    assert y.item(RESULT) != y.item(INPUT)


def test_one_donor_serves_one_result(native, make):
    outputs = [(11, (), False)] * 2
    for cost in (0, SLOW):
        run = make("two_outputs", [(11, ())], outputs, aliases=[(0, 0), (1, 0)], cost_ns=cost)
        y, z = run.execute([native.scalar(1, "float32")], [0])
        assert z.unsafe_buffer_pointer() != y.unsafe_buffer_pointer()
        assert z.item() in (3, 4)  # written in place after the first result


@pytest.mark.parametrize("cost", [0, SLOW])
def test_bad_donations_change_nothing(native, make, cost):
    three = [(11, ())] * 3
    run = make("combine", three, [(11, (), False)], cost_ns=cost)
    a, b, c = (native.scalar(value, "float32") for value in (1, 2, 3))
    with pytest.raises(
        ValueError, match="donated twice in one call, the second time as argument 2"
    ):
        run.execute([a, b, a], [0, 2])
    with pytest.raises(ValueError, match="also passed without donation, as argument 1"):
        run.execute([a, a, c], [0])
    with pytest.raises(ValueError, match="donate names input 3 of 3"):
        run.execute([a, b, c], [3])
    with pytest.raises(ValueError, match="donate names input -1 of 3"):
        run.execute([a, b, c], [-1])
    gone = native.scalar(4, "float32")
    gone.delete()
    with pytest.raises(RuntimeError, match="has been deleted"):
        run.execute([a, gone, c], [0, 1])
    assert [a.item(), b.item(), c.item()] == [1, 2, 3]
    (y,) = run.execute([a, b, c], [0, 1, 2])
    assert y.item() == 321
    assert all(array.is_deleted() for array in (a, b, c))


def test_a_donated_twin_is_fine(native, make):
    """Two arrays over one memory may both be donated; then nothing is overwritten."""
    run = make("combine", [(11, ())] * 3, [(11, (), False)], aliases=[(0, 0)])
    a = native.scalar(1, "float32")
    twin = native.reshape(a, ())
    (y,) = run.execute([a, twin, native.scalar(0, "float32")], [0, 1])
    assert y.item() == 11


def test_a_queued_chain_runs_in_one_memory(native, make):
    """Each step takes over the memory of the one before, though that is still being computed."""
    n = 50_000
    run = make("add_one_symbolic", [(11, (None,))], [(11, (None,), False)], aliases=[(0, 0)])
    x = native.array_from(np.zeros(n, np.float32))
    pointer = x.unsafe_buffer_pointer()
    native.reset_peak_memory()
    base = native.memory_stats()["bytes_in_use"]
    for _ in range(300):
        (x,) = run.execute_symbolic([x], [n], [(n,)], donate=[0], cost_ns=SLOW)
    assert x.unsafe_buffer_pointer() == pointer
    assert set(np.asarray(x).tolist()) == {300.0}
    assert native.memory_stats()["peak_bytes_in_use"] - base < 4 * n


def test_readers_before_a_donation_see_the_old_value(native, make):
    n = 50_000
    step = make("add_one_symbolic", [(11, (None,))], [(11, (None,), False)], aliases=[(0, 0)])
    slow = make("add_one_slowly", cost_ns=SLOW)
    slow.execute([native.array_from(np.zeros(4, np.float32))])
    x = native.array_from(np.zeros(n, np.float32))
    (reader,) = step.execute_symbolic([x], [n], [(n,)], cost_ns=SLOW)
    (y,) = step.execute_symbolic([x], [n], [(n,)], donate=[0], cost_ns=SLOW)
    (z,) = step.execute_symbolic([y], [n], [(n,)], donate=[0], cost_ns=SLOW)
    twin = native.reshape(z, (n, 1))
    (w,) = step.execute_symbolic([z], [n], [(n,)], donate=[0], cost_ns=SLOW)
    values = [set(np.asarray(array).ravel().tolist()) for array in (reader, twin, w)]
    assert values == [{1.0}, {2.0}, {3.0}]


def test_failure_in_donated_memory(native, make, four):
    for cost in (0, SLOW):
        run = make("fail_with_7", aliases=[(0, 0)], cost_ns=cost)
        x = four()
        with pytest.raises(RuntimeError, match="error number 7"):
            run.execute([x], [0])[0].tolist()
        assert x.is_deleted()
