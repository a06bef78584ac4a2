// Matrix products: blocks and panels around the register tiles, and their partition over the pool.
//
// Small products take op(b) panel by panel, two vectors wide: the first tile copies the panel to
// where the next ones find it in the L1 cache, and fetches the next panel meanwhile. A block of
// op(a) is packed if it meets many panels, else read where it lies. Large products pack a strip of
// op(b) for the L2 cache first, which op(a) then meets tile by tile, so that c is passed along its
// rows. The depth of a block depends on k alone: in any partition the sums are the same.
#include "runtime/gemm.h"

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <memory>
#include <type_traits>

#include "runtime/common.h"
#include "runtime/gemm_kernels.h"
#include "runtime/pool.h"

namespace covector {
namespace {

constexpr int64_t kPieceWork = 64LL * 64 * 64;  // multiply-adds that are worth a thread
constexpr double kWinningWork = 2.0 * kPieceWork;
constexpr int64_t kMostLines = 14 * 32;  // rows of a block, columns of a strip: half an L2 cache
constexpr int64_t kLargeRows = 384, kLargeBytes = 1 << 20;  // of a large product: m, and size of b
constexpr int64_t kMostPanelBytes = 256;  // of one row: four vectors
constexpr int64_t kPackedPanels = 12;     // a block of a that meets so many is packed
constexpr int64_t kPackedPanelsOfTransposed = 4;
constexpr int64_t kFlippedColumns = 2 * kMostTileRows;
constexpr int64_t kFlippedRows = 128;  // of c that are multiplied at once as columns

template <typename T>
constexpr int64_t kMostDepth = 2048 / sizeof(T);  // of the sums that a tile adds to c at once

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

// Room for what a thread packs, made when it is first wanted. A block is null if memory is
// exhausted; without room for a panel nothing can be multiplied, and the process ends.
template <typename T>
class Scratch {
public:
    T* block() { return room(block_, kMostLines * (kMostDepth<T> + 4) * sizeof(T)); }
    T* panel() { return room(panel_, kMostPanelBytes * kMostDepth<T>); }
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

// A strip of op(b): columns from `column`, depth from `begin`; packed panel after panel.
template <typename T>
struct Strip {
    int64_t column, columns, begin, depth;
    T* packed;
};

template <typename T>
bool is_large(const Product<T>& p) {
    const double bytes = static_cast<double>(p.k) * static_cast<double>(p.n) * sizeof(T);
    return p.m >= kLargeRows && bytes >= kLargeBytes;
}

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
        is_large(p_) ? run_strips() : run_blocks();
    }

private:
    void run_blocks() const {
        const Parts depths = parts_of(p_.k, kMostDepth<T>);
        const Parts heights = parts_of(p_.m, kMostLines);
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

    void run_strips() const {
        const Parts depths = parts_of(p_.k, kMostDepth<T>);
        const Parts strips = parts_of(divide_up(p_.n, width_), kMostLines / width_);
        T* packed = tls_scratch<T>.block();
        if (packed == nullptr) return run_blocks();
        for (int64_t d = 0; d < depths.count; ++d) {
            for (int64_t s = 0; s < strips.count; ++s) {
                const int64_t column = strips.begin(s) * width_;
                const Strip<T> strip{column, std::min(strips.size(s) * width_, p_.n - column),
                                     depths.begin(d), depths.size(d), packed};
                pack_strip(strip);
                run_strip(strip);
            }
        }
    }

    // Where panels of a strip begin: a line more than their size, which would be a power of 2.
    int64_t panel_stride(const Strip<T>& strip) const {
        return width_ * strip.depth + kernels_.lanes;
    }

    // The width of the tiles for so many columns, in whole vectors.
    int64_t tile_width(int64_t columns) const {
        return columns > kernels_.lanes ? 2 * kernels_.lanes : kernels_.lanes;
    }

    // Some rows at a time, which the processor then fetches ahead.
    void pack_strip(const Strip<T>& strip) const {
        constexpr int64_t kRows = 16;
        for (int64_t q = 0; q < strip.depth; q += kRows) {
            const int64_t depth = std::min(kRows, strip.depth - q);
            T* to = strip.packed;
            for (int64_t j = 0; j < strip.columns; j += width_, to += panel_stride(strip)) {
                const int64_t columns = std::min(width_, strip.columns - j);
                const int64_t width = tile_width(columns);
                pack_lanes(p_.tb, p_.b_at(strip.begin + q, strip.column + j), p_.ldb, columns,
                           depth, to + q * width, width);
            }
        }
    }

    void run_strip(const Strip<T>& strip) const {
        const Parts tiles = parts_of(p_.m, kernels_.rows);
        Tile<T> t{};
        t.depth = strip.depth;
        t.a = panel_;
        t.a_row = 1;
        t.ldc = p_.ldc;
        t.beta = strip.begin == 0 ? p_.beta : T(1);
        t.minus = p_.minus;
        for (int64_t i = 0; i < tiles.count; ++i) {
            const int64_t height = tiles.size(i), row = tiles.begin(i);
            const int64_t next_height = i + 1 < tiles.count ? tiles.size(i + 1) : 0;
            pack_lanes(!p_.ta, p_.a_at(row, strip.begin), p_.lda, height, strip.depth, panel_,
                       height);
            t.a_step = height;
            t.b = strip.packed;
            for (int64_t j = 0, index = 0; j < strip.columns; j += width_, ++index) {
                const int64_t columns = std::min(width_, strip.columns - j);
                t.b_step = tile_width(columns);
                t.tail = columns - (t.b_step - kernels_.lanes);
                fetch_rows(t, strip.begin, row + height, next_height, index);
                t.c = p_.c + row * p_.ldc + strip.column + j;
                kernels_.tiles[height][t.b_step > kernels_.lanes][0][t.tail < kernels_.lanes](t);
                t.b += panel_stride(strip);
            }
        }
    }

    // Lets the tile with the given index fetch a part of the next rows of op(a): one of them, or,
    // if they are columns, where these begin or end.
    void fetch_rows(Tile<T>& t, int64_t begin, int64_t row, int64_t rows, int64_t index) const {
        const bool some = index < (p_.ta ? std::min<int64_t>(rows, 2) : rows);
        const int64_t which = p_.ta ? index * (rows - 1) : index;
        t.next = some ? p_.a_at(row + which, begin) : t.a;
        t.next_step = some ? (p_.ta ? p_.lda : 1) : 0;
    }

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
            pack_lanes(!p_.ta, p_.a_at(row, block.begin), p_.lda, height, block.depth,
                       block.packed + tiles.begin(i) * block.depth, height);
        }
    }

    void pack_lanes(bool transposed, const T* from, int64_t stride, int64_t lanes, int64_t depth,
                    T* to, int64_t step) const {
        if (!transposed) return kernels_.copy(from, stride, lanes, depth, to, step);
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
        t.minus = p_.minus;
        t.tail = columns - (width - lanes);
        const int masked = t.tail < lanes;
        if (p_.tb) {
            pack_lanes(true, p_.b_at(block.begin, column), p_.ldb, columns, block.depth, panel_,
                       width);
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
                                 p.ldb, p.a_at(row, 0), p.lda, 0, result, rows, p.minus};
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

// One number after the other, pairs of bfloat16 where these kernels are for them.
template <typename T>
void multiply_without_room(const Kernels<T>& kernels, const Product<T>& p) {
    if constexpr (std::is_same_v<T, float>) {
        if (&kernels == pair_kernels()) {
            const auto half = [](float pair, int shift) {
                return std::bit_cast<float>(std::bit_cast<uint32_t>(pair) >> shift << 16);
            };
            for (int64_t i = 0; i < p.m; ++i) {
                for (int64_t j = 0; j < p.n; ++j) {
                    float sum = p.beta == 0 ? 0 : p.beta * p.c[i * p.ldc + j];
                    for (int64_t q = 0; q < p.k; ++q) {
                        const float x = *p.a_at(i, q), y = *p.b_at(q, j);
                        sum += half(x, 0) * half(y, 0) + half(x, 16) * half(y, 16);
                    }
                    p.c[i * p.ldc + j] = sum;
                }
            }
            return;
        }
    }
    multiply_plainly(p);
}

template <typename T>
void multiply_piece(const Kernels<T>& kernels, const Product<T>& p, bool flip) {
    if (p.m <= 0 || p.n <= 0) return;
    Scratch<T>& scratch = tls_scratch<T>;
    if (CV_UNLIKELY(scratch.panel() == nullptr || (flip && scratch.flipped() == nullptr))) {
        return multiply_without_room(kernels, p);
    }
    if (flip) return multiply_flipped(kernels, p);
    Multiplier<T>(kernels, p).run();
}

template <typename T>
bool multiply_by(const Kernels<T>* kernels, const Product<T>& p) {
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

}  // namespace

template <typename T>
bool multiply_tiles(const Product<T>& p) {
    return multiply_by(tile_kernels<T>(), p);
}

bool multiply_pairs(const Product<float>& p) { return multiply_by(pair_kernels(), p); }

// Measured with AVX-512 against OpenBLAS 0.3 on our pool: its time over ours, float32, on two
// threads of a quiet machine (double: 1.0 to 1.3).
//
//    m    k    n  ta tb            m    k    n  ta tb            m    k    n  ta tb
//  128  784  512   .  .  1.28    512  128   10   t  .  1.5     256  256  256   .  .  1.26
//  128  512  512   .  .  1.29    784  128  512   t  .  1.11   1024 1024 1024   .  .  1.12
//  128  512   10   .  .  1.78    512  128  512   t  .  1.07   1024 1024 1024   .  t  1.09
//  128  512  512   .  t  1.27    128   10  512   .  t  1.71   1024 1024 1024   t  .  0.92
//
// Where OpenBLAS wins: below half a million multiply-adds, where it has small kernels that copy
// nothing (0.5 to 1.0); n < 8, one vector for few columns (0.3 to 0.9); a few rows times a
// transposed matrix, which is copied for too few tiles (0.2 to 0.9); large transposed op(a).
// With AVX2 both are as quick (0.9 to 1.0), and OpenBLAS is left to it.
template <typename T>
bool tiles_win(const Product<T>& p) {
    const Kernels<T>* kernels = tile_kernels<T>();
    if (kernels == nullptr || kernels->lanes * sizeof(T) < 64) return false;
    const double work = multiply_adds(p);
    if (work < kWinningWork || p.m < 2) return false;
    if (flips(*kernels, p)) return p.n > 2;
    if (p.n < 8 || (p.ta && is_large(p))) return false;
    return !p.tb || work >= 1e6 || p.m >= 64;
}

#if defined(__x86_64__)
template <>
const Kernels<float>* tile_kernels<float>() {
    return best_of<const Kernels<float>*>(nullptr, &kAvx2Float, &kAvx512Float);
}

template <>
const Kernels<double>* tile_kernels<double>() {
    return best_of<const Kernels<double>*>(nullptr, &kAvx2Double, &kAvx512Double);
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
