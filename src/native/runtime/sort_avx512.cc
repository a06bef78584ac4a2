// Quicksort with AVX-512: a vector is compared with the pivot at once, and `compress` moves both parts.
// Up to sixteen vectors are sorted by networks: their lanes on their own, then lanes are merged two by
// two (Batcher, "Sorting networks and their applications", 1968). Items follow each other down a lane
// meanwhile, so that most exchanges are of whole vectors; at the end the lanes are turned.
#include "runtime/sort_kernels.h"

#if defined(__x86_64__)

#include <immintrin.h>

#include <algorithm>

#define CV_TARGET CV_AVX512
#define CV_OF_VECTOR CV_TARGET static inline __attribute__((always_inline))

namespace covector {
namespace {

constexpr int kMost = 16;  // vectors that are sorted by the network

struct Items32 {
    using T = uint32_t;
    using Mask = __mmask16;
    static constexpr int kLanes = 16;
    CV_OF_VECTOR __m512i all(T x) { return _mm512_set1_epi32(static_cast<int>(x)); }
    CV_OF_VECTOR __m512i load(const T* p) { return _mm512_loadu_si512(p); }
    CV_OF_VECTOR __m512i load(const T* p, Mask m, __m512i rest) {
        return _mm512_mask_loadu_epi32(rest, m, p);
    }
    CV_OF_VECTOR void store(T* p, __m512i v) { _mm512_storeu_si512(p, v); }
    CV_OF_VECTOR void store(T* p, __m512i v, Mask m) { _mm512_mask_storeu_epi32(p, m, v); }
    CV_OF_VECTOR __m512i min(__m512i x, __m512i y) { return _mm512_min_epu32(x, y); }
    CV_OF_VECTOR __m512i max(__m512i x, __m512i y) { return _mm512_max_epu32(x, y); }
    CV_OF_VECTOR Mask below(__m512i x, __m512i y) { return _mm512_cmplt_epu32_mask(x, y); }
    CV_OF_VECTOR __m512i pack(__m512i v, Mask m) { return _mm512_maskz_compress_epi32(m, v); }
    CV_OF_VECTOR __m512i max_in(__m512i x, Mask m, __m512i y, __m512i z) {
        return _mm512_mask_max_epu32(x, m, y, z);
    }
    // Lane n becomes lane n ^ kBits.
    template <int kBits>
    CV_OF_VECTOR __m512i exchange(__m512i v) {
        if constexpr (kBits >= 4) v = _mm512_shuffle_i32x4(v, v, kBits >= 12 ? 0x1B : kBits >= 8 ? 0x4E : 0xB1);
        if constexpr (kBits % 4 == 1) v = _mm512_shuffle_epi32(v, _MM_PERM_CDAB);
        if constexpr (kBits % 4 == 2) v = _mm512_shuffle_epi32(v, _MM_PERM_BADC);
        if constexpr (kBits % 4 == 3) v = _mm512_shuffle_epi32(v, _MM_PERM_ABCD);
        return v;
    }
    // The lanes of four vectors: of lanes 4 b + j, all b, to parts[j * kApart].
    template <int kApart>
    CV_OF_VECTOR void turn_parts(const __m512i* v, __m512i* parts) {
        const __m512i a = _mm512_unpacklo_epi32(v[0], v[1]), b = _mm512_unpackhi_epi32(v[0], v[1]);
        const __m512i c = _mm512_unpacklo_epi32(v[2], v[3]), d = _mm512_unpackhi_epi32(v[2], v[3]);
        parts[0] = _mm512_unpacklo_epi64(a, c);
        parts[kApart] = _mm512_unpackhi_epi64(a, c);
        parts[kApart * 2] = _mm512_unpacklo_epi64(b, d);
        parts[kApart * 3] = _mm512_unpackhi_epi64(b, d);
    }
};

struct Items64 {
    using T = uint64_t;
    using Mask = __mmask8;
    static constexpr int kLanes = 8;
    CV_OF_VECTOR __m512i all(T x) { return _mm512_set1_epi64(static_cast<int64_t>(x)); }
    CV_OF_VECTOR __m512i load(const T* p) { return _mm512_loadu_si512(p); }
    CV_OF_VECTOR __m512i load(const T* p, Mask m, __m512i rest) {
        return _mm512_mask_loadu_epi64(rest, m, p);
    }
    CV_OF_VECTOR void store(T* p, __m512i v) { _mm512_storeu_si512(p, v); }
    CV_OF_VECTOR void store(T* p, __m512i v, Mask m) { _mm512_mask_storeu_epi64(p, m, v); }
    CV_OF_VECTOR __m512i min(__m512i x, __m512i y) { return _mm512_min_epu64(x, y); }
    CV_OF_VECTOR __m512i max(__m512i x, __m512i y) { return _mm512_max_epu64(x, y); }
    CV_OF_VECTOR Mask below(__m512i x, __m512i y) { return _mm512_cmplt_epu64_mask(x, y); }
    CV_OF_VECTOR __m512i pack(__m512i v, Mask m) { return _mm512_maskz_compress_epi64(m, v); }
    CV_OF_VECTOR __m512i max_in(__m512i x, Mask m, __m512i y, __m512i z) {
        return _mm512_mask_max_epu64(x, m, y, z);
    }
    template <int kBits>
    CV_OF_VECTOR __m512i exchange(__m512i v) {
        if constexpr (kBits >= 4) v = _mm512_shuffle_i64x2(v, v, 0x4E);
        if constexpr (kBits % 4 == 1) v = _mm512_permutex_epi64(v, 0xB1);
        if constexpr (kBits % 4 == 2) v = _mm512_permutex_epi64(v, 0x4E);
        if constexpr (kBits % 4 == 3) v = _mm512_permutex_epi64(v, 0x1B);
        return v;
    }
    template <int kApart>
    CV_OF_VECTOR void turn_parts(const __m512i* v, __m512i* parts) {
        parts[0] = _mm512_unpacklo_epi64(v[0], v[1]);
        parts[kApart] = _mm512_unpackhi_epi64(v[0], v[1]);
    }
};

template <class I>
CV_OF_VECTOR typename I::Mask first(int64_t n) {
    return static_cast<typename I::Mask>((1u << n) - 1);
}

// The lanes whose number has this bit.
template <class I>
constexpr auto with_bit(int bit) {
    unsigned mask = 0;
    for (int lane = 0; lane < I::kLanes; ++lane) mask |= (lane & bit) != 0 ? 1u << lane : 0;
    return static_cast<typename I::Mask>(mask);
}

// The smaller of both in the lanes without this bit, the larger in those with it.
template <class I, int kBit>
CV_OF_VECTOR __m512i smaller_first(__m512i x, __m512i y) {
    return I::max_in(I::min(x, y), with_bit<I>(kBit), x, y);
}

// Each lane against lane ^ kStep, then half as far.
template <class I, int kStep>
CV_OF_VECTOR __m512i steps(__m512i v) {
    if constexpr (kStep > 0) {
        v = steps<I, kStep / 2>(smaller_first<I, kStep>(v, I::template exchange<kStep>(v)));
    }
    return v;
}

CV_OF_VECTOR void order(auto in, __m512i& low, __m512i& high) {
    const __m512i smaller = in.min(low, high);
    high = in.max(low, high);
    low = smaller;
}

// Each of kCount vectors against the one kStep further, then half as far.
template <class I, int kCount, int kStep>
CV_OF_VECTOR void steps_of_vectors(__m512i* v) {
    if constexpr (kStep > 0) {
#pragma GCC unroll 16
        for (int i = 0; i < kCount; ++i) {
            if ((i & kStep) == 0) order(I{}, v[i], v[i + kStep]);
        }
        steps_of_vectors<I, kCount, kStep / 2>(v);
    }
}

// Sorts kCount vectors lane by lane: merges of runs of kRun (Batcher's, of those that lie kStep apart).
template <class I, int kCount, int kRun = 1, int kStep = kRun>
CV_OF_VECTOR void sort_down(__m512i* v) {
    if constexpr (kRun < kCount) {
#pragma GCC unroll 16
        for (int i = kStep % kRun; i + kStep < kCount; ++i) {
            const bool own = ((i - kStep % kRun) & kStep) == 0;
            if (own && i / (2 * kRun) == (i + kStep) / (2 * kRun)) order(I{}, v[i], v[i + kStep]);
        }
        if constexpr (kStep > 1) {
            sort_down<I, kCount, kRun, kStep / 2>(v);
        } else {
            sort_down<I, kCount, kRun * 2>(v);
        }
    }
}

// Merges runs, each down the lanes of a group of kLanes lanes, with the next one, until all are one.
template <class I, int kCount, int kSpan = 2>
CV_OF_VECTOR void merge_lanes(__m512i* v) {
    if constexpr (kSpan <= I::kLanes) {
#pragma GCC unroll 16
        for (int i = 0; i < (kCount + 1) / 2; ++i) {  // against the second run, backwards
            __m512i& x = v[i];
            __m512i& y = v[kCount - 1 - i];
            const __m512i other_x = I::template exchange<kSpan - 1>(x);
            const __m512i other_y = I::template exchange<kSpan - 1>(y);
            x = smaller_first<I, kSpan / 2>(x, other_y);
            if (kCount > 1) y = smaller_first<I, kSpan / 2>(y, other_x);
        }
#pragma GCC unroll 16
        for (int i = 0; i < kCount; ++i) v[i] = steps<I, kSpan / 4>(v[i]);
        steps_of_vectors<I, kCount, kCount / 2>(v);
        merge_lanes<I, kCount, kSpan * 2>(v);
    }
}

// Items that follow each other down the lanes, at least four, to where they follow each other in vectors.
template <class I, int kCount>
CV_OF_VECTOR void turn(__m512i* v) {
    constexpr int kPart = I::kLanes / 4;  // items of 128 bits
    __m512i parts[kCount];                // part b of number j * kCount / kPart + q: from lane kPart * b + j
#pragma GCC unroll 16
    for (int q = 0; q < kCount / kPart; ++q) I::template turn_parts<kCount / kPart>(v + q * kPart, parts + q);
#pragma GCC unroll 16
    for (int g = 0; g < kCount / 4; ++g) {
        const __m512i* p = parts + 4 * g;
        const __m512i a = _mm512_shuffle_i64x2(p[0], p[1], 0x44), b = _mm512_shuffle_i64x2(p[0], p[1], 0xEE);
        const __m512i c = _mm512_shuffle_i64x2(p[2], p[3], 0x44), d = _mm512_shuffle_i64x2(p[2], p[3], 0xEE);
        v[g] = _mm512_shuffle_i64x2(a, c, 0x88);
        v[g + kCount / 4] = _mm512_shuffle_i64x2(a, c, 0xDD);
        v[g + kCount / 2] = _mm512_shuffle_i64x2(b, d, 0x88);
        v[g + kCount / 4 * 3] = _mm512_shuffle_i64x2(b, d, 0xDD);
    }
}

// Up to kCount vectors of items; what is missing counts as largest.
template <class I, int kCount>
CV_TARGET void sort_few(const typename I::T* from, typename I::T* to, int64_t n) {
    __m512i v[kCount];
    const __m512i largest = _mm512_set1_epi64(-1);
#pragma GCC unroll 16
    for (int i = 0; i < kCount; ++i) {
        const int64_t left = n - i * I::kLanes;
        v[i] = left >= I::kLanes ? I::load(from + i * I::kLanes)
               : left > 0        ? I::load(from + i * I::kLanes, first<I>(left), largest)
                                 : largest;
    }
    sort_down<I, kCount>(v);
    merge_lanes<I, kCount>(v);
    if constexpr (kCount >= 4) turn<I, kCount>(v);
#pragma GCC unroll 16
    for (int i = 0; i < kCount; ++i) {
        const int64_t left = n - i * I::kLanes;
        if (left >= I::kLanes) {
            I::store(to + i * I::kLanes, v[i]);
        } else if (left > 0) {
            I::store(to + i * I::kLanes, v[i], first<I>(left));
        }
    }
}

template <class I>
CV_TARGET void sort_leaf(const typename I::T* from, typename I::T* to, int64_t n) {
    if (n <= I::kLanes) return sort_few<I, 1>(from, to, n);
    if (n <= 4 * I::kLanes) return sort_few<I, 4>(from, to, n);
    if (n <= 8 * I::kLanes) return sort_few<I, 8>(from, to, n);
    sort_few<I, kMost>(from, to, n);
}

// A middle one of some items.
template <class I>
CV_TARGET typename I::T middle(const typename I::T* items, int64_t n) {
    typename I::T sample[I::kLanes];
    for (int i = 0; i < I::kLanes; ++i) sample[i] = items[(2 * i + 1) * n / (2 * I::kLanes)];
    sort_few<I, 1>(sample, sample, I::kLanes);
    return sample[I::kLanes / 2];
}

// Where items that are below a pivot, and those that are not, come to.
template <class I>
struct Parts {
    typename I::T *low, *high;
};

// The items of whole blocks of kCount vectors from place i on. Each block is loaded before any of it is
// stored: a load that follows a store waits for it, as the address might be the same. Neither part has
// come further than what has been read, so whole vectors are stored.
template <class I, int kCount>
CV_OF_VECTOR void part_blocks(const typename I::T* items, int64_t& i, int64_t n, __m512i pivots,
                              Parts<I>& to) {
    using Mask = typename I::Mask;
    for (; i + kCount * I::kLanes <= n; i += kCount * I::kLanes) {
        __m512i v[kCount];
        Mask below[kCount];
#pragma GCC unroll 8
        for (int j = 0; j < kCount; ++j) {
            v[j] = I::load(items + i + j * I::kLanes);
            below[j] = I::below(v[j], pivots);
        }
#pragma GCC unroll 8
        for (int j = 0; j < kCount; ++j) {
            I::store(to.low, I::pack(v[j], below[j]));
            I::store(to.high, I::pack(v[j], static_cast<Mask>(~below[j])));
            const int count = __builtin_popcount(below[j]);
            to.low += count;
            to.high += I::kLanes - count;
        }
    }
}

// Items below the pivot to the front of `low`, the others to that of `high`, one of which is `items`;
// how many are below.
template <class I>
CV_TARGET int64_t partition(const typename I::T* items, typename I::T* low, typename I::T* high,
                            int64_t n, typename I::T pivot) {
    using Mask = typename I::Mask;
    const __m512i pivots = I::all(pivot);
    Parts<I> to{low, high};
    int64_t i = 0;
    part_blocks<I, 8>(items, i, n, pivots, to);
    part_blocks<I, 4>(items, i, n, pivots, to);
    part_blocks<I, 1>(items, i, n, pivots, to);
    if (i < n) {
        const auto there = first<I>(n - i);
        const __m512i v = I::load(items + i, there, pivots);
        const auto below = static_cast<Mask>(I::below(v, pivots) & there);
        const auto others = static_cast<Mask>(there & ~below);
        const int count = __builtin_popcount(below);
        I::store(to.low, I::pack(v, below), first<I>(count));
        I::store(to.high, I::pack(v, others), first<I>(__builtin_popcount(others)));
        to.low += count;
    }
    return to.low - low;
}

template <class I>
CV_TARGET void sort_range(typename I::T* items, typename I::T* other, int64_t n, bool to_other,
                          int depth) {
    using T = typename I::T;
    while (n > kMost * I::kLanes) {
        T* const low = to_other ? other : items;
        T* const high = to_other ? items : other;
        if (depth-- == 0) {  // a sequence made to be slow
            if (to_other) std::copy(items, items + n, other);
            std::sort(low, low + n);
            return;
        }
        const T pivot = middle<I>(items, n);
        int64_t count = partition<I>(items, low, high, n, pivot);
        if (count > 0) {
            sort_range<I>(low, high + (n - count), count, false, depth);
        } else if (pivot < static_cast<T>(~T{0})) {  // it is the smallest: all that equal it come first
            count = partition<I>(high, low, high, n, pivot + 1);
        } else {
            return std::fill(low, low + n, pivot);
        }
        items = high;
        other = low + count;
        to_other = true;
        n -= count;
    }
    if (n > 0) sort_leaf<I>(items, to_other ? other : items, n);
}

template <class I>
void sort_all(typename I::T* items, typename I::T* other, int64_t n, bool to_other) {
    const int depth = 2 * (64 - __builtin_clzll(static_cast<uint64_t>(n) | 1));
    sort_range<I>(items, other, n, to_other, depth);
}

template <class I>
int64_t split(const typename I::T* items, typename I::T* low, typename I::T* high, int64_t n) {
    return partition<I>(items, low, high, n, middle<I>(items, n));
}

constexpr VectorSort<uint32_t> kSort32{sort_all<Items32>, split<Items32>};
constexpr VectorSort<uint64_t> kSort64{sort_all<Items64>, split<Items64>};

}  // namespace

const VectorSort<uint32_t>* vector_sort(uint32_t) { return vector_bytes() >= 64 ? &kSort32 : nullptr; }
const VectorSort<uint64_t>* vector_sort(uint64_t) { return vector_bytes() >= 64 ? &kSort64 : nullptr; }

}  // namespace covector

#else

namespace covector {

const VectorSort<uint32_t>* vector_sort(uint32_t) { return nullptr; }
const VectorSort<uint64_t>* vector_sort(uint64_t) { return nullptr; }

}  // namespace covector

#endif
