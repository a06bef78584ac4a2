// What the module is put together from.
#pragma once

#include <nanobind/nanobind.h>

#include "python/operands.h"

namespace covector {

// The Python object of an Executable.
struct ExecutableObject {
    Executable* native;

    explicit ExecutableObject(Executable* made) : native(made) {}
    ExecutableObject(const ExecutableObject&) = delete;
    ExecutableObject& operator=(const ExecutableObject&) = delete;
    ~ExecutableObject() { native->unref(); }
};

void bind_executable(nanobind::module_& m);
void bind_foreign(nanobind::module_& m);
void bind_runtime(nanobind::module_& m);  // memory, threads, queue, BLAS, switches

}  // namespace covector
