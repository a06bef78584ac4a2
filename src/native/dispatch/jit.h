// JitFunction: a callable that keeps compiled Programs by signature.
#pragma once

#include "runtime/common.h"

namespace covector {

struct Plan;

bool jit_type_init(PyObject* module);

// The plan inside an object of the Python class Entry; null with an exception for anything else.
const Plan* plan_of(PyObject* entry);

}  // namespace covector
