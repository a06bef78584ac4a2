// The same code is compiled for several sets of instructions, in vectors of 64 bytes, which become
// several registers where these are shorter. Columns lie one after the other: their rows fill
// vectors, and no two of them meet in the same set of a cache.
#include "runtime/panels.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <type_traits>

#include "runtime/vectors.h"

#define CV_INLINE inline __attribute__((always_inline))
#define CV_UNROLL _Pragma("GCC unroll 16")

// No vector is passed to or from what is not inlined.
#pragma GCC diagnostic ignored "-Wpsabi"

namespace covector {
namespace {

constexpr size_t kVectorBytes = 64;

template <typename T>
using Vector __attribute__((vector_size(kVectorBytes))) = T;
template <typename T>
using Whole = std::conditional_t<sizeof(T) == 4, int32_t, int64_t>;  // numbers lanes
template <typename T>
constexpr int64_t kLanes = kVectorBytes / sizeof(T);

template <typename T>
CV_INLINE Vector<T> load(const T* from) {
    Vector<T> v;
    std::memcpy(&v, from, sizeof v);
    return v;
}

template <typename T>
CV_INLINE void store(T* to, Vector<T> v) {
    std::memcpy(to, &v, sizeof v);
}

template <typename T>
CV_INLINE T sum_of(Vector<T> v) {
    T sum = 0;
    for (int l = 0; l < kLanes<T>; ++l) sum += v[l];
    return sum;
}

template <typename T>
CV_INLINE T dot(const T* x, const T* y, int64_t n) {
    Vector<T> sums[2] = {};
    int64_t i = 0;
    for (; i + 2 * kLanes<T> <= n; i += 2 * kLanes<T>) {
        sums[0] += load(x + i) * load(y + i);
        sums[1] += load(x + i + kLanes<T>) * load(y + i + kLanes<T>);
    }
    T sum = sum_of<T>(sums[0] + sums[1]);
    for (; i < n; ++i) sum += x[i] * y[i];
    return sum;
}

// y -= a x
template <typename T>
CV_INLINE void subtract(T a, const T* __restrict x, T* __restrict y, int64_t n) {
    for (int64_t i = 0; i < n; ++i) y[i] -= a * x[i];
}

template <typename T>
CV_INLINE bool cholesky(T* a, int64_t n) {
    for (int64_t k = 0; k < n; ++k) {
        T* row = a + k * kPanel;
        if (row[k] <= 0) return false;  // NaN is not: it goes on into what it takes part in
        const T root = std::sqrt(row[k]);
        for (int64_t j = k; j < n; ++j) row[j] /= root;
        for (int64_t i = k + 1; i < n; ++i) {
            const T x = row[i];
            T* lower = a + i * kPanel;
            for (int64_t j = 0; j < kPanel; ++j) lower[j] -= x * row[j];
        }
    }
    return true;
}

template <typename T>
CV_INLINE void solve_vectors(const Equations<T>& e, Vector<T>* x) {
    CV_UNROLL for (int q = 0; q < kPanel; ++q) {
        x[q] /= e.diagonal[q];
        CV_UNROLL for (int i = q + 1; i < kPanel; ++i) x[i] -= e.after[q][i] * x[q];
    }
}

template <typename T>
CV_INLINE void solve(const Equations<T>& e, T* b, int64_t step, int64_t n, int64_t columns) {
    constexpr int64_t lanes = kLanes<T>;
    Vector<T> x[kPanel];
    int64_t j = 0;
    if (n == kPanel) {
        for (; j + lanes <= columns; j += lanes) {
            CV_UNROLL for (int i = 0; i < kPanel; ++i) x[i] = load(b + i * step + j);
            solve_vectors<T>(e, x);
            CV_UNROLL for (int i = 0; i < kPanel; ++i) store<T>(b + i * step + j, x[i]);
        }
    }
    for (; j < columns; j += lanes) {
        const auto size = static_cast<size_t>(std::min(lanes, columns - j)) * sizeof(T);
        for (int64_t i = 0; i < kPanel; ++i) {
            x[i] = Vector<T>{};
            if (i < n) std::memcpy(&x[i], b + i * step + j, size);
        }
        solve_vectors<T>(e, x);
        for (int64_t i = 0; i < n; ++i) std::memcpy(b + i * step + j, &x[i], size);
    }
}

// The first of the largest elements by size.
template <typename T>
CV_INLINE int64_t largest(const T* x, int64_t n) {
    constexpr int64_t lanes = kLanes<T>;
    Vector<T> most = Vector<T>{} - 1;
    Vector<Whole<T>> where = {}, at = {};
    for (int l = 0; l < lanes; ++l) at[l] = l;
    int64_t i = 0;
    for (; i + lanes <= n; i += lanes, at += static_cast<Whole<T>>(lanes)) {
        const Vector<T> v = load(x + i);
        const Vector<T> size = v < 0 ? -v : v;
        const auto more = size > most;
        most = more ? size : most;
        where = more ? at : where;
    }
    T best = -1;
    int64_t found = 0;
    for (int l = 0; i > 0 && l < lanes; ++l) {
        if (most[l] > best || (most[l] == best && where[l] < found)) {
            best = most[l];
            found = where[l];
        }
    }
    for (; i < n; ++i) {
        if (!(std::abs(x[i]) > best)) continue;
        best = std::abs(x[i]);
        found = i;
    }
    return found;
}

template <typename T>
CV_INLINE void lu(T* columns, int64_t stride, int64_t rows, int64_t width, int32_t* pivots) {
    for (int64_t j = 0; j < std::min(width, rows); ++j) {
        T* column = columns + j * stride;
        const int64_t pivot = j + largest(column + j, rows - j);
        pivots[j] = static_cast<int32_t>(pivot);
        for (int64_t k = 0; k < width && pivot != j; ++k) {
            std::swap(columns[k * stride + j], columns[k * stride + pivot]);
        }
        const T x = column[j];
        if (x == 0) continue;
        const int64_t below = rows - j - 1;
        for (int64_t i = j + 1; i < rows; ++i) column[i] /= x;
        for (int64_t k = j + 1; k < width; ++k) {
            T* other = columns + k * stride + j;
            subtract(other[0], column + j + 1, other + 1, below);
        }
    }
}

// The length of a vector, without overflow of its squares, and without their loss.
template <typename T>
CV_INLINE T length_of(const T* x, int64_t n) {
    const T squares = dot(x, x, n);
    constexpr T least = std::numeric_limits<T>::min() / std::numeric_limits<T>::epsilon();
    if (squares > least && squares <= std::numeric_limits<T>::max()) return std::sqrt(squares);
    T most = 0;
    for (int64_t i = 0; i < n; ++i) most = std::max(most, std::abs(x[i]));
    if (most == 0 || std::isinf(most) || std::isnan(squares)) return std::sqrt(squares);
    T sum = 0;
    for (int64_t i = 0; i < n; ++i) sum += (x[i] / most) * (x[i] / most);
    return most * std::sqrt(sum);
}

// LAPACK's reflector of x: x becomes v (with 1 first), the result is where x is moved to.
template <typename T>
CV_INLINE T reflect(T* x, int64_t n, T* tau) {
    const T first = x[0], rest = n > 1 ? length_of(x + 1, n - 1) : T(0);
    if (rest == 0) {
        *tau = 0;
        return first;
    }
    const T end = -std::copysign(std::hypot(first, rest), first);
    *tau = (end - first) / end;
    const T away = first - end;
    for (int64_t i = 1; i < n; ++i) x[i] /= away;
    return end;
}

template <typename T>
CV_INLINE void qr(T* columns, int64_t stride, int64_t rows, int64_t width, T* taus) {
    for (int64_t j = 0; j < std::min(width, rows); ++j) {
        T* v = columns + j * stride + j;
        const int64_t below = rows - j - 1;
        const T end = reflect(v, rows - j, &taus[j]);
        for (int64_t k = j + 1; k < width; ++k) {
            T* other = columns + k * stride + j;
            const T x = taus[j] * (other[0] + dot(v + 1, other + 1, below));
            other[0] -= x;
            subtract(x, v + 1, other + 1, below);
        }
        v[0] = end;
    }
}

// One set of instructions: the same functions, compiled for it.
#define CV_VARIANT(Name, bytes, attributes)                                                       \
    template <typename T>                                                                         \
    struct Name {                                                                                 \
        attributes static bool cholesky_of(T* a, int64_t n) { return cholesky(a, n); }            \
        attributes static void solve_by(const Equations<T>& equations, T* b, int64_t step,        \
                                        int64_t n, int64_t columns) {                             \
            solve(equations, b, step, n, columns);                                                \
        }                                                                                         \
        attributes static void lu_of(T* columns, int64_t stride, int64_t rows, int64_t width,     \
                                     int32_t* pivots) {                                           \
            lu(columns, stride, rows, width, pivots);                                             \
        }                                                                                         \
        attributes static void qr_of(T* columns, int64_t stride, int64_t rows, int64_t width,     \
                                     T* taus) {                                                   \
            qr(columns, stride, rows, width, taus);                                               \
        }                                                                                         \
        static constexpr PanelKernels<T> kKernels = {cholesky_of, solve_by, lu_of, qr_of};        \
    };

CV_VARIANTS(CV_VARIANT)

}  // namespace

template <typename T>
const PanelKernels<T>& panel_kernels() {
    return *best_of(&Plain<T>::kKernels, &Avx2<T>::kKernels, &Avx512<T>::kKernels);
}

template const PanelKernels<float>& panel_kernels<float>();
template const PanelKernels<double>& panel_kernels<double>();

}  // namespace covector
