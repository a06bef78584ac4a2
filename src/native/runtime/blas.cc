// Matrix products: register tiles of our own where they are quicker, else a partition over the pool
// of single-threaded OpenBLAS calls.
#include "runtime/blas.h"

#include <algorithm>
#include <complex>
#include <cstring>

#include "runtime/common.h"
#include "runtime/gate.h"
#include "runtime/gemm.h"
#include "runtime/gemm_thin.h"
#include "runtime/lapack.h"
#include "runtime/pool.h"

namespace covector {
namespace {

enum CblasConstant : int { kRowMajor = 101, kNoTrans = 111, kTrans = 112 };

constexpr int64_t kMostInt = int64_t{1} << 30;   // a size given to 32-bit BLAS at once
constexpr int64_t kPieceWork = int64_t{1} << 19;  // multiply-adds, 5 us or more, worth a thread
constexpr int64_t kVectorPieceWork = 1 << 16;       // the same, where memory is the limit
constexpr int64_t kTile = 16;                   // of rows or columns: OpenBLAS's register tile

using RealGemm32 = void (*)(int, int, int, int, int, int, float, const float*, int, const float*,
                            int, float, float*, int);
using RealGemm64 = void (*)(int, int, int, int, int, int, double, const double*, int,
                            const double*, int, double, double*, int);
using ComplexGemm = void (*)(int, int, int, int, int, int, const void*, const void*, int,
                             const void*, int, const void*, void*, int);

using RealGemv32 = void (*)(int, int, int, int, float, const float*, int, const float*, int, float,
                            float*, int);
using RealGemv64 = void (*)(int, int, int, int, double, const double*, int, const double*, int,
                            double, double*, int);
using ComplexGemv = void (*)(int, int, int, int, const void*, const void*, int, const void*, int,
                             const void*, void*, int);

RealGemm32 g_sgemm = nullptr;
RealGemm64 g_dgemm = nullptr;
ComplexGemm g_cgemm = nullptr;
ComplexGemm g_zgemm = nullptr;
RealGemv32 g_sgemv = nullptr;
RealGemv64 g_dgemv = nullptr;
ComplexGemv g_cgemv = nullptr;
ComplexGemv g_zgemv = nullptr;

struct Routine {
    const char* name;
    void** slot;
};

// Without the gemv routines, gemm does their work, at about a quarter of the speed.
const Routine kRoutines[] = {
    {"cblas_sgemm", reinterpret_cast<void**>(&g_sgemm)},
    {"cblas_dgemm", reinterpret_cast<void**>(&g_dgemm)},
    {"cblas_cgemm", reinterpret_cast<void**>(&g_cgemm)},
    {"cblas_zgemm", reinterpret_cast<void**>(&g_zgemm)},
    {"cblas_sgemv", reinterpret_cast<void**>(&g_sgemv)},
    {"cblas_dgemv", reinterpret_cast<void**>(&g_dgemv)},
    {"cblas_cgemv", reinterpret_cast<void**>(&g_cgemv)},
    {"cblas_zgemv", reinterpret_cast<void**>(&g_zgemv)},
};

// y = op(matrix) x + beta y for a matrix as it is stored.
template <typename T>
struct VectorProduct {
    bool transposed;
    int64_t rows, columns;
    const T* matrix;
    int64_t ld;
    const T* x;
    int64_t x_step;
    T* y;
    int64_t y_step;
};

// A product whose result is one row or one column.
template <typename T>
VectorProduct<T> vector_product(const Product<T>& p) {
    if (p.m == 1) {
        return {!p.tb, p.tb ? p.n : p.k, p.tb ? p.k : p.n, p.b, p.ldb, p.a, p.ta ? p.lda : 1, p.c,
                1};
    }
    return {p.ta, p.ta ? p.k : p.m, p.ta ? p.m : p.k, p.a, p.lda, p.b, p.tb ? 1 : p.ldb, p.c,
            p.ldc};
}

template <typename T>
bool call_gemv(const Product<T>& p) {
    const VectorProduct<T> v = vector_product(p);
    const int trans = v.transposed ? kTrans : kNoTrans;
    const auto rows = static_cast<int>(v.rows), columns = static_cast<int>(v.columns);
    const auto ld = static_cast<int>(v.ld);
    const auto x_step = static_cast<int>(v.x_step), y_step = static_cast<int>(v.y_step);
    const T scale = p.minus ? -1 : 1;
    if constexpr (std::is_same_v<T, float>) {
        if (g_sgemv == nullptr) return false;
        g_sgemv(kRowMajor, trans, rows, columns, scale, v.matrix, ld, v.x, x_step, p.beta, v.y, y_step);
    } else if constexpr (std::is_same_v<T, double>) {
        if (g_dgemv == nullptr) return false;
        g_dgemv(kRowMajor, trans, rows, columns, scale, v.matrix, ld, v.x, x_step, p.beta, v.y, y_step);
    } else {
        const ComplexGemv gemv = sizeof(T) == 8 ? g_cgemv : g_zgemv;
        if (gemv == nullptr) return false;
        gemv(kRowMajor, trans, rows, columns, &scale, v.matrix, ld, v.x, x_step, &p.beta, v.y,
             y_step);
    }
    return true;
}

template <typename T>
bool has_blas() {
    return std::is_same_v<T, float> ? g_sgemm != nullptr : g_dgemm != nullptr;
}

template <typename T>
bool call_blas(const Product<T>& p) {
    const Passage passage;
    if ((p.m == 1 || p.n == 1) && call_gemv(p)) return true;
    const int ta = p.ta ? kTrans : kNoTrans;
    const int tb = p.tb ? kTrans : kNoTrans;
    const auto m = static_cast<int>(p.m), n = static_cast<int>(p.n), k = static_cast<int>(p.k);
    const auto lda = static_cast<int>(p.lda), ldb = static_cast<int>(p.ldb);
    const auto ldc = static_cast<int>(p.ldc);
    const T scale = p.minus ? -1 : 1;
    if constexpr (std::is_same_v<T, float>) {
        if (g_sgemm == nullptr) return false;
        g_sgemm(kRowMajor, ta, tb, m, n, k, scale, p.a, lda, p.b, ldb, p.beta, p.c, ldc);
    } else if constexpr (std::is_same_v<T, double>) {
        if (g_dgemm == nullptr) return false;
        g_dgemm(kRowMajor, ta, tb, m, n, k, scale, p.a, lda, p.b, ldb, p.beta, p.c, ldc);
    } else {
        const ComplexGemm gemm = sizeof(T) == 8 ? g_cgemm : g_zgemm;
        if (gemm == nullptr) return false;
        gemm(kRowMajor, ta, tb, m, n, k, &scale, p.a, lda, p.b, ldb, &p.beta, p.c, ldc);
    }
    return true;
}

template <typename T>
Product<T> part(Product<T> p, int64_t row, int64_t rows, int64_t column, int64_t columns) {
    p.a = p.a_at(row, 0);
    p.b = p.b_at(0, column);
    p.c += row * p.ldc + column;
    p.m = rows;
    p.n = columns;
    return p;
}

// One thread's share, cut further where 32 bits would not do.
template <typename T>
void multiply(const Product<T>& p) {
    const bool too_far = p.lda > INT32_MAX || p.ldb > INT32_MAX || p.ldc > INT32_MAX;
    if (too_far || p.k <= 0) return multiply_plainly(p);
    if (p.k > kMostInt) {
        Product<T> first = p;
        first.k = kMostInt;
        multiply(first);
        Product<T> rest = p;
        rest.a = p.a_at(0, kMostInt);
        rest.b = p.b_at(kMostInt, 0);
        rest.k = p.k - kMostInt;
        rest.beta = 1;
        return multiply(rest);
    }
    for (int64_t i = 0; i < p.m; i += kMostInt) {
        for (int64_t j = 0; j < p.n; j += kMostInt) {
            const Product<T> piece =
                part(p, i, std::min(kMostInt, p.m - i), j, std::min(kMostInt, p.n - j));
            if (!call_blas(piece)) multiply_plainly(piece);
        }
    }
}

template <typename T>
Product<T> product(int32_t ta, int32_t tb, int64_t m, int64_t n, int64_t k, const void* a,
                   int64_t lda, const void* b, int64_t ldb, T beta, void* c, int64_t ldc) {
    // BLAS refuses leading dimensions of 0, which empty matrices may have.
    return {ta != 0, tb != 0, m, n, k, static_cast<const T*>(a), std::max<int64_t>(lda, 1),
            static_cast<const T*>(b), std::max<int64_t>(ldb, 1), beta, static_cast<T*>(c),
            std::max<int64_t>(ldc, 1)};
}

}  // namespace

// Splits the longer side of the result in units of the tile.
template <typename T>
void multiply_parallel(const Product<T>& p) {
    if (p.m <= 0 || p.n <= 0) return;
    if constexpr (std::is_floating_point_v<T>) {
        if (multiply_thin(p)) return;
        if ((tiles_win(p) || !has_blas<T>()) && multiply_tiles(p)) return;
    }
    const bool by_rows = p.m >= p.n;
    const int64_t length = by_rows ? p.m : p.n;
    const int64_t units = (length + kTile - 1) / kTile;
    const double unit_work = static_cast<double>(kTile) * static_cast<double>(by_rows ? p.n : p.m) *
                             static_cast<double>(std::max<int64_t>(p.k, 1));
    const int64_t piece_work = p.m == 1 || p.n == 1 ? kVectorPieceWork : kPieceWork;
    const auto grain = static_cast<int64_t>(static_cast<double>(piece_work) / unit_work) + 1;
    cv_parallel_for(
        [](void* context, int64_t begin, int64_t end) {
            const auto& whole = *static_cast<const Product<T>*>(context);
            if (whole.m >= whole.n) {
                const int64_t row = begin * kTile;
                multiply(part(whole, row, std::min(end * kTile, whole.m) - row, 0, whole.n));
            } else {
                const int64_t column = begin * kTile;
                multiply(part(whole, 0, whole.m, column, std::min(end * kTile, whole.n) - column));
            }
        },
        const_cast<Product<T>*>(&p), units, grain);
}

template void multiply_parallel(const Product<float>&);
template void multiply_parallel(const Product<double>&);

bool set_blas_routine(const char* name, uintptr_t address) {
    for (const Routine& routine : kRoutines) {
        if (std::strcmp(name, routine.name) != 0) continue;
        *routine.slot = reinterpret_cast<void*>(address);
        return true;
    }
    if (std::strcmp(name, "openblas_set_num_threads") != 0) return set_lapack_routine(name, address);
    // The parallelism is ours: one pool, no two libraries' threads on the same cores. Only a large
    // factorization is given more (`ManyThreads`).
    const auto setter = reinterpret_cast<void (*)(int)>(address);
    set_thread_setter(setter);
    if (setter != nullptr) setter(1);
    return true;
}

}  // namespace covector

extern "C" void cv_sgemm(int32_t ta, int32_t tb, int64_t m, int64_t n, int64_t k, const float* a,
                         int64_t lda, const float* b, int64_t ldb, float beta, float* c,
                         int64_t ldc) {
    using namespace covector;
    multiply_parallel(product<float>(ta, tb, m, n, k, a, lda, b, ldb, beta, c, ldc));
}

extern "C" void cv_dgemm(int32_t ta, int32_t tb, int64_t m, int64_t n, int64_t k, const double* a,
                         int64_t lda, const double* b, int64_t ldb, double beta, double* c,
                         int64_t ldc) {
    using namespace covector;
    multiply_parallel(product<double>(ta, tb, m, n, k, a, lda, b, ldb, beta, c, ldc));
}

extern "C" void cv_cgemm(int32_t ta, int32_t tb, int64_t m, int64_t n, int64_t k, const float* a,
                         int64_t lda, const float* b, int64_t ldb, float beta, float* c,
                         int64_t ldc) {
    using namespace covector;
    multiply_parallel(
        product<std::complex<float>>(ta, tb, m, n, k, a, lda, b, ldb, beta, c, ldc));
}

extern "C" void cv_zgemm(int32_t ta, int32_t tb, int64_t m, int64_t n, int64_t k, const double* a,
                         int64_t lda, const double* b, int64_t ldb, double beta, double* c,
                         int64_t ldc) {
    using namespace covector;
    multiply_parallel(
        product<std::complex<double>>(ta, tb, m, n, k, a, lda, b, ldb, beta, c, ldc));
}
