"""What is imported at its first use, while a process forks or is interrupted."""

import pytest
from tests.runtime.test_robustness import HEAD, run


def test_fork_while_another_thread_imports() -> None:
    """What is half imported would stay so in the child, and what it holds would be held for ever."""
    run("""
        import builtins, tempfile, types
        from covector._engine.base.locks import COMPILING, import_late
        folder, builtins.began = tempfile.mkdtemp(), threading.Event()
        open(folder + "/slow_to_import.py", "w").write("import time; began.set(); time.sleep(1); done = True")
        sys.path.insert(0, folder)
        def work():
            with COMPILING: import_late("slow_to_import")
        thread = threading.Thread(target=work)
        thread.start()
        began.wait()
        assert "slow_to_import" in sys.modules
        pid = os.fork()
        if pid == 0:
            signal.alarm(600)
            os._exit(0 if import_late("slow_to_import").done else 1)
        assert os.waitpid(pid, 0)[1] == 0, "the child hung or died"
        thread.join()
    """)


@pytest.mark.parametrize("ms", [4, 15, 40])
def test_interrupted_imports(ms: int) -> None:
    """A package whose import was interrupted can be imported."""
    head = f"""
import signal, numpy, ml_dtypes, optree
def interrupt(*_): raise KeyboardInterrupt
signal.signal(signal.SIGALRM, interrupt)
try:
    signal.setitimer(signal.ITIMER_REAL, {ms / 1000})
    import covector.numpy
    signal.setitimer(signal.ITIMER_REAL, 0)
except KeyboardInterrupt:
    pass
"""
    run(
        """
        assert cv.jit(lambda x: cnp.sin(x) * 0 + 2)(cnp.ones(3)).tolist() == [2] * 3
        assert (cnp.ones(3) + 1).tolist() == [2] * 3 and cv.grad(lambda x: x * x)(2.0) == 4
        """,
        head=head + HEAD,
    )


@pytest.mark.parametrize("nth", [8, 30])
def test_late_imports_that_are_interrupted_again_and_again(nth: int) -> None:
    """What is imported at the first use, of ours and of other packages, is whole in the end."""
    run(f"""
        class Interrupts:
            found, pick = 0, np.random.default_rng({nth})
            def find_spec(self, name, *_):
                self.found += 1
                if self.pick.integers({nth}) == 0: raise KeyboardInterrupt
        finder = Interrupts()
        sys.meta_path.insert(0, finder)
        def again_and_again(f):
            for _ in range(500):
                try: return f()
                except KeyboardInterrupt: pass
            raise AssertionError("it never ended")
        tree = again_and_again(lambda: dict(b=cnp.ones(3), a=[cnp.ones(()), (cnp.ones((3, 3)), None)]))
        def loss(t): return (t["a"][1][0] @ cnp.sin(t["b"]) * t["a"][0]).sum() + cnp.linalg.det(t["a"][1][0])
        slopes = again_and_again(lambda: cv.block_until_ready(cv.jit(cv.grad(loss))(tree)))
        assert sorted(slopes) == ["a", "b"] and slopes["b"].shape == (3,)
        assert again_and_again(lambda: cv.scipy.special.erf(tree["b"]).tolist())[0] > 0.8
        assert again_and_again(lambda: cv.make_jaxpr(loss)(tree)).eqns
        y = again_and_again(lambda: int(lax.while_loop(lambda c: c < 9, lambda c: c + 1, 0)))
        sys.meta_path.remove(finder)
        assert y == 9 and finder.found > 20, finder.found
    """)
