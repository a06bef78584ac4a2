// The register tiles with AVX-512: 14 rows of two vectors.
#include "runtime/gemm_kernels.h"

#if defined(__x86_64__)

#include <immintrin.h>

#include <utility>

#define CV_TARGET CV_AVX512
#define CV_ALWAYS_INLINE inline __attribute__((always_inline))
#define CV_OF_VECTOR CV_TARGET static CV_ALWAYS_INLINE

#include "runtime/gemm_avx512.h"

namespace covector {
namespace {

struct Double {
    using Sums = Double;
    using T = double;
    using V = __m512d;
    using Mask = __mmask8;
    static constexpr int kLanes = 8, kRows = 14, kWideRows = 6;
    CV_OF_VECTOR V zero() { return _mm512_setzero_pd(); }
    CV_OF_VECTOR V all(T x) { return _mm512_set1_pd(x); }
    CV_OF_VECTOR V load(const T* p) { return _mm512_loadu_pd(p); }
    CV_OF_VECTOR V load(const T* p, Mask m) { return _mm512_maskz_loadu_pd(m, p); }
    CV_OF_VECTOR void store(T* p, V v) { _mm512_storeu_pd(p, v); }
    CV_OF_VECTOR void store(T* p, V v, Mask m) { _mm512_mask_storeu_pd(p, m, v); }
    CV_OF_VECTOR V fma(V x, V y, V z) { return _mm512_fmadd_pd(x, y, z); }
    CV_OF_VECTOR V negative(V x) { return _mm512_sub_pd(zero(), x); }
    CV_OF_VECTOR Mask first(int64_t n) { return static_cast<Mask>((1u << n) - 1); }
    CV_OF_VECTOR V zip_low(V x, V y) {
        const __m512i order =
            _mm512_setr_epi64(0, 8, 1, 9, 2, 10, 3, 11);
        return _mm512_permutex2var_pd(x, order, y);
    }
    CV_OF_VECTOR V zip_high(V x, V y) {
        const __m512i order =
            _mm512_setr_epi64(4, 12, 5, 13, 6, 14, 7, 15);
        return _mm512_permutex2var_pd(x, order, y);
    }
};

#include "runtime/gemm_tile.h"

}  // namespace

constinit const Kernels<float> kAvx512Float = make_kernels<Float>();
constinit const Kernels<double> kAvx512Double = make_kernels<Double>();

}  // namespace covector

#endif
