"""The disk cache: what is taken from it, what is kept, what is removed."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.amount import HANGS

from covector._engine.base.config import config
from covector._engine.runtime import cache

RUN = """
import covector as cv, covector.numpy as cnp
for n in range(%d): cv.jit(lambda x: cnp.sin(x) * 3 + n)(cnp.ones(5))
print(cv.jit(lambda x: cnp.sin(x) * 3 > 2)(cnp.ones(5)).tolist())
"""


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """An empty place for entries, seen as a process that has not looked at it yet."""
    cache._refuse.cache_clear()
    written, cache._written = cache._written, 0
    with config.override(cache_dir=str(tmp_path / "cache"), cache=True):
        yield tmp_path / "cache" / cache.FOLDER
    cache._written = written


def keep(key: str, data: bytes = b"data") -> bool:
    """Whether the entry had to be made."""
    made = []
    assert cache.cached(key, lambda: made.append(1) or data) == data
    return bool(made)


def entries(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.name != cache._LOOK)


def program(where: Path, count: int = 0, **env: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", RUN % count],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "COVECTOR_CACHE_DIR": str(where), **env},
    )


def finish(process: subprocess.Popen[str]) -> str:
    """What it wrote to stderr; it must have computed."""
    out, err = process.communicate(timeout=HANGS)
    assert process.returncode == 0, err
    assert out == "[True, True, True, True, True]\n"
    return err


def test_an_entry_is_made_once_and_is_private(folder: Path) -> None:
    assert keep("a")
    assert not keep("a")
    assert keep("b", b"")
    assert not keep("b", b"")
    assert len(entries(folder)) == 2
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert all(stat.S_IMODE(e.stat().st_mode) == 0o600 for e in entries(folder))
    assert cache.clear() == 2
    assert keep("a")


def test_the_key_holds_the_versions(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keep("a")
    monkeypatch.setattr(cache, "VERSION", "0.0.0")
    assert keep("a")
    monkeypatch.setattr(cache, "_compiler", lambda: "LLVM 1")
    assert keep("a")


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(path.read_bytes()[:-1]),
        lambda path: path.write_bytes(path.read_bytes()[:40]),
        lambda path: path.write_bytes(path.read_bytes() + b"x"),
        lambda path: path.write_bytes(path.read_bytes().replace(b"data", b"dat\0")),
        lambda path: path.unlink(),
        lambda path: (path.unlink(), os.mkfifo(path)),
        lambda path: (path.unlink(), path.symlink_to("/dev/zero")),
        lambda path: (path.unlink(), path.symlink_to(path)),
        lambda path: os.truncate(path, 1 << 40),
        lambda path: path.chmod(0o622),
    ],
    ids=[
        "empty",
        "short",
        "shorter",
        "longer",
        "wrong",
        "gone",
        "fifo",
        "device",
        "loop",
        "huge",
        "writable",
    ],
)
def test_a_strange_entry_is_made_anew(folder: Path, damage) -> None:
    keep("a")
    (path,) = entries(folder)
    damage(path)
    assert keep("a")
    assert not keep("a")
    assert entries(folder) == [path]
    assert path.is_file()
    assert not path.is_symlink()


def test_an_entry_of_another_key(folder: Path) -> None:
    keep("a")
    (first,) = entries(folder)
    keep("b", b"other")
    (second,) = set(entries(folder)) - {first}
    second.write_bytes(first.read_bytes())
    assert keep("b", b"other")


def test_a_folder_in_the_place_of_an_entry(folder: Path) -> None:
    keep("a")
    (path,) = entries(folder)
    path.unlink()
    path.mkdir()
    assert keep("a")
    assert keep("a")
    assert entries(folder) == [path]
    assert cache.clear() == 0


def test_what_belongs_to_another_user_is_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep("a")
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    with pytest.warns(RuntimeWarning, match=r"belongs to user \d+, not to user 12345"):
        assert keep("a")
    assert keep("a")  # and is not said again
    monkeypatch.undo()
    assert not keep("a")
    (path,) = entries(folder)
    if os.getuid() == 0:  # only root can give an entry away
        os.chown(path, 12345, 12345)
        assert keep("a")
        assert path.stat().st_uid == 0


def test_a_folder_that_others_could_write_to_is_made_private(folder: Path) -> None:
    folder.mkdir(parents=True)
    folder.chmod(0o777)
    keep("a")
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_link_in_the_place_of_the_folder_is_not_followed(folder: Path) -> None:
    elsewhere = folder.parent / "elsewhere"
    elsewhere.mkdir(parents=True)
    folder.symlink_to(elsewhere)
    assert keep("a")
    assert keep("a")
    assert list(elsewhere.iterdir()) == []


def test_a_file_in_the_place_of_the_folder(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder.parent.mkdir()
    folder.write_text("")
    with config.override(explain="cache"):
        assert keep("a")
    assert f"nothing is kept in {folder}" in capsys.readouterr().err


def test_what_was_not_used_for_longest_goes(folder: Path) -> None:
    with config.override(cache_limit_mb=1):
        old = time.time() - 7200
        for i in range(16):
            keep(str(i), bytes(40_000))
            newest = max(entries(folder), key=lambda p: p.stat().st_mtime)
            os.utime(newest, (old + i, old + i))
        assert not keep("0", bytes(40_000))  # used: now among the last
        for i in range(16, 30):
            keep(str(i), bytes(40_000))
        sizes = [p.stat().st_size for p in entries(folder)]
        assert sum(sizes) < (1 << 20) + (1 << 16) + 40_200
        assert not keep("0", bytes(40_000))
        assert not keep("29", bytes(40_000))
        assert keep("1", bytes(40_000))


def test_the_folder_is_looked_at_now_and_then(folder: Path) -> None:
    keep("a")
    old = time.time() - 7200
    stale = folder / "1-old.tmp"
    stale.write_text("")
    os.utime(stale, (old, old))
    keep("b")
    assert stale.exists()
    os.utime(folder / cache._LOOK, (old, old))
    keep("c")
    assert not stale.exists()


def test_files_of_processes_that_are_gone_are_removed(folder: Path) -> None:
    folder.mkdir(parents=True)
    ages = {"1-old.tmp": 7200, "2-new.tmp": 5, "notes.txt": 7200}
    for name, age in ages.items():
        (folder / name).write_text("")
        os.utime(folder / name, (time.time() - age,) * 2)
    keep("a")
    assert [p.name for p in entries(folder) if not p.name.endswith(".o")] == [
        "2-new.tmp",
        "notes.txt",
    ]


def test_an_interrupted_or_failed_write_leaves_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*args: object, **kwargs: object) -> None:
        raise KeyboardInterrupt

    def fail(*args: object, **kwargs: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        keep("a")
    monkeypatch.setattr(os, "replace", fail)
    assert keep("a")
    assert entries(folder) == []


def test_the_default_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    with config.override(cache_dir=""):
        monkeypatch.setenv("HOME", "/somewhere")
        monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
        assert cache.directory() == Path("/somewhere/.cache/covector") / cache.FOLDER
        monkeypatch.setenv("XDG_CACHE_HOME", "/caches")
        assert cache.directory() == Path("/caches/covector") / cache.FOLDER
        monkeypatch.setenv("XDG_CACHE_HOME", "relative")  # which its specification forbids
        assert cache.directory() == Path("/somewhere/.cache/covector") / cache.FOLDER
        monkeypatch.setattr(os.path, "expanduser", lambda path: path)  # a user without a home
        assert cache.directory() is None
        assert keep("a")
    with config.override(cache_dir="~/x"):
        monkeypatch.undo()
        assert cache.directory() == Path.home() / "x" / cache.FOLDER


def test_processes_that_share_a_folder(tmp_path: Path) -> None:
    """They write the same entries at once, and remove each other's: the limit is nothing."""
    for limit in ("1024", "0"):
        running = [program(tmp_path, 10, COVECTOR_CACHE_LIMIT_MB=limit) for _ in range(3)]
        assert [finish(process) for process in running] == ["", "", ""]
        assert not list(tmp_path.rglob("*.tmp"))


def test_a_disk_that_is_full(tmp_path: Path) -> None:
    code = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))\n" + RUN % 1
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=HANGS,
        env={**os.environ, "COVECTOR_CACHE_DIR": str(tmp_path)},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert entries(tmp_path / cache.FOLDER) == []


@pytest.mark.parametrize("place", ["/proc/covector", "/dev/null/covector"])
def test_a_place_that_cannot_be_written(place: str) -> None:
    assert finish(program(Path(place))) == ""


AGAIN = """
import sys
import covector as cv, covector.numpy as cnp, numpy as np
from covector import lax

def show(*results):
    print(*[np.asarray(x).tolist() for x in results])

x = cnp.arange(6.0)
show(cnp.sin(x[:3]), cv.jit(lambda x: cnp.sort(-x) * 2)(x), cv.jit(lambda x: x.at[1].set(9.0), donate_argnums=0)(x + 0))
show(cv.jit(lambda x: lax.scan(lambda c, e: (c + e, c), 0.0, x))(x)[1], cv.grad(lambda x: (x * x).sum())(x))
show(cv.jit(lambda a: a @ a)(cnp.eye(40) * 2)[0, :2], lax.while_loop(lambda n: n < 5, lambda n: n + 1, 0))
print("compiled" if "covector._engine.compile.pipeline" in sys.modules else "found")
f = cv.jit(lambda x: cnp.cos(x) + 1)
print(f.lower(x).compile().as_text("llvm").count("define"), f.lower(x).compile().cost_analysis()["flops"])
cv.jit(lambda x: cv.debug.print("it is {}", x))(2.5)
show(cv.jit(lambda x: cv.pure_callback(np.sqrt, x, x))(cnp.float32(4)))
cv.effects_barrier()
"""


def again(where: Path) -> list[str]:
    """The lines that the program prints, in a new process."""
    env = {**os.environ, "COVECTOR_CACHE_DIR": str(where), "COVECTOR_CACHE": "1"}
    env |= {"COVECTOR_VERIFY": "0"}
    done = subprocess.run(
        [sys.executable, "-c", AGAIN], capture_output=True, text=True, check=True, env=env
    )
    return done.stdout.splitlines()


def test_code_that_is_found_needs_no_compiler_and_does_the_same(tmp_path: Path) -> None:
    first, second = again(tmp_path), again(tmp_path)
    assert first[3] == "compiled"
    assert second[3] == "found"
    assert [*first[:3], *first[4:]] == [*second[:3], *second[4:]]
    assert "it is 2.5" in second
    assert second[-1] == "2.0"


def test_nothing_is_kept_by_a_compiler_that_was_changed_under_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache._compiler.cache_clear()
    with monkeypatch.context() as patch:
        patch.setattr(cache, "_STARTED", 0.0)
        assert keep("a")
        assert keep("a")
        cache._compiler.cache_clear()
    assert keep("a")
    assert not keep("a")
