// Stable sorting of rows by key, for compiled code.
#pragma once

#include <cstdint>

namespace covector {
bool set_vector_sort(bool enabled);  // the previous setting; off, keys alone are sorted by digits too
}

extern "C" {
// Sorts each of `rows` rows of `n` keys (of the dtype with this code) in place, and moves the values, of
// `value_width` bytes each, along; 0: there are none.  Equal keys keep their order; NaNs come last.  Returns 0,
// or 1 if memory is exhausted.
int32_t cv_sort_pairs(void* keys, void* values, int64_t code, int64_t value_width, int64_t rows, int64_t n);
}
