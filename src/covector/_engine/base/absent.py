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
_NO_TOKENS = "the order of effects is kept without tokens"
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
        _NO_TOKENS,
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
        "lowering mlir pallas random sharding xla",
        _INSIDE,
        "`covector.extend.core`, and `docs/extending.md`",
    ),
    Absence("core", "Value", "it means any value", "`typing.Any`"),
    Absence("errors", "KeyReuseError", "keys are not tracked", "`random.split`"),
    Absence("ffi", "abstract_token", _NO_TOKENS, "`has_side_effect=True`"),
    Absence(
        "debug", "DebugEffect OrderedDebugEffect", _INSIDE, "`debug.callback(..., ordered=True)`"
    ),
    Absence(
        "debug", "log", "messages go where Python's go", "`debug.callback` of a logger's method"
    ),
    Absence(
        "custom_derivatives",
        "remat_opt_p",
        "forward rules are compiled as they are",
        "`custom_vjp`",
    ),
    Absence("ad_checkpoint", "checkpoint_name_fwd", _INSIDE, "`checkpoint_name`"),
    Absence(
        "interpreters.ad",
        "backward_pass linearize",
        "transposition goes from Program to Program",
        "`linear_transpose`, `linearize`",
    ),
    Absence(
        "interpreters.batching",
        "batch_jaxpr_axes batch_subtrace zero_if_mapped",
        _INSIDE,
        "`vmap` of `core.jaxpr_as_fun(closed)`",
    ),
    Absence(
        "interpreters.batching",
        "register_vmappable unregister_vmappable",
        "what `vmap` takes is arrays in pytrees",
        "`tree_util.register_pytree_node`",
    ),
    Absence(
        "interpreters.mlir",
        "AxisContext ConstantHandler DEVICE_TO_DEVICE_TYPE LoweringParameters LoweringResult LoweringRule "
        "LoweringRuleContext Mesh MeshAxisName ModuleContext RECV_FROM_HOST_TYPE SEND_TO_HOST_TYPE SPMDAxisContext "
        "ShapePolyLoweringState ShardingContext Token TokenSet Value aval_to_ir_type aval_to_ir_types "
        "core_call_lowering dense_int_array dense_int_elements dtype_to_ir_type flatten_ir_types flatten_ir_values "
        "i32_attr i64_attr ir ir_attribute ir_constant ir_constants ir_tree_registry ir_type_handlers jaxpr_subcomp "
        "lower_jaxpr_to_fun lower_jaxpr_to_module lowerable_effects make_ir_context merge_mlir_modules "
        "module_to_bytecode module_to_string register_constant_handler shape_tensor token_type "
        "unflatten_ir_values_like_types",
        "there is no MLIR in Covector",
        "`mlir.lower_fun`, `emit_python_callback`, `ffi.ffi_lowering`, or loop code (`covector.extend`)",
    ),
    Absence(
        "interpreters.partial_eval",
        "JaxprTracer PartialVal Val custom_partial_eval_rules dce_jaxpr_call_rule dce_jaxpr_closed_call_rule "
        "dce_jaxpr_consts dce_rules lower_jaxpr lower_jaxpr2 move_binders_to_back new_eqn_recipe "
        "partial_eval_jaxpr_custom_rules partial_eval_jaxpr_nounits trace_to_jaxpr_nounits",
        _INSIDE,
        "`linearize`, or a class with the rules `live` and `linearize` (`covector.extend`)",
    ),
    Absence("interpreters.xla", "Backend canonicalize_dtype_handlers", _OF_XLA, "`extend.backend`"),
    Absence(
        "extend.core", "AbstractToken Token", _NO_TOKENS, "`debug.callback(..., ordered=True)`"
    ),
    Absence("extend.core", "DebugInfo", _INSIDE, "`eqn.source_info`"),
    Absence(
        "extend.core",
        "create_call_primitive register_call_primitive_rules eval_jaxpr_transpose",
        "functions inside of functions are parameters of equations",
        "`jit`, or `extend.Composite`",
    ),
    Absence(
        "experimental.jet",
        "JetTrace JetTracer ZeroSeries ZeroTerm ad_util api_util call_param_updaters core def_comp def_deriv deflinear "
        "defzero deriv_prop dispatch fact jet_fun jet_rules jet_subtrace jnp lax lax_internal linear_prop lu partial "
        "pe pjit register_pytree_node safe_zip sharding_impls traceable tree_flatten tree_structure tree_unflatten "
        "treedef_is_leaf unzip2 weakref_lru_cache zero_prop zero_series zero_term",
        "it is what JAX's module imports, or its inside",
        "`jet`",
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
