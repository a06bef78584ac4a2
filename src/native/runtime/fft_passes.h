// The passes of Fourier transforms, written once for all vectors. A file of an instruction set includes
// this in its anonymous namespace, after CV_TARGET and kBytes, the size of a vector. No lambdas: they
// would be compiled for the plain instruction set.

#define CV_INLINE CV_TARGET static inline __attribute__((always_inline))
// Loops over registers are unrolled whole: an array that is indexed at run time is in memory.
#define CV_UNROLL _Pragma("GCC unroll 16")

template <class T>
struct Vector;

template <>
struct Vector<float> {
    typedef float V __attribute__((vector_size(kBytes)));
};

template <>
struct Vector<double> {
    typedef double V __attribute__((vector_size(kBytes)));
};

template <class T>
struct Complex {
    using V = typename Vector<T>::V;
    V re, im;
};

template <class T>
constexpr int kLanes = kBytes / sizeof(T);
template <class T>
using Lanes = std::make_integer_sequence<int, kLanes<T>>;

// Of two vectors, one after the other: the elements at even places, at odd places, and both in turn
// (of the lower and of the upper halves); of one, the elements in reverse.
template <class V, int... I>
CV_INLINE V evens(V x, V y, std::integer_sequence<int, I...>) {
    return __builtin_shufflevector(x, y, (2 * I)...);
}
template <class V, int... I>
CV_INLINE V odds(V x, V y, std::integer_sequence<int, I...>) {
    return __builtin_shufflevector(x, y, (2 * I + 1)...);
}
template <class V, int... I>
CV_INLINE V zip_low(V x, V y, std::integer_sequence<int, I...>) {
    constexpr int n = sizeof...(I);
    return __builtin_shufflevector(x, y, (I / 2 + I % 2 * n)...);
}
template <class V, int... I>
CV_INLINE V zip_high(V x, V y, std::integer_sequence<int, I...>) {
    constexpr int n = sizeof...(I);
    return __builtin_shufflevector(x, y, (n / 2 + I / 2 + I % 2 * n)...);
}
template <class V, int... I>
CV_INLINE V reversed(V x, std::integer_sequence<int, I...>) {
    constexpr int n = sizeof...(I);
    return __builtin_shufflevector(x, x, (n - 1 - I)...);
}

template <class T>
CV_INLINE typename Vector<T>::V load(const T* p) {
    typename Vector<T>::V v;
    std::memcpy(&v, p, sizeof v);
    return v;
}
template <class T>
CV_INLINE void store(T* p, typename Vector<T>::V v) {
    std::memcpy(p, &v, sizeof v);
}
template <class T>
CV_INLINE typename Vector<T>::V all(T x) {
    return x - typename Vector<T>::V{};
}

// ------------------------------------------------------------------------------------------ complex

template <class T>
CV_INLINE Complex<T> operator+(Complex<T> x, Complex<T> y) {
    return {x.re + y.re, x.im + y.im};
}
template <class T>
CV_INLINE Complex<T> operator-(Complex<T> x, Complex<T> y) {
    return {x.re - y.re, x.im - y.im};
}
template <class T>
CV_INLINE Complex<T> operator*(Complex<T> x, Complex<T> y) {
    return {x.re * y.re - x.im * y.im, x.re * y.im + x.im * y.re};
}
template <class T>
CV_INLINE Complex<T> operator*(Complex<T> x, T y) {
    return {x.re * y, x.im * y};
}
template <class T>
CV_INLINE Complex<T> minus_i(Complex<T> x) {
    return {x.im, -x.re};
}
template <class T>
CV_INLINE Complex<T> broadcast(const T* w) {
    return {all(w[0]), all(w[1])};
}

// Numbers that lie one after the other.
template <class T>
CV_INLINE Complex<T> load_pairs(const T* p) {
    const auto low = load(p), high = load(p + kLanes<T>);
    return {evens(low, high, Lanes<T>()), odds(low, high, Lanes<T>())};
}
template <class T>
CV_INLINE void store_pairs(T* p, Complex<T> x) {
    store(p, zip_low(x.re, x.im, Lanes<T>()));
    store(p + kLanes<T>, zip_high(x.re, x.im, Lanes<T>()));
}

// Fetches what lies ahead of `count` rows of a user's memory, to be read or to be written.
template <class T, int kWritten>
CV_INLINE void fetch(const Rows<T>& rows, int64_t row, int64_t apart, int64_t count, int64_t lanes) {
    constexpr int64_t line = 64 / sizeof(T);
    for (int64_t j = 0; j < count && rows.ahead != 0; ++j) {
        const T* p = rows.re + (row + apart * j) * rows.step + rows.ahead;
        for (int64_t at = 0; at < 2 * lanes; at += line) __builtin_prefetch(p + at, kWritten);
    }
}

// A vector from lane `l` of a row on, of which only `lanes` lanes are in a user's memory.
template <class T, bool kOurs>
CV_INLINE Complex<T> load(const Rows<T>& rows, int64_t row, int64_t l, int64_t lanes) {
    if constexpr (kOurs) {
        const int64_t at = row * rows.step + l;
        return {load(rows.re + at), load(rows.im + at)};
    } else {
        const T* p = rows.re + row * rows.step + 2 * l;
        Complex<T> x;
        if (lanes - l >= kLanes<T>) {
            x = load_pairs(p);
        } else {
            T part[2 * kLanes<T>] = {};
            std::memcpy(part, p, 2 * sizeof(T) * (lanes - l));
            x = load_pairs(part);
        }
        return rows.swapped ? Complex<T>{x.im, x.re} : x;
    }
}

template <class T, bool kOurs>
CV_INLINE void store(const Rows<T>& rows, int64_t row, int64_t l, int64_t lanes, Complex<T> x) {
    if constexpr (kOurs) {
        const int64_t at = row * rows.step + l;
        store(rows.re + at, x.re);
        store(rows.im + at, x.im);
    } else {
        T* p = rows.re + row * rows.step + 2 * l;
        x = x * rows.factor;
        if (rows.swapped) x = {x.im, x.re};
        if (lanes - l >= kLanes<T>) {
            store_pairs(p, x);
        } else {
            T part[2 * kLanes<T>];
            store_pairs(part, x);
            std::memcpy(p, part, 2 * sizeof(T) * (lanes - l));
        }
    }
}

// -------------------------------------------------------------------------------------- butterflies

template <class T>
CV_INLINE void dft2(Complex<T>& a, Complex<T>& b) {
    const Complex<T> x = a;
    a = x + b;
    b = x - b;
}

template <class T>
CV_INLINE void dft4(Complex<T>& a, Complex<T>& b, Complex<T>& c, Complex<T>& d) {
    dft2(a, c);
    dft2(b, d);
    const Complex<T> x = a, y = minus_i(d), z = c;
    a = x + b;
    c = x - b;
    b = z + y;
    d = z - y;
}

template <class T, int kRadix>
CV_INLINE void butterfly(Complex<T>* x) {
    if constexpr (kRadix == 2) {
        dft2(x[0], x[1]);
    } else if constexpr (kRadix == 3) {
        const Complex<T> sum = x[1] + x[2];
        const Complex<T> turned = minus_i(x[1] - x[2]) * T(0.86602540378443864676);
        const Complex<T> rest = x[0] - sum * T(0.5);
        x[0] = x[0] + sum;
        x[1] = rest + turned;
        x[2] = rest - turned;
    } else if constexpr (kRadix == 4) {
        dft4(x[0], x[1], x[2], x[3]);
    } else if constexpr (kRadix == 5) {
        constexpr T c1 = T(0.30901699437494742410), c2 = T(-0.80901699437494742410);
        constexpr T s1 = T(0.95105651629515357212), s2 = T(0.58778525229247312917);
        const Complex<T> p = x[1] + x[4], q = x[2] + x[3], d = x[1] - x[4], e = x[2] - x[3];
        const Complex<T> a = x[0] + p * c1 + q * c2, b = x[0] + p * c2 + q * c1;
        const Complex<T> u = minus_i(d * s1 + e * s2), v = minus_i(d * s2 - e * s1);
        x[0] = x[0] + p + q;
        x[1] = a + u;
        x[4] = a - u;
        x[2] = b + v;
        x[3] = b - v;
    } else if constexpr (kRadix == 8) {
        constexpr T h = T(0.70710678118654752440);
        dft4(x[0], x[2], x[4], x[6]);
        dft4(x[1], x[3], x[5], x[7]);
        const Complex<T> a = x[3], b = x[5], c = x[7];
        x[3] = Complex<T>{a.re + a.im, a.im - a.re} * h;
        x[5] = minus_i(b);
        x[7] = Complex<T>{c.im - c.re, -c.re - c.im} * h;
        dft2(x[0], x[1]);
        dft2(x[2], x[3]);
        dft2(x[4], x[5]);
        dft2(x[6], x[7]);
        // Now the results k and k + 4 are beside each other.
        const Complex<T> y[8] = {x[0], x[2], x[4], x[6], x[1], x[3], x[5], x[7]};
        CV_UNROLL for (int k = 0; k < 8; ++k) x[k] = y[k];
    }
}

// Any odd radix: x_j and x_(r-j) are taken together, and give results k and r - k.
template <class T, bool kIn, bool kOut>
CV_TARGET void any_pass(const Pass<T>& f, const Rows<T>& in, const Rows<T>& out, int64_t lanes) {
    const int64_t r = f.radix, half = r / 2;
    Complex<T> sum[kLargestRadix / 2 + 1], difference[kLargestRadix / 2 + 1];
    for (int64_t p = 0; p < f.m; ++p) {
        const T* w = f.twiddles + 2 * p * (r - 1);
        for (int64_t q = 0; q < f.s; ++q) {
            const int64_t from = q + f.s * p, to = q + f.s * r * p, apart = f.s * f.m;
            if constexpr (!kIn) fetch<T, 0>(in, from, apart, r, lanes);
            if constexpr (!kOut) fetch<T, 1>(out, to, f.s, r, lanes);
            for (int64_t l = 0; l < lanes; l += kLanes<T>) {
                const Complex<T> first = load<T, kIn>(in, from, l, lanes);
                Complex<T> total = first;
                for (int64_t j = 1; j <= half; ++j) {
                    const Complex<T> x = load<T, kIn>(in, from + apart * j, l, lanes);
                    const Complex<T> y = load<T, kIn>(in, from + apart * (r - j), l, lanes);
                    sum[j] = x + y;
                    difference[j] = x - y;
                    total = total + sum[j];
                }
                store<T, kOut>(out, to, l, lanes, total);
                for (int64_t k = 1; k <= half; ++k) {
                    Complex<T> even = first, odd = {};
                    for (int64_t j = 1, at = k; j <= half; ++j) {
                        even = even + sum[j] * f.roots[2 * at];
                        odd = odd + difference[j] * f.roots[2 * at + 1];
                        at = at + k < r ? at + k : at + k - r;
                    }
                    odd = minus_i(odd);
                    const Complex<T> a = (even + odd) * broadcast(w + 2 * (k - 1));
                    const Complex<T> b = (even - odd) * broadcast(w + 2 * (r - k - 1));
                    store<T, kOut>(out, to + f.s * k, l, lanes, a);
                    store<T, kOut>(out, to + f.s * (r - k), l, lanes, b);
                }
            }
        }
    }
}

template <class T, int kRadix, bool kIn, bool kOut>
CV_TARGET void pass(const Pass<T>& f, const Rows<T>& in, const Rows<T>& out, int64_t lanes) {
    const int64_t apart = f.s * f.m;
    for (int64_t p = 0; p < f.m; ++p) {
        const T* w = f.twiddles + 2 * p * (kRadix - 1);
        for (int64_t q = 0; q < f.s; ++q) {
            const int64_t from = q + f.s * p, to = q + f.s * kRadix * p;
            if constexpr (!kIn) fetch<T, 0>(in, from, apart, kRadix, lanes);
            if constexpr (!kOut) fetch<T, 1>(out, to, f.s, kRadix, lanes);
            for (int64_t l = 0; l < lanes; l += kLanes<T>) {
                Complex<T> x[kRadix];
                CV_UNROLL for (int j = 0; j < kRadix; ++j) {
                    x[j] = load<T, kIn>(in, from + apart * j, l, lanes);
                }
                butterfly<T, kRadix>(x);
                if (p > 0) {
                    CV_UNROLL for (int k = 1; k < kRadix; ++k) {
                        x[k] = x[k] * broadcast(w + 2 * (k - 1));
                    }
                }
                CV_UNROLL for (int k = 0; k < kRadix; ++k) {
                    store<T, kOut>(out, to + f.s * k, l, lanes, x[k]);
                }
            }
        }
    }
}

// ----------------------------------------------------------------------------- between the two steps

// A square of vectors by vectors. A round interleaves the first half of the vectors with the second,
// which rotates the bits of an element's place by one; after log2(kLanes) rounds its row and its
// column have changed places.
template <class T>
CV_INLINE void transpose(typename Vector<T>::V* v) {
    constexpr int n = kLanes<T>;
    typename Vector<T>::V w[n];
    CV_UNROLL for (int round = 1; round < n; round *= 2) {
        CV_UNROLL for (int i = 0; i < n / 2; ++i) {
            w[2 * i] = zip_low(v[i], v[i + n / 2], Lanes<T>());
            w[2 * i + 1] = zip_high(v[i], v[i + n / 2], Lanes<T>());
        }
        CV_UNROLL for (int i = 0; i < n; ++i) v[i] = w[i];
    }
}

// Lanes become rows and rows lanes; on the way each is multiplied by its root, if it is twisted.
template <class T, bool kIn, bool kOut, bool kTwisted>
CV_TARGET void turn(const Rows<T>& in, int64_t rows, int64_t lanes, const T* by_tile, const T* by_lane,
                    const Rows<T>& out) {
    constexpr int n = kLanes<T>;
    typename Vector<T>::V re[n], im[n];
    for (int64_t l = 0; l < lanes; l += n, by_tile += 2 * rows) {
        const int64_t columns = lanes - l < n ? lanes - l : n;
        for (int64_t k = 0; k < rows; k += n) {
            CV_UNROLL for (int i = 0; i < n; ++i) {
                // Beyond the last row there is nothing; the lanes that it makes are read by nobody.
                const int64_t row = k + i < rows ? k + i : rows - 1;
                Complex<T> x = load<T, kIn>(in, row, l, lanes);
                if constexpr (kTwisted) {
                    const T* lane = by_lane + 2 * n * row;
                    x = x * (Complex<T>{load(lane), load(lane + n)} * broadcast(by_tile + 2 * row));
                }
                re[i] = x.re;
                im[i] = x.im;
            }
            transpose<T>(re);
            transpose<T>(im);
            if (columns == n) {
                CV_UNROLL for (int i = 0; i < n; ++i) {
                    store<T, kOut>(out, l + i, k, rows, Complex<T>{re[i], im[i]});
                }
            } else {
                for (int64_t i = 0; i < columns; ++i) {
                    store<T, kOut>(out, l + i, k, rows, Complex<T>{re[i], im[i]});
                }
            }
        }
    }
}

// ---------------------------------------------------------------------------------------------- reals

// x = E + w O and y = conj(E - w O), of the transforms E of the reals at even places and O of those at
// odd ones; z and v = conj(z at h - k) are E + i O and conj(E - i O).
template <class T, class C>
CV_INLINE void untangle(C z, C v, C w, C& x, C& y, bool forwards) {
    const C sum = {(z.re + v.re) * T(0.5), (z.im - v.im) * T(0.5)};
    const C rest = {(z.re - v.re) * T(0.5), (z.im + v.im) * T(0.5)};
    C other;
    if (forwards) {
        other = {w.re * rest.im + w.im * rest.re, w.im * rest.im - w.re * rest.re};
    } else {
        other = {w.im * rest.re - w.re * rest.im, w.re * rest.re + w.im * rest.im};
    }
    x = {sum.re + other.re, sum.im + other.im};
    y = {sum.re - other.re, other.im - sum.im};
}

template <class T>
struct Single {
    T re, im;
};

template <class T>
CV_TARGET void split(const T* in, T* out, int64_t h, const T* roots, bool forwards, int64_t begin,
                     int64_t end) {
    constexpr int n = kLanes<T>;
    int64_t k = begin;
    if (k == 0) {
        const T re = in[0], im = forwards ? in[1] : in[2 * h];
        if (forwards) {
            out[0] = re + im;
            out[1] = 0;
            out[2 * h] = re - im;
            out[2 * h + 1] = 0;
        } else {
            out[0] = (re + im) * T(0.5);
            out[1] = (re - im) * T(0.5);
        }
        k = 1;
    }
    // The vectors at k and at h - k have nothing in common.
    for (; k + n <= end && 2 * (k + n - 1) < h; k += n) {
        const int64_t back = h - k - n + 1;
        const Complex<T> z = load_pairs(in + 2 * k), there = load_pairs(in + 2 * back);
        const Complex<T> v = {reversed(there.re, Lanes<T>()), reversed(there.im, Lanes<T>())};
        Complex<T> x, y;
        untangle<T>(z, v, load_pairs(roots + 2 * k), x, y, forwards);
        store_pairs(out + 2 * k, x);
        store_pairs(out + 2 * back,
                    Complex<T>{reversed(y.re, Lanes<T>()), reversed(y.im, Lanes<T>())});
    }
    for (; k < end; ++k) {
        const int64_t back = h - k;
        const Single<T> z = {in[2 * k], in[2 * k + 1]}, v = {in[2 * back], in[2 * back + 1]};
        Single<T> x, y;
        untangle<T>(z, v, Single<T>{roots[2 * k], roots[2 * k + 1]}, x, y, forwards);
        out[2 * k] = x.re;
        out[2 * k + 1] = x.im;
        out[2 * back] = y.re;
        out[2 * back + 1] = y.im;
    }
}

#define CV_PASSES(T, IN, OUT)                                                                  \
    {                                                                                          \
        any_pass<T, IN, OUT>, pass<T, 1, IN, OUT>, pass<T, 2, IN, OUT>, pass<T, 3, IN, OUT>,   \
            pass<T, 4, IN, OUT>, pass<T, 5, IN, OUT>, any_pass<T, IN, OUT>,                    \
            any_pass<T, IN, OUT>, pass<T, 8, IN, OUT>                                          \
    }

template <class T>
constexpr FftKernels<T> kKernels = {
    kLanes<T>,          CV_PASSES(T, false, true), CV_PASSES(T, true, true),
    CV_PASSES(T, true, false), turn<T, true, true, true>, turn<T, false, true, false>,
    turn<T, true, false, false>, split<T>,
};
