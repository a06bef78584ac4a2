// Combining many updates into places that indices name, for compiled code.
#pragma once

#include <cstdint>

extern "C" {
// For each of `n` index vectors, in order, combines a row of `width` elements into out[vector]: `operation` is 0
// (set), 1 (add), 2 (mul), 3 (min), 4 (max). The vectors have `components` (at most four) integers of `index_width`
// bytes; d0, d1, ... are the sizes of the axes that they are for. `outside` says what becomes of an
// index out of bounds: 0 its vector is left out, 1 it is moved to the nearest place, 2 and 3 its vector is left out
// unless it is negative, and then it counts from the end (2) or is 0 (3). With `one` there is one row for all. There are less than 2**31 places. What comes out does not depend on the number
// of threads; updates of one place are combined in their order, or in pieces of it where places are few.
int32_t cv_scatter(const void* indices, const void* updates, void* out, int64_t code,
                   int64_t operation, int64_t outside, int64_t one, int64_t index_width,
                   int64_t n, int64_t width, int64_t components, int64_t d0, int64_t d1, int64_t d2, int64_t d3);
}
