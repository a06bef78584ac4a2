#!/bin/sh
# Builds the runtime with the thread sanitizer, and runs it in a program without Python, where many threads
# call at once.  The build is kept, so the next run compiles what has changed.
set -eu

cd "$(dirname "$0")/../.."
python=$(pwd)/.venv/bin/python
[ -x "$python" ] || python=$(command -v python3)
build=$(pwd)/build/tsan

mkdir -p build
"$python" -m cmake --version >/dev/null 2>&1 && cmake="$python -m cmake" || cmake=cmake
$cmake -S . -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Debug -DCOVECTOR_SANITIZE=thread \
  -DPython_EXECUTABLE="$python" >"$build.log" 2>&1 || { cat "$build.log"; exit 1; }
$cmake --build "$build" --target runtime_alone >"$build.log" 2>&1 || { cat "$build.log"; exit 1; }

for threads in 1 2 4; do
  COVECTOR_NUM_THREADS=$threads TSAN_OPTIONS=halt_on_error=1 "$build/runtime_alone"
done
