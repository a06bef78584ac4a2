// Stable sorting of rows by key, with or without a payload moved along: the routine behind sort_pairs.
//
// Keys become unsigned integers of the same order, which are sorted by their digits, least significant
// first: three passes for 32 bits. Many rows are sorted side by side, a long one in pieces: each piece
// counts its digits, and the counts say where in the next order each piece writes. Keys without a
// payload are sorted by vectors instead, where the machine has them (sort_avx512.cc).
#include "runtime/sort.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <memory>
#include <new>
#include <type_traits>
#include <utility>
#include <vector>

#include "runtime/allocator.h"
#include "runtime/order.h"
#include "runtime/pool.h"
#include "runtime/sort_kernels.h"
#include "runtime/sort_lanes.h"

namespace {

using covector::for_pieces;

// Below this many items comparisons are quicker than passes over digits.
constexpr int64_t kRadixFrom = 384;
// Digits of 11 bits make fewer passes, but their counts must be worth it.
constexpr int64_t kWideFrom = 1 << 14;
// From here on vectors sort pairs faster: they take 0.3 of the time for 1M.
constexpr int64_t kVectorsFrom = 16;
// The least part of a row that is worth a thread.
constexpr int64_t kPiece = 1 << 15;

template <class Key>
struct Alone {
    Key key;
};

// The key is the upper half of the whole, by which pairs of 32 bits are sorted as one number.
template <class Key>
struct Placed {
    Key place;  // where it was
    Key key;
};

template <class T>
class Scratch {
public:
    explicit Scratch(int64_t count) : memory_(static_cast<T*>(cv_alloc(count * int64_t{sizeof(T)}))) {
        if (memory_ == nullptr) throw std::bad_alloc();
    }
    ~Scratch() { cv_free(memory_); }
    Scratch(const Scratch&) = delete;
    Scratch& operator=(const Scratch&) = delete;
    T* get() const { return memory_; }

private:
    T* memory_;
};

// The items in order of their keys' lowest `key_bits`; they end up in the first of the two.
template <int kBits, class Item>
void radix_sort(Item*& items, Item*& spare, int64_t n, int key_bits, int64_t pieces) {
    constexpr int64_t kDigits = int64_t{1} << kBits;
    std::vector<int64_t> counts(static_cast<size_t>(pieces * kDigits));
    for (int shift = 0; shift < key_bits; shift += kBits) {
        const auto digit = [shift](const Item& item) {
            return static_cast<int64_t>((item.key >> shift) & (kDigits - 1));
        };
        std::fill(counts.begin(), counts.end(), 0);
        for_pieces(n, pieces, [&](int64_t piece, int64_t begin, int64_t end) {
            int64_t* own = counts.data() + piece * kDigits;
            for (int64_t i = begin; i < end; ++i) ++own[digit(items[i])];
        });
        int64_t start = 0, most = 0;
        for (int64_t d = 0; d < kDigits; ++d) {
            const int64_t before = start;
            for (int64_t p = 0; p < pieces; ++p) {
                start += std::exchange(counts[static_cast<size_t>(p * kDigits + d)], start);
            }
            most = std::max(most, start - before);
        }
        if (most == n) continue;  // all digits agree
        for_pieces(n, pieces, [&](int64_t piece, int64_t begin, int64_t end) {
            int64_t* own = counts.data() + piece * kDigits;
            for (int64_t i = begin; i < end; ++i) spare[own[digit(items[i])]++] = items[i];
        });
        std::swap(items, spare);
    }
}

// Keys alone may be sorted in any way: equal ones are the same. False where there are no such vectors.
template <class Key>
bool sort_by_vectors(Alone<Key>* items, Alone<Key>* spare, int64_t n, int64_t pieces) {
    const covector::VectorSort<Key>* vectors = covector::vector_sort(Key{});
    if (vectors == nullptr) return false;
    struct Range {
        Key *items, *other;
        int64_t count;
        bool to_other;
    };
    std::vector<Range> ranges{{&items->key, &spare->key, n, false}};
    while (pieces > 1 && static_cast<int64_t>(ranges.size()) < 3 * pieces) {
        const auto largest = std::max_element(ranges.begin(), ranges.end(),
            [](const Range& a, const Range& b) { return a.count < b.count; });
        const Range whole = *largest;
        Key* const low = whole.to_other ? whole.other : whole.items;
        Key* const high = whole.to_other ? whole.items : whole.other;
        const int64_t count = vectors->split(whole.items, low, high, whole.count);
        *largest = {high, low + count, whole.count - count, true};
        if (count == 0) break;
        ranges.push_back({low, high + (whole.count - count), count, false});
    }
    // Whoever is free takes the largest range that is left.
    std::sort(ranges.begin(), ranges.end(),
              [](const Range& a, const Range& b) { return a.count > b.count; });
    std::atomic<size_t> next{0};
    for_pieces(pieces, pieces, [&](int64_t, int64_t, int64_t) {
        for (size_t i; (i = next.fetch_add(1, std::memory_order_relaxed)) < ranges.size();) {
            const Range& range = ranges[i];
            vectors->sort(range.items, range.other, range.count, range.to_other);
        }
    });
    return true;
}

// `in_place`: the items lie where they say, so that equal keys stay in order if their places do.
template <class Item>
void sort_items(Item*& items, Item*& spare, int64_t n, int key_bits, int64_t pieces,
                bool in_place = false) {
    if constexpr (std::is_same_v<Item, Placed<uint32_t>>) {
        auto* const whole = reinterpret_cast<Alone<uint64_t>*>(items);
        auto* const other = reinterpret_cast<Alone<uint64_t>*>(spare);
        if (in_place && n >= kVectorsFrom && sort_by_vectors(whole, other, n, pieces)) return;
    }
    if (n < kRadixFrom) {
        std::stable_sort(items, items + n,
                         [](const Item& a, const Item& b) { return a.key < b.key; });
    } else if (n < kWideFrom) {
        radix_sort<8>(items, spare, n, key_bits, pieces);
    } else {
        radix_sort<11>(items, spare, n, key_bits, pieces);
    }
}

// What the elements that do not come back from their keys are, in their order.
template <class Type>
struct Odd {
    using Raw = typename Type::Raw;
    std::vector<Raw> zeros, nans;

    Odd(const Raw* keys, int64_t n) {
        const Raw zero = Type::encode(Raw{0});
        for (int64_t i = 0; i < n; ++i) {
            if (Type::encode(keys[i]) == zero) {
                zeros.push_back(keys[i]);
            } else if (Type::encode(keys[i]) == static_cast<Raw>(~Raw{0})) {
                nans.push_back(keys[i]);
            }
        }
    }

    template <class Item>
    void restore(const Item* items, Raw* keys, int64_t n) const {
        const Raw zero = Type::encode(Raw{0});
        const Item* first = std::lower_bound(
            items, items + n, zero, [](const Item& a, Raw key) { return a.key < key; });
        std::copy(zeros.begin(), zeros.end(), keys + (first - items));
        std::copy(nans.begin(), nans.end(), keys + n - static_cast<int64_t>(nans.size()));
    }
};

// Keys to integers of their order; whether any does not come back from its one.
template <class Type, class Key>
[[gnu::always_inline]] inline bool encode_some(const typename Type::Raw* keys, Key* items, int64_t n) {
    using Raw = typename Type::Raw;
    Raw odd = 0;
    for (int64_t i = 0; i < n; ++i) {
        items[i] = static_cast<Key>(Type::encode(keys[i]));
        odd = static_cast<Raw>(odd | static_cast<Raw>(Type::is_odd(keys[i])));
    }
    return odd != 0;
}

template <class Type, class Key>
[[gnu::always_inline]] inline void decode_some(const Key* items, typename Type::Raw* keys, int64_t n) {
    for (int64_t i = 0; i < n; ++i) keys[i] = Type::decode(static_cast<typename Type::Raw>(items[i]));
}

// The same with the places of the keys, from `begin` on.
template <class Type, class Key>
[[gnu::always_inline]] inline bool place_some(const typename Type::Raw* keys, Placed<Key>* items,
                                              int64_t begin, int64_t end) {
    using Raw = typename Type::Raw;
    Raw odd = 0;
    for (int64_t i = begin; i < end; ++i) {
        items[i] = {static_cast<Key>(i), static_cast<Key>(Type::encode(keys[i]))};
        odd = static_cast<Raw>(odd | static_cast<Raw>(Type::is_odd(keys[i])));
    }
    return odd != 0;
}

// All of them for a set of instructions.
template <class Type, class Key>
struct Coding {
    using Raw = typename Type::Raw;
    bool (*place)(const Raw* keys, Placed<Key>* items, int64_t begin, int64_t end);
    void (*keys_of)(const Placed<Key>* items, Raw* keys, int64_t n);
    bool (*encode)(const Raw* keys, Key* items, int64_t n);
    void (*decode)(const Key* items, Raw* keys, int64_t n);
};

#define CV_CODING(Name, bytes, attributes)                                                             \
    template <class Type, class Key>                                                                   \
    struct Name {                                                                                      \
        using Raw = typename Type::Raw;                                                                \
        attributes static bool place(const Raw* keys, Placed<Key>* items, int64_t begin, int64_t end) { \
            return place_some<Type>(keys, items, begin, end);                                          \
        }                                                                                              \
        attributes static void keys_of(const Placed<Key>* items, Raw* keys, int64_t n) {               \
            for (int64_t i = 0; i < n; ++i) keys[i] = Type::decode(static_cast<Raw>(items[i].key));    \
        }                                                                                              \
        attributes static bool encode(const Raw* keys, Key* items, int64_t n) {                        \
            return encode_some<Type>(keys, items, n);                                                  \
        }                                                                                              \
        attributes static void decode(const Key* items, Raw* keys, int64_t n) {                        \
            decode_some<Type>(items, keys, n);                                                         \
        }                                                                                              \
        static constexpr Coding<Type, Key> kCoding{place, keys_of, encode, decode};                    \
    };
CV_CODING(PlainCoding, 16, )
#if defined(__x86_64__)
CV_CODING(Avx2Coding, 32, CV_AVX2)
CV_CODING(Avx512Coding, 64, CV_AVX512)
#endif
#undef CV_CODING

template <class Type, class Key>
Coding<Type, Key> coding() {
#if defined(__x86_64__)
    return covector::best_of(PlainCoding<Type, Key>::kCoding, Avx2Coding<Type, Key>::kCoding,
                             Avx512Coding<Type, Key>::kCoding);
#else
    return PlainCoding<Type, Key>::kCoding;
#endif
}

// Sorts a row of keys alone.
template <class Type, class Key>
void sort_keys(typename Type::Raw* keys, Alone<Key>* items, Alone<Key>* spare, int64_t n,
               int64_t pieces) {
    const Coding<Type, Key> code = coding<Type, Key>();
    std::atomic<bool> any_odd{false};
    for_pieces(n, pieces, [&](int64_t, int64_t begin, int64_t end) {
        if (code.encode(keys + begin, &items[begin].key, end - begin)) {
            any_odd.store(true, std::memory_order_relaxed);
        }
    });
    std::unique_ptr<Odd<Type>> odd;
    if (any_odd.load()) odd = std::make_unique<Odd<Type>>(keys, n);
    if (!sort_by_vectors(items, spare, n, pieces)) {
        sort_items(items, spare, n, 8 * sizeof(typename Type::Raw), pieces);
    }
    for_pieces(n, pieces, [&](int64_t, int64_t begin, int64_t end) {
        code.decode(&items[begin].key, keys + begin, end - begin);
    });
    if (odd != nullptr) odd->restore(items, keys, n);
}

// f(T{}) for a type that is so wide.
template <class F>
void with_width(int64_t width, const F& f) {
    struct Sixteen {
        char bytes[16];
    };
    switch (width) {
        case 1: return f(uint8_t{});
        case 2: return f(uint16_t{});
        case 4: return f(uint32_t{});
        case 8: return f(uint64_t{});
        default: return f(Sixteen{});
    }
}

// Puts each element of a row where its item has come to.
template <class Key>
void move_row(char* row, const Placed<Key>* items, char* copy, int64_t width, int64_t n,
              int64_t pieces) {
    with_width(width, [&](auto sample) {
        using T = decltype(sample);
        for_pieces(n, pieces, [&](int64_t, int64_t begin, int64_t end) {
            std::memcpy(copy + begin * width, row + begin * width,
                        static_cast<size_t>((end - begin) * width));
        });
        for_pieces(n, pieces, [&](int64_t, int64_t begin, int64_t end) {
            for (int64_t i = begin; i < end; ++i) {
                std::memcpy(row + i * width, copy + static_cast<int64_t>(items[i].place) * width,
                            sizeof(T));
            }
        });
    });
}

// The same for short rows, one after the other.
void move_rows(char* first, const uint64_t* items, int64_t width, int64_t rows, int64_t n) {
    with_width(width, [&](auto sample) {
        using T = decltype(sample);
        T copy[covector::kMostInRow];
        for (int64_t row = 0; row < rows; ++row) {
            char* to = first + row * n * width;
            std::memcpy(copy, to, static_cast<size_t>(n * width));
            for (int64_t i = 0; i < n; ++i) {
                std::memcpy(to + i * width, copy + static_cast<uint32_t>(items[row * n + i]), sizeof(T));
            }
        }
    });
}

// The keys of a row with their places; whether any does not come back from its key.
template <class Type, class Key>
bool place_row(const typename Type::Raw* keys, Placed<Key>* items, int64_t n, int64_t pieces) {
    const Coding<Type, Key> code = coding<Type, Key>();
    std::atomic<bool> any_odd{false};
    for_pieces(n, pieces, [&](int64_t, int64_t begin, int64_t end) {
        if (code.place(keys, items, begin, end)) any_odd.store(true, std::memory_order_relaxed);
    });
    return any_odd.load();
}

template <class Type, class Key>
void sort_pairs(typename Type::Raw* keys, char* values, int64_t value_width, Placed<Key>* items,
                Placed<Key>* spare, char* copy, int64_t n, int64_t pieces) {
    const bool odd = place_row<Type>(keys, items, n, pieces);
    sort_items(items, spare, n, 8 * sizeof(typename Type::Raw), pieces, true);
    if (odd) {
        constexpr int64_t key_width = sizeof(typename Type::Raw);
        move_row(reinterpret_cast<char*>(keys), items, copy, key_width, n, pieces);
    } else {
        const Coding<Type, Key> code = coding<Type, Key>();
        for_pieces(n, pieces, [&](int64_t, int64_t begin, int64_t end) {
            code.keys_of(items + begin, keys + begin, end - begin);
        });
    }
    move_row(values, items, copy, value_width, n, pieces);
}

struct Job {
    char* keys;
    char* values;  // null: keys alone
    int64_t value_width, n, pieces;
    std::atomic<bool> failed{false};
};

// Whether these rows are sorted side by side, each in a lane.
bool in_lanes(int64_t rows, int64_t n) {
    return n > 1 && n <= covector::kMostInRow && rows >= covector::kRowsAtOnce;
}

// The places of the items of short rows as f(row, rows, items) gets them, some rows at a time.
template <class Type, class F>
void place_in_lanes(const covector::Network& network, const typename Type::Raw* keys, int64_t begin,
                    int64_t end, const F& f) {
    const int64_t n = network.items();
    constexpr int64_t kRows = 64;
    const Scratch<uint64_t> items(kRows * n);
    for (int64_t row = begin; row < end; row += kRows) {
        const int64_t rows = std::min(kRows, end - row);
        covector::lane_sort<Type>().places(network, keys + row * n, items.get(), rows);
        f(row, rows, items.get());
    }
}

// Sorts short rows of keys of up to 32 bits with their values.
template <class Type>
void sort_pairs_in_lanes(const Job& job, const covector::Network& network, int64_t begin, int64_t end) {
    constexpr int64_t key_width = sizeof(typename Type::Raw);
    const int64_t n = job.n, width = job.value_width;
    const auto* keys = reinterpret_cast<const typename Type::Raw*>(job.keys);
    place_in_lanes<Type>(network, keys, begin, end, [&](int64_t row, int64_t rows, const uint64_t* items) {
        move_rows(job.keys + row * n * key_width, items, key_width, rows, n);
        if (job.values != nullptr) move_rows(job.values + row * n * width, items, width, rows, n);
    });
}

// Sorts short rows of keys alone. Where some do not come back from their keys, they are moved to their
// places; those of 64 bits one row after the other.
template <class Type, class Key>
void sort_keys_in_lanes(const Job& job, int64_t begin, int64_t end) {
    using Raw = typename Type::Raw;
    const int64_t n = job.n;
    auto* keys = reinterpret_cast<Raw*>(job.keys);
    const covector::Network network(n);
    const Scratch<Alone<Key>> items(n), spare(n);
    for (int64_t row = begin; row < end;) {
        row += covector::lane_sort<Type>().keys(network, keys + row * n, end - row);
        const int64_t next = std::min(end, row + covector::kRowsAtOnce);
        if constexpr (sizeof(Raw) <= 4) {
            sort_pairs_in_lanes<Type>(job, network, row, next);
        } else {
            for (int64_t i = row; i < next; ++i) {
                sort_keys<Type, Key>(keys + i * n, items.get(), spare.get(), n, 1);
            }
        }
        row = next;
    }
}

template <class Type, class Key>
void sort_rows(void* context, int64_t begin, int64_t end) {
    Job& job = *static_cast<Job*>(context);
    using Raw = typename Type::Raw;
    auto* keys = reinterpret_cast<Raw*>(job.keys);
    const int64_t n = job.n;
    try {
        if (in_lanes(end - begin, n)) {
            if (job.values == nullptr) return sort_keys_in_lanes<Type, Key>(job, begin, end);
            if constexpr (sizeof(Raw) <= 4) {
                return sort_pairs_in_lanes<Type>(job, covector::Network(n), begin, end);
            }
        }
        if (job.values == nullptr) {
            const Scratch<Alone<Key>> items(n), spare(n);
            for (int64_t row = begin; row < end; ++row) {
                sort_keys<Type, Key>(keys + row * n, items.get(), spare.get(), n, job.pieces);
            }
            return;
        }
        const Scratch<Placed<Key>> items(n), spare(n);
        const Scratch<char> copy(n * std::max<int64_t>(sizeof(Raw), job.value_width));
        for (int64_t row = begin; row < end; ++row) {
            sort_pairs<Type, Key>(keys + row * n, job.values + row * n * job.value_width,
                                  job.value_width, items.get(), spare.get(), copy.get(), n,
                                  job.pieces);
        }
    } catch (const std::bad_alloc&) {
        job.failed.store(true);
    }
}

template <class Type>
ParallelBody rows_of(int64_t n) {
    const bool narrow = sizeof(typename Type::Raw) <= 4 && n <= int64_t{1} << 32;
    return narrow ? sort_rows<Type, uint32_t> : sort_rows<Type, uint64_t>;
}

ParallelBody body_of(int64_t code, int64_t n) {
    return covector::with_order(code, [n](auto type) { return rows_of<decltype(type)>(n); });
}

struct OrderJob {
    const char* keys;
    char* order;
    int64_t place_width, n, count, pieces;
    std::atomic<bool> failed{false};
};

// The places of the items, as integers of this type.
template <class Place, class Key>
void write_places(const Placed<Key>* items, Place* order, int64_t n, int64_t pieces) {
    for_pieces(n, pieces, [&](int64_t, int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) order[i] = static_cast<Place>(items[i].place);
    });
}

// Sorts by the last key, then by the one before it, and so on: each sort keeps what is equal in its order.
template <class Type, class Key>
void order_rows(void* context, int64_t begin, int64_t end) {
    OrderJob& job = *static_cast<OrderJob*>(context);
    using Raw = typename Type::Raw;
    const int64_t n = job.n, pieces = job.pieces;
    const auto place = [&](const auto* items, int64_t row, int64_t count) {
        char* order = job.order + row * n * job.place_width;
        if (job.place_width == 4) {
            write_places(items, reinterpret_cast<int32_t*>(order), count, pieces);
        } else {
            write_places(items, reinterpret_cast<int64_t*>(order), count, pieces);
        }
    };
    try {
        if constexpr (sizeof(Raw) <= 4) {
            if (job.count == 1 && in_lanes(end - begin, n)) {
                const auto* keys = reinterpret_cast<const Raw*>(job.keys);
                return place_in_lanes<Type>(
                    covector::Network(n), keys, begin, end,
                    [&](int64_t row, int64_t rows, const uint64_t* items) {
                        place(reinterpret_cast<const Placed<uint32_t>*>(items), row, rows * n);
                    });
            }
        }
        const Scratch<Placed<Key>> first(n), second(n);
        for (int64_t row = begin; row < end; ++row) {
            const Raw* keys = reinterpret_cast<const Raw*>(job.keys) + row * job.count * n;
            Placed<Key>*items = first.get(), *spare = second.get();
            if (job.count > 0) {
                place_row<Type>(keys + (job.count - 1) * n, items, n, pieces);
                sort_items(items, spare, n, 8 * sizeof(Raw), pieces, true);
            } else {
                for (int64_t i = 0; i < n; ++i) items[i].place = static_cast<Key>(i);
            }
            for (int64_t k = job.count - 2; k >= 0; --k) {
                const Raw* key = keys + k * n;
                for_pieces(n, pieces, [&](int64_t, int64_t from, int64_t to) {
                    for (int64_t i = from; i < to; ++i) {
                        items[i].key = static_cast<Key>(Type::encode(key[items[i].place]));
                    }
                });
                sort_items(items, spare, n, 8 * sizeof(Raw), pieces);
            }
            place(items, row, n);
        }
    } catch (const std::bad_alloc&) {
        job.failed.store(true);
    }
}

ParallelBody order_body_of(int64_t code, int64_t n) {
    return covector::with_order(code, [n](auto type) -> ParallelBody {
        using Type = decltype(type);
        const bool narrow = sizeof(typename Type::Raw) <= 4 && n <= int64_t{1} << 32;
        return narrow ? order_rows<Type, uint32_t> : order_rows<Type, uint64_t>;
    });
}

// Into how many pieces a row of n is cut: one where there are rows enough for all threads.
int64_t pieces_of(int64_t rows, int64_t n) {
    const int64_t threads = covector::pool_size();
    return rows < 2 * threads ? std::clamp<int64_t>(n / kPiece, 1, threads) : 1;
}

void run_rows(ParallelBody body, void* job, int64_t rows, int64_t n, int64_t pieces) {
    if (pieces > 1) {
        body(job, 0, rows);
    } else {
        cv_parallel_for(body, job, rows, std::max<int64_t>(1, 4096 / n));
    }
}

}  // namespace

extern "C" int32_t cv_sort_pairs(void* keys, void* values, int64_t code, int64_t value_width,
                                 int64_t rows, int64_t n) {
    if (rows <= 0 || n <= 1) return 0;
    const int64_t pieces = pieces_of(rows, n);
    Job job{static_cast<char*>(keys), value_width > 0 ? static_cast<char*>(values) : nullptr,
            value_width, n, pieces};
    run_rows(body_of(code, n), &job, rows, n, pieces);
    return job.failed.load() ? 1 : 0;
}

extern "C" int32_t cv_sort_order(const void* keys, void* order, int64_t code, int64_t place_width,
                                 int64_t rows, int64_t count, int64_t n) {
    if (rows <= 0 || n <= 0) return 0;
    const int64_t pieces = pieces_of(rows, n);
    OrderJob job{static_cast<const char*>(keys), static_cast<char*>(order), place_width, n, count,
                 pieces};
    run_rows(order_body_of(code, n), &job, rows, n, pieces);
    return job.failed.load() ? 1 : 0;
}
