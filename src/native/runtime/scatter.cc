// Scatter: every thread owns a range of the places, goes through all index vectors and combines those of its range.
// So no two threads write the same place, and what comes out is what one thread would compute.
//
// Where there are few places for many updates of one element, pieces of the updates go into copies instead,
// which are combined in their order: as many pieces whatever the number of threads.
//
// A block of vectors becomes places first, then those of the range are packed (by AVX-512, where the machine has
// it), then their rows are combined: only the last step waits for memory, and it is shared by the threads.
#include "runtime/scatter.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <type_traits>
#include <utility>

#include "runtime/allocator.h"
#include "runtime/pool.h"
#include "runtime/vectors.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace {

constexpr int64_t kBlock = 1024;
constexpr int64_t kLanes = 16;  // of a vector of places
// The least number of elements that are worth a thread.
constexpr int64_t kPiece = 1 << 14;
constexpr int64_t kMostComponents = 4;
// The pieces that have copies, and how many updates a place of a copy must be there for.
constexpr int64_t kCopies = 8;
constexpr int64_t kUpdatesOfPlace = 16;
constexpr int64_t kTurns = 4;        // copies that are filled at once
constexpr int64_t kManyPlaces = 16;  // of so many two copies seldom wait for themselves
constexpr int64_t kRun = 1 << 14;    // updates of a piece that are combined as the first ones of them say
constexpr int64_t kFewOutside = 16;  // one of so many indices

enum Operation : int64_t { kSet, kAdd, kMul, kMin, kMax };

// What becomes of an index out of bounds: it is left out, moved to the nearest place, or left out unless it is
// negative, which counts from the end, or stands for 0.
enum Outside : int64_t { kLeftOut, kMoved, kFromEnd, kFirst };

struct Job {
    const char* indices;
    const char* updates;
    char* out;
    int64_t outside;
    bool one;  // one update for all
    int64_t index_width, n, width, components, pieces;
    int64_t sizes[kMostComponents];

    int64_t places() const {
        int64_t count = 1;
        for (int64_t c = 0; c < components; ++c) count *= sizes[c];
        return count;
    }
};

int64_t brought_inside(int64_t outside, int64_t index, int64_t size) {
    switch (outside) {
        case kMoved: return std::clamp<int64_t>(index, 0, size - 1);
        case kFromEnd: return index + (index < 0 ? size : 0);
        case kFirst: return std::max<int64_t>(index, 0);
        default: return index;
    }
}

// The places of a block of index vectors; -1 for those that are left out.
template <class Index>
void places_of(const Job& job, int64_t begin, int64_t count, int32_t* places) {
    const Index* vectors = reinterpret_cast<const Index*>(job.indices) + begin * job.components;
    std::fill(places, places + count, 0);
    for (int64_t c = 0; c < job.components; ++c) {
        const int64_t size = job.sizes[c];
        for (int64_t i = 0; i < count; ++i) {
            const int64_t index = brought_inside(job.outside, vectors[i * job.components + c], size);
            const bool inside = (index >= 0) & (index < size) & (places[i] >= 0);
            places[i] = inside ? static_cast<int32_t>(places[i] * size + index) : -1;
        }
    }
}

// A range of places.
struct Range {
    int32_t low;
    uint32_t count;
    bool has(int32_t place) const {
        return static_cast<uint32_t>(place) - static_cast<uint32_t>(low) < count;
    }
};

// Which of a block are in the range: their places, and which they are; how many.
using Pack = int64_t (*)(const Job& job, int64_t begin, int64_t block, Range range, int32_t* places,
                         int32_t* which);

template <class Index>
int64_t pack(const Job& job, int64_t begin, int64_t block, Range range, int32_t* places,
             int32_t* which) {
    places_of<Index>(job, begin, block, places);
    int64_t found = 0;
    for (int64_t i = 0; i < block; ++i) {
        const int32_t place = places[i];
        places[found] = place;
        which[found] = static_cast<int32_t>(i);
        found += range.has(place);
    }
    return found;
}

#if defined(__x86_64__)
// What sixteen indices stand for.
CV_AVX512 [[gnu::always_inline]] inline __m512i brought_inside(int64_t outside, __m512i index, __m512i size) {
    const __m512i zero = _mm512_setzero_si512();
    constexpr __mmask16 all = 0xFFFF;
    switch (outside) {
        case kMoved:
            index = _mm512_maskz_max_epi32(all, index, zero);
            return _mm512_maskz_min_epi32(all, index, _mm512_sub_epi32(size, _mm512_set1_epi32(1)));
        case kFromEnd: return _mm512_mask_add_epi32(index, _mm512_cmplt_epi32_mask(index, zero), index, size);
        case kFirst: return _mm512_maskz_max_epi32(all, index, zero);
        default: return index;
    }
}

// The same for vectors of one int32.
CV_AVX512 int64_t pack_avx512(
    const Job& job, int64_t begin, int64_t block, Range range, int32_t* places, int32_t* which) {
    const int32_t* indices = reinterpret_cast<const int32_t*>(job.indices) + begin;
    const __m512i low = _mm512_set1_epi32(range.low);
    const __m512i count = _mm512_set1_epi32(static_cast<int>(range.count));
    const __m512i size = _mm512_set1_epi32(static_cast<int>(job.sizes[0]));
    __m512i lanes = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    int64_t found = 0;
    for (int64_t i = 0; i < block; i += 16) {
        const auto there = static_cast<__mmask16>(block - i < 16 ? (1u << (block - i)) - 1 : 0xFFFFu);
        const __m512i place = brought_inside(job.outside, _mm512_maskz_loadu_epi32(there, indices + i), size);
        const __mmask16 mine = _mm512_mask_cmplt_epu32_mask(there, _mm512_sub_epi32(place, low), count);
        _mm512_storeu_si512(places + found, _mm512_maskz_compress_epi32(mine, place));
        _mm512_storeu_si512(which + found, _mm512_maskz_compress_epi32(mine, lanes));
        found += __builtin_popcount(mine);
        lanes = _mm512_add_epi32(lanes, _mm512_set1_epi32(16));
    }
    return found;
}
#endif

Pack pack_of(const Job& job) {
#if defined(__x86_64__)
    if (covector::vector_bytes() >= 64 && job.index_width == 4 && job.components == 1) return pack_avx512;
#endif
    return job.index_width == 4 ? pack<int32_t> : pack<int64_t>;
}

// What an update that is no NaN makes of an element; of extremes as the instruction has it, without a branch for each.
template <class T, int64_t kOperation>
[[gnu::always_inline]] inline T combined_number(T old, T x) {
    if constexpr (kOperation == kSet) return x;
    if constexpr (kOperation == kAdd) return static_cast<T>(old + x);
    if constexpr (kOperation == kMul) return static_cast<T>(old * x);
    if constexpr (kOperation == kMin) return x < old ? x : old;
    return x > old ? x : old;
}

template <class T, int64_t kOperation>
[[gnu::always_inline]] inline T combined(T old, T x) {
    if (__builtin_expect((kOperation == kMin || kOperation == kMax) && x != x, 0)) return x;  // NaN stays
    return combined_number<T, kOperation>(old, x);
}

template <class T, int64_t kOperation>
void scatter_range(const Job& job, Range range) {
    int32_t places[kBlock + kLanes], which[kBlock + kLanes];
    T* out = reinterpret_cast<T*>(job.out);
    const T* updates = reinterpret_cast<const T*>(job.updates);
    const Pack pack = pack_of(job);
    const int64_t width = job.width;
    for (int64_t begin = 0; begin < job.n; begin += kBlock) {
        const int64_t block = std::min(kBlock, job.n - begin);
        const int64_t found = pack(job, begin, block, range, places, which);
        const T* rows = job.one ? updates : updates + begin * width;
        if (job.one) std::fill_n(which, found, 0);
        if (width == 1) {
            for (int64_t i = 0; i < found; ++i) {
                T& old = out[places[i]];
                old = combined<T, kOperation>(old, rows[which[i]]);
            }
            continue;
        }
        for (int64_t i = 0; i < found; ++i) {
            T* old = out + int64_t{places[i]} * width;
            const T* row = rows + int64_t{which[i]} * width;
            for (int64_t j = 0; j < width; ++j) old[j] = combined<T, kOperation>(old[j], row[j]);
        }
    }
}

// What changes nothing that it is combined with: of sums -0, as 0 would change the sign of -0.
template <class T, int64_t kOperation>
T neutral() {
    using Limits = std::numeric_limits<T>;
    constexpr bool kInfinite = Limits::has_infinity;
    if constexpr (kOperation == kAdd) return kInfinite ? -T{0} : T{0};
    if constexpr (kOperation == kMul) return T{1};
    if constexpr (kOperation == kMin) return kInfinite ? Limits::infinity() : Limits::max();
    return kInfinite ? -Limits::infinity() : Limits::lowest();
}

struct Copies {
    const Job& job;
    char* memory;
    int64_t places, stride;  // a copy is followed by a place for each lane, for what is left out
};

// Updates that go into copies of their own, side by side: an update waits for the one before where both have
// one place, so the copies take turns. With kOne, one update is for all. How many indices were out of bounds:
// they are taken to be few, and cost as much as a wrong guess of the processor.
template <class T, class Index, int64_t kOperation, bool kOne, int kTurns>
int64_t combine_in_turn(const Copies& c, int64_t from, int64_t apart, int64_t count, T* copy) {
    const auto places = static_cast<uint64_t>(c.places);
    const Index* indices[kTurns];
    const T* updates[kTurns];
    T* copies[kTurns];
    int64_t odd = 0;
    for (int t = 0; t < kTurns; ++t) {
        indices[t] = reinterpret_cast<const Index*>(c.job.indices) + from + t * apart;
        updates[t] = reinterpret_cast<const T*>(c.job.updates) + (kOne ? 0 : from + t * apart);
        copies[t] = copy + t * c.stride;
    }
    const T one = *updates[0];
    for (int64_t i = 0; i < count; ++i) {
#pragma GCC unroll 4
        for (int t = 0; t < kTurns; ++t) {
            int64_t place = indices[t][i];
            if (__builtin_expect(static_cast<uint64_t>(place) >= places, 0)) {
                ++odd;
                place = brought_inside(c.job.outside, place, c.places);
                if (static_cast<uint64_t>(place) >= places) continue;
            }
            T& old = copies[t][place];
            old = combined<T, kOperation>(old, kOne ? one : updates[t][i]);
        }
    }
    return odd;
}

// The same where indices out of bounds are left out and not counted. It runs up to 0, and one pointer leads to all
// copies: there are just registers enough.
template <class T, class Index, int64_t kOperation, bool kOne, int kTurns>
int64_t combine_plainly(const Copies& c, int64_t from, int64_t apart, int64_t count, T* copy) {
    const int64_t places = c.places, stride = c.stride;
    const Index* indices[kTurns];
    const T* updates[kTurns];
    for (int t = 0; t < kTurns; ++t) {
        const int64_t end = from + t * apart + count;
        indices[t] = reinterpret_cast<const Index*>(c.job.indices) + end;
        updates[t] = reinterpret_cast<const T*>(c.job.updates) + (kOne ? 0 : end);
    }
    const T one = *reinterpret_cast<const T*>(c.job.updates);
    for (int64_t i = -count; i < 0; ++i) {
#pragma GCC unroll 4
        for (int t = 0; t < kTurns; ++t) {
            const int64_t place = indices[t][i];
            if (static_cast<uint64_t>(place) >= static_cast<uint64_t>(places)) continue;
            T& old = copy[place + t * stride];
            old = combined<T, kOperation>(old, kOne ? one : updates[t][i]);
        }
    }
    return 0;
}

#if defined(__x86_64__)
// Sixteen of each of two pieces, all of places of a copy: two pieces leave registers enough, and places are loaded by
// pairs. 1M float32 into 1,000 places took 338 us by four pieces at once, and takes 286; 698 where indices rise, as
// each sum then waits for the one before, and 361; 1,080 where half of the indices are negative, and 460.
template <class T, int64_t kOperation, bool kOne>
CV_AVX512 [[gnu::always_inline]] inline void combine_sixteen(
    const int32_t* first, const int32_t* second, const T* updates, const T* others, T one, T* copy, T* other) {
    using Four [[gnu::vector_size(4 * sizeof(T)), gnu::aligned(alignof(T)), gnu::may_alias]] = T;
    for (int i = 0; i < kLanes; i += 4) {
        uint64_t a[2], b[2];
        std::memcpy(a, first + i, sizeof a);
        std::memcpy(b, second + i, sizeof b);
        Four u{}, v{};
        if constexpr (!kOne) {
            u = *reinterpret_cast<const Four*>(updates + i);
            v = *reinterpret_cast<const Four*>(others + i);
            // Whole vectors, which GCC would load again by single numbers: sums of floats take 0.86 of the time.
            if constexpr (std::is_floating_point_v<T>) asm("" : "+v"(u), "+v"(v));
        }
#pragma GCC unroll 4
        for (int j = 0; j < 4; ++j) {
            T& old = copy[j % 2 ? a[j / 2] >> 32 : a[j / 2] & 0xFFFFFFFF];
            old = combined_number<T, kOperation>(old, kOne ? one : u[j]);
            T& next = other[j % 2 ? b[j / 2] >> 32 : b[j / 2] & 0xFFFFFFFF];
            next = combined_number<T, kOperation>(next, kOne ? one : v[j]);
        }
    }
}

// Sixteen of one piece; where all have one place, that waits for no memory.
template <class T, int64_t kOperation, bool kOne>
[[gnu::always_inline]] inline void combine_run(const int32_t* places, bool same, const T* updates, T one, T* copy) {
    if (same) {
        T old = copy[places[0]];
        for (int i = 0; i < kLanes; ++i) old = combined<T, kOperation>(old, kOne ? one : updates[i]);
        copy[places[0]] = old;
        return;
    }
    for (int i = 0; i < kLanes; ++i) {
        T& old = copy[places[i]];
        old = combined<T, kOperation>(old, kOne ? one : updates[i]);
    }
}

// Whether an update has to be looked at: NaN, of extremes.
template <class T, int64_t kOperation>
CV_AVX512 [[gnu::always_inline]] inline bool has_nan(const T* updates) {
    if constexpr (std::is_floating_point_v<T> && (kOperation == kMin || kOperation == kMax)) {
        unsigned found = 0;
        for (size_t i = 0; i < kLanes; i += 64 / sizeof(T)) {
            const __m512 x = _mm512_loadu_ps(updates + i);
            const __m512d y = _mm512_castps_pd(x);
            found |= sizeof(T) == 4 ? _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q) : _mm512_cmp_pd_mask(y, y, _CMP_UNORD_Q);
        }
        return found != 0;
    }
    return false;
}

// Sixteen indices; one that 32 bits do not hold becomes the nearest that they do, which is as far out of bounds.
template <class Index>
CV_AVX512 [[gnu::always_inline]] inline __m512i sixteen_of(const Index* indices) {
    if constexpr (sizeof(Index) == 4) return _mm512_loadu_si512(indices);
    const __m256i low = _mm512_maskz_cvtsepi64_epi32(0xFF, _mm512_loadu_si512(indices));
    const __m256i high = _mm512_maskz_cvtsepi64_epi32(0xFF, _mm512_loadu_si512(indices + 8));
    return _mm512_maskz_inserti64x4(0xFF, _mm512_castsi256_si512(low), high, 1);
}

// Two pieces side by side, sixteen of each at once. What is left out goes to the places behind the copies.
template <class T, class Index, int64_t kOperation, bool kOne>
CV_AVX512 void combine_two(const Copies& c, int64_t from, int64_t apart, int64_t count, T* copy) {
    const Index* first = reinterpret_cast<const Index*>(c.job.indices) + from;
    const Index* second = first + apart;
    const T* updates = reinterpret_cast<const T*>(c.job.updates) + (kOne ? 0 : from);
    const T* others = updates + (kOne ? 0 : apart);
    const T one = *updates;
    T* other = copy + c.stride;
    const __m512i places = _mm512_set1_epi32(static_cast<int>(c.places));
    const __m512i lanes = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    const __m512i behind = _mm512_add_epi32(places, lanes);
    const int64_t outside = c.job.outside;
    alignas(64) int32_t brought[2][kLanes];
    int64_t i = 0;
    for (; i + kLanes <= count; i += kLanes) {
        __m512i a = sixteen_of(first + i), b = sixteen_of(second + i);
        const auto* p = reinterpret_cast<const int32_t*>(first + i);
        const auto* q = reinterpret_cast<const int32_t*>(second + i);
        const unsigned inside = _mm512_cmplt_epu32_mask(a, places) & _mm512_cmplt_epu32_mask(b, places);
        if (sizeof(Index) == 8 || inside != 0xFFFFu) {
            a = brought_inside(outside, a, places);
            b = brought_inside(outside, b, places);
            a = _mm512_mask_mov_epi32(behind, _mm512_cmplt_epu32_mask(a, places), a);
            b = _mm512_mask_mov_epi32(behind, _mm512_cmplt_epu32_mask(b, places), b);
            _mm512_store_si512(brought[0], a);
            _mm512_store_si512(brought[1], b);
            p = brought[0], q = brought[1];
        }
        const bool same = _mm512_cmpeq_epi32_mask(a, _mm512_set1_epi32(*p)) == 0xFFFFu;
        const bool alike = _mm512_cmpeq_epi32_mask(b, _mm512_set1_epi32(*q)) == 0xFFFFu;
        const T* u = kOne ? updates : updates + i;
        const T* v = kOne ? others : others + i;
        const bool nan = !kOne && (has_nan<T, kOperation>(u) || has_nan<T, kOperation>(v));
        if (__builtin_expect(same | alike | nan, 0)) {
            combine_run<T, kOperation, kOne>(p, same, u, one, copy);
            combine_run<T, kOperation, kOne>(q, alike, v, one, other);
        } else {
            combine_sixteen<T, kOperation, kOne>(p, q, u, v, one, copy, other);
        }
    }
    combine_in_turn<T, Index, kOperation, kOne, 2>(c, from + i, apart, count - i, copy);
}
#endif

// The same for one copy, where many are out of bounds: those that are inside are packed first.
template <class T, int64_t kOperation>
void combine_packed(const Copies& c, int64_t from, int64_t count, T* copy) {
    int32_t places[kBlock + kLanes], which[kBlock + kLanes];
    const Job& job = c.job;
    const T* updates = reinterpret_cast<const T*>(job.updates);
    const Pack pack = pack_of(job);
    for (int64_t end = from + count, block; from < end; from += block) {
        block = std::min(kBlock, end - from);
        const int64_t found = pack(job, from, block, {0, static_cast<uint32_t>(c.places)}, places, which);
        for (int64_t i = 0; i < found; ++i) {
            T& old = copy[places[i]];
            old = combined<T, kOperation>(old, updates[job.one ? 0 : from + which[i]]);
        }
    }
}

// The updates from each of `from` on, so many, a piece and a copy each. In each run of them the first ones tell
// whether few indices are out of bounds.
template <class T, class Index, int64_t kOperation, bool kOne, int kTurns>
void combine_pieces(const Copies& c, int64_t from, int64_t apart, int64_t count, T* copy) {
    const auto combine = combine_in_turn<T, Index, kOperation, kOne, kTurns>;
    const bool plain = c.job.outside == kLeftOut;
    const auto go_on = plain ? combine_plainly<T, Index, kOperation, kOne, kTurns> : combine;
#if defined(__x86_64__)
    if constexpr (kTurns == ::kTurns) {
        if (c.places >= kManyPlaces && covector::vector_bytes() >= 64) {
            for (int64_t t = 0; t < kTurns; t += 2) {
                combine_two<T, Index, kOperation, kOne>(c, from + t * apart, apart, count, copy + t * c.stride);
            }
            return;
        }
    }
#endif
    for (int64_t end = from + count; from < end;) {
        const int64_t first = std::min(kBlock, end - from);
        const bool few = combine(c, from, apart, first, copy) < first / kFewOutside;
        from += first;
        const int64_t rest = std::min(kRun, end - from);
        if (few) {
            go_on(c, from, apart, rest, copy);
        } else {
            for (int t = 0; t < kTurns; ++t) {
                combine_packed<T, kOperation>(c, from + t * apart, rest, copy + t * c.stride);
            }
        }
        from += rest;
    }
}

template <class T, class Index, int64_t kOperation, bool kOne>
void scatter_into_copies(void* context, int64_t begin, int64_t end) {
    const auto& c = *static_cast<const Copies*>(context);
    const int64_t each = c.job.n / kCopies, size = c.stride;
    for (int64_t p = begin; p < end; p += kTurns) {
        T* copy = reinterpret_cast<T*>(c.memory) + p * size;
        const int64_t turns = std::min(kTurns, end - p), rest = p + turns == kCopies ? c.job.n % kCopies : 0;
        std::fill_n(copy, turns * size, neutral<T, kOperation>());
        if (turns == kTurns) {
            combine_pieces<T, Index, kOperation, kOne, kTurns>(c, p * each, each, each, copy);
        } else {
            for (int64_t t = 0; t < turns; ++t) {
                combine_pieces<T, Index, kOperation, kOne, 1>(c, (p + t) * each, 0, each, copy + t * size);
            }
        }
        combine_pieces<T, Index, kOperation, kOne, 1>(c, kCopies * each, 0, rest, copy + (turns - 1) * size);
    }
}

// Whether it was done; else there was no memory for the copies.
template <class T, int64_t kOperation>
bool scatter_by_copies(const Job& job, int64_t places) {
    const int64_t stride = places + kLanes, bytes = kCopies * stride * int64_t{sizeof(T)};
    Copies copies{job, static_cast<char*>(cv_alloc(bytes)), places, stride};
    if (copies.memory == nullptr) return false;
    constexpr bool kMayBeOne = kOperation == kAdd;
    const ParallelBody one = job.index_width == 4 ? scatter_into_copies<T, int32_t, kOperation, kMayBeOne>
                                                  : scatter_into_copies<T, int64_t, kOperation, kMayBeOne>;
    const ParallelBody many = job.index_width == 4 ? scatter_into_copies<T, int32_t, kOperation, false>
                                                   : scatter_into_copies<T, int64_t, kOperation, false>;
    const ParallelBody body = job.one ? one : many;
    cv_parallel_for(body, &copies, kCopies, 1);
    T* out = reinterpret_cast<T*>(job.out);
    const T* copy = reinterpret_cast<const T*>(copies.memory);
    for (int64_t c = 0; c < kCopies; ++c, copy += stride) {
        for (int64_t i = 0; i < places; ++i) out[i] = combined<T, kOperation>(out[i], copy[i]);
    }
    cv_free(copies.memory);
    return true;
}

template <class T, int64_t kOperation>
void scatter_pieces(void* context, int64_t begin, int64_t end) {
    const Job& job = *static_cast<Job*>(context);
    const int64_t places = job.places();
    for (int64_t p = begin; p < end; ++p) {
        const int64_t low = places * p / job.pieces, high = places * (p + 1) / job.pieces;
        scatter_range<T, kOperation>(
            job, {static_cast<int32_t>(low), static_cast<uint32_t>(high - low)});
    }
}

template <class T, int64_t kOperation>
void scatter(Job& job) {
    const int64_t places = job.places();
    if constexpr (kOperation != kSet) {
        const bool few = places <= job.n / (kCopies * kUpdatesOfPlace);
        if (few && (!job.one || kOperation == kAdd) && job.width == 1 && job.components == 1 && job.n >= 2 * kPiece) {
            if (scatter_by_copies<T, kOperation>(job, places)) return;
        }
    }
    job.pieces = std::clamp<int64_t>(std::min(job.n * job.width / kPiece, places), 1,
                                     covector::pool_size());
    cv_parallel_for(scatter_pieces<T, kOperation>, &job, job.pieces, 1);
}

using Run = void (*)(Job& job);

template <class T>
Run run_of(int64_t operation) {
    switch (operation) {
        case kSet: return scatter<T, kSet>;
        case kAdd: return scatter<T, kAdd>;
        case kMul: return scatter<T, kMul>;
        case kMin: return scatter<T, kMin>;
        default: return scatter<T, kMax>;
    }
}

// Wrapping integers are added as unsigned ones, which have no overflow; the order of signed ones is their own.
template <class T, class Wrapping>
Run integers(int64_t operation) {
    return operation == kAdd || operation == kMul ? run_of<Wrapping>(operation) : run_of<T>(operation);
}

// The dtype codes are those of types/dtypes.py.
Run run_of(int64_t code, int64_t operation) {
    switch (code) {
        case 3: return integers<int32_t, uint32_t>(operation);
        case 4: return integers<int64_t, uint64_t>(operation);
        case 7: return run_of<uint32_t>(operation);
        case 8: return run_of<uint64_t>(operation);
        case 11: return run_of<float>(operation);
        default: return run_of<double>(operation);
    }
}

}  // namespace

extern "C" int32_t cv_scatter(const void* indices, const void* updates, void* out, int64_t code,
                              int64_t operation, int64_t outside, int64_t one, int64_t index_width,
                              int64_t n, int64_t width, int64_t components, int64_t d0, int64_t d1, int64_t d2,
                              int64_t d3) {
    Job job{static_cast<const char*>(indices), static_cast<const char*>(updates),
            static_cast<char*>(out), outside, one != 0, index_width, n, width, components, 1,
            {d0, d1, d2, d3}};
    if (n > 0 && width > 0 && job.places() > 0) run_of(code, operation)(job);
    return 0;
}
