// Small matrices side by side in the lanes of vectors.
#pragma once

#include <cstdint>

#include "runtime/lapack.h"
#include "runtime/wide.h"

namespace covector {

constexpr int64_t kMostInLanes = 16;  // the largest side of a matrix
constexpr int64_t kLeastInLanes = 4;  // so many at least are worth the lanes, if they are larger than half of it

// So many matrices are computed at once.
template <typename T>
constexpr int64_t kMatricesInLanes = kLanes<Real<T>>;

// Which triangle of a matrix is solved with, and how.
struct Triangle {
    bool left, lower, transposed, conjugated, unit;
};

template <typename T>
struct LaneKernels {
    void (*cholesky)(T* a, int64_t n, int64_t count);
    void (*lu)(T* a, int32_t* pivots, int64_t n, int64_t count);
    void (*solve)(const T* a, T* b, int64_t n, int64_t m, Triangle triangle, int64_t count);
};

// The kernels for this processor.
template <typename T>
const LaneKernels<T>& lane_kernels();

// QR factors q (m, width) and r (width, n), and singular values from the largest on, of up to as many
// matrices (m, n) as there are lanes; the bits of the lanes where that was not possible, as numbers are
// too large or too small.
template <typename T>
using LaneQr = uint32_t (*)(const T* a, T* q, T* r, int64_t m, int64_t n, int64_t width, int64_t count);
template <typename R>
using LaneValues = uint32_t (*)(const R* a, R* s, int64_t m, int64_t n, int64_t count);

// The eigenvalues of a whole group of Hermitian matrices (n, n), of which one triangle is read, from the
// smallest on; again the bits of the lanes where they are not found. Null where lanes are not worth it.
constexpr int64_t kMostValuesInLanes = 32;
template <typename T>
using LaneEigenvalues = uint32_t (*)(const T* a, Real<T>* w, int64_t n, bool lower);

template <typename T>
LaneEigenvalues<T> lane_eigenvalues();
template <typename T>
LaneQr<T> lane_qr();
template <typename R>
LaneValues<R> lane_values();

// Whether a stack of matrices is computed in lanes: a few large ones are not.
inline bool in_lanes(int64_t n, int64_t count) {
    return n <= kMostInLanes / 2 || (n <= kMostInLanes && count >= kLeastInLanes);
}

}  // namespace covector
