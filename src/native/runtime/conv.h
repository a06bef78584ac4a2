// Convolutions of real arrays for compiled code.
#pragma once

#include <cstdint>

namespace covector {

// How the kernel slides along one axis, and how far neighbours along it are apart in each array.
// A kernel's place `k` after `s` steps lies on element (s stride + k spread - low) / base, if that
// is a whole number from 0 to below `size`.
struct SlidingAxis {
    int64_t size, window, count, stride, low, base, spread;
    int64_t lhs, rhs, out;
};

constexpr int kConvolutionAxes = 3;

// A convolution of any layout; with fewer spatial axes the others have one element.
struct Convolution {
    int64_t feature_groups, batch_groups;  // one of them is 1
    int64_t batch, taken, made;            // of one group: the result's batch, features
    SlidingAxis axes[kConvolutionAxes];
    int64_t lhs_batch, lhs_feature, rhs_made, rhs_taken, out_batch, out_feature;  // strides

    int64_t groups() const { return feature_groups * batch_groups; }
};

}  // namespace covector

extern "C" {
// `numbers` is a Convolution. 0, or 1 if memory is exhausted.
int32_t cv_sconv(const float* lhs, const float* rhs, float* out, const int64_t* numbers);
int32_t cv_dconv(const double* lhs, const double* rhs, double* out, const int64_t* numbers);
}
