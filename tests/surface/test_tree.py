"""Pytrees: the functions of `covector.tree` and registering classes."""

from __future__ import annotations

import collections
import dataclasses

import pytest

from covector import tree, tree_util

Pair = collections.namedtuple("Pair", ["left", "right"])


@tree_util.register_dataclass
@dataclasses.dataclass
class Layer:
    weight: float
    bias: float
    name: str = dataclasses.field(default="", metadata={"static": True})


@tree_util.register_pytree_node_class
class Box:
    def __init__(self, inside, label):
        self.inside, self.label = inside, label

    def tree_flatten(self):
        return (self.inside,), self.label

    @classmethod
    def tree_unflatten(cls, label, children):
        return cls(*children, label)


def test_flatten_and_back() -> None:
    t = {"b": [1, None, (2, 3)], "a": Pair(4, Layer(5, 6, "x"))}
    leaves, treedef = tree.flatten(t)
    assert leaves == [4, 5, 6, 1, 2, 3]
    assert tree.unflatten(treedef, leaves) == t
    assert tree.leaves(t) == leaves
    assert tree.structure(t) == treedef
    assert tree.structure(Layer(1, 2, "a")) != tree.structure(Layer(1, 2, "b"))
    assert tree.map(lambda x: x + 1, Box([1, 2], "k")).inside == [2, 3]
    assert tree.map(lambda x, y: (x, y), {"a": 1}, {"a": [2, 3]}) == {"a": (1, [2, 3])}
    with pytest.raises(ValueError, match="[Ee]xpected"):
        tree.map(lambda x, y: x, [1, 2], [1])


def test_reductions() -> None:
    assert tree.reduce(lambda a, b: a + b, [1, (2, 3)]) == 6
    assert tree.reduce(lambda a, b: a + b, [], 7) == 7
    assert tree.reduce_associative(lambda a, b: a + b, ["a", "b", "c"]) == "abc"
    assert tree.reduce_associative(lambda a, b: a + b, [], identity="") == ""
    assert tree.all([True, 1])
    assert not tree.all({"a": True, "b": False})


def test_transpose_and_broadcast() -> None:
    outer, inner = tree.structure([0, 0]), tree.structure({"a": 0, "b": 0})
    assert tree.transpose(outer, inner, [{"a": 1, "b": 2}, {"a": 3, "b": 4}]) == {"a": [1, 3], "b": [2, 4]}
    assert tree.transpose(outer, None, [(1, 2), (3, 4)]) == ([1, 3], [2, 4])
    assert tree.broadcast({"a": 1, "b": 2}, {"a": [0, 0], "b": 0}) == {"a": [1, 1], "b": 2}


def test_key_paths() -> None:
    t = {"a": [1, Pair(2, 3)], "b": Layer(4, 5), "c": Box(6, "k")}
    found = {tree_util.keystr(path): leaf for path, leaf in tree.leaves_with_path(t)}
    assert found == {
        "['a'][0]": 1, "['a'][1].left": 2, "['a'][1].right": 3, "['b'].weight": 4, "['b'].bias": 5,
        "['c'][<flat index 0>]": 6,
    }  # fmt: skip
    path = tree.leaves_with_path(t)[0][0]
    assert path == (tree_util.DictKey("a"), tree_util.SequenceKey(0))
    assert tree_util.keystr(path, simple=True, separator="/") == "a/0"
    named = tree.map_with_path(lambda p, x, y: (tree_util.keystr(p), x + y), [1, [2]], [10, [20]])
    assert named == [("[0]", 11), [("[1][0]", 22)]]
    assert tree.map_with_path(lambda p, x: x, []) == []


def test_registering() -> None:
    with pytest.raises(ValueError, match="Box is a container already"):
        tree_util.register_pytree_node(Box, lambda b: ((), None), lambda d, c: None)
    with pytest.raises(ValueError, match="its fields are weight, bias"):

        @dataclasses.dataclass
        class Half:
            weight: int
            bias: int

        tree_util.register_dataclass(Half, ["weight"], [])

    @tree_util.register_static
    class Mode:
        pass

    assert tree.leaves([Mode(), 1]) == [1]
    p = tree.map(lambda x: x * 2, tree_util.Partial(lambda a, b, c: (a, b, c), 1, c=3))
    assert p(0) == (2, 0, 6)


def test_structures() -> None:
    treedef = tree.structure((1, [2, 3]))
    assert tree_util.treedef_children(treedef) == [tree.structure(0), tree.structure([0, 0])]
    assert tree_util.treedef_tuple(tree_util.treedef_children(treedef)) == treedef
    assert tree_util.treedef_is_leaf(tree.structure(1))
    assert tree_util.all_leaves([1, "a"])
    assert not tree_util.all_leaves([1, [2]])
