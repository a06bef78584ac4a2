// The innermost parts of eigenvalues and singular values, in vectors: products of a matrix with a
// vector, and equations of which the eigenvalues of two halves are the poles.
#pragma once

#include <cstdint>

namespace covector {

// f(x) = 1 / rho + sum of z[i]^2 / (p[i] - x), whose roots lie between poles: root j behind pole j.
// A pole is d[i], or its square; both grow, and differences of poles are made of d, so they are as
// exact as d. What is at d[n] is more than all roots. Both arrays have room for a vector behind.
template <typename T>
struct Secular {
    int64_t n;
    const T* d;
    const T* z;
    T inverse_rho;
    bool squared;
    // Root j is where the pole of origin[j] is, plus shift[j].
    T* origin;
    T* shift;
};

template <typename T>
struct SpectralKernels {
    // y += a x for the rows from `first` to `last` of the upper half of a symmetric matrix, and what
    // they contribute as columns. Both are multiples of kPanel, as is n; blocks of kPanel on the
    // diagonal are whole.
    void (*symmetric)(const T* a, int64_t step, int64_t first, int64_t last, int64_t n, const T* x,
                      T* y);
    // products[k] = the sum of rows[k * step + i] x[i] over i from `begin` to `end`.
    void (*dots)(const T* rows, int64_t step, int64_t count, const T* x, int64_t begin, int64_t end,
                 T* products);
    // y[i] += the sum of factors[k] rows[k * step + i].
    void (*combine)(const T* rows, int64_t step, int64_t count, const T* factors, int64_t begin,
                    int64_t end, T* y);
    // Finds the roots from `begin` to `end`, of which `begin` is a multiple of a vector's lanes.
    void (*roots)(const Secular<T>& s, int64_t begin, int64_t end);
    // to[i] = |z| of the sum that has the roots that were found, for i from `begin` to `end`.
    void (*weights)(const Secular<T>& s, int64_t begin, int64_t end, T* to);
    // to[i] = scale[i] / (p[i] - root j), and the sum of their squares.
    T (*fractions)(const Secular<T>& s, int64_t j, const T* scale, T* to);
};

// The kernels for this processor; T is float or double.
template <typename T>
const SpectralKernels<T>& spectral_kernels();

}  // namespace covector
