"""The thread pool: the partition, nesting, callers on several threads, fork."""

import ctypes
import itertools
import os
import subprocess
import sys
import threading

import pytest


class Pieces(ctypes.Structure):
    _fields_ = (("count", ctypes.c_int64), ("bounds", ctypes.c_int64 * 1024))


class Nested(ctypes.Structure):
    _fields_ = (("parallel_for", ctypes.c_void_p), ("sum", ctypes.c_int64))


BODY = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64]


@pytest.fixture
def pieces_of(native, address):
    parallel_for = ctypes.CFUNCTYPE(None, *BODY)(native.symbols()["cv_parallel_for"])

    def run(n: int, grain: int) -> list[tuple[int, int]]:
        pieces = Pieces()
        parallel_for(address("record_piece"), ctypes.byref(pieces), n, grain)
        bounds = list(pieces.bounds)
        return sorted((bounds[2 * i], bounds[2 * i + 1]) for i in range(pieces.count))

    return run


def check_partition(pieces: list[tuple[int, int]], n: int, grain: int, threads: int) -> None:
    assert pieces[0][0] == 0
    assert pieces[-1][1] == n
    for (_, end), (begin, _) in itertools.pairwise(pieces):
        assert end == begin
    sizes = [end - begin for begin, end in pieces]
    assert max(sizes) - min(sizes) <= 1
    assert len(pieces) == (1 if n < 2 * grain else min(threads, n // max(grain, 1)))
    assert len(pieces) == 1 or min(sizes) >= grain


def test_partition(native, pieces_of):
    threads = native.num_threads()
    for n in (1, 2, 3, 7, 64, 1000, 10**12):
        for grain in (0, 1, 2, 10, 500, 10**6):
            check_partition(pieces_of(n, grain), n, max(grain, 1), threads)
    assert pieces_of(0, 1) == []
    assert pieces_of(-5, 1) == []


def test_many_regions_from_many_threads(native, lib):
    lib.many_regions.restype = ctypes.c_int64
    lib.many_regions.argtypes = [ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64]
    wrong = []

    def work():
        parallel_for = native.symbols()["cv_parallel_for"]
        wrong.append(lib.many_regions(parallel_for, 5000, 1001))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == [0] * 4


def test_nested_regions(native, address):
    symbol = native.symbols()["cv_parallel_for"]
    nested = Nested(symbol, 0)
    ctypes.CFUNCTYPE(None, *BODY)(symbol)(address("nested_body"), ctypes.byref(nested), 50, 1)
    assert nested.sum == 50 * 4950


SCRIPT = """
import ctypes, os, sys
import covector._engine._native as native
class Pieces(ctypes.Structure):
    _fields_ = (("count", ctypes.c_int64), ("bounds", ctypes.c_int64 * 1024))
lib = ctypes.CDLL(sys.argv[1])
body = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64]
parallel_for = ctypes.CFUNCTYPE(None, *body)(native.symbols()["cv_parallel_for"])
record = ctypes.cast(lib.record_piece, ctypes.c_void_p).value
counts = []
for _ in range(200):
    pieces = Pieces()
    parallel_for(record, ctypes.byref(pieces), 1000, 1)
    counts.append(pieces.count)
print(native.num_threads(), *set(counts))
"""


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_number_of_threads(lib, threads):
    environment = os.environ | {"COVECTOR_NUM_THREADS": str(threads)}
    done = subprocess.run(
        [sys.executable, *(["-S"] if sys.flags.no_site else []), "-c", SCRIPT, lib._name],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == [str(threads), str(threads)]
