"""Covector: NumPy-style programs, compiled and transformed.

import covector as cv
import covector.numpy as cnp

loss = lambda w, x, y: cnp.mean((cnp.tanh(x @ w) - y) ** 2)
step = cv.jit(cv.value_and_grad(loss))
"""

import gc as _gc
import sys as _sys
import typing as _typing

from covector._engine.base.locks import import_late as _import_late


def _load() -> None:
    """Import what most programs need, with no collection of garbage: there is none, but looking took a sixth."""
    was_on = _gc.isenabled()
    _gc.disable()
    try:
        for module in ("covector.numpy", "covector._engine.api.derivatives"):
            _import_late(module)
    finally:
        if was_on:
            if (
                not _gc.get_freeze_count()
            ):  # all that is there counts as old: else a collection follows at once
                _gc.freeze()
                _gc.unfreeze()
            _gc.enable()


_load()

from covector import errors as errors, numpy as numpy
from covector._engine._native import Array as Array
from covector._engine.api.derivatives import (
    grad as grad,
    jvp as jvp,
    linear_transpose as linear_transpose,
    linearize as linearize,
    value_and_grad as value_and_grad,
    vjp as vjp,
)
from covector._engine.api.fwd_and_bwd import fwd_and_bwd as fwd_and_bwd
from covector._engine.api.jacobians import (
    hessian as hessian,
    jacfwd as jacfwd,
    jacrev as jacrev,
)
from covector._engine.api.jit import jit as jit
from covector._engine.api.modes import (
    check_tracer_leaks as check_tracer_leaks,
    checking_leaks as checking_leaks,
    debug_infs as debug_infs,
    debug_nans as debug_nans,
    default_device as default_device,
    default_matmul_precision as default_matmul_precision,
    default_prng_impl as default_prng_impl,
    disable_jit as disable_jit,
    enable_checks as enable_checks,
    enable_x64 as enable_x64,
    explain_cache_misses as explain_cache_misses,
    log_compiles as log_compiles,
    named_call as named_call,
    named_scope as named_scope,
    no_tracing as no_tracing,
    numpy_dtype_promotion as numpy_dtype_promotion,
    numpy_rank_promotion as numpy_rank_promotion,
    transfer_guard as transfer_guard,
    transfer_guard_device_to_device as transfer_guard_device_to_device,
    transfer_guard_device_to_host as transfer_guard_device_to_host,
    transfer_guard_host_to_device as transfer_guard_host_to_device,
)
from covector._engine.api.options import Inline as Inline
from covector._engine.api.transforms import (
    eval_shape as eval_shape,
    make_jaxpr as make_jaxpr,
    vmap as vmap,
)
from covector._engine.base.caches import clear_caches as clear_caches
from covector._engine.base.config import config as config
from covector._engine.base.public import Missing as _Missing, publish as _publish
from covector._engine.base.version import VERSION as _VERSION
from covector._engine.runtime.device import (
    Device as Device,
    block_until_ready as block_until_ready,
    default_backend as default_backend,
    device_count as device_count,
    device_get as device_get,
    device_put as device_put,
    devices as devices,
    local_devices as local_devices,
)
from covector._engine.types.avals import ShapeDtypeStruct as ShapeDtypeStruct
from covector._engine.types.dtypes import float0 as float0

jacobian = jacrev
__version__ = _VERSION

if _typing.TYPE_CHECKING:
    from covector import (
        ad as ad,
        ad_checkpoint as ad_checkpoint,
        api_util as api_util,
        as_jax as as_jax,
        checkpoint_policies as checkpoint_policies,
        core as core,
        custom_batching as custom_batching,
        custom_derivatives as custom_derivatives,
        debug as debug,
        dlpack as dlpack,
        dtypes as dtypes,
        example_libraries as example_libraries,
        experimental as experimental,
        extend as extend,
        ffi as ffi,
        flatten_util as flatten_util,
        image as image,
        interpreters as interpreters,
        lax as lax,
        nn as nn,
        ops as ops,
        random as random,
        ref as ref,
        scipy as scipy,
        sharding as sharding,
        stages as stages,
        test_util as test_util,
        tree as tree,
        tree_util as tree_util,
        typing as typing,
        version as version,
    )
    from covector._engine.api.callbacks import (
        effects_barrier as effects_barrier,
        pure_callback as pure_callback,
    )
    from covector._engine.api.evaluation import (
        ensure_compile_time_eval as ensure_compile_time_eval,
    )
    from covector._engine.api.meshes import (
        get_abstract_mesh as get_abstract_mesh,
        get_mesh as get_mesh,
        make_array_from_callback as make_array_from_callback,
        make_array_from_process_local_data as make_array_from_process_local_data,
        make_array_from_single_device_arrays as make_array_from_single_device_arrays,
        reshard as reshard,
        set_mesh as set_mesh,
        smap as smap,
        use_abstract_mesh as use_abstract_mesh,
    )
    from covector._engine.api.sharded import (
        make_mesh as make_mesh,
        pmap as pmap,
        shard_map as shard_map,
    )
    from covector._engine.runtime.device import (
        copy_to_host_async as copy_to_host_async,
        host_count as host_count,
        host_id as host_id,
        host_ids as host_ids,
        local_device_count as local_device_count,
        process_count as process_count,
        process_index as process_index,
        process_indices as process_indices,
    )
    from covector._engine.runtime.placement import Shard as Shard, live_arrays as live_arrays
    from covector._engine.types.sharding import P as P
    from covector.ad_checkpoint import checkpoint as checkpoint, remat as remat
    from covector.custom_derivatives import (
        closure_convert as closure_convert,
        custom_gradient as custom_gradient,
        custom_jvp as custom_jvp,
        custom_vjp as custom_vjp,
    )
    from covector.ref import (
        Ref as Ref,
        empty_ref as empty_ref,
        free_ref as free_ref,
        freeze as freeze,
        new_ref as new_ref,
        typeof as typeof,
    )
    from covector.sharding import NamedSharding as NamedSharding

# Loaded when they are first used, which keeps `import covector` short: modules, and names that a module has.
_NAMES = {
    "copy_to_host_async": "_engine.runtime.device",
    "get_abstract_mesh": "_engine.api.meshes",
    "get_mesh": "_engine.api.meshes",
    "host_count": "_engine.runtime.device",
    "host_id": "_engine.runtime.device",
    "host_ids": "_engine.runtime.device",
    "local_device_count": "_engine.runtime.device",
    "make_array_from_callback": "_engine.api.meshes",
    "make_array_from_process_local_data": "_engine.api.meshes",
    "make_array_from_single_device_arrays": "_engine.api.meshes",
    "process_count": "_engine.runtime.device",
    "process_index": "_engine.runtime.device",
    "process_indices": "_engine.runtime.device",
    "reshard": "_engine.api.meshes",
    "set_mesh": "_engine.api.meshes",
    "smap": "_engine.api.meshes",
    "use_abstract_mesh": "_engine.api.meshes",
    "Shard": "_engine.runtime.placement",
    "NamedSharding": "sharding",
    "P": "_engine.types.sharding",
    "Ref": "ref",
    "checkpoint": "ad_checkpoint",
    "closure_convert": "custom_derivatives",
    "custom_gradient": "custom_derivatives",
    "custom_jvp": "custom_derivatives",
    "custom_vjp": "custom_derivatives",
    "effects_barrier": "_engine.api.callbacks",
    "empty_ref": "ref",
    "ensure_compile_time_eval": "_engine.api.evaluation",
    "free_ref": "ref",
    "freeze": "ref",
    "make_mesh": "_engine.api.sharded",
    "new_ref": "ref",
    "live_arrays": "_engine.runtime.placement",
    "pmap": "_engine.api.sharded",
    "pure_callback": "_engine.api.callbacks",
    "remat": "ad_checkpoint",
    "shard_map": "_engine.api.sharded",
    "typeof": "ref",
}
_LATER = (
    "ad",
    "ad_checkpoint",
    "api_util",
    "as_jax",
    "checkpoint_policies",
    "core",
    "custom_batching",
    "custom_derivatives",
    "debug",
    "dlpack",
    "dtypes",
    "example_libraries",
    "experimental",
    "extend",
    "ffi",
    "flatten_util",
    "image",
    "interpreters",
    "lax",
    "monitoring",
    "nn",
    "ops",
    "random",
    "ref",
    "scipy",
    "sharding",
    "stages",
    "test_util",
    "tree",
    "tree_util",
    "typing",
    "version",
)


def _late(name: str) -> _typing.Any:
    found = _import_late(f"covector.{_NAMES.get(name, name)}")
    return getattr(found, name) if name in _NAMES else found


_sys.meta_path.append(_Missing())
_publish(__name__, modules=("errors", "numpy"), later=(*_LATER, *_NAMES), load=_late)
