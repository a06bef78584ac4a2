// The passes of Fourier transforms with AVX2.
#include "runtime/fft_kernels.h"

#if defined(__x86_64__)

#include <cstring>
#include <utility>

#define CV_TARGET CV_AVX2

namespace covector {
namespace {

constexpr int kBytes = 32;

#include "runtime/fft_passes.h"

}  // namespace

const FftKernels<float> kFftAvx2Float = kKernels<float>;
const FftKernels<double> kFftAvx2Double = kKernels<double>;

}  // namespace covector

#endif
