"""The rooms of the native core: what a file includes, and a runtime that is built without Python."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent

# The rooms of the native core, the lowest first: a file includes only its own room and lower ones.
ROOMS = ("runtime", "python", "dispatch")

# Headers that the runtime does without: it is also what a saved program links against.
HOST_HEADERS = re.compile(r"Python\.h|nanobind/|numpy/|dlpack|pybind")


def includes(path: Path) -> Iterator[tuple[str, int]]:
    """The headers that a native file includes, with their lines."""
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if found := re.match(r'\s*#\s*include\s*[<"]([^>"]+)[>"]', line):
            yield found[1], number


def test_a_native_file_includes_only_its_room_and_lower_ones() -> None:
    native = ROOT / "src" / "native"
    paths = sorted([*native.rglob("*.cc"), *native.rglob("*.h")])
    assert {path.relative_to(native).parts[0] for path in paths} == set(ROOMS)
    wrong = []
    for path in paths:
        room = path.relative_to(native).parts[0]
        allowed = ROOMS[: ROOMS.index(room) + 1]
        for header, line in includes(path):
            ours = header.split("/")[0] in ROOMS
            named = (native / header).exists() or not (path.parent / header).exists()
            fits = header.split("/")[0] in allowed if ours else named
            if not fits or (room == "runtime" and HOST_HEADERS.search(header)):
                wrong.append(f"{path.relative_to(ROOT)}:{line} includes {header}")
    assert not wrong, "\n".join(wrong)


def test_the_runtime_is_built_without_python() -> None:
    """A library of its own, whose include path holds our sources alone."""
    text = (ROOT / "CMakeLists.txt").read_text()
    assert "add_library(covector_runtime STATIC ${COVECTOR_RUNTIME_SOURCES})" in text
    paths = re.findall(r"target_include_directories\(covector_runtime ([^)]*)\)", text)
    assert paths == ['PUBLIC "${CMAKE_CURRENT_SOURCE_DIR}/src/native"']
    links = re.findall(r"target_link_libraries\(covector_runtime ([^)]*)\)", text)
    assert links == ["PUBLIC Threads::Threads ${CMAKE_DL_LIBS}"]
