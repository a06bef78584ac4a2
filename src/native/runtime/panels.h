// The innermost parts of factorizations: a few columns or rows at a time, in vectors.
#pragma once

#include <cstdint>

namespace covector {

constexpr int64_t kPanel = 16;  // the most columns (or rows) that one of these takes

// A triangle of at most kPanel equations, in the order in which they are solved. Beyond its n it is
// completed by ones on the diagonal.
template <typename T>
struct Equations {
    alignas(64) T after[kPanel][kPanel];  // after[q][i]: how often x[q] is in the later equation i
    T diagonal[kPanel];
};

template <typename T>
struct PanelKernels {
    // The upper factor r with r' r = a of the upper triangle of a (n, n), whose rows are kPanel
    // apart, in place; false where a is not positive definite.
    bool (*cholesky)(T* a, int64_t n);
    // Solves n equations whose right-hand sides are rows of b, `step` apart, in place.
    void (*solve)(const Equations<T>& equations, T* b, int64_t step, int64_t n, int64_t columns);
    // LU factors in place of `width` columns, `stride` apart: pivots[j] is the row that row j was
    // exchanged with.
    void (*lu)(T* columns, int64_t stride, int64_t rows, int64_t width, int32_t* pivots);
    // Householder's factors in place of `width` columns, `stride` apart: r above, and the
    // reflectors below, whose first element is 1; I - tau v v' is one.
    void (*qr)(T* columns, int64_t stride, int64_t rows, int64_t width, T* taus);
};

// The kernels for this processor; T is float or double.
template <typename T>
const PanelKernels<T>& panel_kernels();

}  // namespace covector
