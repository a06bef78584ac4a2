// Divide and conquer (Cuppen 1981, Gu and Eisenstat 1995), as LAPACK's laed0 to laed4 do it, so with
// the same signs: two halves but for a matrix of rank one; what that does not change is put aside,
// and the other eigenvalues are roots of an equation, many side by side in vectors, where LAPACK's
// divisions one by one took most of the time.
#include "runtime/conquer.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <limits>
#include <numeric>
#include <optional>
#include <vector>

#include "runtime/blocks.h"
#include "runtime/linalg_small.h"
#include "runtime/matrices.h"
#include "runtime/spectral.h"

namespace covector {
namespace {

constexpr double kDivision = 4;  // multiply-adds in the time of a division

// Where an eigenvector of a half has elements, or that it is not changed.
enum Where : int8_t { kUpper, kBoth, kLower, kAside };

// Two halves that become one: eigenvectors are rows of q, of which those of the upper half have
// columns up to `middle`, and the others the columns from there on.
template <typename T>
class Join {
public:
    Join(int64_t upper, int64_t lower, T rho, T* d, T* q, int64_t step, int64_t* order)
        : upper_(upper),
          n_(upper + lower),
          rho_(rho),
          d_(d),
          q_(q),
          step_(step),
          order_(order),
          z_(n_),
          values_(n_ + kRoom),
          weights_(n_ + kRoom),
          origin_(n_ + kRoom),
          shift_(n_ + kRoom),
          exact_(n_ + kRoom),
          aside_values_(n_) {}

    // `result` gets eigenvectors as columns, instead of q as rows; it may be null.
    void run(bool vectors, T* result, int64_t result_step) {
        width_ = vectors ? n_ : 2;
        compare(vectors);
        sort_out();
        solve();
        gather(vectors);
        if (!vectors) {
            ends();
        } else if (result != nullptr) {
            columns(result, result_step);
        } else {
            rows();
        }
        finish();
    }

private:
    static constexpr int64_t kRoom = 64;

    int64_t kept() const { return static_cast<int64_t>(kept_.size()); }
    T* row(int64_t i) const { return q_ + i * step_; }

    // The vector of the matrix of rank one: what the halves have where they meet.
    void compare(bool vectors) {
        const T half = std::sqrt(T(0.5));
        const int64_t last = vectors ? upper_ - 1 : 1, first = vectors ? upper_ : 0;
        for (int64_t i = 0; i < upper_; ++i) z_[i] = row(i)[last] * half;
        const T sign = rho_ < 0 ? -half : half;
        for (int64_t i = upper_; i < n_; ++i) z_[i] = row(i)[first] * sign;
        rho_ = 2 * std::abs(rho_);
        if (vectors) return;
        for (int64_t i = 0; i < upper_; ++i) row(i)[1] = 0;
        for (int64_t i = upper_; i < n_; ++i) row(i)[0] = 0;
    }

    // Which eigenvalues stay as they are: of vectors without a part in z, and one of two that are
    // as good as equal, which are turned until it has none (laed2).
    void sort_out() {
        T most = 0;
        for (int64_t i = 0; i < n_; ++i) {
            most = std::max({most, std::abs(d_[i]), std::abs(z_[i])});
            where_.push_back(i < upper_ ? kUpper : kLower);
        }
        const T least = 4 * std::numeric_limits<T>::epsilon() * most;
        std::vector<int64_t> sorted(static_cast<size_t>(n_));
        for (int64_t i = upper_; i < n_; ++i) order_[i] += upper_;
        std::merge(order_, order_ + upper_, order_ + upper_, order_ + n_, sorted.begin(),
                   [&](int64_t i, int64_t j) { return d_[i] < d_[j]; });
        int64_t before = -1;
        for (const int64_t i : sorted) {
            if (rho_ * std::abs(z_[i]) <= least) {
                put_aside(i);
            } else if (before < 0 || !turn(before, i, least)) {
                if (before >= 0) kept_.push_back(before);
                before = i;
            } else {
                put_aside(before);
                before = i;
            }
        }
        if (before >= 0) kept_.push_back(before);
    }

    void put_aside(int64_t i) {
        where_[static_cast<size_t>(i)] = kAside;
        aside_.push_back(i);
    }

    bool turn(int64_t before, int64_t i, T least) {
        const T length = std::hypot(z_[i], z_[before]), apart = d_[i] - d_[before];
        const T c = z_[i] / length, s = -z_[before] / length;
        if (!(std::abs(apart * c * s) <= least)) return false;
        z_[i] = length;
        z_[before] = 0;
        Where& here = where_[static_cast<size_t>(i)];
        if (here != where_[static_cast<size_t>(before)]) here = kBoth;
        T* p = row(before);
        T* q = row(i);
        for (int64_t k = 0; k < width_; ++k) {
            const T x = p[k], y = q[k];
            p[k] = c * x + s * y;
            q[k] = c * y - s * x;
        }
        const T x = d_[before], y = d_[i];
        d_[before] = x * c * c + y * s * s;
        d_[i] = x * s * s + y * c * c;
        return true;
    }

    void solve() {
        const int64_t k = kept();
        if (k == 0) return;
        T square = 0;
        for (int64_t p = 0; p < k; ++p) {
            const int64_t i = kept_[static_cast<size_t>(p)];
            values_[p] = d_[i];
            weights_[p] = z_[i];
            square += z_[i] * z_[i];
        }
        // The last root is at most so far behind the last pole.
        constexpr T more = 1 + 8 * std::numeric_limits<T>::epsilon();
        for (int64_t p = k; p < k + kRoom; ++p) {
            values_[p] = values_[k - 1] + rho_ * square * more;
            weights_[p] = 0;
        }
        equation_ = {k, values_.get(), weights_.get(), 1 / rho_, false, origin_.get(), shift_.get()};
        const auto& kernels = spectral_kernels<T>();
        const double work = kDivision * product_of(k, k, 1);
        split(k, kLanesOfRoots, 5 * work, [&](int64_t begin, int64_t end) {
            kernels.roots(equation_, begin, end);
        });
        split(k, kLanesOfRoots, work, [&](int64_t begin, int64_t end) {
            kernels.weights(equation_, begin, end, exact_.get());
        });
        for (int64_t p = 0; p < k; ++p) exact_[p] = std::copysign(exact_[p], weights_[p]);
    }

    // Copies the old vectors: those of the upper half, of both, of the lower one, and those aside.
    void gather(bool vectors) {
        for (const Where group : {kUpper, kBoth, kLower}) {
            for (int64_t p = 0; p < kept(); ++p) {
                if (where_[static_cast<size_t>(kept_[static_cast<size_t>(p)])] == group) {
                    from_.push_back(p);
                }
            }
            if (group == kUpper) uppers_ = static_cast<int64_t>(from_.size());
            if (group == kBoth) lowers_ = static_cast<int64_t>(from_.size());
        }
        old_step_ = step_of<T>(width_);
        old_.resize(n_ * old_step_);
        const int64_t k = kept();
        const auto source = [&](int64_t g) {
            return g < k ? kept_[static_cast<size_t>(from_[static_cast<size_t>(g)])]
                         : aside_[static_cast<size_t>(g - k)];
        };
        split(n_, 1, product_of(n_, width_, 1), [&](int64_t begin, int64_t end) {
            for (int64_t g = begin; g < end; ++g) {
                const T* x = row(source(g));
                const bool all = !vectors || g >= k;
                const int64_t first = !all && g >= lowers_ ? upper_ : 0;
                const int64_t last = !all && g < uppers_ ? upper_ : width_;
                std::copy(x + first, x + last, old_.get() + g * old_step_ + first);
            }
        });
        for (int64_t g = k; g < n_; ++g) aside_values_[g - k] = d_[source(g)];
    }

    // The coefficients of new vector j in the old ones, in their order here.
    void coefficients(int64_t j, T* values, T* to) const {
        const T squares = spectral_kernels<T>().fractions(equation_, j, exact_.get(), values);
        const T scale = 1 / std::sqrt(squares);
        for (int64_t g = 0; g < kept(); ++g) to[g] = values[from_[static_cast<size_t>(g)]] * scale;
    }

    void all_coefficients() {
        const int64_t k = kept();
        mixed_step_ = step_of<T>(k);
        mixed_.resize(k * mixed_step_);
        split(k, 1, kDivision * product_of(k, k, 1), [&](int64_t begin, int64_t end) {
            const Scratch<T> values(k);
            for (int64_t j = begin; j < end; ++j) {
                coefficients(j, values.get(), mixed_.get() + j * mixed_step_);
            }
        });
    }

    void rows() {
        all_coefficients();
        const int64_t k = kept(), lower = n_ - upper_;
        const auto part = [&](int64_t begin, int64_t end, int64_t column, int64_t columns) {
            if (k == 0) return;
            if (begin == end) {
                for (int64_t j = 0; j < k; ++j) std::fill_n(row(j) + column, columns, T(0));
                return;
            }
            multiply<T>({false, false, k, columns, end - begin, mixed_.get() + begin, mixed_step_,
                         old_.get() + begin * old_step_ + column, old_step_, 0, q_ + column, step_});
        };
        part(0, lowers_, 0, upper_);
        part(uppers_, k, upper_, lower);
        copy_rows(old_.get() + k * old_step_, old_step_, n_ - k, n_, row(k), step_);
    }

    void columns(T* to, int64_t step) {
        all_coefficients();
        const int64_t k = kept(), lower = n_ - upper_;
        const auto part = [&](int64_t begin, int64_t end, int64_t column, int64_t columns) {
            if (k == 0) return;
            if (begin == end) {
                for (int64_t i = 0; i < columns; ++i) std::fill_n(to + (column + i) * step, k, T(0));
                return;
            }
            multiply<T>({true, true, columns, k, end - begin,
                         old_.get() + begin * old_step_ + column, old_step_, mixed_.get() + begin,
                         mixed_step_, 0, to + column * step, step});
        };
        part(0, lowers_, 0, upper_);
        part(uppers_, k, upper_, lower);
        transpose_tiles(old_.get() + k * old_step_, old_step_, n_ - k, n_, to + k, step);
    }

    // The first and the last elements of the new vectors alone.
    void ends() {
        const int64_t k = kept();
        split(k, 1, kDivision * product_of(k, k, 1), [&](int64_t begin, int64_t end) {
            const Scratch<T> values(k), mixed(k);
            for (int64_t j = begin; j < end; ++j) {
                coefficients(j, values.get(), mixed.get());
                T first = 0, last = 0;
                for (int64_t g = 0; g < lowers_; ++g) first += mixed[g] * old_.get()[g * old_step_];
                for (int64_t g = uppers_; g < k; ++g) last += mixed[g] * old_.get()[g * old_step_ + 1];
                row(j)[0] = first;
                row(j)[1] = last;
            }
        });
        for (int64_t g = k; g < n_; ++g) std::copy_n(old_.get() + g * old_step_, 2, row(g));
    }

    void finish() {
        const int64_t k = kept();
        for (int64_t j = 0; j < k; ++j) d_[j] = origin_[j] + shift_[j];
        for (int64_t j = k; j < n_; ++j) d_[j] = aside_values_[j - k];
        const auto less = [&](int64_t i, int64_t j) { return d_[i] < d_[j]; };
        std::iota(order_, order_ + n_, 0);
        std::stable_sort(order_ + k, order_ + n_, less);
        std::inplace_merge(order_, order_ + k, order_ + n_, less);
    }

    // Memory of a size that is known late.
    class Late {
    public:
        void resize(int64_t count) { memory_.emplace(count); }
        T* get() const { return memory_->get(); }

    private:
        std::optional<Scratch<T>> memory_;
    };

    static constexpr int64_t kLanesOfRoots = 64 / sizeof(T);

    int64_t upper_, n_, width_ = 0, uppers_ = 0, lowers_ = 0, old_step_ = 0, mixed_step_ = 0;
    T rho_;
    T* d_;
    T* q_;
    int64_t step_;
    int64_t* order_;
    Scratch<T> z_, values_, weights_, origin_, shift_, exact_, aside_values_;
    std::vector<Where> where_;
    std::vector<int64_t> kept_, aside_, from_;
    Secular<T> equation_{};
    Late old_, mixed_;
};

// The halves of halves, and their joins, of which those of one level are side by side where there
// are enough of them.
template <typename T>
class Halves {
public:
    Halves(T* d, T* e, int64_t n, T* vectors, int64_t step, int64_t* order)
        : d_(d), e_(e), n_(n), result_(vectors), result_step_(step), order_(order),
          wanted_(vectors != nullptr), step_(wanted_ ? step_of<T>(n) : 2), q_(n * step_) {
        cuts_ = {0, n};
        for (int64_t most = n; most > kMostSmall; most = (most + 1) / 2, ++levels_) {
            std::vector<int64_t> finer;
            for (size_t i = 0; i + 1 < cuts_.size(); ++i) {
                finer.push_back(cuts_[i]);
                finer.push_back(cuts_[i] + (cuts_[i + 1] - cuts_[i]) / 2);
            }
            finer.push_back(n);
            cuts_ = std::move(finer);
        }
    }

    bool run() {
        for (size_t i = 1; i + 1 < cuts_.size(); ++i) {
            const int64_t at = cuts_[i];
            d_[at - 1] -= std::abs(e_[at - 1]);
            d_[at] -= std::abs(e_[at - 1]);
        }
        std::atomic<bool> good{true};
        over_nodes(0, [&](int64_t begin, int64_t, int64_t end) {
            if (!leaf(begin, end - begin)) good = false;
        });
        if (!good) return false;
        for (int level = 1; level <= levels_; ++level) {
            over_nodes(level, [&](int64_t begin, int64_t middle, int64_t end) {
                const bool last = level == levels_;
                Join<T> join(middle - begin, end - middle, e_[middle - 1], d_ + begin, at(begin),
                             step_, order_ + begin);
                join.run(wanted_, last ? result_ : nullptr, result_step_);
            });
        }
        if (levels_ == 0 && wanted_) transpose_tiles(q_.get(), step_, n_, n_, result_, result_step_);
        return true;
    }

private:
    T* at(int64_t begin) const { return q_.get() + begin * step_ + (wanted_ ? begin : 0); }

    template <typename F>
    void over_nodes(int level, const F& f) const {
        const int64_t each = int64_t{1} << level;
        const int64_t count = static_cast<int64_t>(cuts_.size() - 1) / each;
        const auto node = [&](int64_t i) {
            const auto* cuts = cuts_.data() + i * each;
            f(cuts[0], cuts[each / 2], cuts[each]);
        };
        if (count < pool_size()) {
            for (int64_t i = 0; i < count; ++i) node(i);
            return;
        }
        const double work = kDivision * static_cast<double>(n_) * static_cast<double>(n_ / count);
        split(count, 1, 10 * work, [&](int64_t begin, int64_t end) {
            for (int64_t i = begin; i < end; ++i) node(i);
        });
    }

    bool leaf(int64_t begin, int64_t n) {
        std::iota(order_ + begin, order_ + begin + n, 0);
        T* rows = at(begin);
        if (wanted_) {
            for (int64_t i = begin; i < begin + n; ++i) std::fill_n(q_.get() + i * step_, n_, T(0));
            return small_tridiagonal(d_ + begin, e_ + begin, n, rows, step_);
        }
        T all[kMostSmall * kMostSmall];
        if (!small_tridiagonal(d_ + begin, e_ + begin, n, all, n)) return false;
        for (int64_t i = 0; i < n; ++i) {
            rows[i * step_] = all[i * n];
            rows[i * step_ + 1] = all[i * n + n - 1];
        }
        return true;
    }

    T* d_;
    T* e_;
    int64_t n_;
    T* result_;
    int64_t result_step_;
    int64_t* order_;
    bool wanted_;
    int64_t step_;
    Scratch<T> q_;
    std::vector<int64_t> cuts_;
    int levels_ = 0;
};

}  // namespace

template <typename T>
bool conquer(T* d, T* e, int64_t n, T* vectors, int64_t step, int64_t* order) {
    T most = 0;
    for (int64_t i = 0; i < n; ++i) most = std::max(most, std::abs(d[i]));
    for (int64_t i = 0; i + 1 < n; ++i) most = std::max(most, std::abs(e[i]));
    const int exponent = most == 0 ? 0 : std::ilogb(most);
    const auto scale = [&](int by) {
        for (int64_t i = 0; i < n; ++i) d[i] = std::ldexp(d[i], by);
    };
    scale(-exponent);
    constexpr T eps = std::numeric_limits<T>::epsilon() / 2;
    for (int64_t i = 0; i + 1 < n; ++i) {
        e[i] = std::ldexp(e[i], -exponent);
        const T around = std::sqrt(std::abs(d[i])) * std::sqrt(std::abs(d[i + 1]));
        if (std::abs(e[i]) <= eps * around) e[i] = 0;
    }
    const bool found = Halves<T>(d, e, n, vectors, step, order).run();
    scale(exponent);
    return found;
}

template bool conquer(float*, float*, int64_t, float*, int64_t, int64_t*);
template bool conquer(double*, double*, int64_t, double*, int64_t, int64_t*);

}  // namespace covector
