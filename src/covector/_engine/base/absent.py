"""What JAX has and Covector does not: why, and what to use instead.  One table, for messages and for the docs."""

from __future__ import annotations

from typing import NamedTuple

from covector._engine.base.jax_names import NAMES

__all__ = ["ABSENT", "NOT_YET", "Absence", "absence", "explain", "names_of"]


class Absence(NamedTuple):
    """Some names of a package that are not there, for one reason."""

    package: str  # without the first part, as in `NAMES`
    names: str
    why: str
    instead: str


_ONE_DEVICE = "arrays are on one device, in one process"
_ONE_PROCESS = "there is one process"
_OF_XLA = "it is about XLA, and Covector has a compiler of its own"
_INSIDE = "it shows the inside of JAX, and ours is another"
NOT_YET = Absence("", "", "it has not been written yet", "")

ABSENT: tuple[Absence, ...] = (
    Absence("", "distributed", _ONE_PROCESS, "`process_index()`, which is 0"),
    Absence(
        "",
        "CompilerEffortLevel Inline allow_f16_reductions auto_pcast jax2tf_associative_scan_reductions "
        "remove_size_one_mesh_axis_from_type",
        _OF_XLA,
        "`jit`, which needs no setting",
    ),
    Absence(
        "",
        "array_garbage_collection_guard thread_guard",
        "arrays free their memory when the last reference goes, from any thread",
        "`live_arrays()`",
    ),
    Absence(
        "",
        "default_prng_impl enable_custom_prng legacy_prng_key threefry_partitionable",
        "keys have one implementation, threefry",
        "`random.key`",
    ),
    Absence("", "debug_key_reuse", "keys are not tracked", "`random.split`"),
    Absence("", "softmax_custom_jvp", "softmax has no other derivative", "`nn.softmax`"),
    Absence("", "copy_to_host_async", "arrays are in the host's memory", "`numpy.asarray(x)`"),
    Absence(
        "",
        "make_user_context no_execution print_environment_info",
        _INSIDE,
        "`covector.config`",
    ),
    Absence("", "memory", "there is one memory", "arrays as they are"),
    Absence("", "ds", "it is `jax.experimental.pallas.ds`, for kernels", "`lax.dynamic_slice`"),
    Absence(
        "", "export", "Programs are not written to files yet", "`jit(f).lower(*args).compile()`"
    ),
    Absence("", "profiler monitoring", "there is no profiler yet", "`log_compiles`, `perf`"),
    Absence("", "api_util lib", _INSIDE, "`covector.extend`"),
    Absence(
        "numpy",
        "float4_e2m1fn float6_e2m3fn float6_e3m2fn float8_e3m4 float8_e4m3 float8_e4m3b11fnuz float8_e4m3fn "
        "float8_e4m3fnuz float8_e5m2 float8_e5m2fnuz float8_e8m0fnu",
        "dtypes are at least 16 bits wide for floats",
        "`float16` or `bfloat16`",
    ),
    Absence(
        "numpy",
        "int1 int2 int4 uint1 uint2 uint4",
        "dtypes are at least 8 bits wide",
        "`int8` or `uint8`, with `bitwise_and` and shifts",
    ),
    Absence(
        "lax",
        "after_all after_all_p create_token create_token_p dce_sink",
        "the order of effects is kept without tokens",
        "`debug.callback(..., ordered=True)`",
    ),
    Absence(
        "lax",
        "all_gather_p all_to_all_p axis_index_p pcast pmax_p pmin_p ppermute_p psum_p psum_scatter_start "
        "ragged_all_to_all_p sharding_constraint_p",
        _ONE_DEVICE,
        "the functions without `_p`, under `vmap` with an `axis_name`",
    ),
    Absence(
        "lax", "AccuracyMode Tolerance", "functions have one accuracy, in docs/accuracy.md", ""
    ),
    Absence(
        "lax",
        "DotAlgorithm DotAlgorithmPreset",
        "products are computed in their operands' precision",
        "`preferred_element_type`",
    ),
    Absence(
        "sharding",
        "no_collectives",
        _ONE_DEVICE,
        "no collective but those that the program has: with one device none is added",
    ),
    Absence("interpreters", "pxla traceback_util", _INSIDE, "`covector.extend`"),
    Absence(
        "extend",
        "backend lowering mlir pallas random sharding xla",
        _INSIDE,
        "`covector.extend.core`, and `docs/extending.md`",
    ),
    Absence(
        "experimental", "compilation_cache", "what is compiled is kept on disk anyway", "`config`"
    ),
    Absence("experimental", "EArray primal_tangent_dtype", _INSIDE, "`covector.extend`"),
)


def names_of(package: str) -> tuple[str, ...]:
    """JAX's public names of a package of ours, such as 'covector.numpy'."""
    return tuple(NAMES.get(package.partition(".")[2], "").split())


def absence(package: str, name: str) -> Absence | None:
    """Why a name of JAX's package is not there; None if JAX has it not either."""
    if name not in names_of(package):
        return None
    short = package.partition(".")[2]
    for entry in ABSENT:
        if entry.package == short and name in entry.names.split():
            return entry
    return NOT_YET


def explain(package: str, name: str) -> str:
    """The message of the AttributeError for a name that a package does not have."""
    plain = f"module {package!r} has no attribute {name!r}"
    found = None if name.startswith("_") else absence(package, name)
    if found is None:
        return plain
    theirs = "jax" + package.removeprefix("covector")
    use = f"; use {found.instead}" if found.instead else ""
    return f"{plain}. {theirs}.{name} is missing here: {found.why}{use}"
