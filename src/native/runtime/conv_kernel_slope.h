// The slopes of kernels of convolutions of each feature on its own.
#pragma once

#include "runtime/conv.h"

namespace covector {

// Whether a convolution is one: groups of the batch, each of which makes a feature, lie side by side in all arrays.
bool is_kernel_slope(const Convolution& conv);

template <typename T>
bool find_kernel_slope(const Convolution& conv, const T* lhs, const T* rhs, T* out);

}  // namespace covector
