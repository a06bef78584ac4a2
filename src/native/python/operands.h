// Arrays as operands of executables.
#pragma once

#include "python/array.h"
#include "runtime/executable.h"

namespace covector {

bool matches(const ValueType& type, const Array* array);

// Checks donations before anything runs, and marks the donated arrays: one may be donated once,
// and then not be passed twice. `arrays[i]` is the array of input i, or null for a scalar. False
// with an exception.
bool check_donations(Array* const* arrays, const bool* donated, int count);

}  // namespace covector
