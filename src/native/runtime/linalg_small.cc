// Reduction to a tridiagonal matrix by reflections, then implicitly shifted QL or QR steps, as LAPACK's
// sytd2, orgtr and steqr do it: so signs of eigenvectors do not depend on the size of a matrix.
//
// LAPACK takes 1.6 us for a matrix of 3 x 3, nearly all of it in calls.
#include "runtime/linalg_small.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace covector {
namespace {

template <typename T>
T conjugate_of(T x) {
    if constexpr (kIsComplex<T>) {
        return std::conj(x);
    } else {
        return x;
    }
}

// Products by parts: std::complex's own looks after infinities.
template <typename T>
T times(T x, T y) {
    if constexpr (kIsComplex<T>) {
        return {x.real() * y.real() - x.imag() * y.imag(), x.real() * y.imag() + x.imag() * y.real()};
    } else {
        return x * y;
    }
}

template <typename T>
struct Tridiagonal {
    using R = Real<T>;
    static constexpr int kMost = static_cast<int>(kMostSmall);
    int n;
    R d[kMost], e[kMost];
    T tau[kMost];
    T a[kMost * kMost];  // element (i, j) at j * n + i: the lower triangle, then the reflectors
    T q[kMost * kMost];  // column j at j * n

    T& at(int i, int j) { return a[j * n + i]; }

    // The reflection that takes column j to its first element below the diagonal: larfg.
    void reflect(int j) {
        // Squares of small numbers have few digits: these are made larger first.
        constexpr R kSmall = std::numeric_limits<R>::min() / std::numeric_limits<R>::epsilon();
        const R square = square_below(j), whole = std::norm(at(j + 1, j)) + square;
        if (whole >= kSmall) return reflect_by(j, square);
        R most = 0;
        for (int i = j + 1; i < n; ++i) {
            most = std::max({most, std::abs(std::real(at(i, j))), std::abs(std::imag(at(i, j)))});
        }
        if (most == 0) return reflect_by(j, square);
        const int exponent = std::ilogb(most);
        for (int i = j + 1; i < n; ++i) at(i, j) = scaled(at(i, j), -exponent);
        reflect_by(j, square_below(j));
        e[j] = std::ldexp(e[j], exponent);
    }

    static T scaled(T x, int exponent) {
        if constexpr (kIsComplex<T>) {
            return {std::ldexp(x.real(), exponent), std::ldexp(x.imag(), exponent)};
        } else {
            return std::ldexp(x, exponent);
        }
    }

    R square_below(int j) {
        R square = 0;
        for (int i = j + 2; i < n; ++i) square += std::norm(at(i, j));
        return square;
    }

    void reflect_by(int j, R square) {
        const T alpha = at(j + 1, j);
        tau[j] = 0;
        e[j] = std::real(alpha);
        if (square == 0 && std::imag(alpha) == 0) return;
        const R beta = -std::copysign(std::sqrt(std::norm(alpha) + square), std::real(alpha));
        if constexpr (kIsComplex<T>) {
            tau[j] = {(beta - alpha.real()) / beta, -alpha.imag() / beta};
        } else {
            tau[j] = (beta - alpha) / beta;
        }
        const T scale = T{1} / (alpha - beta);
        for (int i = j + 2; i < n; ++i) at(i, j) = times(at(i, j), scale);
        e[j] = beta;
    }

    // a = H a H for the rows and columns behind j.
    void update(int j) {
        if (tau[j] == T{0}) return;
        T v[kMost], w[kMost];
        v[j + 1] = 1;
        for (int i = j + 2; i < n; ++i) v[i] = at(i, j);
        for (int i = j + 1; i < n; ++i) w[i] = 0;
        for (int k = j + 1; k < n; ++k) {
            T sum = std::real(at(k, k)) * v[k];
            for (int i = k + 1; i < n; ++i) {
                w[i] += times(at(i, k), v[k]);
                sum += times(conjugate_of(at(i, k)), v[i]);
            }
            w[k] += sum;
        }
        T dot = 0;
        for (int i = j + 1; i < n; ++i) {
            w[i] = times(tau[j], w[i]);
            dot += times(conjugate_of(w[i]), v[i]);
        }
        const T alpha = times(tau[j], dot) * R(-0.5);
        for (int i = j + 1; i < n; ++i) w[i] += times(alpha, v[i]);
        for (int k = j + 1; k < n; ++k) {
            const T vk = conjugate_of(v[k]), wk = conjugate_of(w[k]);
            for (int i = k; i < n; ++i) at(i, k) -= times(v[i], wk) + times(w[i], vk);
        }
    }

    void reduce() {
        for (int j = 0; j + 1 < n; ++j) {
            reflect(j);
            update(j);
        }
        for (int j = 0; j < n; ++j) d[j] = std::real(at(j, j));
    }

    // q = H(0) H(1) ..., from the last one on, each of which changes what is below its row.
    void multiply() {
        std::fill(q, q + n * n, T{0});
        for (int j = 0; j < n; ++j) q[j * n + j] = 1;
        for (int j = n - 2; j >= 0; --j) {
            if (tau[j] == T{0}) continue;
            T v[kMost];
            v[j + 1] = 1;
            for (int i = j + 2; i < n; ++i) v[i] = at(i, j);
            for (int k = j + 1; k < n; ++k) {
                T* column = q + k * n;
                T dot = 0;
                for (int i = j + 1; i < n; ++i) dot += times(conjugate_of(v[i]), column[i]);
                dot = times(tau[j], dot);
                for (int i = j + 1; i < n; ++i) column[i] -= times(v[i], dot);
            }
        }
    }
};

template <typename R>
struct Rotation {
    R c, s, r;
};

// c and s with c f + s g = r and c g = s f: lartg.
template <typename R>
Rotation<R> rotation(R f, R g) {
    if (g == 0) return {1, 0, f};
    if (f == 0) return {0, std::copysign(R(1), g), std::abs(g)};
    const R length = std::sqrt(f * f + g * g);
    const R r = std::copysign(length, f);
    return {std::abs(f) / length, g / r, r};
}

// The eigenvalues of [[a, b], [b, c]], that of larger size first, and the unit vector (cs, sn) of it: laev2.
template <typename R>
struct OfTwo {
    R first, second, cs, sn;
    OfTwo(R a, R b, R c) {
        const R sum = a + c, difference = a - c, twice = b + b;
        const R x = std::abs(difference), y = std::abs(twice);
        const R large = std::abs(a) > std::abs(c) ? a : c, small = std::abs(a) > std::abs(c) ? c : a;
        const R root = x > y   ? x * std::sqrt(1 + (y / x) * (y / x))
                       : x < y ? y * std::sqrt(1 + (x / y) * (x / y))
                               : y * std::sqrt(R(2));
        bool positive = true;
        if (sum == 0) {
            first = root / 2;
            second = -root / 2;
        } else {
            positive = sum > 0;
            first = (positive ? sum + root : sum - root) / 2;
            second = (large / first) * small - (b / first) * b;
        }
        const bool ahead = difference >= 0;
        const R cosine = ahead ? difference + root : difference - root;
        if (std::abs(cosine) > y) {
            const R ratio = -twice / cosine;
            sn = 1 / std::sqrt(1 + ratio * ratio);
            cs = ratio * sn;
        } else if (y == 0) {
            cs = 1;
            sn = 0;
        } else {
            const R ratio = -cosine / twice;
            cs = 1 / std::sqrt(1 + ratio * ratio);
            sn = ratio * cs;
        }
        if (positive == ahead) {
            const R old = cs;
            cs = -sn;
            sn = old;
        }
    }
};

// The columns z and its neighbour, rotated.
template <typename T>
void rotate(T* z, int n, Real<T> c, Real<T> s) {
    T* next = z + n;
    for (int i = 0; i < n; ++i) {
        const T x = next[i], y = z[i];
        next[i] = c * x - s * y;
        z[i] = s * x + c * y;
    }
}

// steqr: diagonalizes blocks from the end where the matrix is small to where it is large.
template <typename T>
class Steps {
public:
    Steps(Tridiagonal<T>& t, bool vectors) : t_(t), n_(t.n), left_(30 * t.n), vectors_(vectors) {}

    bool run() {
        int first = 0;
        while (first < n_) {
            if (first > 0) t_.e[first - 1] = 0;
            int last = first;
            for (; last + 1 < n_; ++last) {
                const R size = std::abs(t_.e[last]);
                if (size == 0) break;
                const R around = std::sqrt(std::abs(t_.d[last])) * std::sqrt(std::abs(t_.d[last + 1]));
                if (size <= around * kEps) {
                    t_.e[last] = 0;
                    break;
                }
            }
            const int next = last + 1;
            if (last > first) {
                const int exponent = small_exponent(first, last);
                scale(first, last, -exponent);
                const bool down = std::abs(t_.d[last]) < std::abs(t_.d[first]);
                if (!(down ? qr(last, first) : ql(first, last))) return false;
                scale(first, last, exponent);
            }
            first = next;
        }
        return true;
    }

private:
    using R = Real<T>;
    static constexpr R kEps = std::numeric_limits<R>::epsilon() / 2;
    static constexpr R kLeast = std::numeric_limits<R>::min();

    // That of the largest element of a block, if squares in it would have few digits.
    int small_exponent(int first, int last) const {
        R most = std::abs(t_.d[last]);
        for (int i = first; i < last; ++i) {
            most = std::max({most, std::abs(t_.d[i]), std::abs(t_.e[i])});
        }
        constexpr R kSmall = 1 / (std::numeric_limits<R>::max() * kEps * kEps * kEps * kEps);
        return most * most < kSmall ? std::ilogb(most) : 0;
    }

    void scale(int first, int last, int exponent) {
        if (exponent == 0) return;
        for (int i = first; i <= last; ++i) t_.d[i] = std::ldexp(t_.d[i], exponent);
        for (int i = first; i < last; ++i) t_.e[i] = std::ldexp(t_.e[i], exponent);
    }

    bool split(int i) const {
        return t_.e[i] * t_.e[i] <= (kEps * kEps * std::abs(t_.d[i])) * std::abs(t_.d[i + 1]) + kLeast;
    }

    void turn(int column, R c, R s) {
        if (vectors_) rotate(t_.q + column * n_, n_, c, s);
    }

    // From l upwards to `end`.
    bool ql(int l, int end) {
        R* d = t_.d;
        R* e = t_.e;
        while (l <= end) {
            int m = l;
            while (m < end && !split(m)) ++m;
            if (m < end) e[m] = 0;
            R p = d[l];
            if (m == l) {
                ++l;
                continue;
            }
            if (m == l + 1) {
                const OfTwo<R> two(d[l], e[l], d[l + 1]);
                turn(l, two.cs, two.sn);
                d[l] = two.first;
                d[l + 1] = two.second;
                e[l] = 0;
                l += 2;
                continue;
            }
            if (left_-- == 0) return false;
            R g = (d[l + 1] - p) / (2 * e[l]);
            R r = std::sqrt(g * g + 1);
            g = d[m] - p + e[l] / (g + std::copysign(r, g));
            R s = 1, c = 1;
            p = 0;
            R cs[Tridiagonal<T>::kMost], sn[Tridiagonal<T>::kMost];
            for (int i = m - 1; i >= l; --i) {
                const R f = s * e[i], b = c * e[i];
                const Rotation<R> by = rotation(g, f);
                c = by.c;
                s = by.s;
                if (i != m - 1) e[i + 1] = by.r;
                g = d[i + 1] - p;
                r = (d[i] - g) * s + 2 * c * b;
                p = s * r;
                d[i + 1] = g + p;
                g = c * r - b;
                cs[i] = c;
                sn[i] = -s;
            }
            for (int i = m - 1; i >= l; --i) turn(i, cs[i], sn[i]);
            d[l] -= p;
            e[l] = g;
        }
        return true;
    }

    // From l downwards to `end`.
    bool qr(int l, int end) {
        R* d = t_.d;
        R* e = t_.e;
        while (l >= end) {
            int m = l;
            while (m > end && !split(m - 1)) --m;
            if (m > end) e[m - 1] = 0;
            R p = d[l];
            if (m == l) {
                --l;
                continue;
            }
            if (m == l - 1) {
                const OfTwo<R> two(d[l - 1], e[l - 1], d[l]);
                turn(l - 1, two.cs, two.sn);
                d[l - 1] = two.first;
                d[l] = two.second;
                e[l - 1] = 0;
                l -= 2;
                continue;
            }
            if (left_-- == 0) return false;
            R g = (d[l - 1] - p) / (2 * e[l - 1]);
            R r = std::sqrt(g * g + 1);
            g = d[m] - p + e[l - 1] / (g + std::copysign(r, g));
            R s = 1, c = 1;
            p = 0;
            for (int i = m; i < l; ++i) {
                const R f = s * e[i], b = c * e[i];
                const Rotation<R> by = rotation(g, f);
                c = by.c;
                s = by.s;
                if (i != m) e[i - 1] = by.r;
                g = d[i] - p;
                r = (d[i + 1] - g) * s + 2 * c * b;
                p = s * r;
                d[i] = g + p;
                g = c * r - b;
                turn(i, c, s);
            }
            d[l] -= p;
            e[l - 1] = g;
        }
        return true;
    }

    Tridiagonal<T>& t_;
    int n_, left_;
    bool vectors_;
};

}  // namespace

template <typename T>
bool small_eigh(const T* a, int64_t n, Real<T>* values, T* vectors) {
    using R = Real<T>;
    Tridiagonal<T> t;
    t.n = static_cast<int>(n);
    R largest = 0;
    for (int j = 0; j < t.n; ++j) {
        for (int i = j; i < t.n; ++i) {
            t.at(i, j) = a[i * n + j];
            largest = std::max({largest, std::abs(std::real(t.at(i, j))), std::abs(std::imag(t.at(i, j)))});
        }
        t.at(j, j) = std::real(t.at(j, j));
    }
    const R tiny = std::sqrt(std::numeric_limits<R>::min()) / std::numeric_limits<R>::epsilon();
    if (largest != 0 && !(largest > tiny && largest < 1 / tiny)) return false;
    t.reduce();
    if (vectors != nullptr) t.multiply();
    if (!Steps<T>(t, vectors != nullptr).run()) return false;
    for (int i = 0; i < t.n; ++i) {
        const int k = static_cast<int>(std::min_element(t.d + i, t.d + t.n) - t.d);
        values[i] = t.d[k];
        t.d[k] = t.d[i];
        if (vectors == nullptr) continue;
        T* least = t.q + k * t.n;
        for (int row = 0; row < t.n; ++row) vectors[row * n + i] = least[row];
        if (k != i) std::copy(t.q + i * t.n, t.q + (i + 1) * t.n, least);
    }
    return true;
}

template <typename R>
bool small_tridiagonal(R* d, const R* e, int64_t size, R* rows, int64_t step) {
    Tridiagonal<R> t;
    const int n = t.n = static_cast<int>(size);
    std::copy(d, d + n, t.d);
    std::copy(e, e + n - 1, t.e);
    std::fill(t.q, t.q + n * n, R(0));
    for (int i = 0; i < n; ++i) t.q[i * n + i] = 1;
    if (!Steps<R>(t, true).run()) return false;
    for (int i = 0; i < n; ++i) {
        const int k = static_cast<int>(std::min_element(t.d + i, t.d + n) - t.d);
        d[i] = t.d[k];
        t.d[k] = t.d[i];
        R* least = t.q + k * n;
        std::copy(least, least + n, rows + i * step);
        if (k != i) std::copy(t.q + i * n, t.q + (i + 1) * n, least);
    }
    return true;
}

template bool small_tridiagonal(float*, const float*, int64_t, float*, int64_t);
template bool small_tridiagonal(double*, const double*, int64_t, double*, int64_t);
template bool small_eigh<float>(const float*, int64_t, float*, float*);
template bool small_eigh<double>(const double*, int64_t, double*, double*);
template bool small_eigh<std::complex<float>>(const std::complex<float>*, int64_t, float*,
                                              std::complex<float>*);
template bool small_eigh<std::complex<double>>(const std::complex<double>*, int64_t, double*,
                                               std::complex<double>*);

}  // namespace covector
