// What the routines on stacks of matrices share: types by number, the loop over the stack, scratch
// memory, and the way between our rows and LAPACK's columns.
#pragma once

#include <algorithm>
#include <atomic>
#include <cmath>
#include <complex>
#include <cstdint>
#include <limits>
#include <new>

#include "runtime/allocator.h"
#include "runtime/lapack.h"
#include "runtime/pool.h"
#include "runtime/status.h"

namespace covector {

// Memory for as long as it lives; std::bad_alloc if there is none.
template <typename T>
class Scratch {
public:
    explicit Scratch(int64_t count)
        : memory_(static_cast<T*>(cv_alloc(std::max<int64_t>(count, 1) * int64_t{sizeof(T)}))) {
        if (memory_ == nullptr) throw std::bad_alloc();
    }
    ~Scratch() { cv_free(memory_); }
    Scratch(const Scratch&) = delete;
    Scratch& operator=(const Scratch&) = delete;
    T* get() const { return memory_; }
    T& operator[](int64_t i) const { return memory_[i]; }

private:
    T* memory_;
};

// Calls f.template operator()<T>() for the type of this number: float, double, and the complex ones.
template <typename F>
int32_t with_type(int64_t type, const F& f) {
    switch (type) {
        case 0: return f.template operator()<float>();
        case 1: return f.template operator()<double>();
        case 2: return f.template operator()<std::complex<float>>();
        default: return f.template operator()<std::complex<double>>();
    }
}

constexpr double kOnAllThreads = 2e6;  // nanoseconds of work on one matrix, from which it is split
constexpr double kPieceOfStack = 1e4;  // nanoseconds of work that are worth a thread

// Calls f(begin, end) for pieces of a stack of matrices, side by side; a large one alone is given
// all threads by the library, unless f splits it itself (`ours`). `work` is what one takes on one
// thread, in nanoseconds, about.
template <typename F>
int32_t over_matrices(int64_t count, double work, const F& f, bool ours = false) {
    struct Context {
        const F& f;
        std::atomic<int32_t> status{kNoError};
    } context{f};
    const auto body = [](void* pointer, int64_t begin, int64_t end) {
        auto& c = *static_cast<Context*>(pointer);
        try {
            c.f(begin, end);
        } catch (const std::bad_alloc&) {
            c.status.store(kOutOfMemory);
        }
    };
    if (count == 1) {
        const ManyThreads threads(work >= kOnAllThreads && !ours);
        body(&context, 0, 1);
    } else {
        cv_parallel_for(body, &context, count, static_cast<int64_t>(kPieceOfStack / work) + 1);
    }
    return context.status.load();
}

// The work of so many multiplications, in nanoseconds.
inline double work_of(double multiplications) { return 100 + 0.1 * multiplications; }

// to[j * rows + i] = from[i * columns + j], in blocks that fit the cache.
template <typename T>
void transpose(const T* from, int64_t rows, int64_t columns, T* to) {
    constexpr int64_t kBlock = 16;
    for (int64_t i0 = 0; i0 < rows; i0 += kBlock) {
        const int64_t i1 = std::min(rows, i0 + kBlock);
        for (int64_t j0 = 0; j0 < columns; j0 += kBlock) {
            const int64_t j1 = std::min(columns, j0 + kBlock);
            for (int64_t j = j0; j < j1; ++j) {
                for (int64_t i = i0; i < i1; ++i) to[j * rows + i] = from[i * columns + j];
            }
        }
    }
}

// What the elements of a matrix are multiplied with, if squares of the largest one would not be
// numbers: a power of 2.
template <typename R>
R scale_of(R most) {
    const R tiny = std::sqrt(std::numeric_limits<R>::min() / std::numeric_limits<R>::epsilon());
    if (most == 0 || (most > tiny && most < 1 / tiny)) return 1;
    return std::ldexp(R(1), std::min(-std::ilogb(most), std::numeric_limits<R>::max_exponent - 1));
}

template <typename T>
T not_a_number() {
    const Real<T> nan = std::numeric_limits<Real<T>>::quiet_NaN();
    if constexpr (kIsComplex<T>) {
        return {nan, nan};
    } else {
        return nan;
    }
}

template <typename T>
void fill_nan(T* to, int64_t count) {
    std::fill(to, to + count, not_a_number<T>());
}

template <typename T>
bool all_finite(const T* from, int64_t count) {
    const auto* parts = reinterpret_cast<const Real<T>*>(from);
    const int64_t n = count * static_cast<int64_t>(sizeof(T) / sizeof(Real<T>));
    Real<T> sum = 0;  // of zeros, unless something is not finite
    for (int64_t i = 0; i < n; ++i) sum += parts[i] * 0;
    return sum == 0;
}

template <typename T>
T conjugate(T x) {
    if constexpr (kIsComplex<T>) {
        return std::conj(x);
    } else {
        return x;
    }
}

// The length that a routine asked for in its answer to a query.
template <typename T>
int length_of(T answer) {
    return std::max(1, static_cast<int>(std::real(answer)));
}

}  // namespace covector
