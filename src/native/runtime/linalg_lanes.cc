// Each lane holds one matrix, its elements in vectors: element (i, j) of all of them is one vector.
#include "runtime/linalg_lanes.h"

#include <algorithm>
#include <complex>

#include "runtime/lane_elements.h"

namespace covector {
namespace {

template <typename T>
CV_INLINE void cholesky_in_lanes(T* a, int64_t n, int64_t count) {
    using E = Element<T>;
    using R = typename E::Part;
    using V = Vector<R>;
    constexpr int lanes = static_cast<int>(kLanes<R>);
    E s[kMostElements];
    for (int64_t at = 0; at < count; at += lanes) {
        T* group = a + at * n * n;
        load_group(group, n * n, count - at, s);
        V bad = V{};
        for (int64_t j = 0; j < n; ++j) {
            V d = s[j * n + j].re;
            for (int64_t k = 0; k < j; ++k) d -= s[j * n + k].square();
            bad = d <= 0 ? bad + 1 : bad;  // NaN spreads by itself
            d = root<R>(d);
            s[j * n + j] = E::of_real(d);
            const V scale = 1 / d;
            for (int64_t i = j + 1; i < n; ++i) {
                E x = s[i * n + j];
                for (int64_t k = 0; k < j; ++k) {
                    x.subtract_product(s[i * n + k], s[j * n + k].conjugate());
                }
                s[i * n + j] = x.times_real(scale);
                s[j * n + i] = E{};
            }
        }
        V nan = V{};
        nan = bad > 0 ? nan / nan : nan;
        for (int64_t i = 0; i < n; ++i) {
            for (int64_t j = 0; j <= i; ++j) {
                E& x = s[i * n + j];
                x = E::select(bad > 0, E::of_real(nan), x);
            }
        }
        store_group(group, n * n, count - at, s);
    }
}

template <typename T>
CV_INLINE void lu_in_lanes(T* a, int32_t* pivots, int64_t n, int64_t count) {
    using E = Element<T>;
    using R = typename E::Part;
    using V = Vector<R>;
    constexpr int lanes = static_cast<int>(kLanes<R>);
    E s[kMostElements];
    for (int64_t at = 0; at < count; at += lanes) {
        T* group = a + at * n * n;
        load_group(group, n * n, count - at, s);
        const auto valid = static_cast<int>(std::min<int64_t>(count - at, lanes));
        for (int64_t k = 0; k < n; ++k) {
            V best = s[k * n + k].weight();
            V where = V{} + static_cast<R>(k);
            for (int64_t i = k + 1; i < n; ++i) {
                const V weight = s[i * n + k].weight();
                where = weight > best ? V{} + static_cast<R>(i) : where;
                best = weight > best ? weight : best;
            }
            for (int l = 0; l < valid; ++l) {
                pivots[(at + l) * n + k] = static_cast<int32_t>(where[l]);
            }
            E pivot[kMostInLanes];
            for (int64_t j = 0; j < n; ++j) pivot[j] = s[k * n + j];
            for (int64_t i = k + 1; i < n; ++i) {
                const auto here = where == static_cast<R>(i);
                for (int64_t j = 0; j < n; ++j) {
                    E& x = s[i * n + j];
                    const E other = x;
                    x = E::select(here, s[k * n + j], x);
                    pivot[j] = E::select(here, other, pivot[j]);
                }
            }
            for (int64_t j = 0; j < n; ++j) s[k * n + j] = pivot[j];
            // A column of zeros stays as it is.
            const V one = V{} + 1;
            const E divisor = E::select(best == 0, E::of_real(one), pivot[k]);
            for (int64_t i = k + 1; i < n; ++i) {
                const E x = s[i * n + k].over(divisor);
                s[i * n + k] = x;
                for (int64_t j = k + 1; j < n; ++j) s[i * n + j].subtract_product(x, pivot[j]);
            }
        }
        store_group(group, n * n, count - at, s);
    }
}

// Substitution for each column of b (or row, where the triangle stands on the right). Element (i, k)
// of op(a) stands at i * row + k * column.
template <typename T>
CV_INLINE void solve_in_lanes(const T* a, T* b, int64_t n, int64_t m, Triangle triangle,
                              int64_t count) {
    using E = Element<T>;
    using R = typename E::Part;
    using V = Vector<R>;
    constexpr int lanes = static_cast<int>(kLanes<R>);
    E s[kMostElements], x[kMostInLanes];
    const bool across = triangle.transposed == triangle.left;
    const int64_t row = across ? 1 : n, column = across ? n : 1;
    const bool forwards = triangle.lower != across;
    const int64_t step = triangle.left ? m : 1, next = triangle.left ? 1 : n;
    for (int64_t at = 0; at < count; at += lanes) {
        load_group(a + at * n * n, n * n, count - at, s);
        T* group = b + at * n * m;
        const auto valid = static_cast<int>(std::min<int64_t>(count - at, lanes));
        if (triangle.conjugated) {
            for (int64_t e = 0; e < n * n; ++e) s[e] = s[e].conjugate();
        }
        if (!triangle.unit) {
            for (int64_t i = 0; i < n; ++i) {
                s[i * n + i] = E::of_real(V{} + 1).over(s[i * n + i]);
            }
        }
        for (int64_t c = 0; c < m; ++c) {
            for (int64_t i = 0; i < n; ++i) {
                for (int l = 0; l < lanes; ++l) {
                    x[i].load(l, group[std::min(l, valid - 1) * n * m + i * step + c * next]);
                }
            }
            for (int64_t q = 0; q < n; ++q) {
                const int64_t i = forwards ? q : n - 1 - q;
                E y = x[i];
                const int64_t first = forwards ? 0 : i + 1, last = forwards ? i : n;
                for (int64_t k = first; k < last; ++k) {
                    y.subtract_product(s[i * row + k * column], x[k]);
                }
                if (!triangle.unit) {
                    E z{};
                    const E minus = {y};
                    z.subtract_product(minus, s[i * n + i]);
                    y = z.times_real(V{} - 1);
                }
                x[i] = y;
            }
            for (int64_t i = 0; i < n; ++i) {
                for (int l = 0; l < valid; ++l) {
                    x[i].store(l, group[l * n * m + i * step + c * next]);
                }
            }
        }
    }
}

// One set of instructions: the same functions, compiled for it.
#define CV_VARIANT(Name, bytes, attributes)                                                       \
    template <typename T>                                                                         \
    struct Name {                                                                                 \
        attributes static void cholesky(T* a, int64_t n, int64_t count) {                         \
            cholesky_in_lanes(a, n, count);                                                       \
        }                                                                                         \
        attributes static void lu(T* a, int32_t* pivots, int64_t n, int64_t count) {              \
            lu_in_lanes(a, pivots, n, count);                                                     \
        }                                                                                         \
        attributes static void solve(const T* a, T* b, int64_t n, int64_t m, Triangle triangle,   \
                                     int64_t count) {                                             \
            solve_in_lanes(a, b, n, m, triangle, count);                                          \
        }                                                                                         \
        static constexpr LaneKernels<T> kKernels = {cholesky, lu, solve};                         \
    };

CV_VARIANTS(CV_VARIANT)

}  // namespace

template <typename T>
const LaneKernels<T>& lane_kernels() {
    return *best_of(&Plain<T>::kKernels, &Avx2<T>::kKernels, &Avx512<T>::kKernels);
}

template const LaneKernels<float>& lane_kernels<float>();
template const LaneKernels<double>& lane_kernels<double>();
template const LaneKernels<std::complex<float>>& lane_kernels<std::complex<float>>();
template const LaneKernels<std::complex<double>>& lane_kernels<std::complex<double>>();

}  // namespace covector
