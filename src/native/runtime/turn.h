// Matrices turned over: the routine behind transpositions, for compiled code.
#pragma once

#include <cstdint>

extern "C" {
// to[j * to_step + i] = from[i * from_step + j] for i < rows, j < columns; elements of `width` bytes: 2, 4 or 8.
int32_t cv_turn(const void* from, void* to, int64_t width, int64_t rows, int64_t columns,
                int64_t from_step, int64_t to_step);
}
