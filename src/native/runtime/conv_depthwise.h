// Convolutions of each feature, or of each few, on its own, where they lie side by side: they fill vectors.
#pragma once

#include "runtime/conv.h"

namespace covector {

// Whether `convolve_depthwise` takes it: each group makes as many features as it takes, one or a few.
template <typename T>
bool is_depthwise(const Convolution& conv);

// False if memory is exhausted.
template <typename T>
bool convolve_depthwise(const Convolution& conv, const T* lhs, const T* rhs, T* out);

}  // namespace covector
