// Factors by recursion: half of the columns, their product with the other half, and the other half.
// Nearly all of the work is in large products that way, whatever the caches are (Toledo 1997,
// Elmroth and Gustavson 2000). Every region of the pool is one loop over rows or columns, which
// the caller does alone if the other threads have no time.
#include "runtime/blocked.h"

#include <algorithm>
#include <cmath>
#include <complex>
#include <type_traits>
#include <utility>

#include "runtime/reflectors.h"

namespace covector {
namespace {

constexpr int64_t kFewColumns = 8;              // of a product that BLAS does better
constexpr int64_t kSolvedRows = 64;             // that are transposed at once
constexpr int64_t kTriangleRows = 128;          // of a product of which half is wanted

// The first half, in whole panels.
int64_t half_of(int64_t n) { return (n / 2 + kPanel - 1) / kPanel * kPanel; }

// c -= op(a) op(b)
template <typename T>
void subtract(Product<T> p) {
    if (p.m <= 0 || p.n <= 0 || p.k <= 0) return;
    p.beta = 1;
    p.minus = true;
    const bool thin = std::min(p.m, p.n) < kFewColumns;
    if (thin || !multiply_tiles(p)) multiply_parallel(p);
}

// A matrix in rows that are well apart: itself, or a copy, which is given back.
template <typename T>
class Apart {
public:
    Apart(T* a, int64_t rows, int64_t columns)
        : a_(a),
          rows_(rows),
          columns_(columns),
          step_(step_of<T>(columns)),
          copy_(step_ == columns ? 0 : rows * step_) {
        if (step_ != columns) copy_rows(a, columns, rows, columns, copy_.get(), step_);
    }
    void give_back() {
        if (step_ != columns_) copy_rows(copy_.get(), step_, rows_, columns_, a_, columns_);
    }
    T* get() { return step_ == columns_ ? a_ : copy_.get(); }
    int64_t step() const { return step_; }

private:
    T* a_;
    int64_t rows_, columns_, step_;
    Scratch<T> copy_;
};

// A triangle of a system that is solved: row i, column j of op(t).
template <typename T>
struct System {
    const T* t;
    int64_t step;
    bool lower, transposed, unit;

    const T* at(int64_t i, int64_t j) const { return t + (transposed ? j * step + i : i * step + j); }
    System from(int64_t i) const { return {at(i, i), step, lower, transposed, unit}; }

    // The equations of a panel: of op(t) x, or of x op(t), in the order of the solution.
    Equations<T> equations(int64_t n, bool left) const {
        Equations<T> e{};
        const bool forwards = lower == left;
        for (int64_t q = 0; q < kPanel; ++q) {
            const int64_t known = forwards ? q : n - 1 - q;
            e.diagonal[q] = q < n && !unit ? *at(known, known) : T(1);
            for (int64_t i = q + 1; i < n; ++i) {
                const int64_t later = forwards ? i : n - 1 - i;
                e.after[q][i] = left ? *at(later, known) : *at(known, later);
            }
        }
        return e;
    }
};

// op(t) x = b for the columns of b (n, columns).
template <typename T>
void solve_left(const System<T>& s, int64_t n, T* b, int64_t step, int64_t columns) {
    if (n <= kPanel) {
        const Equations<T> e = s.equations(n, true);
        T* first = s.lower ? b : b + (n - 1) * step;
        return panel_kernels<T>().solve(e, first, s.lower ? step : -step, n, columns);
    }
    const int64_t half = half_of(n), rest = n - half;
    T* below = b + half * step;
    if (s.lower) {
        solve_left(s, half, b, step, columns);
        subtract<T>({s.transposed, false, rest, columns, half, s.at(half, 0), s.step, b, step, 1,
                     below, step});
        solve_left(s.from(half), rest, below, step, columns);
    } else {
        solve_left(s.from(half), rest, below, step, columns);
        subtract<T>({s.transposed, false, half, columns, rest, s.at(0, half), s.step, below, step, 1,
                     b, step});
        solve_left(s, half, b, step, columns);
    }
}

// Some columns of rows, which become vectors for it.
template <typename T>
void solve_panel(const System<T>& s, int64_t n, T* b, int64_t step, int64_t rows) {
    const Equations<T> e = s.equations(n, false);
    alignas(64) T columns[kPanel * kSolvedRows];
    for (int64_t i = 0; i < rows; i += kSolvedRows) {
        const int64_t some = std::min(kSolvedRows, rows - i);
        transpose_tiles(b + i * step, step, some, n, columns, kSolvedRows);
        T* first = s.lower ? columns + (n - 1) * kSolvedRows : columns;
        panel_kernels<T>().solve(e, first, s.lower ? -kSolvedRows : kSolvedRows, n, some);
        transpose_tiles(columns, kSolvedRows, n, some, b + i * step, step);
    }
}

// x op(t) = b for the rows of b (rows, n).
template <typename T>
void solve_right(const System<T>& s, int64_t n, T* b, int64_t step, int64_t rows) {
    if (n <= kPanel) return solve_panel(s, n, b, step, rows);
    const int64_t half = half_of(n), rest = n - half;
    T* right = b + half;
    if (s.lower) {
        solve_right(s.from(half), rest, right, step, rows);
        subtract<T>({false, s.transposed, rows, half, rest, right, step, s.at(half, 0), s.step, 1, b,
                     step});
        solve_right(s, half, b, step, rows);
    } else {
        solve_right(s, half, b, step, rows);
        subtract<T>({false, s.transposed, rows, rest, half, b, step, s.at(0, half), s.step, 1, right,
                     step});
        solve_right(s.from(half), rest, right, step, rows);
    }
}

template <typename T>
void solve_left_split(const System<T>& s, int64_t n, T* b, int64_t step, int64_t columns) {
    if (columns < kFewColumns) return solve_left(s, n, b, step, columns);
    split(columns, kPanel, product_of(n, n, columns) / 2, [&](int64_t begin, int64_t end) {
        solve_left(s, n, b + begin, step, end - begin);
    });
}

template <typename T>
void solve_right_split(const System<T>& s, int64_t n, T* b, int64_t step, int64_t rows) {
    if (rows < kFewColumns) return solve_right(s, n, b, step, rows);
    split(rows, kPanel, product_of(n, n, rows) / 2, [&](int64_t begin, int64_t end) {
        solve_right(s, n, b + begin * step, step, end - begin);
    });
}

// c -= a a' on the lower triangle of c (n, n), and a little above it; a (n, k).
template <typename T>
void subtract_square(const T* a, T* c, int64_t step, int64_t n, int64_t k) {
    // Rows grow longer: a thread's share ends where as much of the triangle is above.
    constexpr int64_t kShares = 1 << 20;
    split(kShares, 1, product_of(n, n, k) / 2, [&](int64_t begin, int64_t end) {
        const auto row = [&](int64_t share) {
            const double part = std::sqrt(static_cast<double>(share) / kShares);
            const auto at = static_cast<int64_t>(part * static_cast<double>(n));
            return share == kShares ? n : at / kPanel * kPanel;
        };
        for (int64_t i = row(begin), last = row(end); i < last; i += kTriangleRows) {
            const int64_t rows = std::min(kTriangleRows, last - i);
            subtract<T>({false, true, rows, i + rows, k, a + i * step, step, a, step, 1,
                         c + i * step, step});
        }
    });
}

template <typename T>
bool cholesky_panel(T* a, int64_t step, int64_t n) {
    alignas(64) T upper[kPanel * kPanel] = {};
    for (int64_t i = 0; i < n; ++i) {
        for (int64_t j = 0; j <= i; ++j) upper[j * kPanel + i] = a[i * step + j];
    }
    if (!panel_kernels<T>().cholesky(upper, n)) return false;
    for (int64_t i = 0; i < n; ++i) {
        for (int64_t j = 0; j <= i; ++j) a[i * step + j] = upper[j * kPanel + i];
    }
    return true;
}

template <typename T>
bool cholesky(T* a, int64_t step, int64_t n) {
    if (n <= kPanel) return cholesky_panel(a, step, n);
    const int64_t half = half_of(n), rest = n - half;
    if (!cholesky(a, step, half)) return false;
    T* left = a + half * step;
    solve_right_split(System<T>{a, step, false, true, false}, half, left, step, rest);
    subtract_square(left, left + half, step, rest, half);
    return cholesky(left + half, step, rest);
}

// LU factors of the columns of a (m, n), by recursion.
template <typename T>
class BlockedLu {
public:
    BlockedLu(T* a, int64_t step, int64_t m, int32_t* pivots)
        : a_(a), step_(step), m_(m), pivots_(pivots), columns_(kPanel * step_of<T>(m)) {}

    void factor(int64_t begin, int64_t end) {
        if (end - begin <= kPanel) return panel(begin, end);
        const int64_t middle = begin + half_of(end - begin);
        factor(begin, middle);
        update(begin, middle, end);
        factor(middle, end);
        exchange(middle, end, begin, middle);
    }

    // The columns from `middle` to `end`, with what is known from the factors before.
    void update(int64_t begin, int64_t middle, int64_t end) {
        const int64_t known = middle - begin, columns = end - middle;
        const System<T> s{at(begin, begin), step_, true, false, true};
        const double work = product_of(known, known, columns) / 2;
        split(columns, kPanel, work, [&](int64_t first, int64_t last) {
            exchange_rows(begin, middle, middle + first, middle + last);
            solve_left(s, known, at(begin, middle + first), step_, last - first);
        });
        subtract<T>({false, false, m_ - middle, columns, known, at(middle, begin), step_,
                     at(begin, middle), step_, 1, at(middle, middle), step_});
    }

private:
    T* at(int64_t i, int64_t j) const { return a_ + i * step_ + j; }

    void panel(int64_t begin, int64_t end) {
        const int64_t rows = m_ - begin, width = end - begin;
        const int64_t apart = step_of<T>(rows);
        transpose_tiles(at(begin, begin), step_, rows, width, columns_.get(), apart);
        panel_kernels<T>().lu(columns_.get(), apart, rows, width, pivots_ + begin);
        transpose_tiles(columns_.get(), apart, width, rows, at(begin, begin), step_);
        for (int64_t j = begin; j < end; ++j) pivots_[j] += static_cast<int32_t>(begin);
    }

    void exchange_rows(int64_t begin, int64_t end, int64_t first, int64_t last) const {
        for (int64_t i = begin; i < end; ++i) {
            if (pivots_[i] == i) continue;
            std::swap_ranges(at(i, first), at(i, last), at(pivots_[i], first));
        }
    }

    void exchange(int64_t begin, int64_t end, int64_t first, int64_t last) const {
        constexpr double kOfElement = 4;  // as many multiply-adds take as long
        const double work = kOfElement * product_of(end - begin, last - first, 1);
        split(last - first, kPanel, work, [&](int64_t from, int64_t to) {
            exchange_rows(begin, end, first + from, first + to);
        });
    }

    T* a_;
    int64_t step_, m_;
    int32_t* pivots_;
    Scratch<T> columns_;
};

// Reflectors are kept as columns, whole, with the zeros and ones of which LAPACK only thinks.
template <typename T>
class BlockedQr {
public:
    BlockedQr(T* r, int64_t m, int64_t n, int64_t width)
        : r_(r),
          m_(m),
          n_(n),
          k_(std::min(m, n)),
          block_(reflectors_of(k_)),
          step_(step_of<T>(std::max(n, width))),
          matrix_(m * step_),
          columns_(k_ * step_of<T>(m)),
          triangles_(k_ * kReflectors),
          products_(2 * kReflectors * step_) {}

    void factor(const T* a) {
        copy_rows(a, n_, m_, n_, matrix_.get(), step_);
        for (int64_t j = 0; j < k_; j += block_) {
            const Block block = block_at(j);
            transpose_tiles(at(j, j), step_, block.rows, block.count, block.v, block.step);
            factor_block(block);
            apply(block, j + block.count, n_, true);
            for (int64_t i = j; i < j + block.count; ++i) {
                std::fill(r_ + i * n_, r_ + i * n_ + j, T(0));
                std::copy(at(i, j + block.count), at(i, n_), r_ + i * n_ + j + block.count);
            }
        }
    }

    // The first `width` columns of the product of the reflectors.
    void form(T* q, int64_t width) {
        for (int64_t i = 0; i < m_; ++i) {
            std::fill(at(i, 0), at(i, width), T(0));
            if (i < width) *at(i, i) = 1;
        }
        for (int64_t j = (k_ - 1) / block_ * block_; j >= 0; j -= block_) {
            apply(block_at(j), j, width, false);
        }
        copy_rows(matrix_.get(), step_, m_, width, q, width);
    }

private:
    using Block = Reflectors<T>;

    T* at(int64_t i, int64_t j) const { return matrix_.get() + i * step_ + j; }

    Block block_at(int64_t j) const {
        const int64_t step = step_of<T>(m_);
        return {j, std::min(block_, k_ - j), m_ - j, step, columns_.get() + j * step,
                triangles_.get() + j * kReflectors};
    }

    void factor_block(const Block& b) {
        T taus[kReflectors], inner[kPanel * kPanel];
        for (int64_t begin = 0; begin < b.count; begin += kPanel) {
            const int64_t width = std::min(kPanel, b.count - begin), end = begin + width;
            T* first = b.v + begin * b.step + begin;
            panel_kernels<T>().qr(first, b.step, b.rows - begin, width, taus + begin);
            for (int64_t j = begin; j < end; ++j) split_column(b, j);
            if (end == b.count) break;
            // The other columns of this block, which are rows here.
            triangle_of(first, b.step, width, b.rows - begin, taus + begin, inner, kPanel);
            const int64_t rest = b.count - end;
            T* others = b.v + end * b.step + begin;
            T* dots = products_.get();
            T* mixed = dots + kReflectors * kPanel;
            multiply<T>({false, true, rest, width, b.rows - begin, others, b.step, first, b.step, 0,
                         dots, kPanel});
            multiply<T>(
                {false, false, rest, width, width, dots, kPanel, inner, kPanel, 0, mixed, kPanel});
            multiply<T>({false, false, rest, b.rows - begin, width, mixed, kPanel, first, b.step, 1,
                         others, b.step, true});
        }
        triangle_of(b.v, b.step, b.count, b.rows, taus, b.triangle, kReflectors);
    }

    // Moves what column j has of r to its place.
    void split_column(const Block& b, int64_t j) {
        T* column = b.v + j * b.step;
        for (int64_t i = 0; i < b.count; ++i) {
            T& to = r_[(b.at + i) * n_ + b.at + j];
            to = i <= j ? column[i] : T(0);
            if (i <= j) column[i] = i == j ? 1 : 0;
        }
    }

    void apply(const Block& b, int64_t begin, int64_t end, bool transposed) {
        apply_reflectors(b, matrix_.get(), step_, begin, end, transposed, products_.get());
    }

    T* r_;
    int64_t m_, n_, k_, block_, step_;
    Scratch<T> matrix_, columns_, triangles_, products_;
};

}  // namespace

template <typename T>
bool in_blocks(int64_t side) {
    if constexpr (std::is_floating_point_v<T>) {
        return side > kPanel && tile_kernels<T>() != nullptr;
    } else {
        return false;
    }
}

template <typename T>
bool blocked_cholesky(T* a, int64_t n) {
    Apart<T> matrix(a, n, n);
    const bool definite = cholesky(matrix.get(), matrix.step(), n);
    matrix.give_back();
    return definite;
}

template <typename T>
void blocked_lu(T* a, int64_t m, int64_t n, int32_t* pivots) {
    const int64_t k = std::min(m, n);
    Apart<T> matrix(a, m, n);
    BlockedLu<T> lu(matrix.get(), matrix.step(), m, pivots);
    lu.factor(0, k);
    if (n > k) lu.update(0, k, n);
    matrix.give_back();
}

template <typename T>
void blocked_solve(const T* t, int64_t t_step, T* b, int64_t b_step, int64_t n, int64_t m,
                   const Triangle& triangle) {
    const System<T> s{t, t_step, triangle.lower != triangle.transposed, triangle.transposed,
                      triangle.unit};
    if (triangle.left) {
        solve_left_split(s, n, b, b_step, m);
    } else {
        solve_right_split(s, n, b, b_step, m);
    }
}

template <typename T>
void blocked_qr(const T* a, T* q, T* r, int64_t m, int64_t n, int64_t width) {
    BlockedQr<T> qr(r, m, n, width);
    qr.factor(a);
    const int64_t k = std::min(m, n);
    std::fill(r + k * n, r + width * n, T(0));
    qr.form(q, width);
}

#define CV_OF_TYPE(T)                                                                                 template bool in_blocks<T>(int64_t);                                                              template bool blocked_cholesky(T*, int64_t);                                                      template void blocked_lu(T*, int64_t, int64_t, int32_t*);                                         template void blocked_solve(const T*, int64_t, T*, int64_t, int64_t, int64_t,                                                 const Triangle&);                                                     template void blocked_qr(const T*, T*, T*, int64_t, int64_t, int64_t);

CV_OF_TYPE(float)
CV_OF_TYPE(double)

template bool in_blocks<std::complex<float>>(int64_t);
template bool in_blocks<std::complex<double>>(int64_t);

}  // namespace covector
