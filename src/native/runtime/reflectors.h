// Products of Householder's reflectors as I - v t v' with a triangle t (Schreiber and Van Loan 1989),
// so that they are applied in products of matrices.
#pragma once

#include "runtime/blocks.h"
#include "runtime/matrices.h"

namespace covector {

constexpr int64_t kReflectors = 64;    // that are applied at once, of large matrices
constexpr int64_t kManyColumns = 512;  // of which a matrix is large
constexpr int64_t kUpdated = 128;      // columns that stay in the cache meanwhile

// How many reflectors of a matrix with so many columns are applied at once.
inline int64_t reflectors_of(int64_t columns) {
    return columns < kManyColumns ? kReflectors / 2 : kReflectors;
}

// Some reflectors, from row `at` on: the rows of v' (count, rows), whole, with the zeros and ones of
// which LAPACK only thinks; and their triangle, whose rows are kReflectors apart.
template <typename T>
struct Reflectors {
    int64_t at, count, rows, step;
    T* v;
    T* triangle;
};

// The triangle t with I - v t v' = the product of reflectors with these taus, from v' v (n, n).
template <typename T>
void form_triangle(const T* squares, const T* taus, T* t, int64_t step, int64_t n) {
    if (n == 1) {
        t[0] = taus[0];
        return;
    }
    const int64_t half = n / 2, rest = n - half;
    T* lower = t + half * step;
    form_triangle(squares, taus, t, step, half);
    form_triangle(squares + half * step + half, taus + half, lower + half, step, rest);
    for (int64_t i = 0; i < rest; ++i) std::fill(lower + i * step, lower + i * step + half, T(0));
    T between[kReflectors * kReflectors];
    multiply<T>({false, false, half, rest, rest, squares + half, step, lower + half, step, 0,
                         between, rest});
    multiply<T>({false, false, half, rest, half, t, step, between, rest, 0, t + half, step,
                         true});
}

// The triangle of reflectors v' (count, rows) with these taus.
template <typename T>
void triangle_of(const T* v, int64_t v_step, int64_t count, int64_t rows, const T* taus, T* t,
                 int64_t step) {
    T squares[kReflectors * kReflectors];
    multiply<T>({false, true, count, count, rows, v, v_step, v, v_step, 0, squares, step});
    form_triangle(squares, taus, t, step, count);
}

// Applies reflectors, or with t' those of the transposed product, to some columns of the rows that
// begin at `c`. There is room for two rows of products for each reflector.
template <typename T>
void apply_to(const Reflectors<T>& r, T* c, int64_t step, int64_t columns, bool transposed, T* room,
              int64_t room_step) {
    T* mixed = room + kReflectors * room_step;
    multiply<T>({false, false, r.count, columns, r.rows, r.v, r.step, c, step, 0, room, room_step});
    multiply<T>({transposed, false, r.count, columns, r.count, r.triangle, kReflectors, room,
                 room_step, 0, mixed, room_step});
    multiply<T>({true, false, r.rows, columns, r.count, r.v, r.step, mixed, room_step, 1, c, step,
                 true});
}

// The same to the columns from `begin` to `end` of a matrix, on the pool.
template <typename T>
void apply_reflectors(const Reflectors<T>& r, T* matrix, int64_t step, int64_t begin, int64_t end,
                      bool transposed, T* room) {
    const double work = 2 * product_of(r.rows, r.count, end - begin);
    split(end - begin, kPanel, work, [&](int64_t first, int64_t last) {
        for (int64_t j = begin + first; j < begin + last; j += kUpdated) {
            apply_to(r, matrix + r.at * step + j, step, std::min(kUpdated, begin + last - j),
                     transposed, room + j, step);
        }
    });
}

// Applies the product of k reflectors to a matrix with n columns: those of v' (k, rows), of which
// reflector j begins at row j + first, one block after the other from the last one on.
template <typename T>
void apply_all(T* v, int64_t v_step, const T* taus, int64_t k, int64_t rows, int64_t first, T* matrix,
               int64_t step, int64_t n) {
    const int64_t block = reflectors_of(k);
    const Scratch<T> triangle(kReflectors * kReflectors), room(2 * kReflectors * step);
    for (int64_t j = (k - 1) / block * block; j >= 0; j -= block) {
        const Reflectors<T> r{j + first, std::min(block, k - j), rows - j - first, v_step,
                              v + j * v_step + j + first, triangle.get()};
        triangle_of(r.v, r.step, r.count, r.rows, taus + j, r.triangle, kReflectors);
        apply_reflectors(r, matrix, step, 0, n, false, room.get());
    }
}

}  // namespace covector
