"""What primitives are called in JAX, and their parameters and operands: where equations are read, and where one binds.

A primitive without a row has the names that its class gives.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate
from typing import Any

from covector._engine.base import errors
from covector._engine.base.record import record
from covector._engine.core.trace import typeof
from covector._engine.ir.program import Program, Var
from covector._engine.types.avals import ShapedArray

Params = dict[str, Any]
Places = Sequence[int] | None  # which operands, in order; None: all of them


def _nothing(*_: Any) -> None:
    return None


def _no_params(_: Sequence[ShapedArray]) -> Params:
    return {}


@record
class Form:
    """How a primitive looks: `renamed` says most, functions the rest."""

    shown: Callable[[Params], Params]  # JAX's parameters, of the fields
    taken: Callable[[Params, Sequence[Any]], Params]  # and back, for these operands
    # Where JAX's operands are among ours, and ours among JAX's; from the fields, and from its parameters and operands.
    sees: Callable[[Params], Places] = _nothing
    gives: Callable[[Params, Sequence[Any]], Places] = _nothing
    # JAX's parameters that follow from the operands' types: these are the only ones that can be bound.
    follow: Callable[[Sequence[ShapedArray]], Params] = _no_params
    following: tuple[str, ...] = ()  # their names
    more_than_asked: tuple[str, ...] = ()  # those of which any value is met by the one that follows


def renamed(also: Mapping[str, Any] | None = None, **theirs: str) -> Form:
    """Fields under other names: `theirs="ours"`.  `also` are parameters that have one value here."""
    ours = {field: name for name, field in theirs.items()}
    fixed = dict(also or {})

    def shown(fields: Params) -> Params:
        return {**{ours.get(name, name): value for name, value in fields.items()}, **fixed}

    def taken(params: Params, _: Sequence[Any]) -> Params:
        return {theirs.get(name, name): v for name, v in params.items() if name not in fixed}

    return Form(shown, taken)


# ------------------------------------------------------------------------------------------- those with another form


def _show_product(fields: Params) -> Params:
    contract = fields["lhs_contract"], fields["rhs_contract"]
    batch = fields["lhs_batch"], fields["rhs_batch"]
    return {
        "dimension_numbers": (contract, batch),
        "preferred_element_type": fields["preferred"],
        "precision": None,
        "out_sharding": None,
    }


def _take_product(params: Params, _: Sequence[Any]) -> Params:
    (left, right), (left_batch, right_batch) = params["dimension_numbers"]
    return {
        "lhs_contract": tuple(left),
        "rhs_contract": tuple(right),
        "lhs_batch": tuple(left_batch),
        "rhs_batch": tuple(right_batch),
        "preferred": params.get("preferred_element_type"),
    }


def _show_broadcast(fields: Params) -> Params:
    new = fields["axes"]
    old = tuple([i for i in range(len(fields["shape"])) if i not in new])
    return {"shape": fields["shape"], "broadcast_dimensions": old, "sharding": None}


def _take_broadcast(params: Params, _: Sequence[Any]) -> Params:
    shape, old = tuple(params["shape"]), params["broadcast_dimensions"]
    return {"shape": shape, "axes": tuple([i for i in range(len(shape)) if i not in old])}


def _show_slice(fields: Params) -> Params:
    strides = fields["strides"]
    return {
        "start_indices": fields["starts"],
        "limit_indices": fields["limits"],
        "strides": None if all(s == 1 for s in strides) else strides,
    }


def _take_slice(params: Params, _: Sequence[Any]) -> Params:
    starts, strides = tuple(params["start_indices"]), params.get("strides")
    return {
        "starts": starts,
        "limits": tuple(params["limit_indices"]),
        "strides": (1,) * len(starts) if strides is None else tuple(strides),
    }


def _show_padding(fields: Params) -> Params:
    return {
        "padding_config": tuple(zip(fields["low"], fields["high"], fields["interior"], strict=True))
    }


def _take_padding(params: Params, _: Sequence[Any]) -> Params:
    config = params["padding_config"]
    return {
        name: tuple([c[i] for c in config]) for i, name in enumerate(("low", "high", "interior"))
    }


def _show_arg(fields: Params) -> Params:
    return {"axes": (fields["axis"],), "index_dtype": fields["index_dtype"]}


def _take_arg(params: Params, _: Sequence[Any]) -> Params:
    (axis,) = params["axes"]
    return {"axis": axis, "index_dtype": params["index_dtype"]}


def _show_call(fields: Params) -> Params:
    program: Program = fields["program"]
    return {
        "jaxpr": program,
        "name": program.name,
        "donated_invars": (False,) * len(program.inputs),
        "inline": False,
        "keep_unused": False,
        "in_shardings": (None,) * len(program.inputs),
        "out_shardings": (None,) * len(program.outputs),
        "in_layouts": (None,) * len(program.inputs),
        "out_layouts": (None,) * len(program.outputs),
        "ctx_mesh": None,
        "compiler_options_kvs": (),
    }


def _take_call(params: Params, _: Sequence[Any]) -> Params:
    return {"program": params["jaxpr"]}


@record
class Groups:
    """How the operands of a loop fall into groups, and which they are, if that is said."""

    sizes: tuple[int, ...]
    vals: tuple[Any, ...] = ()

    def update(self, vals: Sequence[Any]) -> Groups:
        """The same groups of these values."""
        return Groups(self.sizes, tuple(vals))

    def unpack(self) -> tuple[Groups, ...]:
        """The groups one by one."""
        ends = list(accumulate(self.sizes))
        return tuple(
            [
                Groups((n,), self.vals[end - n : end])
                for n, end in zip(self.sizes, ends, strict=True)
            ]
        )


def _show_scan(fields: Params) -> Params:
    found = {"jaxpr" if name == "body" else name: value for name, value in fields.items()}
    consts, carry = fields["num_consts"], fields["num_carry"]
    body = fields["body"]
    return {
        **found,
        "ft_in": Groups((consts, carry, len(body.inputs) - consts - carry)),
        "ft_out": Groups((carry, len(body.outputs) - carry)),
    }


def _take_scan(params: Params, _: Sequence[Any]) -> Params:
    given = {"body" if name == "jaxpr" else name: value for name, value in params.items()}
    given.pop("_split_transpose", None)
    given.pop("ft_out", None)
    groups = given.pop("ft_in", None)
    if groups is not None:
        given["num_consts"], given["num_carry"], _ = groups.sizes
    return given


# A loop with a condition has constants of its own for each of its Jaxprs: here the two share them, and they are seen
# twice.  What says how it runs is shown where it is said.
_OF_WHILE = {"keep": None, "lanes": (), "mapped": (), "tape": None, "agreed": False}


def _show_choice(fields: Params) -> Params:
    return {name: value for name, value in fields.items() if name != "agreed" or value}


def _show_while(fields: Params) -> Params:
    n = fields["num_consts"]
    said = {name: fields[name] for name, default in _OF_WHILE.items() if fields[name] != default}
    return {
        "cond_jaxpr": fields["condition"],
        "body_jaxpr": fields["body"],
        "cond_nconsts": n,
        "body_nconsts": n,
        **said,
    }


def _see_while(fields: Params) -> Places:
    n, inputs = fields["num_consts"], len(fields["body"].inputs)
    return (*range(n), *range(inputs))


def _are_shared(params: Params, args: Sequence[Any]) -> bool:
    n = params["cond_nconsts"]
    twice = zip(args[:n], args[n : 2 * n], strict=False)
    return params["body_nconsts"] == n and all(a is b for a, b in twice)


def _give_while(params: Params, args: Sequence[Any]) -> Places:
    n = params["cond_nconsts"]
    return (*range(n), *range(2 * n, len(args))) if _are_shared(params, args) else None


def _take_while(params: Params, args: Sequence[Any]) -> Params:
    condition, body = params["cond_jaxpr"], params["body_jaxpr"]
    n, m = params["cond_nconsts"], params["body_nconsts"]
    said = {name: params[name] for name in _OF_WHILE if name in params}
    if _are_shared(params, args):
        return {"condition": condition, "body": body, "num_consts": n, **said}
    return {
        "condition": _with_more(condition, n, body.inputs[:m]),
        "body": _with_more(body, 0, condition.inputs[:n]),
        "num_consts": n + m,
        **said,
    }


def _with_more(program: Program, place: int, like: Sequence[Var]) -> Program:
    """A Program that takes more operands, which it does not read, from this place on."""
    inputs = program.inputs
    new = tuple([Var(v.aval) for v in like])
    return Program(
        (*inputs[:place], *new, *inputs[place:]),
        program.eqns,
        program.outputs,
        program.constant_vars,
        program.constants,
        program.name,
    )


def _show_custom(fields: Params) -> Params:
    """A function with a rule; what its rule does is shown where it does anything else."""
    said = {} if not fields["rule_touches"] else {"rule_touches": True}
    kept = {name: fields[name] for name in ("rule", "count")}
    return {"call_jaxpr": fields["program"], **kept, "symbolic_zeros": False, **said}


def _take_custom(params: Params, _: Sequence[Any]) -> Params:
    names = {"call_jaxpr": "program", "jvp_jaxpr_fun": "rule"}
    return {names.get(k, k): v for k, v in params.items() if k != "symbolic_zeros"}


def _show_custom_jvp(fields: Params) -> Params:
    found = _show_custom(fields)
    return {**found, "jvp_jaxpr_fun": found.pop("rule")}


def _as_they_are(params: Params, *_: Any) -> Params:
    return params


def _following(
    names: tuple[str, ...], follow: Callable[[Sequence[ShapedArray]], Params], *enough: str
) -> Form:
    return Form(_as_they_are, _as_they_are, follow=follow, following=names, more_than_asked=enough)


def _sorting(axis: str, **also: Any) -> Form:
    """What sorts, along the last axis, and keeps the order of what is equal."""

    def follow(avals: Sequence[ShapedArray]) -> Params:
        return {axis: avals[0].ndim - 1, "is_stable": True, **also}

    return _following((axis, "is_stable", *also), follow, "is_stable")


def _swapped(*_: Any) -> Places:
    return 0, 2, 1


# What JAX calls them.
NAMES = {
    "betainc": "regularized_incomplete_beta",
    "broadcast": "broadcast_in_dim",
    "call": "jit",
    "checkpoint": "remat2",
    "convert": "convert_element_type",
    "custom_jvp": "custom_jvp_call",
    "custom_vjp": "custom_vjp_call",
    "scatter_add": "scatter-add",
    "scatter_max": "scatter-max",
    "scatter_min": "scatter-min",
    "scatter_mul": "scatter-mul",
    "select": "select_n",
}

_PLACE = {"sharding": None}
FORMS: dict[str, Form] = {
    "argmax": Form(_show_arg, _take_arg),
    "argmin": Form(_show_arg, _take_arg),
    "bitcast_convert_type": renamed(new_dtype="dtype"),
    "broadcast_in_dim": Form(_show_broadcast, _take_broadcast),
    "concatenate": renamed(dimension="axis"),
    "cond": Form(_show_choice, _as_they_are),
    "convert_element_type": renamed(_PLACE, new_dtype="dtype", weak_type="weak"),
    "conj": _following(("input_dtype",), lambda avals: {"input_dtype": avals[0].dtype}),
    "conv_general_dilated": renamed({"precision": None, "out_sharding": None}),
    "custom_jvp_call": Form(_show_custom_jvp, _take_custom),
    "custom_vjp_call": Form(_show_custom, _take_custom),
    "dot_general": Form(_show_product, _take_product),
    "dynamic_slice": renamed(slice_sizes="sizes"),
    "eigh": renamed(lower="lower_triangle"),
    "gather": renamed(
        {"indices_are_sorted": False, "unique_indices": False}, dimension_numbers="numbers"
    ),
    "integer_pow": renamed(y="n"),
    "iota": renamed(_PLACE, dimension="axis"),
    "jit": Form(_show_call, _take_call),
    "mul": renamed({"out_dtype": None}),
    "name": renamed(name="label"),
    "pad": Form(_show_padding, _take_padding),
    "pure_callback": renamed(_PLACE, callback="function", result_avals="results"),
    "qr": renamed({"use_magma": None}),
    "random_bits": renamed(bit_width="width"),
    **{f"reduce_{op}": renamed({"out_sharding": None}) for op in ("max", "min", "sum")},
    "reshape": renamed({"dimensions": None, **_PLACE}, new_sizes="shape"),
    "remat2": renamed(jaxpr="program"),
    "rev": renamed(dimensions="axes"),
    "scan": Form(_show_scan, _take_scan),
    **{
        f"scatter{end}": renamed({"indices_are_sorted": False}, dimension_numbers="numbers")
        for end in ("", "-add", "-mul", "-min", "-max")
    },
    "select_n": Form(_as_they_are, _as_they_are, _swapped, _swapped),
    "slice": Form(_show_slice, _take_slice),
    "sort": _sorting("dimension", num_keys=1),
    "svd": renamed({"algorithm": None, "subset_by_index": None}),
    "top_k": _sorting("axis"),
    "triangular_solve": renamed(lower="lower_triangle"),
    "while": Form(_show_while, _take_while, _see_while, _give_while),
    **{
        name: renamed({"accuracy": None})
        for name in (
            *("cbrt", "cos", "erfc", "exp", "exp2", "expm1", "log", "log1p", "logistic"),
            *("rsqrt", "sin", "sqrt", "tan", "tanh"),
        )
    },
}
# Of primitives that have no such parameter JAX asks for one, which has one value here.
_EVERYWHERE = {"accuracy", "out_dtype", "out_sharding", "precision", "sharding"}
AS_IT_IS = renamed()


def form_of(name: str) -> Form:
    """The form of the primitive that JAX calls so."""
    return FORMS.get(name, AS_IT_IS)


def check_followed(form: Form, params: Params, args: Sequence[Any]) -> None:
    """NotImplementedError for other values of what follows from the operands' types than these."""
    for name, value in form.follow([typeof(x) for x in args]).items():
        given = params.get(name, value)
        if given not in (value, None) and name not in form.more_than_asked:
            raise NotImplementedError(
                f"{name}={given!r}{errors.at_user_line()}: it is bound with {name}={value!r} alone here; call the "
                "function of covector.lax"
            )


def without_defaults(params: Params, fields: Sequence[str], form: Form) -> Params:
    """Parameters without those that say nothing here: what follows from operands, None for what is no field."""
    return {
        name: value
        for name, value in params.items()
        if not (value is None and name in _EVERYWHERE and name not in fields)
        and name not in form.following
    }


def picked(values: Sequence[Any], places: Places) -> Sequence[Any]:
    """The values at these places, or all of them."""
    return values if places is None else [values[i] for i in places]


def put_back(values: Sequence[Any], places: Places, count: int) -> Sequence[Any]:
    """Of `count` values those at these places, None for the others."""
    if places is None:
        return values
    found: list[Any] = [None] * count
    for place, value in zip(places, values, strict=True):
        found[place] = value
    return found
