"""Random bits are JAX's, bit for bit: values from jax 0.10.2 with its default, partitionable threefry."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.primitives import interpret

from covector._engine import primitives as prims
from covector._engine.types import dims, dtypes

KEY = np.array([0x12345678, 0x9ABCDEF0], np.uint32)
# jax.random.bits(key, (5, 7, 3), dtype).ravel()[:8]
FIRST = {
    8: [186, 158, 184, 209, 180, 82, 45, 128],
    16: [28858, 51614, 60600, 14801, 33460, 32338, 7981, 7808],
    32: [1301508282, 621857182, 3376475320, 2348759505, 459113140, 3294199378, 1211309869, 693771904],
    64: [
        17088912606979912643, 8956850235097601611, 7002784049688088133, 3277722750210537128,
        16413494611354710230, 2342148964311728704, 3713074503064249019, 4229616233599238926,
    ],
}  # fmt: skip
# jax.random.split(key, 4) and, of these keys, jax.random.bits(key, (3,))
SPLIT = [
    [3978822521, 2696639427], [2085429205, 1499321931], [1630462717, 2825784901], [763154297, 2793666216],
]  # fmt: skip
OF_THE_FIRST_KEYS = [
    850184820,
    1725281491,
    2881270659,
    2009761451,
    1599759738,
    1417743127,
    1919512790,
    2913574484,
]
FOLDED = [2165939643, 611547381]  # jax.random.fold_in(key, 1234567)


@pytest.mark.parametrize("width", [8, 16, 32, 64])
@pytest.mark.parametrize(
    "run", [lambda p, k: p.reference(k), lambda p, k: interpret.run_mapped(p, [k])]
)
def test_bits(width: int, run: Any) -> None:
    out = run(prims.RandomBits((5, 7, 3), width), KEY)
    assert out.dtype == f"uint{width}"
    assert out.ravel()[:8].tolist() == FIRST[width]


def test_keys_have_their_own_bits() -> None:
    out = prims.RandomBits((3,), 32).reference(np.array(SPLIT, np.uint32))
    assert out.ravel()[:8].tolist() == OF_THE_FIRST_KEYS


def test_split_and_fold_in_are_hashes_of_counters() -> None:
    zeros = np.zeros(4, np.uint32)
    high, low = prims.threefry.reference(KEY[0], KEY[1], zeros, np.arange(4, dtype=np.uint32))
    assert np.stack([high, low], 1).tolist() == SPLIT
    folded = prims.threefry.reference(*KEY, np.uint32(0), np.uint32(1234567))
    assert [int(x) for x in folded] == FOLDED


def test_the_position_has_64_bits() -> None:
    """A position beyond 2^32 counts in the high word: read at one index, no array of that size is made."""
    n = dims.symbol("n", 1)
    bits = prims.RandomBits((n,), 32)
    element = bits.element((dims.symbol("i", 0),), interpret.view(KEY))
    spot = 5 * 2**32 + 7
    actual = interpret.Evaluator({"i": np.int64(spot)}).scalar(element)  # type: ignore[arg-type]
    high, low = prims.threefry.reference(*KEY, np.uint32(5), np.uint32(7))
    assert actual == high ^ low


def test_keys_are_checked() -> None:
    with pytest.raises(TypeError, match=r"keys of uint32\[..., 2\].*got uint32\[3\]"):
        prims.RandomBits((2,), 32).type(dims_of((3,)))
    with pytest.raises(ValueError, match=r"8, 16, 32 or 64 bits.*not 12"):
        prims.RandomBits((2,), 12).type(dims_of((2,)))
    with pytest.raises(TypeError, match="4 operands of uint32"):
        prims.threefry.type(dims_of((2,)), dims_of((2,)))


def dims_of(shape: tuple[int, ...]) -> Any:
    return prims.Iota(shape, dtypes.uint32, 0).type()
