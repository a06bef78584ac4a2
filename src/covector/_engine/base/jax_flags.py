"""The names of JAX's flags, for programs that set them: what each means here, if anything."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

# A flag of JAX: the flag of ours, and its value for a value of JAX's.
_MEANING: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "check_tracer_leaks": ("check_tracer_leaks", bool),
    "compilation_cache_dir": ("cache_dir", lambda folder: folder or ""),
    "compilation_cache_max_size": (
        "cache_limit_mb",
        lambda size: 1 << 40 if size < 0 else size >> 20,
    ),
    "debug_infs": ("debug_infs", bool),
    "debug_nans": ("debug_nans", bool),
    "default_matmul_precision": ("default_matmul_precision", lambda value: value or ""),
    "disable_jit": ("disable_jit", bool),
    "enable_x64": ("enable_x64", lambda state: None if state is None else bool(state)),
    "enable_compilation_cache": ("cache", bool),
    "explain_cache_misses": ("explain_cache_misses", bool),
    "log_compiles": ("log_compiles", bool),
    "no_tracing": ("no_tracing", bool),
    "numpy_dtype_promotion": ("numpy_dtype_promotion", str),
    "numpy_rank_promotion": ("numpy_rank_promotion", str),
    "platform_name": ("backend", lambda name: name or "cpu"),
    "platforms": ("backend", lambda names: (names or "cpu").split(",")[0]),
    "traceback_filtering": ("trim_tracebacks", lambda mode: mode != "off"),
}

# And back, where the value that JAX has differs from ours.
_BACK: dict[str, Callable[[Any], Any]] = {
    "compilation_cache_dir": lambda folder: folder or None,
    "compilation_cache_max_size": lambda megabytes: megabytes << 20,
    "default_matmul_precision": lambda value: value or None,
    "traceback_filtering": lambda trim: "auto" if trim else "off",
}

# What is as it is here, and cannot be set.
_ALWAYS: dict[str, Any] = {
    "default_prng_impl": "threefry2x32",
    "enable_checks": False,
    "enable_custom_prng": False,
    "threefry_partitionable": True,
}

# The others: about XLA, about other devices, or about experiments of JAX.
_WITHOUT_MEANING = """
allow_f16_reductions array_garbage_collection_guard auto_pcast backend_target
bcoo_cusparse_lowering captured_constants_report_frames captured_constants_warn_bytes
check_proxy_envs check_static_indices compilation_cache_check_contents
compilation_cache_expect_pgle compilation_cache_include_metadata_in_key
compiler_detailed_logging_min_ops compiler_enable_remat_pass cpu_collectives_implementation
cpu_enable_async_dispatch cpu_get_global_topology_timeout_minutes
cpu_get_local_topology_timeout_minutes cross_host_transfer_socket_address
cross_host_transfer_timeout_seconds cross_host_transfer_transfer_size
cross_host_transport_addresses cuda_visible_devices custom_vjp3 debug_key_reuse
debug_leaked_clients_on_clear_backends debug_log_modules default_device
default_prng_impl disable_bwd_checks disable_most_optimizations disable_vmap_shmap_error
disallow_mesh_context_manager distributed_debug dump_ir_modes dump_ir_to
embedded_constants_max_bytes enable_checks enable_custom_prng enable_pgle
enable_preemption_service enable_recoverability error_checking_behavior_divide
error_checking_behavior_nan error_checking_behavior_oob exec_time_optimization_effort
experimental_unsafe_xla_runtime_errors explicit_x64_dtypes export_calling_convention_version
export_ignore_forward_compatibility force_dcn_cross_host_transfers high_dynamic_range_gumbel
hlo_source_file_canonicalization_regex include_debug_info_in_dumps
include_full_tracebacks_in_locations legacy_prng_key log_checkpoint_residuals logging_level
memory_fitting_effort memory_fitting_level mock_gpu_topology mosaic_allow_hlo
mutable_array_checks no_execution num_cpu_devices oneapi_visible_devices optimization_level
pallas_enable_debug_checks pallas_poison_buffers pallas_use_mosaic_gpu pallas_verbose_errors
persistent_cache_enable_xla_caches persistent_cache_min_compile_time_secs
persistent_cache_min_entry_size_bytes pgle_aggregation_percentile pgle_profiling_runs
pjrt_client_create_options pprint_use_color ragged_dot_use_gpu_pallas_triton_lowering
ragged_dot_use_ragged_dot_instruction raise_persistent_cache_errors random_seed_offset
refs_to_pins remat3 remove_custom_partitioning_ptr_from_cache_key
remove_size_one_mesh_axis_from_type rocm_visible_devices scan3 send_traceback_to_runtime
serialization_version share_binary_between_hosts share_binary_between_hosts_timeout_ms
softmax_custom_jvp sort_devices_by_process_index source_url_schema thread_guard
threefry_gpu_kernel_lowering threefry_partitionable traceback_in_locations_limit
tracer_error_num_traceback_frames transfer_guard transfer_guard_device_to_device
transfer_guard_device_to_host transfer_guard_host_to_device use_direct_linearize
use_emit_pipeline_primitive use_magma use_shardy_partitioner use_simplified_jaxpr_constants
xla_backend xla_profile_version
""".split()  # noqa: SIM905 -- a hundred quoted names are harder to read

_warned: set[str] = set()


def translate(name: str, value: Any) -> tuple[str, Any] | None:
    """The flag of ours and its value for a flag of JAX; None, and a warning once, for one without a meaning here.

    AttributeError if JAX has no such flag.
    """
    plain = name.removeprefix("jax_")
    if plain in _MEANING:
        ours, convert = _MEANING[plain]
        return ours, convert(value)
    _check(plain)
    if plain not in _warned:
        _warned.add(plain)
        warnings.warn(f"the flag {name!r} has no effect here", stacklevel=3)
    return None


def value(name: str, ours: Callable[[str], Any]) -> Any:
    """The value of a flag of JAX's, from the flags of ours; AttributeError for one that has none here."""
    plain = name.removeprefix("jax_")
    if plain in _MEANING:
        found = ours(_MEANING[plain][0])
        return _BACK[plain](found) if plain in _BACK else found
    if plain in _ALWAYS:
        return _ALWAYS[plain]
    _check(plain)
    raise AttributeError(f"the flag {name!r} has no value here: it is about the inside of JAX")


def _check(plain: str) -> None:
    if plain not in _WITHOUT_MEANING:
        raise AttributeError(f"there is no flag 'jax_{plain}'")
