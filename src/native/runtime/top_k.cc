// The k largest elements of rows: one pass over the elements, which keeps those that may be among them.
//
// Elements become unsigned integers whose order is the opposite of theirs (order.h). The pass compares the least
// of a block with the limit, beyond which k better ones are known, and so goes through most blocks in vectors.
// What passes is kept; when twice k are, the better half stays and the limit falls (Floyd and Rivest's
// selection, as std::nth_element has it). A long row is done in pieces.
#include "runtime/top_k.h"

#include <algorithm>
#include <atomic>
#include <new>
#include <vector>

#include "runtime/order.h"
#include "runtime/pool.h"
#include "runtime/sort_kernels.h"
#include "runtime/vectors.h"

namespace {

using covector::for_pieces;

constexpr int64_t kBlock = 64;
// The least number of elements that are kept before the better ones are chosen.
constexpr int64_t kLeastKept = 256;
// The least part of a row that is worth a thread.
constexpr int64_t kPiece = 1 << 15;
// So many items are worth sorting by vectors.
constexpr size_t kVectorsFrom = 256;

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
[[gnu::always_inline]] inline typename Type::Raw least(const typename Type::Raw* x) {
    auto best = static_cast<typename Type::Raw>(~typename Type::Raw{0});
    for (int64_t i = 0; i < kBlock; ++i) best = std::min(best, falling<Type>(x[i]));
    return best;
}

#if defined(__x86_64__)
template <class Type>
CV_AVX2 typename Type::Raw least_avx2(const typename Type::Raw* x) {
    return least<Type>(x);
}
#endif

template <class Type>
auto least_of_block() -> typename Type::Raw (*)(const typename Type::Raw*) {
#if defined(__x86_64__)
    if (covector::vector_bytes() >= 32) return least_avx2<Type>;
#endif
    return [](const typename Type::Raw* x) { return least<Type>(x); };
}

// The k best of the items, in any order.
template <class Item>
void choose(std::vector<Item>& items, int64_t k) {
    if (static_cast<int64_t>(items.size()) <= k) return;
    std::nth_element(items.begin(), items.begin() + (k - 1), items.end());
    items.resize(static_cast<size_t>(k));
}

template <class Type, class Form>
std::vector<typename Form::Item> best_of(const typename Type::Raw* x, int64_t begin, int64_t end,
                                         int64_t k) {
    const auto least_of = least_of_block<Type>();
    std::vector<typename Form::Item> items;
    const int64_t most = std::max(2 * k, kLeastKept);
    items.reserve(static_cast<size_t>(std::min(most, end - begin)));
    uint64_t limit = ~uint64_t{0};
    bool done = false;  // nothing can be better than what there is
    const auto take = [&](int64_t i) {
        const uint64_t key = falling<Type>(x[i]);
        if (key > limit || done) return;
        items.push_back(Form::make(key, i));
        if (static_cast<int64_t>(items.size()) < most) return;
        choose(items, k);  // what comes later loses against its equals
        const uint64_t last = Form::key(*std::max_element(items.begin(), items.end()));
        done = last == 0;
        limit = last - 1;
    };
    int64_t i = begin;
    for (; i + kBlock <= end && !done; i += kBlock) {
        if (least_of(x + i) > limit) continue;
        for (int64_t j = i; j < i + kBlock; ++j) take(j);
    }
    for (; i < end && !done; ++i) take(i);
    choose(items, k);
    return items;
}

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

template <class Type, class Form>
void best_of_row(Job& job, int64_t row) {
    using Raw = typename Type::Raw;
    using Item = typename Form::Item;
    const Raw* x = reinterpret_cast<const Raw*>(job.elements) + row * job.n;
    std::vector<std::vector<Item>> found(static_cast<size_t>(job.pieces));
    for_pieces(job.n, job.pieces, [&](int64_t piece, int64_t begin, int64_t end) {
        try {
            found[static_cast<size_t>(piece)] = best_of<Type, Form>(x, begin, end, job.k);
        } catch (const std::bad_alloc&) {
            job.failed.store(true);
        }
    });
    if (job.failed.load()) return;
    std::vector<Item> items = std::move(found[0]);
    for (size_t p = 1; p < found.size(); ++p) {
        items.insert(items.end(), found[p].begin(), found[p].end());
    }
    choose(items, job.k);
    sort_items(items);
    Raw* values = reinterpret_cast<Raw*>(job.values) + row * job.k;
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
    try {
        for (int64_t row = begin; row < end; ++row) best_of_row<Type, Form>(job, row);
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
