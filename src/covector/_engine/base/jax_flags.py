"""The names of JAX's flags, for programs that set them: what each means here, if anything."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Generator
from contextlib import contextmanager
from contextvars import ContextVar
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
    "default_prng_impl": ("default_prng_impl", str),
    "disable_jit": ("disable_jit", bool),
    "enable_checks": ("verify", bool),
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
    "transfer_guard": ("transfer_guard", lambda level: level or "allow"),
    "transfer_guard_host_to_device": ("transfer_guard", lambda level: level or "allow"),
}

_DEVICE: ContextVar[Any] = ContextVar("default device", default=None)

# And back, where the value that JAX has differs from ours.
_BACK: dict[str, Callable[[Any], Any]] = {
    "compilation_cache_dir": lambda folder: folder or None,
    "compilation_cache_max_size": lambda megabytes: megabytes << 20,
    "default_matmul_precision": lambda value: value or None,
    "platforms": lambda backend: None if backend == "cpu" else backend,
    "traceback_filtering": lambda trim: "auto" if trim else "off",
    "transfer_guard": lambda level: None if level == "allow" else level,
    "transfer_guard_host_to_device": lambda level: None if level == "allow" else level,
}

# The others, with JAX's defaults: about XLA, about other devices, or about experiments of JAX.  What a program sets is
# kept for it to read, and does nothing.
_OTHERS: dict[str, Any] = {
    "accurate_erf_inv": False,
    "allow_f16_reductions": True,
    "array_garbage_collection_guard": None,
    "auto_pcast": True,
    "backend_target": None,
    "bcoo_cusparse_lowering": False,
    "captured_constants_report_frames": 0,
    "captured_constants_warn_bytes": 2000000000,
    "check_proxy_envs": None,
    "check_static_indices": False,
    "check_vma": False,
    "compilation_cache_check_contents": False,
    "compilation_cache_expect_pgle": False,
    "compilation_cache_include_metadata_in_key": False,
    "compiler_detailed_logging_min_ops": None,
    "compiler_enable_remat_pass": True,
    "cpu_collectives_implementation": "gloo",
    "cpu_enable_async_dispatch": None,
    "cpu_get_global_topology_timeout_minutes": 5,
    "cpu_get_local_topology_timeout_minutes": 2,
    "cross_host_transfer_socket_address": None,
    "cross_host_transfer_timeout_seconds": None,
    "cross_host_transfer_transfer_size": None,
    "cross_host_transport_addresses": None,
    "cuda_visible_devices": None,
    "custom_jvp3": False,
    "custom_vjp3": False,
    "debug_key_reuse": False,
    "debug_leaked_clients_on_clear_backends": False,
    "debug_log_modules": "",
    "default_device": None,
    "disable_bwd_checks": False,
    "disable_most_optimizations": None,
    "disable_vmap_shmap_error": False,
    "disallow_mesh_context_manager": False,
    "distributed_debug": False,
    "distributed_verify_secure_credentials": False,
    "dump_ir_modes": None,
    "dump_ir_to": None,
    "eager_constant_folding": False,
    "embedded_constants_max_bytes": 32,
    "enable_custom_prng": False,
    "enable_pgle": False,
    "enable_preemption_service": True,
    "enable_recoverability": False,
    "error_checking_behavior_divide": "ignore",
    "error_checking_behavior_nan": "ignore",
    "error_checking_behavior_oob": "ignore",
    "exec_time_optimization_effort": None,
    "experimental_unsafe_xla_runtime_errors": False,
    "explicit_x64_dtypes": "warn",
    "export_calling_convention_version": 10,
    "export_deserialize_expired_versions": False,
    "export_ignore_forward_compatibility": False,
    "force_dcn_cross_host_transfers": None,
    "high_dynamic_range_gumbel": False,
    "hlo_source_file_canonicalization_regex": None,
    "include_debug_info_in_dumps": None,
    "include_full_tracebacks_in_locations": True,
    "jax2tf_associative_scan_reductions": False,
    "jax2tf_default_native_serialization": True,
    "legacy_prng_key": "allow",
    "log_checkpoint_residuals": False,
    "logging_level": "NOTSET",
    "memory_fitting_effort": None,
    "memory_fitting_level": "O2",
    "mock_gpu_topology": None,
    "mock_num_gpu_processes": None,
    "mosaic_allow_hlo": False,
    "mosaic_unzip_debug_locations": True,
    "mtls_ca_file": None,
    "mtls_cert_file": None,
    "mtls_key_file": None,
    "mtls_peer_uri_prefix": None,
    "mutable_array_checks": True,
    "no_execution": False,
    "num_cpu_devices": -1,
    "oneapi_visible_devices": None,
    "optimization_level": "UNKNOWN",
    "pallas_auto_assign_collective_ids": "no",
    "pallas_auto_assign_collective_ids_limit": 25,
    "pallas_enable_debug_checks": False,
    "pallas_poison_buffers": False,
    "pallas_use_mosaic_gpu": None,
    "pallas_verbose_errors": None,
    "persistent_cache_enable_xla_caches": "xla_gpu_per_fusion_autotune_cache_dir",
    "persistent_cache_min_compile_time_secs": 1.0,
    "persistent_cache_min_entry_size_bytes": 0,
    "pgle_aggregation_percentile": 90,
    "pgle_profiling_runs": 3,
    "pjrt_client_create_options": None,
    "pprint_use_color": True,
    "ragged_dot_use_gpu_pallas_triton_lowering": None,
    "ragged_dot_use_ragged_dot_instruction": True,
    "raise_on_ppermute_sort_diff": True,
    "raise_persistent_cache_errors": False,
    "random_seed_offset": 0,
    "refs_to_pins": None,
    "remat3": False,
    "remat_barrier_no_cotangents": False,
    "remove_custom_partitioning_ptr_from_cache_key": False,
    "remove_size_one_mesh_axis_from_type": False,
    "rocm_visible_devices": None,
    "scan3": False,
    "send_traceback_to_runtime": "off",
    "serialization_version": 0,
    "share_binary_between_hosts": False,
    "share_binary_between_hosts_timeout_ms": 1200000,
    "softmax_custom_jvp": False,
    "sort_devices_by_process_index": None,
    "source_url_schema": None,
    "thread_guard": False,
    "threefry_gpu_kernel_lowering": False,
    "threefry_partitionable": True,
    "traceback_in_locations_limit": 100,
    "tracer_error_num_traceback_frames": None,
    "transfer_guard_device_to_device": None,
    "transfer_guard_device_to_host": None,
    "use_cpp_shard_args": False,
    "use_direct_linearize": True,
    "use_emit_pipeline_primitive": False,
    "use_hlo_logistic_lowering": None,
    "use_magma": "auto",
    "use_rgv3": True,
    "use_shardy_partitioner": True,
    "use_simplified_jaxpr_constants": False,
    "xla_backend": None,
    "xla_profile_version": 0,
}

_kept: dict[str, Any] = {}
_warned: set[str] = set()


def translate(name: str, value: Any) -> tuple[str, Any] | None:
    """The flag of ours and its value for a flag of JAX; None, and a warning once, for one without a meaning here.

    AttributeError if JAX has no such flag.
    """
    plain = name.removeprefix("jax_")
    if plain in _MEANING:
        ours, convert = _MEANING[plain]
        return ours, convert(value)
    default = _other(plain)
    if plain == "default_device":
        _check_device(value)
    elif value != default and plain not in _warned:
        _warned.add(plain)
        warnings.warn(f"the flag {name!r} has no effect here", stacklevel=3)
    _kept[plain] = value
    return None


def value(name: str, ours: Callable[[str], Any]) -> Any:
    """The value of a flag of JAX's, from the flags of ours; AttributeError for one that has none here."""
    plain = name.removeprefix("jax_")
    if plain == "default_device" and (device := _DEVICE.get()) is not None:
        return device
    if plain in _MEANING:
        found = ours(_MEANING[plain][0])
        return _BACK[plain](found) if plain in _BACK else found
    return _kept.get(plain, _other(plain))


@contextmanager
def on_device(device: Any) -> Generator[None, None, None]:
    """In a `with` block, what JAX's flag `default_device` reads as in this thread."""
    token = _DEVICE.set(device)
    try:
        yield
    finally:
        _DEVICE.reset(token)


# The flags whose names do not begin as those of the others do.
_BARE = (
    "jax2tf_associative_scan_reductions",
    "jax2tf_default_native_serialization",
    "check_vma",
    "eager_constant_folding",
    "mock_num_gpu_processes",
)


def names() -> list[str]:
    """The names of all flags of JAX's, as it writes them."""
    return [n if n in _BARE else f"jax_{n}" for n in (*_MEANING, *_OTHERS)]


def known(name: str) -> bool:
    """Whether a name may be that of a flag of JAX's: they begin so, but for a few."""
    return name.startswith("jax_") or name in _OTHERS


def _other(plain: str) -> Any:
    """The value of a flag without a meaning here as long as nobody sets it."""
    if plain not in _OTHERS:
        raise AttributeError(f"there is no flag 'jax_{plain}'")
    return _OTHERS[plain]


def _check_device(device: Any) -> None:
    """ValueError for a device, or the name of a platform, that is not there."""
    if device is not None and str(device).split(":")[0] != "cpu":
        raise ValueError(f"flag 'jax_default_device': {device!r} is not a device here")
