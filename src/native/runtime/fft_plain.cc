// The passes of Fourier transforms with the vectors that every processor has.
#include "runtime/fft_kernels.h"

#include <cstring>
#include <utility>

#define CV_TARGET

namespace covector {
namespace {

constexpr int kBytes = 16;

#include "runtime/fft_passes.h"

}  // namespace

const FftKernels<float> kFftPlainFloat = kKernels<float>;
const FftKernels<double> kFftPlainDouble = kKernels<double>;

}  // namespace covector
