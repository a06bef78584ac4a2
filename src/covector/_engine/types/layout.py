"""How arrays lie in memory: by rows."""

from __future__ import annotations

from typing import Any

from covector._engine.base.record import record


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
