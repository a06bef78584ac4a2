"""Programs that import JAX, run with Covector in its place, in processes of their own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from tests.amount import HANGS

import covector as cv
from covector import as_jax
from covector.as_jax.served import INSIDE

SCRIPT = """
import sys
import jax, jax.numpy as jnp, jaxlib, numpy
from jax import grad, jit, tree_util as jtu, vmap
from jax.scipy.special import logsumexp
import jax.experimental.checkify
import jax._src.traceback_util as traceback_util

traceback_util.register_exclusion(__file__)
assert jax.__version__ == jaxlib.__version__ == jax.version.__version__ and jax.__version_info__ >= (0, 12)
assert tuple(map(int, jax.__version__.split("."))) == jax.__version_info__

@jtu.register_pytree_node_class
class Pair:
    def __init__(self, a, b):
        self.a, self.b = a, b
    def tree_flatten(self):
        return (self.a, self.b), None
    @classmethod
    def tree_unflatten(cls, data, children):
        return cls(*children)

seen = []
def f(pair):
    seen.append((isinstance(pair.a, jax.core.Tracer), isinstance(pair.a, jax.Array), isinstance(pair.a, float)))
    return jnp.sum(jnp.sin(pair.a)) * pair.b + logsumexp(pair.a)

found = jit(vmap(grad(f), in_axes=(Pair(0, None),)))(Pair(jnp.ones((2, 3)), 2.0))
assert type(found) is Pair and found.a.shape == (2, 3) and set(seen) == {(True, True, False)}
assert jnp.asarray(numpy.ones(2)).dtype == jnp.float32 and not jax.config.jax_enable_x64
assert isinstance(1.0, jax.typing.ArrayLike) and jax.config.jax_numpy_dtype_promotion == "standard"
print(__name__, sys.argv[1:], type(found.a).__module__)
"""


def run(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "covector.as_jax", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=HANGS, cwd=cwd)


def test_a_script(tmp_path: Path) -> None:
    script = tmp_path / "program.py"
    script.write_text(SCRIPT)
    done = run(str(script), "one", "two")
    assert done.stdout == "__main__ ['one', 'two'] covector\n", done.stderr


def test_a_module_and_its_neighbours(tmp_path: Path) -> None:
    (tmp_path / "library.py").write_text("from jax.numpy import add\n")
    program = "import sys, library\nprint(library.add(1, 2), sys.argv[1:], __name__)\n"
    (tmp_path / "program.py").write_text(program)
    done = run("-m", "program", "x", cwd=tmp_path)
    assert done.stdout == "3 ['x'] __main__\n", done.stderr


def test_code_and_what_is_not_there() -> None:
    code = """
import sys
print(sys.argv)
import jax
for name in ("jax.experimental.pallas", "jax.profiler", "jax._src.mesh", "jaxlib.mlir"):
    try:
        __import__(name)
    except ModuleNotFoundError as error:
        print(error.name, error)
for owner, name in ((jax, "distributed"), (jax._src, "mesh")):
    try:
        getattr(owner, name)
    except AttributeError as error:
        print(error)
"""
    done = run("-c", code, "x")
    lines = done.stdout.splitlines()
    assert lines[0] == "['-c', 'x']", done.stderr
    assert lines[1].startswith("jax.experimental.pallas No module named 'jax.experimental.pallas'.")
    assert "there is no profiler yet" in lines[2]
    assert "it shows the inside of JAX" in lines[3]
    assert "Covector has nothing that stands for it" in lines[4]
    assert "jax.distributed is missing here" in lines[5]
    assert "jax._src.mesh is missing here: it shows the inside of JAX" in lines[6]


INTERPRETER = """
import jax, jax.numpy as jnp
from jax import lax
from jax.extend import core
from jax._src.util import safe_map

def evaluated(closed, *args):
    values = {}
    def read(x):
        return x.val if type(x) is core.Literal else values[x]
    safe_map(values.__setitem__, closed.jaxpr.invars, args)
    safe_map(values.__setitem__, closed.jaxpr.constvars, closed.literals)
    for e in closed.jaxpr.eqns:
        found = e.primitive.bind(*safe_map(read, e.invars), **e.params)
        safe_map(values.__setitem__, e.outvars, found if e.primitive.multiple_results else [found])
    return safe_map(read, closed.jaxpr.outvars)

table = jnp.arange(3.0)
def f(x):
    return lax.scan(lambda c, t: (c * t + 1, c), x, table)[1] + lax.cond(x > 0, jnp.sin, jnp.cos, x)

closed = jax.make_jaxpr(f)(2.0)
print((evaluated(closed, 2.0)[0] == f(2.0)).all(), jax.grad(lambda x: evaluated(closed, x)[0].sum())(2.0))
"""


def test_an_interpreter_of_jaxprs() -> None:
    done = run("-c", INTERPRETER)
    assert done.stdout == f"True {1 + 3 * np.cos(np.float32(2)):.7g}\n", done.stderr


def test_nothing_to_run() -> None:
    done = run()
    assert done.returncode == 1
    assert done.stderr.startswith("usage: python -m covector.as_jax")


def test_in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [n for n in sys.modules if n.partition(".")[0] in ("jax", "jaxlib")]:
        monkeypatch.delitem(sys.modules, name)
    before = {name: module.__spec__ for name, module in sys.modules.items() if "covector" in name}
    with as_jax.install() as installed:
        import jax
        import jax.numpy as jnp

        assert jnp is cv.numpy
        assert cv.config.enable_x64 is False
        assert cv.config.callback_errors == "runtime"
        assert cv.config.logger == "jax"
        assert jax.vmap is cv.vmap
        assert "vmap" in dir(jax)
        with pytest.raises(RuntimeError, match="installed already"):
            as_jax.install()
    assert not [n for n in sys.modules if n.partition(".")[0] in ("jax", "jaxlib")]
    assert {n: sys.modules[n].__spec__ for n in before} == before  # ours are as they were
    assert (cv.config.enable_x64, cv.config.callback_errors) == (None, "own")
    assert cv.config.logger == "covector"
    installed.undo()  # again: nothing
    with pytest.raises(ModuleNotFoundError, match=r"No module named 'jax'$"):
        import jax.numpy


def test_the_real_one_is_there_already(monkeypatch: pytest.MonkeyPatch) -> None:
    real = ModuleType("jax")
    real.__file__ = "/somewhere/jax/__init__.py"
    monkeypatch.setitem(sys.modules, "jax", real)
    with pytest.raises(RuntimeError, match=r"the real jax is imported already, from /somewhere"):
        as_jax.install()


def test_what_is_served_of_the_inside_is_there() -> None:
    with as_jax.install():
        from importlib import import_module

        for row in INSIDE:
            module = import_module(row.path)
            assert row.needed_by
            if row.name:
                assert getattr(module, row.name) is not None
    ours = [m for name, m in sys.modules.items() if name.partition(".")[0] == "covector"]
    inside = [x.__name__ for m in ours for x in vars(m).values() if type(x).__name__ == "View"]
    assert not inside, "what is served has taken the places of modules of ours"
