// The register tiles with AVX2: 6 rows of two vectors.
#include "runtime/gemm_kernels.h"

#if defined(__x86_64__)

#include <immintrin.h>

#include <utility>

#define CV_TARGET CV_AVX2
#define CV_ALWAYS_INLINE inline __attribute__((always_inline))
#define CV_OF_VECTOR CV_TARGET static CV_ALWAYS_INLINE

namespace covector {
namespace {

struct Float {
    using Sums = Float;
    using T = float;
    using V = __m256;
    using Mask = __m256i;
    static constexpr int kLanes = 8, kRows = 6, kWideRows = 2;
    CV_OF_VECTOR V zero() { return _mm256_setzero_ps(); }
    CV_OF_VECTOR V all(T x) { return _mm256_set1_ps(x); }
    CV_OF_VECTOR V load(const T* p) { return _mm256_loadu_ps(p); }
    CV_OF_VECTOR V load(const T* p, Mask m) { return _mm256_maskload_ps(p, m); }
    CV_OF_VECTOR void store(T* p, V v) { _mm256_storeu_ps(p, v); }
    CV_OF_VECTOR void store(T* p, V v, Mask m) { _mm256_maskstore_ps(p, m, v); }
    CV_OF_VECTOR V fma(V x, V y, V z) { return _mm256_fmadd_ps(x, y, z); }
    CV_OF_VECTOR V negative(V x) { return _mm256_sub_ps(zero(), x); }
    CV_OF_VECTOR Mask first(int64_t n) {
        return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(n)),
                                  _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
    }
    CV_OF_VECTOR V zip_low(V x, V y) {
        return _mm256_permute2f128_ps(_mm256_unpacklo_ps(x, y), _mm256_unpackhi_ps(x, y), 0x20);
    }
    CV_OF_VECTOR V zip_high(V x, V y) {
        return _mm256_permute2f128_ps(_mm256_unpacklo_ps(x, y), _mm256_unpackhi_ps(x, y), 0x31);
    }
};

struct Double {
    using Sums = Double;
    using T = double;
    using V = __m256d;
    using Mask = __m256i;
    static constexpr int kLanes = 4, kRows = 6, kWideRows = 2;
    CV_OF_VECTOR V zero() { return _mm256_setzero_pd(); }
    CV_OF_VECTOR V all(T x) { return _mm256_set1_pd(x); }
    CV_OF_VECTOR V load(const T* p) { return _mm256_loadu_pd(p); }
    CV_OF_VECTOR V load(const T* p, Mask m) { return _mm256_maskload_pd(p, m); }
    CV_OF_VECTOR void store(T* p, V v) { _mm256_storeu_pd(p, v); }
    CV_OF_VECTOR void store(T* p, V v, Mask m) { _mm256_maskstore_pd(p, m, v); }
    CV_OF_VECTOR V fma(V x, V y, V z) { return _mm256_fmadd_pd(x, y, z); }
    CV_OF_VECTOR V negative(V x) { return _mm256_sub_pd(zero(), x); }
    CV_OF_VECTOR Mask first(int64_t n) {
        return _mm256_cmpgt_epi64(_mm256_set1_epi64x(n), _mm256_setr_epi64x(0, 1, 2, 3));
    }
    CV_OF_VECTOR V zip_low(V x, V y) {
        return _mm256_permute2f128_pd(_mm256_unpacklo_pd(x, y), _mm256_unpackhi_pd(x, y), 0x20);
    }
    CV_OF_VECTOR V zip_high(V x, V y) {
        return _mm256_permute2f128_pd(_mm256_unpacklo_pd(x, y), _mm256_unpackhi_pd(x, y), 0x31);
    }
};

#include "runtime/gemm_tile.h"

}  // namespace

constinit const Kernels<float> kAvx2Float = make_kernels<Float>();
constinit const Kernels<double> kAvx2Double = make_kernels<Double>();

}  // namespace covector

#endif
