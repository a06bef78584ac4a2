"""References to keys of random numbers, and references whose slices are the `xs` of a scan."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import covector as cv
import covector.numpy as cnp
from covector import lax, random

KEY = random.key(7)


def drawn(key: Any, count: int) -> tuple[list[float], Any]:
    """What drawing so often with a key of its own each time gives, and the key after it."""
    found = list[float]()
    for _ in range(count):
        key, own = random.split(key)
        found.append(float(random.uniform(own)))
    return found, key


def draw(ref: Any) -> Any:
    ref[...], own = random.split(ref[...])
    return random.uniform(own)


def in_scan(key: Any) -> Any:
    ref = cv.new_ref(key)
    return lax.scan(lambda c, _: (c, draw(ref)), None, length=3)[1], ref[...]


def in_while(key: Any) -> Any:
    ref, made = cv.new_ref(key), cv.new_ref(cnp.zeros(3))

    def step(i: Any) -> Any:
        made[i] = draw(ref)
        return i + 1

    lax.while_loop(lambda i: i < 3, step, 0)
    return made[...], cv.freeze(ref)


def in_cond(key: Any) -> Any:
    ref = cv.new_ref(key)
    first = draw(ref)
    rest = lax.cond(first >= 0, lambda r: [draw(r), draw(r)], lambda r: [first, first], ref)
    return cnp.stack([first, *rest]), ref[...]


PLACES: dict[str, Callable[[Any], Any]] = {"scan": in_scan, "while": in_while, "cond": in_cond}


@pytest.mark.parametrize("place", PLACES)
def test_keys_in_references(place: str) -> None:
    f = PLACES[place]
    for run in (f, cv.jit(f)):
        numbers, key = run(KEY)
        wanted, after = drawn(KEY, 3)
        np.testing.assert_array_equal(numbers, np.float32(wanted))
        assert key == after
    keys = random.split(KEY, 2)
    numbers, after = cv.jit(cv.vmap(f))(keys)
    np.testing.assert_array_equal(numbers, np.float32([drawn(k, 3)[0] for k in keys]))
    assert (after == cnp.stack([drawn(k, 3)[1] for k in keys])).all()
    scaled = cv.grad(lambda x: (x * f(KEY)[0]).sum())(2.0)
    np.testing.assert_allclose(scaled, sum(drawn(KEY, 3)[0]), rtol=1e-6)


def test_compiled_functions_write_references_to_keys() -> None:
    """As arguments, and where they are closed over; a reference to words is another type."""
    ref = cv.new_ref(KEY)
    own, closed = cv.jit(draw), cv.jit(lambda: draw(ref))
    wanted = np.float32(drawn(KEY, 4)[0])
    np.testing.assert_array_equal([own(ref), own(ref), closed(), closed()], wanted)
    words = cv.new_ref(random.key_data(KEY))
    double = cv.jit(lambda r: r[...])
    for given in (ref, words, ref, words, ref):
        assert double(given).dtype == given.dtype


def test_parts_of_references_to_keys() -> None:
    keys = random.split(KEY, 3)
    ref = cv.new_ref(keys)
    assert (ref.shape, ref.ndim, ref.size, len(ref)) == ((3,), 1, 3, 3)
    assert str(cv.typeof(ref)) == "Ref{key<fry>[3]}"
    assert isinstance(ref, cv.Ref)
    ref[0] = ref[1]
    assert (ref[...] == keys[cnp.array([1, 1, 2])]).all()
    ref.at[1:][1] = keys[0]
    assert ref[2] == keys[0]
    assert cv.ref.swap(ref, 0, KEY) == keys[1]
    ref[...] = KEY
    assert (ref[...] == KEY).all()
    empty = cv.empty_ref(cv.typeof(keys))
    empty[...] = keys
    assert (cv.freeze(empty) == keys).all()


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (lambda r: r.__setitem__(..., cnp.ones(2, "uint32")), "is written to a Ref of key<fry>"),
        (lambda r: cv.ref.addupdate(r, ..., KEY), "there are no sums of keys"),
        (lambda r: r.__setitem__(..., random.split(KEY)), "the shape does not fit"),
        (lambda r: cnp.sin(r), "read its value first"),
    ],
)
def test_wrong_writes_of_keys(wrong: Callable[[Any], Any], told: str) -> None:
    with pytest.raises((TypeError, ValueError), match=told):
        wrong(cv.new_ref(KEY))


def test_scans_over_references() -> None:
    """Each step has a reference to its slice: what it writes there is written."""

    def fill(x: Any) -> Any:
        rows = cv.new_ref(cnp.zeros((3, 2)))
        read = cv.new_ref(cnp.arange(3.0))

        def step(total: Any, refs: Any) -> Any:
            row, number = refs
            row[0] = total * x
            row[1] += number[...]
            return total + number[...], row[...].sum()

        total, sums = lax.scan(step, x, (rows, read))
        return total, sums, rows[...], read[...]

    wanted = 5.0, [4.0, 5.0, 8.0], [[4.0, 0.0], [4.0, 1.0], [6.0, 2.0]], [0.0, 1.0, 2.0]
    for run in (fill, cv.jit(fill)):
        for found, right in zip(run(2.0), wanted, strict=True):
            np.testing.assert_array_equal(found, right)
    for found, right in zip(cv.vmap(fill)(cnp.array([2.0, 2.0])), wanted, strict=True):
        np.testing.assert_array_equal(found[1], right)
    slope = cv.grad(lambda x: fill(x)[2].sum())(2.0)  # of x * (x + x + x + 1) and numbers
    assert slope == 13.0
    keys = cv.new_ref(random.split(KEY, 2))
    _, found = lax.scan(lambda c, r: (c, draw(r)), None, keys)
    np.testing.assert_array_equal(found, [drawn(k, 1)[0][0] for k in random.split(KEY, 2)])
    assert keys[1] == drawn(random.split(KEY, 2)[1], 1)[1]
