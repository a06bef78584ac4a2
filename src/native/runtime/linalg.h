// Linear algebra for compiled code, on stacks of row-major matrices: by LAPACK or in blocks, many
// matrices side by side on our threads, many small ones side by side in vectors.
//
// `type` is 0 for float, 1 for double, 2 and 3 for complex ones; `count` how many matrices there are.
// What cannot be factored becomes NaN. All return 0, or 1 if memory is exhausted.
#pragma once

#include <cstdint>

extern "C" {
// The lower triangle of a (n, n), in place; the upper one becomes zeros.
int32_t cv_cholesky(void* a, int64_t type, int64_t count, int64_t n);
// Factors of a (m, n) in place, with rows exchanged as `pivots` says; row i was row permutation[i].
int32_t cv_lu(void* a, int32_t* pivots, int32_t* permutation, int64_t type, int64_t count, int64_t m,
              int64_t n);
// The permutation of n rows that k exchanges make.
int32_t cv_pivots_to_permutation(const int32_t* pivots, int32_t* permutation, int64_t count, int64_t k,
                                 int64_t n);
// op(a) x = b for b (n, m), or x op(a) = b for b (m, n), in place of b.
int32_t cv_triangular_solve(const void* a, void* b, int64_t type, int64_t count, int64_t n, int64_t m,
                            int64_t left, int64_t lower, int64_t transposed, int64_t conjugated,
                            int64_t unit);
// Factors q r of a (m, n), with m columns in q if `full`, else as many as there can be; `pivoted`:
// of the columns in this order.
int32_t cv_qr(const void* a, void* q, void* r, int32_t* order, int64_t type, int64_t count, int64_t m,
              int64_t n, int64_t full, int64_t pivoted);
// The same as LAPACK leaves it, in place: r, and the reflectors of q below.
int32_t cv_geqrf(void* a, void* taus, int32_t* order, int64_t type, int64_t count, int64_t m, int64_t n,
                 int64_t pivoted);
// The first n columns of the product of k reflectors, in their place.
int32_t cv_householder_product(const void* taus, void* a, int64_t type, int64_t count, int64_t m,
                               int64_t n, int64_t k);
// q c or c q (or with the adjoint), in place of c (m, n), from k reflectors in r columns.
int32_t cv_ormqr(const void* a, const void* taus, void* c, int64_t type, int64_t count, int64_t m,
                 int64_t n, int64_t r, int64_t k, int64_t left, int64_t transposed);
// Eigenvalues in order, and eigenvectors as columns of v, of Hermitian matrices, by one triangle.
int32_t cv_eigh(const void* a, void* v, void* w, int64_t type, int64_t count, int64_t n, int64_t lower,
                int64_t vectors);
int32_t cv_svd(const void* a, void* s, void* u, void* vt, int64_t type, int64_t count, int64_t m,
               int64_t n, int64_t vectors, int64_t full);
// Complex eigenvalues and eigenvectors of general matrices.
int32_t cv_eig(const void* a, void* w, void* left, void* right, int64_t type, int64_t count, int64_t n,
               int64_t with_left, int64_t with_right);
int32_t cv_schur(void* a, void* vectors, int64_t type, int64_t count, int64_t n, int64_t wanted);
int32_t cv_hessenberg(void* a, void* taus, int64_t type, int64_t count, int64_t n);
int32_t cv_tridiagonal(void* a, void* d, void* e, void* taus, int64_t type, int64_t count, int64_t n,
                       int64_t lower);
// Systems with three diagonals, in place of b (n, m).
int32_t cv_tridiagonal_solve(const void* below, const void* diagonal, const void* above, void* b,
                             int64_t type, int64_t count, int64_t n, int64_t m);
// The upper triangular factor of r* r + w w*, in place of r.
int32_t cv_cholesky_update(const void* w, void* r, int64_t type, int64_t count, int64_t n);
}
