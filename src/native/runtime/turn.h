// Matrices turned over: the routine behind transpositions, for compiled code.
#pragma once

#include <cstdint>

extern "C" {
// to[place(j) + i] = from[place(i) + j] for i < rows, j < columns; elements of `width` bytes: 1, 2, 4, 8 or 16. Rows may
// be those of two axes: row i lies at (i / inner_rows) * from_far + (i % inner_rows) * from_step, and so do columns in
// what is written.
int32_t cv_turn(const void* from, void* to, int64_t width, int64_t rows, int64_t columns, int64_t inner_rows,
                int64_t from_step, int64_t from_far, int64_t inner_columns, int64_t to_step, int64_t to_far);
}
