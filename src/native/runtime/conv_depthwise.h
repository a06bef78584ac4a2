// Convolutions of each feature on its own, where features lie side by side: they fill vectors.
#pragma once

#include "runtime/conv.h"

namespace covector {

// Whether `convolve_depthwise` takes it.
bool is_depthwise(const Convolution& conv);

// False if memory is exhausted.
template <typename T>
bool convolve_depthwise(const Convolution& conv, const T* lhs, const T* rhs, T* out);

}  // namespace covector
