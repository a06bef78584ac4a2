// Reduction to a tridiagonal matrix as LAPACK's sytrd does it, with the same reflectors: columns of
// a panel one by one, each of which takes a product of the rest with a vector, then the rest at once.
// That product is half of the work, and reads the memory: only half of the matrix, on all threads.
#include "runtime/tridiagonal.h"

#include <algorithm>
#include <cmath>
#include <complex>
#include <limits>

#include "runtime/blocks.h"
#include "runtime/conquer.h"
#include "runtime/lapack.h"
#include "runtime/matrices.h"
#include "runtime/reflectors.h"
#include "runtime/spectral.h"

namespace covector {
namespace {

constexpr int64_t kColumns = 32;       // of a panel
constexpr int64_t kStripRows = 128;    // of a product of which half is wanted
constexpr int64_t kLeast = 25;         // up to here LAPACK takes another method
constexpr double kSplitSquare = 4e5;   // elements of a matrix whose product is worth two threads

template <typename T>
class Reduction {
public:
    explicit Reduction(int64_t n)
        : n_(n),
          padded_(in_panels(n)),
          step_(step_of<T>(padded_)),
          matrix_(padded_ * step_),
          reflectors_(n * step_),
          panel_(3 * kColumns * step_),
          sums_(pool_size() * step_),
          d_(n),
          e_(n),
          taus_(n) {}

    T* d() const { return d_.get(); }
    T* e() const { return e_.get(); }

    void load(const T* a, bool lower, T scale) {
        for (int64_t i0 = 0; i0 < padded_; i0 += kPanel) {
            for (int64_t j0 = i0; j0 < padded_; j0 += kPanel) load_block(a, lower, scale, i0, j0);
        }
    }

    void run() {
        std::fill(reflectors_.get(), reflectors_.get() + n_ * step_, T(0));
        for (int64_t begin = 0; begin < n_ - 1; begin += kColumns) {
            std::fill(panel_.get(), panel_.get() + 3 * kColumns * step_, T(0));
            const int64_t count = std::min(kColumns, n_ - 1 - begin);
            for (int64_t k = 0; k < count; ++k) column(begin, k);
            if (count == kColumns) {
                update(begin + count);
            } else {
                settle(count, n_ - 1);
            }
        }
        d_[n_ - 1] = *at(n_ - 1, n_ - 1);
    }

    // The product of the reflectors with the rows of a matrix with n columns.
    void apply(T* matrix, int64_t step) const {
        if (n_ > 1) apply_all(reflectors_.get(), step_, taus_.get(), n_ - 1, n_, 1, matrix, step, n_);
    }

private:
    T* at(int64_t i, int64_t j) const { return matrix_.get() + i * step_ + j; }
    T* v(int64_t k) const { return panel_.get() + k * step_; }
    T* w(int64_t k) const { return panel_.get() + (kColumns + k) * step_; }

    // Rows become columns of the lower triangle; blocks on the diagonal are filled.
    void load_block(const T* a, bool lower, T scale, int64_t i0, int64_t j0) {
        for (int64_t i = i0; i < i0 + kPanel; ++i) {
            for (int64_t j = j0; j < j0 + kPanel; ++j) {
                const int64_t low = std::max(i, j), high = std::min(i, j);
                T& to = *at(i, j);
                if (low >= n_) {
                    to = 0;
                } else {
                    to = (lower ? a[low * n_ + high] : a[high * n_ + low]) * scale;
                }
            }
        }
    }

    // Row j as the first `count` columns of this panel leave it.
    void settle(int64_t count, int64_t j) {
        T factors[2 * kColumns];
        for (int64_t k = 0; k < count; ++k) {
            factors[k] = -w(k)[j];
            factors[kColumns + k] = -v(k)[j];
        }
        const int64_t from = panel_of(j);
        const auto& kernels = spectral_kernels<T>();
        kernels.combine(v(0), step_, count, factors, from, padded_, at(j, 0));
        kernels.combine(w(0), step_, count, factors + kColumns, from, padded_, at(j, 0));
    }

    void column(int64_t begin, int64_t k) {
        const int64_t j = begin + k, from = panel_of(j + 1);
        const auto& kernels = spectral_kernels<T>();
        settle(k, j);
        d_[j] = *at(j, j);
        T* x = v(k);
        std::copy(at(j, j + 1), at(j, n_), x + j + 1);
        panel_kernels<T>().qr(x + j + 1, 0, n_ - j - 1, 1, &taus_[j]);
        e_[j] = x[j + 1];
        x[j + 1] = 1;
        std::copy(x + j + 1, x + n_, reflectors_.get() + j * step_ + j + 1);
        T* y = w(k);
        product(x, y, from);
        T of_v[kColumns], of_w[kColumns];
        kernels.dots(v(0), step_, k, x, from, padded_, of_v);
        kernels.dots(w(0), step_, k, x, from, padded_, of_w);
        for (int64_t i = 0; i < k; ++i) {
            of_v[i] = -of_v[i];
            of_w[i] = -of_w[i];
        }
        kernels.combine(v(0), step_, k, of_w, from, padded_, y);
        kernels.combine(w(0), step_, k, of_v, from, padded_, y);
        T dot = 0;
        kernels.dots(y, step_, 1, x, from, padded_, &dot);
        const T alpha = taus_[j] * taus_[j] * dot / 2;
        for (int64_t i = from; i < padded_; ++i) y[i] = i <= j ? T(0) : taus_[j] * y[i] - alpha * x[i];
    }

    // y = a x for the rows from `from` on, where x begins.
    void product(const T* x, T* y, int64_t from) {
        const auto& kernels = spectral_kernels<T>();
        const int64_t size = padded_ - from;
        const double square = static_cast<double>(size) * static_cast<double>(size);
        std::fill(y + from, y + padded_, T(0));
        if (square < kSplitSquare || pool_size() < 2 || in_region()) {
            return kernels.symmetric(matrix_.get(), step_, from, padded_, padded_, x, y);
        }
        // Rows grow shorter: as much of the triangle for each.
        const int64_t pieces = pool_size();
        const auto row = [&](int64_t piece) {
            const double rest = static_cast<double>(pieces - piece) / static_cast<double>(pieces);
            const auto left = static_cast<int64_t>(std::sqrt(rest) * static_cast<double>(size));
            return padded_ - in_panels(std::min(left, size));
        };
        split(pieces, 1, 2 * kSplitWork * static_cast<double>(pieces), [&](int64_t begin, int64_t end) {
            for (int64_t p = begin; p < end; ++p) {
                T* sums = sums_.get() + p * step_;
                std::fill(sums + from, sums + padded_, T(0));
                kernels.symmetric(matrix_.get(), step_, row(p), row(p + 1), padded_, x, sums);
            }
        });
        const T ones[kColumns] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
                                  1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
        for (int64_t p = 0; p < pieces; p += kColumns) {
            kernels.combine(sums_.get() + p * step_, step_, std::min(kColumns, pieces - p), ones, from,
                            padded_, y);
        }
    }

    // The rest less v w' + w v', where v stands above and below w.
    void update(int64_t from) {
        std::copy(v(0), v(kColumns), panel_.get() + 2 * kColumns * step_);
        const int64_t size = padded_ - from;
        const double work = product_of(size, size, 2 * kColumns) / 2;
        constexpr int64_t kShares = 1 << 20;
        split(kShares, 1, work, [&](int64_t begin, int64_t end) {
            const auto row = [&](int64_t share) {
                const double part = 1 - std::sqrt(1 - static_cast<double>(share) / kShares);
                const auto found = static_cast<int64_t>(part * static_cast<double>(size));
                return share == kShares ? padded_ : from + panel_of(found);
            };
            for (int64_t i = row(begin), last = row(end); i < last; i += kStripRows) {
                const int64_t rows = std::min(kStripRows, last - i);
                multiply<T>({true, false, rows, padded_ - i, 2 * kColumns, v(0) + i, step_, w(0) + i,
                             step_, 1, at(i, i), step_, true});
            }
        });
    }

    int64_t n_, padded_, step_;
    Scratch<T> matrix_, reflectors_, panel_, sums_, d_, e_, taus_;
};

template <typename T>
T scale_of_matrix(const T* a, int64_t n, bool lower) {
    T most = 0;
    for (int64_t i = 0; i < n; ++i) {
        const int64_t begin = lower ? 0 : i, end = lower ? i + 1 : n;
        for (int64_t j = begin; j < end; ++j) most = std::max(most, std::abs(a[i * n + j]));
    }
    return scale_of(most);
}

}  // namespace

template <typename T>
bool eigh_in_blocks(int64_t n) {
    if constexpr (kIsComplex<T>) {
        return false;
    } else {
        return n > kLeast && tile_kernels<T>() != nullptr;
    }
}

template <typename T>
bool blocked_eigh(const T* a, int64_t n, bool lower, T* values, T* vectors) {
    const T scale = scale_of_matrix(a, n, lower);
    Reduction<T> form(n);
    form.load(a, lower, scale);
    form.run();
    const int64_t step = step_of<T>(n);
    const Scratch<T> matrix(vectors == nullptr ? 0 : n * step);
    const Scratch<int64_t> order(n);
    if (!conquer(form.d(), form.e(), n, vectors == nullptr ? nullptr : matrix.get(), step, order.get())) {
        return false;
    }
    for (int64_t j = 0; j < n; ++j) values[j] = form.d()[order[j]] / scale;
    if (vectors == nullptr) return true;
    form.apply(matrix.get(), step);
    split(n, 1, 4 * product_of(n, n, 1), [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) {
            const T* row = matrix.get() + i * step;
            for (int64_t j = 0; j < n; ++j) vectors[i * n + j] = row[order[j]];
        }
    });
    return true;
}

#define CV_OF_TYPE(T)                      \
    template bool eigh_in_blocks<T>(int64_t); \
    template bool blocked_eigh(const T*, int64_t, bool, T*, T*);

CV_OF_TYPE(float)
CV_OF_TYPE(double)
template bool eigh_in_blocks<std::complex<float>>(int64_t);
template bool eigh_in_blocks<std::complex<double>>(int64_t);

}  // namespace covector
