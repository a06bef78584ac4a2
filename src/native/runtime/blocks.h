// What the algorithms in blocks share: work cut into pieces for the pool, products of blocks, and
// copies of them.
#pragma once

#include <algorithm>
#include <cstdint>

#include "runtime/gemm.h"
#include "runtime/gemm_kernels.h"
#include "runtime/panels.h"
#include "runtime/pool.h"

namespace covector {

constexpr int64_t kSplitWork = 64LL * 64 * 64;  // multiply-adds that are worth a thread

// Calls f(begin, end) for pieces of [0, length), multiples of `unit`, side by side where the work
// is worth it.
template <typename F>
void split(int64_t length, int64_t unit, double work, const F& f) {
    struct Context {
        const F& f;
        int64_t length, unit;
    } context{f, length, unit};
    const int64_t units = (length + unit - 1) / unit;
    const auto grain = static_cast<int64_t>(kSplitWork * units / std::max(work, 1.0)) + 1;
    cv_parallel_for(
        [](void* pointer, int64_t begin, int64_t end) {
            const auto& c = *static_cast<const Context*>(pointer);
            c.f(begin * c.unit, std::min(end * c.unit, c.length));
        },
        &context, units, grain);
}

inline int64_t in_panels(int64_t n) { return (n + kPanel - 1) / kPanel * kPanel; }
inline int64_t panel_of(int64_t i) { return i / kPanel * kPanel; }

inline double product_of(int64_t a, int64_t b, int64_t c) {
    return static_cast<double>(a) * static_cast<double>(b) * static_cast<double>(c);
}

template <typename T>
void multiply(const Product<T>& p) {
    if (!multiply_tiles(p)) multiply_plainly(p);
}

// to[j * to_step + i] = from[i * step + j]
template <typename T>
void transpose_tiles(const T* from, int64_t step, int64_t rows, int64_t columns, T* to,
                     int64_t to_step) {
    const Kernels<T>& kernels = *tile_kernels<T>();
    for (int64_t i = 0; i < rows; i += kernels.lanes) {
        const int64_t some = std::min<int64_t>(kernels.lanes, rows - i);
        kernels.transpose(from + i * step, step, some, columns, to + i, to_step);
    }
}

// How far lines of such a length are apart: not a multiple of 1 KB, where many of them would share
// few sets of a cache. Factors of 1,024 x 1,024 floats take four fifths of the time.
template <typename T>
int64_t step_of(int64_t length) {
    const bool crowded = length * static_cast<int64_t>(sizeof(T)) % 1024 == 0;
    return length + (crowded ? kPanel : 0);
}

template <typename T>
void copy_rows(const T* from, int64_t step, int64_t rows, int64_t columns, T* to, int64_t to_step) {
    split(rows, 1, product_of(rows, columns, 1), [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) {
            std::copy(from + i * step, from + i * step + columns, to + i * to_step);
        }
    });
}

}  // namespace covector
