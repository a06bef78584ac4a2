"""Optimizers of one array, made optimizers of trees: names and meanings are those of JAX's example library.

An optimizer is `(init, update, get_params)`: `state = init(params)`, then `state = update(step, gradients, state)`,
and `get_params(state)` at any time.

>>> from covector.example_libraries import optimizers
>>> init, update, get_params = optimizers.sgd(0.5)
>>> get_params(update(0, {"w": 2.0}, init({"w": 3.0})))
{'w': 2.0}
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from covector import numpy as cnp
from covector._engine.base import errors
from covector._engine.base.public import publish
from covector.tree_util import (
    register_pytree_node,
    tree_flatten,
    tree_leaves,
    tree_map,
    tree_structure,
    tree_unflatten,
)

__all__ = [
    "JoinPoint",
    "Optimizer",
    "OptimizerState",
    "adagrad",
    "adam",
    "adamax",
    "clip_grads",
    "constant",
    "exponential_decay",
    "inverse_time_decay",
    "l2_norm",
    "make_schedule",
    "momentum",
    "nesterov",
    "optimizer",
    "pack_optimizer_state",
    "piecewise_constant",
    "polynomial_decay",
    "rmsprop",
    "rmsprop_momentum",
    "sgd",
    "sm3",
    "unpack_optimizer_state",
]

Schedule = Callable[[Any], Any]
Triple = tuple[Callable[..., Any], Callable[..., Any], Callable[..., Any]]


class OptimizerState:
    """The state of an optimizer of a tree: the leaves of each leaf's state, a tuple for each; and their structures."""

    def __init__(self, packed_state: Any, tree_def: Any, subtree_defs: Any):
        self.packed_state, self.tree_def, self.subtree_defs = packed_state, tree_def, subtree_defs

    def __iter__(self) -> Any:
        return iter((self.packed_state, self.tree_def, self.subtree_defs))


register_pytree_node(
    OptimizerState,
    lambda state: ((state.packed_state,), (state.tree_def, state.subtree_defs)),
    lambda static, children: OptimizerState(children[0], *static),
)


class Optimizer(NamedTuple):
    """What an optimizer consists of."""

    init_fn: Callable[[Any], Any]
    update_fn: Callable[[Any, Any, Any], Any]
    params_fn: Callable[[Any], Any]


def optimizer(opt_maker: Callable[..., Triple]) -> Callable[..., Optimizer]:
    """What makes an optimizer of trees, from what makes one of a single array.

    That one's state may be a tree of its own.  TypeError, when it is used, if gradients or a new state have another
    structure than the parameters or the old one.

    >>> from covector.example_libraries import optimizers
    >>> @optimizers.optimizer
    ... def plain(rate):
    ...     return lambda x: x, lambda i, g, x: x - rate * g, lambda x: x
    >>> init, update, get_params = plain(1.0)
    >>> get_params(update(0, [1.0, 2.0], init([3.0, 3.0])))
    [2.0, 1.0]
    """

    @functools.wraps(opt_maker)
    def of_trees(*args: Any, **kwargs: Any) -> Optimizer:
        init, update, get_params = opt_maker(*args, **kwargs)

        def packed(states: Sequence[Any], structure: Any) -> OptimizerState:
            flat = [tree_flatten(state) for state in states]
            leaves = tuple([tuple(found) for found, _ in flat])
            return OptimizerState(leaves, structure, tuple([below for _, below in flat]))

        def unpacked(state: OptimizerState) -> list[Any]:
            pairs = zip(state.subtree_defs, state.packed_state, strict=True)
            return [tree_unflatten(below, leaves) for below, leaves in pairs]

        def init_tree(params: Any) -> OptimizerState:
            leaves, structure = tree_flatten(params)
            return packed([init(x) for x in leaves], structure)

        def update_tree(i: Any, gradients: Any, state: OptimizerState) -> OptimizerState:
            leaves, structure = tree_flatten(gradients)
            if structure != state.tree_def:
                raise TypeError(
                    f"the gradients have the structure {structure}{errors.at_user_line()}, but the parameters "
                    f"{state.tree_def}"
                )
            before = unpacked(state)
            made = packed(
                [update(i, g, own) for g, own in zip(leaves, before, strict=True)], structure
            )
            for old, new in zip(state.subtree_defs, made.subtree_defs, strict=True):
                if old != new:
                    raise TypeError(
                        f"update of {opt_maker.__name__} gives a state of structure {new}, but it was {old}"
                    )
            return made

        def params_of(state: OptimizerState) -> Any:
            return tree_unflatten(state.tree_def, [get_params(own) for own in unpacked(state)])

        return Optimizer(init_tree, update_tree, params_of)

    return of_trees


def _with_zeros(count: int) -> Callable[[Any], Any]:
    """What makes the first state: the parameters, and as many zeros of their shape."""
    return lambda x: (x, *[cnp.zeros_like(x) for _ in range(count)])


def _first(state: Any) -> Any:
    return state[0]


@optimizer
def sgd(step_size: Any) -> Triple:
    """Steps against the gradient.

    >>> from covector.example_libraries import optimizers
    >>> len(optimizers.sgd(0.1))
    3
    """
    rate = make_schedule(step_size)
    return lambda x: x, lambda i, g, x: x - rate(i) * g, lambda x: x


@optimizer
def momentum(step_size: Any, mass: float) -> Triple:
    """Steps along a velocity, to which gradients are added and of which a part is kept (Polyak, 1964).

    >>> from covector.example_libraries import optimizers
    >>> len(optimizers.momentum(0.1, mass=0.9))
    3
    """
    rate = make_schedule(step_size)

    def update(i: Any, g: Any, state: Any) -> Any:
        x, velocity = state
        velocity = mass * velocity + g
        return x - rate(i) * velocity, velocity

    return _with_zeros(1), update, _first


@optimizer
def nesterov(step_size: Any, mass: float) -> Triple:
    """The same, looking one step ahead (Nesterov, 1983).

    >>> from covector.example_libraries import optimizers
    >>> len(optimizers.nesterov(0.1, mass=0.9))
    3
    """
    rate = make_schedule(step_size)

    def update(i: Any, g: Any, state: Any) -> Any:
        x, velocity = state
        velocity = mass * velocity + g
        return x - rate(i) * (mass * velocity + g), velocity

    return _with_zeros(1), update, _first


@optimizer
def adagrad(step_size: Any, momentum: float = 0.9) -> Triple:
    """Steps scaled by the root of the sum of squared gradients (Duchi, Hazan, Singer, 2011), with momentum.

    >>> from covector.example_libraries import optimizers
    >>> len(optimizers.adagrad(0.1))
    3
    """
    rate = make_schedule(step_size)

    def update(i: Any, g: Any, state: Any) -> Any:
        x, squares, mean = state
        squares = squares + cnp.square(g)
        mean = (1.0 - momentum) * (g * _inverse_root(squares)) + momentum * mean
        return x - rate(i) * mean, squares, mean

    return _with_zeros(2), update, _first


def _inverse_root(x: Any) -> Any:
    """One over the root, and 0 where there is nothing under it."""
    return cnp.where(x > 0, 1.0 / cnp.sqrt(cnp.where(x > 0, x, 1)), 0.0)


@optimizer
def rmsprop(step_size: Any, gamma: float = 0.9, eps: float = 1e-8) -> Triple:
    """Steps scaled by the root of a moving mean of squared gradients (Tieleman, Hinton, 2012).

    >>> from covector.example_libraries import optimizers
    >>> len(optimizers.rmsprop(0.1))
    3
    """
    rate = make_schedule(step_size)

    def update(i: Any, g: Any, state: Any) -> Any:
        x, squares = state
        squares = squares * gamma + cnp.square(g) * (1.0 - gamma)
        return x - rate(i) * g / cnp.sqrt(squares + eps), squares

    return _with_zeros(1), update, _first


@optimizer
def rmsprop_momentum(
    step_size: Any, gamma: float = 0.9, eps: float = 1e-8, momentum: float = 0.9
) -> Triple:
    """The same, with momentum of the steps.

    >>> from covector.example_libraries import optimizers
    >>> len(optimizers.rmsprop_momentum(0.1))
    3
    """
    rate = make_schedule(step_size)

    def update(i: Any, g: Any, state: Any) -> Any:
        x, squares, step = state
        squares = squares * gamma + cnp.square(g) * (1.0 - gamma)
        step = momentum * step + rate(i) * g / cnp.sqrt(squares + eps)
        return x - step, squares, step

    return _with_zeros(2), update, _first


@optimizer
def adam(step_size: Any, b1: float = 0.9, b2: float = 0.999, eps: float = 1e-8) -> Triple:
    """Steps of moving means of gradients and their squares, both without bias (Kingma, Ba, 2014).

    >>> from covector.example_libraries import optimizers
    >>> len(optimizers.adam(0.1))
    3
    """
    rate = make_schedule(step_size)

    def update(i: Any, g: Any, state: Any) -> Any:
        x, mean, squares = state
        mean = (1 - b1) * g + b1 * mean
        squares = (1 - b2) * cnp.square(g) + b2 * squares
        step = mean / (1 - cnp.asarray(b1, mean.dtype) ** (i + 1))
        scale = squares / (1 - cnp.asarray(b2, mean.dtype) ** (i + 1))
        return x - rate(i) * step / (cnp.sqrt(scale) + eps), mean, squares

    return _with_zeros(2), update, _first


@optimizer
def adamax(step_size: Any, b1: float = 0.9, b2: float = 0.999, eps: float = 1e-8) -> Triple:
    """Adam with the largest gradient that is not long ago in place of the mean of squares (Kingma, Ba, 2014).

    >>> from covector.example_libraries import optimizers
    >>> len(optimizers.adamax(0.1))
    3
    """
    rate = make_schedule(step_size)

    def update(i: Any, g: Any, state: Any) -> Any:
        x, mean, largest = state
        mean = (1 - b1) * g + b1 * mean
        largest = cnp.maximum(b2 * largest, cnp.abs(g))
        factor = rate(i) / (1 - cnp.asarray(b1, mean.dtype) ** (i + 1))
        return x - factor * mean / (largest + eps), mean, largest

    return _with_zeros(2), update, _first


@optimizer
def sm3(step_size: Any, momentum: float = 0.9) -> Triple:
    """Adagrad with one sum of squares for each index of each axis (Anil, Gupta, Koren, Singer, 2019).

    >>> from covector.example_libraries import optimizers
    >>> len(optimizers.sm3(0.1))
    3
    """
    rate = make_schedule(step_size)

    def along(values: Any, axis: int, ndim: int) -> Any:
        return values.reshape([-1 if i == axis else 1 for i in range(ndim)])

    def init(x: Any) -> Any:
        sums = [cnp.zeros(n, x.dtype) for n in cnp.shape(x)]
        return x, cnp.zeros_like(x), sums

    def update(i: Any, g: Any, state: Any) -> Any:
        x, mean, sums = state
        ndim = cnp.ndim(x)
        squares = cnp.square(g)
        if sums:
            squares = squares + functools.reduce(
                cnp.minimum, [along(s, axis, ndim) for axis, s in enumerate(sums)]
            )
        mean = (1.0 - momentum) * (g * _inverse_root(squares)) + momentum * mean
        others = [tuple([a for a in range(ndim) if a != axis]) for axis in range(ndim)]
        return x - rate(i) * mean, mean, [squares.max(axes) for axes in others]

    return init, update, _first


# ------------------------------------------------------------------------------------------------- step sizes


def make_schedule(scalar_or_schedule: Any) -> Schedule:
    """A function of the step's number: the one that is given, or always this number.  TypeError for anything else.

    >>> from covector.example_libraries import optimizers
    >>> optimizers.make_schedule(0.1)(5)
    0.1
    """
    if callable(scalar_or_schedule):
        return scalar_or_schedule
    if cnp.ndim(scalar_or_schedule) == 0:
        return constant(scalar_or_schedule)
    raise TypeError(
        f"a step size is a number or a function of the step, got {scalar_or_schedule!r}{errors.at_user_line()}"
    )


def constant(step_size: Any) -> Schedule:
    """Always this one.

    >>> from covector.example_libraries import optimizers
    >>> optimizers.constant(0.1)(5)
    0.1
    """
    return lambda i: step_size


def exponential_decay(step_size: Any, decay_steps: Any, decay_rate: Any) -> Schedule:
    """Times `decay_rate` in each `decay_steps` steps.

    >>> from covector.example_libraries import optimizers
    >>> optimizers.exponential_decay(1.0, 2, 0.5)(4)
    0.25
    """
    return lambda i: step_size * decay_rate ** (i / decay_steps)


def inverse_time_decay(
    step_size: Any, decay_steps: Any, decay_rate: Any, staircase: bool = False
) -> Schedule:
    """Over one and `decay_rate` times the steps, counted in `decay_steps`; whole ones only in a `staircase`.

    >>> from covector.example_libraries import optimizers
    >>> optimizers.inverse_time_decay(1.0, 2, 1.0)(4)
    0.3333333333333333
    """
    if staircase:
        return lambda i: step_size / (1 + decay_rate * cnp.floor(i / decay_steps))
    return lambda i: step_size / (1 + decay_rate * i / decay_steps)


def polynomial_decay(
    step_size: Any, decay_steps: Any, final_step_size: Any, power: float = 1.0
) -> Schedule:
    """From one to another in `decay_steps` steps, along a power of what is left of them.

    >>> from covector.example_libraries import optimizers
    >>> print(optimizers.polynomial_decay(1.0, 4, 0.0)(1))
    0.75
    """

    def schedule(i: Any) -> Any:
        left = 1 - cnp.minimum(i, decay_steps) / decay_steps
        return left**power * (step_size - final_step_size) + final_step_size

    return schedule


def piecewise_constant(boundaries: Any, values: Any) -> Schedule:
    """The value between these boundaries; ValueError unless there is one value more.

    >>> from covector.example_libraries import optimizers
    >>> print(optimizers.piecewise_constant([2], [1.0, 0.5])(3))
    0.5
    """
    edges, sizes = cnp.array(boundaries), cnp.array(values)
    if not edges.ndim == sizes.ndim == 1 or len(sizes) != len(edges) + 1:
        raise ValueError(
            f"piecewise_constant takes a list of boundaries and one of values, longer by one, got {boundaries!r} and "
            f"{values!r}{errors.at_user_line()}"
        )
    return lambda i: sizes[cnp.sum(i > edges)]


# --------------------------------------------------------------------------------------------------- gradients


def l2_norm(tree: Any) -> Any:
    """The root of the sum of the squares of all leaves.

    >>> from covector.example_libraries import optimizers
    >>> print(optimizers.l2_norm([3.0, 4.0]))
    5.0
    """
    return cnp.sqrt(sum([cnp.vdot(x, x) for x in tree_leaves(tree)]))


def clip_grads(grad_tree: Any, max_norm: Any) -> Any:
    """The tree, made shorter where its norm is more than `max_norm`.

    >>> from covector.example_libraries import optimizers
    >>> [float(x) for x in optimizers.clip_grads([3.0, 4.0], 10.0)]
    [3.0, 4.0]
    """
    norm = l2_norm(grad_tree)
    return tree_map(lambda g: cnp.where(norm < max_norm, g, g * (max_norm / norm)), grad_tree)


# ------------------------------------------------------------------------------------------------------- states


class JoinPoint:
    """In a state that is taken apart, the state of one leaf."""

    def __init__(self, subtree: Any):
        self.subtree = subtree

    def __iter__(self) -> Any:
        yield self.subtree


def unpack_optimizer_state(opt_state: OptimizerState) -> Any:
    """The state as a tree of the parameters' structure, whose leaves are `JoinPoint`s: to be saved.

    >>> from covector.example_libraries import optimizers
    >>> state = optimizers.sgd(0.1)[0]({"w": 1.0})
    >>> optimizers.unpack_optimizer_state(state)["w"].subtree
    1.0
    """
    pairs = zip(opt_state.subtree_defs, opt_state.packed_state, strict=True)
    points = [JoinPoint(tree_unflatten(below, leaves)) for below, leaves in pairs]
    return tree_unflatten(opt_state.tree_def, points)


def pack_optimizer_state(marked_pytree: Any) -> OptimizerState:
    """The state again: undoes `unpack_optimizer_state`; TypeError unless the leaves are `JoinPoint`s.

    >>> from covector.example_libraries import optimizers
    >>> init, _, get_params = optimizers.sgd(0.1)
    >>> get_params(optimizers.pack_optimizer_state(optimizers.unpack_optimizer_state(init({"w": 1.0}))))
    {'w': 1.0}
    """
    points, structure = tree_flatten(marked_pytree)
    if not all(isinstance(point, JoinPoint) for point in points):
        raise TypeError(
            f"pack_optimizer_state takes a tree of JoinPoints, got {marked_pytree!r}{errors.at_user_line()}"
        )
    leaves = tuple([tuple(tree_leaves(point.subtree)) for point in points])
    return OptimizerState(leaves, structure, tuple([tree_structure(p.subtree) for p in points]))


publish(__name__)
