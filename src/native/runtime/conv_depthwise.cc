// A row of the result, some features at a time: a few places side by side are summed up in
// registers, and the kernel is loaded once for all of them. Nothing is copied or filled up: places
// at the ends of the row meet a part of the kernel, the others all of it.
#include "runtime/conv_depthwise.h"

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <type_traits>
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

// A place of the kernel and one of the features that a group takes: where the features are that are made
// of it, and what the place lies on, from a row's x on.
template <typename T>
struct Place {
    const T* kernel;
    int64_t offset, feature;
};

// One row of the result, and the kernel's places that meet an element along the other axes.
template <typename T>
struct Row {
    const SlidingAxis& axis;
    const Reach& reach;
    int64_t features, taken;
    const std::vector<Place<T>>& places;
    const T* x;
    T* out;
};

template <typename T>
struct RowKernel {
    void (*run)(const Row<T>& row);
    void (*run_groups)(const Row<T>& row);  // of several features; null where it is not worth it
};

constexpr size_t kVectorBytes = 64;

template <typename T>
using Vector __attribute__((vector_size(kVectorBytes))) = T;
template <typename T>
constexpr int64_t kLanes = kVectorBytes / sizeof(T);
constexpr int kMostPlaces = 14;
template <typename T>
using Lane = std::conditional_t<sizeof(T) == 4, int32_t, int64_t>;
template <typename T>
using Numbers __attribute__((vector_size(kVectorBytes))) = Lane<T>;

// Features that are taken at once: some vectors of them, or a part of one if they are not whole.
// kGrouped: each group makes as many as it takes, two or more, and the lanes of a vector divide into groups.
template <int kVectors, bool kWhole, bool kGrouped, typename T>
struct Features {
    static constexpr int kCount = kVectors;
    int64_t first, some;
    Numbers<T> group{};  // the first lane of each lane's group

    CV_INLINE Numbers<T> lanes_of(const Place<T>& place) const {
        return group + static_cast<Lane<T>>(place.feature);
    }
    // What each lane is multiplied with.
    CV_INLINE Vector<T> element(const T* from, int v, const Numbers<T>& lanes) const {
        const Vector<T> x = load(from, v);
        if constexpr (kGrouped) return __builtin_shuffle(x, lanes);
        return x;
    }
    CV_INLINE Vector<T> load(const T* from, int v) const {
        Vector<T> x{};
        std::memcpy(&x, from + v * kLanes<T>, bytes());
        return x;
    }
    CV_INLINE void store(T* to, int v, const Vector<T>& x) const {
        std::memcpy(to + v * kLanes<T>, &x, bytes());
    }
    CV_INLINE size_t bytes() const {
        return kWhole ? sizeof(Vector<T>) : static_cast<size_t>(some) * sizeof(T);
    }
};

// At kCount places from `at` on, which all meet the whole kernel. One pointer serves three places: the
// asm line keeps the compiler from deriving all of them from one, for which it has too few registers.
template <int kCount, typename F, typename T>
CV_INLINE void sum_up(const Row<T>& r, const F& features, int64_t at) {
    constexpr int n = F::kCount;
    const int64_t pace = r.axis.stride * r.axis.lhs;
    const T* x = r.x + at * pace + features.first;
    Vector<T> sums[kCount][n] = {};
    for (const Place<T>& place : r.places) {
        Vector<T> weights[n];
        CV_UNROLL for (int v = 0; v < n; ++v) weights[v] = features.load(place.kernel + features.first, v);
        const auto lanes = features.lanes_of(place);
        const T* from = x + place.offset;
        CV_UNROLL for (int i = 0; i < kCount; ++i) {
            CV_UNROLL for (int v = 0; v < n; ++v) {
                sums[i][v] += features.element(from + i % 3 * pace, v, lanes) * weights[v];
            }
            if (i % 3 != 2) continue;
            from += 3 * pace;
            asm("" : "+r"(from));
        }
    }
    T* out = r.out + at * r.axis.out + features.first;
    CV_UNROLL for (int i = 0; i < kCount; ++i) {
        CV_UNROLL for (int v = 0; v < n; ++v) features.store(out + i * r.axis.out, v, sums[i][v]);
    }
}

// At places at an end of the row, which meet a part of the kernel along it.
template <typename F, typename T>
CV_INLINE void sum_up_parts(const Row<T>& r, const F& features, int64_t begin, int64_t end) {
    constexpr int n = F::kCount;
    const auto count = static_cast<int64_t>(r.places.size());
    for (int64_t at = begin; at < end; ++at) {
        const T* x = r.x + at * r.axis.stride * r.axis.lhs + features.first;
        Vector<T> sums[n] = {};
        for (int64_t line = 0; line < count; line += r.axis.window * r.taken) {
            const int64_t first = line + r.reach.first[at] * r.taken;
            for (int64_t p = first; p < line + r.reach.last[at] * r.taken; ++p) {
                const Place<T>& place = r.places[p];
                const auto lanes = features.lanes_of(place);
                CV_UNROLL for (int v = 0; v < n; ++v) {
                    sums[v] += features.element(x + place.offset, v, lanes) *
                               features.load(place.kernel + features.first, v);
                }
            }
        }
        T* out = r.out + at * r.axis.out + features.first;
        CV_UNROLL for (int v = 0; v < n; ++v) features.store(out, v, sums[v]);
    }
}

// As `sum_up`, for a number of places that is known when it runs, at most kMost.
template <int kMost, typename F, typename T>
CV_INLINE void sum_up_some(int64_t count, const Row<T>& r, const F& features, int64_t at) {
    if constexpr (kMost > 0) {
        if (count == kMost) return sum_up<kMost>(r, features, at);
        sum_up_some<kMost - 1>(count, r, features, at);
    }
}

template <int kMost, typename F, typename T>
CV_INLINE void run_features(const Row<T>& r, const F& features) {
    const Reach& reach = r.reach;
    sum_up_parts(r, features, 0, reach.whole);
    const int64_t parts = divide_up(reach.rest - reach.whole, kMost);
    for (int64_t p = 0, at = reach.whole; p < parts; ++p) {
        const int64_t count = (reach.rest - at) / (parts - p);
        sum_up_some<kMost>(count, r, features, at);
        at += count;
    }
    sum_up_parts(r, features, reach.rest, r.axis.count);
}

// Takes kVectors vectors of features at once as long as there are so many.
template <int kSums, int kVectors, bool kGrouped, typename T>
CV_INLINE void run_vectors(const Row<T>& r, int64_t first, const Numbers<T>& group) {
    constexpr int64_t lanes = kLanes<T>;
    for (; first + kVectors * lanes <= r.features; first += kVectors * lanes) {
        const Features<kVectors, true, kGrouped, T> features{first, lanes, group};
        run_features<std::min(kSums / kVectors, kMostPlaces)>(r, features);
    }
    if constexpr (kVectors > 1) {
        run_vectors<kSums, kVectors / 2, kGrouped>(r, first, group);
    } else if (first < r.features) {  // the last ones overlap
        const Features<1, true, kGrouped, T> features{r.features - lanes, lanes, group};
        run_features<std::min(kSums, kMostPlaces)>(r, features);
    }
}

// Four vectors side by side are read as they lie: line after line of the cache, which it foresees.
template <int kSums, bool kGrouped, typename T>
CV_INLINE void run_row(const Row<T>& r) {
    Numbers<T> group{};
    for (int64_t l = 0; l < kLanes<T> && kGrouped; ++l) {
        group[l] = static_cast<Lane<T>>(l / r.taken * r.taken);
    }
    if (r.features < kLanes<T>) {
        const Features<1, false, kGrouped, T> features{0, r.features, group};
        return run_features<std::min(kSums, kMostPlaces)>(r, features);
    }
    run_vectors<kSums, (kSums >= 12 ? 4 : kSums >= 4 ? 2 : 1), kGrouped>(r, 0, group);
}

// One set of instructions: the same function, compiled for it.
// Sums are kept in registers: of 64 bytes each there are 32, or what is as much as 8.
#define CV_VARIANT(Name, bytes, attributes)                                                       \
    template <typename T>                                                                         \
    struct Name {                                                                                 \
        attributes static void run(const Row<T>& row) { run_row<most_sums(bytes), false>(row); }  \
        attributes static void run_groups(const Row<T>& row) {                                    \
            if constexpr (bytes == kVectorBytes) run_row<most_sums(bytes), true>(row);            \
        }                                                                                         \
        static constexpr RowKernel<T> kKernel = {run, bytes == kVectorBytes ? run_groups : nullptr}; \
    };

constexpr int most_sums(int bytes) { return bytes >= 64 ? 24 : bytes >= 32 ? 6 : 2; }

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
        packed_ = make_room<T>(window_ * conv.taken * features());
        if (packed_ != nullptr) pack(rhs);
    }

    bool run() const {
        if (packed_ == nullptr) return false;
        const int64_t rows = conv_.batch * axes_[0].count * axes_[1].count;
        const int64_t work = features() * conv_.taken * axes_[2].count * window_;
        return run_pieces(rows, kPieceWork / std::max<int64_t>(work, 1), [&](int64_t i, int64_t end) {
            std::vector<Place<T>> places;
            for (; i < end; ++i) run_one(i, places);
            return true;
        });
    }

private:
    int64_t features() const { return conv_.feature_groups * conv_.made; }

    // The kernel, place after place, each with all features that are made of one of each group.
    void pack(const T* rhs) {
        T* to = packed_.get();
        for (int64_t x = 0; x < axes_[0].window; ++x) {
            for (int64_t y = 0; y < axes_[1].window; ++y) {
                for (int64_t z = 0; z < axes_[2].window; ++z) {
                    const T* from = rhs + x * axes_[0].rhs + y * axes_[1].rhs + z * axes_[2].rhs;
                    for (int64_t c = 0; c < conv_.taken; ++c, from += conv_.rhs_taken) {
                        for (int64_t f = 0; f < features(); ++f) *to++ = from[f * conv_.rhs_made];
                    }
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
        const RowKernel<T>& kernel = row_kernel<T>();
        const auto run = conv_.taken > 1 ? kernel.run_groups : kernel.run;
        run({axes_[2], reach_, features(), conv_.taken, places, lhs_ + n * conv_.lhs_batch, out});
    }

    void add_line(int64_t line, int64_t offset, std::vector<Place<T>>& places) const {
        for (int64_t z = 0; z < axes_[2].window; ++z) {
            const int64_t at = (line * axes_[2].window + z) * conv_.taken;
            const int64_t element = offset + (z * axes_[2].spread - axes_[2].low) * axes_[2].lhs;
            for (int64_t c = 0; c < conv_.taken; ++c) {
                places.push_back({packed_.get() + (at + c) * features(), element, c});
            }
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

template <typename T>
bool is_depthwise(const Convolution& conv) {
    const bool apart = std::all_of(conv.axes, conv.axes + kAxes,
                                   [](const SlidingAxis& axis) { return axis.base == 1; });
    const bool grouped = row_kernel<T>().run_groups != nullptr && conv.taken > 1 &&
                         kLanes<T> % conv.taken == 0;
    return apart && conv.batch_groups == 1 && conv.feature_groups > 1 && conv.taken == conv.made &&
           (conv.taken == 1 || grouped) && conv.lhs_feature == 1 && conv.out_feature == 1;
}

template bool is_depthwise<float>(const Convolution&);
template bool is_depthwise<double>(const Convolution&);

template <typename T>
bool convolve_depthwise(const Convolution& conv, const T* lhs, const T* rhs, T* out) {
    return Depthwise<T>(conv, lhs, rhs, out).run();
}

template bool convolve_depthwise(const Convolution&, const float*, const float*, float*);
template bool convolve_depthwise(const Convolution&, const double*, const double*, double*);

}  // namespace covector
