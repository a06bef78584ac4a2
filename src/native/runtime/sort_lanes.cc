// Each lane holds one row, its items in vectors: item i of all of them is one vector. A network exchanges
// the same places in all rows, so that no row waits for a comparison.
#include "runtime/sort_lanes.h"

#include <algorithm>
#include <cstring>
#include <iterator>
#include <type_traits>
#include <utility>

#include "runtime/order.h"
#include "runtime/squares.h"
#include "runtime/wide.h"

namespace covector {

Network::Network(int64_t items) : items_(items) {
    int64_t most = 1;
    while (most < items) most *= 2;
    for (int64_t p = most / 2; p > 0; p /= 2) {
        int64_t rest = 0, apart = p;
        for (int64_t q = most / 2;; q /= 2) {
            for (int64_t i = 0; i + apart < items; ++i) {
                if ((i & p) != rest) continue;
                exchanges_[count_++] = {static_cast<uint8_t>(i), static_cast<uint8_t>(i + apart)};
            }
            if (q == p) break;
            apart = q - p;
            rest = p;
        }
    }
}

namespace {

// Elements that lie one after the other, as many as a vector has items.
template <typename Raw, typename Item>
using Elements __attribute__((vector_size(sizeof(Raw) * kLanes<Item>))) = Raw;

// The elements of a group of rows, and a vector more.
template <typename Item>
constexpr int64_t kRoom = (kMostInRow + 1) * kLanes<Item>;

// The keys of a group of rows as columns; what is read beyond a row is lost. False where some elements
// do not come back from their keys.
template <typename Type, typename Item, bool kInRegisters>
CV_INLINE bool to_lanes(const typename Type::Raw* rows, int64_t n, Vector<Item>* columns) {
    using Part = Elements<typename Type::Raw, Item>;
    constexpr int64_t lanes = kLanes<Item>;
    Part odd{};
    for (int64_t j = 0; j < n; j += lanes) {
        Vector<Item> square[lanes];
        CV_UNROLL for (int l = 0; l < lanes; ++l) {
            Part x;
            std::memcpy(&x, rows + l * n + j, sizeof x);
            if constexpr (Type::kHasOdd) odd |= reinterpret_cast<Part>(Type::is_odd(x));
            square[l] = __builtin_convertvector(Type::encode(x), Vector<Item>);
        }
        if constexpr (kInRegisters) {
            turn_square<Item>(square);
            CV_UNROLL for (int l = 0; l < lanes; ++l) columns[j + l] = square[l];
        } else {
            for (int64_t i = j; i < std::min(j + lanes, n); ++i) {
                for (int l = 0; l < lanes; ++l) columns[i][l] = square[l][i - j];
            }
        }
    }
    bool any = false;
    if constexpr (Type::kHasOdd) {
        for (int l = 0; l < lanes; ++l) any |= odd[l] != 0;
    }
    return !any;
}

// The way back, from the last columns on: what `put` writes beyond a row is written over by its own.
template <typename Item, bool kInRegisters, typename F>
CV_INLINE void from_lanes(const Vector<Item>* columns, int64_t n, const F& put) {
    constexpr int64_t lanes = kLanes<Item>;
    for (int64_t j = (n - 1) / lanes * lanes; j >= 0; j -= lanes) {
        Vector<Item> square[lanes];
        if constexpr (kInRegisters) {
            CV_UNROLL for (int l = 0; l < lanes; ++l) square[l] = columns[j + l];
            turn_square<Item>(square);
        } else {
            for (int l = 0; l < lanes; ++l) {
                for (int64_t i = j; i < std::min(j + lanes, n); ++i) square[l][i - j] = columns[i][l];
            }
        }
        CV_UNROLL for (int l = 0; l < lanes; ++l) put(l * n + j, square[l]);
    }
}

template <typename Item>
CV_INLINE void exchange(const Network& network, Vector<Item>* columns) {
    for (const auto [low, high] : network) {
        const Vector<Item> x = columns[low], y = columns[high];
        columns[low] = x < y ? x : y;
        columns[high] = x < y ? y : x;
    }
}

// A group is read before the one in front of it is written, which writes beyond its end; there is room
// for what is too near to the end of all rows. Nothing is read soon after it was written in other
// pieces, which would wait for the memory: 80 cycles for a row of 10.
template <typename Type, bool kInRegisters>
CV_INLINE int64_t sort_keys(const Network& network, typename Type::Raw* keys, int64_t count) {
    using Raw = typename Type::Raw;
    using Item = std::conditional_t<sizeof(Raw) == 8, uint64_t, uint32_t>;
    constexpr int64_t lanes = kLanes<Item>;
    const int64_t n = network.items(), all = count * n, group = lanes * n;
    Raw room[kRoom<Item>];
    Vector<Item> even[kMostInRow + lanes], odd[kMostInRow + lanes];
    const auto read = [&](int64_t begin, Vector<Item>* columns) {
        const Raw* rows = keys + begin;
        if (all - begin < group + lanes) {
            std::fill(std::copy(rows, rows + std::min(group, all - begin), room), std::end(room), Raw{0});
            rows = room;
        }
        return to_lanes<Type, Item, kInRegisters>(rows, n, columns);
    };
    const auto write = [&](const Vector<Item>* columns, Raw* to) {
        from_lanes<Item, kInRegisters>(columns, n, [to](int64_t i, const Vector<Item>& items) {
            const auto x = Type::decode(__builtin_convertvector(items, Elements<Raw, Item>));
            std::memcpy(to + i, &x, sizeof x);
        });
    };
    Vector<Item>*here = even, *next = odd;
    bool more = read(0, here);
    int64_t begin = 0;
    while (more) {
        const int64_t end = begin + group;
        more = end < all && read(end, next);
        exchange<Item>(network, here);
        if (more && all - end >= lanes) {
            write(here, keys + begin);
        } else {
            write(here, room);
            std::copy(room, room + std::min(group, all - begin), keys + begin);
        }
        std::swap(here, next);
        begin = end;
    }
    return std::min(begin / n, count);
}

template <typename Type, bool kInRegisters>
CV_INLINE void sort_places(const Network& network, const typename Type::Raw* keys, uint64_t* items,
                           int64_t count) {
    using Item = uint64_t;
    using Raw = typename Type::Raw;
    constexpr int64_t lanes = kLanes<Item>;
    const int64_t n = network.items(), all = count * n, group = lanes * n;
    Raw room[kRoom<Item>];
    Item last[kRoom<Item>];
    Vector<Item> columns[kMostInRow + lanes];
    for (int64_t begin = 0; begin < all; begin += group) {
        const bool inside = all - begin >= group + lanes;
        const Raw* rows = keys + begin;
        if (!inside) {
            std::fill(std::copy(rows, rows + std::min(group, all - begin), room), std::end(room), Raw{0});
            rows = room;
        }
        to_lanes<Type, Item, kInRegisters>(rows, n, columns);
        for (int64_t i = 0; i < n; ++i) columns[i] = columns[i] << 32 | static_cast<Item>(i);
        exchange<Item>(network, columns);
        Item* to = inside ? items + begin : last;
        from_lanes<Item, kInRegisters>(columns, n, [to](int64_t i, const Vector<Item>& x) {
            store<Item>(to + i, x);
        });
        if (!inside) std::copy(last, last + std::min(group, all - begin), items + begin);
    }
}

// One set of instructions: the same functions, compiled for it. Only the longest vectors are turned in
// registers.
#define CV_VARIANT(Name, bytes, attributes)                                                        \
    template <typename Type>                                                                       \
    struct Name {                                                                                  \
        using Raw = typename Type::Raw;                                                            \
        attributes static int64_t keys(const Network& network, Raw* rows, int64_t count) {         \
            return sort_keys<Type, bytes == 64>(network, rows, count);                             \
        }                                                                                          \
        attributes static void places(const Network& network, const Raw* rows, uint64_t* items,    \
                                      int64_t count) {                                             \
            sort_places<Type, bytes == 64>(network, rows, items, count);                           \
        }                                                                                          \
        static constexpr LaneSort<Type> kKernels = {keys, sizeof(Raw) == 8 ? nullptr : places};    \
    };

CV_VARIANTS(CV_VARIANT)

}  // namespace

template <typename Type>
const LaneSort<Type>& lane_sort() {
    return *best_of(&Plain<Type>::kKernels, &Avx2<Type>::kKernels, &Avx512<Type>::kKernels);
}

template const LaneSort<Unsigned<uint8_t>>& lane_sort();
template const LaneSort<Unsigned<uint16_t>>& lane_sort();
template const LaneSort<Unsigned<uint32_t>>& lane_sort();
template const LaneSort<Unsigned<uint64_t>>& lane_sort();
template const LaneSort<Signed<uint8_t>>& lane_sort();
template const LaneSort<Signed<uint16_t>>& lane_sort();
template const LaneSort<Signed<uint32_t>>& lane_sort();
template const LaneSort<Signed<uint64_t>>& lane_sort();
template const LaneSort<Float<uint16_t, 0x7C00>>& lane_sort();
template const LaneSort<Float<uint16_t, 0x7F80>>& lane_sort();
template const LaneSort<Float<uint32_t, 0x7F800000>>& lane_sort();
template const LaneSort<Float<uint64_t, 0x7FF0000000000000>>& lane_sort();

}  // namespace covector
