// Real matrix products of our own: packed, register-tiled, on the thread pool.
#pragma once

#include <cstdint>

namespace covector {

// c = beta c + op(a) op(b), row-major; op transposes where `ta` or `tb`. beta 0 does not read c.
// With `minus` the product is subtracted.
template <typename T>
struct Product {
    bool ta, tb;
    int64_t m, n, k;
    const T* a;
    int64_t lda;
    const T* b;
    int64_t ldb;
    T beta;
    T* c;
    int64_t ldc;
    bool minus = false;

    const T* a_at(int64_t row, int64_t column) const {
        return ta ? a + column * lda + row : a + row * lda + column;
    }
    const T* b_at(int64_t row, int64_t column) const {
        return tb ? b + column * ldb + row : b + row * ldb + column;
    }
};

// The plain loop: for matrices that BLAS cannot take, and without memory for tiles.
template <typename T>
void multiply_plainly(const Product<T>& p) {
    for (int64_t i = 0; i < p.m; ++i) {
        T* row = p.c + i * p.ldc;
        for (int64_t j = 0; j < p.n; ++j) row[j] = p.beta == T(0) ? T(0) : row[j] * p.beta;
        for (int64_t q = 0; q < p.k; ++q) {
            const T x = p.minus ? -*p.a_at(i, q) : *p.a_at(i, q);
            for (int64_t j = 0; j < p.n; ++j) row[j] += x * *p.b_at(q, j);
        }
    }
}

// Multiplies with register tiles; false, with nothing done, where this processor has none. The
// result does not depend on the number of threads.
template <typename T>
bool multiply_tiles(const Product<T>& p);

// The same where elements of a and b are pairs of bfloat16 that follow each other along k.
bool multiply_pairs(const Product<float>& p);

// Multiplies on the pool, by tiles or by OpenBLAS.
template <typename T>
void multiply_parallel(const Product<T>& p);

// Whether the tiles are quicker than OpenBLAS for this shape.
template <typename T>
bool tiles_win(const Product<T>& p);

}  // namespace covector
