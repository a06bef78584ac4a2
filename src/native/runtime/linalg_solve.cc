// Cholesky and LU factors, and solutions with triangles.
#include <cstring>
#include <numeric>

#include "runtime/blocked.h"
#include "runtime/linalg.h"
#include "runtime/linalg_lanes.h"
#include "runtime/matrices.h"

namespace covector {
namespace {

// LAPACK sees our rows as columns: the lower triangle L of a = L L* as the upper one of a*.
template <typename T>
bool factor_by_lapack(T* a, int64_t n) {
    const auto size = static_cast<int>(n);
    int info = 0;
    const Passage passage;
    g_lapack<T>.potrf("U", &size, a, &size, &info, 1);
    return info == 0;
}

template <typename T>
void cholesky(T* a, int64_t n) {
    bool definite;
    if constexpr (kIsComplex<T>) {
        definite = factor_by_lapack(a, n);
    } else {
        definite = in_blocks<T>(n) ? blocked_cholesky(a, n) : factor_by_lapack(a, n);
    }
    for (int64_t i = 0; i < n; ++i) {
        T* row = a + i * n;
        if (!definite) fill_nan(row, i + 1);
        std::fill(row + i + 1, row + n, T{0});
    }
}

template <typename T>
void lu(T* a, T* columns, int32_t* pivots, int64_t m, int64_t n) {
    if constexpr (!kIsComplex<T>) {
        if (in_blocks<T>(std::min(m, n))) {
            blocked_lu(a, m, n, pivots);
            return;
        }
    }
    const auto rows = static_cast<int>(m), width = static_cast<int>(n);
    transpose(a, m, n, columns);
    int info = 0;
    {
        const Passage passage;
        g_lapack<T>.getrf(&rows, &width, columns, &rows, pivots, &info);
    }
    transpose(columns, n, m, a);
    for (int64_t i = 0; i < std::min(m, n); ++i) --pivots[i];
}

void permute(const int32_t* pivots, int64_t k, int32_t* permutation, int64_t m) {
    std::iota(permutation, permutation + m, 0);
    for (int64_t i = 0; i < k; ++i) {
        const int32_t p = pivots[i];
        if (p >= 0 && p < m) std::swap(permutation[i], permutation[p]);
    }
}

// LAPACK sees a and b transposed: what stands on the left is on its right, below is above.
template <typename T>
void solve(const T* a, T* b, int64_t n, int64_t m, const Triangle& triangle) {
    if constexpr (!kIsComplex<T>) {
        if (in_blocks<T>(n)) return blocked_solve(a, n, b, triangle.left ? m : n, n, m, triangle);
    }
    const auto rows = static_cast<int>(triangle.left ? m : n);
    const auto columns = static_cast<int>(triangle.left ? n : m);
    const auto size = static_cast<int>(n);
    const bool conjugate_b = kIsComplex<T> && triangle.conjugated && !triangle.transposed;
    const auto flip = [&] {
        if (conjugate_b) {
            for (int64_t i = 0; i < n * m; ++i) b[i] = conjugate(b[i]);
        }
    };
    flip();
    const T one = 1;
    {
        const Passage passage;
        g_lapack<T>.trsm(triangle.left ? "R" : "L", triangle.lower ? "U" : "L",
                         !triangle.transposed  ? "N"
                         : triangle.conjugated ? "C"
                                               : "T",
                         triangle.unit ? "U" : "N", &rows, &columns, &one, a, &size, b, &rows, 1, 1,
                         1, 1);
    }
    flip();
}

}  // namespace
}  // namespace covector

using namespace covector;

extern "C" int32_t cv_cholesky(void* a, int64_t type, int64_t count, int64_t n) {
    if (n == 0) return kNoError;
    return with_type(type, [&]<typename T>() {
        T* all = static_cast<T*>(a);
        const double work = work_of(static_cast<double>(n) * n * n / 6);
        return over_matrices(count, work, [&](int64_t begin, int64_t end) {
            if (in_lanes(n, end - begin)) {
                return lane_kernels<T>().cholesky(all + begin * n * n, n, end - begin);
            }
            for (int64_t i = begin; i < end; ++i) cholesky(all + i * n * n, n);
        }, in_blocks<T>(n));
    });
}

extern "C" int32_t cv_lu(void* a, int32_t* pivots, int32_t* permutation, int64_t type, int64_t count,
                         int64_t m, int64_t n) {
    return with_type(type, [&]<typename T>() {
        T* all = static_cast<T*>(a);
        const int64_t k = std::min(m, n);
        const double work = work_of(static_cast<double>(m) * n * k / 3);
        return over_matrices(count, work, [&](int64_t begin, int64_t end) {
            const bool lanes = m == n && n > 0 && in_lanes(n, end - begin);
            if (lanes) {
                lane_kernels<T>().lu(all + begin * m * n, pivots + begin * k, n, end - begin);
            }
            const Scratch<T> columns(lanes || in_blocks<T>(k) ? 0 : m * n);
            for (int64_t i = begin; i < end; ++i) {
                if (!lanes && k > 0) {
                    lu(all + i * m * n, columns.get(), pivots + i * k, m, n);
                }
                permute(pivots + i * k, k, permutation + i * m, m);
            }
        }, in_blocks<T>(k));
    });
}

extern "C" int32_t cv_pivots_to_permutation(const int32_t* pivots, int32_t* permutation,
                                            int64_t count, int64_t k, int64_t n) {
    for (int64_t i = 0; i < count; ++i) permute(pivots + i * k, k, permutation + i * n, n);
    return kNoError;
}

extern "C" int32_t cv_triangular_solve(const void* a, void* b, int64_t type, int64_t count, int64_t n,
                                       int64_t m, int64_t left, int64_t lower, int64_t transposed,
                                       int64_t conjugated, int64_t unit) {
    if (n == 0 || m == 0) return kNoError;
    const Triangle triangle{left != 0, lower != 0, transposed != 0, conjugated != 0, unit != 0};
    return with_type(type, [&]<typename T>() {
        const T* triangles = static_cast<const T*>(a);
        T* all = static_cast<T*>(b);
        const double work = work_of(static_cast<double>(n) * n * m / 2);
        return over_matrices(count, work, [&](int64_t begin, int64_t end) {
            if (in_lanes(n, end - begin)) {
                return lane_kernels<T>().solve(triangles + begin * n * n, all + begin * n * m, n, m,
                                               triangle, end - begin);
            }
            for (int64_t i = begin; i < end; ++i) {
                solve(triangles + i * n * n, all + i * n * m, n, m, triangle);
            }
        }, in_blocks<T>(n));
    });
}
