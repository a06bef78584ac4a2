// JitFunction: a callable that keeps compiled Programs by signature.
#pragma once

#include "python/objects.h"

namespace nanobind {
class module_;
}

namespace covector {

struct Plan;

bool jit_type_init(PyObject* module);

void bind_entry(nanobind::module_& m);

// The plan inside an object of the Python class Entry; null with an exception for anything else.
const Plan* plan_of(PyObject* entry);

}  // namespace covector
