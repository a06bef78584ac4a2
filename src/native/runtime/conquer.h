// Eigenvalues of tridiagonal matrices, and singular values of bidiagonal ones: those of two halves,
// which are joined.
#pragma once

#include <cstdint>

namespace covector {

// The eigenvalues of the matrix with diagonal d (n) and off-diagonal e (n - 1), in place of d, which
// are in order as d[order[0]], d[order[1]], ...; and the eigenvectors as columns of the rows of
// `vectors`, in the order of d, unless it is null. False where they are not found.
template <typename T>
bool conquer(T* d, T* e, int64_t n, T* vectors, int64_t step, int64_t* order);

// The singular values of the matrix with diagonal d (n) and e (n - 1) above it, in the same way; left
// and right vectors as columns, both or none of them.
template <typename T>
bool conquer_singular(T* d, T* e, int64_t n, T* left, T* right, int64_t step, int64_t* order);

}  // namespace covector
