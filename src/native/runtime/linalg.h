// Linear algebra for compiled code, on stacks of row-major matrices: LAPACK computes, many matrices
// side by side on our threads, many small ones side by side in vectors.
//
// `type` is 0 for float, 1 for double, 2 and 3 for complex ones; `count` how many matrices there are.
// What cannot be factored becomes NaN. All return 0, or 1 if memory is exhausted.
#pragma once

#include <cstdint>

extern "C" {
// The lower triangle of a (n, n), in place; the upper one becomes zeros.
int32_t cv_cholesky(void* a, int64_t type, int64_t count, int64_t n);
// Factors of a (m, n) in place, with rows exchanged as `pivots` says; row i was row permutation[i].
int32_t cv_lu(void* a, int32_t* pivots, int32_t* permutation, int64_t type, int64_t count, int64_t m,
              int64_t n);
// The permutation of n rows that k exchanges make.
int32_t cv_pivots_to_permutation(const int32_t* pivots, int32_t* permutation, int64_t count, int64_t k,
                                 int64_t n);
// op(a) x = b for b (n, m), or x op(a) = b for b (m, n), in place of b.
int32_t cv_triangular_solve(const void* a, void* b, int64_t type, int64_t count, int64_t n, int64_t m,
                            int64_t left, int64_t lower, int64_t transposed, int64_t conjugated,
                            int64_t unit);
}
