// Convolutions of bfloat16 arrays, summed in float32, for compiled code.
#pragma once

#include <cstdint>

extern "C" {
// `numbers` is a Convolution. 0, or 1 if memory is exhausted.
int32_t cv_bconv(const uint16_t* lhs, const uint16_t* rhs, float* out, const int64_t* numbers);
}
