// Singular values by divide and conquer (Gu and Eisenstat 1995), as LAPACK's lasd0 to lasd4 do it: a
// bidiagonal matrix is two that have a column more than rows, and a row between them. In the bases
// of their vectors it has that row and a diagonal, whose singular values are roots of an equation.
#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include "runtime/conquer.h"
#include "runtime/join.h"
#include "runtime/lapack.h"
#include "runtime/linalg_small.h"

namespace covector {
namespace {

// The row between the halves is number `upper` of n; of the right vectors there may be one more,
// which the matrix takes to zero. Both are rows.
template <typename T>
class SingularJoin : Joining<T> {
public:
    struct Vectors {
        T* left;
        int64_t left_step;
        T* right;
        int64_t right_step;
        bool ends;  // of the right vectors alone
    };

    SingularJoin(int64_t upper, int64_t n, bool wide, T* d, T on, T beside, const Vectors& v,
                 int64_t* order)
        : Joining<T>(n, d, order),
          upper_(upper),
          wide_(wide),
          on_(on),
          beside_(beside),
          vectors_(!v.ends),
          left_(v.left, v.left_step, n, upper, false),
          right_(v.right, v.right_step, n + (wide ? 1 : 0), upper + 1, v.ends) {}

    // The left vectors become columns of `left`, and the right ones of `right`, unless these are null.
    void run(T* left, int64_t left_step, T* right, int64_t right_step) {
        compare();
        choose();
        this->solve(1, true);
        this->group();
        const auto source = [&](int64_t g) { return this->source(g); };
        right_.gather(groups_, this->kept(), n_, source);
        if (vectors_) left_.gather(groups_, this->kept(), n_, source);
        mix();
        if (right != nullptr) {
            left_.columns(left, left_step);
            right_.columns(right, right_step);
        } else {
            if (vectors_) left_.rows();
            right_.rows();
        }
        this->finish([&](int64_t j) { return root(j); });
    }

private:
    using Joining<T>::n_;
    using Joining<T>::d_;
    using Joining<T>::z_;
    using Joining<T>::order_;
    using Joining<T>::where_;
    using Joining<T>::groups_;

    // The row between in the basis of the right vectors.
    void compare() {
        T most = std::max(std::abs(on_), std::abs(beside_));
        for (int64_t i = 0; i < n_ + (wide_ ? 1 : 0); ++i) {
            const bool upper = i <= upper_;
            z_[i] = upper ? on_ * right_.last_of_upper(i) : beside_ * right_.first_of_lower(i);
            right_.widen(i, upper);
        }
        for (int64_t i = 0; i < n_; ++i) {
            where_.push_back(i < upper_ ? kUpper : i == upper_ ? kBoth : kLower);
            if (i != upper_) most = std::max(most, d_[i]);
        }
        for (int64_t i = upper_ + 1; i < n_; ++i) order_[i] += upper_ + 1;
        d_[upper_] = 0;
        least_ = 4 * std::numeric_limits<T>::epsilon() * most;
        if (vectors_) {
            std::fill_n(left_.row(upper_), n_, T(0));
            left_.row(upper_)[upper_] = 1;
        }
        // Of two vectors that are taken to zero, one has no part in it.
        if (wide_) {
            const T length = std::hypot(z_[upper_], z_[n_]);
            if (length > least_) right_.turn(upper_, n_, z_[upper_] / length, z_[n_] / length);
            z_[upper_] = length;
        }
        if (std::abs(z_[upper_]) <= least_) z_[upper_] = least_;
    }

    void choose() {
        this->keep(upper_);
        this->sort_out(
            upper_, upper_ + 1, [&](int64_t i) { return std::abs(z_[i]) <= least_; },
            [&](int64_t i, int64_t j) { return d_[j] - d_[i] <= least_; },
            [&](int64_t before, int64_t i, T c, T s) {
                right_.turn(before, i, c, s);
                if (vectors_) left_.turn(before, i, c, s);
            });
        // The second pole is not at the first one.
        if (this->kept() > 1) this->values_[1] = std::max(this->values_[1], least_ / 2);
    }

    // Vector j is z[i] / (d[i]^2 - root^2) on the right, d[i] times that on the left, and -1 there.
    void mix() {
        const int64_t k = this->kept();
        this->each_vector([&](int64_t j, T* values, T length) {
            right_.mix(j, values, 1 / length);
            if (!vectors_) return;
            T sum = 1;
            values[0] = -1;
            for (int64_t i = 1; i < k; ++i) {
                values[i] *= this->values_[i];
                sum += values[i] * values[i];
            }
            left_.mix(j, values, 1 / length_of(values, k, sum));
        });
    }

    T root(int64_t j) const {
        const T pole = this->origin_[j], shift = this->shift_[j];
        const T value = std::sqrt(pole * pole + shift);
        return pole + shift / (pole + value);
    }

    int64_t upper_;
    bool wide_;
    T on_, beside_;
    bool vectors_;
    T least_ = 0;
    Basis<T> left_, right_;
};

// The singular values of n rows, in place of d, the smallest first; and what they do to the rows of vt
// (columns, columns) and to the columns of u (n, n), unless these are null.
template <typename T>
bool by_steps(T* d, T* e, int64_t n, int64_t columns, T* vt, T* u, T* work) {
    const int size = static_cast<int>(n), more = static_cast<int>(columns), one = 1, none = 0;
    const int extra = more - size;
    const int *rights = vt == nullptr ? &none : &more, *lefts = u == nullptr ? &none : &size;
    int info = 0;
    {
        const Passage passage;
        g_lapack<T>.lasdq("U", &extra, &size, rights, lefts, &none, d, e, vt, &more, u, &size, u,
                          &one, work, &info, 1);
    }
    return info == 0;
}

template <typename T>
bool values_alone(T* d, T* e, int64_t n, int64_t* order) {
    const Scratch<T> work(4 * n);
    std::iota(order, order + n, 0);
    return by_steps<T>(d, e, n, n, nullptr, nullptr, work.get());
}

// All halves of a bidiagonal matrix.
template <typename T>
class BidiagonalHalves {
public:
    BidiagonalHalves(T* d, T* e, int64_t n, T* left, T* right, int64_t step, int64_t* order)
        : d_(d),
          e_(e),
          n_(n),
          left_(left),
          right_(right),
          result_step_(step),
          order_(order),
          wanted_(left != nullptr),
          step_(wanted_ ? step_of<T>(n) : 2),
          u_(wanted_ ? n * step_ : 0),
          vt_(n * step_),
          levels_(levels_of(n, kMostSmall, 1)) {}

    bool run() {
        const bool good = over_levels<T>(
            levels_, n_, [&](int64_t begin, int64_t n) { return leaf(begin, n); },
            [&](const Node& node, bool last) {
                const int64_t begin = node.begin;
                SingularJoin<T>(node.middle - begin, node.end - begin, wide(node.end), d_ + begin,
                                d_[node.middle], e_[node.middle],
                                {at(u_, begin), step_, at(vt_, begin), step_, !wanted_},
                                order_ + begin)
                    .run(last ? left_ : nullptr, result_step_, last ? right_ : nullptr, result_step_);
            });
        if (good && levels_.size() == 1 && wanted_) {
            transpose_tiles(u_.get(), step_, n_, n_, left_, result_step_);
            transpose_tiles(vt_.get(), step_, n_, n_, right_, result_step_);
        }
        return good;
    }

private:
    // Whether a part that ends here has a column more than rows.
    bool wide(int64_t end) const { return end < n_; }

    T* at(const Scratch<T>& q, int64_t begin) const {
        return q.get() + begin * step_ + (wanted_ ? begin : 0);
    }

    bool leaf(int64_t begin, int64_t n) {
        const int64_t columns = n + (wide(begin + n) ? 1 : 0);
        constexpr int64_t kMost = kMostSmall + 1;
        T u[kMost * kMost] = {}, vt[kMost * kMost] = {}, work[4 * kMost];
        for (int64_t i = 0; i < n; ++i) u[i * n + i] = 1;
        for (int64_t i = 0; i < columns; ++i) vt[i * columns + i] = 1;
        if (!by_steps(d_ + begin, e_ + begin, n, columns, vt, u, work)) return false;
        std::iota(order_ + begin, order_ + begin + n, 0);
        for (int64_t i = begin; i < begin + columns; ++i) {
            std::fill_n(vt_.get() + i * step_, wanted_ ? n_ : 2, T(0));
        }
        T* rows = at(vt_, begin);
        for (int64_t i = 0; i < columns; ++i) {
            if (!wanted_) {
                rows[i * step_] = vt[i];
                rows[i * step_ + 1] = vt[(columns - 1) * columns + i];
                continue;
            }
            for (int64_t j = 0; j < columns; ++j) rows[i * step_ + j] = vt[j * columns + i];
        }
        if (!wanted_) return true;
        for (int64_t i = begin; i < begin + columns; ++i) std::fill_n(u_.get() + i * step_, n_, T(0));
        T* lefts = at(u_, begin);
        for (int64_t i = 0; i < n; ++i) std::copy_n(u + i * n, n, lefts + i * step_);
        return true;
    }

    T* d_;
    T* e_;
    int64_t n_;
    T* left_;
    T* right_;
    int64_t result_step_;
    int64_t* order_;
    bool wanted_;
    int64_t step_;
    Scratch<T> u_, vt_;
    std::vector<std::vector<Node>> levels_;
};

}  // namespace

template <typename T>
bool conquer_singular(T* d, T* e, int64_t n, T* left, T* right, int64_t step, int64_t* order) {
    const T most = largest_of(d, e, n);
    if (most == 0) {
        std::iota(order, order + n, 0);
        for (int64_t i = 0; i < n && left != nullptr; ++i) {
            std::fill_n(left + i * step, n, T(0));
            std::fill_n(right + i * step, n, T(0));
            left[i * step + i] = right[i * step + i] = 1;
        }
        return true;
    }
    // As in LAPACK's bdsdc, no element of the diagonal is less than an error of rounding, so that the
    // rows between are not nothing; and those above it are, or more than that.
    constexpr T eps = std::numeric_limits<T>::epsilon() / 2;
    const int exponent = std::ilogb(most);
    for (int64_t i = 0; i < n; ++i) {
        d[i] = std::ldexp(d[i], -exponent);
        if (std::abs(d[i]) < eps) d[i] = std::copysign(eps, d[i]);
    }
    for (int64_t i = 0; i + 1 < n; ++i) {
        e[i] = std::ldexp(e[i], -exponent);
        if (std::abs(e[i]) < eps) e[i] = 0;
    }
    const bool direct = left == nullptr && n <= kMostDirect;
    const bool found = direct ? values_alone(d, e, n, order)
                              : BidiagonalHalves<T>(d, e, n, left, right, step, order).run();
    for (int64_t i = 0; i < n; ++i) d[i] = std::ldexp(d[i], exponent);
    return found;
}

template bool conquer_singular(float*, float*, int64_t, float*, float*, int64_t, int64_t*);
template bool conquer_singular(double*, double*, int64_t, double*, double*, int64_t, int64_t*);

}  // namespace covector
