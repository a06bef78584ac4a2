// Quicksort with AVX-512: a vector is compared with the pivot at once, and `compress` moves both parts;
// up to sixteen vectors are sorted by a bitonic network (Batcher, "Sorting networks and their
// applications", 1968).
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
    CV_OF_VECTOR __m512i mix(__m512i x, __m512i y, Mask m) {
        return _mm512_mask_blend_epi32(m, x, y);
    }
    // Lane n becomes lane n ^ kBits.
    template <int kBits>
    CV_OF_VECTOR __m512i exchange(__m512i v) {
        const __m512i lanes = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
        return _mm512_permutexvar_epi32(_mm512_xor_si512(lanes, _mm512_set1_epi32(kBits)), v);
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
    CV_OF_VECTOR __m512i mix(__m512i x, __m512i y, Mask m) {
        return _mm512_mask_blend_epi64(m, x, y);
    }
    template <int kBits>
    CV_OF_VECTOR __m512i exchange(__m512i v) {
        const __m512i lanes = _mm512_setr_epi64(0, 1, 2, 3, 4, 5, 6, 7);
        return _mm512_permutexvar_epi64(_mm512_xor_si512(lanes, _mm512_set1_epi64(kBits)), v);
    }
};

template <class I>
CV_OF_VECTOR typename I::Mask first(int64_t n) {
    return static_cast<typename I::Mask>((1u << n) - 1);
}

// The lanes that keep the larger of themselves and lane ^ kStep, where runs of kRun lanes rise and
// fall in turn.
template <int kLanes, int kRun, int kStep>
constexpr unsigned larger() {
    unsigned mask = 0;
    for (int lane = 0; lane < kLanes; ++lane) {
        if (((lane & kStep) != 0) == ((lane & kRun) == 0)) mask |= 1u << lane;
    }
    return mask;
}

template <class I, int kRun, int kStep>
CV_OF_VECTOR __m512i steps(__m512i v) {
    if constexpr (kStep == 0) {
        return v;
    } else {
        const __m512i other = I::template exchange<kStep>(v);
        constexpr auto mask = static_cast<typename I::Mask>(larger<I::kLanes, kRun, kStep>());
        v = I::mix(I::min(v, other), I::max(v, other), mask);
        return steps<I, kRun, kStep / 2>(v);
    }
}

// Sorts the lanes of a vector.
template <class I, int kRun = 2>
CV_OF_VECTOR __m512i sort_lanes(__m512i v) {
    v = steps<I, kRun, kRun / 2>(v);
    if constexpr (kRun < I::kLanes) v = sort_lanes<I, kRun * 2>(v);
    return v;
}

// Merges sorted runs of kRun vectors, two by two, until all kCount are one.
template <class I, int kCount, int kRun>
CV_OF_VECTOR void merge(__m512i* v) {
    if constexpr (kRun < kCount) {
#pragma GCC unroll 16
        for (int start = 0; start < kCount; start += 2 * kRun) {
#pragma GCC unroll 16
            for (int i = 0; i < kRun; ++i) {  // against the second run, backwards
                __m512i& low = v[start + i];
                __m512i& high = v[start + 2 * kRun - 1 - i];
                const __m512i turned = I::template exchange<I::kLanes - 1>(high);
                high = I::max(low, turned);
                low = I::min(low, turned);
            }
#pragma GCC unroll 16
            for (int step = kRun / 2; step > 0; step /= 2) {
#pragma GCC unroll 16
                for (int i = 0; i < 2 * kRun; ++i) {
                    if ((i & step) != 0) continue;
                    __m512i& low = v[start + i];
                    __m512i& high = v[start + i + step];
                    const __m512i smaller = I::min(low, high);
                    high = I::max(low, high);
                    low = smaller;
                }
            }
#pragma GCC unroll 16
            for (int i = 0; i < 2 * kRun; ++i) {
                v[start + i] = steps<I, I::kLanes * 2, I::kLanes / 2>(v[start + i]);
            }
        }
        merge<I, kCount, kRun * 2>(v);
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
        v[i] = sort_lanes<I>(v[i]);
    }
    merge<I, kCount, 1>(v);
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
    if (n <= 2 * I::kLanes) return sort_few<I, 2>(from, to, n);
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

// Items below the pivot to the front of `to`, the others to its end; how many are below.
template <class I>
CV_TARGET int64_t partition(const typename I::T* from, typename I::T* to, int64_t n,
                            typename I::T pivot) {
    const __m512i pivots = I::all(pivot);
    int64_t low = 0, high = n, i = 0;
    for (; i + I::kLanes <= n; i += I::kLanes) {
        const __m512i v = I::load(from + i);
        const auto below = I::below(v, pivots);
        const int count = __builtin_popcount(below);
        // The gap between both ends is at least as long as what is still to come: a vector fits.
        I::store(to + low, I::pack(v, below));
        low += count;
        const int rest = I::kLanes - count;
        high -= rest;
        I::store(to + high, I::pack(v, static_cast<typename I::Mask>(~below)), first<I>(rest));
    }
    if (i < n) {
        const auto there = first<I>(n - i);
        const __m512i v = I::load(from + i, there, pivots);
        const auto below = static_cast<typename I::Mask>(I::below(v, pivots) & there);
        const auto others = static_cast<typename I::Mask>(there & ~below);
        const int count = __builtin_popcount(below);
        I::store(to + low, I::pack(v, below), first<I>(count));
        low += count;
        I::store(to + low, I::pack(v, others), first<I>(__builtin_popcount(others)));
    }
    return low;
}

template <class I>
CV_TARGET void sort_range(typename I::T* items, typename I::T* other, int64_t n, bool to_other,
                          int depth) {
    using T = typename I::T;
    while (n > kMost * I::kLanes) {
        if (depth-- == 0) {  // a sequence made to be slow
            T* target = to_other ? other : items;
            if (to_other) std::copy(items, items + n, other);
            std::sort(target, target + n);
            return;
        }
        const T pivot = middle<I>(items, n);
        int64_t low = partition<I>(items, other, n, pivot);
        if (low == 0) {  // it is the smallest: all that equal it come first
            low = pivot == static_cast<T>(~T{0}) ? n
                                                 : partition<I>(items, other, n, pivot + 1);
            if (!to_other) std::fill(items, items + low, pivot);
            if (low == n && to_other) std::fill(other, other + n, pivot);
        } else {
            sort_range<I>(other, items, low, !to_other, depth);
        }
        std::swap(items, other);
        to_other = !to_other;
        items += low;
        other += low;
        n -= low;
    }
    if (n > 0) sort_leaf<I>(items, to_other ? other : items, n);
}

template <class I>
void sort_all(typename I::T* items, typename I::T* other, int64_t n, bool to_other) {
    const int depth = 2 * (64 - __builtin_clzll(static_cast<uint64_t>(n) | 1));
    sort_range<I>(items, other, n, to_other, depth);
}

template <class I>
int64_t split(const typename I::T* items, typename I::T* other, int64_t n) {
    return partition<I>(items, other, n, middle<I>(items, n));
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
