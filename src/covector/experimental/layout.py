"""How arrays lie in memory: names and meanings are those of `jax.experimental.layout`.  Here they lie by rows."""

from __future__ import annotations

from typing import Any

from covector._engine.base import errors, tree
from covector._engine.base.public import publish
from covector._engine.core.trace import typeof
from covector._engine.runtime.device import check_places
from covector._engine.types.layout import Format, Layout

__all__ = ["Format", "Layout", "with_layout_constraint"]


def with_layout_constraint(x: Any, layouts: Any) -> Any:
    """The values of a pytree, which are to lie so: by rows, as all arrays do.

    TypeError for what is no Layout; ValueError for another order than by rows, and for tiles.

    >>> import covector
    >>> from covector.experimental.layout import Layout, with_layout_constraint
    >>> print(with_layout_constraint(covector.numpy.ones((1, 2)), Layout((0, 1))))
    [[1. 1.]]
    """
    found = tree.broadcast_prefix(
        layouts, x, "layouts", is_leaf=lambda y: isinstance(y, Layout | Format)
    )
    for layout, leaf in zip(found, tree.leaves(x), strict=True):
        if isinstance(layout, Format):
            check_places("with_layout_constraint", "layouts", layout.sharding)
            layout = layout.layout
        if layout is None:
            continue
        if not isinstance(layout, Layout):
            raise TypeError(
                f"with_layout_constraint: layouts must be Layouts, got {layout!r}{errors.at_user_line()}"
            )
        by_rows = tuple(range(typeof(leaf).ndim))
        if tuple(layout.major_to_minor) != by_rows or layout.tiling:
            raise ValueError(
                f"with_layout_constraint: arrays lie by rows, with major_to_minor={by_rows} and no tiling"
                f"{errors.at_user_line()}, got {layout!r}"
            )
    return x


publish(__name__)
