// The register tiles of a matrix product, and the copies that feed them, for this processor.
#pragma once

#include <cstdint>

#include "runtime/vectors.h"

namespace covector {

constexpr int kMostTileRows = 14;

// One tile of c = beta c + a b (or - a b), kept in registers while it is summed up. An element of `a` is
// a[i * a_row + q * a_step], where one of the two strides is 1; a row of `b` is at b + q * b_step.
template <typename T>
struct Tile {
    int64_t depth;  // the length of the sums, or of each of their parts
    const T* a;
    int64_t a_row, a_step;
    const T* b;
    int64_t b_step;
    T* packed;      // where the rows of b are copied, one after the other, or null
    const T* next;  // memory that is needed soon: at each step one line is fetched
    int64_t next_step;
    T* c;
    int64_t ldc;
    T beta;        // 0 does not read c
    bool minus;
    int64_t tail;  // columns in the last vector, where the tile is masked
    // Several parts of that depth: before part i, a and b jump by the elements i of these.
    int64_t parts;
    const int64_t* a_jumps;
    const int64_t* b_jumps;  // or null, for a b that goes on
};

template <typename T>
using TileFunction = void (*)(const Tile<T>&);

// Copies `lanes` times `depth` elements from strided lines to to[q * step + i]. They come from
// from[i * stride + q] (transpose, at most a vector of lanes) or from[q * stride + i] (copy).
template <typename T>
using PackFunction = void (*)(const T* from, int64_t stride, int64_t lanes, int64_t depth, T* to,
                              int64_t step);

template <typename T>
struct Kernels {
    int rows = 0;       // of the highest tile
    int wide_rows = 0;  // of the highest tile of four vectors
    int lanes = 0;      // elements of a vector
    // By the rows, the logarithm of the vectors (0 to 2), whether a_step is 1, whether masked.
    TileFunction<T> tiles[kMostTileRows + 1][3][2][2] = {};
    PackFunction<T> transpose = nullptr;
    PackFunction<T> copy = nullptr;
};

// The kernels of each instruction set that has some; to be used where the processor has it.
#if defined(__x86_64__)
extern const Kernels<float> kAvx512Float, kAvx2Float;
extern const Kernels<double> kAvx512Double, kAvx2Double;
#endif

// The kernels for this processor, or null where there are none.
template <typename T>
const Kernels<T>* tile_kernels();

// Those whose elements of a and b are pairs of bfloat16, which follow each other along k; those of c are float32.
const Kernels<float>* pair_kernels();

}  // namespace covector
