// A row of the result, some features at a time: a few places side by side are summed up in
// registers, and the kernel is loaded once for all of them. Nothing is copied or filled up: places
// at the ends of the row meet a part of the kernel, the others all of it.
#include "runtime/conv_depthwise.h"

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <vector>

#include "runtime/conv_parts.h"
#include "runtime/vectors.h"

#define CV_INLINE inline __attribute__((always_inline))
#define CV_UNROLL _Pragma("GCC unroll 16")

// No vector is passed to or from what is not inlined.
#pragma GCC diagnostic ignored "-Wpsabi"

namespace covector {
namespace {

// Which of the kernel's places along the last axis meet an element, for each place of the result.
struct Reach {
    std::vector<int64_t> first, last;
    int64_t whole = 0, rest = 0;  // from one to the other, all of them do

    explicit Reach(const SlidingAxis& axis) : rest(axis.count) {
        for (int64_t at = 0; at < axis.count; ++at) {
            const int64_t low = axis.low - at * axis.stride;
            const int64_t begin = divide_up(low, axis.spread);
            const int64_t end = divide_down(axis.size - 1 + low, axis.spread) + 1;
            first.push_back(std::clamp<int64_t>(begin, 0, axis.window));
            last.push_back(std::clamp<int64_t>(end, 0, axis.window));
        }
        while (whole < rest && first[whole] > 0) ++whole;
        while (rest > whole && last[rest - 1] < axis.window) --rest;
    }
};

// A place of the kernel: where its features are, and what it lies on, from a row's x on.
template <typename T>
struct Place {
    const T* kernel;
    int64_t offset;
};

// One row of the result, and the kernel's places that meet an element along the other axes.
template <typename T>
struct Row {
    const SlidingAxis& axis;
    const Reach& reach;
    int64_t features;
    const std::vector<Place<T>>& places;
    const T* x;
    T* out;
};

template <typename T>
struct RowKernel {
    void (*run)(const Row<T>& row);
};

constexpr size_t kVectorBytes = 64;

template <typename T>
using Vector __attribute__((vector_size(kVectorBytes))) = T;

// `some` features from `feature` on, a vector of them if kWhole, at kCount places from `at` on. One
// pointer serves three places: the asm line keeps the compiler from deriving all of them from one,
// for which it has too few registers.
template <int kCount, bool kWhole, typename T>
CV_INLINE void sum_up(const Row<T>& r, int64_t feature, int64_t some, int64_t at) {
    const size_t bytes = kWhole ? sizeof(Vector<T>) : static_cast<size_t>(some) * sizeof(T);
    const int64_t pace = r.axis.stride * r.axis.lhs;
    const T* x = r.x + at * pace + feature;
    Vector<T> sums[kCount] = {};
    for (const Place<T>& place : r.places) {
        Vector<T> weight{};
        std::memcpy(&weight, place.kernel + feature, bytes);
        const T* from = x + place.offset;
        CV_UNROLL for (int i = 0; i < kCount; ++i) {
            Vector<T> element{};
            std::memcpy(&element, from + i % 3 * pace, bytes);
            sums[i] += element * weight;
            if (i % 3 != 2) continue;
            from += 3 * pace;
            asm("" : "+r"(from));
        }
    }
    T* out = r.out + at * r.axis.out + feature;
    CV_UNROLL for (int i = 0; i < kCount; ++i) std::memcpy(out + i * r.axis.out, &sums[i], bytes);
}

// The same for one place, which meets these of the kernel's along the last axis.
template <bool kWhole, typename T>
CV_INLINE void sum_up_part(const Row<T>& r, int64_t feature, int64_t some, int64_t at, int64_t first,
                           int64_t last) {
    const size_t bytes = kWhole ? sizeof(Vector<T>) : static_cast<size_t>(some) * sizeof(T);
    const T* x = r.x + at * r.axis.stride * r.axis.lhs + feature;
    Vector<T> sum{};
    const auto count = static_cast<int64_t>(r.places.size());
    for (int64_t line = 0; line < count; line += r.axis.window) {
        for (int64_t p = line + first; p < line + last; ++p) {
            Vector<T> weight{}, element{};
            std::memcpy(&weight, r.places[p].kernel + feature, bytes);
            std::memcpy(&element, x + r.places[p].offset, bytes);
            sum += element * weight;
        }
    }
    std::memcpy(r.out + at * r.axis.out + feature, &sum, bytes);
}

// As `sum_up`, for a number of places that is known when it runs, at most kMost.
template <int kMost, bool kWhole, typename T>
CV_INLINE void sum_up_some(int64_t count, const Row<T>& r, int64_t feature, int64_t some, int64_t at) {
    if constexpr (kMost > 0) {
        if (count == kMost) return sum_up<kMost, kWhole>(r, feature, some, at);
        sum_up_some<kMost - 1, kWhole>(count, r, feature, some, at);
    }
}

template <int kMost, bool kWhole, typename T>
CV_INLINE void run_features(const Row<T>& r, int64_t feature, int64_t some) {
    const Reach& reach = r.reach;
    const int64_t parts = divide_up(reach.rest - reach.whole, kMost);
    for (int64_t p = 0, at = reach.whole; p < parts; ++p) {
        const int64_t count = (reach.rest - at) / (parts - p);
        sum_up_some<kMost, kWhole>(count, r, feature, some, at);
        at += count;
    }
    for (int64_t at = 0; at < r.axis.count; ++at) {
        if (at == reach.whole) at = reach.rest;
        if (at == r.axis.count) break;
        sum_up_part<kWhole>(r, feature, some, at, reach.first[at], reach.last[at]);
    }
}

template <int kMost, typename T>
CV_INLINE void run_row(const Row<T>& r) {
    constexpr int64_t lanes = kVectorBytes / sizeof(T);
    if (r.features < lanes) return run_features<kMost, false>(r, 0, r.features);
    for (int64_t f = 0; f < r.features; f += lanes) {
        run_features<kMost, true>(r, std::min(f, r.features - lanes), lanes);  // the last ones overlap
    }
}

// One set of instructions: the same function, compiled for it.
// Sums are kept in registers: of 64 bytes each there are 32, or what is as much as 8.
#define CV_VARIANT(Name, bytes, attributes)                                                       \
    template <typename T>                                                                         \
    struct Name {                                                                                 \
        attributes static void run(const Row<T>& row) { run_row<most_sums(bytes)>(row); }         \
        static constexpr RowKernel<T> kKernel = {run};                                            \
    };

constexpr int most_sums(int bytes) { return bytes >= 64 ? 14 : bytes >= 32 ? 6 : 2; }

CV_VARIANTS(CV_VARIANT)

template <typename T>
const RowKernel<T>& row_kernel() {
    return *best_of(&Plain<T>::kKernel, &Avx2<T>::kKernel, &Avx512<T>::kKernel);
}

template <typename T>
class Depthwise {
public:
    Depthwise(const Convolution& conv, const T* lhs, const T* rhs, T* out)
        : conv_(conv), axes_(conv.axes), reach_(conv.axes[kAxes - 1]), lhs_(lhs), out_(out) {
        for (const SlidingAxis& axis : conv.axes) window_ *= axis.window;
        packed_ = make_room<T>(window_ * conv.feature_groups);
        if (packed_ != nullptr) pack(rhs);
    }

    bool run() const {
        if (packed_ == nullptr) return false;
        const int64_t rows = conv_.batch * axes_[0].count * axes_[1].count;
        const int64_t work = conv_.feature_groups * axes_[2].count * window_;
        return run_pieces(rows, kPieceWork / std::max<int64_t>(work, 1), [&](int64_t i, int64_t end) {
            std::vector<Place<T>> places;
            for (; i < end; ++i) run_one(i, places);
            return true;
        });
    }

private:
    // The kernel, place after place, each with all features.
    void pack(const T* rhs) {
        T* to = packed_.get();
        for (int64_t x = 0; x < axes_[0].window; ++x) {
            for (int64_t y = 0; y < axes_[1].window; ++y) {
                for (int64_t z = 0; z < axes_[2].window; ++z) {
                    const T* from = rhs + x * axes_[0].rhs + y * axes_[1].rhs + z * axes_[2].rhs;
                    for (int64_t f = 0; f < conv_.feature_groups; ++f) *to++ = from[f * conv_.rhs_made];
                }
            }
        }
    }

    void run_one(int64_t index, std::vector<Place<T>>& places) const {
        const int64_t j = index % axes_[1].count, rest = index / axes_[1].count;
        const int64_t i = rest % axes_[0].count, n = rest / axes_[0].count;
        places.clear();
        for (int64_t x = 0; x < axes_[0].window; ++x) {
            const int64_t row = i * axes_[0].stride + x * axes_[0].spread - axes_[0].low;
            if (row < 0 || row >= axes_[0].size) continue;
            for (int64_t y = 0; y < axes_[1].window; ++y) {
                const int64_t column = j * axes_[1].stride + y * axes_[1].spread - axes_[1].low;
                if (column < 0 || column >= axes_[1].size) continue;
                add_line(x * axes_[1].window + y, row * axes_[0].lhs + column * axes_[1].lhs, places);
            }
        }
        T* out = out_ + n * conv_.out_batch + i * axes_[0].out + j * axes_[1].out;
        row_kernel<T>().run({axes_[2], reach_, conv_.feature_groups, places,
                             lhs_ + n * conv_.lhs_batch, out});
    }

    void add_line(int64_t line, int64_t offset, std::vector<Place<T>>& places) const {
        for (int64_t z = 0; z < axes_[2].window; ++z) {
            const int64_t at = line * axes_[2].window + z;
            places.push_back({packed_.get() + at * conv_.feature_groups,
                              offset + (z * axes_[2].spread - axes_[2].low) * axes_[2].lhs});
        }
    }

    const Convolution& conv_;
    const SlidingAxis* axes_;
    Reach reach_;
    const T* lhs_;
    T* out_;
    int64_t window_ = 1;
    Room<T> packed_;
};

}  // namespace

bool is_depthwise(const Convolution& conv) {
    const bool apart = std::all_of(conv.axes, conv.axes + kAxes,
                                   [](const SlidingAxis& axis) { return axis.base == 1; });
    return apart && conv.batch_groups == 1 && conv.feature_groups > 1 && conv.taken == 1 &&
           conv.made == 1 && conv.lhs_feature == 1 && conv.out_feature == 1;
}

template <typename T>
bool convolve_depthwise(const Convolution& conv, const T* lhs, const T* rhs, T* out) {
    return Depthwise<T>(conv, lhs, rhs, out).run();
}

template bool convolve_depthwise(const Convolution&, const float*, const float*, float*);
template bool convolve_depthwise(const Convolution&, const double*, const double*, double*);

}  // namespace covector
