// A row of the result, some features at a time: a few places side by side are summed up in registers.
// Up to three of the kernel's places that follow each other are kept in registers, too, so each element is
// loaded once for all of them. Nothing is copied or filled up: what lies beyond a row's ends is left out.
#include "runtime/conv_depthwise.h"

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <type_traits>
#include <vector>

#include "runtime/conv_parts.h"
#include "runtime/wide.h"

#define CV_UNROLL_COLUMNS _Pragma("GCC unroll 32")
#if defined(__x86_64__)
#define CV_HOLD(vector) asm("" : "+v"(vector))
#else
#define CV_HOLD(vector)
#endif

namespace covector {
namespace {

template <typename T>
using Lane = std::conditional_t<sizeof(T) == 4, int32_t, int64_t>;
template <typename T>
using Numbers __attribute__((vector_size(kVectorBytes))) = Lane<T>;

constexpr int kTaps = 3;        // of the kernel's places, in registers
constexpr int64_t kNearBytes = 1 << 20;  // of an operand that is likely to be in an L2 cache
constexpr int kSeven = 7;
constexpr int kMostStride = 2;  // between the results that share what is loaded

// Places of the kernel that follow each other along the last axis, each `tap_step` elements after the one before;
// what the first one lies on, from a row's x on; and which of the features that a group takes they multiply.
template <typename T>
struct Run {
    const T* kernel;
    int64_t offset, feature, first, taps;
};

// Where a vector of features that groups make begins, what it is made of, and the element of that for each lane.
template <typename T>
struct Shuffle {
    int64_t first, from;
    Numbers<T> lanes;
};

// One row of the result, and the runs that meet an element along the other axes.
template <typename T>
struct Row {
    const SlidingAxis& axis;
    int64_t features, taken_from;     // of the result, of the operand
    const std::vector<Shuffle<T>>& shuffles;  // for groups
    int64_t tap_step;
    int64_t whole, rest;  // from one to the other, places meet the whole kernel
    int64_t ahead;        // from the last line that this row reads to one that the next reads first
    const std::vector<Run<T>>& runs;
    const T* x;
    T* out;
};

template <typename T>
struct RowKernel {
    void (*run)(const Row<T>& row);
    void (*run_groups)(const Row<T>& row);  // of several features; null where it is not worth it
};

// Loads or stores a vector, or so many of its elements.
template <bool kWhole, typename T>
CV_INLINE Vector<T> load_some(const T* from, int64_t some) {
    Vector<T> x{};
    std::memcpy(&x, from, kWhole ? sizeof x : static_cast<size_t>(some) * sizeof(T));
    return x;
}

// Features that are made at once: some vectors of them, or a part of one.
template <int kVectors, bool kWhole, bool kOne, typename T>
struct Features {
    static constexpr int kCount = kVectors;
    static constexpr bool kHeld = kOne;  // a vector is one register
    int64_t first, some;

    CV_INLINE int64_t from() const { return first; }
    // What each lane is multiplied with.
    CV_INLINE Vector<T> element(const T* at, int v, int64_t) const { return weight(at, v); }
    CV_INLINE Vector<T> weight(const T* at, int v) const { return load_some<kWhole>(at + v * kLanes<T>, some); }
    CV_INLINE void store(T* to, int v, const Vector<T>& x) const {
        std::memcpy(to + v * kLanes<T>, &x, kWhole ? sizeof x : static_cast<size_t>(some) * sizeof(T));
    }
};

// A vector of those that groups of several features take or make: each lane finds what it is made of by a shuffle.
template <bool kWhole, typename T>
struct Grouped {
    static constexpr int kCount = 1;
    static constexpr bool kHeld = true;
    const Shuffle<T>& shuffle;
    int64_t first, some, loaded;

    CV_INLINE int64_t from() const { return shuffle.from; }
    CV_INLINE Vector<T> element(const T* at, int, int64_t feature) const {
        return __builtin_shuffle(load_some<kWhole>(at, loaded), shuffle.lanes + static_cast<Lane<T>>(feature));
    }
    CV_INLINE Vector<T> weight(const T* at, int) const { return load_some<kWhole>(at, some); }
    CV_INLINE void store(T* to, int, const Vector<T>& x) const {
        std::memcpy(to, &x, kWhole ? sizeof x : static_cast<size_t>(some) * sizeof(T));
    }
};

// The columns under a run of kTaps, for kPlaces of the result that are kStride columns apart: each that is an
// element is loaded, and added wherever it is met. One pointer serves three columns: the asm line keeps the
// compiler from deriving all of them from one, for which it has too few registers. The others keep it from loading
// an element for each use, and from a register for each column.
template <int kTaps, int kStride, int kPlaces, typename F, typename T, typename Sums>
CV_INLINE void add_run(const Row<T>& r, const F& features, const Run<T>& run, uint32_t columns, const T* x,
                       int64_t pace, Sums& sums) {
    constexpr int n = F::kCount;
    Vector<T> weights[kTaps][n];
    CV_UNROLL for (int k = 0; k < kTaps; ++k) {
        const T* kernel = run.kernel + features.first + k * r.tap_step;
        CV_UNROLL for (int v = 0; v < n; ++v) weights[k][v] = features.weight(kernel, v);
    }
    CV_UNROLL_COLUMNS for (int c = 0; c < (kPlaces - 1) * kStride + kTaps; ++c) {
        asm("" : "+r"(columns));
        if (__builtin_expect((columns >> c & 1) != 0, 1)) {
            CV_UNROLL for (int v = 0; v < n; ++v) {
                Vector<T> element = features.element(x + c % 3 * pace, v, run.feature);
                if constexpr (F::kHeld) CV_HOLD(element);
                CV_UNROLL for (int k = 0; k < kTaps; ++k) {
                    const int i = (c - k) / kStride;
                    if (c < k || (c - k) % kStride != 0 || i >= kPlaces) continue;
                    sums[i][v] += element * weights[k][v];
                }
            }
        }
        if (c % 3 != 2) continue;
        x += 3 * pace;
        asm("" : "+r"(x));
    }
}

// Which of a run's columns are elements, the first ones of which place `at` meets: bits of a number.
inline uint32_t columns_of(const SlidingAxis& axis, int64_t at, int64_t first, int64_t pace) {
    constexpr int64_t kMost = 32;
    const int64_t begin = at * axis.stride + first * axis.spread - axis.low;
    const int64_t from = std::clamp<int64_t>(divide_up(-begin, pace), 0, kMost);
    const int64_t after = std::clamp<int64_t>(divide_up(axis.size - begin, pace), from, kMost);
    return static_cast<uint32_t>((uint64_t{1} << after) - (uint64_t{1} << from));
}

// Lets so many columns of so many vectors be fetched.
template <int kColumns, int kVectors, typename T>
CV_INLINE void fetch(const T* x, int64_t pace) {
    for (int c = 0; c < kColumns; ++c, x += pace) {
        CV_UNROLL for (int v = 0; v < kVectors; ++v) __builtin_prefetch(x + v * kLanes<T>);
    }
}

// kPlaces from `at` on.
template <int kPlaces, typename F, typename T>
CV_INLINE void sum_up(const Row<T>& r, const F& features, int64_t at) {
    constexpr int n = F::kCount;
    const SlidingAxis& axis = r.axis;
    const T* x = r.x + at * axis.stride * axis.lhs + features.from();
    const bool whole = r.whole <= at && at + kPlaces <= r.rest;
    if (r.ahead != 0 && !r.runs.empty()) fetch<kPlaces, n>(x + r.runs.back().offset + r.ahead, axis.lhs);
    Vector<T> sums[kPlaces][n] = {};
    for (const Run<T>& run : r.runs) {
        const int64_t pace = run.taps > 1 ? 1 : axis.stride;
        const uint32_t columns = whole ? ~uint32_t{0} : columns_of(axis, at, run.first, pace);
        const T* from = x + run.offset;
        if (run.taps == 1) {
            add_run<1, 1, kPlaces>(r, features, run, columns, from, axis.stride * axis.lhs, sums);
        } else if (axis.stride == 1) {
            add_run<kTaps, 1, kPlaces>(r, features, run, columns, from, axis.lhs, sums);
        } else {
            add_run<kTaps, 2, kPlaces>(r, features, run, columns, from, axis.lhs, sums);
        }
    }
    T* out = r.out + at * axis.out + features.first;
    CV_UNROLL for (int i = 0; i < kPlaces; ++i) {
        CV_UNROLL for (int v = 0; v < n; ++v) features.store(out + i * axis.out, v, sums[i][v]);
    }
}

// All places of a row: as many at once as there are, of a few numbers that are known; images often are multiples
// of seven wide.
template <int kMost, typename F, typename T>
CV_INLINE void run_features(const Row<T>& r, const F& features) {
    int64_t at = 0, end = r.axis.count;
    if constexpr (kMost > kSeven) {
        const bool sevens = end % kSeven == 0;
        for (; sevens && at < end; at += kSeven) sum_up<kSeven>(r, features, at);
    }
    for (; at + kMost <= end; at += kMost) sum_up<kMost>(r, features, at);
    if constexpr (kMost > 4) {
        for (; at + 4 <= end; at += 4) sum_up<4>(r, features, at);
    }
    if constexpr (kMost > 2) {
        for (; at + 2 <= end; at += 2) sum_up<2>(r, features, at);
    }
    for (; at < end; ++at) sum_up<1>(r, features, at);
}

// Takes kVectors vectors of features at once as long as there are so many; the last ones overlap.
template <int kPlaces, int kVectors, typename T>
CV_INLINE void run_vectors(const Row<T>& r, int64_t first) {
    constexpr int64_t lanes = kLanes<T>;
    for (; first + kVectors * lanes <= r.features; first += kVectors * lanes) {
        run_features<kPlaces>(r, Features<kVectors, true, (kPlaces > 4), T>{first, lanes});
    }
    if constexpr (kVectors > 1) {
        run_vectors<kPlaces, kVectors / 2>(r, first);
    } else if (first < r.features) {
        run_features<kPlaces>(r, Features<1, true, (kPlaces > 4), T>{r.features - lanes, lanes});
    }
}

template <int kPlaces, typename T>
CV_INLINE void run_row(const Row<T>& r) {
    if (r.features < kLanes<T>) {
        return run_features<kPlaces>(r, Features<1, false, (kPlaces > 4), T>{0, r.features});
    }
    run_vectors<kPlaces, (kPlaces > 4 ? 2 : 1)>(r, 0);
}

template <int kPlaces, typename T>
CV_INLINE void run_groups(const Row<T>& r) {
        constexpr int64_t lanes = kLanes<T>;
    for (const Shuffle<T>& s : r.shuffles) {
        if (std::min(r.features, r.taken_from) >= lanes) {
            run_features<kPlaces>(r, Grouped<true, T>{s, s.first, lanes, lanes});
        } else {
            const int64_t some = std::min(lanes, r.features), loaded = std::min(lanes, r.taken_from);
            run_features<kPlaces>(r, Grouped<false, T>{s, s.first, some, loaded});
        }
    }
}

// One set of instructions: the same function, compiled for it.
// Sums are kept in registers beside the kernel's places: of 64 bytes each there are 32, or what is as much as 8.
#define CV_VARIANT(Name, bytes, attributes)                                                              \
    template <typename T>                                                                                \
    struct Name {                                                                                        \
        attributes static void run(const Row<T>& row) { run_row<most_places(bytes)>(row); }                \
        attributes static void groups(const Row<T>& row) {                                               \
            if constexpr (bytes == kVectorBytes) run_groups<most_places(bytes)>(row);                      \
        }                                                                                                \
        static constexpr RowKernel<T> kKernel = {run, bytes == kVectorBytes ? groups : nullptr};         \
    };

constexpr int most_places(int bytes) { return bytes >= 64 ? 8 : bytes >= 32 ? 4 : 2; }

CV_VARIANTS(CV_VARIANT)

template <typename T>
const RowKernel<T>& row_kernel() {
    return *best_of(&Plain<T>::kKernel, &Avx2<T>::kKernel, &Avx512<T>::kKernel);
}

bool are_groups(const Convolution& conv) { return conv.taken > 1 || conv.made > 1; }

template <typename T>
class Depthwise {
public:
    Depthwise(const Convolution& conv, const T* lhs, const T* rhs, T* out)
        : conv_(conv), axes_(conv.axes), lhs_(lhs), out_(out) {
        for (const SlidingAxis& axis : conv.axes) window_ *= axis.window;
        if (lies_packed()) {
            kernel_ = rhs;
        } else {
            packed_ = make_room<T>(window_ * conv.taken * features());
            if (packed_ != nullptr) pack(rhs);
            kernel_ = packed_.get();
        }
        if (are_groups(conv)) shuffle();
        look_along(axes_[kAxes - 1]);
    }

    bool run() const {
        if (kernel_ == nullptr) return false;
        const int64_t rows = conv_.batch * axes_[0].count * axes_[1].count;
        const int64_t work = features() * conv_.taken * axes_[2].count * window_;
        return run_pieces(rows, kPieceWork / std::max<int64_t>(work, 1), [&](int64_t i, int64_t end) {
            std::vector<Run<T>> runs;
            for (; i < end; ++i) run_one(i, runs);
            return true;
        });
    }

private:
    int64_t features() const { return conv_.feature_groups * conv_.made; }
    int64_t taken_from() const { return conv_.feature_groups * conv_.taken; }

    bool lies_packed() const {
        int64_t step = features();
        bool lies = conv_.rhs_made == 1 && (conv_.taken == 1 || conv_.rhs_taken == step);
        step *= conv_.taken;
        for (int a = kAxes - 1; a >= 0; step *= axes_[a--].window) {
            lies = lies && (axes_[a].window == 1 || axes_[a].rhs == step);
        }
        return lies;
    }

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

    // What each vector of features is made of; the last one overlaps, no load goes beyond the operand.
    void shuffle() {
        constexpr int64_t lanes = kLanes<T>;
        const int64_t last = std::max<int64_t>(features() - lanes, 0);
        const int64_t last_from = std::max<int64_t>(taken_from() - lanes, 0);
        for (int64_t at = 0; at < features(); at += lanes) {
            const int64_t first = std::min(at, last);
            Shuffle<T> s{first, std::min(first / conv_.made * conv_.taken, last_from), {}};
            for (int64_t l = 0; l < lanes; ++l) {
                s.lanes[l] = static_cast<Lane<T>>((first + l) / conv_.made * conv_.taken - s.from);
            }
            shuffles_.push_back(s);
        }
    }

    // From which place on, and up to which, the kernel lies on elements.
    void look_along(const SlidingAxis& axis) {
        const int64_t beyond = axis.size + axis.low - (axis.window - 1) * axis.spread;
        whole_ = std::clamp<int64_t>(divide_up(axis.low, axis.stride), 0, axis.count);
        rest_ = std::clamp<int64_t>(divide_up(beyond, axis.stride), whole_, axis.count);
        const SlidingAxis& lines = axes_[kAxes - 2];
        const auto bytes = lines.size * lines.lhs * static_cast<int64_t>(sizeof(T));
        ahead_ = conv_.batch * axes_[0].size * bytes > kNearBytes ? lines.stride * lines.lhs : 0;
        taps_ = axis.spread == 1 && axis.stride <= kMostStride && axis.window >= kTaps ? kTaps : 1;
    }

    void run_one(int64_t index, std::vector<Run<T>>& runs) const {
        const int64_t j = index % axes_[1].count, rest = index / axes_[1].count;
        const int64_t i = rest % axes_[0].count, n = rest / axes_[0].count;
        runs.clear();
        for (int64_t x = 0; x < axes_[0].window; ++x) {
            const int64_t row = i * axes_[0].stride + x * axes_[0].spread - axes_[0].low;
            if (row < 0 || row >= axes_[0].size) continue;
            for (int64_t y = 0; y < axes_[1].window; ++y) {
                const int64_t column = j * axes_[1].stride + y * axes_[1].spread - axes_[1].low;
                if (column < 0 || column >= axes_[1].size) continue;
                add_line(x * axes_[1].window + y, row * axes_[0].lhs + column * axes_[1].lhs, runs);
            }
        }
        T* out = out_ + n * conv_.out_batch + i * axes_[0].out + j * axes_[1].out;
        const RowKernel<T>& kernel = row_kernel<T>();
        const auto run = are_groups(conv_) ? kernel.run_groups : kernel.run;
        run({axes_[2], features(), taken_from(), shuffles_, conv_.taken * features(), whole_, rest_,
             ahead_, runs, lhs_ + n * conv_.lhs_batch, out});
    }

    void add_line(int64_t line, int64_t offset, std::vector<Run<T>>& runs) const {
        const SlidingAxis& axis = axes_[2];
        for (int64_t z = 0, taps; z < axis.window; z += taps) {
            taps = z + taps_ <= axis.window ? taps_ : 1;
            const int64_t at = (line * axis.window + z) * conv_.taken;
            const int64_t element = offset + (z * axis.spread - axis.low) * axis.lhs;
            for (int64_t c = 0; c < conv_.taken; ++c) {
                runs.push_back({kernel_ + (at + c) * features(), element, c, z, taps});
            }
        }
    }

    const Convolution& conv_;
    const SlidingAxis* axes_;
    const T* lhs_;
    T* out_;
    int64_t window_ = 1, whole_ = 0, rest_ = 0, taps_ = 1, ahead_ = 0;
    Room<T> packed_;
    const T* kernel_ = nullptr;
    std::vector<Shuffle<T>> shuffles_;
};

}  // namespace

template <typename T>
bool is_depthwise(const Convolution& conv) {
    const bool apart = std::all_of(conv.axes, conv.axes + kAxes,
                                   [](const SlidingAxis& axis) { return axis.base == 1; });
    const bool in_lanes = kLanes<T> % conv.made == 0 && conv.taken <= conv.made;
    const bool grouped = row_kernel<T>().run_groups != nullptr && (conv.taken == 1 || in_lanes);
    return apart && conv.batch_groups == 1 && conv.feature_groups > 1 && conv.made > 0 &&
           conv.made <= kLanes<T> && (are_groups(conv) ? grouped : true) && conv.lhs_feature == 1 &&
           conv.out_feature == 1;
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
