"""Keys of caches: values that compile to different code never have equal ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

import covector as cv
from covector._engine.base.exact import exact


@dataclass(frozen=True)
class Graph:
    """What says itself how it is hashed, with fields that are not hashable."""

    nodes: list[Any]
    names: dict[str, Any]
    data: Any = None

    def __hash__(self) -> int:
        return hash((tuple(map(str, self.nodes)), tuple(self.names)))


def test_fields_that_are_not_hashable() -> None:
    one, other = Graph([1], {"a": 1.0}), Graph([1.0], {"a": 1.0})
    assert one == other
    assert hash(exact(one)) == hash(exact(Graph([1], {"a": 1.0})))
    assert exact(one) == exact(Graph([1], {"a": 1.0})) != exact(other)
    assert exact(one) != exact(Graph([1], {"a": 1}))
    assert isinstance(hash(exact(Graph([], {}, np.zeros(2)))), int)


def test_such_are_static_arguments() -> None:
    f = cv.jit(lambda g, x: x * g.nodes[0], static_argnums=0)
    assert f(Graph([2], {}), 1).dtype == "int32"
    assert f(Graph([2.0], {}), 1).dtype == "float32"
