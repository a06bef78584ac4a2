// Eigenvalues and eigenvectors of large real symmetric matrices, of products of ours on the pool.
#pragma once

#include <cstdint>

namespace covector {

// Whether this is quicker than LAPACK for n x n, and is here at all.
template <typename T>
bool eigh_in_blocks(int64_t n);

// The eigenvalues of a (n, n), row-major, of which the lower or the upper triangle is read, in
// order, and the eigenvectors as columns of `vectors`, unless it is null. False where they are not
// found.
template <typename T>
bool blocked_eigh(const T* a, int64_t n, bool lower, T* values, T* vectors);

}  // namespace covector
