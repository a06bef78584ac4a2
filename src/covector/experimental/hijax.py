"""Primitives and types of one's own, each as a class: names and meanings are those of `jax.experimental.hijax`.

A primitive is its `expand`, with the rules that its class has besides.  A value of a type of one's own is, to whatever
traces it, the arrays that it is lowered to.  `covector.extend` has classes for more: loop code, C, NumPy.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from covector._engine.api.custom import custom_jvp, custom_vjp
from covector._engine.api.custom_vmap import custom_vmap
from covector._engine.base import errors, tree
from covector._engine.base.public import bounded, publish
from covector._engine.core.trace import typeof
from covector._engine.types.avals import ShapedArray as ShapedArray
from covector.interpreters.ad import (
    Zero as Zero,
    instantiate_zeros as instantiate_zeros,
    is_undefined_primal as is_undefined_primal,
)
from covector.ref import AbstractRef as AbstractRef

__all__ = [
    "AbstractRef",
    "AbstractValue",
    "HiPrim",
    "HiType",
    "ShapedArray",
    "Zero",
    "aval_method",
    "aval_property",
    "instantiate_zeros",
    "is_undefined_primal",
    "register_hitype",
]

AbstractValue = ShapedArray


class HiType:
    """The type of values of a class of one's own, which is to be subclassed, and equal and hashed by what it says.

    `lower_val(value)` gives the arrays that a value consists of, `raise_val(*arrays)` the value that they make;
    `lo_ty()` their types.

    >>> from covector.experimental import hijax
    >>> class Pair(hijax.HiType):
    ...     def lower_val(self, value):
    ...         return [value.a, value.b]
    >>> isinstance(Pair(), hijax.HiType)
    True
    """

    def lo_ty(self) -> list[Any]:
        """The types of the arrays; NotImplementedError unless the class says them.

        >>> import covector
        >>> from covector.experimental import hijax
        >>> class One(hijax.HiType):
        ...     def lo_ty(self):
        ...         return [covector.typeof(1.0)]
        >>> One().lo_ty()
        [ShapedArray(float32*[])]
        """
        raise NotImplementedError(f"{type(self).__name__} has no lo_ty")

    def lower_val(self, value: Any) -> list[Any]:
        """The arrays that a value consists of; NotImplementedError unless the class says them.

        >>> from covector.experimental import hijax
        >>> class One(hijax.HiType):
        ...     def lower_val(self, value):
        ...         return [value]
        >>> One().lower_val(1.0)
        [1.0]
        """
        raise NotImplementedError(f"{type(self).__name__} has no lower_val")

    def raise_val(self, *arrays: Any) -> Any:
        """The value that arrays make; NotImplementedError unless the class says it.

        >>> from covector.experimental import hijax
        >>> class One(hijax.HiType):
        ...     def raise_val(self, x):
        ...         return x
        >>> One().raise_val(1.0)
        1.0
        """
        raise NotImplementedError(f"{type(self).__name__} has no raise_val")


def register_hitype(val_cls: type, typeof_fn: Callable[[Any], HiType]) -> None:
    """Let values of a class be arguments and results of what is traced: they are the arrays they are lowered to.

    `typeof_fn` gives the `HiType` of a value.  To `tree_util` a value is one leaf.  ValueError if the class is
    registered already.

    >>> from covector.experimental import hijax
    >>> class Point:
    ...     def __init__(self, x, y):
    ...         self.x, self.y = x, y
    >>> class PointType(hijax.HiType):
    ...     def __eq__(self, other):
    ...         return type(self) is type(other)
    ...     def __hash__(self):
    ...         return hash(type(self))
    ...     def lower_val(self, value):
    ...         return [value.x, value.y]
    ...     def raise_val(self, x, y):
    ...         return Point(x, y)
    >>> hijax.register_hitype(Point, lambda value: PointType())
    >>> import covector
    >>> covector.jit(lambda p: Point(p.y, p.x))(Point(1.0, 2.0)).x
    Array(2., dtype=float32, weak_type=True)
    """

    def lower(value: Any) -> tuple[list[Any], HiType]:
        found = typeof_fn(value)
        return list(found.lower_val(value)), found

    def made(found: HiType, arrays: Any) -> Any:
        return found.raise_val(*arrays)

    tree.register_node(val_cls, lower, made, public=False)


def aval_property(fget: Callable[[Any], Any]) -> Any:
    """A property of tracers, in a type's class: of a type's values, which are themselves here, it is their own.

    >>> from covector.experimental import hijax
    >>> isinstance(hijax.aval_property(lambda x: x), property)
    True
    """
    return property(fget)


def aval_method(fun: Callable[..., Any]) -> Any:
    """A method of tracers, in a type's class: of a type's values, which are themselves here, it is their own.

    >>> from covector.experimental import hijax
    >>> hijax.aval_method(abs)(-1)
    1
    """
    return fun


@bounded
class HiPrim:
    """A primitive of one's own, to be subclassed: an object is one use of it, called with its operands.

    `__init__` sets `in_avals`, the types of the operands, `out_aval`, that of the result (both may be trees), and
    `params`, a dict whose entries become attributes; then it calls `super().__init__()`.  `expand(*operands)` says
    what is computed.  The rest is optional:

    - `jvp(primals, tangents)` gives the result and its tangent.
    - `vjp_fwd(nonzeros, *operands)` gives the result and what `vjp_bwd_retval(kept, cotangent)` needs to give a
      cotangent for each operand.  It counts where there is no `jvp`.
    - `batch(axis_data, operands, dims)` gives the result and its batch axes; the size is `axis_data.size`.

    Without them derivatives and batching are those of what `expand` does.

    Raises:
        TypeError: called with operands of other types.

    >>> import covector
    >>> from covector.experimental import hijax
    >>> class Clipped(hijax.HiPrim):
    ...     def __init__(self, aval):
    ...         self.in_avals, self.out_aval, self.params = (aval,), aval, {}
    ...         super().__init__()
    ...     def expand(self, x):
    ...         return covector.numpy.clip(x, 0, 1)
    ...     def vjp_fwd(self, nonzeros, x):
    ...         return self(x), None
    ...     def vjp_bwd_retval(self, kept, ct):
    ...         return (ct,)
    >>> covector.grad(lambda x: Clipped(covector.typeof(x))(x))(3.0)
    Array(1., dtype=float32, weak_type=True)
    """

    in_avals: tuple[Any, ...]
    out_aval: Any
    params: dict[str, Any]

    def __init__(self) -> None:
        for name in ("in_avals", "out_aval", "params"):
            if not hasattr(self, name):
                raise AttributeError(
                    f"{type(self).__name__}.__init__ must set {name} before it calls super().__init__()"
                )
        self.__dict__.update(self.params)

    def expand(self, *args: Any) -> Any:
        """What is computed; NotImplementedError unless the class says it.

        >>> import covector
        >>> from covector.experimental import hijax
        >>> class Twice(hijax.HiPrim):
        ...     def __init__(self, aval):
        ...         self.in_avals, self.out_aval, self.params = (aval,), aval, {}
        ...         super().__init__()
        ...     def expand(self, x):
        ...         return 2 * x
        >>> Twice(covector.typeof(1.0)).expand(1.0)
        2.0
        """
        raise NotImplementedError(f"{type(self).__name__} has no expand")

    def __call__(self, *args: Any) -> Any:
        self._check(args)
        return self._ruled()(*args)

    def _check(self, args: tuple[Any, ...]) -> None:
        wanted, found = tree.leaves(self.in_avals), tree.leaves(args)
        types = [typeof(x) for x in found]
        if len(wanted) != len(found) or any(
            isinstance(w, ShapedArray) and (w.shape, w.dtype) != (t.shape, t.dtype)
            for w, t in zip(wanted, types, strict=False)
        ):
            raise TypeError(
                f"{type(self).__name__} takes operands of types {self.in_avals}{errors.at_user_line()}, got "
                f"{[t.text() for t in types]}"
            )

    def _has(self, rule: str) -> bool:
        return hasattr(self, rule)

    def _ruled(self) -> Callable[..., Any]:
        """`expand` under the rules of the class."""
        rules: Any = self
        fun: Callable[..., Any] = self.expand
        if self._has("batch"):
            fun = custom_vmap(lambda *args: self.expand(*args))
            fun.def_vmap(self._batched)
        if self._has("jvp"):
            inner = fun
            ruled = custom_jvp(lambda *args: inner(*args))
            ruled.defjvp(lambda primals, tangents: rules.jvp(primals, tangents))
            return ruled
        if self._has("vjp_fwd") and self._has("vjp_bwd_retval"):
            inner = fun
            reverse = custom_vjp(lambda *args: inner(*args))
            reverse.defvjp(self._forward, lambda kept, ct: tuple(rules.vjp_bwd_retval(kept, ct)))
            return reverse
        return fun

    def _forward(self, *args: Any) -> tuple[Any, Any]:
        rules: Any = self
        return rules.vjp_fwd([True] * len(tree.leaves(args)), *args)

    def _batched(self, size: Any, batched: Any, *args: Any) -> tuple[Any, Any]:
        rules: Any = self
        dims = tree.map(lambda yes: 0 if yes else None, tuple(batched))
        out, out_dims = rules.batch(_Axis(size), args, dims)
        kept = tree.broadcast_prefix(out_dims, out, "the result of batch")
        leaves, treedef = tree.flatten(out)
        moved = [
            x if dim in (None, 0) else _to_front(x, dim)
            for x, dim in zip(leaves, kept, strict=True)
        ]
        flags = [dim is not None for dim in kept]
        return tree.unflatten(treedef, moved), tree.unflatten(treedef, flags)


def _to_front(x: Any, axis: int) -> Any:
    order = [axis, *[i for i in range(x.ndim) if i != axis]]
    return x.transpose(order)


class _Axis:
    """What a batch rule is told of the new axis."""

    def __init__(self, size: Any):
        self.size, self.name, self.explicit_mesh_axis = size, None, None


publish(__name__)
