"""How arrays lie in memory: names and meanings are those of `jax.experimental.layout`.  Here they lie by rows."""

from __future__ import annotations

from typing import Any

from covector._engine.base import errors, tree
from covector._engine.base.public import publish
from covector._engine.base.record import record
from covector._engine.core.trace import typeof
from covector._engine.runtime.device import check_places

__all__ = ["Format", "Layout", "with_layout_constraint"]


@record
class Layout:
    """The order of the axes in memory, the outermost first; without tiles.

    >>> from covector.experimental.layout import Layout
    >>> Layout((0, 1)).major_to_minor
    (0, 1)
    """

    major_to_minor: tuple[int, ...]
    tiling: tuple[tuple[int, ...], ...] | None = None
    sub_byte_element_size_in_bits: int = 0


@record
class Format:
    """A layout and a sharding, either of them None where it does not matter.

    >>> import covector
    >>> from covector.experimental.layout import Format, Layout
    >>> Format(Layout((0,)), covector.numpy.ones(2).sharding).layout
    Layout(major_to_minor=(0,), tiling=None, sub_byte_element_size_in_bits=0)
    """

    layout: Layout | None = None
    sharding: Any = None

    @property
    def device_set(self) -> set[Any]:
        """The devices of the sharding.

        >>> import covector
        >>> from covector.experimental.layout import Format
        >>> Format(None, covector.numpy.ones(2).sharding).device_set
        {CpuDevice(id=0)}
        """
        return set() if self.sharding is None else self.sharding.device_set


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
