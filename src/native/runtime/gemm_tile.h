// The tile and the copies, written once for all vectors. A file of an instruction set includes
// this in its anonymous namespace, after CV_TARGET and its classes of vectors. Such a class has
// T, V, Mask, kLanes, kRows, kWideRows, Sums (the class that adds to c), and zero, all, load, store, fma, negative, first, zip_low, zip_high.

// Loops over registers are unrolled whole: an array that is indexed at run time is in memory.
#define CV_UNROLL _Pragma("GCC unroll 16")

// c = beta c + sum.
template <class S, bool kMasked>
CV_TARGET CV_ALWAYS_INLINE void put(typename S::T* c, typename S::V sum, typename S::V beta,
                                    bool fresh, typename S::Mask mask) {
    if constexpr (kMasked) {
        S::store(c, fresh ? sum : S::Sums::fma(beta, S::load(c, mask), sum), mask);
    } else {
        S::store(c, fresh ? sum : S::Sums::fma(beta, S::load(c), sum));
    }
}

// A tile of R rows and NV vectors; kRowwise: a_step is 1, and one pointer serves three rows, which
// leaves registers for the strides. The asm lines keep the compiler from loading an element of a
// for each use, and from deriving the pointers from one another.
template <class S, int R, int NV, bool kRowwise, bool kMasked>
CV_TARGET void tile(const Tile<typename S::T>& t) {
    using T = typename S::T;
    using V = typename S::V;
    constexpr int kLanes = S::kLanes, kGroup = kRowwise ? 3 : R;
    constexpr int kPointers = (R + kGroup - 1) / kGroup;
    const typename S::Mask mask = S::first(kMasked ? t.tail : 1);
    V sum[R][NV];
    CV_UNROLL for (int i = 0; i < R; ++i) {
        CV_UNROLL for (int j = 0; j < NV; ++j) {
            sum[i][j] = S::zero();
            __builtin_prefetch(t.c + i * t.ldc + j * kLanes, 1);
        }
    }
    const int64_t a_row = kRowwise ? t.a_row : 1, a_step = kRowwise ? 1 : t.a_step;
    const T* a[kPointers];
    CV_UNROLL for (int g = 0; g < kPointers; ++g) a[g] = t.a + g * kGroup * a_row;
    const T *b = t.b, *next = t.next;
    T* packed = t.packed;
    for (int64_t part = 0;;) {
        for (int64_t q = 0; q < t.depth; ++q) {
            V right[NV];
            CV_UNROLL for (int j = 0; j < NV; ++j) {
                const bool masked = kMasked && j == NV - 1;
                right[j] = masked ? S::load(b + j * kLanes, mask) : S::load(b + j * kLanes);
            }
            if (packed != nullptr) {
                CV_UNROLL for (int j = 0; j < NV; ++j) S::store(packed + j * kLanes, right[j]);
                packed += NV * kLanes;
            }
            __builtin_prefetch(next, 0, 2);
            next += t.next_step;
            CV_UNROLL for (int i = 0; i < R; ++i) {
                V left = S::all(a[i / kGroup][(i % kGroup) * a_row]);
                if constexpr (NV > 1) asm("" : "+v"(left));
                CV_UNROLL for (int j = 0; j < NV; ++j) sum[i][j] = S::fma(left, right[j], sum[i][j]);
            }
            CV_UNROLL for (int g = 0; g < kPointers; ++g) {
                a[g] += a_step;
                if constexpr (kRowwise) asm("" : "+r"(a[g]));
            }
            b += t.b_step;
        }
        if (++part >= t.parts) break;
        CV_UNROLL for (int g = 0; g < kPointers; ++g) a[g] += t.a_jumps[part];
        if (t.b_jumps != nullptr) b += t.b_jumps[part];
    }
    if (t.minus) {
        CV_UNROLL for (int i = 0; i < R; ++i) {
            CV_UNROLL for (int j = 0; j < NV; ++j) sum[i][j] = S::negative(sum[i][j]);
        }
    }
    const V beta = S::all(t.beta);
    const bool fresh = t.beta == 0;
    CV_UNROLL for (int i = 0; i < R; ++i) {
        T* c = t.c + i * t.ldc;
        CV_UNROLL for (int j = 0; j < NV - 1; ++j) {
            put<S, false>(c + j * kLanes, sum[i][j], beta, fresh, mask);
        }
        put<S, kMasked>(c + (NV - 1) * kLanes, sum[i][NV - 1], beta, fresh, mask);
    }
}

// Squares of a vector by a vector. A round interleaves the first half of the vectors with the
// second, which rotates the bits of an element's place by one; after log2(kLanes) rounds its row
// and its column have changed places.
template <class S>
CV_TARGET void transpose(const typename S::T* from, int64_t stride, int64_t lanes, int64_t depth,
                         typename S::T* to, int64_t step) {
    constexpr int kLanes = S::kLanes;
    const typename S::Mask written = S::first(lanes);
    for (int64_t q = 0; q < depth; q += kLanes) {
        const int64_t count = depth - q < kLanes ? depth - q : kLanes;
        const typename S::Mask mask = S::first(count);
        typename S::V v[kLanes], mixed[kLanes];
        CV_UNROLL for (int i = 0; i < kLanes; ++i) {
            v[i] = i < lanes ? S::load(from + i * stride + q, mask) : S::zero();
        }
        CV_UNROLL for (int round = 1; round < kLanes; round *= 2) {
            CV_UNROLL for (int i = 0; i < kLanes / 2; ++i) {
                mixed[2 * i] = S::zip_low(v[i], v[i + kLanes / 2]);
                mixed[2 * i + 1] = S::zip_high(v[i], v[i + kLanes / 2]);
            }
            CV_UNROLL for (int i = 0; i < kLanes; ++i) v[i] = mixed[i];
        }
        CV_UNROLL for (int i = 0; i < kLanes; ++i) {
            if (i < count) S::store(to + (q + i) * step, v[i], written);
        }
    }
}

template <class S>
CV_TARGET void copy(const typename S::T* from, int64_t stride, int64_t lanes, int64_t depth,
                    typename S::T* to, int64_t step) {
    for (int64_t i = 0; i < lanes; i += S::kLanes) {
        const int64_t count = lanes - i < S::kLanes ? lanes - i : S::kLanes;
        const typename S::Mask mask = S::first(count);
        for (int64_t q = 0; q < depth; ++q) {
            S::store(to + q * step + i, S::load(from + q * stride + i, mask), mask);
        }
    }
}

template <class S, int NV, int... I>
constexpr void add_tiles(Kernels<typename S::T>& made, int log,
                         std::integer_sequence<int, I...>) {
    ((made.tiles[I + 1][log][0][0] = tile<S, I + 1, NV, false, false>), ...);
    ((made.tiles[I + 1][log][0][1] = tile<S, I + 1, NV, false, true>), ...);
    ((made.tiles[I + 1][log][1][0] = tile<S, I + 1, NV, true, false>), ...);
    ((made.tiles[I + 1][log][1][1] = tile<S, I + 1, NV, true, true>), ...);
}

template <class S>
constexpr Kernels<typename S::T> make_kernels() {
    Kernels<typename S::T> made;
    made.rows = S::kRows;
    made.wide_rows = S::kWideRows;
    made.lanes = S::kLanes;
    add_tiles<S, 1>(made, 0, std::make_integer_sequence<int, S::kRows>());
    add_tiles<S, 2>(made, 1, std::make_integer_sequence<int, S::kRows>());
    add_tiles<S, 4>(made, 2, std::make_integer_sequence<int, S::kWideRows>());
    made.transpose = transpose<S>;
    made.copy = copy<S>;
    return made;
}
