// Sorting many short rows side by side.
#pragma once

#include <cstdint>

namespace covector {

constexpr int64_t kMostInRow = 128;  // items, of a row that is sorted so
constexpr int64_t kRowsAtOnce = 16;  // fewer rows are not worth a network

// The exchanges of a network that sorts rows of one length (Batcher's merge exchange; Knuth, "The Art of
// Computer Programming", volume 3, 5.2.2, algorithm M).
class Network {
public:
    struct Exchange {
        uint8_t low, high;  // places of which the first gets the smaller item
    };

    explicit Network(int64_t items);
    int64_t items() const { return items_; }
    const Exchange* begin() const { return exchanges_; }
    const Exchange* end() const { return exchanges_ + count_; }

private:
    static constexpr int64_t kMostExchanges = 1471;  // of kMostInRow items
    int64_t items_, count_ = 0;
    Exchange exchanges_[kMostExchanges];
};

// Rows of elements of one type of order.h.
template <typename Type>
struct LaneSort {
    using Raw = typename Type::Raw;
    // Sorts rows in place, up to some that have elements which do not come back from their keys; how
    // many are done.
    int64_t (*keys)(const Network& network, Raw* rows, int64_t count);
    // The items of each row in order, keys of up to 32 bits above their places.
    void (*places)(const Network& network, const Raw* rows, uint64_t* items, int64_t count);
};

// What is compiled for this processor.
template <typename Type>
const LaneSort<Type>& lane_sort();

}  // namespace covector
