// Products of bfloat16 matrices, summed in float32, for compiled code.
#pragma once

#include <cstdint>

namespace covector {

// Whether nothing is below 2^-126 that the instruction for pairs would take for 0: none of so many numbers, no product
// of two of them, and no sum of products.
bool are_normal(const uint16_t* x, int64_t x_count, const uint16_t* y, int64_t y_count);

}  // namespace covector

extern "C" {
// c = op(a) op(b) + beta c, row-major; op transposes where `ta` or `tb`. By the processor's instruction for pairs of
// bfloat16 where it has one, and no number below 2^-126 can occur, which it takes for 0; else of what both are in
// float32, for which there may be no memory: an error number, or 0.
int32_t cv_bgemm(int32_t ta, int32_t tb, int64_t m, int64_t n, int64_t k, const uint16_t* a, int64_t lda,
                 const uint16_t* b, int64_t ldb, float beta, float* c, int64_t ldc);
}
