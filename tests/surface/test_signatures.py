"""The parameters of public functions are JAX's: their names, order, kinds, and whether they may be left out.

jax_signatures.txt has those of JAX 0.12, a function or class a line; a name ends in `=` if it may be left out.
jax_methods.txt has those of methods, by what they are methods of; ours take what those take, and may take more.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import covector as cv
import covector.numpy as cnp
from covector._engine.types import dtypes

TABLE = Path(__file__).parent / "jax_signatures.txt"
METHODS = Path(__file__).parent / "jax_methods.txt"


def _because(reason: str, names: str) -> dict[str, str]:
    return dict.fromkeys(names.split(), reason)


# Ours take more, and why; or they are no functions.
DIFFERENT = {
    "lax.DotDimensionNumbers": "an alias of a type",
    "lax.fori_loop": "says what its gradient keeps: `tape`, `policy`",
    "lax.while_loop": "says what its gradient keeps: `tape`, `policy`",
    "lax.mulhi": "its operands have names, as those of the functions beside it do in JAX too",
    "random.Key": "our class of keys; in JAX a mark for annotations",
    "lax.reduce_and": "takes out_sharding, as reduce_max and reduce_sum do in JAX too",
    "lax.reduce_or": "takes out_sharding, as reduce_max and reduce_sum do in JAX too",
    "lax.reduce_prod": "takes out_sharding, as reduce_max and reduce_sum do in JAX too",
    "lax.reduce_xor": "takes out_sharding, as reduce_max and reduce_sum do in JAX too",
    "numpy.fromfile": "ours reads a file, with NumPy's parameters; JAX's only raises",
    "numpy.fromiter": "ours reads an iterator, with NumPy's parameters; JAX's only raises",
    "tree_util.KeyPath": "an alias of a type",
    "tree_util.register_dataclass": "without a class it is a decorator, which takes the fields as arguments",
    "dtypes.issubdtype": "the same function as `numpy.issubdtype`, which has other names in JAX too",
    "jit": "the order of keywords; a class may be given by the name `fun`",
    "lax.random_gamma_grad": "its operands have names",
    "remat": "as `checkpoint`, which takes names of static arguments in JAX too",
    "debug.breakpoint": "the streams that it reads and writes are named",
    "debug.visualize_array_sharding": "the name of its options, which cannot be given",
    "sharding.ManualAxisType": "a record, whose fields may be given by position too",
    "tree_util.Partial": "Python's own class, which says nothing of its parameters",
    "interpreters.batching.broadcast": "the axis of the mesh may be left out",
    "interpreters.batching.defreducer": "the identity may be left out, and is not needed",
    "interpreters.partial_eval.abstract_eval_fun": "what is known of names may be left out",
    "extend.core.new_jaxpr_eqn": "effects may be left out",
    "custom_derivatives.custom_vjp_primal_tree_values": "another name of its one parameter",
    "ad_checkpoint.print_saved_residuals": "another name of the function",
    "core.max_dim": "another name of its parameters",
    "core.min_dim": "another name of its parameters",
    "extend.core.find_top_trace": "takes, as in earlier versions of JAX, values to look at",
    "extend.core.jaxpr_as_fun": "gives the function, as a decorated one of JAX does",
    "extend.core.primal_dtype_to_tangent_dtype": "another name of its one parameter",
    "api_util.flatten_fun": "its one static argument has a name",
    "api_util.flatten_fun_nokwargs": "its one static argument has a name",
    "extend.linear_util.transformation": "the function and its arguments may follow later, as in JAX",
    "extend.linear_util.transformation_with_aux": "the function and its arguments may follow later, as in JAX",
    "interpreters.xla.apply_primitive": "another name of its first parameter",
    **_because(
        "the class of ml_dtypes, whose parameter has another name",
        """
        numpy.iinfo dtypes.iinfo
        """,
    ),
    **_because(
        "the value has to be given, or may be",
        """
        checking_leaks default_device default_matmul_precision default_prng_impl
        numpy_dtype_promotion numpy_rank_promotion transfer_guard_device_to_device
        transfer_guard_device_to_host transfer_guard_host_to_device
        """,
    ),
    **_because(
        "made by Covector alone: what it is made of is ours",
        """
        Ref ref.Ref Shard core.Tracer core.AbstractValue stages.ArgInfo stages.Compiled
        stages.Lowered stages.Traced experimental.checkify.Error experimental.hijax.AbstractValue
        experimental.hijax.Zero extend.core.Effect experimental.random.StatefulPRNG
        extend.core.ClosedJaxpr extend.core.Jaxpr extend.core.JaxprEqn extend.core.Literal
        extend.linear_util.WrappedFun interpreters.ad.JVPTrace interpreters.ad.UndefinedPrimal
        interpreters.ad.Zero interpreters.partial_eval.DynamicJaxprTracer
        """,
    ),
    **_because(
        "made of a text, as other exceptions are",
        """
        errors.ConcretizationTypeError errors.JAXIndexError errors.JAXTypeError
        errors.NonConcreteBooleanIndexError errors.TracerArrayConversionError
        errors.TracerBoolConversionError errors.TracerIntegerConversionError
        errors.UnexpectedTracerError
        """,
    ),
    # Parameters that JAX has and we have not.
    "ShapeDtypeStruct": "no manual_axis_type, is_ref: types show no meshes, and a reference is made by `new_ref`",
    "core.ShapedArray": "no manual_axis_type, memory_space, layout: there is one memory, and types show no meshes",
    "experimental.hijax.ShapedArray": "the same class as `core.ShapedArray`",
    "ffi.ffi_lowering": "what custom calls of XLA take else has names; attributes are the primitive's parameters",
    "ffi.build_ffi_lowering_function": "what `ffi_lowering` takes",
    "interpreters.ad.jvp": "gives the function of operands and tangents, as in earlier versions of JAX",
}
# Methods that have not all the parameters of JAX's.
WITHOUT = {
    "Array.at[].get": "strategy: how the elements are found is the compiler's business",
    "Lowered.compile": "device_assignment: there is one device",
    "aval.update": "what changes is given by name",
    "aval.str_short": "mesh_axis_types: types show no meshes",
    "custom_vjp.defvjp": "generic_batching: batches are what they are",
}


def shown(f: object) -> str:
    """The parameters of a function, as in the table."""
    out: list[str] = []
    last = None
    for p in inspect.signature(f).parameters.values():  # type: ignore[arg-type]
        if p.name.startswith("_"):
            continue
        if last == p.POSITIONAL_ONLY and p.kind != last:
            out.append("/")
        if p.kind == p.KEYWORD_ONLY and not any(name.startswith("*") for name in out):
            out.append("*")
        stars = {p.VAR_POSITIONAL: "*", p.VAR_KEYWORD: "**"}.get(p.kind, "")
        out.append(f"{stars}{p.name}{'' if p.default is p.empty else '='}")
        last = p.kind
    if last == inspect.Parameter.POSITIONAL_ONLY:
        out.append("/")
    return ", ".join(out)


def there() -> Iterator[tuple[str, object, str]]:
    """Name, function and JAX's parameters of what we have."""
    for line in TABLE.read_text().splitlines():
        name, _, parameters = line[:-1].partition("(")
        package, _, key = name.rpartition(".")
        try:
            module = importlib.import_module(f"covector.{package}".rstrip("."))
        except ModuleNotFoundError:
            continue
        if (f := getattr(module, key, None)) is not None:
            yield name, f, parameters


def owners() -> dict[str, Any]:
    """What the methods of jax_methods.txt are methods of."""
    x = cnp.ones((2, 3))
    jitted = cv.jit(lambda x: x)
    traced = jitted.trace(x)
    closed = cv.make_jaxpr(lambda x: x)(1.0)
    return {
        "Array": x,
        "Array.at[]": x.at[0],
        "ClosedJaxpr": closed,
        "Compiled": traced.lower().compile(),
        "Jaxpr": closed.jaxpr,
        "Key": cv.random.key(0),
        "Lowered": traced.lower(),
        "ShapeDtypeStruct": cv.ShapeDtypeStruct((2,), "float32"),
        "Traced": traced,
        "aval": cv.typeof(x),
        "custom_jvp": cv.custom_jvp(lambda x: x),
        "custom_vjp": cv.custom_vjp(lambda x: x),
        "jit": jitted,
        "ref": cv.new_ref(1.0),
        "sharding": x.sharding,
        "ufunc": cnp.add,
    }


def takes(f: Any, parameters: str) -> bool:
    """Whether a method can be called as one with JAX's parameters: by position, and by keyword."""
    own = list(inspect.signature(f).parameters.values())
    kinds = {p.kind for p in own}
    by_position = [p.name for p in own if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    by_name = {p.name for p in own if p.kind in (p.KEYWORD_ONLY, p.POSITIONAL_OR_KEYWORD)}
    position: int | None = 0
    for text in parameters.split(", ") if parameters else []:
        name = text.rstrip("=")
        if name.startswith("*"):
            position = None
            needed = inspect.Parameter.VAR_KEYWORD if name.startswith("**") else None
            if name.strip("*") and not name.startswith("**"):
                needed = inspect.Parameter.VAR_POSITIONAL
            if needed is not None and needed not in kinds:
                return False
        elif name == "/":
            continue
        elif position is not None:
            there = by_position[position : position + 1] == [name]
            if not there and inspect.Parameter.VAR_POSITIONAL not in kinds:
                return False
            position += 1
        elif name not in by_name and inspect.Parameter.VAR_KEYWORD not in kinds:
            return False
    return True


def test_methods_take_what_those_of_jax_take() -> None:
    there, compared, wrong = owners(), 0, []
    for line in METHODS.read_text().splitlines():
        name, _, parameters = line[:-1].partition("(")
        owner, _, method = name.rpartition(".")
        f = getattr(there[owner], method, None)
        if f is None or name in WITHOUT:
            continue
        try:
            inspect.signature(f)
        except ValueError:  # native code, whose parameters are not to be seen
            continue
        compared += 1
        if not takes(f, parameters):
            wrong.append(f"{name}{inspect.signature(f)}, not ({parameters})")
    assert not wrong, "\n".join(wrong)
    assert compared > 80


def test_parameters_are_those_of_jax() -> None:
    compared, wrong = 0, []
    for name, f, parameters in there():
        if name in DIFFERENT:
            continue
        compared += 1
        if (ours := shown(f)) != parameters:
            wrong.append(f"{name}({ours}), not ({parameters})")
    assert not wrong, "\n".join(wrong)
    assert compared > 1000


def test_an_out_is_refused_everywhere() -> None:
    """Arrays cannot be written to, so it must not look as if they had been."""
    x, tried = cnp.ones(3), 0
    for name in dir(cnp):
        f = getattr(cnp, name)
        if not callable(f) or isinstance(f, type) or name == "vectorize":
            continue
        parameters = inspect.signature(f).parameters
        if "out" not in parameters:
            continue
        tried += 1
        needed = [
            p
            for p in parameters.values()
            if p.default is p.empty and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
        ]
        args = [x] * len(needed)
        if "*args" in str(inspect.signature(f)):
            args = [x.astype(int)] * getattr(f, "nin", 1)
        with pytest.raises(NotImplementedError, match=r"out=Array.*immutable"):
            f(
                "i->i" if name == "einsum" else args[0],
                *(args if name == "einsum" else args[1:]),
                out=x,
            )
    assert tried > 40


@pytest.mark.parametrize(
    "mode", ["maximum", "mean", "median", "minimum", "linear_ramp", "reflect", "symmetric"]
)
@pytest.mark.parametrize("dtype", ["float32", "int32"])
def test_padding(mode: str, dtype: str) -> None:
    a = (np.arange(12).reshape(3, 4) * 7 % 5).astype(dtype)
    options: list[Any] = [{}]
    if mode == "linear_ramp":
        options.append({"end_values": ((7, -3), (1, 2))})
    elif mode in ("reflect", "symmetric"):
        options.append({"reflect_type": "odd"})
    else:
        options += [{"stat_length": 2}, {"stat_length": ((1, 2), (3, 9))}]
    for width in (1, ((2, 0), (1, 3)), ((5, 9), (0, 11))):
        for option in options:
            right = np.pad(a, width, mode, **option)  # type: ignore[call-overload]
            got = cnp.pad(a, width, mode, **option)
            assert got.dtype == a.dtype
            np.testing.assert_allclose(got, right, rtol=1e-5, atol=1e-5)


def test_padding_by_a_function() -> None:
    def ends(vector: object, width: tuple[int, int], axis: int, kwargs: dict[str, int]) -> object:
        v = cnp.asarray(vector)
        return v.at[: width[0]].set(kwargs["value"]).at[len(v) - width[1] :].set(axis)

    def in_place(
        vector: np.ndarray, width: tuple[int, int], axis: int, kwargs: dict[str, int]
    ) -> None:
        vector[: width[0]] = kwargs["value"]
        vector[len(vector) - width[1] :] = axis

    a = np.arange(6).reshape(2, 3).astype(np.int32)
    got = cnp.pad(a, ((1, 2), (2, 1)), ends, value=9)
    np.testing.assert_array_equal(got, np.pad(a, ((1, 2), (2, 1)), in_place, value=9))  # type: ignore[call-overload]
    with pytest.raises(ValueError, match="does not take stat_length"):
        cnp.pad(a, 1, "edge", stat_length=2)
    with pytest.raises(ValueError, match="reflect_type is 'sideways'"):
        cnp.pad(a, 1, "reflect", reflect_type="sideways")
    with pytest.raises(ValueError, match="returned nothing"):
        cnp.pad(a, 1, lambda *args: None)


def test_a_mean_that_is_known() -> None:
    x = np.array([[1.0, 2.0, 4.0], [0.0, np.nan, 3.0]], np.float32)
    mean = np.mean(x, axis=1, keepdims=True)
    for name in ("var", "std"):
        got = getattr(cnp, name)(x, axis=1, mean=mean)
        np.testing.assert_allclose(got, getattr(np, name)(x, axis=1, mean=mean), rtol=1e-6)
        known = np.nanmean(x, axis=1, keepdims=True)
        got = getattr(cnp, "nan" + name)(x, axis=1, mean=known)
        np.testing.assert_allclose(got, getattr(np, "nan" + name)(x, axis=1), rtol=1e-6)


def test_keywords_of_elementwise_functions() -> None:
    from covector import lax, nn

    one = np.float32(1)
    assert float(lax.add(x=one, y=one)) == 2
    assert float(lax.nextafter(x1=one, x2=one)) == 1
    assert lax.mul(np.int8(100), np.int8(3), out_dtype="int32") == 300
    assert float(nn.relu(x=-one)) == 0
    assert float(cnp.fmax(x1=one, x2=2.0)) == 2
    with pytest.raises(NotImplementedError, match="add with where=Array"):
        cnp.add(one, one, where=cnp.array(True))
    assert dtypes.is_inexact(cnp.add(one, 1).dtype)
