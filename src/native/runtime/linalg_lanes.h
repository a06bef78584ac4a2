// Small matrices side by side in the lanes of vectors.
#pragma once

#include <cstdint>

namespace covector {

constexpr int64_t kMostInLanes = 16;  // the largest side of a matrix

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

// Whether a stack of matrices is computed in lanes: a few large ones are not.
inline bool in_lanes(int64_t n, int64_t count) {
    return n <= kMostInLanes / 2 || (n <= kMostInLanes && count >= 4);
}

}  // namespace covector
