// Factors of one real matrix, by recursion down to panels, all else products of ours on the pool.
// All matrices are row-major.
#pragma once

#include <cstdint>

#include "runtime/linalg_lanes.h"

namespace covector {

// Whether this is quicker than LAPACK for matrices with such a shorter side, and is here at all:
// of complex numbers there are no tiles, on which all of it is built.
template <typename T>
bool in_blocks(int64_t side);

// The lower factor of the lower triangle of a (n, n), in place; what is above it is lost. False
// where a is not positive definite.
template <typename T>
bool blocked_cholesky(T* a, int64_t n);

// LU factors of a (m, n), in place: row i was exchanged with row pivots[i].
template <typename T>
void blocked_lu(T* a, int64_t m, int64_t n, int32_t* pivots);

// op(t) x = b for b (n, m), or x op(t) = b for b (m, n), in place of b.
template <typename T>
void blocked_solve(const T* t, int64_t t_step, T* b, int64_t b_step, int64_t n, int64_t m,
                   const Triangle& triangle);

// Householder's factors of a (m, n): r (width, n), and the first `width` columns of q (m, width).
template <typename T>
void blocked_qr(const T* a, T* q, T* r, int64_t m, int64_t n, int64_t width);

}  // namespace covector
