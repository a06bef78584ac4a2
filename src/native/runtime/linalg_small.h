// Eigenvalues of small Hermitian matrices without LAPACK's calls, by LAPACK's method.
#pragma once

#include <complex>
#include <cstdint>

#include "runtime/lapack.h"

namespace covector {

constexpr int64_t kMostSmall = 24;  // LAPACK takes another method from here on

// The eigenvalues of a (n, n), row-major, of which the lower triangle is read, in order, and the
// eigenvectors as columns of `vectors`, unless it is null. False if they are not found, or if
// something is so large or small that it must be scaled.
template <typename T>
bool small_eigh(const T* a, int64_t n, Real<T>* values, T* vectors);

// The eigenvalues of a tridiagonal matrix of at most kMostSmall rows, in order in place of its
// diagonal, and its eigenvectors as rows. False if they are not found.
template <typename R>
bool small_tridiagonal(R* d, const R* e, int64_t n, R* rows, int64_t step);

}  // namespace covector
