// What the two ways to compute a convolution have in common: memory, pieces of the work, panels.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstring>
#include <memory>
#include <new>
#include <numeric>
#include <vector>

#include "runtime/allocator.h"
#include "runtime/conv.h"
#include "runtime/gemm_kernels.h"
#include "runtime/pool.h"

namespace covector {

constexpr int kAxes = kConvolutionAxes;
constexpr int64_t kPieceWork = 64LL * 64 * 64;  // multiply-adds that are worth a thread

inline int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }
inline int64_t divide_down(int64_t a, int64_t b) { return a / b - (a % b < 0 ? 1 : 0); }

struct Free {
    void operator()(void* memory) const { cv_free(memory); }
};
template <typename T>
using Room = std::unique_ptr<T, Free>;

template <typename T>
Room<T> make_room(int64_t elements) {
    return Room<T>(static_cast<T*>(cv_alloc(std::max<int64_t>(elements, 1) * sizeof(T))));
}

// Runs body(begin, end) on the pool; what it returns is whether all of them had memory enough.
template <typename Body>
bool run_pieces(int64_t pieces, int64_t grain, const Body& body) {
    struct Run {
        const Body& body;
        std::atomic<bool> good{true};
    } run{body};
    cv_parallel_for(
        [](void* context, int64_t begin, int64_t end) {
            auto& run = *static_cast<Run*>(context);
            try {
                if (run.body(begin, end)) return;
            } catch (const std::bad_alloc&) {
            }
            run.good.store(false, std::memory_order_relaxed);
        },
        &run, pieces, std::max<int64_t>(grain, 1));
    return run.good.load();
}

// Where the parts of a group begin.
template <typename T>
struct Group {
    const T *lhs, *rhs;
    T* out;

    Group(const Convolution& conv, int64_t g, const T* lhs, const T* rhs, T* out)
        : lhs(lhs + g * (conv.batch_groups > 1 ? conv.batch * conv.lhs_batch
                                               : conv.taken * conv.lhs_feature)),
          rhs(rhs + g * conv.made * conv.rhs_made),
          out(out + g * conv.made * conv.out_feature) {}
};

// A panel of features: one, two or four vectors.
struct Panel {
    int64_t column, columns;
    int log;

    int64_t tail(int64_t lanes) const { return columns - ((lanes << log) - lanes); }
};

inline std::vector<Panel> panels_of(int64_t columns, int64_t lanes, bool wide) {
    std::vector<Panel> panels;
    for (int64_t column = 0; column < columns;) {
        const int64_t rest = columns - column;
        const int log = wide && rest > 3 * lanes ? 2 : rest > lanes ? 1 : 0;
        panels.push_back({column, std::min(rest, lanes << log), log});
        column += panels.back().columns;
    }
    return panels;
}

// A length in parts that differ by at most 1, none longer than `most`.
template <typename Body>
void in_parts(int64_t length, int64_t most, const Body& body) {
    const int64_t count = divide_up(length, most);
    for (int64_t i = 0, begin = 0; i < count; ++i) {
        const int64_t size = length / count + (i < length % count ? 1 : 0);
        body(begin, size);
        begin += size;
    }
}

// Copies a matrix from[i * row + j * column] to to[j * step + i], by vectors where it can.
template <typename T>
void copy_matrix(const Kernels<T>& kernels, const T* from, int64_t row, int64_t column, int64_t rows,
                 int64_t columns, T* to, int64_t step) {
    if (row == 1) {
        kernels.copy(from, column, rows, columns, to, step);
    } else if (column == 1 && columns >= kernels.lanes / 2) {
        for (int64_t i = 0; i < rows; i += kernels.lanes) {
            const int64_t some = std::min<int64_t>(kernels.lanes, rows - i);
            kernels.transpose(from + i * row, row, some, columns, to + i, step);
        }
    } else {
        for (int64_t j = 0; j < columns; ++j) {
            for (int64_t i = 0; i < rows; ++i) to[j * step + i] = from[i * row + j * column];
        }
    }
}

}  // namespace covector
