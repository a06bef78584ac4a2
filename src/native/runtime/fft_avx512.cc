// The passes of Fourier transforms with AVX-512.
#include "runtime/fft_kernels.h"

#if defined(__x86_64__)

#include <cstring>
#include <utility>

#define CV_TARGET CV_AVX512

namespace covector {
namespace {

constexpr int kBytes = 64;

#include "runtime/fft_passes.h"

}  // namespace

const FftKernels<float> kFftAvx512Float = kKernels<float>;
const FftKernels<double> kFftAvx512Double = kKernels<double>;

}  // namespace covector

#endif
