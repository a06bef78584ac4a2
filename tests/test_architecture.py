"""The architecture, executed: the order of the files, and who may know of whom."""

from __future__ import annotations

import ast
import re

from tests.sources import (
    PACKAGE,
    ROOT,
    by_name,
    called,
    for_types,
    imports,
    label,
    labels,
    parse,
    python_files,
)

# The order of the files is the architecture: a file may import only files above it. A row is a
# folder and its files, top first; "" is the package. A new file goes where its imports allow.
FLOORS: tuple[tuple[str, str], ...] = (
    ("_engine", "__init__"),
    (
        "_engine/base",
        "__init__ locks jax_names absent public caches jax_flags exact record config exceptions errors unforeseen",
    ),
    ("_engine/base", "ref_errors belongings events collection tree version depth single explained"),
    ("_engine/types", "__init__ dims narrow dtypes conversion mesh sharding layout avals"),
    ("_engine/ir", "__init__ effects program content scalar index kernel builder access renaming"),
    ("_engine/ir", "alike lives sharing steps legal check"),
    ("_engine/types", "nothing"),
    (
        "_engine/core",
        "__init__ foreign numbers trace levels reach refs inside symbolic primitive touches families routine",
    ),
    (
        "_engine/primitives",
        "laws faults batching barrier hashes bits bitwise compare complex contract slide conv convert cumulative",
    ),
    (
        "_engine/primitives",
        "elementwise fft index math reduce scatter single_scatter shape sort special window extremes collective",
    ),
    ("_engine/primitives", "__init__ linalg linalg_solve linalg_orthogonal linalg_spectral"),
    ("_engine/transforms", "__init__ forward jet batch transpose programs widen"),
    (
        "_engine/control",
        "__init__ on_host callback carry derived parted tape wide state touching call masked composite custom",
    ),
    (
        "_engine/control",
        "masked_rules custom_jvp custom_vjp custom_vmap linear kept checked checkpoint turns flat beside loop",
    ),
    ("_engine/control", "branches foreign_call cond each unwind pushed as_one repeat while_"),
    (
        "_engine/compile/functions",
        "coefficients arithmetic table bessel emulated narrow exponential complex error",
    ),
    ("_engine/compile/functions", "hyperbolic inverse_trigonometric power trigonometric gamma"),
    (
        "_engine/compile/functions",
        "incomplete_gamma zeta beta integrals scaled_error hypergeometric __init__",
    ),
    ("_engine/control", "parameters open open_trace names"),
    ("_engine/backends", "__init__ base"),
    (
        "_engine/compile",
        "__init__ calls elements places regions fuse late arena donation memory cuts folding nest instances",
    ),
    ("_engine/compile", "unroll points"),
    ("_engine/compile", "lower simplify"),
    (
        "_engine/compile",
        "invariants turning rewrite survey rows registers turned choice schedule pipeline",
    ),
    ("_engine/backends/reference", "__init__ primitives scalars memory kernels backend"),
    ("_engine/backends/cpu", "__init__ hoist instructions link plan patterns module scalars frame"),
    (
        "_engine/backends/cpu",
        "shared library indices leaves packs routines contents stops apart flow",
    ),
    ("_engine/backends/cpu", "lanes running rows emit emitted backend"),
    ("_engine/backends", "registry"),
    (
        "_engine/runtime",
        "__init__ cache watch executable late linearized batched eager tape mapped pushed device placement",
    ),
    ("_engine/api", "jaxpr_text jaxprs"),
    (
        "_engine/api",
        "arguments references callbacks debugger prefixes pullback pushforward derivatives jacobians options stages",
    ),
    (
        "_engine/api",
        "jit vmappable fwd_and_bwd transforms sharded meshes modes pictures array_classes",
    ),
    ("_engine/api", "rules custom checkpoint"),
    ("_engine/api", "evaluation closures implicit custom_vmap taylor checkify"),
    ("", "errors sharding tree tree_util custom_derivatives checkpoint_policies ad_checkpoint"),
    (
        "numpy",
        "fused promotion operands shape join examples ufunc arithmetic comparison elementwise selection",
    ),
    ("numpy", "creation matrices ranges dtype interop"),
    ("", "dtypes"),
    ("numpy", "index_plan indexing take reduce statistics precision linear einsum fft"),
    (
        "numpy",
        "sorting ordering padding without_nan updates namespace edits places views methods",
    ),
    ("numpy", "systems norms factors linalg"),
    (
        "numpy",
        "folds grids sets signals windows tally histograms integers estimates polynomials printing files",
    ),
    ("numpy", "fits quantiles"),
    ("numpy", "ufunc_methods vectorized ufunc_type __init__"),
    ("", "ref ad ops dlpack typing stages version test_util"),
    (
        "lax",
        "by_steps control_flow branches loops prefixes operands derivatives examples elementwise products reductions",
    ),
    ("lax", "shape padding convolution windows ragged"),
    (
        "lax",
        "indexing markers sorting fourier collectives rng scaled bound operations linalg composed names __init__",
    ),
    ("", "image"),
    ("random", "generators keys key_functions key_refs key_methods samplers distributions gammas"),
    ("random", "counts choices matrices __init__"),
    ("", "debug"),
    ("nn", "examples activations functions attention initializers scaled __init__"),
    ("scipy", "decompositions linear_systems matrix_functions special_matrices linalg fft"),
    ("", "flatten_util"),
    (
        "scipy",
        "spectral signal examples complex_gamma hypergeometric waves special ndimage optimize integrate interpolate",
    ),
    ("scipy/sparse", "linalg __init__"),
    ("scipy/cluster", "vq __init__"),
    ("scipy/spatial", "transform __init__"),
    ("scipy/stats", "examples families density ranks"),
    (
        "scipy/stats",
        "bernoulli beta betabinom binom cauchy chi2 dirichlet expon gamma gennorm geom gumbel_l gumbel_r laplace",
    ),
    (
        "scipy/stats",
        "logistic multinomial multivariate_normal nbinom norm pareto poisson t truncnorm uniform vonmises wrapcauchy",
    ),
    ("scipy/stats", "__init__"),
    ("scipy", "__init__"),
    ("", "custom_batching monitoring"),
    (
        "experimental",
        "checkify colocated_python jet layout mesh_utils multihost_utils ode pjit random shard_map",
    ),
    ("experimental/sparse", "__init__ linalg"),
    ("experimental/array_serialization", "serialization __init__"),
    ("extend/core", "primitives __init__"),
    ("extend", "scalar testing linear_util source_info_util backend random __init__"),
    ("", "core ffi api_util"),
    ("interpreters", "ad batching mlir partial_eval xla __init__"),
    ("experimental", "hijax __init__"),
    ("example_libraries", "optimizers stax __init__"),
    ("as_jax", "names served __init__ __main__"),
    ("", "__init__"),
)

# Imports that break the order, each with its reason: from a file, or from all files of a folder.
EXCEPTIONS = {
    # The rules of a primitive speak to sibling primitives; the package's name is bound late.
    ("_engine/primitives/*", "_engine/primitives/__init__"),
}

# Names that are imported for type checkers alone, each with its reason: from a file, or from all files of a folder.
FOR_TYPES = {
    # An equation has a primitive, and rules of primitives take equations: they are two halves of one thing.
    ("_engine/ir/program", "_engine/core/primitive"),
    # Traces and checks are handed primitives, which are applied by traces.
    ("_engine/core/trace", "_engine/core/primitive"),
    ("_engine/core/inside", "_engine/core/primitive"),
}

# Imports by name (`import_late`), which run when something is first needed, each with its reason. They count in the
# order as others do. A string stands for itself, `{}` in it for a name that is only known when it runs.
BY_NAME = {
    (
        "_engine/base/public",
        "covector._engine.base.absent",
    ): "names that are missing are seldom asked for",
    (
        "_engine/runtime/late",
        "covector._engine.runtime.executable",
    ): "the compiler is a third of our import",
    (
        "_engine/runtime/late",
        "covector._engine.control.checked",
    ): "checks in rules are seldom asked for",
    (
        "numpy/ufunc",
        "covector._engine.runtime.eager",
    ): "the surface is defined without the compiler",
    (
        "_engine/types/avals",
        "covector._engine.types.sharding",
    ): "how an array is spread is seldom asked of its type",
    ("custom_derivatives", "covector._engine.control.names"): "the primitives, for interpreters",
    ("numpy/ufunc_type", "covector.numpy.ufunc_methods"): "the methods of ufuncs are seldom called",
    ("numpy/ufunc_type", "covector.numpy.vectorized"): "ufuncs of users' functions are seldom made",
    ("numpy/__init__", "covector.numpy.{}"): "loaded when they are named",
    ("numpy/places", "covector._engine.runtime.placement"): "where arrays are is seldom asked",
    ("numpy/methods", "covector.numpy.edits"): "two methods that are seldom called",
    ("numpy/methods", "covector.numpy.views"): "bits are seldom asked for",
    ("numpy/methods", "covector.numpy.namespace"): "what the Array API standard asks",
    ("numpy/updates", "covector._engine.control.loop"): "loops are 8 ms of our import",
    ("scipy/__init__", "covector.scipy.{}"): "loaded when they are named",
    ("scipy/stats/__init__", "covector.scipy.stats.{}"): "loaded when they are named",
    ("nn/__init__", "covector.nn.scaled"): "loaded when it is named",
    ("lax/__init__", "covector.lax.{}"): "loaded when they are named",
    ("lax/linalg", "covector._engine.control.names"): "the primitives, for interpreters",
    ("experimental/__init__", "covector.experimental.{}"): "loaded when they are named",
    (
        "experimental/array_serialization/serialization",
        "tensorstore",
    ): "it has to be installed for this alone",
    ("extend/__init__", "covector.extend.{}"): "loaded when they are named",
    ("example_libraries/__init__", "covector.example_libraries.{}"): "loaded when they are named",
    (
        "_engine/api/transforms",
        "covector._engine.api.jaxprs",
    ): "JAX's view of a Program, for who looks at one",
    ("_engine/api/stages", "covector._engine.api.jaxprs"): "JAX's view, for who looks at one",
    ("lax/names", "covector._engine.control.names"): "`lax.sin_p`, for interpreters",
    ("lax/names", "covector.lax.composed"): "`lax.sort_p`, for interpreters",
    (
        "_engine/api/stages",
        "covector._engine.runtime.placement",
    ): "shardings and layouts, for who asks a compiled function",
    ("_engine/base/tree", "optree"): "a tenth of our import, for who calls with containers",
    ("_engine/base/errors", "logging"): "it is 2 % of our import, for who asks for a log",
    ("__init__", "covector.numpy"): "first of all, while no garbage is collected",
    ("__init__", "covector._engine.api.derivatives"): "first of all, while no garbage is collected",
    ("__init__", "covector.{}"): "public modules are loaded when they are named",
    ("_engine/primitives/special", "scipy.special"): "the oracle of the tests",
    ("_engine/primitives/linalg", "scipy.linalg"): "the oracle of the tests",
    (
        "_engine/backends/cpu/backend",
        "scipy_openblas32",
    ): "it is 20 ms to import; for code that calls a routine",
    **dict.fromkeys(
        (
            ("_engine/backends/cpu/backend", "covector._engine.backends.cpu.emitted"),
            ("_engine/backends/cpu/backend", "covector._engine.compile.pipeline"),
            ("_engine/backends/cpu/library", "covector._engine.backends.cpu.shared"),
            ("_engine/runtime/executable", "covector._engine.compile.pipeline"),
        ),
        "code that is found on the disk needs no compiler",
    ),
    ("_engine/backends/registry", "covector._engine.backends.cpu.backend"): "by the flag `backend`",
    (
        "_engine/backends/registry",
        "covector._engine.backends.reference.backend",
    ): "by the flag `backend`",
}

# Third-party packages that may be imported inside a function, each with its reason.
LAZY: dict[str, str] = {
    "llvmlite": "loads LLVM, which a program from the cache of compiled code does not need",
    "logging": "is 2 % of `import covector`, and needed only when something is logged",
}


def floor_order() -> list[str]:
    """The files of `FLOORS` in their order, as paths without the ending."""
    return [f"{folder}/{name}".lstrip("/") for folder, names in FLOORS for name in names.split()]


def excepted(source: str, target: str) -> bool:
    folder = source.rpartition("/")[0]
    return (f"{folder}/*", target) in EXCEPTIONS or (source, target) in EXCEPTIONS


def test_every_file_has_its_place() -> None:
    order = floor_order()
    assert len(order) == len(set(order)), "FLOORS names a file twice"
    unknown = sorted(labels() - set(order))
    assert not unknown, f"put these files in their place in FLOORS: {', '.join(unknown)}"
    gone = sorted(set(order) - labels())
    assert not gone, f"FLOORS names files that do not exist: {', '.join(gone)}"


def test_a_file_imports_only_files_above_it() -> None:
    place = {name: number for number, name in enumerate(floor_order())}
    wrong = {
        f"{source}.py:{line} imports {target}, which is not above it"
        for path in python_files("src/covector")
        if (source := label(path)) in place
        for target, line in imports(path)
        if place.get(target, len(place)) >= place[source]
        and not excepted(source, target)
        and not ((source, target) in FOR_TYPES and line in for_types(path))
    }
    assert not wrong, "\n".join(sorted(wrong))


def test_nothing_above_the_backends_knows_a_backend() -> None:
    order = floor_order()
    above = order[order.index("_engine/backends/registry") + 1 :]
    wrong = [
        f"{source}.py names {target}"
        for source in above
        for target in re.findall(
            r"backends[./](?!base\b|registry\b)\w+", (PACKAGE / f"{source}.py").read_text()
        )
    ]
    assert not wrong, "ask backends/registry.py, and speak to the contract:\n" + "\n".join(wrong)


def test_passes_read_their_job_and_no_flags() -> None:
    passes = [p for p in python_files("src/covector/_engine/compile") if p.stem != "pipeline"]
    wrong = [label(p) for p in passes if "_engine/base/config" in {t for t, _ in imports(p)}]
    assert not wrong, "what changes code is a field of Job (backends/base.py): " + ", ".join(wrong)


def test_frozen_data_classes_are_records() -> None:
    """The standard library's take 0.4 ms each to define; `base/record.py` has what they do."""
    engine = python_files("src/covector/_engine")
    wrong = [label(p) for p in engine if re.search(r"@dataclass\(.*frozen=True", p.read_text())]
    assert not wrong, f"write @record, or @record(eq=False): {', '.join(wrong)}"


def test_no_lock_that_forks_do_not_wait_for() -> None:
    """`cached_property` holds one until Python 3.12, imports do: a fork meanwhile would hang the child."""
    words = ("cached_property", "import_module")
    files = [p for p in python_files("src/covector") if label(p) != "_engine/base/locks"]
    found = [label(p) for p in files if any(word in p.read_text() for word in words)]
    assert not found, "use a property, and `import_late`"


def test_imports_by_name_are_declared() -> None:
    found = {(label(p), module) for p in python_files("src/covector") for module, _ in by_name(p)}
    assert found == set(BY_NAME)


def test_the_bottom_of_the_package_is_not_imported() -> None:
    paths = python_files("src/covector")
    names = sorted(label(p) for p in paths if any(t == "__init__" for t, _ in imports(p)))
    assert not names, f"these files import the package itself: {', '.join(names)}"


def test_no_import_inside_a_function() -> None:
    hidden: list[str] = []
    for path in python_files("src/covector"):
        functions = [
            node
            for node in ast.walk(parse(path))
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        ]
        for node in {inner for function in functions for inner in ast.walk(function)}:
            if isinstance(node, ast.Import):
                packages = [alias.name.partition(".")[0] for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                packages = [(node.module or "").partition(".")[0] if not node.level else "covector"]
            else:
                continue
            hidden += [
                f"{path.relative_to(ROOT)}:{node.lineno} {package}"
                for package in packages
                if package not in LAZY
            ]
    assert not hidden, "import at the top, or add the package to LAZY:\n" + "\n".join(
        sorted(hidden)
    )


# What passes may ask for: the families whose members share rules. Everything else a primitive says itself.
FAMILIES = {
    "ByRoutine", "Cumulative", "ElementwiseBase", "Folded", "Mapped", "Movement", "Online", "Primitive", "Reduction",
    "Update",
}  # fmt: skip


def test_no_pass_knows_a_primitive() -> None:
    """Nothing but primitives themselves asks for the class of one, in `isinstance`, `issubclass` or a `match`."""
    classes: dict[str, ast.ClassDef] = {}
    for path in python_files(
        "src/covector/_engine/core",
        "src/covector/_engine/primitives",
        "src/covector/_engine/control",
    ):
        for node in parse(path).body:
            if isinstance(node, ast.ClassDef):
                classes[node.name] = node
    known = {"Primitive"}
    while True:  # all that descend from Primitive
        more = {
            name
            for name, node in classes.items()
            if any(ast.unparse(b).rpartition(".")[2] in known for b in node.bases)
        }
        if more <= known:
            break
        known |= more
    wrong: list[str] = []
    for path in python_files("src/covector/_engine"):
        if path.relative_to(PACKAGE / "_engine").parts[0] in ("primitives", "control"):
            continue
        statements = {  # Fold and Copy are statements of Kernels too
            alias.name
            for node in parse(path).body
            if isinstance(node, ast.ImportFrom) and node.module == "covector._engine.ir.kernel"
            for alias in node.names
        }
        if label(path) == "_engine/ir/kernel":
            continue
        for node in ast.walk(parse(path)):
            if isinstance(node, ast.Call) and called(node) in ("isinstance", "issubclass"):
                asked = [
                    n for n in ast.walk(node.args[1]) if isinstance(n, (ast.Name, ast.Attribute))
                ]
            elif isinstance(node, ast.MatchClass):
                asked = [node.cls]
            else:
                continue
            names = {ast.unparse(n).rpartition(".")[2] for n in asked}
            wrong += [
                f"{path.relative_to(ROOT)}:{node.lineno} {name}"
                for name in sorted(names & (known - FAMILIES - statements))
            ]
    assert not wrong, (
        "let the primitive answer, by a rule or a property of its family:\n" + "\n".join(wrong)
    )
