// Fourier transforms along one axis, for compiled code.
#pragma once

#include <cstdint>

extern "C" {
// Transforms an array of shape (outer, n, inner) along its middle axis. `kind` is 0 for the forward
// transform, 1 for the inverse (which divides by n), 2 for the forward one of reals (the result has
// n / 2 + 1 along the axis), 3 for its inverse (the operand has). `wide` is 1 for double precision,
// 0 for single. A complex `out` may be `in`. Returns 0, or 1 if memory is exhausted.
int32_t cv_fft(const void* in, void* out, int64_t kind, int64_t wide, int64_t outer, int64_t n,
               int64_t inner);
}
