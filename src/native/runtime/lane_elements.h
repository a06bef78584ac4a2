// What matrices in lanes are made of: an element of all of them is a vector, or two.
#pragma once

#include <algorithm>
#include <complex>
#include <cstdint>

#include "runtime/linalg_lanes.h"
#include "runtime/wide.h"

namespace covector {

// The elements of a matrix, over all lanes: a vector, or two.
template <typename R>
struct RealElement {
    using Part = R;
    using V = Vector<R>;
    V re;

    CV_INLINE void load(int lane, const R& x) { re[lane] = x; }
    CV_INLINE void store(int lane, R& x) const { x = re[lane]; }
    CV_INLINE void subtract_product(const RealElement& a, const RealElement& b) {
        re -= a.re * b.re;
    }
    CV_INLINE void subtract(const RealElement& a) { re -= a.re; }
    CV_INLINE void add_product(const RealElement& a, const RealElement& b) { re += a.re * b.re; }
    CV_INLINE RealElement times(const RealElement& b) const { return {re * b.re}; }
    CV_INLINE RealElement conjugate() const { return *this; }
    CV_INLINE RealElement over(const RealElement& b) const { return {re / b.re}; }
    CV_INLINE RealElement times_real(V x) const { return {re * x}; }
    CV_INLINE RealElement over_real(V x) const { return {re / x}; }
    CV_INLINE RealElement minus_real(V x) const { return {re - x}; }
    CV_INLINE V imaginary_size() const { return V{}; }
    CV_INLINE void add(const RealElement& a) { re += a.re; }
    CV_INLINE V weight() const { return size<R>(re); }  // as LAPACK compares pivots
    CV_INLINE V square() const { return re * re; }
    CV_INLINE static RealElement of_real(V x) { return {x}; }
    template <typename M>
    CV_INLINE static RealElement select(M m, const RealElement& a, const RealElement& b) {
        return {m ? a.re : b.re};
    }
};

template <typename R>
struct ComplexElement {
    using Part = R;
    using V = Vector<R>;
    V re, im;

    CV_INLINE void load(int lane, const std::complex<R>& x) {
        re[lane] = x.real();
        im[lane] = x.imag();
    }
    CV_INLINE void store(int lane, std::complex<R>& x) const { x = {re[lane], im[lane]}; }
    CV_INLINE void subtract_product(const ComplexElement& a, const ComplexElement& b) {
        re -= a.re * b.re - a.im * b.im;
        im -= a.re * b.im + a.im * b.re;
    }
    CV_INLINE void subtract(const ComplexElement& a) {
        re -= a.re;
        im -= a.im;
    }
    CV_INLINE void add_product(const ComplexElement& a, const ComplexElement& b) {
        re += a.re * b.re - a.im * b.im;
        im += a.re * b.im + a.im * b.re;
    }
    CV_INLINE ComplexElement times(const ComplexElement& b) const {
        return {re * b.re - im * b.im, re * b.im + im * b.re};
    }
    CV_INLINE ComplexElement conjugate() const { return {re, -im}; }
    // Scaled by the larger part, so that no square overflows.
    CV_INLINE ComplexElement over(const ComplexElement& b) const {
        const V x = size<R>(b.re), y = size<R>(b.im);
        const V scale = x > y ? x : y;
        const V p = b.re / scale, q = b.im / scale;
        const V below = (p * p + q * q) * scale;
        return {(re * p + im * q) / below, (im * p - re * q) / below};
    }
    CV_INLINE ComplexElement times_real(V x) const { return {re * x, im * x}; }
    CV_INLINE ComplexElement over_real(V x) const { return {re / x, im / x}; }
    CV_INLINE ComplexElement minus_real(V x) const { return {re - x, im}; }
    CV_INLINE V imaginary_size() const { return size<R>(im); }
    CV_INLINE void add(const ComplexElement& a) {
        re += a.re;
        im += a.im;
    }
    CV_INLINE V weight() const { return size<R>(re) + size<R>(im); }
    CV_INLINE V square() const { return re * re + im * im; }
    CV_INLINE static ComplexElement of_real(V x) { return {x, x - x}; }
    template <typename M>
    CV_INLINE static ComplexElement select(M m, const ComplexElement& a, const ComplexElement& b) {
        return {m ? a.re : b.re, m ? a.im : b.im};
    }
};

template <typename T>
struct ElementOf {
    using Type = RealElement<T>;
};
template <typename R>
struct ElementOf<std::complex<R>> {
    using Type = ComplexElement<R>;
};
template <typename T>
using Element = typename ElementOf<T>::Type;

// `each` elements of each matrix of a group; lanes beyond the last matrix repeat it.
template <typename T, typename E>
CV_INLINE void load_group(const T* from, int64_t each, int64_t valid, E* to) {
    constexpr int lanes = static_cast<int>(kLanes<typename E::Part>);
    if (valid >= lanes) {
        for (int64_t e = 0; e < each; ++e) {
            for (int l = 0; l < lanes; ++l) to[e].load(l, from[l * each + e]);
        }
        return;
    }
    for (int64_t e = 0; e < each; ++e) {
        for (int l = 0; l < lanes; ++l) {
            to[e].load(l, from[std::min<int64_t>(l, valid - 1) * each + e]);
        }
    }
}

template <typename T, typename E>
CV_INLINE void store_group(T* to, int64_t each, int64_t valid, const E* from) {
    const auto lanes = static_cast<int>(std::min<int64_t>(valid, kLanes<typename E::Part>));
    for (int64_t e = 0; e < each; ++e) {
        for (int l = 0; l < lanes; ++l) from[e].store(l, to[l * each + e]);
    }
}

constexpr int64_t kMostElements = kMostInLanes * kMostInLanes;

}  // namespace covector
