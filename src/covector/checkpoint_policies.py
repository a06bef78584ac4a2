"""What `checkpoint` keeps: names and meanings are those of `jax.checkpoint_policies`.

A policy is a function `policy(primitive, *types_of_operands, **parameters)` that says whether the results are kept.
"""

from __future__ import annotations

from collections.abc import Sequence

from covector._engine.base.public import publish
from covector._engine.control.checkpoint import (
    Both,
    Names,
    OffloadDots,
    Policy,
    dots_saveable as dots_saveable,
    dots_with_no_batch_dims_saveable as dots_with_no_batch_dims_saveable,
    everything_saveable as everything_saveable,
    nothing_saveable as nothing_saveable,
)

__all__ = [
    "checkpoint_dots",
    "checkpoint_dots_with_no_batch_dims",
    "dots_saveable",
    "dots_with_no_batch_dims_saveable",
    "everything_saveable",
    "nothing_saveable",
    "offload_dot_with_no_batch_dims",
    "save_and_offload_only_these_names",
    "save_any_names_but_these",
    "save_anything_except_these_names",
    "save_from_both_policies",
    "save_only_these_names",
]

checkpoint_dots = dots_saveable
checkpoint_dots_with_no_batch_dims = dots_with_no_batch_dims_saveable


def save_only_these_names(*names: str) -> Policy:
    """Keep the values with these names (`checkpoint_name`)."""
    return Names(kept=names)


def save_any_names_but_these(*names: str) -> Policy:
    """Keep the values that have names, but for these."""
    return Names(dropped=names)


def save_anything_except_these_names(*names: str) -> Policy:
    """Keep all values, but for those with these names."""
    return Names(dropped=names, unnamed=True)


def save_from_both_policies(policy_1: Policy, policy_2: Policy) -> Policy:
    """Keep what either policy keeps."""
    return Both(policy_1, policy_2)


def offload_dot_with_no_batch_dims(offload_src: str, offload_dst: str) -> Policy:
    """Keep products of matrices without batch axes, in another memory: on the CPU, which has one, as they are."""
    return OffloadDots(offload_src, offload_dst)


def save_and_offload_only_these_names(
    *,
    names_which_can_be_saved: Sequence[str],
    names_which_can_be_offloaded: Sequence[str],
    offload_src: str,
    offload_dst: str,
) -> Policy:
    """Keep the values with these names, some in another memory: on the CPU, which has one, as they are."""
    return Names(tuple(names_which_can_be_saved), tuple(names_which_can_be_offloaded))


publish(__name__)
