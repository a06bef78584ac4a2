"""Pytrees: containers, paths, registered classes, and that transformations take them."""

from __future__ import annotations

from collections import OrderedDict, defaultdict, deque, namedtuple
from dataclasses import dataclass

import numpy as np
import pytest

import covector as cv
import covector.numpy as cnp
from covector import tree, tree_util
from covector.tree_util import DictKey, FlattenedIndexKey, GetAttrKey, SequenceKey

Point = namedtuple("Point", "x y")


class Pair:
    """A plain container."""

    def __init__(self, a: object, b: object, tag: str = ""):
        self.a, self.b, self.tag = a, b, tag


tree_util.register_pytree_node(
    Pair, lambda p: ([p.a, p.b], p.tag), lambda tag, ab: Pair(*ab, tag=tag)
)


@tree_util.register_pytree_with_keys_class
class Named:
    """A container that names its children."""

    def __init__(self, a: object, b: object):
        self.a, self.b = a, b

    def tree_flatten_with_keys(self) -> object:
        return ((GetAttrKey("a"), self.a), (DictKey("b"), self.b)), None

    @classmethod
    def tree_unflatten(cls, data: None, children: tuple[object, object]) -> Named:
        return cls(*children)


@tree_util.register_dataclass
@dataclass
class Layer:
    """A dataclass with a static field."""

    w: object
    b: object
    kind: str = tree.static(default="dense")


@tree_util.register_static
@dataclass(frozen=True)
class Setting:
    """Static as a whole."""

    n: int


TREES = [
    1,
    None,
    [],
    [1, (2, 3), None],
    {"b": 1, "a": [2, {"c": 3}]},
    OrderedDict([("b", 1), ("a", 2)]),
    defaultdict(int, {"x": 1}),
    deque([1, 2]),
    Point(1, [2, 3]),
    (Setting(3), 4),
]


@pytest.mark.parametrize("x", TREES, ids=str)
def test_flatten_and_back(x: object) -> None:
    leaves, treedef = tree.flatten(x)
    assert leaves == tree.leaves(x)
    assert treedef == tree.structure(x)
    assert tree.unflatten(treedef, leaves) == x
    assert [leaf for _, leaf in tree.leaves_with_path(x)] == leaves
    assert tree.map(lambda v: v, x) == x


def test_order_of_leaves() -> None:
    assert tree.leaves({"b": 1, "a": 2}) == [2, 1]
    assert tree.leaves(OrderedDict([("b", 1), ("a", 2)])) == [1, 2]
    assert tree.leaves([None, 1]) == [1]
    assert tree.leaves([None, 1], is_leaf=lambda x: x is None) == [None, 1]
    assert list(tree.map(lambda x: x, {"b": 1, "a": 2})) == ["a", "b"]


def test_key_paths() -> None:
    x = {"a": [1, (2,)], "p": Point(3, Named(4, 5)), "q": Pair(6, 7), "r": Layer(8, None)}
    paths = {leaf: path for path, leaf in tree.leaves_with_path(x)}
    assert paths[2] == (DictKey("a"), SequenceKey(1), SequenceKey(0))
    assert paths[3] == (DictKey("p"), GetAttrKey("x"))
    assert paths[5] == (DictKey("p"), GetAttrKey("y"), DictKey("b"))
    assert paths[7] == (DictKey("q"), FlattenedIndexKey(1))
    assert tree_util.keystr(paths[8]) == "['r'].w"
    assert tree_util.keystr(paths[2], simple=True, separator="/") == "a/1/0"
    assert tree_util.keystr(paths[7]) == "['q'][<flat index 1>]"


def test_is_leaf_that_takes_the_path() -> None:
    x = {"a": [1, 2], "b": [3, None]}
    pairs, treedef = tree.flatten_with_path(
        x, is_leaf=lambda path, _: path == (DictKey("a"),), is_leaf_takes_path=True
    )
    assert pairs == [((DictKey("a"),), [1, 2]), ((DictKey("b"), SequenceKey(0)), 3)]
    assert treedef == tree.structure({"a": 0, "b": [0, None]})


def test_map_over_several_trees() -> None:
    assert tree.map(lambda a, b: (a, b), [1, 2], [3, {"x": 4}]) == [(1, 3), (2, {"x": 4})]
    named = tree.map_with_path(lambda p, a, b: (str(p[0]), a + b), {"k": 1}, {"k": 2})
    assert named == {"k": ("['k']", 3)}
    for other in ([1], {"a": 1}, None):
        with pytest.raises(ValueError, match=r"."):
            tree.map(lambda a, b: a, [1, 2], other)


def test_reduce_all_broadcast_transpose() -> None:
    assert tree.reduce(lambda a, b: a - b, [1, (2, 3)]) == -4
    assert tree.reduce(lambda a, b: a + b, [], 7) == 7
    assert tree.reduce_associative(lambda a, b: a + b, ["a", "b", {"c": "c"}, "d", "e"]) == "abcde"
    assert tree.reduce_associative(max, [], identity=0) == 0
    with pytest.raises(TypeError, match="needs an identity"):
        tree.reduce_associative(max, [])
    assert tree.all([1, (2, True)])
    assert not tree.all([1, 0])
    assert tree.broadcast((1, {"a": 2}), ([0, 0], {"a": (0, 0)})) == ([1, 1], {"a": (2, 2)})
    outer, inner = tree.structure([0, 0]), tree.structure({"a": 0, "b": 0})
    assert tree.transpose(outer, inner, [{"a": 1, "b": 2}, {"a": 3, "b": 4}]) == {
        "a": [1, 3],
        "b": [2, 4],
    }
    assert tree.transpose(tree.structure([]), inner, []) == {"a": [], "b": []}
    with pytest.raises(ValueError, match=r"."):
        tree.transpose(outer, inner, [{"a": 1}, {"a": 3}])


def test_structures() -> None:
    s = tree.structure((1, [2]))
    assert tree_util.treedef_children(s) == [tree.structure(1), tree.structure([2])]
    assert tree_util.treedef_is_leaf(tree.structure(1))
    assert not tree_util.treedef_is_leaf(s)
    assert tree_util.treedef_tuple([tree.structure(1), tree.structure([2])]) == s
    assert tree_util.all_leaves([1, "a"])
    assert not tree_util.all_leaves([1, []])
    assert tree_util.is_tree_node(Pair)
    assert not tree_util.is_tree_node(int)
    with pytest.raises(ValueError, match=r"."):
        tree.unflatten(s, [1])


def test_registered_classes() -> None:
    pair = tree.map(lambda x: x + 1, Pair(1, (2,), "t"))
    assert (pair.a, pair.b, pair.tag) == (2, (3,), "t")
    assert tree.structure(Pair(1, 2, "t")) != tree.structure(Pair(1, 2, "u"))
    assert tree.map(lambda x: -x, Layer(1, {"c": 2}, "conv")) == Layer(-1, {"c": -2}, "conv")
    assert tree.leaves(Setting(2)) == []
    with pytest.raises(ValueError, match="Named is a container already"):
        tree_util.register_pytree_with_keys_class(Named)


def test_dataclass_fields_must_be_named_once() -> None:
    @dataclass
    class Three:
        a: object
        b: object
        c: int = 0

    with pytest.raises(ValueError, match="its fields are a, b, c, but a, b were given"):
        tree_util.register_dataclass(Three, data_fields=["a", "b"], meta_fields=[])
    with pytest.raises(ValueError, match="each must be given just once"):
        tree_util.register_dataclass(Three, ["a", "b"], ["a", "c"])
    with pytest.raises(TypeError, match="together"):
        tree_util.register_dataclass(Three, ["a"])
    tree_util.register_dataclass(Three, ["a"], ["b"], ["c"])
    assert tree.map(lambda x: x + 1, Three(1, "s", 5)) == Three(2, "s", 0)


def test_partial() -> None:
    add = tree_util.Partial(lambda x, y, z: x + y * z, 1, z=3)
    assert tree.leaves(add) == [1, 3]
    assert tree.map(lambda x: 10 * x, add)(2) == 70
    path, _ = tree.leaves_with_path(add)[1]
    assert tree_util.keystr(path) == ".keywords['z']"


def test_transformations_take_registered_classes() -> None:
    layer = Layer(cnp.array([1.0, 2.0]), cnp.array(3.0))

    def loss(p: Layer) -> object:
        assert p.kind == "dense"
        return (p.w * p.w).sum() + p.b

    grads = cv.grad(loss)(layer)
    np.testing.assert_array_equal(np.asarray(grads.w), [2, 4])
    assert float(grads.b) == 1
    out = cv.jit(lambda p, f: Layer(p.w + f(1.0), p.b, p.kind))(
        layer, tree_util.Partial(lambda x, y: x * y, cnp.array(2.0))
    )
    np.testing.assert_array_equal(np.asarray(out.w), [3, 4])
    again = cv.jit(lambda p: p)(Pair(layer, Setting(1), "t"))
    assert (again.tag, again.b) == ("t", Setting(1))
    with pytest.raises(TypeError, match=r"\.b"):
        cv.grad(loss)(Layer(1.0, "text"))


def test_a_missing_name_is_an_attribute_error() -> None:
    for module in (tree, tree_util):
        with pytest.raises(AttributeError):
            _ = module.no_such_function
