// The slope of a kernel of which each place has a feature on its own: what lies under the place, times the slope of
// the result, summed over all steps. Vectors are of features; the sums of some places along the last axis are in
// registers, and a step's slope is loaded once for them. The sums of a row are kept until the next one.
#include "runtime/conv_kernel_slope.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "runtime/conv_parts.h"
#include "runtime/wide.h"

namespace covector {
namespace {

constexpr int kTaps = 3;     // places whose sums are in registers
constexpr int kVectors = 4;  // of features: as many chains of sums as a sum takes to end, and more

// One row of what slides, which is the slope of the result: `x` and `g` are where rows of the two arrays begin.
template <typename T>
struct SlopeRow {
    const SlidingAxis& axis;
    const T *x, *g;
    T* sums;       // vectors of them, of the places along the axis, one after the other
    int64_t some;     // features, where they are less than a vector
};

// The steps at which `taps` places from `first` on all lie on elements; at the others some may.
struct Steps {
    int64_t begin, end;

    Steps(const SlidingAxis& axis, int64_t first, int64_t taps) {
        const int64_t low = axis.low - first * axis.stride;
        const int64_t beyond = axis.size + axis.low - (first + taps - 1) * axis.stride;
        begin = std::clamp<int64_t>(divide_up(low, axis.spread), 0, axis.window);
        end = std::clamp<int64_t>(divide_up(beyond, axis.spread), begin, axis.window);
    }
};

template <int kCount, int kWide, bool kWhole, typename T>
CV_INLINE void add_places(const SlopeRow<T>& r, int64_t first) {
    const SlidingAxis& axis = r.axis;
    const Steps all(axis, first, kCount);
    const int64_t apart = axis.stride * axis.lhs;
    Vector<T> sums[kCount][kWide];
    CV_UNROLL for (int c = 0; c < kCount; ++c) {
        CV_UNROLL for (int v = 0; v < kWide; ++v) sums[c][v] = load(r.sums + ((first + c) * kWide + v) * kLanes<T>);
    }
    for (int64_t k = 0; k < axis.window; ++k) {
        const bool inside = all.begin <= k && k < all.end;
        const int64_t at = first * axis.stride + k * axis.spread - axis.low;
        const T *g = r.g + k * axis.rhs, *x = r.x + at * axis.lhs;
        Vector<T> slope[kWide];
        CV_UNROLL for (int v = 0; v < kWide; ++v) slope[v] = load_some<kWhole>(g + v * kLanes<T>, r.some);
        CV_UNROLL for (int c = 0; c < kCount; ++c) {
            const int64_t element = at + c * axis.stride;
            if (!inside && (element < 0 || element >= axis.size)) continue;
            CV_UNROLL for (int v = 0; v < kWide; ++v) {
                sums[c][v] += load_some<kWhole>(x + c * apart + v * kLanes<T>, r.some) * slope[v];
            }
        }
    }
    CV_UNROLL for (int c = 0; c < kCount; ++c) {
        CV_UNROLL for (int v = 0; v < kWide; ++v) {
            store<T>(r.sums + ((first + c) * kWide + v) * kLanes<T>, sums[c][v]);
        }
    }
}

template <int kWide, bool kWhole, typename T>
CV_INLINE void add_row(const SlopeRow<T>& r) {
    int64_t first = 0;
    for (; first + kTaps <= r.axis.count; first += kTaps) add_places<kTaps, kWide, kWhole>(r, first);
    for (; first < r.axis.count; ++first) add_places<1, kWide, kWhole>(r, first);
}

template <typename T>
struct SlopeKernel {
    void (*wide)(const SlopeRow<T>& row);  // of kVectors
    void (*one)(const SlopeRow<T>& row);
    void (*part)(const SlopeRow<T>& row);  // of a vector
};

// One set of instructions: the same functions, compiled for it.
#define CV_SLOPES(Name, bytes, attributes)                                                             \
    template <typename T>                                                                              \
    struct Name {                                                                                      \
        attributes static void wide(const SlopeRow<T>& row) { add_row<kVectors, true>(row); }          \
        attributes static void one(const SlopeRow<T>& row) { add_row<1, true>(row); }                  \
        attributes static void part(const SlopeRow<T>& row) { add_row<1, false>(row); }                \
        static constexpr SlopeKernel<T> kKernel = {wide, one, part};                                   \
    };
CV_VARIANTS(CV_SLOPES)
#undef CV_SLOPES

template <typename T>
const SlopeKernel<T>& slope_kernel() {
    return *best_of(&Plain<T>::kKernel, &Avx2<T>::kKernel, &Avx512<T>::kKernel);
}

template <typename T>
class KernelSlope {
public:
    KernelSlope(const Convolution& conv, const T* x, const T* g, T* out)
        : conv_(conv), axes_(conv.axes), x_(x), g_(g), out_(out) {
        constexpr int64_t lanes = kLanes<T>;
        const int64_t features = conv.batch_groups;
        int64_t at = 0;
        for (; at + kVectors * lanes <= features; at += kVectors * lanes) parts_.push_back({at, kVectors});
        for (; at + lanes <= features; at += lanes) parts_.push_back({at, 1});
        if (at < features) parts_.push_back({std::max<int64_t>(features - lanes, 0), 1});  // they overlap
    }

    bool run() const {
        int64_t work = conv_.taken * kVectors * kLanes<T>;
        for (const SlidingAxis& axis : conv_.axes) work *= axis.window * axis.count;
        const auto parts = static_cast<int64_t>(parts_.size());
        return run_pieces(parts, kPieceWork / std::max<int64_t>(work, 1), [&](int64_t i, int64_t end) {
            bool good = true;
            for (; i < end && good; ++i) good = run_part(parts_[i]);
            return good;
        });
    }

private:
    struct Part {
        int64_t first, vectors;
    };

    bool run_part(const Part& part) const {
        const int64_t places = axes_[0].count * axes_[1].count * axes_[2].count;
        const int64_t length = places * part.vectors * kLanes<T>;
        const Room<T> room = make_room<T>(length);
        if (room == nullptr) return false;
        T* const sums = std::fill_n(room.get(), length, T(0)) - length;
        const SlopeKernel<T>& kernel = slope_kernel<T>();
        const int64_t some = std::min(kLanes<T>, conv_.batch_groups);
        const auto add = part.vectors == kVectors ? kernel.wide : some == kLanes<T> ? kernel.one : kernel.part;
        for (int64_t n = 0; n < conv_.taken; ++n) {
            const T* x = x_ + part.first + n * conv_.lhs_feature;
            const T* g = g_ + part.first + n * conv_.rhs_taken;
            for (int64_t i = 0; i < axes_[0].window; ++i) {
                for (int64_t j = 0; j < axes_[1].window; ++j) {
                    const T* row = g + i * axes_[0].rhs + j * axes_[1].rhs;
                    add_rows(i, j, x, row, sums, part.vectors, some, add);
                }
            }
        }
        put(part, some, sums);
        return true;
    }

    // A row of the slope, with the rows that it meets.
    template <typename Add>
    void add_rows(int64_t i, int64_t j, const T* x, const T* g, T* sums, int64_t vectors, int64_t some,
                  const Add& add) const {
        for (int64_t a = 0; a < axes_[0].count; ++a) {
            const int64_t row = a * axes_[0].stride + i * axes_[0].spread - axes_[0].low;
            if (row < 0 || row >= axes_[0].size) continue;
            for (int64_t b = 0; b < axes_[1].count; ++b) {
                const int64_t column = b * axes_[1].stride + j * axes_[1].spread - axes_[1].low;
                if (column < 0 || column >= axes_[1].size) continue;
                const T* from = x + row * axes_[0].lhs + column * axes_[1].lhs;
                const int64_t place = (a * axes_[1].count + b) * axes_[2].count;
                add({axes_[2], from, g, sums + place * vectors * kLanes<T>, some});
            }
        }
    }

    void put(const Part& part, int64_t some, const T* sums) const {
        for (int64_t a = 0; a < axes_[0].count; ++a) {
            for (int64_t b = 0; b < axes_[1].count; ++b) {
                for (int64_t c = 0; c < axes_[2].count; ++c, sums += part.vectors * kLanes<T>) {
                    T* to = out_ + part.first + a * axes_[0].out + b * axes_[1].out + c * axes_[2].out;
                    const int64_t count = part.vectors > 1 ? part.vectors * kLanes<T> : some;
                    std::memcpy(to, sums, static_cast<size_t>(count) * sizeof(T));
                }
            }
        }
    }

    const Convolution& conv_;
    const SlidingAxis* axes_;
    const T *x_, *g_;
    T* out_;
    std::vector<Part> parts_;
};

}  // namespace

bool is_kernel_slope(const Convolution& conv) {
    const bool apart = std::all_of(conv.axes, conv.axes + kAxes,
                                   [](const SlidingAxis& axis) { return axis.base == 1; });
    return apart && conv.batch_groups > 1 && conv.batch == 1 && conv.made == 1 && conv.lhs_batch == 1 &&
           conv.rhs_made == 1 && conv.out_feature == 1;
}

template <typename T>
bool find_kernel_slope(const Convolution& conv, const T* lhs, const T* rhs, T* out) {
    return KernelSlope<T>(conv, lhs, rhs, out).run();
}

template bool find_kernel_slope(const Convolution&, const float*, const float*, float*);
template bool find_kernel_slope(const Convolution&, const double*, const double*, double*);

}  // namespace covector
