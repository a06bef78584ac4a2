"""Records: frozen data classes whose `__init__` is written when the first one is made."""

from __future__ import annotations

import copy
import pickle
from threading import Barrier, Thread
from typing import Any, ClassVar

import pytest

from covector._engine.base.record import fields, record, replace


@record
class Point:
    kind: ClassVar[str] = "point"
    x: float
    y: float = 2.0


@record
class Named(Point):
    name: str = ""


@record(eq=False)
class Node:
    value: int
    children: tuple[Node, ...] = ()

    def __repr__(self) -> str:
        return f"<{self.value}>"


def test_fields_defaults_and_inheritance():
    assert fields(Point(1.0)) == ("x", "y")
    assert fields(Named(1.0)) == ("x", "y", "name")
    assert repr(Named(1.0, name="a")) == "Named(x=1.0, y=2.0, name='a')"
    match Named(1.0, 3.0, "b"):
        case Point(x, y):
            assert (x, y) == (1.0, 3.0)
    assert fields(object()) == ()


def test_equal_by_class_and_bits_or_by_identity():
    assert Point(1.0) == Point(1.0, 2.0)
    assert hash(Point(1.0)) == hash(Point(1.0, 2.0))
    for other in (Point(1), Point(True), Named(1.0), Point(1.0, -2.0), 1.0):
        assert Point(1.0) != other
    assert Point(0.0) != Point(-0.0)
    assert Point(float("nan")) == Point(float("nan"))
    a, b = Node(1), Node(1)
    assert a != b
    assert len({a, b}) == 2
    assert fields(a) == ()  # none tells one from another


@pytest.mark.parametrize(("args", "kwargs", "text"), [
    ((), {}, r"Point\.__init__\(\) missing 1 required positional argument: 'x'"),
    ((1, 2, 3), {}, r"Point\.__init__\(\) takes from 2 to 3 positional arguments but 4 were given"),
    ((1,), {"z": 2}, r"Point\.__init__\(\) got an unexpected keyword argument 'z'"),
])  # fmt: skip
def test_wrong_calls_name_the_class(args: Any, kwargs: Any, text: str):
    with pytest.raises(TypeError, match=text):
        Point(*args, **kwargs)


def test_immutable():
    for x in (Point(1.0), Node(1)):
        name = type(x).__match_args__[0]
        with pytest.raises(AttributeError, match=f"{type(x).__name__} is immutable: '{name}'"):
            setattr(x, name, 2)
        with pytest.raises(AttributeError, match="is immutable"):
            delattr(x, name)


def test_replaced_and_copied():
    tree = Node(1, (Node(2),))
    other = replace(tree, value=3)
    assert repr(other) == "<3>"
    assert other.children is tree.children
    assert tree.value == 1
    with pytest.raises(TypeError, match="'size'"):
        replace(tree, size=1)
    for made in (copy.copy(Named(1.0)), copy.deepcopy(Named(1.0)), replace(Named(1.0))):
        assert made == Named(1.0)


def test_a_pickle_holds_no_hash():
    x = Named(1.0, name="a")
    assert hash(x) == hash(
        Named(1.0, name="a")
    )  # it is kept from now on, and is another one in another process
    made = pickle.loads(pickle.dumps(x))
    assert made == x
    assert vars(made) == {"x": 1.0, "y": 2.0, "name": "a"}


def test_first_made_by_several_threads():
    for _ in range(20):

        @record
        class Fresh:
            x: int
            y: int = 5

        barrier, made = Barrier(4), list[Any]()

        def make(cls: Any = Fresh, barrier: Barrier = barrier, made: list[Any] = made) -> None:
            barrier.wait()
            made.append(cls(1))

        threads = [Thread(target=make) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert made == [Fresh(1, 5)] * 4
