// Vectors of 64 bytes, and one text compiled for several sets of instructions, of which the best
// that the processor has is taken when the program runs. Where registers are shorter, a vector
// becomes several.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#define CV_INLINE inline __attribute__((always_inline))
#define CV_UNROLL _Pragma("GCC unroll 16")

// No vector is passed to or from what is not inlined.
#pragma GCC diagnostic ignored "-Wpsabi"

// A file writes what it compiles as functions that are CV_INLINE, and names them in a macro
// VARIANT(Name, attributes), which makes a template `Name` of classes with a table `kKernels` of
// functions with these attributes. CV_EACH_SET makes one for each set of instructions, and
// CV_BEST(T) is the table for this processor.
#if defined(__x86_64__)
#define CV_EACH_SET(VARIANT)                                  \
    VARIANT(Plain, )                                          \
    VARIANT(Avx2, __attribute__((target("avx2,fma"))))        \
    VARIANT(Avx512, __attribute__((target("avx512f,avx512dq,avx512vl,fma,prefer-vector-width=512"))))
#define CV_BEST(T) best_of(Plain<T>::kKernels, Avx2<T>::kKernels, Avx512<T>::kKernels)
#else
#define CV_EACH_SET(VARIANT) VARIANT(Plain, )
#define CV_BEST(T) Plain<T>::kKernels
#endif

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

#if defined(__x86_64__)
template <typename Kernels>
const Kernels& best_of(const Kernels& plain, const Kernels& avx2, const Kernels& avx512) {
    if (__builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl")) return avx512;
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") ? avx2 : plain;
}
#endif

}  // namespace covector
