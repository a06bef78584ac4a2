"""The disk cache of compiled code: by content, checked when read, written atomically, bounded in size.

An entry that is damaged or of other code is ignored and rebuilt.  Entries are machine code that this process will
run, so they lie in a folder of our own that nobody else can write to, and each must belong to this user.
"""

from __future__ import annotations

import hashlib
import os
import stat
import time
import warnings
from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from covector._engine.base.config import config
from covector._engine.base.explained import explain
from covector._engine.base.version import VERSION

FORMAT = "3"  # of the entries
FOLDER = f"objects-{FORMAT}"  # ours alone, in the folder that the flag names
_MAGIC = b"covector-object\n"
_HEAD = len(_MAGIC) + 2 * 32
_MOST_BYTES = 1 << 28  # of an entry: a file that is longer is not ours
_STALE_S = 3600.0  # a temporary file this old was left by a process that is gone
_TOUCH_S = 600.0  # use is noted this exactly: most hits then write nothing
_LOOK, _LOOK_S = "last-look", 600.0  # a file whose age says when all entries were looked at
_KEPT = 0.75  # of the limit, after old entries were removed
_STARTED = time.time()


def directory() -> Path | None:
    """Where entries lie: in the flag `cache_dir`, else in the user's cache folder; None if there is no such place."""
    root = config.cache_dir
    if not root:
        base = os.environ.get("XDG_CACHE_HOME", "")
        root = os.path.join(base if os.path.isabs(base) else "~/.cache", "covector")
    root = os.path.expanduser(root)
    if root.startswith("~"):
        return None  # a user without a home
    return Path(root) / FOLDER


def cached(key: str, make: Callable[[], bytes]) -> bytes:
    """The bytes for a key: from the disk if they are there and whole, else made (and kept)."""
    compiler = _compiler() if config.cache else None
    if compiler is None:
        return make()
    text = f"{FORMAT}\n{VERSION}\n{compiler}\n{key}"
    digest = hashlib.sha256(text.encode()).digest()
    name = f"{digest.hex()}.o"
    with _folder() as folder:
        data = None if folder is None else _read(folder, name, digest)
    if data is not None:
        return data
    data = make()
    with _folder(create=True) as folder:
        if folder is not None:
            _write(folder, name, _MAGIC + digest + hashlib.sha256(data).digest() + data)
    return data


def clear() -> int:
    """Remove all entries; how many there were."""
    removed = 0
    with _folder() as folder:
        if folder is not None:
            for entry in _entries(folder):
                removed += _remove(folder, entry.name) and entry.name.endswith(".o")
    return removed


@cache
def _compiler() -> str | None:
    """What tells the compiler from all others: the state of LLVM's files, which are not loaded for it, and of ours.

    None if one of ours was changed since this process began: it may run the old one, or parts of both.
    """
    found = find_spec("llvmlite")
    if found is None or found.origin is None:
        return None
    llvm, _ = _state(Path(found.origin).parent)
    ours, newest = _state(Path(__file__).parent.parent)
    if newest > _STARTED:
        explain("cache")("nothing is kept: files of the compiler changed since it was imported")
        return None
    return f"LLVM {llvm}, ours {ours}"


def _state(folder: Path) -> tuple[str, float]:
    """A digest of the names, sizes and times of a package's modules, and when the newest was changed."""
    newest, files = 0.0, hashlib.sha256()
    for entry in sorted(_files(str(folder)), key=lambda e: e.path):
        status = entry.stat()
        newest = max(newest, status.st_mtime)
        files.update(f"{entry.path} {status.st_size} {status.st_mtime_ns}\n".encode())
    return files.hexdigest(), newest


def _files(folder: str) -> Generator[os.DirEntry[str]]:
    """The modules in a folder, native ones too."""
    with os.scandir(folder) as found:
        for entry in found:
            if entry.is_dir():
                yield from _files(entry.path)
            elif entry.name.endswith((".py", ".so", ".pyd", ".dll", ".dylib")):
                yield entry


@contextmanager
def _folder(create: bool = False) -> Generator[int | None]:
    """The folder, open; None if it is not there, or not safe to use.

    All that follows names files relative to it, so nobody can put another one in its place meanwhile.
    """
    path = directory()
    descriptor = None if path is None else _open_folder(path, create)
    try:
        yield descriptor
    finally:
        if descriptor is not None:
            os.close(descriptor)


def _open_folder(path: Path, create: bool) -> int | None:
    try:
        if create:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.mkdir(mode=0o700, exist_ok=True)
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        if not isinstance(error, FileNotFoundError):
            explain("cache")(f"nothing is kept in {path}: {error.strerror}")
        return None
    try:
        status = os.fstat(descriptor)
        reason = _foreign(status)
        if reason is None and stat.S_IMODE(status.st_mode) & 0o077:
            os.chmod(descriptor, 0o700)
    except OSError as error:
        reason = f"it cannot be made private: {error.strerror}"
    if reason is None:
        return descriptor
    os.close(descriptor)
    _refuse(str(path), reason)
    return None


def _foreign(status: os.stat_result) -> str | None:
    """Why what lies there may come from somebody else; None if it cannot."""
    if status.st_uid != os.geteuid():
        return f"it belongs to user {status.st_uid}, not to user {os.geteuid()}"
    return None


@cache
def _refuse(path: str, reason: str) -> None:
    """Say once why a folder is not used."""
    warnings.warn(
        f"covector keeps no compiled code in {path}, and takes none from there: {reason}; programs "
        "are compiled anew in each process. Set COVECTOR_CACHE_DIR to a folder of your own, or "
        "COVECTOR_CACHE=0 to keep none.",
        RuntimeWarning,
        stacklevel=2,
    )


def _read(folder: int, name: str, digest: bytes) -> bytes | None:
    """The data of an entry; None if there is none that is whole, ours, and of this key."""
    try:
        # A fifo in its place must not make us wait, nor a link lead elsewhere.
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        descriptor = os.open(name, flags, dir_fd=folder)
    except OSError:
        return None
    try:
        status = os.fstat(descriptor)
        whole = stat.S_ISREG(status.st_mode) and status.st_size <= _MOST_BYTES
        if not whole or _foreign(status) or stat.S_IMODE(status.st_mode) & 0o022:
            explain("cache")(f"{name} is not an entry of ours")
            return None
        with open(descriptor, "rb", closefd=False) as file:
            content = file.read(_MOST_BYTES)
        data = content[_HEAD:]
        if content[:_HEAD] != _MAGIC + digest + hashlib.sha256(data).digest():
            explain("cache")(f"{name} is damaged, or of other code")
            return None
        if time.time() - status.st_mtime > _TOUCH_S:
            _note_use(descriptor)
        return data
    except OSError as error:
        explain("cache")(f"{name} cannot be read: {error.strerror}")
        return None
    finally:
        os.close(descriptor)


def _note_use(descriptor: int) -> None:
    """The time of the last change tells what was not used for long."""
    try:
        os.utime(descriptor)
    except OSError as error:  # of a file system that was made read-only, say
        explain("cache")(f"use is not noted: {error.strerror}")


def _write(folder: int, name: str, content: bytes) -> None:
    """Keep an entry; a folder that cannot be written to only means that nothing is kept."""
    temporary = f"{os.getpid()}-{os.urandom(8).hex()}.tmp"
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(temporary, flags, 0o600, dir_fd=folder)
        try:
            with open(descriptor, "wb") as file:
                file.write(content)
            os.replace(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
        except BaseException:
            _remove(folder, temporary)
            raise
        _note_growth(folder, len(content))
    except OSError as error:
        explain("cache")(f"{name} is not kept: {error.strerror}")


def _remove(folder: int, name: str) -> bool:
    """Whether it was there, and is gone; another process may remove it too."""
    try:
        os.unlink(name, dir_fd=folder)
    except OSError as error:
        if not isinstance(error, FileNotFoundError):
            explain("cache")(f"{name} cannot be removed: {error.strerror}")
        return False
    return True


_written = 0  # bytes, by this process, since it last looked at the whole folder


def _note_growth(folder: int, size: int) -> None:
    """Now and then, remove what was not used for longest, so that the folder stays below the limit.

    A look takes 10 us an entry, half a second for a full folder: one process does it in ten minutes, or whoever has
    written much.
    """
    global _written
    _written += size
    limit = config.cache_limit_mb << 20
    if _written < limit // 16 and not _look_is_due(folder):
        return
    _written = 0
    now, kept = time.time(), []
    for entry in _entries(folder):
        try:
            status = entry.stat(follow_symlinks=False)
        except FileNotFoundError:  # another process removed it
            continue
        if entry.name.endswith(".o"):
            kept.append((status.st_mtime, status.st_size, entry.name))
        elif now - status.st_mtime > _STALE_S:
            _remove(folder, entry.name)
    total = sum(size for _, size, _ in kept)
    if total <= limit:
        return
    for _, size, name in sorted(kept):
        if total <= limit * _KEPT:
            break
        _remove(folder, name)
        total -= size


def _look_is_due(folder: int) -> bool:
    """Whether nobody looked at the folder lately; then this process does now."""
    try:
        if time.time() - os.stat(_LOOK, dir_fd=folder, follow_symlinks=False).st_mtime < _LOOK_S:
            return False
        _remove(folder, _LOOK)
    except FileNotFoundError:
        pass  # the first look of all
    flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    os.close(os.open(_LOOK, flags, 0o600, dir_fd=folder))
    return True


def _entries(folder: int) -> list[os.DirEntry[str]]:
    """The entries and temporary files there: nothing else is ever removed."""
    with os.scandir(folder) as found:
        return [
            entry
            for entry in found
            if entry.name.endswith((".o", ".tmp")) and entry.is_file(follow_symlinks=False)
        ]
