// The k largest elements of rows, in two passes over what stays in the cache.
//
// Elements become unsigned integers whose order is the opposite of theirs (order.h). The first pass finds the best
// element of each of some buckets; k elements are not worse than the k-th of these, so the second pass keeps those
// that are not worse: hardly more than k. The k best of them are selected (std::nth_element) and sorted. Of long rows
// that is done chunk by chunk, on the threads.
#include "runtime/top_k.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <memory>
#include <new>
#include <vector>

#include "runtime/order.h"
#include "runtime/pool.h"
#include "runtime/sort_kernels.h"
#include "runtime/vectors.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace {

using covector::for_pieces;

constexpr int64_t kBlock = 64;
constexpr int64_t kGroup = 16;
// The least part of a row that is worth a thread.
constexpr int64_t kPiece = 1 << 17;
// So many items are worth sorting by vectors.
constexpr size_t kVectorsFrom = 256;
// The elements that are gone through twice; from how many on buckets are vectors that do not wait for each other.
constexpr int64_t kChunk = 1 << 17;
constexpr int64_t kManyElements = 512;

// Key and place in one number where they fit, so that comparing numbers compares both.
struct Packed {
    using Item = uint64_t;
    static Item make(uint64_t key, int64_t place) { return key << 32 | static_cast<uint64_t>(place); }
    static uint64_t key(Item item) { return item >> 32; }
    static int64_t place(Item item) { return static_cast<int64_t>(item & 0xFFFFFFFF); }
};

struct Pair {
    uint64_t first;
    int64_t second;
    bool operator<(const Pair& other) const {
        return first != other.first ? first < other.first : second < other.second;
    }
};

struct Paired {
    using Item = Pair;
    static Item make(uint64_t key, int64_t place) { return {key, place}; }
    static uint64_t key(const Item& item) { return item.first; }
    static int64_t place(const Item& item) { return item.second; }
};

template <class Type>
[[gnu::always_inline]] inline typename Type::Raw falling(typename Type::Raw x) {
    return static_cast<typename Type::Raw>(~Type::encode(x));
}

template <class Type>
[[gnu::always_inline]] inline typename Type::Raw least_of_group(const typename Type::Raw* x) {
    auto best = static_cast<typename Type::Raw>(~typename Type::Raw{0});
    for (int64_t i = 0; i < kGroup; ++i) best = std::min(best, falling<Type>(x[i]));
    return best;
}

// The best element of each of `buckets` parts of a row: those that are so many apart.
template <class Type>
[[gnu::always_inline]] inline void best_of_buckets(const typename Type::Raw* x, int64_t n, int64_t buckets,
                                                   typename Type::Raw* best) {
    for (int64_t j = 0; j < buckets; ++j) best[j] = falling<Type>(x[j]);
    for (int64_t i = buckets; i < n; i += buckets) {
        const int64_t count = std::min(buckets, n - i);
        for (int64_t j = 0; j < count; ++j) best[j] = std::min(best[j], falling<Type>(x[i + j]));
    }
}

// Appends the elements from one on that are not worse than a limit, without a branch for each; returns the end.
template <class Type, class Form>
[[gnu::always_inline]] inline typename Form::Item* within(const typename Type::Raw* x, int64_t begin, int64_t end,
                                                          typename Type::Raw limit,
                                                          typename Form::Item* to) {
    for (int64_t i = begin; i < end; i += kGroup) {
        const int64_t last = std::min(end, i + kGroup);
        if (last == i + kGroup && least_of_group<Type>(x + i) > limit) continue;
        for (int64_t j = i; j < last; ++j) {
            const auto key = falling<Type>(x[j]);
            *to = Form::make(key, j);
            to += key <= limit;
        }
    }
    return to;
}

// Appends those of the elements from one on that have a bit.
template <class Type, class Form>
[[gnu::always_inline]] inline typename Form::Item* append(const typename Type::Raw* x, int64_t begin,
                                                          uint32_t bits, typename Form::Item* to) {
    for (; bits != 0; bits &= bits - 1) {
        const int64_t i = begin + __builtin_ctz(bits);
        *to++ = Form::make(falling<Type>(x[i]), i);
    }
    return to;
}

// Both for a set of instructions.
template <class Type, class Form>
struct Passes {
    using Raw = typename Type::Raw;
    using Item = typename Form::Item;
    void (*best_of_buckets)(const Raw* x, int64_t n, int64_t buckets, Raw* best);
    Item* (*within)(const Raw* x, int64_t begin, int64_t end, Raw limit, Item* to);
};

#if defined(__x86_64__)
typedef uint32_t Words8 __attribute__((vector_size(32)));
typedef uint32_t Words16 __attribute__((vector_size(64)));

template <class Type, class Raw = typename Type::Raw>
CV_AVX2 void buckets_avx2(const Raw* x, int64_t n, int64_t buckets, Raw* best) {
    best_of_buckets<Type>(x, n, buckets, best);
}
template <class Type, class Raw = typename Type::Raw>
CV_AVX512 void buckets_avx512(const Raw* x, int64_t n, int64_t buckets, Raw* best) {
    best_of_buckets<Type>(x, n, buckets, best);
}

// Elements of four bytes are compared by vectors.
template <class Type, class Form, class Raw = typename Type::Raw, class Item = typename Form::Item>
CV_AVX2 Item* within_avx2(const Raw* x, int64_t begin, int64_t end, Raw limit, Item* to) {
    int64_t i = begin;
    if constexpr (sizeof(Raw) == 4) {
        for (; i + 8 <= end; i += 8) {
            Words8 elements;
            std::memcpy(&elements, x + i, sizeof(elements));
            const auto good = reinterpret_cast<__m256>(~Type::encode(elements) <= limit);
            to = append<Type, Form>(x, i, static_cast<uint32_t>(_mm256_movemask_ps(good)), to);
        }
    }
    return within<Type, Form>(x, i, end, limit, to);
}
template <class Type, class Form, class Raw = typename Type::Raw, class Item = typename Form::Item>
CV_AVX512 Item* within_avx512(const Raw* x, int64_t begin, int64_t end, Raw limit, Item* to) {
    int64_t i = begin;
    if constexpr (sizeof(Raw) == 4) {
        const __m512i limits = _mm512_set1_epi32(static_cast<int>(limit));
        for (; i + 16 <= end; i += 16) {
            Words16 elements;
            std::memcpy(&elements, x + i, sizeof(elements));
            const auto keys = reinterpret_cast<__m512i>(~Type::encode(elements));
            to = append<Type, Form>(x, i, _mm512_cmple_epu32_mask(keys, limits), to);
        }
    }
    return within<Type, Form>(x, i, end, limit, to);
}
#endif

template <class Type, class Form>
Passes<Type, Form> passes() {
    const Passes<Type, Form> plain{best_of_buckets<Type>, within<Type, Form>};
#if defined(__x86_64__)
    const Passes<Type, Form> avx2{buckets_avx2<Type>, within_avx2<Type, Form>};
    const Passes<Type, Form> avx512{buckets_avx512<Type>, within_avx512<Type, Form>};
    return covector::best_of(plain, avx2, avx512);
#else
    return plain;
#endif
}

// How many buckets a chunk is cut into to find k elements, or 0 if it has too few for that.
int64_t buckets_of(int64_t n, int64_t k) {
    const int64_t vectors = n < kManyElements ? kGroup : kBlock;
    const int64_t buckets = (2 * k + vectors - 1) / vectors * vectors;
    return 2 * buckets <= n ? buckets : 0;
}

// The k best of the items, in any order.
template <class Item>
void choose(std::vector<Item>& items, int64_t k) {
    if (static_cast<int64_t>(items.size()) <= k) return;
    std::nth_element(items.begin(), items.begin() + (k - 1), items.end());
    items.resize(static_cast<size_t>(k));
}

// Finds the k best elements of pieces of rows, one after the other.
template <class Type, class Form>
class Finder {
public:
    using Raw = typename Type::Raw;
    using Item = typename Form::Item;

    Finder(int64_t n, int64_t k) : k_(k), chunk_(std::max(kChunk, 8 * k)) {
        // One more than there are elements: where the last one that is too bad is put.
        room_.reset(new Item[static_cast<size_t>(std::min(n, chunk_) + 1)]);
    }

    // In any order; changed by the next call.
    std::vector<Item>& best_of(const Raw* x, int64_t begin, int64_t end) {
        items_.clear();
        for (int64_t i = begin; i < end; i += chunk_) {
            const int64_t after = std::min(end, i + chunk_);
            items_.insert(items_.end(), room_.get(), find(x, i, after));
            choose(items_, k_);
        }
        return items_;
    }

private:
    // The k best of a chunk are among those that it puts down; returns their end.
    Item* find(const Raw* x, int64_t begin, int64_t end) {
        const int64_t buckets = buckets_of(end - begin, k_);
        auto limit = static_cast<Raw>(~Raw{0});
        if (buckets > 0) {
            best_.resize(static_cast<size_t>(buckets));
            passes_.best_of_buckets(x + begin, end - begin, buckets, best_.data());
            std::nth_element(best_.begin(), best_.begin() + (k_ - 1), best_.end());
            limit = best_[static_cast<size_t>(k_ - 1)];
        }
        Item* after = passes_.within(x, begin, end, limit, room_.get());
        return after - room_.get() > 4 * k_ ? without_equals(after, limit) : after;
    }

    // Of many that are as good as the limit the first k are enough.
    Item* without_equals(Item* after, uint64_t limit) {
        Item* to = room_.get();
        int64_t equals = 0;
        for (const Item* item = to; item != after; ++item) {
            const bool better = Form::key(*item) < limit;
            *to = *item;
            to += better || equals < k_;
            equals += !better;
        }
        return to;
    }

    const Passes<Type, Form> passes_ = passes<Type, Form>();
    const int64_t k_, chunk_;
    std::unique_ptr<Item[]> room_;
    std::vector<Raw> best_;
    std::vector<Item> items_;
};

void sort_items(std::vector<uint64_t>& items) {
    const covector::VectorSort<uint64_t>* vectors = covector::vector_sort(uint64_t{});
    if (vectors == nullptr || items.size() < kVectorsFrom) return std::sort(items.begin(), items.end());
    std::vector<uint64_t> other(items.size());
    vectors->sort(items.data(), other.data(), static_cast<int64_t>(items.size()), false);
}

void sort_items(std::vector<Pair>& items) { std::sort(items.begin(), items.end()); }

struct Job {
    const char* elements;
    char *values, *places;
    int64_t place_width, n, k, pieces;
    std::atomic<bool> failed{false};
};

// Of a long row, in pieces.
template <class Type, class Form>
std::vector<typename Form::Item> best_of_pieces(Job& job, const typename Type::Raw* x) {
    std::vector<std::vector<typename Form::Item>> found(static_cast<size_t>(job.pieces));
    for_pieces(job.n, job.pieces, [&](int64_t piece, int64_t begin, int64_t end) {
        try {
            Finder<Type, Form> finder(end - begin, job.k);
            found[static_cast<size_t>(piece)] = std::move(finder.best_of(x, begin, end));
        } catch (const std::bad_alloc&) {
            job.failed.store(true);
        }
    });
    std::vector<typename Form::Item> items;
    for (const auto& some : found) items.insert(items.end(), some.begin(), some.end());
    if (!job.failed.load()) choose(items, job.k);
    return items;
}

template <class Type, class Form>
void write_row(const Job& job, int64_t row, const std::vector<typename Form::Item>& items) {
    const auto* x = reinterpret_cast<const typename Type::Raw*>(job.elements) + row * job.n;
    auto* values = reinterpret_cast<typename Type::Raw*>(job.values) + row * job.k;
    for (int64_t i = 0; i < job.k; ++i) {
        const int64_t place = Form::place(items[static_cast<size_t>(i)]);
        values[i] = x[place];
        if (job.place_width == 4) {
            reinterpret_cast<int32_t*>(job.places)[row * job.k + i] = static_cast<int32_t>(place);
        } else {
            reinterpret_cast<int64_t*>(job.places)[row * job.k + i] = place;
        }
    }
}

template <class Type, class Form>
void best_of_rows(void* context, int64_t begin, int64_t end) {
    Job& job = *static_cast<Job*>(context);
    const auto* elements = reinterpret_cast<const typename Type::Raw*>(job.elements);
    try {
        if (job.pieces > 1) {
            for (int64_t row = begin; row < end; ++row) {
                auto items = best_of_pieces<Type, Form>(job, elements + row * job.n);
                if (job.failed.load()) return;
                sort_items(items);
                write_row<Type, Form>(job, row, items);
            }
            return;
        }
        Finder<Type, Form> finder(job.n, job.k);
        for (int64_t row = begin; row < end; ++row) {
            auto& items = finder.best_of(elements + row * job.n, 0, job.n);
            sort_items(items);
            write_row<Type, Form>(job, row, items);
        }
    } catch (const std::bad_alloc&) {
        job.failed.store(true);
    }
}

template <class Type>
ParallelBody rows_of(int64_t n) {
    const bool fits = sizeof(typename Type::Raw) <= 4 && n <= int64_t{1} << 32;
    return fits ? best_of_rows<Type, Packed> : best_of_rows<Type, Paired>;
}

}  // namespace

extern "C" int32_t cv_top_k(const void* elements, void* values, void* places, int64_t code,
                            int64_t place_width, int64_t rows, int64_t n, int64_t k) {
    if (rows <= 0 || k <= 0) return 0;
    const int64_t threads = covector::pool_size();
    const int64_t pieces = rows < 2 * threads ? std::clamp<int64_t>(n / kPiece, 1, threads) : 1;
    Job job{static_cast<const char*>(elements), static_cast<char*>(values),
            static_cast<char*>(places), place_width, n, k, pieces};
    const ParallelBody body =
        covector::with_order(code, [n](auto type) { return rows_of<decltype(type)>(n); });
    if (pieces > 1) {
        body(&job, 0, rows);
    } else {
        cv_parallel_for(body, &job, rows, std::max<int64_t>(1, 8192 / n));
    }
    return job.failed.load() ? 1 : 0;
}
