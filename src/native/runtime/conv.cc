// Convolutions as matrix products that copy no columns, in the register tiles of gemm: by sliding
// (conv_sliding.h), or by gathering (conv_gathering.h) where the kernel is longer than the result;
// of each feature on its own without products (conv_depthwise.h).
// Each element is summed up in one order, whatever the number of threads.
#include "runtime/conv.h"

#include <algorithm>

#include "runtime/conv_depthwise.h"
#include "runtime/conv_gathering.h"
#include "runtime/conv_kernel_slope.h"
#include "runtime/conv_sliding.h"
#include "runtime/conv_zeros.h"
#include "runtime/status.h"

namespace covector {
namespace {

// Without register tiles: the definition.
template <typename T>
void convolve_plainly(const Convolution& conv, const T* lhs, const T* rhs, T* out) {
    const SlidingAxis* axes = conv.axes;
    const int64_t places = axes[0].count * axes[1].count * axes[2].count;
    const int64_t window = axes[0].window * axes[1].window * axes[2].window;
    for (int64_t index = 0; index < conv.groups() * conv.batch * conv.made * places; ++index) {
        int64_t rest = index, at[kAxes];
        for (int a = kAxes - 1; a >= 0; --a) {
            at[a] = rest % axes[a].count;
            rest /= axes[a].count;
        }
        const int64_t o = rest % conv.made, n = rest / conv.made % conv.batch;
        const Group<T> group(conv, rest / conv.made / conv.batch, lhs, rhs, out);
        T sum = 0;
        for (int64_t which = 0; which < window; ++which) {
            const T* x = group.lhs + n * conv.lhs_batch;
            const T* y = group.rhs + o * conv.rhs_made;
            bool inside = true;
            for (int64_t a = kAxes - 1, left = which; a >= 0; left /= axes[a].window, --a) {
                const int64_t k = left % axes[a].window;
                const int64_t i = at[a] * axes[a].stride + k * axes[a].spread - axes[a].low;
                inside = inside && i >= 0 && i % axes[a].base == 0 && i / axes[a].base < axes[a].size;
                x += i / axes[a].base * axes[a].lhs;
                y += k * axes[a].rhs;
            }
            for (int64_t c = 0; c < conv.taken && inside; ++c) {
                sum += x[c * conv.lhs_feature] * y[c * conv.rhs_taken];
            }
        }
        T* to = group.out + n * conv.out_batch + o * conv.out_feature;
        for (int a = 0; a < kAxes; ++a) to += at[a] * axes[a].out;
        *to = sum;
    }
}

// Sums of nothing, or no sums: there is nothing that tiles could be laid out over.
bool is_empty(const Convolution& conv) {
    return conv.groups() * conv.batch * conv.taken * conv.made == 0 ||
           std::any_of(conv.axes, conv.axes + kAxes, [](const SlidingAxis& axis) {
               return axis.size == 0 || axis.window == 0 || axis.count == 0;
           });
}

// The rows of a tile are as many as there are steps along the last axis, or elements of the batch.
bool gathers(const Convolution& conv) {
    const SlidingAxis& last = conv.axes[kAxes - 1];
    int64_t window = 1, count = 1;
    for (const SlidingAxis& axis : conv.axes) {
        window *= axis.window;
        count *= axis.count;
    }
    return window > 2 * count && last.window >= 4 && conv.batch > last.count;
}

template <typename T>
int32_t convolve(const T* lhs, const T* rhs, T* out, const int64_t* numbers) {
    Convolution conv;
    static_assert(sizeof(conv) % sizeof(int64_t) == 0);
    std::memcpy(&conv, numbers, sizeof(conv));
    const Kernels<T>* kernels = tile_kernels<T>();
    const bool apart = is_depthwise<T>(conv);
    if (is_empty(conv)) {
        convolve_plainly(conv, lhs, rhs, out);
        return kNoError;
    }
    try {
        bool good = true;
        if (apart) {
            good = convolve_depthwise(conv, lhs, rhs, out);
        } else if (is_kernel_slope(conv)) {
            good = find_kernel_slope(conv, lhs, rhs, out);
        } else if (kernels == nullptr) {
            convolve_plainly(conv, lhs, rhs, out);
        } else {
            good = gathers(conv) ? Gathering<T>(conv, *kernels, lhs, rhs, out).run()
                                 : Sliding<T>(conv, *kernels, lhs, rhs, out).run();
        }
        if (good) Zeros<T, T>(conv, rhs, out).mend();
        return good ? kNoError : kOutOfMemory;
    } catch (const std::bad_alloc&) {
        return kOutOfMemory;
    }
}

}  // namespace
}  // namespace covector

extern "C" int32_t cv_sconv(const float* lhs, const float* rhs, float* out, const int64_t* numbers) {
    return covector::convolve(lhs, rhs, out, numbers);
}

extern "C" int32_t cv_dconv(const double* lhs, const double* rhs, double* out,
                            const int64_t* numbers) {
    return covector::convolve(lhs, rhs, out, numbers);
}
