// QR factors and singular values of small matrices, one in each lane.
#include <cmath>
#include <limits>

#include "runtime/lane_elements.h"

namespace covector {
namespace {

// Squares of smaller numbers have few digits, those of larger ones are infinite: for LAPACK.
template <typename R>
constexpr R kLeastSquare = std::numeric_limits<R>::min() / std::numeric_limits<R>::epsilon();
template <typename R>
constexpr R kLargestSquare = std::numeric_limits<R>::max() / 64;

template <typename R>
CV_INLINE Vector<R> larger(Vector<R> x, Vector<R> y) {
    return x > y ? x : y;
}

// The lanes where something holds, as bits.
template <typename R>
CV_INLINE uint32_t bits_of(Vector<R> marks, int64_t count) {
    uint32_t bits = 0;
    for (int l = 0; l < kLanes<R>; ++l) bits |= marks[l] != 0 ? 1u << l : 0;
    return bits & static_cast<uint32_t>((uint64_t{1} << count) - 1);
}

// Reflections, as LAPACK's larfg and geqr2 make them.
template <typename T>
class Reflections {
    using E = Element<T>;
    using R = typename E::Part;
    using V = Vector<R>;

public:
    CV_INLINE Reflections(int64_t m, int64_t n) : m_(m), n_(n) {}

    E* elements() { return s_; }  // (m, n): in the end the upper triangle, and vectors below it

    // Column j to its first element; lanes where squares are no good are marked.
    CV_INLINE void reflect(int64_t j, V& odd) {
        const E alpha = at(j, j);
        V sizes = V{}, below = V{};
        for (int64_t i = j + 1; i < m_; ++i) {
            sizes += at(i, j).weight();
            below += at(i, j).square();
        }
        const V one = V{} + 1;
        const V whole = alpha.square() + below;
        V good = whole >= kLeastSquare<R> ? one : V{};  // not of NaNs
        good = whole <= kLargestSquare<R> ? good : V{};
        good = sizes + alpha.weight() == 0 ? one : good;
        odd = good == 0 ? one : odd;
        const V length = root<R>(whole);
        const V beta = alpha.re < 0 ? length : -length;
        const auto flat = sizes + alpha.imaginary_size() == 0;  // it is so already
        const E difference = E::select(flat, E::of_real(one), alpha.minus_real(beta));
        const E scale = E::of_real(one).over(difference);
        for (int64_t i = j + 1; i < m_; ++i) at(i, j) = at(i, j).times(scale);
        taus_[j] = E::select(flat, E{}, difference.over_real(flat ? one : -beta));
        at(j, j) = E::select(flat, alpha, E::of_real(beta));
    }

    // x -= tau v (v* x) for the column x of `columns` columns, from element j on.
    CV_INLINE void apply(int64_t j, const E& tau, E* x, int64_t columns, bool first_is_zero) const {
        E sum = first_is_zero ? E{} : x[j * columns];
        for (int64_t i = j + 1; i < m_; ++i) sum.add_product(at(i, j).conjugate(), x[i * columns]);
        const E w = sum.times(tau);
        x[j * columns].subtract(w);
        for (int64_t i = j + 1; i < m_; ++i) x[i * columns].subtract_product(at(i, j), w);
    }

    CV_INLINE void factor(V& odd) {
        for (int64_t j = 0; j < std::min(m_, n_); ++j) {
            reflect(j, odd);
            const E tau = taus_[j].conjugate();
            for (int64_t c = j + 1; c < n_; ++c) apply(j, tau, s_ + c, n_, false);
        }
    }

    // The first columns of the product of all of them, from the last one on.
    CV_INLINE void multiply(E* q, int64_t width) const {
        const V one = V{} + 1;
        const int64_t k = std::min(m_, n_);
        for (int64_t i = 0; i < m_; ++i) {
            for (int64_t c = 0; c < width; ++c) {
                q[i * width + c] = i == c && c >= k ? E::of_real(one) : E{};
            }
        }
        for (int64_t j = k - 1; j >= 0; --j) {
            for (int64_t c = j + 1; c < width; ++c) apply(j, taus_[j], q + c, width, true);
            q[j * width + j] = E::of_real(one);
            q[j * width + j].subtract(taus_[j]);
            for (int64_t i = j + 1; i < m_; ++i) q[i * width + j].subtract_product(at(i, j), taus_[j]);
        }
    }

    CV_INLINE void clear_below() {
        for (int64_t i = 1; i < m_; ++i) {
            for (int64_t j = 0; j < std::min(i, n_); ++j) at(i, j) = E{};
        }
    }

private:
    E& at(int64_t i, int64_t j) { return s_[i * n_ + j]; }
    const E& at(int64_t i, int64_t j) const { return s_[i * n_ + j]; }

    int64_t m_, n_;
    E s_[kMostElements];
    E taus_[kMostInLanes];
};

template <typename T>
CV_INLINE uint32_t qr_in_lanes(const T* a, T* q, T* r, int64_t m, int64_t n, int64_t width,
                               int64_t count) {
    using E = Element<T>;
    using R = typename E::Part;
    Reflections<T> by(m, n);
    E product[kMostElements];
    Vector<R> odd{};
    load_group(a, m * n, count, by.elements());
    by.factor(odd);
    by.multiply(product, width);
    store_group(q, m * width, count, product);
    by.clear_below();
    store_group(r, width * n, count, by.elements());
    return bits_of<R>(odd, count);
}

// Hestenes' one-sided Jacobi method ("Inversion of matrices by biorthogonalization and related results",
// 1958): columns are turned in pairs until all are orthogonal; their lengths are the singular values.
template <typename R>
class Turning {
    using V = Vector<R>;
    static constexpr int kMostSweeps = 30;

public:
    // Columns of m elements, and as many or fewer of them.
    CV_INLINE Turning(int64_t m, int64_t n) : m_(m), n_(n) {}

    V& at(int64_t i, int64_t j) { return s_[j * m_ + i]; }

    // Multiplies with a power of 2 by which the largest element is about 1; what takes that back.
    CV_INLINE V scale(V& odd) {
        V most = V{};
        for (int64_t e = 0; e < m_ * n_; ++e) {
            const V x = size<R>(s_[e]);
            most = larger<R>(most, x);
            odd = x <= std::numeric_limits<R>::max() ? odd : V{} + 1;
        }
        V back;
        for (int l = 0; l < kLanes<R>; ++l) back[l] = power_below(most[l], odd[l]);
        const V by = 1 / back;
        for (int64_t e = 0; e < m_ * n_; ++e) s_[e] *= by;
        return back;
    }

    // False if they do not get orthogonal.
    CV_INLINE bool run() {
        for (int sweep = 0; sweep < kMostSweeps; ++sweep) {
            for (int64_t j = 0; j < n_; ++j) squares_[j] = square_of(j);
            bool turned = false;
            for (int64_t p = 0; p + 1 < n_; ++p) {
                for (int64_t q = p + 1; q < n_; ++q) turned |= turn(p, q);
            }
            if (!turned) return true;
        }
        return false;
    }

    CV_INLINE void values(V* to, V back) {
        for (int64_t j = 0; j < n_; ++j) {
            V x = root<R>(square_of(j)) * back;
            for (int64_t k = 0; k < j; ++k) {  // from the largest to the smallest
                const V more = x > to[k] ? x : to[k];
                x = x > to[k] ? to[k] : x;
                to[k] = more;
            }
            to[j] = x;
        }
    }

private:
    static R power_below(R x, R odd) {
        if (odd != 0 || x == 0) return 1;
        constexpr int kLeast = std::numeric_limits<R>::min_exponent + 1;
        constexpr int kMost = std::numeric_limits<R>::max_exponent - 3;
        return std::ldexp(R(1), std::clamp(std::ilogb(x), kLeast, kMost));
    }

    CV_INLINE V square_of(int64_t j) const {
        V square = V{};
        for (int64_t i = 0; i < m_; ++i) square += s_[j * m_ + i] * s_[j * m_ + i];
        return square;
    }

    // Turns columns p and q, of which the squares of the lengths are known; whether any lane had to.
    CV_INLINE bool turn(int64_t p, int64_t q) {
        V* x = s_ + p * m_;
        V* y = s_ + q * m_;
        const V a = squares_[p], b = squares_[q];
        V c = V{};
        for (int64_t i = 0; i < m_; ++i) c += x[i] * y[i];
        constexpr R kEps = std::numeric_limits<R>::epsilon();
        const V one = V{} + 1;
        // Columns that are nothing beside the other, or the largest element, count as orthogonal.
        const V limit = (root<R>(a * b) + kEps * larger<R>(a, b)) * (kEps * static_cast<R>(m_));
        V wanted = size<R>(c) > limit ? one : V{};
        wanted = larger<R>(a, b) > kLeastSquare<R> ? wanted : V{};
        bool any = false;
        for (int l = 0; l < kLanes<R>; ++l) any |= wanted[l] != 0;
        if (!any) return false;
        const V zeta = (b - a) / (wanted != 0 ? 2 * c : one);
        const V tangent = (zeta < 0 ? -one : one) / (size<R>(zeta) + root<R>(one + zeta * zeta));
        const V t = wanted != 0 ? tangent : V{};
        const V cs = 1 / root<R>(one + t * t), sn = t * cs;
        const V part = sn / (one + cs);  // so that errors of the cosine do not make columns longer
        for (int64_t i = 0; i < m_; ++i) {
            const V old = x[i];
            x[i] -= sn * (y[i] + part * old);
            y[i] += sn * (old - part * y[i]);
        }
        squares_[p] = a - t * c;
        squares_[q] = b + t * c;
        return true;
    }

    int64_t m_, n_;
    V s_[kMostElements];
    V squares_[kMostInLanes];
};

template <typename R>
CV_INLINE uint32_t values_in_lanes(const R* a, R* s, int64_t m, int64_t n, int64_t count) {
    using V = Vector<R>;
    Turning<R> by(std::max(m, n), std::min(m, n));
    RealElement<R> given[kMostElements];
    load_group(a, m * n, count, given);
    for (int64_t i = 0; i < m; ++i) {
        for (int64_t j = 0; j < n; ++j) {
            (m >= n ? by.at(i, j) : by.at(j, i)) = given[i * n + j].re;
        }
    }
    V odd{}, found[kMostInLanes];
    const V back = by.scale(odd);
    if (!by.run()) odd = V{} + 1;
    by.values(found, back);
    RealElement<R> result[kMostInLanes];
    const int64_t k = std::min(m, n);
    for (int64_t j = 0; j < k; ++j) result[j].re = found[j];
    store_group(s, k, count, result);
    return bits_of<R>(odd, count);
}

// One set of instructions: the same functions, compiled for it.
#define CV_VARIANT(Name, bytes, attributes)                                                            \
    template <typename T>                                                                              \
    struct Name {                                                                                      \
        attributes static uint32_t qr(const T* a, T* q, T* r, int64_t m, int64_t n, int64_t width,     \
                                      int64_t count) {                                                 \
            return qr_in_lanes(a, q, r, m, n, width, count);                                           \
        }                                                                                              \
        attributes static uint32_t values(const T* a, T* s, int64_t m, int64_t n, int64_t count) {     \
            return values_in_lanes(a, s, m, n, count);                                                 \
        }                                                                                              \
    };

CV_VARIANTS(CV_VARIANT)

}  // namespace

template <typename T>
LaneQr<T> lane_qr() {
    return best_of(&Plain<T>::qr, &Avx2<T>::qr, &Avx512<T>::qr);
}

template <typename R>
LaneValues<R> lane_values() {
    return best_of(&Plain<R>::values, &Avx2<R>::values, &Avx512<R>::values);
}

template LaneQr<float> lane_qr();
template LaneQr<double> lane_qr();
template LaneQr<std::complex<float>> lane_qr();
template LaneQr<std::complex<double>> lane_qr();
template LaneValues<float> lane_values();
template LaneValues<double> lane_values();

}  // namespace covector
