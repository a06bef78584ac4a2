"""Updates at an index: x.at[index].set(y) and its kin, which return the changed array."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from covector._engine import primitives as prims
from covector._engine.api.jit import jit
from covector._engine.base import errors
from covector._engine.base.config import config
from covector._engine.base.locks import import_late
from covector._engine.base.public import bounded
from covector._engine.core.levels import LevelTracer
from covector._engine.core.numbers import SCALARS
from covector._engine.core.trace import stage, typeof
from covector._engine.ir.program import Program
from covector._engine.types import dtypes
from covector._engine.types.dtypes import of_number
from covector.numpy import elementwise as el
from covector.numpy.creation import array_of, asarray, iota, ones
from covector.numpy.fused import fused, outside
from covector.numpy.index_plan import (
    Form,
    IndexPlan,
    Window,
    advanced,
    form_of,
    index_of,
    index_vectors,
    lead_of,
    new_axes,
    parse,
    result_axes,
    result_shape,
    starts_of,
)
from covector.numpy.indexing import mode_of, read, read_index, read_strided
from covector.numpy.operands import placed
from covector.numpy.promotion import (
    Array,
    Shape,
    cast,
    convert_scalar,
    is_operand,
    spread,
    target,
    type_key,
    whole,
)
from covector.numpy.selection import where
from covector.numpy.shape import broadcast_shapes
from covector.numpy.ufunc import signature_of

__all__ = ["At", "AtIndex", "applied_at", "at"]

Combine = Callable[[Any, Any], Any]

# The kinds of dtype that can hold a Python number of each type.
_HOLDS = {bool: "biufc", int: "iufc", float: "fc", complex: "c"}

_COMBINE: dict[str, Combine] = {
    "set": lambda old, new: new,
    "add": prims.add,
    "mul": prims.mul,
    "min": prims.minimum,
    "max": prims.maximum,
}


class Options(NamedTuple):
    """How an update is done."""

    mode: prims.IndexMode  # of indices out of bounds
    unique: bool  # the promise that no element is updated twice
    wrap: bool  # negative indices count from the end
    default: bool  # no mode was asked for


def update(x: Any, index: Any, y: Any, combine: str, options: Options) -> Any:
    """The array with `y`, broadcast to the shape of x[index], combined into it there; weak if the array is.

    The arithmetic is done in the dtype that both have together, and its result is cast to the array's.
    """
    return _weak_as(x, _combined(x, index, y, combine, options))


def _weak_as(x: Any, out: Any) -> Any:
    """What came of an array, weak if the array is."""
    return prims.Convert(out.dtype, True)(out) if x.weak_type and not out.weak_type else out


def _combined(x: Any, index: Any, y: Any, combine: str, options: Options) -> Any:
    own = x.dtype
    scalar = type(y) in SCALARS
    if scalar and of_number(type(y)) == own and type(y) is not bool:
        return _update(x, index, y, combine, options)  # the common case
    if combine != "set":
        computed = _computed(x, y)
    else:
        computed = own
        if config.numpy_dtype_promotion == "strict":
            _computed(x, y)  # which refuses other dtypes
    if scalar and dtypes.kind(computed) in _HOLDS[type(y)]:
        y = convert_scalar(y, computed, False)
    else:
        of_numpy = isinstance(y, np.ndarray | np.generic)
        y = whole("an update", y, computed) if of_numpy else asarray(y)
    if computed == own:
        return _update(x, index, y, combine, options)
    result = cast(_update(cast(x, computed), index, y, combine, options), own)
    if own == dtypes.bool_:
        return result
    touched = _update(prims.full(x.shape, False, dtypes.bool_), index, True, "set", options)
    # The others stay as they are: they did not go through a dtype that may round them.
    return where(touched, result, x)


def _computed(x: Any, y: Any) -> np.dtype:
    """The dtype in which elements of x and y are combined: what they promote to, and no bool."""
    y_type = type_key(y) if is_operand(y) else (asarray(y).dtype, False)
    return target("numeric", (x.dtype, False), y_type)[0]


def _update(x: Any, index: Any, y: Any, combine: str, options: Options) -> Any:
    if not (type(x) is Array or isinstance(x, LevelTracer)) or not outside():
        return _update_plan(x, parse(index, x.shape, False, options.wrap), y, combine, options)
    form, numbers = form_of(index, x.shape, False, options.wrap)
    if options.default and not any(type(n) is Array for n in numbers):
        options = _IN_BOUNDS if options is _DEFAULT else options._replace(mode="clip")
    return _update_form(x, numbers, y, form=form, combine=combine, options=options)


def _update_of_form(
    x: Any, numbers: tuple[Any, ...], y: Any, form: Form, combine: str, options: Options
) -> Any:
    """An update, compiled for the index's form."""
    plan = parse(index_of(form, numbers), x.shape, False, options.wrap)
    return _update_plan(x, plan, y, combine, options)


_update_form = fused("form", "combine", "options")(_update_of_form)
_update_taken = jit(
    _update_of_form, static_argnames=("form", "combine", "options"), donate_argnames="x"
)


def update_taken(x: Any, index: Any, y: Any, combine: str) -> Any:
    """As `x.at[index]`, outside any trace, for an Array that nobody else has: its memory becomes the result's."""
    form, numbers = form_of(index, x.shape, False, True)
    options = _DEFAULT if any(type(n) is Array for n in numbers) else _IN_BOUNDS
    return _update_taken(x, numbers, y, form=form, combine=combine, options=options)


def _update_plan(x: Any, plan: IndexPlan, y: Any, combine: str, options: Options) -> Any:
    if 0 in x.shape or 0 in result_shape(plan, lead_of(plan)):
        return x
    y = array_of(y, x.dtype)
    return _inside_strides(x, plan, list(plan.strided), y, combine, options.mode, options.unique)


def _inside_strides(
    x: Any, plan: IndexPlan, strided: list[Any], y: Any, combine: str, mode: str, unique: bool
) -> Any:
    """Strided slices from the outside in: the part is read, changed, and put back."""
    if not strided:
        return _update_windows(x, plan, y, combine, mode, unique)
    s, *rest = strided
    part = _inside_strides(read_strided(x, s), plan, rest, y, combine, mode, unique)
    if s.reverse:
        part = prims.Reverse((s.axis,))(part)
    if s.step == 1 and s.size == x.shape[s.axis]:
        return part
    rank = len(x.shape)
    low = tuple([s.start if i == s.axis else 0 for i in range(rank)])
    high = [
        n - s.start - (s.size - 1) * s.step - 1 if i == s.axis else 0 for i, n in enumerate(x.shape)
    ]
    interior = tuple([s.step - 1 if i == s.axis else 0 for i in range(rank)])
    pad = prims.Pad(low, tuple(high), interior)
    mine = pad(prims.full(part.shape, True, dtypes.bool_), dtypes.bool_.type(False))
    return prims.select(mine, pad(part, x.dtype.type(0)), x)


def _update_windows(x: Any, plan: IndexPlan, y: Any, combine: str, mode: str, unique: bool) -> Any:
    of_parts = dtypes.is_complex(x.dtype) and combine in ("min", "max")
    if plan.advanced or of_parts or (plan.dynamic and mode != "clip"):
        return _scatter(x, plan, y, combine, mode, unique)
    sizes = tuple([w.size for w in plan.windows])
    y = prims.Reshape(sizes)(_fitted(y, result_shape(plan, ())))
    whole = all(_is_whole(w, n) for w, n in zip(plan.windows, x.shape, strict=True))
    if combine != "set":
        old = read(
            x,
            IndexPlan(
                (),
                tuple([Window(w.start, w.size, True) for w in plan.windows]),
                (),
                tuple(range(len(sizes))),
            ),
            "clip",
        )
        y = _COMBINE[combine](old, y)
    return y if whole else prims.DynamicUpdateSlice()(x, y, *starts_of(plan.windows))


def _is_whole(w: Window, n: Any) -> bool:
    return not w.dynamic and w.start == 0 and w.size == n


def _fitted(y: Any, shape: Shape) -> Any:
    """The update in the shape of x[index]."""
    try:
        fits = broadcast_shapes(y.shape, shape) == shape
    except ValueError:
        fits = False
    if not fits:
        raise ValueError(
            f"an update of shape {y.shape} does not fit the indexed elements, which have the shape {shape}"
            f"{errors.at_user_line()}"
        )
    return spread(y, shape)


def _scatter(x: Any, plan: IndexPlan, y: Any, combine: str, mode: str, unique: bool) -> Any:
    vectors, axes = index_vectors(plan, x.shape)
    y = _fitted(y, result_shape(plan, vectors.shape[:-1]))
    y = prims.squeeze(y, new_axes(plan))
    inserted = tuple([i for i, w in enumerate(plan.windows) if not w.stays])
    numbers = prims.ScatterDimensionNumbers(result_axes(plan), inserted, axes)
    primitive = prims.Scatter(numbers, mode, combine, unique)  # type: ignore[arg-type]
    return prims.scattered(primitive, x, vectors, y)


# --------------------------------------------------------------------------- functions of the elements


def _places(x: Any, index: Any, options: Options) -> Any:
    """The places of the indexed elements in the flattened array, -1 out of bounds; None if none can be there twice."""
    if options.unique or not advanced(index):
        return None
    numbers = prims.Reshape(x.shape)(iota((x.size,), dtypes.index_dtype(x.size), 0))
    mode = "clip" if options.mode == "clip" else "fill"
    places = read_index(numbers, index, mode, -1, False, options.wrap)
    places = prims.Reshape((places.size,))(places)
    if type(places) is Array and len(found := np.asarray(places)) == len(np.unique(found)):
        return None
    return places


def applied_at(func: Callable[[Any], Any], x: Any, places: Any) -> Any:
    """The function applied to the elements at places in the flattened array, as often as each is named.

    Places below 0 are left out.
    """
    flat = prims.Reshape((x.size,))(x)
    if type(places) is Array:
        for turn in _turns(np.asarray(places)):
            chosen = asarray(turn)
            new = cast(func(read_index(flat, chosen, "clip")), x.dtype)
            flat = update(flat, chosen, new, "set", Options("fill", True, True, False))
        return prims.Reshape(x.shape)(flat)

    def step(carry: Any, place: Any) -> list[Any]:
        kept = prims.DynamicSlice((1,))(carry, place)
        new = cast(func(prims.Reshape(())(kept)), x.dtype)
        new = prims.select(prims.lt(place, place.dtype.type(0)), prims.Reshape(())(kept), new)
        return [prims.DynamicUpdateSlice()(carry, prims.Reshape((1,))(new), place)]

    traced = stage(step, [typeof(flat), typeof(places).with_shape(())], "apply")
    body = Program(traced.constant_vars + traced.inputs, traced.eqns, traced.outputs, name="apply")
    consts = [asarray(c) for c in traced.constants]
    scan = import_late("covector._engine.control.loop").Scan  # late, for the time of importing
    loop = scan(body, length=places.shape[0], reverse=False, num_consts=len(consts), num_carry=1)
    return prims.Reshape(x.shape)(loop(*consts, flat, places)[0])


def _turns(places: np.ndarray) -> list[np.ndarray]:
    """The places in as few groups as leave none twice in a group; those below 0 are left out."""
    places = np.sort(places[places >= 0])
    first = np.concatenate([[True], places[1:] != places[:-1]]) if len(places) else places > 0
    starts = np.maximum.accumulate(np.where(first, np.arange(len(places)), 0))
    rank = np.arange(len(places)) - starts
    return [places[rank == r] for r in range(int(rank.max(initial=-1)) + 1)]


@bounded
class AtIndex:
    """One place in an array, to be read or updated: what x.at[index] gives.

    Every method returns a new array and leaves the old one as it is.  Indices out of bounds are left out when
    updating; mode="clip" takes the nearest place instead.  Of several updates of one element `add`,
    `multiply`, `min` and `max` count all, `set` keeps the last.
    """

    __slots__ = ("array", "index")

    def __init__(self, array: Any, index: Any):
        self.array, self.index = array, index

    def __repr__(self) -> str:
        return f"AtIndex({self.array!r}, {self.index!r})"

    def get(
        self,
        *,
        indices_are_sorted: bool = False,
        unique_indices: bool = False,
        mode: Any = None,
        fill_value: Any = None,
        out_sharding: Any = None,
        wrap_negative_indices: bool = True,
    ) -> Any:
        """x[index], with a choice of what happens out of bounds: mode="fill" gives `fill_value` (NaN).

        Without `wrap_negative_indices` negative indices are out of bounds.
        """
        chosen, checked = mode_of(mode, "clip"), mode is None
        found = read_index(
            self.array, self.index, chosen, fill_value, checked, bool(wrap_negative_indices)
        )
        return placed("get", found, None, out_sharding)

    def _update(self, combine: str, values: Any, options: dict[str, Any]) -> Any:
        out = update(self.array, self.index, values, combine, _options(options))
        return placed(combine, out, None, options.get("out_sharding"))

    def set(self, values: Any, **options: Any) -> Any:
        """The array with these values at the index.

        >>> from covector import numpy as cnp
        >>> cnp.zeros(3).at[1].set(5.)
        Array([0., 5., 0.], dtype=float32)
        """
        return self._update("set", values, options)

    def add(self, values: Any, **options: Any) -> Any:
        """The array with these values added at the index."""
        return self._update("add", values, options)

    def subtract(self, values: Any, **options: Any) -> Any:
        """The array with these values subtracted at the index."""
        if self.array.dtype == dtypes.bool_ == asarray(values).dtype:
            raise TypeError(
                f"subtract of bool from bool{errors.at_user_line()}: use at[...].set with logical_xor"
            )
        computed = _computed(self.array, values)
        if computed != self.array.dtype or type(values) not in SCALARS or type(values) is bool:
            values = el.negative(array_of(values, computed))
        return self._update(
            "add", el.negative(values) if type(values) in SCALARS else values, options
        )

    def multiply(self, values: Any, **options: Any) -> Any:
        """The array multiplied by these values at the index."""
        return self._update("mul", values, options)

    mul = multiply

    def min(self, values: Any, **options: Any) -> Any:
        """The array with the smaller of its elements and these values at the index."""
        return self._update("min", values, options)

    def max(self, values: Any, **options: Any) -> Any:
        """The array with the larger of its elements and these values at the index."""
        return self._update("max", values, options)

    def divide(self, values: Any, **options: Any) -> Any:
        """The array divided by these values at the index; integers become floats, as in a division.

        The dtype is that of the array divided by itself.
        """
        x = self.array
        return _as_with_itself(el.divide, x, el.divide(x, self._factors(values, options)))

    def power(self, values: Any, **options: Any) -> Any:
        """The array to the power of these values at the index."""
        x, exponents = self.array, self._factors(values, options)
        return _as_with_itself(
            el.power, x, where(el.equal(exponents, 1), x, cast(el.power(x, exponents), x.dtype))
        )

    def _factors(self, values: Any, options: dict[str, Any]) -> Any:
        """The products of the values for each element: 1 where there are none."""
        dtype = _computed(self.array, values)
        if dtypes.is_complex(dtype) and not dtypes.is_complex(self.array.dtype):
            values = el.real(asarray(values))  # as by all other updates
            dtype = _computed(self.array, values)
        return update(ones(self.array.shape, dtype), self.index, values, "mul", _options(options))

    def apply(self, func: Callable[[Any], Any], **options: Any) -> Any:
        """The array with an elementwise function applied to the elements at the index, as often as each is named."""
        chosen = _options(options)
        if 0 in self.array.shape:
            return self.array
        places = _places(self.array, self.index, chosen)
        if places is None:
            mode = "clip" if chosen.default else chosen.mode
            old = self.get(mode=mode, wrap_negative_indices=chosen.wrap)
            return update(self.array, self.index, cast(func(old), self.array.dtype), "set", chosen)
        return applied_at(func, self.array, places)


def _as_with_itself(f: Callable[[Any, Any], Any], x: Any, result: Any) -> Any:
    """A result in the dtype that the function has for x and x."""
    one = np.ones((), x.dtype)[()]
    return _weak_as(x, cast(result, typeof(f(one, one)).dtype))


# The options of updates, and what they are if they are not given.
_OPTIONS: dict[str, Any] = {
    "indices_are_sorted": False,
    "unique_indices": False,
    "mode": None,
    "out_sharding": None,
    "wrap_negative_indices": True,
}


def _show_options() -> None:
    """Let `inspect` show the options of each method, which all take the same."""
    options = ", ".join([f"{name}={x!r}" for name, x in _OPTIONS.items()])
    for name in ("set", "add", "subtract", "multiply", "min", "max", "divide", "power", "apply"):
        own = "func" if name == "apply" else "values"
        vars(AtIndex)[name].__wrapped__.__signature__ = signature_of(f"self, {own}, *, {options}")


_show_options()


def _options(given: dict[str, Any]) -> Options:
    """The keyword arguments of an update; TypeError for one that there is not."""
    if not given:
        return _DEFAULT
    unknown = set(given) - set(_OPTIONS)
    if unknown:
        raise TypeError(
            f"unknown options of an update: {', '.join(sorted(unknown))}{errors.at_user_line()}"
        )
    promises = ("indices_are_sorted", "unique_indices")
    errors.check_flags("an update", **{name: given[name] for name in promises if name in given})
    mode = given.get("mode")
    wrap, unique = given.get("wrap_negative_indices", True), given.get("unique_indices", False)
    return Options(mode_of(mode, "fill"), bool(unique), bool(wrap), mode is None)


_DEFAULT, _IN_BOUNDS = Options("fill", False, True, True), Options("clip", False, True, True)


class At:
    """x.at: indexed, it gives the place to be updated."""

    __slots__ = ("array",)

    def __init__(self, array: Any):
        self.array = array

    def __getitem__(self, index: Any) -> AtIndex:
        return AtIndex(self.array, index)

    def __repr__(self) -> str:
        return f"At({self.array!r})"


def at(x: Any) -> At:
    """The updates of an array."""
    return At(x)
