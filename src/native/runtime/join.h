// What the joins of two halves have in common, of eigenvalues and of singular values: which of them
// stay, the equation of the others, and the new vectors from the old ones.
#pragma once

#include <algorithm>
#include <atomic>
#include <cmath>
#include <limits>
#include <numeric>
#include <optional>
#include <vector>

#include "runtime/blocks.h"
#include "runtime/matrices.h"
#include "runtime/spectral.h"

namespace covector {

constexpr double kDivision = 4;  // multiply-adds in the time of a division

// Which half's elements a vector has, or that it stays as it is.
enum Where : int8_t { kUpper, kBoth, kLower, kAside };

// The order in which vectors are mixed: positions among those that are kept, first of the upper half,
// then of both, then of the lower one; and behind them those that stay.
struct Groups {
    std::vector<int64_t> from;
    int64_t uppers = 0, lowers = 0;  // where those of the upper half alone end, of the lower begin
};

// Vectors as rows of q, with elements of the upper half up to `middle`; or, of those whose other
// elements nobody wants (`ends`), the first and the last one.
template <typename T>
class Basis {
public:
    Basis(T* q, int64_t step, int64_t width, int64_t middle, bool ends)
        : q_(q), step_(step), width_(ends ? 2 : width), middle_(middle), ends_(ends) {}

    T* row(int64_t i) const { return q_ + i * step_; }
    T last_of_upper(int64_t i) const { return row(i)[ends_ ? 1 : middle_ - 1]; }
    T first_of_lower(int64_t i) const { return row(i)[ends_ ? 0 : middle_]; }

    // A vector of one half has nothing at the other's end.
    void widen(int64_t i, bool upper) const {
        if (ends_) row(i)[upper ? 1 : 0] = 0;
    }

    // Turns vector i to c i + s j, and j to c j - s i.
    void turn(int64_t i, int64_t j, T c, T s) const {
        T* p = row(i);
        T* q = row(j);
        for (int64_t k = 0; k < width_; ++k) {
            const T x = p[k], y = q[k];
            p[k] = c * x + s * y;
            q[k] = c * y - s * x;
        }
    }

    // Copies the vectors, of which `source(g)` is the g-th: k that are mixed, and those that stay.
    template <typename F>
    void gather(const Groups& groups, int64_t k, int64_t count, const F& source) {
        k_ = k;
        count_ = count;
        groups_ = &groups;
        old_step_ = step_of<T>(width_);
        mixed_step_ = step_of<T>(k);
        old_.emplace(count * old_step_);
        mixed_.emplace(k * mixed_step_);
        split(count, 1, product_of(count, width_, 1), [&](int64_t begin, int64_t end) {
            for (int64_t g = begin; g < end; ++g) {
                const T* x = row(source(g));
                const bool all = ends_ || g >= k;
                const int64_t first = !all && g >= groups.lowers ? middle_ : 0;
                const int64_t last = !all && g < groups.uppers ? middle_ : width_;
                std::copy(x + first, x + last, old(g) + first);
            }
        });
    }

    // The coefficients of new vector j, from those of the kept ones in their own order.
    void mix(int64_t j, const T* values, T scale) const {
        T* to = mixed_->get() + j * mixed_step_;
        for (int64_t g = 0; g < k_; ++g) {
            to[g] = values[groups_->from[static_cast<size_t>(g)]] * scale;
        }
    }

    // The new vectors in place of the rows.
    void rows() const {
        if (ends_) return mix_ends();
        rows_of(0, groups_->lowers, 0, middle_);
        rows_of(groups_->uppers, k_, middle_, width_ - middle_);
        copy_rows(old(k_), old_step_, count_ - k_, width_, row(k_), step_);
    }

    // The new vectors as columns of `to`.
    void columns(T* to, int64_t step) const {
        columns_of(0, groups_->lowers, 0, middle_, to, step);
        columns_of(groups_->uppers, k_, middle_, width_ - middle_, to, step);
        transpose_tiles(old(k_), old_step_, count_ - k_, width_, to + k_, step);
    }

private:
    T* old(int64_t g) const { return old_->get() + g * old_step_; }

    void rows_of(int64_t begin, int64_t end, int64_t column, int64_t columns) const {
        if (k_ == 0 || columns == 0) return;
        if (begin == end) {
            for (int64_t j = 0; j < k_; ++j) std::fill_n(row(j) + column, columns, T(0));
            return;
        }
        multiply<T>({false, false, k_, columns, end - begin, mixed_->get() + begin, mixed_step_,
                     old(begin) + column, old_step_, 0, q_ + column, step_});
    }

    void columns_of(int64_t begin, int64_t end, int64_t column, int64_t columns, T* to,
                    int64_t step) const {
        if (k_ == 0 || columns == 0) return;
        to += column * step;
        if (begin == end) {
            for (int64_t i = 0; i < columns; ++i) std::fill_n(to + i * step, k_, T(0));
            return;
        }
        multiply<T>({true, true, columns, k_, end - begin, old(begin) + column, old_step_,
                     mixed_->get() + begin, mixed_step_, 0, to, step});
    }

    void mix_ends() const {
        for (int64_t j = 0; j < k_; ++j) {
            const T* mixed = mixed_->get() + j * mixed_step_;
            T first = 0, last = 0;
            for (int64_t g = 0; g < k_; ++g) {
                first += mixed[g] * old(g)[0];
                last += mixed[g] * old(g)[1];
            }
            row(j)[0] = first;
            row(j)[1] = last;
        }
        copy_rows(old(k_), old_step_, count_ - k_, width_, row(k_), step_);
    }

    T* q_;
    int64_t step_, width_, middle_;
    bool ends_;
    int64_t k_ = 0, count_ = 0, old_step_ = 0, mixed_step_ = 0;
    const Groups* groups_ = nullptr;
    std::optional<Scratch<T>> old_, mixed_;
};

// The length of a vector with such a sum of squares, which may be no number.
template <typename T>
T length_of(const T* x, int64_t n, T squares) {
    constexpr T least = std::numeric_limits<T>::min() / std::numeric_limits<T>::epsilon();
    if (squares > least && squares <= std::numeric_limits<T>::max()) return std::sqrt(squares);
    T most = std::numeric_limits<T>::min(), sum = 0;
    for (int64_t i = 0; i < n; ++i) most = std::max(most, std::abs(x[i]));
    for (int64_t i = 0; i < n; ++i) sum += (x[i] / most) * (x[i] / most);
    return most * std::sqrt(sum);
}

// The values of two halves, and what becomes of them.
template <typename T>
class Joining {
public:
    Joining(int64_t n, T* d, int64_t* order)
        : n_(n),
          d_(d),
          order_(order),
          z_(n + 1),
          values_(n + kRoom),
          weights_(n + kRoom),
          origin_(n + kRoom),
          shift_(n + kRoom),
          exact_(n + kRoom),
          aside_values_(n) {}

protected:
    static constexpr int64_t kRoom = 64;
    static constexpr int64_t kLanesOfRoots = 64 / sizeof(T);

    int64_t kept() const { return static_cast<int64_t>(kept_.size()); }

    void put_aside(int64_t i) {
        where_[static_cast<size_t>(i)] = kAside;
        aside_.push_back(i);
    }

    // One of two vectors whose values are as good as equal is turned until it has no part in z.
    template <typename F>
    void turn(int64_t before, int64_t i, const F& bases) {
        const T length = std::hypot(z_[i], z_[before]);
        const T c = z_[i] / length, s = -z_[before] / length;
        z_[i] = length;
        z_[before] = 0;
        Where& here = where_[static_cast<size_t>(i)];
        if (here != where_[static_cast<size_t>(before)]) here = kBoth;
        bases(c, s);
    }

    void keep(int64_t i) {
        values_[kept()] = d_[i];
        kept_.push_back(i);
    }

    // Goes through two runs of the order, of which the lower one begins at `lower`, from the smallest
    // value on: what has no part in z is put aside, and so is one of two values that are `alike`, whose
    // vectors `bases` turns; the others are kept.
    template <typename Apart, typename Alike, typename F>
    void sort_out(int64_t upper, int64_t lower, const Apart& apart, const Alike& alike, const F& bases) {
        std::vector<int64_t> sorted(static_cast<size_t>(n_ - (lower - upper)));
        std::merge(order_, order_ + upper, order_ + lower, order_ + n_, sorted.begin(),
                   [&](int64_t i, int64_t j) { return d_[i] < d_[j]; });
        int64_t before = -1;
        for (const int64_t i : sorted) {
            if (apart(i)) {
                put_aside(i);
                continue;
            }
            if (before >= 0 && alike(before, i)) {
                turn(before, i, [&](T c, T s) { bases(before, i, c, s); });
                put_aside(before);
            } else if (before >= 0) {
                keep(before);
            }
            before = i;
        }
        if (before >= 0) keep(before);
    }

    // Solves the equation of those that are kept, and finds the weights of its vectors.
    void solve(T rho, bool squared) {
        const int64_t k = kept();
        if (k == 0) return;
        T square = 0;
        for (int64_t p = 0; p < k; ++p) {
            weights_[p] = z_[kept_[static_cast<size_t>(p)]];
            square += weights_[p] * weights_[p];
        }
        // The last root is at most so far behind the last pole.
        constexpr T more = 1 + 8 * std::numeric_limits<T>::epsilon();
        const T last = values_[k - 1], length = rho * square * more;
        for (int64_t p = k; p < k + kRoom; ++p) {
            values_[p] = squared ? std::sqrt(last * last + length) * more : last + length;
            weights_[p] = 0;
        }
        equation_ = {k, values_.get(), weights_.get(), 1 / rho, squared, origin_.get(), shift_.get()};
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

    // The g-th vector in the order of the groups.
    int64_t source(int64_t g) const {
        return g < kept() ? kept_[static_cast<size_t>(groups_.from[static_cast<size_t>(g)])]
                          : aside_[static_cast<size_t>(g - kept())];
    }

    void group() {
        for (const Where group : {kUpper, kBoth, kLower}) {
            for (int64_t p = 0; p < kept(); ++p) {
                if (where_[static_cast<size_t>(kept_[static_cast<size_t>(p)])] == group) {
                    groups_.from.push_back(p);
                }
            }
            if (group == kUpper) groups_.uppers = static_cast<int64_t>(groups_.from.size());
            if (group == kBoth) groups_.lowers = static_cast<int64_t>(groups_.from.size());
        }
    }

    // Calls f(j, values, length) for each new vector, with the fractions that it is made of.
    template <typename F>
    void each_vector(const F& f) const {
        const int64_t k = kept();
        split(k, 1, kDivision * product_of(k, k, 1), [&](int64_t begin, int64_t end) {
            const Scratch<T> values(k);
            for (int64_t j = begin; j < end; ++j) {
                const T squares =
                    spectral_kernels<T>().fractions(equation_, j, exact_.get(), values.get());
                f(j, values.get(), length_of(values.get(), k, squares));
            }
        });
    }

    // The values that stay behind `found`, those of the roots, and the order of all.
    template <typename F>
    void finish(const F& found) {
        const int64_t k = kept();
        for (int64_t j = k; j < n_; ++j) aside_values_[j - k] = d_[source(j)];
        for (int64_t j = 0; j < k; ++j) d_[j] = found(j);
        for (int64_t j = k; j < n_; ++j) d_[j] = aside_values_[j - k];
        const auto less = [&](int64_t i, int64_t j) { return d_[i] < d_[j]; };
        std::iota(order_, order_ + n_, 0);
        std::stable_sort(order_ + k, order_ + n_, less);
        std::inplace_merge(order_, order_ + k, order_ + n_, less);
    }

    int64_t n_;
    T* d_;
    int64_t* order_;
    Scratch<T> z_, values_, weights_, origin_, shift_, exact_, aside_values_;
    std::vector<Where> where_;
    std::vector<int64_t> kept_, aside_;
    Groups groups_;
    Secular<T> equation_{};
};

// Runs f for each of the nodes of one level, side by side where there are enough of them.
template <typename T, typename Node, typename F>
void over_nodes(const std::vector<Node>& nodes, int64_t n, const F& f) {
    const auto count = static_cast<int64_t>(nodes.size());
    if (count < pool_size()) {
        for (const Node& node : nodes) f(node);
        return;
    }
    const double work = 10 * kDivision * product_of(n, n / count, 1);
    split(count, 1, work, [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) f(nodes[static_cast<size_t>(i)]);
    });
}

// A matrix of halves: rows from `begin` to `end`, of which the upper half has those to `middle`.
struct Node {
    int64_t begin, middle, end;
};

// The nodes by level, the smallest first, which have at most `most` rows; between two halves there
// are `between` rows.
inline std::vector<std::vector<Node>> levels_of(int64_t n, int64_t most, int64_t between) {
    std::vector<std::vector<Node>> levels{{{0, n / 2, n}}};
    for (;;) {
        std::vector<Node> finer;
        bool small = true;
        for (const Node& node : levels.back()) small &= node.end - node.begin <= most;
        if (small) break;
        for (const Node& node : levels.back()) {
            for (const auto& [begin, end] : {std::pair{node.begin, node.middle},
                                             std::pair{node.middle + between, node.end}}) {
                finer.push_back({begin, begin + (end - begin) / 2, end});
            }
        }
        levels.push_back(std::move(finer));
    }
    std::reverse(levels.begin(), levels.end());
    return levels;
}

// Calls leaf(begin, length) for the smallest halves, then join(node, last) for what those became, level
// by level; false where a leaf is.
template <typename T, typename Leaf, typename Join>
bool over_levels(const std::vector<std::vector<Node>>& levels, int64_t n, const Leaf& leaf,
                 const Join& join) {
    std::atomic<bool> good{true};
    over_nodes<T>(levels[0], n, [&](const Node& node) {
        if (!leaf(node.begin, node.end - node.begin)) good = false;
    });
    for (size_t level = 1; good && level < levels.size(); ++level) {
        const bool last = level + 1 == levels.size();
        over_nodes<T>(levels[level], n, [&](const Node& node) { join(node, last); });
    }
    return good;
}

// Of values alone, up to so many are found without halves: LAPACK's steps without square roots, which
// do not use vectors, take 9 us for 32 of them, the ends of vectors of halves 27.
constexpr int64_t kMostDirect = 128;

// The largest size of an element of a matrix with these two diagonals.
template <typename T>
T largest_of(const T* d, const T* e, int64_t n) {
    T most = 0;
    for (int64_t i = 0; i < n; ++i) most = std::max(most, std::abs(d[i]));
    for (int64_t i = 0; i + 1 < n; ++i) most = std::max(most, std::abs(e[i]));
    return most;
}

}  // namespace covector
