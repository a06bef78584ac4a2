"""Batching of primitives: names and meanings are those of `jax.interpreters.batching`.

A rule in `primitive_batchers` takes the operands and their batch axes (`not_mapped`, None, where there is none)
and gives the results and their batch axes; one in `fancy_primitive_batchers` first takes the axis: `.size`, `.name`.

>>> import covector
>>> from covector.extend.core import Primitive
>>> from covector.interpreters import batching, mlir
>>> negative_p = Primitive("negative")
>>> _ = negative_p.def_abstract_eval(lambda x: x)
>>> mlir.register_lowering(negative_p, mlir.lower_fun(lambda x: -x, multiple_results=False))
>>> batching.defvectorized(negative_p)
>>> print(covector.vmap(negative_p.bind)(covector.numpy.arange(3)))
[ 0 -1 -2]
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from covector._engine import primitives as prims
from covector._engine.api.vmappable import VMAPPABLES, Vmappable
from covector._engine.base.public import publish
from covector._engine.control.open import AXIS_BATCHERS, BATCHERS, OpenPrimitive
from covector._engine.core.trace import typeof
from covector._engine.transforms.batch import BatchTrace, BatchTracer

__all__ = [
    "BatchTrace",
    "BatchTracer",
    "axis_primitive_batchers",
    "bdim_at_front",
    "broadcast",
    "defbroadcasting",
    "defreducer",
    "defvectorized",
    "fancy_primitive_batchers",
    "moveaxis",
    "not_mapped",
    "primitive_batchers",
    "register_vmappable",
    "unregister_vmappable",
]

primitive_batchers = BATCHERS
fancy_primitive_batchers = AXIS_BATCHERS
not_mapped: None = None


class _ByAxis(dict[OpenPrimitive, Callable[..., Any]]):
    """Rules that first take the size and the name of the axis and, for older libraries, a third argument: None."""

    def __setitem__(self, primitive: OpenPrimitive, rule: Callable[..., Any]) -> None:
        super().__setitem__(primitive, rule)
        AXIS_BATCHERS[primitive] = partial(_of_axis, rule)


def _of_axis(rule: Callable[..., Any], axis: Any, *args: Any, **params: Any) -> Any:
    return rule(axis.size, axis.name, None, *args, **params)


axis_primitive_batchers = _ByAxis()


def moveaxis(x: Any, source: int, destination: int) -> Any:
    """The array with one axis in another place.

    >>> import covector
    >>> from covector.interpreters import batching
    >>> batching.moveaxis(covector.numpy.ones((2, 3)), 0, 1).shape
    (3, 2)
    """
    ndim = typeof(x).ndim
    return prims.move_axis(x, source % ndim, destination % ndim)


def broadcast(x: Any, sz: int, axis: int, mesh_axis: Any = None) -> Any:
    """The same value for every position of a new axis.

    >>> from covector.interpreters import batching
    >>> print(batching.broadcast(1.0, 3, 0))
    [1. 1. 1.]
    """
    return prims.add_batch_axis(x, sz, axis)


def bdim_at_front(x: Any, bdim: int | None, size: int, mesh_axis: Any = None) -> Any:
    """The operand with its batch axis in front; one that has none gets it.

    >>> import covector
    >>> from covector.interpreters import batching
    >>> batching.bdim_at_front(covector.numpy.ones((2, 3)), 1, 3).shape
    (3, 2)
    """
    return prims.batch_to_front(x, bdim, size)


def defvectorized(prim: OpenPrimitive) -> None:
    """Say that a primitive works element by element on one operand: it does so along a batch axis too.

    >>> from covector.extend.core import Primitive
    >>> from covector.interpreters import batching
    >>> batching.defvectorized(Primitive("g"))
    """
    BATCHERS[prim] = partial(_vectorized, prim)


def _vectorized(
    primitive: OpenPrimitive, args: Sequence[Any], dims: Sequence[int | None], **params: Any
) -> tuple[Any, Any]:
    (axis,) = set(dims)
    out = primitive.bind(*args, **params)
    return out, [axis] * len(out) if primitive.multiple_results else axis


def defbroadcasting(prim: OpenPrimitive) -> None:
    """Say that a primitive works element by element on operands of one shape.

    >>> from covector.extend.core import Primitive
    >>> from covector.interpreters import batching
    >>> batching.defbroadcasting(Primitive("h"))
    """
    BATCHERS[prim] = partial(_broadcasting, prim)


def _broadcasting(
    primitive: OpenPrimitive, args: Sequence[Any], dims: Sequence[int | None], **params: Any
) -> tuple[Any, Any]:
    size = next(typeof(x).shape[d] for x, d in zip(args, dims, strict=True) if d is not None)
    moved, axis = prims.same_batch_axis(args, dims, size)
    return _vectorized(primitive, moved, (axis,) * len(moved), **params)


def defreducer(prim: OpenPrimitive, ident: Any = None) -> None:
    """Say that a primitive of one operand reduces the axes in its parameter `axes`, and so does it beside a batch axis.

    `ident` is accepted: it is what JAX fills ragged axes with.

    >>> from covector.extend.core import Primitive
    >>> from covector.interpreters import batching
    >>> batching.defreducer(Primitive("total"))
    """
    BATCHERS[prim] = partial(_reducing, prim)


def _reducing(
    primitive: OpenPrimitive,
    args: Sequence[Any],
    dims: Sequence[int | None],
    *,
    axes: Sequence[int],
    **params: Any,
) -> tuple[Any, Any]:
    (x,), (axis,) = args, dims
    assert axis is not None
    moved = tuple([a + (a >= axis) for a in axes])
    out = primitive.bind(x, axes=moved, **params)
    return out, axis - sum(a < axis for a in moved)


def register_vmappable(
    data_type: type,
    spec_type: type,
    axis_size_type: type,
    to_elt: Callable[..., Any],
    from_elt: Callable[..., Any],
    make_iota: Callable[..., Any] | None,
) -> None:
    """Say how `vmap` takes objects of a class apart, and makes them again of its results.

    They are leaves for `in_axes` and `out_axes`, whose entries for them are a `spec_type`.  `to_elt(enter, index, x,
    entry)` makes one element: `enter(part, axis)` gives that of a part, `index()` its position.  `from_elt(leave,
    size, element, entry)` makes the whole again: `leave(size, part, axis)` gives the parts.  The size is an int, so
    `axis_size_type` must be it, and `make_iota`, which counts in another, is not called.

    >>> import covector
    >>> from covector.interpreters import batching
    >>> class Named:
    ...     def __init__(self, name, x):
    ...         self.name, self.x = name, x
    >>> batching.register_vmappable(
    ...     Named,
    ...     int,
    ...     int,
    ...     lambda enter, index, n, axis: Named(n.name, enter(n.x, axis)),
    ...     lambda leave, size, n, axis: Named(n.name, leave(size, n.x, axis)),
    ...     None,
    ... )
    >>> out = covector.vmap(lambda n, y: Named(n.name, n.x.sum() + y))(
    ...     Named("a", covector.numpy.ones((3, 2))), covector.numpy.arange(3.0)
    ... )
    >>> print(out.name, out.x)
    a [2. 3. 4.]
    """
    if axis_size_type is not int:
        raise TypeError(
            f"register_vmappable of {data_type.__name__}: the size of a batch is an int, so axis_size_type must be "
            f"int, got {axis_size_type!r}"
        )
    VMAPPABLES[data_type] = Vmappable(spec_type, to_elt, from_elt)


def unregister_vmappable(data_type: type) -> None:
    """Do nothing, as in JAX: what is registered stays so.

    >>> from covector.interpreters import batching
    >>> batching.unregister_vmappable(complex)
    """


publish(__name__)
