#!/bin/sh
# Builds the extension with the address and undefined-behaviour sanitizers, and runs tests with it, each file
# by itself: those that are named, or the native ones and those of what stands on most of the native core.
# The runtime is also run in a program without Python.
#
# The module is loaded from a copy of the package that has it in the place of the usual one: with -S Python
# does not see the editable installation.  Code that is compiled as the tests run is not instrumented; the
# routines that it calls are.  The build is kept, so the next run compiles what has changed.
set -eu

cd "$(dirname "$0")/../.."
python=$(pwd)/.venv/bin/python
[ -x "$python" ] || python=$(command -v python3)
build=$(pwd)/build/asan
site=$build/site
packages=$("$python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')

mkdir -p build
"$python" -m cmake --version >/dev/null 2>&1 && cmake="$python -m cmake" || cmake=cmake
$cmake -S . -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Debug -DCOVECTOR_SANITIZE=address,undefined \
  -DPython_EXECUTABLE="$python" >"$build.log" 2>&1 || { cat "$build.log"; exit 1; }
$cmake --build "$build" --target all runtime_alone >"$build.log" 2>&1 || { cat "$build.log"; exit 1; }
"$build/runtime_alone"

rm -rf "$site"
mkdir -p "$site"
cp -r src/covector "$site/"
rm -f "$site"/covector/_engine/_native*.so
cp "$build"/_native*.so "$site/covector/_engine/"

[ $# -gt 0 ] || set -- tests/native/test_*.py tests/runtime/test_tape.py tests/runtime/test_mapped.py \
  tests/runtime/test_twins.py tests/runtime/test_robustness.py tests/api/test_refs_native.py \
  tests/api/test_native_forms.py tests/api/test_callbacks.py tests/api/test_modes.py \
  tests/api/test_nesting.py tests/lax/test_loops.py \
  tests/surface/test_sort.py tests/surface/test_linalg.py tests/surface/test_fft.py \
  tests/surface/test_elementwise.py tests/surface/test_ordering.py tests/lax/test_convolution.py \
  tests/lax/test_windows.py tests/control/test_loop.py

# The interpreter is not instrumented: the runtime library must be loaded first. Python keeps memory
# until it exits, so leaks cannot be told. The C++ runtime is preloaded for its exceptions.
failed=
for file in "$@"; do
  echo "$file"
  LD_PRELOAD="$(c++ -print-file-name=libasan.so) $(c++ -print-file-name=libstdc++.so)" \
  ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1:max_allocation_size_mb=65536 \
  UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 \
  PYTHONMALLOC=malloc PYTHONPATH="$site:$packages" \
    "$python" -S -m pytest "$file" -q -p no:cacheprovider -p no:xdist || failed="$failed $file"
done
[ -z "$failed" ] || { echo "failed:$failed"; exit 1; }
