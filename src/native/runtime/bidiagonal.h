// Singular values and vectors of large real matrices, of products of ours on the pool.
#pragma once

#include <cstdint>

namespace covector {

// Whether this is quicker than LAPACK for matrices with such a shorter side, and is here at all.
template <typename T>
bool svd_in_blocks(int64_t side);

// The singular values of a (m, n), row-major, from the largest on; and, unless u is null, the first
// `width` left vectors as columns of u, and `height` right ones as rows of vt: m and n, or as many
// as there are values. False where they are not found.
template <typename T>
bool blocked_svd(const T* a, int64_t m, int64_t n, T* s, T* u, int64_t width, T* vt, int64_t height);

}  // namespace covector
