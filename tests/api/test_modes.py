"""Flags as scopes, names of JAX's flags, stages of a jitted function, and what explains and empties the caches."""

from __future__ import annotations

import logging
import threading
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import covector
import covector.numpy as cnp
from covector import as_jax, config, lax
from covector._engine.base import jax_flags
from covector._engine.core.trace import Tracer


def test_a_scope_is_of_its_thread_and_an_update_of_all() -> None:
    seen: list[object] = []

    def look() -> None:
        seen.append((config.numpy_rank_promotion, config.fuse))

    with covector.numpy_rank_promotion("raise"):
        thread = threading.Thread(target=look)
        thread.start()
        thread.join()
        config.update("fuse", False)
        look()
    try:
        thread = threading.Thread(target=look)
        thread.start()
        thread.join()
    finally:
        config.update("fuse", True)
    assert seen == [("allow", True), ("raise", False), ("allow", False)]


def test_a_scope_in_another_thread_leaves_native_calls_alone() -> None:
    inside, done = threading.Event(), threading.Event()

    def hold() -> None:
        with covector.numpy_rank_promotion("raise"), config.override(fuse=False):
            inside.set()
            done.wait()

    add = covector.jit(lambda a, b: a + b)
    a, b = cnp.ones(3), cnp.ones((2, 3))
    add(a, b)
    thread = threading.Thread(target=hold)
    thread.start()
    inside.wait()
    try:
        assert (a + b).shape == (2, 3)
        add(a, b)
        assert add.cache_size() == 1
    finally:
        done.set()
        thread.join()


def test_scopes_nest_and_end_with_exceptions() -> None:
    def fail() -> None:
        with covector.disable_jit():
            with covector.disable_jit(False):
                assert not config.disable_jit
            assert config.disable_jit
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert not config.disable_jit
    with (
        pytest.raises(ValueError, match="numpy_rank_promotion"),
        covector.numpy_rank_promotion("no"),
    ):
        pass
    assert config.numpy_rank_promotion == "allow"


RANKS: list[tuple[Callable[..., Any], bool]] = [
    (lambda a, b: a + b, False),
    (lambda a, b: cnp.where(a > 0, a, b), True),  # as JAX's
    (lambda a, b: cnp.select([a > 0], [b], a), True),
    (lambda a, b: cnp.maximum(b, a), False),
    (lambda a, b: a + 1, True),
    (lambda a, b: a + np.float32(1), True),
    (lambda a, b: b * cnp.float32(2), True),
    (lambda a, b: b + b[:1], True),
]


@pytest.mark.parametrize(("f", "allowed"), RANKS)
def test_rank_promotion(f: Callable[..., Any], allowed: bool) -> None:
    a, b = cnp.ones(3), cnp.ones((2, 3))
    jitted = covector.jit(f)
    expected = f(a, b)
    jitted(a, b)
    for g in (f, jitted):
        if allowed:
            with covector.numpy_rank_promotion("raise"):
                np.testing.assert_array_equal(g(a, b), expected)
            continue
        for _ in range(2):  # what was compiled before, and refused before, is refused again
            with (
                covector.numpy_rank_promotion("raise"),
                pytest.raises(ValueError, match=r"different ranks, .*float32\[3\].*test_modes.py"),
            ):
                g(a, b)
        with covector.numpy_rank_promotion("warn"), pytest.warns(UserWarning, match="ranks"):
            f(a, b)
        np.testing.assert_array_equal(g(a, b), expected)


DTYPES: list[tuple[Callable[[Any, Any], Any], bool]] = [
    (lambda i, x: i + x, False),
    (lambda i, x: i + 1, True),
    (lambda i, x: i + 1.5, False),
    (lambda i, x: x + 1, True),
    (lambda i, x: x * 1j, False),
    (lambda i, x: x * True, False),
    (lambda i, x: (x > 0) & True, True),
    (lambda i, x: (x > 0) + 1, False),
    (lambda i, x: x + x.astype("float16"), False),
    (lambda i, x: cnp.concatenate([i, x]), False),
    (lambda i, x: cnp.uint8(3) + 1, True),
    (lambda i, x: cnp.where(x > 0, i, 1.5), False),
    (lambda i, x: i / 2, True),
    (lambda i, x: cnp.sin(i) * cnp.mean(x), True),
]


@pytest.mark.parametrize(("f", "allowed"), DTYPES)
def test_strict_dtype_promotion(f: Callable[[Any, Any], Any], allowed: bool) -> None:
    i, x = cnp.arange(3), cnp.ones(3)
    jitted = covector.jit(f)
    expected = f(i, x)
    jitted(i, x)
    for g in (f, jitted):
        with covector.numpy_dtype_promotion("strict"):
            if allowed:
                np.testing.assert_array_equal(g(i, x), expected)
            else:
                with pytest.raises(covector.errors.TypePromotionError, match=r"strict.*astype"):
                    g(i, x)
        np.testing.assert_array_equal(g(i, x), expected)


def _scanned(c: Any, x: Any) -> Any:
    return c + x, None


def test_flags_reach_the_bodies_of_loops_that_were_traced_before() -> None:
    args = cnp.zeros(3), cnp.ones((2, 3), "float16")
    covector.lax.scan(_scanned, *args)
    with (
        covector.numpy_dtype_promotion("strict"),
        pytest.raises(covector.errors.TypePromotionError, match="float16"),
    ):
        covector.lax.scan(_scanned, *args)


def test_leaks_are_found() -> None:
    kept: list[Any] = []

    def leaks(x: Any) -> Any:
        kept.append(x * 2)
        return x

    with covector.check_tracer_leaks():
        for transform in (covector.jit, covector.make_jaxpr):
            with pytest.raises(
                covector.errors.LeakedTracerError, match=r"leaks has ended.*test_modes.py"
            ):
                transform(leaks)(1.0)
            kept.clear()
        clean = covector.jit(covector.grad(covector.jit(lambda x: cnp.sin(x) * x)))
        assert np.isfinite(clean(1.0))


def test_compilations_and_misses_are_told(caplog: pytest.LogCaptureFixture) -> None:
    @covector.jit
    def told(x: Any, flag: Any = None) -> Any:
        return x + 1

    with (
        caplog.at_level(logging.WARNING, "covector"),
        covector.log_compiles(),
        covector.explain_cache_misses(),
    ):
        told(cnp.ones(3))
        told(cnp.ones(3))
        told(cnp.ones(4))
        told(2.0)
    lines = [r.getMessage() for r in caplog.records]
    assert sum(line.startswith("compiled told for (float32[3]) in ") for line in lines) == 1
    misses = [line for line in lines if line.startswith("tracing told")]
    assert len(misses) == 3
    assert "not traced before" in misses[0]
    assert "x is float32[4], it was float32[3]" in misses[1]
    assert "test_modes.py" in misses[1]
    caplog.clear()
    told(cnp.ones(5))
    assert not caplog.records


def test_what_must_be_warm_is_not_traced() -> None:
    f = covector.jit(lambda x: x + 1)
    f(1.0)
    with covector.no_tracing():
        f(2.0)
        with pytest.raises(RuntimeError, match=r"no_tracing.*int32"):
            f(1)
    f(1)


def test_caches_are_cleared() -> None:
    traced: list[int] = []

    @covector.jit
    def f(x: Any) -> Any:
        traced.append(1)
        return x + 1

    f(1.0)
    f.clear_cache()
    f(1.0)
    assert len(traced) == 2
    covector.clear_caches()
    assert f.cache_size() == 0
    assert float(f(1.0)) == 2.0
    assert len(traced) == 3
    assert float(cnp.sum(cnp.arange(4.0))) == 6.0


def test_names_of_what_is_traced() -> None:
    def f(x: Any) -> Any:
        with covector.named_scope("net"), covector.named_scope("layer"):
            y = x * 2
        return covector.named_call(lambda y: y + 1, name="head")(y)

    text = str(covector.make_jaxpr(f)(1.0))
    assert "in net/layer" in text
    assert "in head" in text
    with covector.named_scope("net"), pytest.raises(ValueError, match=r"\(test_names.*\) in net"):
        cnp.ones(3) + cnp.ones(4)


def test_all_flags_of_jax() -> None:
    names = [f"jax_{name}" for name in (*jax_flags._MEANING, *jax_flags._OTHERS)]
    assert len(names) > 140
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for name in names:  # what a program finds it may set again
            config.update(name, getattr(config, name))
    for name in (f"jax_{name}" for name in jax_flags._OTHERS if name != "default_device"):
        before = getattr(config, name)
        jax_flags._warned.clear()
        with pytest.warns(UserWarning, match=f"the flag '{name}' has no effect here"):
            config.update(name, "else")
        assert getattr(config, name) == "else"
        config.update(name, before)
    jax_flags._warned.clear()


LOOPS: dict[str, Callable[[Callable[[Any], Any], Any], Any]] = {
    "scan": lambda see, x: lax.scan(lambda c, a: (c + see(a), c), 0.0, x),
    "scan backwards": lambda see, x: lax.scan(lambda c, a: (c * see(a), {"c": c}), 1.0, x, reverse=True),
    "scan of nothing": lambda see, x: lax.scan(lambda c, a: (see(c), a), 1.0, x[:0]),
    "map": lambda see, x: lax.map(lambda a: see(a) + 1, x),
    "fori_loop": lambda see, x: lax.fori_loop(0, 3, lambda i, c: c * see(x[i]), 1.0),
    "while_loop": lambda see, x: lax.while_loop(lambda c: see(c) < 3, lambda c: c + x[0], x[1]),
    "cond": lambda see, x: lax.cond(x[0] > 0, lambda a: see(a) + 1, lambda a: a - 1, x),
    "switch": lambda see, x: lax.switch(2, [cnp.sin, cnp.cos, lambda a: see(a) * 2], x),
    "gradient": lambda see, x: covector.grad(lambda a: lax.scan(lambda c, b: (c * see(b), b), 1.0, a)[0])(x),
    "inside vmap": lambda see, x: covector.vmap(lambda a: lax.while_loop(lambda c: c < 3, lambda c: c + 1, a))(x),
}  # fmt: skip


@pytest.mark.parametrize("name", LOOPS)
def test_loops_without_jit_run_step_by_step(name: str) -> None:
    x, seen = cnp.array([1.0, 2.0, 3.0]), []

    def see(value: Any) -> Any:
        seen.append(isinstance(value, Tracer) and value.concrete() is None)
        return value

    expected = LOOPS[name](see, x)
    seen.clear()
    with covector.disable_jit():
        found = LOOPS[name](see, x)
    assert covector.tree.structure(found) == covector.tree.structure(expected)
    for a, b in zip(covector.tree.leaves(found), covector.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)
    assert not any(seen) or name == "scan of nothing"


NUMPYS: dict[str, Callable[[Any], Any]] = {
    "jit": covector.jit(lambda a: a + 1),
    "grad": covector.grad(lambda a: a.sum()),
    "a function": cnp.sin,
    "an operator": lambda n: cnp.ones(3) + n,
    "lax": lambda n: lax.add(n, n),
    "stack": lambda n: cnp.stack([n, n]),
    "an index": lambda n: cnp.ones(3)[n.astype(int)],
}


@pytest.mark.parametrize("name", NUMPYS)
def test_what_a_transfer_guard_sees(name: str, caplog: pytest.LogCaptureFixture) -> None:
    given = np.ones(3, np.float32)
    NUMPYS[name](given)
    with covector.transfer_guard("disallow"):
        with pytest.raises(RuntimeError, match=r"a NumPy array of shape \(3,\).*transfer_guard"):
            NUMPYS[name](given)
        NUMPYS[name](cnp.asarray(given))
        covector.device_put(given)
    with covector.transfer_guard("disallow_explicit"), pytest.raises(RuntimeError, match="NumPy"):
        covector.device_put(given)
    with covector.transfer_guard("log"):
        NUMPYS[name](given)
    assert "a NumPy array of shape (3,)" in caplog.text


def test_strict_promotion_of_types_and_updates() -> None:
    x = cnp.ones(3)
    refused: list[Callable[[], Any]] = [
        lambda: cnp.promote_types("int32", "float32"),
        lambda: cnp.result_type(x, cnp.arange(3)),
        lambda: x.at[0].set(cnp.int32(1)),
        lambda: cnp.arange(3).at[0].set(1.5),
        lambda: x.at[0].add(cnp.int32(1)),
    ]
    for call in refused:
        call()
        with (
            covector.numpy_dtype_promotion("strict"),
            pytest.raises(covector.errors.TypePromotionError),
        ):
            call()
    with covector.numpy_dtype_promotion("strict"):
        assert x.at[0].set(1)[0] == 1
        assert cnp.result_type(x, 1) == np.float32


def test_modes_that_change_nothing_that_is_computed() -> None:
    for precision in ("BF16_BF16_F32", "F32_F32_F32", "highest", None):
        with covector.default_matmul_precision(precision), covector.enable_checks():
            assert float(covector.jit(lambda x: x @ x)(cnp.ones(3))) == 3.0
    with pytest.raises(TypeError, match="named_scope: name must be a str, got 3"):
        covector.named_scope(3)  # type: ignore[arg-type]


def test_flags_of_jax() -> None:
    config.update("jax_disable_jit", True)
    assert config.disable_jit
    config.update("jax_disable_jit", False)
    config.update("jax_traceback_filtering", "off")
    assert not config.trim_tracebacks
    config.update("jax_traceback_filtering", "auto" if covector.config.trim_tracebacks else "off")
    with pytest.warns(UserWarning, match="'jax_threefry_partitionable' has no effect here"):
        config.update("jax_threefry_partitionable", False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        config.update("jax_threefry_partitionable", False)  # said once
        assert config.jax_threefry_partitionable is False
        config.update("jax_threefry_partitionable", True)  # as it is
    with pytest.raises(AttributeError, match="jax_no_such_flag"):
        config.update("jax_no_such_flag", True)


def test_guards_and_devices_check_what_they_are_given() -> None:
    device = covector.devices()[0]
    with covector.default_device(device):
        assert float(cnp.sum(np.ones(3))) == 3.0
    config.update("jax_default_device", device)
    assert config.jax_default_device is device
    config.update("jax_default_device", None)
    with pytest.raises(ValueError, match="'moon' is not a device here"):
        config.update("jax_default_device", "moon")
    for end in ("", "_host_to_device", "_device_to_host", "_device_to_device"):
        guard = getattr(covector, f"transfer_guard{end}")
        with pytest.raises(ValueError, match=f"transfer_guard{end}: 'no' is none of allow, log"):
            guard("no")
        with guard("disallow_explicit"):
            assert float(cnp.ones(())) == 1.0
    with pytest.raises(ValueError, match="the devices are"):
        covector.default_device("tpu")


def test_stages_tell_what_they_know() -> None:
    def f(x: Any, *, scale: Any) -> Any:
        return {"y": x * scale}

    f_jitted = covector.jit(f, donate_argnums=0)
    x = cnp.ones((2, 3))
    traced = f_jitted.trace(x, scale=2.0)
    lowered = traced.lower()
    compiled = lowered.compile()
    for stage in (traced, lowered, compiled):
        assert stage.donate_argnums == (0,)
        ((aval,), keywords) = stage.in_avals
        assert (aval.str_short(), str(keywords["scale"])) == ("float32[2,3]", "float32*[]")
        assert stage.out_avals["y"].str_short(short_dtypes=True) == "f32[2,3]"
        ((info,), keywords) = stage.args_info
        assert (info.shape, info.dtype, info.donated) == ((2, 3), np.float32, True)
        assert not keywords["scale"].donated
        assert stage.out_info["y"].shape == (2, 3)
        assert stage.in_tree == traced.in_tree
        assert stage.out_tree == traced.out_tree
    assert "mul" in lowered.as_text()
    assert lowered.compiler_ir() is traced.program
    assert traced.jaxpr.eqns[0].primitive is covector.lax.mul_p
    with pytest.raises(ValueError, match="stablehlo"):
        lowered.as_text("stablehlo")
    assert lowered.cost_analysis()["flops"] > 0
    sizes = compiled.memory_analysis()
    assert sizes.argument_size_in_bytes == 28
    assert sizes.output_size_in_bytes == sizes.alias_size_in_bytes == 24
    assert sizes.generated_code_size_in_bytes > 0
    assert compiled.input_shardings[0] == (x.sharding,)
    assert compiled.output_shardings == {"y": x.sharding}
    assert compiled.input_formats[0][0].layout.major_to_minor == (0, 1)
    assert compiled.output_formats["y"].sharding == x.sharding
    np.testing.assert_array_equal(compiled.call(x, scale=2.0)["y"], np.full((2, 3), 2.0))
    assert x.is_deleted()  # as it was donated
    assert f_jitted._cache_size() == 0


def test_what_stages_refuse() -> None:
    x = cnp.ones(3)
    lowered = covector.jit(cnp.sin).trace(x).lower(lowering_platforms=("cpu",))
    compiled = lowered.compile(compiler_options={"vector_bits": 128})
    assert "<4 x float>" in compiled.as_text("llvm")
    with pytest.raises(ValueError, match="compile: there is no compiler option 'fast'"):
        lowered.compile({"fast": True})
    with pytest.raises(RuntimeError, match="tpu"):
        covector.jit(cnp.sin).trace(x).lower(lowering_platforms=("tpu",))
    for transformed in (
        covector.vmap(compiled),
        covector.jit(compiled),
        covector.grad(lambda x: compiled(x).sum()),
    ):
        with pytest.raises(TypeError, match="compiled sin was called under a transformation"):
            transformed(x)


def test_options_of_jit() -> None:
    def f(x: Any, unused: Any = 0) -> Any:
        return cnp.sin(x) + 1

    device = covector.devices()[0]
    jitted = covector.jit(f, keep_unused=True, inline=True, device=device, backend="cpu")
    assert float(jitted(0.0)) == 1.0
    narrow = covector.jit(f, compiler_options={"vector_bits": 128})
    x = cnp.ones(64)
    assert "<4 x float>" in narrow.lower(x).compile().as_text("llvm")
    np.testing.assert_array_equal(narrow(x), f(x))
    with pytest.raises(ValueError, match="no compiler option 'verify'"):
        covector.jit(f, compiler_options={"verify": True})
    with pytest.raises(ValueError, match="flag 'vector_bits'=96"):
        covector.jit(f, compiler_options={"vector_bits": 96})
    with pytest.warns(UserWarning, match="xla_foo"):
        covector.jit(f, compiler_options={"xla_foo": 1})
    with pytest.raises(ValueError, match="the devices are"):
        covector.jit(f, backend="tpu")


def test_who_takes_the_place_of_the_compiler_is_heard() -> None:
    """As `chex.restrict_backends` does it."""
    with as_jax.install():
        from jax._src import compiler

        inner, told = compiler.backend_compile_and_load, []

        def refuse(backend: Any, *args: Any, **options: Any) -> None:
            told.append(backend.platform)
            raise RuntimeError("not for this one")

        known = covector.jit(lambda x: x * 3)
        known(1.0)
        compiler.backend_compile_and_load = refuse
        try:
            assert float(known(2.0)) == 6.0  # nothing is compiled for it
            with pytest.raises(RuntimeError, match="not for this one"):
                covector.jit(lambda x: x * 5)(1.0)
        finally:
            compiler.backend_compile_and_load = inner
        assert told == ["cpu"]
        assert float(covector.jit(lambda x: x * 5)(1.0)) == 5.0
    assert float(covector.jit(lambda x: x * 7)(1.0)) == 7.0


@pytest.mark.parametrize(
    ("f", "count"),
    [
        (lambda x: x @ x, 2 * 16**3),
        (lambda x: (x * 2 + 1).sum(), 3 * 16**2),
        (lambda x: lax.scan(lambda c, _: (c * 2, None), x, None, length=10)[0], 10 * 16**2),
        (lambda x: lax.cond(x[0, 0] > 0, lambda x: x * 2, lambda x: x * x + x, x), 2 * 16**2),
    ],
    ids=["product", "sum", "loop", "branches"],
)
def test_operations_are_counted(f: Any, count: int) -> None:
    found = covector.jit(f).lower(cnp.ones((16, 16))).compile().cost_analysis()["flops"]
    assert count <= found <= count + 4


def test_loops_by_steps_carry_arrays() -> None:
    with covector.disable_jit():
        found = [lax.while_loop(lambda c, n=n: c < n, lambda c: c + 1, 0) for n in (0, 3)]
    assert [(type(x), x.dtype.name) for x in found] == [(covector.Array, "int32")] * 2
