// Vectors of float32 with AVX-512, for the files that define CV_OF_VECTOR.
#pragma once

#include <immintrin.h>

#include <cstdint>

namespace covector {
namespace {

struct Float {
    using Sums = Float;
    using T = float;
    using V = __m512;
    using Mask = __mmask16;
    static constexpr int kLanes = 16, kRows = 14, kWideRows = 6;
    CV_OF_VECTOR V zero() { return _mm512_setzero_ps(); }
    CV_OF_VECTOR V all(T x) { return _mm512_set1_ps(x); }
    CV_OF_VECTOR V load(const T* p) { return _mm512_loadu_ps(p); }
    CV_OF_VECTOR V load(const T* p, Mask m) { return _mm512_maskz_loadu_ps(m, p); }
    CV_OF_VECTOR void store(T* p, V v) { _mm512_storeu_ps(p, v); }
    CV_OF_VECTOR void store(T* p, V v, Mask m) { _mm512_mask_storeu_ps(p, m, v); }
    CV_OF_VECTOR V fma(V x, V y, V z) { return _mm512_fmadd_ps(x, y, z); }
    CV_OF_VECTOR V negative(V x) { return _mm512_sub_ps(zero(), x); }
    CV_OF_VECTOR Mask first(int64_t n) { return static_cast<Mask>((1u << n) - 1); }
    CV_OF_VECTOR V zip_low(V x, V y) {
        const __m512i order =
            _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
        return _mm512_permutex2var_ps(x, order, y);
    }
    CV_OF_VECTOR V zip_high(V x, V y) {
        const __m512i order =
            _mm512_setr_epi32(8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
        return _mm512_permutex2var_ps(x, order, y);
    }
};

}  // namespace
}  // namespace covector
