"""The disk cache of object files: by content, checked when read, written atomically.

An entry that is damaged or of other code is ignored and rebuilt.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from covector._engine.base.config import config

VERSION = "1"  # of the entries' format
_MAGIC = b"covector-object\n"


def directory() -> Path:
    """Where entries lie: the flag `cache_dir`, else the user's cache folder."""
    if config.cache_dir:
        return Path(config.cache_dir)
    root = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return Path(root) / "covector"


def cached(key: str, make: Callable[[], bytes]) -> bytes:
    """The object file for a key: from the disk if it is there and whole, else made (and kept)."""
    if not config.cache:
        return make()
    digest = hashlib.sha256(f"{VERSION}\n{key}".encode()).digest()
    path = directory() / f"{digest.hex()}.o"
    data = _read(path, digest)
    if data is None:
        data = make()
        _write(path, digest, data)
    return data


def _read(path: Path, digest: bytes) -> bytes | None:
    try:
        content = path.read_bytes()
    except OSError:
        return None
    head = len(_MAGIC) + 64
    data = content[head:]
    checks = digest + hashlib.sha256(data).digest()
    return data if content[:head] == _MAGIC + checks else None


def _write(path: Path, digest: bytes, data: bytes) -> None:
    """Keep an entry; a folder that cannot be written to only means that nothing is kept."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
            file.write(_MAGIC + digest + hashlib.sha256(data).digest() + data)
        os.replace(file.name, path)
    except OSError:
        return


def clear() -> int:
    """Remove all entries; how many there were."""
    entries = list(directory().glob("*.o"))
    for path in entries:
        path.unlink(missing_ok=True)
    return len(entries)
