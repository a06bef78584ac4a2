// The zeros around an operand and between its elements, which no way to compute a convolution multiplies
// everywhere: a place of the kernel that is infinite or NaN makes NaN wherever it lies on one of them.
#pragma once

#include <algorithm>
#include <limits>
#include <vector>

#include "runtime/conv_parts.h"

namespace covector {

// The bits of a number, and which of them are all set where it is not finite; those of uint16_t are a bfloat16's.
template <typename T>
struct Bits {
    using Type = T;
    static constexpr Type kAbove = 0x7F80;
};
template <>
struct Bits<float> {
    using Type = uint32_t;
    static constexpr Type kAbove = 0x7F800000;
};
template <>
struct Bits<double> {
    using Type = uint64_t;
    static constexpr Type kAbove = 0x7FF0000000000000;
};

// Whether all of so many numbers side by side are finite.
template <typename T>
bool all_finite(const T* x, int64_t count) {
    using Type = typename Bits<T>::Type;
    constexpr Type kAbove = Bits<T>::kAbove;
    constexpr int64_t kSome = 4096;
    for (int64_t begin = 0; begin < count; begin += kSome) {
        const int64_t end = std::min(count, begin + kSome);
        Type odd = 0;
        for (int64_t i = begin; i < end; ++i) {
            Type bits;
            std::memcpy(&bits, x + i, sizeof(T));
            odd |= static_cast<Type>((bits & kAbove) == kAbove);
        }
        if (odd != 0) return false;
    }
    return true;
}

template <typename W, typename T>
class Zeros {
public:
    Zeros(const Convolution& conv, const W* rhs, T* out)
        : conv_(conv), axes_(conv.axes), rhs_(rhs), out_(out) {
        for (int a = 0; a < kAxes; ++a) {
            window_ *= axes_[a].window;
            count_ *= axes_[a].count;
            look_along(axes_[a]);
        }
    }

    // Sets to NaN what comes of places of the kernel that are not finite and of zeros.
    void mend() const {
        const int64_t features = conv_.groups() * conv_.made;
        const int64_t weights = features * conv_.taken * window_;
        const int64_t results = conv_.batch * features * count_;
        if (!are_met_) return;
        // What is not finite shows in what it is multiplied with; both arrays lie in one piece.
        if (all_meet_elements_ && results < weights && all_finite(out_, results)) return;
        if (all_finite(rhs_, weights)) return;
        run_pieces(features, 1, [this](int64_t begin, int64_t end) {
            for (int64_t f = begin; f < end; ++f) mend_feature(f);
            return true;
        });
    }

private:
    struct Place {
        int64_t at[kAxes];
    };

    static bool is_on(const SlidingAxis& axis, int64_t step, int64_t place) {
        const int64_t at = step * axis.stride + place * axis.spread - axis.low;
        return at >= 0 && at % axis.base == 0 && at / axis.base < axis.size;
    }

    // Whether all places of the kernel lie on elements, after so many steps.
    static bool is_whole(const SlidingAxis& axis, int64_t step) {
        return axis.base == 1 && is_on(axis, step, 0) && is_on(axis, step, axis.window - 1);
    }

    void look_along(const SlidingAxis& axis) {
        are_met_ = are_met_ || !is_whole(axis, 0) || !is_whole(axis, axis.count - 1);
        all_meet_elements_ = all_meet_elements_ && axis.base == 1;
        for (int64_t k = 0; k < axis.window && all_meet_elements_; ++k) {
            const int64_t before = axis.low - k * axis.spread;
            const int64_t step = std::max<int64_t>(divide_up(before, axis.stride), 0);
            all_meet_elements_ = step < axis.count && is_on(axis, step, k);
        }
    }

    bool is_whole(const Place& step) const {
        for (int a = 0; a < kAxes; ++a) {
            if (!is_whole(axes_[a], step.at[a])) return false;
        }
        return true;
    }

    static Place place_of(int64_t index, int64_t n1, int64_t n2) {
        return {{index / n2 / n1, index / n2 % n1, index % n2}};
    }

    bool is_on(const Place& step, const Place& place) const {
        for (int a = 0; a < kAxes; ++a) {
            if (!is_on(axes_[a], step.at[a], place.at[a])) return false;
        }
        return true;
    }

    // The places of a feature's kernel where something is not finite.
    std::vector<Place> odd_places(int64_t feature) const {
        std::vector<Place> found;
        for (int64_t k = 0; k < window_; ++k) {
            const Place place = place_of(k, axes_[1].window, axes_[2].window);
            const W* from = rhs_ + feature * conv_.rhs_made;
            for (int a = 0; a < kAxes; ++a) from += place.at[a] * axes_[a].rhs;
            for (int64_t c = 0; c < conv_.taken; ++c) {
                if (all_finite(from + c * conv_.rhs_taken, 1)) continue;
                found.push_back(place);
                break;
            }
        }
        return found;
    }

    void mend_feature(int64_t feature) const {
        const std::vector<Place> odd = odd_places(feature);
        for (int64_t s = 0; s < count_ && !odd.empty(); ++s) {
            const Place step = place_of(s, axes_[1].count, axes_[2].count);
            const auto on = [&](const Place& place) { return is_on(step, place); };
            if (is_whole(step) || std::all_of(odd.begin(), odd.end(), on)) continue;
            T* to = out_ + feature * conv_.out_feature;
            for (int a = 0; a < kAxes; ++a) to += step.at[a] * axes_[a].out;
            for (int64_t n = 0; n < conv_.batch; ++n) {
                to[n * conv_.out_batch] = std::numeric_limits<T>::quiet_NaN();
            }
        }
    }

    const Convolution& conv_;
    const SlidingAxis* axes_;
    const W* rhs_;
    T* out_;
    int64_t window_ = 1, count_ = 1;
    bool are_met_ = false, all_meet_elements_ = true;
};

}  // namespace covector
