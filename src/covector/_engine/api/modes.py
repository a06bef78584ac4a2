"""Modes: flags for the length of a `with` block, names for what is traced in it, and what empties the caches."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import ParamSpec, TypeVar

from covector._engine.api.arguments import check_callable, function_name
from covector._engine.base import errors, jax_flags
from covector._engine.base.config import TRANSFER_LEVELS, config
from covector._engine.base.public import wraps
from covector._engine.runtime.device import Device, devices

P = ParamSpec("P")
R = TypeVar("R")


def disable_jit(disable: bool = True) -> AbstractContextManager[None]:
    """In a `with` block jitted functions run as they are, operation by operation, which a debugger can follow.

    >>> import covector
    >>> with covector.disable_jit():
    ...     print(covector.jit(lambda x: type(x).__name__)(1.0))
    float
    """
    return config.override(disable_jit=disable)


def enable_x64(new_val: bool | None = True) -> AbstractContextManager[None]:
    """In a `with` block, what types of 64 bits are: True, False and None are three states.

    None, as it is outside of such blocks: types are as they are written.  Numbers, and what is made without a dtype,
    have 32 bits; arrays of 64 stay as they are.  NumPy's scalars that Python's arithmetic makes (`np.sqrt(64)`) are
    weakly typed as Python's numbers are.
    False, JAX's default: 64 bits become 32 where values and dtypes come in, with a warning for a dtype that is asked
    for.  What has 64 bits already keeps them.
    True: numbers, and what is made without a dtype, have 64 bits.
    The flag `enable_x64` (`config.update`; JAX's name `jax_enable_x64`; COVECTOR_ENABLE_X64) is the same for a process.

    >>> import covector, numpy
    >>> import covector.numpy as np
    >>> for state in (None, False, True):
    ...     with covector.enable_x64(state):
    ...         print(np.asarray(numpy.ones(2)).dtype, np.zeros(2).dtype)
    float64 float32
    float32 float32
    float64 float64
    """
    return config.override(enable_x64=new_val)


def disable_x64() -> AbstractContextManager[None]:
    """In a `with` block types of 64 bits become 32 where values and dtypes come in: `enable_x64(False)`.

    >>> import covector, numpy
    >>> with covector.experimental.disable_x64():
    ...     print(covector.numpy.asarray(numpy.ones(2)).dtype)
    float32
    """
    return enable_x64(False)


def check_tracer_leaks(new_val: bool = True) -> AbstractContextManager[None]:
    """In a `with` block a trace that ends while something still keeps its tracers raises `LeakedTracerError`.

    It tells which values they are and where they were made.  Each trace costs a run of the garbage collector.

    >>> import covector
    >>> kept = []
    >>> with covector.check_tracer_leaks():
    ...     try:
    ...         covector.jit(lambda x: kept.append(x))(1.0)
    ...     except covector.errors.LeakedTracerError as error:
    ...         print("kept" in str(error) or "keeps" in str(error))
    True
    """
    return config.override(check_tracer_leaks=new_val)


checking_leaks = check_tracer_leaks


def debug_nans(new_val: bool = True) -> AbstractContextManager[None]:
    """In a `with` block a NaN in what is computed raises FloatingPointError, which tells what made it, and where.

    Results of a compiled function are looked at when it has run.  If there is a NaN the function runs again, operation
    by operation, into its loops and branches, to find which one made it.  All that is computed is waited for, no
    argument is donated, and native dispatch is off, so this is for finding a fault.

    >>> import covector
    >>> import covector.numpy as np
    >>> with covector.debug_nans():
    ...     try:
    ...         covector.jit(lambda x: np.log(x) * 2)(-1.0)
    ...     except FloatingPointError as error:
    ...         print(str(error)[:42])
    invalid value (nan) encountered in log (at
    """
    return config.override(debug_nans=new_val)


def debug_infs(new_val: bool = True) -> AbstractContextManager[None]:
    """In a `with` block an infinity in what is computed raises FloatingPointError, as `debug_nans` does for NaNs.

    >>> import covector
    >>> import covector.numpy as np
    >>> with covector.debug_infs():
    ...     try:
    ...         np.ones(3) / 0
    ...     except FloatingPointError as error:
    ...         print(str(error)[:42])
    invalid value (inf) encountered in div (at
    """
    return config.override(debug_infs=new_val)


def log_compiles(new_val: bool = True) -> AbstractContextManager[None]:
    """In a `with` block each compilation is a warning of the logger `covector`: what, for which types, how long.

    >>> import covector
    >>> with covector.log_compiles(False):
    ...     print(covector.jit(lambda x: x + 1)(1.0))
    2.0
    """
    return config.override(log_compiles=new_val)


def explain_cache_misses(new_val: bool = True) -> AbstractContextManager[None]:
    """In a `with` block a jitted function that is traced again says why, in a warning of the logger `covector`.

    >>> import covector
    >>> with covector.explain_cache_misses(False):
    ...     print(covector.jit(lambda x: x + 1)(1.0))
    2.0
    """
    return config.override(explain_cache_misses=new_val)


def no_tracing(new_val: bool = True) -> AbstractContextManager[None]:
    """In a `with` block a jitted function that would be traced raises RuntimeError: for code that must be warm.

    >>> import covector
    >>> f = covector.jit(lambda x: x + 1)
    >>> _ = f(1.0)
    >>> with covector.no_tracing():
    ...     print(f(2.0))
    3.0
    """
    return config.override(no_tracing=new_val)


def numpy_rank_promotion(new_val: str) -> AbstractContextManager[None]:
    """In a `with` block operands of different ranks, but for numbers, are broadcast ("allow"), or "warn" or "raise".

    >>> import covector, covector.numpy as np
    >>> with covector.numpy_rank_promotion("raise"):
    ...     try:
    ...         np.ones(3) + np.ones((2, 3))
    ...     except ValueError:
    ...         print("refused")
    refused
    """
    return config.override(numpy_rank_promotion=new_val)


def numpy_dtype_promotion(new_val: str) -> AbstractContextManager[None]:
    """In a `with` block operands of different dtypes take one together ("standard"), or are an error ("strict").

    Strict promotion lets Python's numbers take an array's dtype where they fit its kind.

    >>> import covector, covector.numpy as np
    >>> with covector.numpy_dtype_promotion("strict"):
    ...     try:
    ...         np.ones(3) + np.arange(3)
    ...     except covector.errors.TypePromotionError:
    ...         print("refused")
    refused
    """
    return config.override(numpy_dtype_promotion=new_val)


def default_matmul_precision(new_val: str | None) -> AbstractContextManager[None]:
    """In a `with` block products without a precision of their own have this one.

    On the CPU every product is computed in its operands' dtype, whatever is asked for.

    >>> import covector, covector.numpy as np
    >>> with covector.default_matmul_precision("float32"):
    ...     print(np.ones(2) @ np.ones(2))
    2.0
    """
    return config.override(default_matmul_precision=new_val or "")


def default_prng_impl(new_val: str) -> AbstractContextManager[None]:
    """In a `with` block keys that are made without the name of a generator are of this one.

    It is what arrays of uint32 are taken for where a function takes a key.  ValueError for one that there is not.

    >>> import covector
    >>> with covector.default_prng_impl("rbg"):
    ...     print(covector.random.key(0).dtype)
    key<rbg>
    """
    return config.override(default_prng_impl=new_val)


def default_device(new_val: Device | str | None) -> AbstractContextManager[None]:
    """In a `with` block arrays are made on this device; ValueError if there is no such device.

    >>> import covector, covector.numpy as np
    >>> with covector.default_device(covector.devices()[0]):
    ...     print(repr(np.ones(2).device))
    CpuDevice(id=0)
    """
    known = devices()
    if new_val is not None and new_val not in (*known, *[d.platform for d in known]):
        raise ValueError(
            f"default_device: {new_val!r} is not a device here{errors.at_user_line()}; the devices are {known}"
        )
    return jax_flags.on_device(new_val)


def transfer_guard(new_val: str) -> AbstractContextManager[None]:
    """In a `with` block, what to do where a function is given a NumPy array, which has to be made an array first.

    "allow" it, "log" it to the logger `covector`, or "disallow" it: RuntimeError.  "log_explicit" and
    "disallow_explicit" are for `device_put` too.  Numbers, and what `asarray` makes, are always allowed; so is what
    goes to the host, in whose memory arrays are.  ValueError for an unknown level.

    >>> import covector, numpy
    >>> with covector.transfer_guard("disallow"):
    ...     try:
    ...         covector.numpy.sum(numpy.ones(3))
    ...     except RuntimeError:
    ...         print(covector.numpy.sum(covector.numpy.asarray(numpy.ones(3))))
    3.0
    """
    _check_level("transfer_guard", new_val)
    return config.override(transfer_guard=new_val)


def transfer_guard_host_to_device(new_val: str) -> AbstractContextManager[None]:
    """`transfer_guard`, which is about what comes from the host.

    >>> import covector
    >>> with covector.transfer_guard_host_to_device("disallow"):
    ...     print(covector.numpy.ones(2) + 1)
    [2. 2.]
    """
    _check_level("transfer_guard_host_to_device", new_val)
    return config.override(transfer_guard=new_val)


def transfer_guard_device_to_host(new_val: str) -> AbstractContextManager[None]:
    """In a `with` block, what to do where values go to the host: they are there, so all is allowed.

    ValueError for an unknown level.

    >>> import covector
    >>> with covector.transfer_guard_device_to_host("disallow"):
    ...     print(float(covector.numpy.ones(())))
    1.0
    """
    _check_level("transfer_guard_device_to_host", new_val)
    return config.override()


def transfer_guard_device_to_device(new_val: str) -> AbstractContextManager[None]:
    """In a `with` block, what to do where arrays go to another device: there is none, so all is allowed.

    ValueError for an unknown level.

    >>> import covector
    >>> with covector.transfer_guard_device_to_device("disallow"):
    ...     print(covector.device_put(covector.numpy.ones(())))
    1.0
    """
    _check_level("transfer_guard_device_to_device", new_val)
    return config.override()


def _check_level(api: str, level: str) -> None:
    if level not in TRANSFER_LEVELS:
        raise ValueError(
            f"{api}: {level!r} is none of {', '.join(TRANSFER_LEVELS)}{errors.at_user_line()}"
        )


def enable_checks(new_val: bool = True) -> AbstractContextManager[None]:
    """In a `with` block what is compiled is verified after each pass of the compiler: the flag `verify`.

    >>> import covector
    >>> with covector.enable_checks():
    ...     print(covector.jit(lambda x: x + 1)(1.0))
    2.0
    """
    return config.override(verify=new_val)


def named_scope(name: str) -> AbstractContextManager[None]:
    """In a `with` block, or a function that it decorates, a name for what is traced: messages and Programs show it.

    >>> import covector
    >>> def f(x):
    ...     with covector.named_scope("layer"):
    ...         return x * 2
    >>> "in layer" in str(covector.make_jaxpr(f)(1.0))
    True
    """
    _check_name(name)
    return errors.scope(name)


def _check_name(name: object) -> None:
    if not isinstance(name, str):
        raise TypeError(f"named_scope: name must be a str, got {name!r}{errors.at_user_line()}")


def named_call(fun: Callable[P, R], *, name: str | None = None) -> Callable[P, R]:
    """The function in a `named_scope` of its own name, or of another.

    >>> import covector
    >>> covector.named_call(lambda x: x + 1, name="step")(1)
    2
    """
    check_callable(fun, "named_call")
    chosen = function_name(fun) if name is None else name

    @wraps(fun)
    def named(*args: P.args, **kwargs: P.kwargs) -> R:
        with named_scope(chosen):
            return fun(*args, **kwargs)

    return named
