"""Generators beside threefry: chosen by name or by a flag, defined by users, and what their keys do in transformations.

Their numbers are among those of values.jsonl.
"""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest

import covector as cv
from covector import lax, numpy as cnp, random
from covector.extend import random as generators

NAMES = ("threefry2x32", "rbg", "unsafe_rbg", "threefry4x32", "philox2x32", "philox4x32")


def words(keys: Any) -> list[Any]:
    return np.asarray(random.key_data(keys)).tolist()


@pytest.mark.parametrize("name", NAMES)
def test_keys_carry_their_generator(name: str) -> None:
    key: Any = random.key(3, impl=name)
    keys = random.split(key, (2, 3))
    assert keys.shape == (2, 3)
    for made in (keys, keys[0, 1:], keys.T, cnp.stack([key, key]), random.clone(keys), keys.copy()):
        assert random.key_impl(made) == name
        assert made.dtype == key.dtype == random.key_dtype(name)
    assert keys.reshape(3, -1).shape == (3, 2)
    assert keys.size == 6
    assert key.dtype.itemsize == 4 * len(words(key))
    again = random.wrap_key_data(random.key_data(keys), impl=name)
    assert (again == keys).all()
    assert (random.wrap_key_data(random.key_data(keys), dtype=key.dtype) == keys).all()
    for copied in (copy.deepcopy(key), pickle.loads(pickle.dumps(key))):
        assert copied.dtype == key.dtype
        assert copied == key
    assert random.key(3, dtype=key.dtype) == key


@pytest.mark.parametrize("name", NAMES)
def test_keys_in_transformations(name: str) -> None:
    key = random.key(3, impl=name)
    drawn = random.uniform(key, (4,))
    np.testing.assert_array_equal(cv.jit(random.uniform, static_argnums=1)(key, (4,)), drawn)
    np.testing.assert_array_equal(
        cv.jit(lambda s: random.uniform(random.key(s, impl=name), (4,)))(3), drawn
    )
    chain = [key]
    for _ in range(3):
        chain.append(random.split(chain[-1])[0])
    last, _ = lax.scan(lambda k, _: (random.split(k)[0], None), key, length=3)
    assert last == chain[-1]
    assert lax.fori_loop(0, 3, lambda _, k: random.split(k)[0], key) == chain[-1]
    assert lax.cond(True, lambda k: random.fold_in(k, 1), lambda k: k, key) == random.fold_in(
        key, 1
    )
    ref = cv.new_ref(key)

    @cv.jit
    def step() -> None:
        ref[...] = random.split(ref[...])[0]

    step()
    assert ref[...] == chain[1]
    assert cv.eval_shape(random.split, key).dtype == key.dtype


def test_bits_of_a_batch_depend_on_the_first_key() -> None:
    """As in JAX, whose numbers these are."""
    keys = random.split(random.key(12345, impl="rbg"), 3)
    got = cv.vmap(lambda k: random.randint(k, (7,), 0, 1000))(keys)
    np.testing.assert_array_equal(
        got,
        [
            [425, 922, 656, 706, 985, 147, 918],
            [312, 898, 991, 201, 834, 65, 552],
            [761, 538, 43, 421, 568, 792, 186],
        ],
    )
    # Samples of gamma are drawn one by one.
    got = cv.vmap(lambda k: random.gamma(k, 2.5, (2,)))(keys)
    wanted = [random.gamma(k, 2.5, (2,)) for k in keys]
    np.testing.assert_allclose(got, np.stack(wanted), rtol=1e-6)
    states = cnp.stack([random.key_data(k) for k in keys])
    after, bits = cv.vmap(lambda s: lax.rng_bit_generator(s, (2,)))(states)
    first, all_bits = lax.rng_bit_generator(states[0], (3, 2))
    np.testing.assert_array_equal(bits, all_bits)
    np.testing.assert_array_equal(after, np.stack([first, states[1], states[2]]))


def test_the_flag() -> None:
    before = random.key(1)
    with cv.default_prng_impl("rbg"):
        key = random.key(1)
        assert key == random.key(1, impl="rbg")
        assert cv.config.jax_default_prng_impl == "rbg"
        raw = random.PRNGKey(1)
        assert raw.shape == (4,)
        np.testing.assert_array_equal(random.uniform(raw, (3,)), random.uniform(key, (3,)))
        assert cv.jit(random.key)(1) == key
    assert cv.jit(random.key)(1) == before
    with pytest.raises(TypeError, match=r"uniform takes a key, got uint32\[4\]"):
        random.uniform(raw, (3,))
    with pytest.raises(ValueError, match="default_prng_impl"):
        cv.config.update("jax_default_prng_impl", "dice")


def _counting(**changes: Any) -> Any:
    functions: dict[str, Any] = {
        "seed": lambda s: s.astype("uint32").reshape(1, 1) + np.ones((2, 2), "uint32"),
        "split": lambda k, shape: np.zeros((*shape, 2, 2), "uint32") + k,
        "random_bits": lambda k, width, shape: cnp.full(shape, k.sum(), f"uint{width}"),
        "fold_in": lambda k, data: k + data,
    }
    return generators.define_prng_impl(
        key_shape=(2, 2), name="counting", tag="count", **{**functions, **changes}
    )


def test_generators_of_functions() -> None:
    counting = _counting()
    key: Any = random.key(4, impl=counting)
    assert (str(key.dtype), key.shape, words(key)) == ("key<count>", (), [[5, 5], [5, 5]])
    assert words(random.fold_in(key, 3)) == [[8, 8], [8, 8]]
    keys = random.split(key, 3)
    assert keys.shape == (3,)
    assert random.bits(key, (2,)).tolist() == [20, 20]
    assert cv.vmap(lambda k: random.bits(k, (2,), "uint8"))(keys).tolist() == [[20, 20]] * 3
    assert random.key_impl(keys) is counting
    assert repr(counting) == "PRNGSpec('counting')"
    assert (random.wrap_key_data(random.key_data(keys), impl=counting) == keys).all()
    made = generators.random_seed([4, 5], counting)
    assert words(made)[0] == words(key)
    assert generators.seed_with_impl(counting, 4) == key
    with pytest.raises(
        TypeError, match=r"random_bits of the generator 'counting' gave float32\[2\]"
    ):
        random.bits(random.key(1, impl=_counting(random_bits=lambda *_: cnp.ones(2))), (2,))
    with pytest.raises(ValueError, match="which hold nothing"):
        generators.define_prng_impl(key_shape=(), seed=abs, split=abs, random_bits=abs, fold_in=abs)
    with pytest.raises(TypeError, match="it has no copy"):
        pickle.dumps(key)


def test_keys_of_several_generators_do_not_mix() -> None:
    a, b = random.key(0), random.key(0, impl="rbg")
    with pytest.raises(TypeError, match=r"key<fry> compared with keys of key<rbg>"):
        a == b  # noqa: B015
    with pytest.raises(TypeError, match="several types"):
        cnp.stack([a, b])
    with pytest.raises(TypeError, match="keys of their type"):
        random.split(a).at[0].set(b)
    with pytest.raises(TypeError):
        lax.cond(True, lambda: a, lambda: b)
    ref = cv.new_ref(a)
    with pytest.raises(TypeError, match="it holds keys of that type"):
        ref[...] = b
    with pytest.raises(ValueError, match="impl or dtype, not both"):
        random.key(0, impl="rbg", dtype="rbg")


def test_threefry_of_counts() -> None:
    pair, counts = np.array([1, 2], "uint32"), np.arange(5, dtype="uint32")
    got = generators.threefry_2x32(pair, counts)
    first, second = generators.threefry2x32_p.bind(
        pair[0], pair[1], counts[:3], np.append(counts[3:], np.uint32(0))
    )
    np.testing.assert_array_equal(got, np.concatenate([first, second])[:5])
    with pytest.raises(TypeError, match=r"threefry_2x32 takes uint32, got int32\[2\]"):
        generators.threefry_2x32(pair, np.arange(2, dtype="int32"))
