"""Bits from a state that counts on: XLA's, as JAX gives them, and numbers without a key."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import covector as cv
from covector import lax, numpy as cnp
from covector.lax import RandomAlgorithm

STATE = cnp.array(np.array([1, 2, 3, 4], np.uint32))
ZERO = cnp.zeros(4, "uint32")
END = cnp.array(np.array([1, 2, 2**32 - 1, 4], np.uint32))
PHILOX, THREEFRY = RandomAlgorithm.RNG_PHILOX, RandomAlgorithm.RNG_THREE_FRY

# algorithm, state, shape, dtype: the third word of the state after it, and the first bits; recorded from JAX.
RECORDED: list[tuple[RandomAlgorithm, Any, tuple[int, ...], str, int, list[int]]] = [
    (
        RandomAlgorithm.RNG_DEFAULT,
        STATE,
        (5,),
        "uint32",
        5,
        [512747620, 1298009047, 1267190206, 761827841, 1383286907],
    ),
    (
        PHILOX,
        STATE,
        (2, 3),
        "uint32",
        5,
        [512747620, 1298009047, 1267190206, 761827841, 1383286907, 1639995030],
    ),
    (
        PHILOX,
        ZERO,
        (9,),
        "uint32",
        3,
        [1713891541, 3781805453, 3159862348, 2600524760, 4175744164, 1555169499],
    ),
    (PHILOX, STATE, (5,), "uint8", 5, [100, 215, 190, 1, 123]),
    (PHILOX, STATE, (5,), "uint16", 5, [59492, 3031, 51646, 37377, 18555]),
    (
        PHILOX,
        STATE,
        (5,),
        "uint64",
        6,
        [5574906407289874532, 3272025663544478142, 7043725020835825787],
    ),
    (
        PHILOX,
        END,
        (9,),
        "uint32",
        2,
        [2160442090, 646515821, 2332489852, 1920049738, 1192871431, 4231507064],
    ),
    (
        THREEFRY,
        STATE,
        (5,),
        "uint32",
        6,
        [1576285164, 2249660814, 740599976, 2425682526, 2436392515],
    ),
    (
        THREEFRY,
        STATE,
        (2, 3),
        "uint32",
        6,
        [1576285164, 740599976, 2436392515, 2249660814, 2425682526, 1497962777],
    ),
    (
        THREEFRY,
        STATE,
        (3, 2),
        "uint32",
        6,
        [1576285164, 2249660814, 740599976, 2425682526, 2436392515, 1497962777],
    ),
    (
        THREEFRY,
        STATE,
        (3, 3),
        "uint32",
        9,
        [1576285164, 740599976, 2436392515, 2249660814, 2425682526, 1497962777],
    ),
    (THREEFRY, STATE, (), "uint32", 4, [1576285164]),
    (THREEFRY, STATE, (5,), "uint8", 6, [236, 142, 168, 94, 67]),
    (
        THREEFRY,
        STATE,
        (5,),
        "uint64",
        8,
        [9662219624799024108, 10418227120389269672, 6433701140276733507],
    ),
    (
        THREEFRY,
        END,
        (9,),
        "uint32",
        4,
        [1659226264, 1696293625, 2593290630, 1369596596, 1606051822, 2624171580],
    ),
]


@pytest.mark.parametrize("row", RECORDED, ids=lambda row: f"{row[0].name} {row[2]} {row[3]}")
def test_bits_are_xlas(row: Any) -> None:
    algorithm, state, shape, dtype, third, first = row
    after, bits = lax.rng_bit_generator(state, shape, dtype, algorithm)
    assert (bits.shape, bits.dtype) == (shape, dtype)
    np.testing.assert_array_equal(np.asarray(bits).ravel()[: len(first)], np.array(first, dtype))
    before = np.asarray(state)
    carried = int(before[3]) + (third < before[2])
    np.testing.assert_array_equal(after, np.array([before[0], before[1], third, carried], "uint32"))


def test_states_of_64_bits_and_under_transformations() -> None:
    state = cnp.array(np.array([5, 7], np.uint64))
    after, bits = cv.jit(lambda s: lax.rng_bit_generator(s, (3,)))(state)
    np.testing.assert_array_equal(after, [5, 8])
    np.testing.assert_array_equal(bits, [1957188081, 3299040168, 2189429415])
    states = cnp.stack([STATE, END])
    mapped = cv.vmap(lambda s: lax.rng_bit_generator(s, (9,)))(states)
    after, bits = lax.rng_bit_generator(STATE, (2, 9))  # those of the first state, as in JAX
    np.testing.assert_array_equal(mapped[1], bits)
    np.testing.assert_array_equal(mapped[0], np.stack([after, END]))


def test_numbers_without_a_key() -> None:
    draw = cv.jit(lambda: lax.rng_uniform(2.0, 3.0, (500,)))
    first, second = np.asarray(draw()), np.asarray(draw())
    assert (first != second).any()
    assert ((first >= 2) & (first < 3)).all()
    assert abs(first.mean() - 2.5) < 0.1
    whole = np.asarray(lax.rng_uniform(np.int32(-2), np.int32(3), (400,)))
    assert sorted(set(whole.tolist())) == [-2, -1, 0, 1, 2]


ERRORS = [
    (lambda: lax.rng_bit_generator(cnp.zeros(3, "uint32"), (2,)), TypeError, "takes a state"),
    (lambda: lax.rng_bit_generator(STATE, (2,), "float32"), TypeError, "gives unsigned integers"),
    (lambda: lax.rng_bit_generator(STATE, (2,), algorithm=7), ValueError, "7 is no algorithm"),
    (lambda: lax.rng_uniform(cnp.zeros(2), 1.0, (2,)), TypeError, "takes two real numbers"),
]


@pytest.mark.parametrize(("call", "error", "text"), ERRORS, ids=[text for _, _, text in ERRORS])
def test_errors(call: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        call()
