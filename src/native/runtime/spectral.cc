#include "runtime/spectral.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "runtime/panels.h"
#include "runtime/wide.h"

namespace covector {
namespace {

constexpr int64_t kRows = 8;  // that share the loads of a vector

template <typename T>
CV_INLINE void symmetric(const T* a, int64_t step, int64_t first, int64_t last, int64_t n,
                         const T* x, T* y) {
    for (int64_t i = first; i < last; i += kRows) {
        const T* row = a + i * step;
        const int64_t beyond = i / kPanel * kPanel + kPanel;
        Vector<T> sums[kRows] = {};
        for (int64_t j = beyond - kPanel; j < beyond; j += kLanes<T>) {
            const Vector<T> v = load(x + j);
            CV_UNROLL for (int r = 0; r < kRows; ++r) sums[r] += load(row + r * step + j) * v;
        }
        for (int64_t j = beyond; j < n; j += kLanes<T>) {
            const Vector<T> v = load(x + j);
            Vector<T> even = load(y + j), odd = {};
            CV_UNROLL for (int r = 0; r < kRows; r += 2) {
                const Vector<T> p = load(row + r * step + j), q = load(row + (r + 1) * step + j);
                sums[r] += p * v;
                sums[r + 1] += q * v;
                even += p * x[i + r];
                odd += q * x[i + r + 1];
            }
            store<T>(y + j, even + odd);
        }
        CV_UNROLL for (int r = 0; r < kRows; ++r) y[i + r] += sum_of<T>(sums[r]);
    }
}

template <typename T, int kCount>
CV_INLINE void some_dots(const T* rows, int64_t step, const T* x, int64_t begin, int64_t end,
                         T* products) {
    Vector<T> sums[kCount] = {};
    int64_t i = begin;
    for (; i + kLanes<T> <= end; i += kLanes<T>) {
        const Vector<T> v = load(x + i);
        CV_UNROLL for (int k = 0; k < kCount; ++k) sums[k] += load(rows + k * step + i) * v;
    }
    CV_UNROLL for (int k = 0; k < kCount; ++k) {
        T sum = sum_of<T>(sums[k]);
        for (int64_t j = i; j < end; ++j) sum += rows[k * step + j] * x[j];
        products[k] = sum;
    }
}

template <typename T>
CV_INLINE void dots(const T* rows, int64_t step, int64_t count, const T* x, int64_t begin,
                    int64_t end, T* products) {
    int64_t k = 0;
    for (; k + kRows <= count; k += kRows) {
        some_dots<T, kRows>(rows + k * step, step, x, begin, end, products + k);
    }
    for (; k < count; ++k) some_dots<T, 1>(rows + k * step, step, x, begin, end, products + k);
}

template <typename T, int kCount>
CV_INLINE void combine_some(const T* rows, int64_t step, const T* factors, int64_t begin,
                            int64_t end, T* y) {
    int64_t i = begin;
    for (; i + kLanes<T> <= end; i += kLanes<T>) {
        Vector<T> even = load(y + i), odd = {};
        CV_UNROLL for (int k = 0; k < kCount; ++k) {
            (k % 2 == 0 ? even : odd) += load(rows + k * step + i) * factors[k];
        }
        store<T>(y + i, even + odd);
    }
    for (; i < end; ++i) {
        for (int k = 0; k < kCount; ++k) y[i] += rows[k * step + i] * factors[k];
    }
}

template <typename T>
CV_INLINE void combine(const T* rows, int64_t step, int64_t count, const T* factors, int64_t begin,
                       int64_t end, T* y) {
    int64_t k = 0;
    for (; k + kRows <= count; k += kRows) {
        combine_some<T, kRows>(rows + k * step, step, factors + k, begin, end, y);
    }
    for (; k < count; ++k) {
        combine_some<T, 1>(rows + k * step, step, factors + k, begin, end, y);
    }
}

// The pole of d less that of `from`.
template <bool kSquared, typename D, typename O>
CV_INLINE auto apart(D d, O from) {
    if constexpr (kSquared) {
        return (d - from) * (d + from);
    } else {
        return d - from;
    }
}

// f at some points, a lane each, in the parts of the poles before and behind them.
template <typename T>
struct Sums {
    Vector<T> before, behind;        // sums of z^2 / (p - x): negative, positive
    Vector<T> before_slope, behind_slope;
};

template <typename T, bool kSquared>
CV_INLINE Sums<T> sums_at(const Secular<T>& s, int64_t first, Vector<T> index, Vector<T> origin,
                          Vector<T> shift) {
    Sums<T> sums = {};
    const int64_t mixed = std::min(first + kLanes<T>, s.n);
    for (int64_t i = 0; i <= first; ++i) {
        const Vector<T> x = s.z[i] / (apart<kSquared>(s.d[i], origin) - shift);
        sums.before += x * s.z[i];
        sums.before_slope += x * x;
    }
    for (int64_t i = first + 1; i < mixed; ++i) {
        const Vector<T> x = s.z[i] / (apart<kSquared>(s.d[i], origin) - shift);
        const auto before = index >= static_cast<T>(i);
        sums.before += before ? x * s.z[i] : 0;
        sums.before_slope += before ? x * x : 0;
        sums.behind += before ? 0 : x * s.z[i];
        sums.behind_slope += before ? 0 : x * x;
    }
    for (int64_t i = mixed; i < s.n; ++i) {
        const Vector<T> x = s.z[i] / (apart<kSquared>(s.d[i], origin) - shift);
        sums.behind += x * s.z[i];
        sums.behind_slope += x * x;
    }
    return sums;
}

// The root of c x^2 - a x + b near 0, where rounding leaves a discriminant below 0, too.
template <typename T>
CV_INLINE Vector<T> near_root(Vector<T> a, Vector<T> b, Vector<T> c) {
    const Vector<T> square = a * a - 4 * b * c;
    const Vector<T> length = root<T>(square > 0 ? square : 0);
    return a <= 0 ? (a - length) / (2 * c) : 2 * b / (a + length);
}

// Li's "middle way" (LAPACK working note 89) in a bracket, a lane each root.
template <typename T, bool kSquared>
CV_INLINE void roots_of(const Secular<T>& s, int64_t begin, int64_t end) {
    constexpr T kEps = std::numeric_limits<T>::epsilon() / 2;
    constexpr int kMostSteps = 100;
    for (int64_t first = begin; first < end; first += kLanes<T>) {
        Vector<T> index;
        for (int l = 0; l < kLanes<T>; ++l) {
            index[l] = static_cast<T>(std::min<int64_t>(first + l, s.n - 1));
        }
        const Vector<T> left = load(s.d + first), right = load(s.d + first + 1);
        const Vector<T> length = apart<kSquared>(right, left);
        const auto last = index == static_cast<T>(s.n - 1);
        const Vector<T> weight = load(s.z + first), next = load(s.z + first + 1);
        const Vector<T> z2 = weight * weight, y2 = last ? 0 : next * next;
        // In which half of the interval it is.
        Vector<T> shift = length / 2;
        Sums<T> f = sums_at<T, kSquared>(s, first, index, left, shift);
        Vector<T> value = s.inverse_rho + f.before + f.behind;
        const auto near_left = (value >= 0) | last;
        const Vector<T> origin = near_left ? left : right;
        Vector<T> low = near_left ? 0 : -shift, high = near_left ? shift : 0;
        low = last & (value < 0) ? shift : low;
        high = last & (value < 0) ? length : high;
        // What the other poles are there, taken as constant.
        const Vector<T> c = value - z2 / (-shift) - y2 / shift;
        const Vector<T> a = near_left ? c * length + z2 + y2 : -c * length + z2 + y2;
        const Vector<T> b = near_left ? z2 * length : -y2 * length;
        Vector<T> guess = near_root<T>(a, b, c);
        guess = last ? shift : guess;
        shift = (guess > low) & (guess < high) ? guess : (low + high) / 2;
        auto done = index != index;
        for (int step = 0; step < kMostSteps; ++step) {
            f = sums_at<T, kSquared>(s, first, index, origin, shift);
            value = s.inverse_rho + f.before + f.behind;
            const Vector<T> slope = f.before_slope + f.behind_slope;
            const Vector<T> error = 8 * (f.behind - f.before) + s.inverse_rho + size<T>(shift) * slope;
            done |= size<T>(value) <= kEps * error;
            low = !done & (value < 0) ? shift : low;
            high = !done & (value >= 0) ? shift : high;
            const Vector<T> to_left = apart<kSquared>(left, origin) - shift;
            const Vector<T> to_right = apart<kSquared>(right, origin) - shift;
            const Vector<T> flat = value - to_left * f.before_slope - to_right * f.behind_slope;
            const Vector<T> sum = (to_left + to_right) * value - to_left * to_right * slope;
            Vector<T> by = near_root<T>(sum, to_left * to_right * value, flat);
            const Vector<T> newton = -value / slope;
            by = (by * value < 0) ? by : newton;
            Vector<T> moved = shift + by;
            moved = (moved > low) & (moved < high) ? moved : (low + high) / 2;
            done |= size<T>(moved - shift) <= kEps * size<T>(shift);
            shift = done ? shift : moved;
            bool all = true;
            for (int l = 0; l < kLanes<T>; ++l) all &= done[l] != 0;
            if (all) break;
        }
        store<T>(s.origin + first, origin);
        store<T>(s.shift + first, shift);
    }
}

template <typename T>
CV_INLINE void roots(const Secular<T>& s, int64_t begin, int64_t end) {
    s.squared ? roots_of<T, true>(s, begin, end) : roots_of<T, false>(s, begin, end);
}

// Gu and Eisenstat's (1994): with these weights the roots are exact, so vectors are orthogonal.
template <typename T, bool kSquared>
CV_INLINE void weights_of(const Secular<T>& s, int64_t begin, int64_t end, T* to) {
    for (int64_t i = begin; i < end; i += kLanes<T>) {
        const Vector<T> d = load(s.d + i);
        Vector<T> product = Vector<T>{} - 1;
        for (int64_t j = 0; j < s.n; ++j) {
            const Vector<T> above = apart<kSquared>(d, s.origin[j]) - s.shift[j];
            const Vector<T> below = apart<kSquared>(d, s.d[j]);
            product *= below == 0 ? above : above / below;
        }
        store<T>(to + i, root<T>(size<T>(product)));
    }
}

template <typename T>
CV_INLINE void weights(const Secular<T>& s, int64_t begin, int64_t end, T* to) {
    s.squared ? weights_of<T, true>(s, begin, end, to) : weights_of<T, false>(s, begin, end, to);
}

template <typename T, bool kSquared>
CV_INLINE T fractions_of(const Secular<T>& s, int64_t j, const T* scale, T* to) {
    const T origin = s.origin[j], shift = s.shift[j];
    Vector<T> squares = {};
    T rest = 0;
    int64_t i = 0;
    for (; i + kLanes<T> <= s.n; i += kLanes<T>) {
        const Vector<T> x = load(scale + i) / (apart<kSquared>(load(s.d + i), origin) - shift);
        store<T>(to + i, x);
        squares += x * x;
    }
    for (; i < s.n; ++i) {
        to[i] = scale[i] / (apart<kSquared>(s.d[i], origin) - shift);
        rest += to[i] * to[i];
    }
    return rest + sum_of<T>(squares);
}

template <typename T>
CV_INLINE T fractions(const Secular<T>& s, int64_t j, const T* scale, T* to) {
    return s.squared ? fractions_of<T, true>(s, j, scale, to)
                     : fractions_of<T, false>(s, j, scale, to);
}

// One set of instructions: the same functions, compiled for it.
#define CV_VARIANT(Name, bytes, attributes)                                                       \
    template <typename T>                                                                         \
    struct Name {                                                                                 \
        attributes static void symmetric_of(const T* a, int64_t step, int64_t first, int64_t last, \
                                            int64_t n, const T* x, T* y) {                        \
            symmetric(a, step, first, last, n, x, y);                                             \
        }                                                                                         \
        attributes static void dots_of(const T* rows, int64_t step, int64_t count, const T* x,    \
                                       int64_t begin, int64_t end, T* products) {                 \
            dots(rows, step, count, x, begin, end, products);                                     \
        }                                                                                         \
        attributes static void combine_of(const T* rows, int64_t step, int64_t count,             \
                                          const T* factors, int64_t begin, int64_t end, T* y) {   \
            combine(rows, step, count, factors, begin, end, y);                                   \
        }                                                                                         \
        attributes static void find(const Secular<T>& s, int64_t begin, int64_t end) {            \
            roots(s, begin, end);                                                                 \
        }                                                                                         \
        attributes static void weigh(const Secular<T>& s, int64_t begin, int64_t end, T* to) {    \
            weights(s, begin, end, to);                                                           \
        }                                                                                         \
        attributes static T divide(const Secular<T>& s, int64_t j, const T* scale, T* to) {       \
            return fractions(s, j, scale, to);                                                    \
        }                                                                                         \
        static constexpr SpectralKernels<T> kKernels = {symmetric_of, dots_of, combine_of,        \
                                                        find,         weigh,   divide};           \
    };

CV_VARIANTS(CV_VARIANT)

}  // namespace

template <typename T>
const SpectralKernels<T>& spectral_kernels() {
    return *best_of(&Plain<T>::kKernels, &Avx2<T>::kKernels, &Avx512<T>::kKernels);
}

template const SpectralKernels<float>& spectral_kernels<float>();
template const SpectralKernels<double>& spectral_kernels<double>();

}  // namespace covector
