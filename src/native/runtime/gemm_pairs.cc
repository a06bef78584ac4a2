// The register tiles for pairs of bfloat16, in the place of a float32 each: one instruction multiplies
// both by both of another pair, and adds up in float32.
#include "runtime/gemm_kernels.h"

#if defined(__x86_64__)

#include <immintrin.h>

#include <utility>

#define CV_TARGET \
    __attribute__((target("avx512f,avx512dq,avx512vl,avx512bw,avx512bf16,fma,prefer-vector-width=512")))
#define CV_ALWAYS_INLINE inline __attribute__((always_inline))
#define CV_OF_VECTOR CV_TARGET static CV_ALWAYS_INLINE

#include "runtime/gemm_avx512.h"

namespace covector {
namespace {

struct Pairs : Float {
    using Sums = Float;
    CV_OF_VECTOR V fma(V x, V y, V z) {
        return _mm512_dpbf16_ps(z, reinterpret_cast<__m512bh>(x), reinterpret_cast<__m512bh>(y));
    }
};

#include "runtime/gemm_tile.h"

}  // namespace

constinit const Kernels<float> kPairs = make_kernels<Pairs>();

const Kernels<float>* pair_kernels() {
    static const bool has = __builtin_cpu_supports("avx512bf16") && __builtin_cpu_supports("avx512bw");
    return has && vector_bytes() >= 64 ? &kPairs : nullptr;
}

}  // namespace covector

#else

namespace covector {
const Kernels<float>* pair_kernels() { return nullptr; }
}  // namespace covector

#endif
