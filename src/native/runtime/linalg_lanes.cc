// Each lane holds one matrix, its elements in vectors: element (i, j) of all of them is one vector.
// The same code is compiled for several sets of instructions, in vectors of 64 bytes, which become
// several registers where these are shorter.
#include "runtime/linalg_lanes.h"

#include <algorithm>
#include <complex>
#include <cstddef>
#include <type_traits>

#include "runtime/vectors.h"

#define CV_INLINE inline __attribute__((always_inline))

// No vector is passed to or from what is not inlined.
#pragma GCC diagnostic ignored "-Wpsabi"

namespace covector {
namespace {

constexpr size_t kVectorBytes = 64;

template <typename R>
using Vector __attribute__((vector_size(kVectorBytes))) = R;

template <typename R>
constexpr int kLanes = static_cast<int>(kVectorBytes / sizeof(R));

template <typename R>
CV_INLINE Vector<R> root(Vector<R> x) {
    Vector<R> y;
    for (int l = 0; l < kLanes<R>; ++l) {
        if constexpr (std::is_same_v<R, float>) {
            y[l] = __builtin_sqrtf(x[l]);
        } else {
            y[l] = __builtin_sqrt(x[l]);
        }
    }
    return y;
}

template <typename R>
CV_INLINE Vector<R> size(Vector<R> x) {
    return x < 0 ? -x : x;
}

// The elements of a matrix, over all lanes: a vector, or two.
template <typename R>
struct RealElement {
    using Part = R;
    using V = Vector<R>;
    V re;

    CV_INLINE void load(int lane, const R& x) { re[lane] = x; }
    CV_INLINE void store(int lane, R& x) const { x = re[lane]; }
    CV_INLINE void subtract_product(const RealElement& a, const RealElement& b) {
        re -= a.re * b.re;
    }
    CV_INLINE RealElement conjugate() const { return *this; }
    CV_INLINE RealElement over(const RealElement& b) const { return {re / b.re}; }
    CV_INLINE RealElement times_real(V x) const { return {re * x}; }
    CV_INLINE V weight() const { return size<R>(re); }  // as LAPACK compares pivots
    CV_INLINE V square() const { return re * re; }
    CV_INLINE static RealElement of_real(V x) { return {x}; }
    template <typename M>
    CV_INLINE static RealElement select(M m, const RealElement& a, const RealElement& b) {
        return {m ? a.re : b.re};
    }
};

template <typename R>
struct ComplexElement {
    using Part = R;
    using V = Vector<R>;
    V re, im;

    CV_INLINE void load(int lane, const std::complex<R>& x) {
        re[lane] = x.real();
        im[lane] = x.imag();
    }
    CV_INLINE void store(int lane, std::complex<R>& x) const { x = {re[lane], im[lane]}; }
    CV_INLINE void subtract_product(const ComplexElement& a, const ComplexElement& b) {
        re -= a.re * b.re - a.im * b.im;
        im -= a.re * b.im + a.im * b.re;
    }
    CV_INLINE ComplexElement conjugate() const { return {re, -im}; }
    // Scaled by the larger part, so that no square overflows.
    CV_INLINE ComplexElement over(const ComplexElement& b) const {
        const V x = size<R>(b.re), y = size<R>(b.im);
        const V scale = x > y ? x : y;
        const V p = b.re / scale, q = b.im / scale;
        const V below = (p * p + q * q) * scale;
        return {(re * p + im * q) / below, (im * p - re * q) / below};
    }
    CV_INLINE ComplexElement times_real(V x) const { return {re * x, im * x}; }
    CV_INLINE V weight() const { return size<R>(re) + size<R>(im); }
    CV_INLINE V square() const { return re * re + im * im; }
    CV_INLINE static ComplexElement of_real(V x) { return {x, x - x}; }
    template <typename M>
    CV_INLINE static ComplexElement select(M m, const ComplexElement& a, const ComplexElement& b) {
        return {m ? a.re : b.re, m ? a.im : b.im};
    }
};

template <typename T>
struct ElementOf {
    using Type = RealElement<T>;
};
template <typename R>
struct ElementOf<std::complex<R>> {
    using Type = ComplexElement<R>;
};
template <typename T>
using Element = typename ElementOf<T>::Type;

// `each` elements of each matrix of a group; lanes beyond the last matrix repeat it.
template <typename T, typename E>
CV_INLINE void load_group(const T* from, int64_t each, int64_t valid, E* to) {
    constexpr int lanes = kLanes<typename E::Part>;
    if (valid >= lanes) {
        for (int64_t e = 0; e < each; ++e) {
            for (int l = 0; l < lanes; ++l) to[e].load(l, from[l * each + e]);
        }
        return;
    }
    for (int64_t e = 0; e < each; ++e) {
        for (int l = 0; l < lanes; ++l) {
            to[e].load(l, from[std::min<int64_t>(l, valid - 1) * each + e]);
        }
    }
}

template <typename T, typename E>
CV_INLINE void store_group(T* to, int64_t each, int64_t valid, const E* from) {
    const auto lanes = static_cast<int>(std::min<int64_t>(valid, kLanes<typename E::Part>));
    for (int64_t e = 0; e < each; ++e) {
        for (int l = 0; l < lanes; ++l) from[e].store(l, to[l * each + e]);
    }
}

constexpr int64_t kMostElements = kMostInLanes * kMostInLanes;

template <typename T>
CV_INLINE void cholesky_in_lanes(T* a, int64_t n, int64_t count) {
    using E = Element<T>;
    using R = typename E::Part;
    using V = Vector<R>;
    constexpr int lanes = kLanes<R>;
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
    constexpr int lanes = kLanes<R>;
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
    constexpr int lanes = kLanes<R>;
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
