// Convolutions of bfloat16, summed in float32: by sliding over pairs of features, which the processor's instruction
// multiplies and adds up at once, where it has one; else of what the operands are in float32.
#include "runtime/conv_narrow.h"

#include <bit>

#include "runtime/conv_sliding.h"
#include "runtime/conv_zeros.h"
#include "runtime/gemm_narrow.h"
#include "runtime/status.h"

namespace covector {
namespace {

constexpr int64_t kWidened = 1 << 15;  // elements that are worth a thread

struct Operands {
    const uint16_t *lhs, *rhs;
    int64_t lhs_count, rhs_count;
};

int64_t product_of(const Convolution& conv, int64_t SlidingAxis::*length) {
    int64_t product = 1;
    for (const SlidingAxis& axis : conv.axes) product *= axis.*length;
    return product;
}

Room<float> widened(const uint16_t* x, int64_t count) {
    Room<float> made = make_room<float>(count);
    if (made == nullptr) return made;
    run_pieces(count, kWidened, [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) made.get()[i] = std::bit_cast<float>(uint32_t{x[i]} << 16);
        return true;
    });
    return made;
}

// Whether the features of the operand lie in pairs. Sums that run along the kernel's places have no pairs.
bool has_pairs(const Convolution& conv) {
    bool even = conv.lhs_feature == 1 && conv.taken % 2 == 0 && conv.lhs_batch % 2 == 0;
    for (const SlidingAxis& axis : conv.axes) even = even && (axis.size == 1 || axis.lhs % 2 == 0);
    return even && product_of(conv, &SlidingAxis::count) > 0 && product_of(conv, &SlidingAxis::window) > 0;
}

// The kernel as pairs of the features that it takes, with those that it makes last; sets the strides for it.
Room<float> paired(const uint16_t* rhs, Convolution& conv) {
    const int64_t made = conv.made * conv.groups(), pairs = conv.taken / 2;
    const SlidingAxis* axes = conv.axes;
    const int64_t places = product_of(conv, &SlidingAxis::window);
    const int64_t far[] = {axes[0].rhs, axes[1].rhs, axes[2].rhs, conv.rhs_taken, conv.rhs_made};
    Room<float> room = make_room<float>(places * pairs * made);
    if (room == nullptr) return room;
    run_pieces(places, kWidened / std::max<int64_t>(pairs * made, 1), [&](int64_t begin, int64_t end) {
        for (int64_t p = begin; p < end; ++p) {
            const int64_t z = p % axes[2].window, y = p / axes[2].window % axes[1].window;
            const int64_t x = p / axes[2].window / axes[1].window;
            const uint16_t* from = rhs + x * far[0] + y * far[1] + z * far[2];
            float* to = room.get() + p * pairs * made;
            for (int64_t q = 0; q < pairs; ++q, from += 2 * far[3], to += made) {
                for (int64_t o = 0; o < made; ++o) {
                    const uint32_t low = from[o * far[4]], high = from[o * far[4] + far[3]];
                    to[o] = std::bit_cast<float>(low | high << 16);
                }
            }
        }
        return true;
    });
    conv.rhs_made = 1;
    conv.rhs_taken = made;
    int64_t step = pairs * made;
    for (int a = kAxes - 1; a >= 0; --a) {
        conv.axes[a].rhs = step;
        step *= conv.axes[a].window;
    }
    return room;
}

bool convolve_pairs(const Convolution& conv, const Operands& x, float* out) {
    Convolution pairs = conv;
    const Room<float> kernel = paired(x.rhs, pairs);
    if (kernel == nullptr) return false;
    pairs.taken /= 2;
    pairs.lhs_batch /= 2;
    for (SlidingAxis& axis : pairs.axes) axis.lhs /= 2;
    const float* lhs = reinterpret_cast<const float*>(x.lhs);
    if (!Sliding<float>(pairs, *pair_kernels(), lhs, kernel.get(), out).run()) return false;
    Zeros<uint16_t, float>(conv, x.rhs, out).mend();
    return true;
}

bool convolve(const Convolution& conv, const Operands& x, float* out, const int64_t* numbers) {
    if (pair_kernels() != nullptr && has_pairs(conv) && are_normal(x.lhs, x.lhs_count, x.rhs, x.rhs_count)) {
        return convolve_pairs(conv, x, out);
    }
    const Room<float> lhs = widened(x.lhs, x.lhs_count), rhs = widened(x.rhs, x.rhs_count);
    return lhs != nullptr && rhs != nullptr && cv_sconv(lhs.get(), rhs.get(), out, numbers) == kNoError;
}

}  // namespace
}  // namespace covector

extern "C" int32_t cv_bconv(const uint16_t* lhs, const uint16_t* rhs, float* out, const int64_t* numbers) {
    using namespace covector;
    Convolution conv;
    std::memcpy(&conv, numbers, sizeof(conv));
    const int64_t images = conv.batch * conv.batch_groups * conv.taken * conv.feature_groups;
    const Operands operands{lhs, rhs, images * product_of(conv, &SlidingAxis::size),
                            conv.made * conv.groups() * conv.taken * product_of(conv, &SlidingAxis::window)};
    try {
        return convolve(conv, operands, out, numbers) ? kNoError : kOutOfMemory;
    } catch (const std::bad_alloc&) {
        return kOutOfMemory;
    }
}
