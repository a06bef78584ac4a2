// Stable sorting of rows by key, for compiled code.
#pragma once

#include <cstdint>

extern "C" {
// Sorts each of `rows` rows of `n` keys (of the dtype with this code) in place, and moves the values, of
// `value_width` bytes each, along; 0: there are none.  Equal keys keep their order; NaNs come last.  Returns 0,
// or 1 if memory is exhausted.
int32_t cv_sort_pairs(void* keys, void* values, int64_t code, int64_t value_width, int64_t rows, int64_t n);
// The order of each of `rows` rows of `n` items that have `count` keys each, (rows, count, n) of them: by the first
// key, equal ones by the next.  Written as places of `place_width` (4 or 8) bytes.  Returns as cv_sort_pairs.
int32_t cv_sort_order(const void* keys, void* order, int64_t code, int64_t place_width, int64_t rows, int64_t count,
                      int64_t n);
}
