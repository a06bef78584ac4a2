// Squares of as many vectors as these have lanes, turned in registers.
#pragma once

#include "runtime/wide.h"

namespace covector {

// The words of two vectors in turns: of the first halves, or of the second ones.
template <typename T, bool kHigh>
CV_INLINE Vector<T> zip(Vector<T> x, Vector<T> y) {
    constexpr int first = kHigh ? kLanes<T> / 2 : 0;
    Vector<T> order;
    for (int l = 0; l < kLanes<T>; ++l) order[l] = static_cast<T>(first + l / 2 + (l % 2) * kLanes<T>);
    return __builtin_shuffle(x, y, order);
}

// A round interleaves the first half of the vectors with the second, which rotates the bits of an
// element's place by one; after log2(kLanes) rounds its row and its column have changed places.
template <typename T>
CV_INLINE void turn_square(Vector<T>* v) {
    constexpr int n = kLanes<T>;
    CV_UNROLL for (int round = 1; round < n; round *= 2) {
        Vector<T> mixed[n];
        CV_UNROLL for (int i = 0; i < n / 2; ++i) {
            mixed[2 * i] = zip<T, false>(v[i], v[i + n / 2]);
            mixed[2 * i + 1] = zip<T, true>(v[i], v[i + n / 2]);
        }
        CV_UNROLL for (int i = 0; i < n; ++i) v[i] = mixed[i];
    }
}

}  // namespace covector
