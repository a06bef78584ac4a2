// Calling back: what compiled code calls to run a Python function.
#pragma once

#include <cstdint>

namespace covector {

// See Host::call_back; the table is a tuple of Python functions.
int32_t call_back(const void* table, int64_t index, int64_t operands, int64_t count,
                  void* const* words);

}  // namespace covector
