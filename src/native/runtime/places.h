// The places of what is wanted, for compiled code.
#pragma once

#include <cstdint>

extern "C" {
// Of each of `rows` rows of `n` bytes the places of the first k that are 1 (the others are 0), in their order, then
// n; as integers of `width` bytes: 4 or 8.
int32_t cv_places(const void* wanted, void* places, int64_t width, int64_t rows, int64_t n, int64_t k);
}
