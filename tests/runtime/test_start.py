"""What `import covector` loads, and what is there as soon as it has."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest
from tests.amount import HANGS

LATER = (
    "optree",
    "llvmlite",
    "scipy",
    "covector._engine.compile.pipeline",
    "covector._engine.runtime.executable",
    "covector._engine.control.loop",
    "covector.lax",
    "covector.numpy.ranges",
    "covector.numpy.padding",
    "covector.numpy.without_nan",
    "covector.numpy.linalg",
)


def run(code: str) -> str:
    """What a fresh interpreter prints."""
    process = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=HANGS
    )
    assert process.returncode == 0, process.stderr
    return process.stdout


def test_the_import_loads_no_more_than_it_must() -> None:
    """Each of these is 1 to 30 % of the time that the import takes."""
    found = run(f"import sys, covector; print([m for m in {LATER!r} if m in sys.modules])")
    assert found.strip() == "[]"


def test_no_collection_of_garbage_follows_the_import() -> None:
    """What was imported counts as old, and what a user froze stays frozen."""
    found = run("""
        import gc
        seen = []
        gc.callbacks.append(lambda phase, info: seen.append(info["generation"]))
        import covector
        assert gc.isenabled() and gc.get_freeze_count() == 0, gc.get_freeze_count()
        assert gc.get_count()[0] < gc.get_threshold()[0], gc.get_count()
        print(len([g for g in seen if g == 2]))
    """)
    assert found.strip() == "0"
    run("""
        import gc
        gc.freeze()
        frozen = gc.get_freeze_count()
        import covector
        assert 0 < gc.get_freeze_count() <= frozen, "some of them may be gone"
    """)


CONTAINERS = {
    "a key": """
        key = cv.random.key(1)
        out = cv.jit(lambda d: {"key": d["key"]})({"key": key})
        assert (cv.random.key_data(out["key"]) == cv.random.key_data(key)).all()
    """,
    "float0": """
        n = cv.numpy.arange(3)
        x, g = cv.jit(cv.value_and_grad(lambda n: (n * 2.0).sum(), allow_int=True))(n)
        assert g.dtype == cv.float0 and g.shape == (3,)
    """,
    "a pullback": """
        out, back = cv.vjp(lambda x: x * x, 3.0)
        assert cv.jit(lambda back: back(1.0))(back)[0] == 6
    """,
    "a class of the user's, named first": """
        from covector import tree_util
        class Pair:
            def __init__(self, a, b): self.a, self.b = a, b
        tree_util.register_pytree_node(Pair, lambda p: ((p.a, p.b), None), lambda _, c: Pair(*c))
        assert cv.jit(lambda p: p.a + p.b)(Pair(1, 2)) == 3
        assert cv.tree.leaves(Pair(1, 2)) == [1, 2]
    """,
    "optree, loaded by the user before": """
        import optree
        assert cv.jit(lambda p: p["a"] + 1)({"a": 1}) == 2
        assert len(cv.tree.leaves({"key": cv.random.key(0), "x": [1, None]})) == 2
    """,
    "two threads at once": """
        import threading
        start, found = threading.Barrier(4), []
        def work():
            start.wait()
            found.append(cv.jit(lambda d: d)({"key": cv.random.key(0)})["key"].shape)
        threads = [threading.Thread(target=work) for _ in range(4)]
        for t in threads: t.start()
        for t in threads: t.join()
        assert found == [()] * 4, found
    """,
}


@pytest.mark.parametrize("what", CONTAINERS)
def test_containers_are_known_before_the_library_of_trees_is_loaded(what: str) -> None:
    run("import covector as cv\n" + textwrap.dedent(CONTAINERS[what]))
