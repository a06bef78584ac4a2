"""Checkpointing: names and meanings are those of `jax.ad_checkpoint`."""

from __future__ import annotations

from covector import checkpoint_policies as checkpoint_policies
from covector._engine.api.checkpoint import (
    checkpoint as checkpoint,
    checkpoint_name as checkpoint_name,
    print_saved_residuals as print_saved_residuals,
    saved_residuals as saved_residuals,
)
from covector._engine.base.public import publish
from covector._engine.control.checkpoint import (
    Offloadable as Offloadable,
    Recompute as Recompute,
    Saveable as Saveable,
)
from covector._engine.control.names import named

remat = checkpoint
name_p = named("name_p")

__all__ = [
    "Offloadable",
    "Recompute",
    "Saveable",
    "checkpoint",
    "checkpoint_name",
    "checkpoint_policies",
    "name_p",
    "print_saved_residuals",
    "remat",
    "saved_residuals",
]
publish(__name__, modules=("checkpoint_policies",))
