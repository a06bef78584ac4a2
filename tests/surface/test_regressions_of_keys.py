"""Random keys and trees: values that were wrong without a word, and inputs that were taken though they mean nothing."""

from __future__ import annotations

import collections

import numpy as np
from tests.surface.test_regressions import refused, same

import covector.numpy as cnp
from covector import lax, random, tree, tree_util

# -------------------------------------------------------------------------------------------- random keys


def test_what_is_put_among_keys_is_keys() -> None:
    """Numbers became words of keys."""
    keys = random.split(random.key(0))
    for name, call in {
        "append": lambda: cnp.append(keys, 2),
        "stack": lambda: cnp.stack([keys, np.zeros(2, np.uint32)]),
        "where": lambda: cnp.where(np.array([True, False]), keys, 2),
        "insert": lambda: cnp.insert(keys, 0, 3),
        "select_n": lambda: lax.select_n(np.array([True, False]), keys, np.zeros(2, np.uint32)),
    }.items():
        refused(TypeError, f"{name} of keys .*what is put among keys has to be keys", call)
    assert (cnp.append(keys, keys[0])[2] == keys[0]).item()
    refused(TypeError, "impl is 2", lambda: random.key(3, impl=2))


def test_bounds_of_randint() -> None:
    key = random.key(0)
    for low, high in ((0, 2**40), (-(2**40), 3), (0, 2**31 + 1)):
        refused(
            OverflowError, "does not fit int32", lambda b=(low, high): random.randint(key, (3,), *b)
        )
    below = random.randint(key, (3,), -1, 9, "uint32")
    assert below.tolist() == random.randint(key, (3,), 0, 9, "uint32").tolist()
    refused(
        OverflowError, "does not fit uint32", lambda: random.randint(key, (3,), 0, 2**33, "uint32")
    )
    refused(
        OverflowError,
        "does not fit int64",
        lambda: random.randint(key, (3,), 0, 2**63 + 1, "int64"),
    )
    assert random.randint(key, (3,), 0, 10, "uint32").tolist() == [9, 0, 2]  # JAX's
    for dtype in ("int64", "uint64", "uint32"):
        values = np.asarray(random.randint(key, (99,), 0, 10, dtype))
        assert (values.min(), values.max(), values.dtype) == (0, 9, dtype)
    values = np.asarray(random.randint(key, (99,), 0, 2**31))
    assert values.min() >= 0
    wide = np.asarray(random.randint(key, (99,), 0, 2**40, "int64"))
    assert wide.min() >= 0
    assert 2**39 < wide.max() < 2**40


def test_data_of_fold_in() -> None:
    key = random.key(0)
    for data in (-1, 2**32, 2**40):
        refused(OverflowError, "does not fit uint32", lambda data=data: random.fold_in(key, data))
    largest = random.key_data(random.fold_in(key, 2**32 - 1))
    same(random.key_data(random.fold_in(key, cnp.array(-1))), largest)


def test_axes_of_permutation() -> None:
    key = random.key(0)
    for axis in (1, 5, -2):
        refused(
            ValueError,
            f"axis {axis} is out of bounds",
            lambda a=axis: random.permutation(key, 10, axis=a),
        )
    refused(ValueError, "-3 numbers", lambda: random.permutation(key, -3))
    assert random.permutation(key, cnp.zeros(0)).shape == (0,)
    assert random.permutation(key, cnp.zeros((0, 3)), axis=1).shape == (0, 3)


def test_keys_are_no_numbers() -> None:
    for keys in (random.key(0), random.split(random.key(0))):
        refused(TypeError, "key_data", lambda keys=keys: np.asarray(keys))
        refused(TypeError, "key_data", lambda keys=keys: np.array(keys))


def test_seeds() -> None:
    for seed in (-3, np.int64(-3), np.int32(-3)):
        same(random.key_data(random.key(seed)), [0, 2**32 - 3], "uint32")
    same(random.key_data(random.key(np.int64(2**40))), [0, 0], "uint32")
    refused(OverflowError, "does not fit 64 bits", lambda: random.key(2**63))
    same(random.key_data(random.key(True)), random.key_data(random.key(1)))
    same(
        random.key_data(random.fold_in(random.key(0), True)),
        random.key_data(random.fold_in(random.key(0), 1)),
    )


def test_keys_are_compared_with_keys() -> None:
    key = random.key(0)
    for other in (1, 1.5, cnp.zeros(2, "uint32"), random.PRNGKey(0), np.zeros(2)):
        refused(TypeError, "compared with keys", lambda other=other: key == other)
        refused(TypeError, "compared with keys", lambda other=other: key != other)
    assert (key == None) is False  # noqa: E711
    assert key != "key"
    assert (key.aval.shape, str(key.aval.dtype)) == ((), "key<fry>")
    assert type(random.clone(np.zeros(2, np.uint32))) is type(cnp.zeros(2))


# --------------------------------------------------------------------------------------------------- trees


def test_static_fields_keep_what_the_metadata_says() -> None:
    assert tree.static(metadata={"static": False}).metadata["static"] is False
    assert dict(tree.static(metadata={"a": 1}).metadata) == {"static": True, "a": 1}


def test_keys_that_a_class_gives_stay_as_they_are() -> None:
    class Pair:
        pass

    tree_util.register_pytree_with_keys(
        Pair,
        lambda p: ((("x", 1), (7, 2), (("a", 0), 3), (tree_util.GetAttrKey("z"), 4)), None),
        lambda *_: Pair(),
    )
    paths = [path for path, _ in tree.leaves_with_path([Pair()])]
    first = tree_util.SequenceKey(0)
    assert paths == [
        (first, "x"),
        (first, 7),
        (first, ("a", 0)),
        (first, tree_util.GetAttrKey("z")),
    ]
    assert tree_util.keystr(paths[0]) == "[0]x"
    assert tree_util.keystr(paths[3]) == "[0].z"


def test_dicts_come_out_sorted() -> None:
    for d in (
        {"b": 1, "a": {"d": 2, "c": 3}},
        collections.defaultdict(list, {"b": 1, "a": {"d": 2, "c": 3}}),
    ):
        for out in (
            tree.map(lambda x: x, d),
            tree.unflatten(tree.structure(d), tree.leaves(d)),
            tree.map_with_path(lambda _, x: x, d),
            tree.map(lambda x, y: x, d, d),
        ):
            assert list(out) == ["a", "b"]
            assert list(out["a"]) == ["c", "d"]
            assert type(out) is type(d)
