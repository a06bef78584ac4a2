// Reduction to a bidiagonal matrix as LAPACK's gebrd does it: a column and a row of a panel in turn,
// each of which takes a product of the rest with a vector, then the rest at once.
#include "runtime/bidiagonal.h"

#include <algorithm>
#include <cmath>
#include <complex>
#include <limits>

#include "runtime/blocked.h"
#include "runtime/blocks.h"
#include "runtime/conquer.h"
#include "runtime/lapack.h"
#include "runtime/linalg_small.h"
#include "runtime/matrices.h"
#include "runtime/reflectors.h"
#include "runtime/spectral.h"

namespace covector {
namespace {

constexpr int64_t kColumns = 32;  // of a panel
constexpr double kTall = 1.6;     // rows to a column, from which a QR factorization comes first

// Reflectors on one side, and the panel's part of what is to be subtracted: rows that are as long as
// the matrix is on that side.
template <typename T>
struct Side {
    Side(int64_t count, int64_t length)
        : length(length),
          padded(in_panels(length)),
          step(step_of<T>(padded)),
          reflectors(count * step),
          panel(2 * kColumns * step),
          taus(count) {
        std::fill(reflectors.get(), reflectors.get() + count * step, T(0));
    }

    T* reflector(int64_t j) const { return reflectors.get() + j * step; }
    T* upper(int64_t k) const { return panel.get() + k * step; }
    T* lower(int64_t k) const { return panel.get() + (kColumns + k) * step; }
    void clear() const { std::fill(panel.get(), panel.get() + 2 * kColumns * step, T(0)); }

    // Makes a reflector of x from `first` on, in place and among all; what that element becomes.
    T reflect(T* x, int64_t j, int64_t first) const {
        panel_kernels<T>().qr(x + first, 0, length - first, 1, &taus[j]);
        const T end = x[first];
        x[first] = 1;
        std::copy(x + first, x + length, reflector(j) + first);
        return end;
    }

    int64_t length, padded, step;
    Scratch<T> reflectors, panel, taus;
};

template <typename T>
class Bidiagonal {
public:
    Bidiagonal(int64_t m, int64_t n)
        : m_(m),
          n_(n),
          left_(n, m),
          right_(n, n),
          matrix_(left_.padded * right_.step),
          columns_(kColumns * left_.step),
          d_(n),
          e_(n) {}

    T* d() const { return d_.get(); }
    T* e() const { return e_.get(); }

    void load(const T* a, T scale) {
        split(left_.padded, 1, product_of(m_, n_, 1), [&](int64_t begin, int64_t end) {
            for (int64_t i = begin; i < end; ++i) {
                T* row = at(i, 0);
                const int64_t n = i < m_ ? n_ : 0;
                for (int64_t j = 0; j < n; ++j) row[j] = a[i * n_ + j] * scale;
                std::fill(row + n, row + right_.padded, T(0));
            }
        });
    }

    void run() {
        for (int64_t begin = 0; begin < n_; begin += kColumns) {
            const int64_t count = std::min(kColumns, n_ - begin);
            left_.clear();
            right_.clear();
            transpose_tiles(at(begin, begin), right_.step, left_.padded - begin, count,
                            columns_.get() + begin, left_.step);
            for (int64_t k = 0; k < count; ++k) {
                column(begin + k, k);
                if (begin + k + 1 < n_) row(begin + k, k);
            }
            if (begin + count < n_) update(begin + count);
        }
    }

    // The products of the reflectors with the rows of matrices.
    void apply_left(T* matrix, int64_t step, int64_t columns) const {
        apply_all(left_.reflectors.get(), left_.step, left_.taus.get(), n_, m_, 0, matrix, step,
                  columns);
    }
    void apply_right(T* matrix, int64_t step) const {
        if (n_ == 1) return;
        apply_all(right_.reflectors.get(), right_.step, right_.taus.get(), n_ - 1, n_, 1, matrix, step,
                  n_);
    }

private:
    T* at(int64_t i, int64_t j) const { return matrix_.get() + i * right_.step + j; }

    // y less the sum of the first `count` rows, each as often as `factors` says; these are lost.
    static void subtract(const Side<T>& side, T* rows, int64_t count, T* factors, int64_t from, T* y) {
        for (int64_t l = 0; l < count; ++l) factors[l] = -factors[l];
        spectral_kernels<T>().combine(rows, side.step, count, factors, from, side.padded, y);
    }

    // Column j as the columns and rows before it leave it, and y: what its reflector does to the rest.
    void column(int64_t j, int64_t k) {
        const auto& kernels = spectral_kernels<T>();
        const int64_t from = panel_of(j);
        T factors[kColumns], others[kColumns];
        T* c = columns_.get() + k * left_.step;
        for (int64_t l = 0; l < k; ++l) {
            factors[l] = right_.upper(l)[j];
            others[l] = right_.lower(l)[j];
        }
        subtract(left_, left_.upper(0), k, factors, from, c);
        subtract(left_, left_.lower(0), k, others, from, c);
        T* v = left_.upper(k);
        std::copy(c + j, c + m_, v + j);
        d_[j] = left_.reflect(v, j, j);
        if (j + 1 == n_) return;
        T* y = right_.upper(k);
        const int64_t next = panel_of(j + 1), columns = right_.padded - next;
        split(columns, kPanel, 2 * product_of(m_ - j, columns, 1), [&](int64_t begin, int64_t end) {
            kernels.combine(at(j, 0), right_.step, m_ - j, v + j, next + begin, next + end, y);
        });
        kernels.dots(left_.upper(0), left_.step, k, v, from, left_.padded, factors);
        kernels.dots(left_.lower(0), left_.step, k, v, from, left_.padded, others);
        subtract(right_, right_.upper(0), k, factors, next, y);
        subtract(right_, right_.lower(0), k, others, next, y);
        for (int64_t i = next; i < right_.padded; ++i) y[i] = i <= j ? T(0) : left_.taus[j] * y[i];
    }

    // The same for row j.
    void row(int64_t j, int64_t k) {
        const auto& kernels = spectral_kernels<T>();
        const int64_t next = panel_of(j + 1);
        T factors[kColumns], others[kColumns];
        for (int64_t l = 0; l <= k; ++l) factors[l] = left_.upper(l)[j];
        for (int64_t l = 0; l < k; ++l) others[l] = left_.lower(l)[j];
        T* u = right_.lower(k);
        std::copy(at(j, next), at(j, right_.padded), u + next);
        subtract(right_, right_.upper(0), k + 1, factors, next, u);
        subtract(right_, right_.lower(0), k, others, next, u);
        std::fill(u + next, u + j + 1, T(0));
        e_[j] = right_.reflect(u, j, j + 1);
        T* x = left_.lower(k);
        split(m_ - j - 1, kPanel, 2 * product_of(m_ - j, right_.padded - next, 1),
              [&](int64_t begin, int64_t end) {
                  kernels.dots(at(j + 1 + begin, 0), right_.step, end - begin, u, next, right_.padded,
                               x + j + 1 + begin);
              });
        kernels.dots(right_.upper(0), right_.step, k + 1, u, next, right_.padded, factors);
        kernels.dots(right_.lower(0), right_.step, k, u, next, right_.padded, others);
        subtract(left_, left_.upper(0), k + 1, factors, next, x);
        subtract(left_, left_.lower(0), k, others, next, x);
        for (int64_t i = next; i < left_.padded; ++i) x[i] = i <= j ? T(0) : right_.taus[j] * x[i];
    }

    void update(int64_t from) {
        multiply<T>({true, false, left_.padded - from, right_.padded - from, 2 * kColumns,
                     left_.panel.get() + from, left_.step, right_.panel.get() + from, right_.step, 1,
                     at(from, from), right_.step, true});
    }

    int64_t m_, n_;
    Side<T> left_, right_;  // of v and x; of y and u
    Scratch<T> matrix_, columns_, d_, e_;
};

// What elements are multiplied with so that their squares are numbers, a power of 2.
template <typename T>
T scale_of_matrix(const T* a, int64_t count) {
    T most = 0;
    for (int64_t i = 0; i < count; ++i) most = std::max(most, std::abs(a[i]));
    return scale_of(most);
}

// Of at least as many rows as columns.
template <typename T>
bool svd_of_square(const T* a, int64_t m, int64_t n, T* s, T* u, int64_t width, T* vt) {
    const T scale = scale_of_matrix(a, m * n);
    Bidiagonal<T> form(m, n);
    form.load(a, scale);
    form.run();
    const bool wanted = u != nullptr;
    const int64_t step = step_of<T>(std::max(width, n));
    const Scratch<T> left(wanted ? m * step : 0), right(wanted ? n * step : 0);
    const Scratch<int64_t> order(n);
    if (!conquer_singular(form.d(), form.e(), n, wanted ? left.get() : nullptr,
                          wanted ? right.get() : nullptr, step, order.get())) {
        return false;
    }
    for (int64_t j = 0; j < n; ++j) s[j] = form.d()[order[n - 1 - j]] / scale;
    if (!wanted) return true;
    for (int64_t i = 0; i < m; ++i) {
        T* row = left.get() + i * step;
        std::fill(row + (i < n ? n : 0), row + width, T(0));
        if (i >= n && i < width) row[i] = 1;
    }
    form.apply_left(left.get(), step, width);
    form.apply_right(right.get(), step);
    split(m, 1, 4 * product_of(m, n, 1), [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) {
            const T* row = left.get() + i * step;
            for (int64_t j = 0; j < n; ++j) u[i * width + j] = row[order[n - 1 - j]];
            std::copy(row + n, row + width, u + i * width + n);
        }
    });
    const int64_t turned_step = step_of<T>(n);
    const Scratch<T> turned(n * turned_step);
    transpose_tiles(right.get(), step, n, n, turned.get(), turned_step);
    for (int64_t j = 0; j < n; ++j) {
        std::copy_n(turned.get() + order[n - 1 - j] * turned_step, n, vt + j * n);
    }
    return true;
}

// Of many more rows than columns: a factorization, and the singular values of its triangle.
template <typename T>
bool svd_of_tall(const T* a, int64_t m, int64_t n, T* s, T* u, int64_t width, T* vt) {
    const int64_t columns = std::max(width, n);
    const Scratch<T> q(m * columns), r(columns * n), inner(n * n);
    blocked_qr(a, q.get(), r.get(), m, n, columns);
    if (!svd_of_square(r.get(), n, n, s, u == nullptr ? u : inner.get(), n, vt)) return false;
    if (u == nullptr) return true;
    multiply<T>({false, false, m, n, n, q.get(), columns, inner.get(), n, 0, u, width});
    for (int64_t i = 0; i < m && width > n; ++i) {
        std::copy(q.get() + i * columns + n, q.get() + (i + 1) * columns, u + i * width + n);
    }
    return true;
}

template <typename T>
bool svd_of_high(const T* a, int64_t m, int64_t n, T* s, T* u, int64_t width, T* vt) {
    const bool tall = static_cast<double>(m) >= kTall * static_cast<double>(n);
    return (tall ? svd_of_tall<T> : svd_of_square<T>)(a, m, n, s, u, width, vt);
}

}  // namespace

template <typename T>
bool svd_in_blocks(int64_t side) {
    if constexpr (kIsComplex<T>) {
        return false;
    } else {
        return side > kMostSmall && tile_kernels<T>() != nullptr;
    }
}

template <typename T>
bool blocked_svd(const T* a, int64_t m, int64_t n, T* s, T* u, int64_t width, T* vt, int64_t height) {
    if (m >= n) return svd_of_high(a, m, n, s, u, width, vt);
    const Scratch<T> turned(m * n);
    transpose_tiles(a, n, m, n, turned.get(), m);
    if (u == nullptr) return svd_of_high<T>(turned.get(), n, m, s, nullptr, m, nullptr);
    const Scratch<T> left(n * height), right(m * m);
    if (!svd_of_high(turned.get(), n, m, s, left.get(), height, right.get())) return false;
    transpose_tiles(right.get(), m, m, m, u, m);
    transpose_tiles(left.get(), height, n, height, vt, n);
    return true;
}

#define CV_OF_TYPE(T)                        \
    template bool svd_in_blocks<T>(int64_t); \
    template bool blocked_svd(const T*, int64_t, int64_t, T*, T*, int64_t, T*, int64_t);

CV_OF_TYPE(float)
CV_OF_TYPE(double)
template bool svd_in_blocks<std::complex<float>>(int64_t);
template bool svd_in_blocks<std::complex<double>>(int64_t);

}  // namespace covector
