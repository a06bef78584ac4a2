"""Keys that carry numbers in their words, to see where each goes."""

from __future__ import annotations

from typing import Any

import numpy as np

from covector import random


def keys_of(numbers: Any) -> random.Key:
    """A key for each number: its words are the number, and that number and 100."""
    numbers = np.asarray(numbers)
    return random.wrap_key_data(np.stack([numbers, numbers + 100], -1).astype(np.uint32))


def numbers_of(keys: random.Key) -> np.ndarray:
    """The numbers of such keys, whose words have stayed together."""
    words = np.asarray(random.key_data(keys))
    np.testing.assert_array_equal(words[..., 1], words[..., 0] + 100)
    return words[..., 0]
