"""What JAX has and Covector does not: why, and what to use instead.  One table, for messages and for the docs."""

from __future__ import annotations

from typing import NamedTuple

from covector._engine.base.jax_names import NAMES

__all__ = ["ABSENT", "NOT_YET", "Absence", "absence", "explain", "names_of", "reason"]


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
        "CompilerEffortLevel allow_f16_reductions auto_pcast jax2tf_associative_scan_reductions "
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
        "enable_custom_prng legacy_prng_key threefry_partitionable",
        "keys are typed or not by the function that makes them, and threefry has one form",
        "`random.key`",
    ),
    Absence("", "debug_key_reuse", "keys are not tracked", "`random.split`"),
    Absence("", "softmax_custom_jvp", "softmax has no other derivative", "`nn.softmax`"),
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
    Absence("", "profiler", "there is no profiler yet", "`log_compiles`, `monitoring`, `perf`"),
    Absence("", "tools", "they are for those who build JAX", "`python -m covector.as_jax`"),
    Absence("", "lib", _INSIDE, "`covector.extend`"),
    Absence(
        "lax",
        "all_gather_p all_to_all_p ppermute_p precv psend psum_scatter_start ragged_all_to_all_p sharding_constraint_p",
        _ONE_DEVICE,
        "the functions without `_p`, under `vmap` with an `axis_name`",
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
        "ifrt_programs lowering mlir pallas sharding xla",
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
    Absence("interpreters.xla", "Backend", _OF_XLA, "`extend.backend`"),
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
    Absence(
        "experimental",
        "pallas mosaic fused rnn thunky buffer_callback",
        "it is for kernels of GPUs and TPUs",
        "`covector.extend`, whose loop code is for the CPU, or `ffi`",
    ),
    Absence(
        "experimental",
        "compute_on custom_partitioning overlap scheduling_groups shard_alike topologies transfer",
        _ONE_DEVICE,
        "the function as it is: there is nowhere else to run it",
    ),
    Absence("experimental.ode", "ravel_first_arg", _INSIDE, "`flatten_util.ravel_pytree`"),
    Absence("experimental", "jax2tf", "it is about TensorFlow", "`dlpack`"),
    Absence("experimental", "key_reuse", "keys are not tracked", "`random.split`"),
    Absence(
        "experimental",
        "serialize_executable",
        "Programs are not written to files yet",
        "`jit`, which keeps on disk what it compiled",
    ),
    Absence(
        "experimental.array_serialization",
        "pytree_serialization tensorstore_impl",
        "arrays are written one by one",
        "`experimental.array_serialization.serialization`, or Orbax, which writes pytrees",
    ),
    Absence(
        "experimental.sparse",
        "ad api bcoo bcsr coo csr random transform util",
        "they are JAX's files",
        "`experimental.sparse`, which has what is public of them",
    ),
    Absence(
        "experimental.array_serialization.serialization",
        "TS_CONTEXT",
        "TensorStore is imported when something is written or read",
        "`tensorstore.Context`, as the argument `context`",
    ),
    Absence(
        "experimental",
        "profiler roofline",
        "there is no profiler yet",
        "`jit(f).lower(*args).compile().cost_analysis()`",
    ),
    Absence("experimental", "source_mapper xla_metadata", _OF_XLA, "COVECTOR_DUMP"),
    Absence(
        "experimental.hijax",
        "GradAccum HiPspec MappingSpec NullAccum RefAccum TransformedRef ValAccum bdims_at_front "
        "control_flow_allowed_effects jvp_from_lin linearize_from_jvp unmap_avals vjp_from_jvp vjp_from_lin vmap_rule",
        _INSIDE,
        "`VJPHiPrimitive`, or a class of `covector.extend`",
    ),
    Absence(
        "experimental.layout", "explicit_layout", "arrays have one layout", "arrays as they are"
    ),
    Absence(
        "experimental.mesh_utils",
        "device_kind_handler_dict",
        "it is about the networks of TPUs",
        "`make_mesh`",
    ),
    Absence(
        "experimental.multihost_utils",
        "global_array_to_host_local_array_impl global_array_to_host_local_array_p gtl_abstract_eval "
        "host_local_array_to_global_array_impl host_local_array_to_global_array_p ltg_abstract_eval ltg_batcher",
        _INSIDE,
        "`global_array_to_host_local_array`, `host_local_array_to_global_array`",
    ),
    Absence(
        "experimental.sparse",
        "bcoo_dot_general_p bcoo_dot_general_sampled_p bcoo_extract_p bcoo_fromdense_p bcoo_sort_indices_p "
        "bcoo_spdot_general_p bcoo_sum_duplicates_p bcoo_todense_p bcoo_transpose_p bcsr_dot_general_p bcsr_extract_p "
        "bcsr_fromdense_p bcsr_todense_p coo_fromdense_p coo_matmat_p coo_matvec_p coo_todense_p csr_fromdense_p "
        "csr_matmat_p csr_matvec_p csr_todense_p todense_p SparseTracer",
        "operations of sparse arrays are made of those of arrays, not primitives",
        "the functions without `_p`, and methods of `BCOO`",
    ),
    Absence(
        "experimental.sparse",
        "BCSR COO CSC CSR bcsr_broadcast_in_dim bcsr_concatenate bcsr_dot_general bcsr_extract bcsr_fromdense "
        "bcsr_sum_duplicates bcsr_todense coo_fromdense coo_matmat coo_matvec coo_todense csr_fromdense csr_matmat "
        "csr_matvec csr_todense JAXSparse",
        "sparse arrays have one form, BCOO",
        "`BCOO`",
    ),
    Absence(
        "experimental.sparse",
        "bcoo_broadcast_in_dim bcoo_concatenate bcoo_conv_general_dilated bcoo_dot_general bcoo_dot_general_sampled "
        "bcoo_dynamic_slice bcoo_extract bcoo_gather bcoo_multiply_dense bcoo_multiply_sparse bcoo_reduce_sum "
        "bcoo_reshape bcoo_rev bcoo_slice bcoo_sort_indices bcoo_squeeze bcoo_sum_duplicates bcoo_transpose "
        "bcoo_update_layout random_bcoo",
        "operations of sparse arrays are methods and operators",
        "`A @ B`, `A * B`, `A.T`, `A.sum`, `A.reshape`, `A.sort_indices`, `A.sum_duplicates`, `A[i]` of a `BCOO`",
    ),
    Absence(
        "experimental.sparse",
        "linalg",
        "there are no factors of sparse arrays",
        "`cg`, `gmres` and `bicgstab` of `scipy.sparse.linalg`, which take sparse arrays",
    ),
    Absence(
        "experimental.sparse",
        "CuSparseEfficiencyWarning SparseEfficiencyError SparseEfficiencyWarning",
        "nothing warns of slow forms: there is one",
        "`BCOO`",
    ),
    Absence(
        "experimental.sparse",
        "grad jacfwd jacobian jacrev value_and_grad sparsify",
        "transformations take sparse arrays as trees of their data",
        "`grad` of a function of `BCOO`s, with `allow_int=True`, or of their `data`",
    ),
    Absence(
        "api_util",
        "argnums_partial donation_vector rebase_donate_argnums",
        _INSIDE,
        "`functools.partial`, `jit(donate_argnums=)`",
    ),
    Absence(
        "extend.backend",
        "backend_xla_version get_compile_options register_backend_cache register_backend_factory",
        _OF_XLA,
        "`extend.backend.get_backend()`",
    ),
    Absence("extend.backend", "clear_in_memory_compilation_cache", _OF_XLA, "`clear_caches()`"),
    Absence(
        "extend.core.primitives",
        "all_gather_p all_to_all_p ppermute_p ragged_all_to_all_p sharding_constraint_p",
        _ONE_DEVICE,
        "the functions of `lax`, under `vmap` with an `axis_name`",
    ),
    Absence(
        "extend.core.primitives",
        "random_bits_p random_fold_in_p random_gamma_p random_seed_p random_split_p threefry2x32_p",
        "random numbers are made of operations on the words of keys",
        "`random.bits`, `fold_in`, `gamma`, `key`, `split`",
    ),
    Absence(
        "extend.core.primitives",
        "get_p swap_p empty2_p",
        "equations of references have no names of JAX's",
        "`ref.get`, `ref.swap`",
    ),
    Absence(
        "extend.core.primitives",
        "create_call_primitive custom_lin_p eval_jaxpr_transpose register_call_primitive_rules remat_p",
        _INSIDE,
        "`jit`, `checkpoint`, or a class of `covector.extend`",
    ),
    Absence(
        "extend.linear_util",
        "StoreException cache merge_linear_aux transformation2 transformation_with_aux2",
        _INSIDE,
        "`transformation`, `transformation_with_aux`, or a function of a function",
    ),
    Absence(
        "extend.source_info_util",
        "NameStack SourceInfo current current_name_stack extend_name_stack new_name_stack new_source_info "
        "reset_name_stack set_name_stack summarize transform_name_stack user_context",
        _INSIDE,
        "`named_scope`, and `eqn.source_info`",
    ),
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
    above, _, last = package.rpartition(".")  # a package that is missing as a whole says why
    return absence(above, last) or NOT_YET


def explain(package: str, name: str) -> str:
    """The message of the AttributeError for a name that a package does not have."""
    plain = f"module {package!r} has no attribute {name!r}"
    found = None if name.startswith("_") else absence(package, name)
    if found is None:
        return plain
    return f"{plain}. {reason(package, name)}"


def reason(package: str, name: str) -> str:
    """Why a name that JAX has is missing, and what to use instead."""
    found = absence(package, name)
    assert found is not None
    use = f"; use {found.instead}" if found.instead else ""
    return f"jax{package.removeprefix('covector')}.{name} is missing here: {found.why}{use}"
