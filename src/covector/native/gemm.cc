// Matrix products: blocks and panels around the register tiles, and their partition over the pool.
//
// A block of op(a), at most 448 by 512, is packed if it is used often enough, else read where it
// lies. It meets op(b) panel by panel, two vectors wide: the first tile copies the panel to where
// the next ones find it in the L1 cache, and the first tiles fetch the next panel meanwhile. The
// depth of a block depends on k alone, so an element of c is the same sum for any partition.
#include "gemm.h"

#include <algorithm>
#include <cstdlib>
#include <memory>

#include "gemm_kernels.h"
#include "pool.h"

namespace covector {
namespace {

constexpr int64_t kPieceWork = 64LL * 64 * 64;  // multiply-adds that are worth a thread
constexpr int64_t kWinningWork = 2 * kPieceWork;  // below, OpenBLAS's small kernels are as quick
constexpr int64_t kMostDepth = 512;
constexpr int64_t kMostRows = 14 * 32;    // of a block: with its depth about half of an L2 cache
constexpr int64_t kMostPanelBytes = 256;  // of one row: four vectors
constexpr int64_t kPackedPanels = 12;     // a block of a that meets so many is packed
constexpr int64_t kPackedPanelsOfTransposed = 4;
constexpr int64_t kFlippedColumns = 2 * kMostTileRows;
constexpr int64_t kFlippedRows = 128;  // of c that are multiplied at once as columns

int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }

// A length cut into parts that differ by at most 1.
struct Parts {
    int64_t length, count;

    int64_t begin(int64_t i) const { return length / count * i + std::min(i, length % count); }
    int64_t size(int64_t i) const { return length / count + (i < length % count ? 1 : 0); }
};

Parts parts_of(int64_t length, int64_t most) {
    return {length, std::max<int64_t>(1, divide_up(length, most))};
}

// Room for a thread's packed blocks, made when it is first wanted. Null if memory is exhausted.
template <typename T>
class Scratch {
public:
    T* block() { return room(block_, kMostRows * kMostDepth * sizeof(T)); }
    T* panel() { return room(panel_, kMostPanelBytes * kMostDepth); }
    T* flipped() { return room(flipped_, kFlippedColumns * kFlippedRows * sizeof(T)); }

private:
    struct Free {
        void operator()(T* memory) const { std::free(memory); }
    };
    using Room = std::unique_ptr<T, Free>;

    static T* room(Room& room, size_t bytes) {
        if (room == nullptr) room.reset(static_cast<T*>(std::aligned_alloc(64, bytes)));
        return room.get();
    }

    Room block_, panel_, flipped_;
};

template <typename T>
thread_local Scratch<T> tls_scratch;

// A block of op(a): rows from `row`, depth from `begin`.
template <typename T>
struct Block {
    int64_t row, rows, begin, depth;
    T* packed;  // tile after tile, or null
};

// One thread's product.
template <typename T>
class Multiplier {
public:
    Multiplier(const Kernels<T>& kernels, const Product<T>& p)
        : kernels_(kernels), p_(p), panel_(tls_scratch<T>.panel()) {
        width_ = kernels.lanes * (p.m <= kernels.wide_rows ? 4 : 2);
        const int64_t panels = divide_up(p.n, width_);
        pack_ = panels >= (p.ta ? kPackedPanelsOfTransposed : kPackedPanels);
    }

    void run() const {
        const Parts depths = parts_of(p_.k, kMostDepth);
        const Parts heights = parts_of(p_.m, kMostRows);
        T* packed = pack_ ? tls_scratch<T>.block() : nullptr;
        for (int64_t d = 0; d < depths.count; ++d) {
            for (int64_t i = 0; i < heights.count; ++i) {
                const Block<T> block{heights.begin(i), heights.size(i), depths.begin(d),
                                     depths.size(d), packed};
                if (packed != nullptr) pack(block);
                // After the last panel comes the first one of the next block.
                const bool lower = i + 1 < heights.count, deeper = d + 1 < depths.count;
                const T* after = lower    ? p_.b_at(block.begin, 0)
                                 : deeper ? p_.b_at(depths.begin(d + 1), 0)
                                          : nullptr;
                for (int64_t j = 0; j < p_.n;) {
                    const int64_t columns = columns_at(j);
                    const bool last = j + columns == p_.n;
                    run_panel(block, j, columns, last ? after : p_.b_at(block.begin, j + columns));
                    j += columns;
                }
            }
        }
    }

private:
    // The columns of the panel at `j`: not three vectors, for which there is no tile.
    int64_t columns_at(int64_t j) const {
        const int64_t columns = std::min(width_, p_.n - j);
        const int64_t two = 2 * kernels_.lanes;
        return columns > two && columns <= two + kernels_.lanes ? two : columns;
    }

    void pack(const Block<T>& block) const {
        const Parts tiles = parts_of(block.rows, kernels_.rows);
        for (int64_t i = 0; i < tiles.count; ++i) {
            const int64_t height = tiles.size(i), row = block.row + tiles.begin(i);
            T* to = block.packed + tiles.begin(i) * block.depth;
            if (p_.ta) {
                kernels_.copy(p_.a_at(row, block.begin), p_.lda, height, block.depth, to, height);
            } else {
                transpose(p_.a_at(row, block.begin), p_.lda, height, block.depth, to, height);
            }
        }
    }

    void transpose(const T* from, int64_t stride, int64_t lanes, int64_t depth, T* to,
                   int64_t step) const {
        for (int64_t i = 0; i < lanes; i += kernels_.lanes) {
            const int64_t some = std::min<int64_t>(kernels_.lanes, lanes - i);
            kernels_.transpose(from + i * stride, stride, some, depth, to + i, step);
        }
    }

    // The tiles of a block and a panel; `next` is where the next panel begins, or null.
    void run_panel(const Block<T>& block, int64_t column, int64_t columns, const T* next) const {
        const int64_t lanes = kernels_.lanes;
        const int log = columns > 2 * lanes ? 2 : columns > lanes ? 1 : 0;
        const int64_t width = lanes << log;
        const Parts tiles = parts_of(block.rows, log == 2 ? kernels_.wide_rows : kernels_.rows);
        const int rowwise = block.packed == nullptr && !p_.ta;
        Tile<T> t{};
        t.depth = block.depth;
        t.ldc = p_.ldc;
        t.beta = block.begin == 0 ? p_.beta : T(1);
        t.tail = columns - (width - lanes);
        const int masked = t.tail < lanes;
        if (p_.tb) {
            transpose(p_.b_at(block.begin, column), p_.ldb, columns, block.depth, panel_, width);
        }
        for (int64_t i = 0; i < tiles.count; ++i) {
            const int64_t height = tiles.size(i), row = block.row + tiles.begin(i);
            const bool lies = i == 0 && !p_.tb;  // b is read where it lies
            t.b = lies ? p_.b_at(block.begin, column) : panel_;
            t.b_step = lies ? p_.ldb : width;
            t.packed = lies && tiles.count > 1 ? panel_ : nullptr;
            t.a = block.packed ? block.packed + tiles.begin(i) * block.depth
                               : p_.a_at(row, block.begin);
            t.a_row = rowwise ? p_.lda : 1;
            t.a_step = rowwise ? 1 : block.packed ? height : p_.lda;
            const bool fetch = next != nullptr && !p_.tb && i * lanes < width;
            t.next = fetch ? next + i * lanes : t.a;
            t.next_step = fetch ? p_.ldb : 0;
            t.c = p_.c + row * p_.ldc + column;
            kernels_.tiles[height][log][rowwise][masked](t);
        }
    }

    const Kernels<T>& kernels_;
    const Product<T>& p_;
    T* panel_;
    int64_t width_;  // of a panel, in columns
    bool pack_;
};

template <typename T>
double multiply_adds(const Product<T>& p) {
    return static_cast<double>(p.m) * static_cast<double>(p.n) *
           static_cast<double>(std::max<int64_t>(p.k, 1));
}

// Few columns waste vectors. Where op(a) is transposed its rows are contiguous along m, and
// c' = op(b)' a fills them: some rows of c at a time, as the columns of a small matrix.
template <typename T>
bool flips(const Kernels<T>& kernels, const Product<T>& p) {
    return p.ta && p.n <= kFlippedColumns && p.m >= kernels.lanes;
}

// A partition of c into rows and columns of nearly equal pieces, in whole panels.
template <typename T>
struct Partition {
    const Kernels<T>& kernels;
    const Product<T>& p;
    Parts down, across;  // rows, panels
    bool flip;           // told by the whole product, so that its pieces agree

    Product<T> piece(int64_t index) const {
        const int64_t i = index / across.count, j = index % across.count;
        const int64_t panel = 2 * kernels.lanes;
        const int64_t column = across.begin(j) * panel;
        Product<T> made = p;
        made.a = p.a_at(down.begin(i), 0);
        made.b = p.b_at(0, column);
        made.c = p.c + down.begin(i) * p.ldc + column;
        made.m = down.size(i);
        made.n = std::min(across.size(j) * panel, p.n - column);
        return made;
    }
};

// The partition into `pieces` that takes the least time by a rough count of cycles a step of k:
// the tiles, with few rows as slow as half a tile, and the first reading of a and b.
template <typename T>
Partition<T> partition(const Kernels<T>& kernels, const Product<T>& p, int64_t pieces) {
    const int64_t panel = 2 * kernels.lanes;
    const int64_t panels = divide_up(p.n, panel);
    int64_t best = 1;
    double least = 0;
    for (int64_t across = 1; across <= pieces; ++across) {
        if (pieces % across != 0) continue;
        const auto rows = static_cast<double>(divide_up(p.m, pieces / across));
        const auto columns = static_cast<double>(divide_up(panels, across) * panel);
        const double tiles = std::max(rows, 0.5 * kernels.rows) * columns / (2.0 * kernels.lanes);
        const double cost = tiles + columns * (p.tb ? 0.3 : 0.1) + rows * 0.1;
        if (across == 1 || cost < least) {
            least = cost;
            best = across;
        }
    }
    return {kernels, p, {p.m, pieces / best}, {panels, best}, flips(kernels, p)};
}

template <typename T>
void multiply_flipped(const Kernels<T>& kernels, const Product<T>& p) {
    T* result = tls_scratch<T>.flipped();
    for (int64_t row = 0; row < p.m; row += kFlippedRows) {
        const int64_t rows = std::min(kFlippedRows, p.m - row);
        const Product<T> flipped{!p.tb, false, p.n,  rows, p.k,    p.b,
                                 p.ldb, p.a_at(row, 0), p.lda, 0, result, rows};
        Multiplier<T>(kernels, flipped).run();
        T* c = p.c + row * p.ldc;
        if (p.beta == 0) {
            for (int64_t j = 0; j < p.n; j += kernels.lanes) {
                const int64_t some = std::min<int64_t>(kernels.lanes, p.n - j);
                kernels.transpose(result + j * rows, rows, some, rows, c + j, p.ldc);
            }
            continue;
        }
        for (int64_t i = 0; i < rows; ++i) {
            for (int64_t j = 0; j < p.n; ++j) {
                c[i * p.ldc + j] = p.beta * c[i * p.ldc + j] + result[j * rows + i];
            }
        }
    }
}

template <typename T>
void multiply_piece(const Kernels<T>& kernels, const Product<T>& p, bool flip) {
    if (p.m <= 0 || p.n <= 0) return;
    if (flip) return multiply_flipped(kernels, p);
    Multiplier<T>(kernels, p).run();
}

}  // namespace

template <typename T>
bool multiply_tiles(const Product<T>& p) {
    const Kernels<T>* kernels = tile_kernels<T>();
    if (kernels == nullptr) return false;
    const auto worth = static_cast<int64_t>(std::min(multiply_adds(p) / kPieceWork, 1e6));
    const int64_t pieces = std::min<int64_t>(worth, pool_size());
    if (pieces < 2) {
        multiply_piece(*kernels, p, flips(*kernels, p));
        return true;
    }
    const Partition<T> whole = partition(*kernels, p, pieces);
    cv_parallel_for(
        [](void* context, int64_t begin, int64_t end) {
            const auto& whole = *static_cast<const Partition<T>*>(context);
            const int64_t pieces = whole.down.count * whole.across.count;
            if (end - begin == pieces) return multiply_piece(whole.kernels, whole.p, whole.flip);
            for (int64_t i = begin; i < end; ++i) {
                multiply_piece(whole.kernels, whole.piece(i), whole.flip);
            }
        },
        const_cast<Partition<T>*>(&whole), pieces, 1);
    return true;
}

template <typename T>
bool tiles_win(const Product<T>& p) {
    const Kernels<T>* kernels = tile_kernels<T>();
    if (kernels == nullptr || kernels->lanes * sizeof(T) < 64 || p.m < 2) return false;
    const double work = multiply_adds(p);
    if (flips(*kernels, p)) return p.n > 2 && work >= kWinningWork;
    return p.n >= 8 && work >= kWinningWork && (!p.tb || work >= 1e6 || p.m >= 64);
}

#if defined(__x86_64__)
template <>
const Kernels<float>* tile_kernels<float>() {
    static const Kernels<float>* const found =
        __builtin_cpu_supports("avx512f")                                    ? &kAvx512Float
        : __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") ? &kAvx2Float
                                                                             : nullptr;
    return found;
}

template <>
const Kernels<double>* tile_kernels<double>() {
    static const Kernels<double>* const found =
        __builtin_cpu_supports("avx512f")                                    ? &kAvx512Double
        : __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") ? &kAvx2Double
                                                                             : nullptr;
    return found;
}
#else
template <typename T>
const Kernels<T>* tile_kernels() {
    return nullptr;
}
#endif

template bool multiply_tiles(const Product<float>&);
template bool multiply_tiles(const Product<double>&);
template bool tiles_win(const Product<float>&);
template bool tiles_win(const Product<double>&);

}  // namespace covector
