// Matrix products for compiled code, row-major: c = op(a) op(b) + beta c. beta is real, also for
// complex matrices. OpenBLAS multiplies, on our threads; without it a plain loop does.
#pragma once

#include <cstdint>

extern "C" {
void cv_sgemm(int32_t ta, int32_t tb, int64_t m, int64_t n, int64_t k, const float* a, int64_t lda,
              const float* b, int64_t ldb, float beta, float* c, int64_t ldc);
void cv_dgemm(int32_t ta, int32_t tb, int64_t m, int64_t n, int64_t k, const double* a,
              int64_t lda, const double* b, int64_t ldb, double beta, double* c, int64_t ldc);
void cv_cgemm(int32_t ta, int32_t tb, int64_t m, int64_t n, int64_t k, const float* a, int64_t lda,
              const float* b, int64_t ldb, float beta, float* c, int64_t ldc);
void cv_zgemm(int32_t ta, int32_t tb, int64_t m, int64_t n, int64_t k, const double* a,
              int64_t lda, const double* b, int64_t ldb, double beta, double* c, int64_t ldc);
}

namespace covector {

// Takes the address of a routine by its CBLAS name (32-bit integers); false if it is not used.
bool set_blas_routine(const char* name, uintptr_t address);

}  // namespace covector
