// The largest elements of rows, for compiled code.
#pragma once

#include <cstdint>

extern "C" {
// Of each of `rows` rows of `n` elements (of the dtype with this code) the k largest, the largest first, and their
// places as integers of `place_width` bytes.  NaN is the largest; of equal elements the first ones are taken, in
// their order.  Returns 0, or 1 if memory is exhausted.
int32_t cv_top_k(const void* elements, void* values, void* places, int64_t code, int64_t place_width,
                 int64_t rows, int64_t n, int64_t k);
}
