// Divide and conquer (Cuppen 1981, Gu and Eisenstat 1995), as LAPACK's laed0 to laed4 do it, so with
// the same signs: two halves but for a matrix of rank one; what that does not change is put aside,
// and the other eigenvalues are roots of an equation, many side by side in vectors, where LAPACK's
// divisions one by one took most of the time.
#include "runtime/conquer.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include "runtime/join.h"
#include "runtime/lapack.h"
#include "runtime/linalg_small.h"

namespace covector {
namespace {

template <typename T>
class SymmetricJoin : Joining<T> {
public:
    SymmetricJoin(int64_t upper, int64_t n, T rho, T* d, T* q, int64_t step, int64_t* order, bool ends)
        : Joining<T>(n, d, order), upper_(upper), rho_(rho), basis_(q, step, n, upper, ends) {}

    // `result` gets eigenvectors as columns, instead of q as rows; it may be null.
    void run(T* result, int64_t result_step) {
        compare();
        choose();
        this->solve(rho_, false);
        this->group();
        basis_.gather(groups_, this->kept(), n_, [&](int64_t g) { return this->source(g); });
        this->each_vector([&](int64_t j, const T* values, T length) {
            basis_.mix(j, values, 1 / length);
        });
        if (result != nullptr) {
            basis_.columns(result, result_step);
        } else {
            basis_.rows();
        }
        this->finish([&](int64_t j) { return this->origin_[j] + this->shift_[j]; });
    }

private:
    using Joining<T>::n_;
    using Joining<T>::d_;
    using Joining<T>::z_;
    using Joining<T>::order_;
    using Joining<T>::where_;
    using Joining<T>::groups_;

    // The vector of the matrix of rank one: what the halves have where they meet.
    void compare() {
        const T half = std::sqrt(T(0.5)), sign = rho_ < 0 ? -half : half;
        for (int64_t i = 0; i < n_; ++i) {
            const bool upper = i < upper_;
            z_[i] = upper ? basis_.last_of_upper(i) * half : basis_.first_of_lower(i) * sign;
            basis_.widen(i, upper);
            where_.push_back(upper ? kUpper : kLower);
            if (!upper) order_[i] += upper_;
        }
        rho_ = 2 * std::abs(rho_);
    }

    // Which eigenvalues stay as they are: of vectors without a part in z, and one of two that are
    // as good as equal (laed2).
    void choose() {
        T most = 0;
        for (int64_t i = 0; i < n_; ++i) most = std::max({most, std::abs(d_[i]), std::abs(z_[i])});
        const T least = 4 * std::numeric_limits<T>::epsilon() * most;
        this->sort_out(
            upper_, upper_, [&](int64_t i) { return rho_ * std::abs(z_[i]) <= least; },
            [&](int64_t i, int64_t j) { return alike(i, j, least); },
            [&](int64_t before, int64_t i, T c, T s) { turn_to(before, i, c, s); });
    }

    bool alike(int64_t i, int64_t j, T least) const {
        const T length = std::hypot(z_[i], z_[j]), apart = d_[j] - d_[i];
        return std::abs(apart * (z_[i] / length) * (z_[j] / length)) <= least;
    }

    void turn_to(int64_t before, int64_t i, T c, T s) {
        basis_.turn(before, i, c, s);
        const T x = d_[before], y = d_[i];
        d_[before] = x * c * c + y * s * s;
        d_[i] = x * s * s + y * c * c;
    }

    int64_t upper_;
    T rho_;
    Basis<T> basis_;
};

// All halves of a tridiagonal matrix.
template <typename T>
class Halves {
public:
    Halves(T* d, T* e, int64_t n, T* vectors, int64_t step, int64_t* order)
        : d_(d), e_(e), n_(n), result_(vectors), result_step_(step), order_(order),
          wanted_(vectors != nullptr), step_(wanted_ ? step_of<T>(n) : 2), q_(n * step_),
          levels_(levels_of(n, kMostSmall, 0)) {}

    bool run() {
        for (size_t level = 1; level < levels_.size(); ++level) {
            for (const Node& node : levels_[level]) {
                const T size = std::abs(e_[node.middle - 1]);
                d_[node.middle - 1] -= size;
                d_[node.middle] -= size;
            }
        }
        const bool good = over_levels<T>(
            levels_, n_, [&](int64_t begin, int64_t n) { return leaf(begin, n); },
            [&](const Node& node, bool last) {
                SymmetricJoin<T>(node.middle - node.begin, node.end - node.begin,
                                 e_[node.middle - 1], d_ + node.begin, at(node.begin), step_,
                                 order_ + node.begin, !wanted_)
                    .run(last ? result_ : nullptr, result_step_);
            });
        if (good && levels_.size() == 1 && wanted_) {
            transpose_tiles(q_.get(), step_, n_, n_, result_, result_step_);
        }
        return good;
    }

private:
    T* at(int64_t begin) const { return q_.get() + begin * step_ + (wanted_ ? begin : 0); }

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
    std::vector<std::vector<Node>> levels_;
};

template <typename T>
bool values_alone(T* d, T* e, int64_t n, int64_t* order) {
    const auto size = static_cast<int>(n);
    int info = 0;
    {
        const Passage passage;
        g_lapack<T>.sterf(&size, d, e, &info);
    }
    std::iota(order, order + n, 0);
    return info == 0;
}

}  // namespace

template <typename T>
bool conquer(T* d, T* e, int64_t n, T* vectors, int64_t step, int64_t* order) {
    const T most = largest_of(d, e, n);
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
    const bool direct = vectors == nullptr && n <= kMostDirect;
    const bool found =
        direct ? values_alone(d, e, n, order) : Halves<T>(d, e, n, vectors, step, order).run();
    scale(exponent);
    return found;
}

template bool conquer(float*, float*, int64_t, float*, int64_t, int64_t*);
template bool conquer(double*, double*, int64_t, double*, int64_t, int64_t*);

}  // namespace covector
