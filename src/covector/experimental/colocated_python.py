"""Python that runs where arrays are: names are those of `jax.experimental.colocated_python`.  They are here."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Sequence
from typing import Any

from covector._engine.base import errors, tree
from covector._engine.base.public import publish
from covector._engine.core.trace import Array, typeof
from covector._engine.runtime.device import Device
from covector._engine.types.mesh import Mesh

__all__ = ["colocated_cpu_devices", "colocated_python", "colocated_python_class"]


def colocated_cpu_devices(devices_or_mesh: Any) -> Any:
    """The CPUs beside devices, or a mesh of them: these themselves, as they are CPUs.

    TypeError for what is no device.

    >>> import covector
    >>> from covector.experimental.colocated_python import colocated_cpu_devices
    >>> [device.platform for device in colocated_cpu_devices(covector.devices())]
    ['cpu']
    """
    if isinstance(devices_or_mesh, Mesh):
        return devices_or_mesh
    found = [*devices_or_mesh]
    for x in found:
        if not isinstance(x, Device):
            raise TypeError(
                f"colocated_cpu_devices takes devices or a mesh, got {x!r}{errors.at_user_line()}"
            )
    return found


def _checked(name: str, x: Any) -> Any:
    """An array that goes in or comes out; ValueError for anything else."""
    if type(x) is not Array:
        raise ValueError(
            f"{name} takes and gives arrays alone{errors.at_user_line()}, not {type(x).__name__}"
        )
    return x


def _wrong_types(name: str, wanted: Any, leaves: Sequence[Any], structure: Any) -> str | None:
    """What is wrong with values that should be like these (`ShapeDtypeStruct`s); None if nothing is."""
    specs, expected = tree.flatten(wanted)
    if structure != expected:
        return f"{name}: structure {structure}, not {expected} as was said"
    for x, spec in zip(leaves, specs, strict=True):
        if (x.shape, x.dtype) != (tuple(spec.shape), spec.dtype):
            return (
                f"{name}: {typeof(x).text()}, not {spec.dtype.name}{list(spec.shape)} as was said"
            )
    return None


class Colocated:
    """A function of arrays, run by Python in this process; `specialize` says more about it beforehand."""

    def __init__(
        self,
        fun: Callable[..., Any],
        in_specs: Any = None,
        out_specs_fn: Callable[..., Any] | None = None,
        devices: Sequence[Device] | None = None,
    ):
        self._fun, self._in_specs = fun, in_specs
        self._out_specs_fn, self._devices = out_specs_fn, devices
        functools.update_wrapper(self, fun)

    def specialize(
        self,
        in_specs: Any = None,
        out_specs_fn: Callable[..., Any] | None = None,
        devices: Sequence[Device] | None = None,
    ) -> Colocated:
        """The function, of which more is known: types of arguments, a function from them to those of results, devices.

        ValueError for what was said before.

        >>> import covector
        >>> from covector.experimental.colocated_python import colocated_python
        >>> one = colocated_python(lambda: covector.numpy.ones(2)).specialize(devices=covector.devices())
        >>> one()
        Array([1., 1.], dtype=float32)
        """
        said: dict[str, Any] = {
            "in_specs": in_specs,
            "out_specs_fn": out_specs_fn,
            "devices": devices,
        }
        for name, value in said.items():
            before = getattr(self, f"_{name}")
            if value is None:
                said[name] = before
            elif before is not None:
                raise ValueError(f"specialize: {name} was given before{errors.at_user_line()}")
        return Colocated(self._fun, **said)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        name = getattr(self._fun, "__name__", "a colocated function")
        leaves, structure = tree.flatten((args, kwargs))
        for x in leaves:
            _checked(name, x)
        if not leaves and self._devices is None:
            raise ValueError(
                f"{name} without arguments{errors.at_user_line()} says not where: specialize it with devices"
            )
        if self._in_specs is not None:
            self._check(f"arguments of {name}", self._in_specs, leaves, structure)
        out = self._fun(*args, **kwargs)
        found, structure = tree.flatten(out)
        for x in found:
            _checked(name, x)
        if self._out_specs_fn is not None:
            specs = tree.map(typeof, (args, kwargs))
            self._check(
                f"results of {name}", self._out_specs_fn(*specs[0], **specs[1]), found, structure
            )
        return out

    @staticmethod
    def _check(name: str, wanted: Any, leaves: Sequence[Any], structure: Any) -> None:
        if (wrong := _wrong_types(name, wanted, leaves, structure)) is not None:
            raise ValueError(f"{wrong}{errors.at_user_line()}")


def colocated_python(fun: Callable[..., Any]) -> Colocated:
    """A function of arrays that is run by Python where its arguments are, which is in this process.

    What it takes and gives is arrays in pytrees; ValueError for others.

    >>> import numpy as np
    >>> from covector import numpy as cnp
    >>> from covector.experimental.colocated_python import colocated_python
    >>> colocated_python(lambda x: cnp.asarray(np.sort(x)))(cnp.array([2.0, 1.0]))
    Array([1., 2.], dtype=float32)
    """
    return Colocated(fun)


def colocated_python_class(cls: type[object]) -> type[object]:
    """A class whose methods are run where their arguments are: the object is made when the first one is called.

    >>> from covector import numpy as cnp
    >>> from covector.experimental.colocated_python import colocated_python_class
    >>> @colocated_python_class
    ... class Sum:
    ...     def __init__(self):
    ...         self.total = 0
    ...     def add(self, x):
    ...         self.total += x
    ...         return self.total
    >>> total = Sum()
    >>> total.add(cnp.ones(1)), total.add(cnp.ones(1))
    (Array([1.], dtype=float32), Array([2.], dtype=float32))
    """

    class Wrapped:
        def __init__(self, *args: Any, **kwargs: Any):
            made: list[Any] = []
            making = threading.RLock()

            def make() -> Any:
                with making:  # the constructor runs once, whichever threads call
                    if not made:
                        made.append(cls(*args, **kwargs))
                    return made[0]

            self._make = make

    for name in dir(cls):
        method = getattr(cls, name)
        if callable(method) and not name.startswith("__"):
            setattr(Wrapped, name, _method(name, method))
    for name in functools.WRAPPER_ASSIGNMENTS:
        setattr(Wrapped, name, getattr(cls, name, None))
    return Wrapped


def _method(name: str, method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        made = self._make()

        @functools.wraps(method)
        def run(*xs: Any, **options: Any) -> Any:
            return getattr(made, name)(*xs, **options)

        return Colocated(run)(*args, **kwargs)

    return call


publish(__name__)
