// Eigenvalues of small Hermitian matrices, one in each lane: reflections to tridiagonal matrices, then the
// QL steps without roots of Pal, Walker and Kahan (LAPACK's sterf), on all of them side by side.
#include <cmath>
#include <limits>

#include "runtime/lane_elements.h"

namespace covector {
namespace {

template <typename T>
class HermitianInLanes {
    using E = Element<T>;
    using R = typename E::Part;
    using V = Vector<R>;
    static constexpr int kMost = static_cast<int>(kMostValuesInLanes);
    static constexpr R kEps = std::numeric_limits<R>::epsilon() / 2;
    // Elements whose squares are less are nothing beside the largest, which is about 1.
    static constexpr R kNothing = std::numeric_limits<R>::min() / std::numeric_limits<R>::epsilon();

public:
    CV_INLINE explicit HermitianInLanes(int64_t n) : n_(static_cast<int>(n)) {}

    // The eigenvalues from the smallest on; marks the lanes where they are not found.
    CV_INLINE void run(const T* a, bool lower, V& odd, V* values) {
        load(a, lower);
        const V back = scale(odd);
        reduce();
        steps(odd);
        for (int j = 0; j < n_; ++j) {
            V x = d_[j] * back;
            for (int k = 0; k < j; ++k) {
                const V least = x < values[k] ? x : values[k];
                x = x < values[k] ? values[k] : x;
                values[k] = least;
            }
            values[j] = x;
        }
    }

private:
    // Column by column from the diagonal on.
    E& at(int i, int j) { return s_[j * n_ - j * (j - 1) / 2 + i - j]; }

    CV_INLINE void load(const T* a, bool lower) {
        for (int j = 0; j < n_; ++j) {
            for (int i = j; i < n_; ++i) {
                E& x = at(i, j);
                const T* from = a + (lower ? i * n_ + j : j * n_ + i);
                for (int l = 0; l < kLanes<R>; ++l) x.load(l, from[l * n_ * n_]);
                if (!lower) x = x.conjugate();
                if (i == j) x = E::of_real(x.re);
            }
        }
    }

    // Divides by a power of 2 by which the largest element is about 1, and returns it.
    CV_INLINE V scale(V& odd) {
        V most = V{};
        const int count = n_ * (n_ + 1) / 2;
        for (int e = 0; e < count; ++e) {
            const V x = s_[e].weight();
            most = x > most ? x : most;
            odd = x <= std::numeric_limits<R>::max() ? odd : V{} + 1;
        }
        V back;
        constexpr int kLeast = std::numeric_limits<R>::min_exponent + 1;
        constexpr int kLargest = std::numeric_limits<R>::max_exponent - 3;
        for (int l = 0; l < kLanes<R>; ++l) {
            const bool good = odd[l] == 0 && most[l] != 0;
            back[l] = good ? std::ldexp(R(1), std::clamp(std::ilogb(most[l]), kLeast, kLargest)) : R(1);
        }
        const V by = 1 / back;
        for (int e = 0; e < count; ++e) s_[e] = s_[e].times_real(by);
        return back;
    }

    CV_INLINE void reduce() {
        for (int j = 0; j + 1 < n_; ++j) {
            const E tau = reflect(j);
            update(j, tau);
        }
        for (int j = 0; j < n_; ++j) d_[j] = at(j, j).re;
    }

    // The reflection that takes column j to its first element below the diagonal.
    CV_INLINE E reflect(int j) {
        const E alpha = at(j + 1, j);
        V below = alpha.imaginary_size() * alpha.imaginary_size();
        for (int i = j + 2; i < n_; ++i) below += at(i, j).square();
        const auto flat = below < kNothing;
        const V one = V{} + 1;
        const V length = root<R>(alpha.re * alpha.re + below);
        const V beta = alpha.re < 0 ? length : -length;
        const E difference = E::select(flat, E::of_real(one), alpha.minus_real(beta));
        const E by = E::of_real(one).over(difference);
        v_[j + 1] = E::of_real(one);
        for (int i = j + 2; i < n_; ++i) v_[i] = E::select(flat, E{}, at(i, j).times(by));
        const V off = flat ? alpha.re : beta;
        e_[j] = off * off;
        return E::select(flat, E{}, difference.over_real(flat ? one : -beta));
    }

    // a = H a H for the rows and columns behind j.
    CV_INLINE void update(int j, const E& tau) {
        for (int i = j + 1; i < n_; ++i) w_[i] = E{};
        for (int k = j + 1; k < n_; ++k) {
            E sum = v_[k].times_real(at(k, k).re);
            const E vk = v_[k];
            for (int i = k + 1; i < n_; ++i) {
                const E x = at(i, k);
                w_[i].add_product(x, vk);
                sum.add_product(x.conjugate(), v_[i]);
            }
            w_[k].add(sum);
        }
        E dot{};
        for (int i = j + 1; i < n_; ++i) {
            w_[i] = w_[i].times(tau);
            dot.add_product(w_[i].conjugate(), v_[i]);
        }
        const E half = tau.times(dot).times_real(V{} - R(0.5));
        for (int i = j + 1; i < n_; ++i) w_[i].add_product(half, v_[i]);
        for (int k = j + 1; k < n_; ++k) {
            const E vk = v_[k].conjugate(), wk = w_[k].conjugate();
            for (int i = k; i < n_; ++i) {
                at(i, k).subtract_product(v_[i], wk);
                at(i, k).subtract_product(w_[i], vk);
            }
            at(k, k) = E::of_real(at(k, k).re);
        }
    }

    static CV_INLINE int least_of(V x) {
        R least = x[0];
        for (int l = 1; l < kLanes<R>; ++l) least = std::min(least, x[l]);
        return static_cast<int>(least);
    }
    static CV_INLINE int largest_of(V x) { return -least_of(-x); }

    // On the diagonal d and the squares e beside it.
    CV_INLINE void steps(V& odd) {
        for (int left = 30 * n_; left > 0; --left) {
            for (int i = 0; i + 1 < n_; ++i) {
                const V limit = kEps * kEps * size<R>(d_[i]) * size<R>(d_[i + 1]);
                e_[i] = e_[i] <= limit ? V{} : e_[i];
                e_[i] = e_[i] < std::numeric_limits<R>::min() ? V{} : e_[i];
            }
            // Each lane's first block that is not diagonal yet, from `first` to `last`.
            V first = V{} + static_cast<R>(n_ - 1), last = first, d = V{}, next = V{}, e = V{};
            for (int i = n_ - 2; i >= 0; --i) {
                const auto here = e_[i] != 0;
                first = here ? V{} + static_cast<R>(i) : first;
                d = here ? d_[i] : d;
                next = here ? d_[i + 1] : next;
                e = here ? e_[i] : e;
            }
            const int low = least_of(first);
            if (low == n_ - 1) return;
            for (int i = n_ - 2; i > low; --i) {
                last = (e_[i] == 0 ? V{} + static_cast<R>(i) : V{}) > first ? V{} + static_cast<R>(i) : last;
            }
            const V length = root<R>(e);
            const V g = (next - d) / (e == 0 ? V{} + 1 : 2 * length);
            const V r = root<R>(g * g + 1);
            step(first, last, d - length / (g + (g < 0 ? -r : r)), low);
        }
        V first = V{};
        for (int i = 0; i + 1 < n_; ++i) first = e_[i] != 0 ? V{} + 1 : first;
        odd = first != 0 ? V{} + 1 : odd;
    }

    // One step of each lane's block with its shift.
    CV_INLINE void step(V first, V last, V shift, int low) {
        const V one = V{} + 1;
        V c = one, s = V{}, gamma = V{}, p = V{};
        for (int i = largest_of(last) - 1; i >= low; --i) {
            const V here = V{} + static_cast<R>(i);
            V within = here < last ? one : V{};
            within = here >= first ? within : V{};
            const auto active = within != 0;
            const auto begins = here == last - 1;
            gamma = begins ? d_[i + 1] - shift : gamma;
            p = begins ? gamma * gamma : p;
            const V bb = e_[i], r = p + bb;
            const V above = begins ? e_[i + 1] : s * r;
            e_[i + 1] = active ? above : e_[i + 1];
            const V old = begins ? one : c, inverse = 1 / r;
            const V cosine = p * inverse, sine = bb * inverse;
            const V turned = cosine * (d_[i] - shift) - sine * gamma;
            d_[i + 1] = active ? gamma + (d_[i] - turned) : d_[i + 1];
            const V square = cosine != 0 ? turned * turned / cosine : old * bb;
            c = active ? cosine : c;
            s = active ? sine : s;
            gamma = active ? turned : gamma;
            p = active ? square : p;
            const auto ends = here == first;
            e_[i] = ends ? s * p : e_[i];
            d_[i] = ends ? shift + gamma : d_[i];
        }
    }

    int n_;
    E s_[kMost * (kMost + 1) / 2];
    E v_[kMost], w_[kMost];
    V d_[kMost], e_[kMost + 1];
};

template <typename T>
CV_INLINE uint32_t eigenvalues(const T* a, Real<T>* w, int64_t n, bool lower) {
    using R = Real<T>;
    using V = Vector<R>;
    HermitianInLanes<T> matrices(n);
    V odd{}, values[kMostValuesInLanes];
    matrices.run(a, lower, odd, values);
    uint32_t left = 0;
    for (int l = 0; l < kLanes<R>; ++l) {
        for (int64_t j = 0; j < n; ++j) w[l * n + j] = values[j][l];
        if (odd[l] != 0) left |= 1u << l;
    }
    return left;
}

#if defined(__x86_64__)
template <typename T>
CV_AVX512 uint32_t run(const T* a, Real<T>* w, int64_t n, bool lower) {
    return eigenvalues(a, w, n, lower);
}
#endif

}  // namespace

// With shorter vectors it takes as long as one matrix after the other.
template <typename T>
LaneEigenvalues<T> lane_eigenvalues() {
#if defined(__x86_64__)
    if (vector_bytes() >= 64) return &run<T>;
#endif
    return nullptr;
}

template LaneEigenvalues<float> lane_eigenvalues();
template LaneEigenvalues<double> lane_eigenvalues();
template LaneEigenvalues<std::complex<float>> lane_eigenvalues();
template LaneEigenvalues<std::complex<double>> lane_eigenvalues();

}  // namespace covector
