// Vectors of 64 bytes, in which functions are written that are compiled for several sets of
// instructions. Where registers are shorter, a vector becomes several.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "runtime/vectors.h"

#define CV_INLINE inline __attribute__((always_inline))
#define CV_UNROLL _Pragma("GCC unroll 16")

// No vector is passed to or from what is not inlined.
#pragma GCC diagnostic ignored "-Wpsabi"

namespace covector {

constexpr size_t kVectorBytes = 64;

template <typename T>
using Vector __attribute__((vector_size(kVectorBytes))) = T;
template <typename T>
constexpr int64_t kLanes = kVectorBytes / sizeof(T);

template <typename T>
CV_INLINE Vector<T> load(const T* from) {
    Vector<T> v;
    std::memcpy(&v, from, sizeof v);
    return v;
}

// A vector, or so many of its elements, before zeros.
template <bool kWhole, typename T>
CV_INLINE Vector<T> load_some(const T* from, int64_t some) {
    Vector<T> x{};
    std::memcpy(&x, from, kWhole ? sizeof x : static_cast<size_t>(some) * sizeof(T));
    return x;
}

template <typename T>
CV_INLINE void store(T* to, Vector<T> v) {
    std::memcpy(to, &v, sizeof v);
}

template <typename T>
CV_INLINE T sum_of(Vector<T> v) {
    T sum = 0;
    for (int l = 0; l < kLanes<T>; ++l) sum += v[l];
    return sum;
}

template <typename T>
CV_INLINE Vector<T> root(Vector<T> x) {
    Vector<T> y;
    for (int l = 0; l < kLanes<T>; ++l) {
        if constexpr (sizeof(T) == sizeof(float)) {
            y[l] = __builtin_sqrtf(x[l]);
        } else {
            y[l] = __builtin_sqrt(x[l]);
        }
    }
    return y;
}

template <typename T>
CV_INLINE Vector<T> size(Vector<T> x) {
    return x < 0 ? -x : x;
}

}  // namespace covector
