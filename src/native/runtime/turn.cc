// Transpositions by squares that are turned in registers. Each line of the cache is read and written
// whole, at once: rows that lie a power of two apart meet in one set of the first cache, where lines
// of which only an element is taken do not stay until the next one is.
#include "runtime/turn.h"

#include <algorithm>

#include "runtime/pool.h"
#include "runtime/squares.h"
#include "runtime/wide.h"

namespace covector {
namespace {

constexpr int64_t kColumns = 64, kRows = 1024;  // of a part that a thread takes: as many pages as columns

// Where the rows of a matrix are that are those of two axes.
struct Axes {
    int64_t count, inner, step, far;
};

struct Turn {
    const char* from;
    char* to;
    Axes rows, columns;
};

// The places of some rows, one after the other.
CV_INLINE void places_of(const Axes& axes, int64_t begin, int64_t count, int64_t* places) {
    int64_t outer = begin / axes.inner, inner = begin % axes.inner;
    for (int64_t i = 0; i < count; ++i) {
        places[i] = outer * axes.far + inner * axes.step;
        if (++inner == axes.inner) inner = 0, ++outer;
    }
}

struct Wide {  // an element of 16 bytes
    uint64_t low, high;
};

using Bytes __attribute__((vector_size(16))) = uint8_t;

template <typename T>
constexpr int64_t kSide = sizeof(T) == 1 ? 16 : sizeof(T) == 16 ? 4 : kLanes<T>;

// Squares of bytes: as `turn_square`, in vectors that every processor has.
CV_INLINE void turn_bytes(const uint8_t* from, const int64_t* rows, uint8_t* to, const int64_t* columns) {
    constexpr int n = 16;
    Bytes v[n];
    CV_UNROLL for (int i = 0; i < n; ++i) std::memcpy(&v[i], from + rows[i], n);
    CV_UNROLL for (int round = 1; round < n; round *= 2) {
        Bytes mixed[n];
        CV_UNROLL for (int i = 0; i < n / 2; ++i) {
            const Bytes x = v[i], y = v[i + n / 2];
            mixed[2 * i] = __builtin_shuffle(x, y, Bytes{0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23});
            mixed[2 * i + 1] =
                __builtin_shuffle(x, y, Bytes{8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31});
        }
        CV_UNROLL for (int i = 0; i < n; ++i) v[i] = mixed[i];
    }
    CV_UNROLL for (int i = 0; i < n; ++i) std::memcpy(to + columns[i], &v[i], n);
}

// Squares of four elements of 16 bytes: a round exchanges pairs of them.
template <bool kHigh>
CV_INLINE Vector<uint64_t> zip_wide(const Vector<uint64_t>& x, const Vector<uint64_t>& y) {
    if constexpr (kHigh) return __builtin_shuffle(x, y, Vector<uint64_t>{4, 5, 12, 13, 6, 7, 14, 15});
    return __builtin_shuffle(x, y, Vector<uint64_t>{0, 1, 8, 9, 2, 3, 10, 11});
}

CV_INLINE void turn_wide(const Wide* from, const int64_t* rows, Wide* to, const int64_t* columns) {
    constexpr int n = kSide<Wide>;
    Vector<uint64_t> v[n];
    CV_UNROLL for (int i = 0; i < n; ++i) v[i] = load(reinterpret_cast<const uint64_t*>(from + rows[i]));
    CV_UNROLL for (int round = 1; round < n; round *= 2) {
        const Vector<uint64_t> mixed[n] = {zip_wide<false>(v[0], v[2]), zip_wide<true>(v[0], v[2]),
                                           zip_wide<false>(v[1], v[3]), zip_wide<true>(v[1], v[3])};
        CV_UNROLL for (int i = 0; i < n; ++i) v[i] = mixed[i];
    }
    CV_UNROLL for (int i = 0; i < n; ++i) store<uint64_t>(reinterpret_cast<uint64_t*>(to + columns[i]), v[i]);
}

// A square of a vector by a vector. Those of 16 bits are turned as pairs of them: two rows make words of even
// columns, and words of odd ones.
template <typename T>
CV_INLINE void turn_block(const T* from, const int64_t* rows, T* to, const int64_t* columns) {
    if constexpr (sizeof(T) == 1) {
        turn_bytes(from, rows, to, columns);
    } else if constexpr (sizeof(T) == sizeof(Wide)) {
        turn_wide(from, rows, to, columns);
    } else if constexpr (sizeof(T) == 2) {
        constexpr int n = kLanes<uint32_t>;
        Vector<uint32_t> even[n], odd[n];
        CV_UNROLL for (int i = 0; i < n; ++i) {
            const Vector<uint32_t> upper = load(reinterpret_cast<const uint32_t*>(from + rows[2 * i]));
            const Vector<uint32_t> lower = load(reinterpret_cast<const uint32_t*>(from + rows[2 * i + 1]));
            even[i] = (upper & 0xFFFF) | (lower << 16);
            odd[i] = (upper >> 16) | (lower & 0xFFFF0000);
        }
        turn_square<uint32_t>(even);
        turn_square<uint32_t>(odd);
        CV_UNROLL for (int i = 0; i < n; ++i) {
            store<uint32_t>(reinterpret_cast<uint32_t*>(to + columns[2 * i]), even[i]);
            store<uint32_t>(reinterpret_cast<uint32_t*>(to + columns[2 * i + 1]), odd[i]);
        }
    } else {
        constexpr int n = kLanes<T>;
        Vector<T> v[n];
        CV_UNROLL for (int i = 0; i < n; ++i) v[i] = load(from + rows[i]);
        turn_square<T>(v);
        CV_UNROLL for (int i = 0; i < n; ++i) store<T>(to + columns[i], v[i]);
    }
}

template <typename T>
CV_INLINE void turn_plainly(const T* from, const int64_t* rows, int64_t high, T* to, const int64_t* columns,
                            int64_t wide) {
    for (int64_t j = 0; j < wide; ++j) {
        for (int64_t i = 0; i < high; ++i) to[columns[j] + i] = from[rows[i] + j];
    }
}

// What is left of a side begins earlier, where there is as much: some elements are written twice.
template <typename T, bool kInRegisters>
CV_INLINE void turn_part(const Turn& t, int64_t row, int64_t rows, int64_t column, int64_t columns) {
    constexpr int64_t side = kSide<T>;
    const T* const from = reinterpret_cast<const T*>(t.from) + column;
    T* const to = reinterpret_cast<T*>(t.to) + row;
    int64_t at[2 * kRows], into[2 * kColumns];
    places_of(t.rows, row, rows, at);
    places_of(t.columns, column, columns, into);
    for (int64_t i = 0; i < rows; i += side) {
        for (int64_t j = 0; j < columns; j += side) {
            if constexpr (kInRegisters) {
                const int64_t high = std::min(i, rows - side), left = std::min(j, columns - side);
                if (high >= 0 && left >= 0) {
                    turn_block<T>(from + left, at + high, to + high, into + left);
                    continue;
                }
            }
            turn_plainly<T>(from + j, at + i, std::min(side, rows - i), to + i, into + j, std::min(side, columns - j));
        }
    }
}

using Part = void (*)(const Turn& t, int64_t row, int64_t rows, int64_t column, int64_t columns);

// One for each set of instructions; only the longest vectors are turned in registers.
#define CV_PARTS(Name, bytes, attributes)                                                        \
    template <typename T>                                                                        \
    struct Name {                                                                                \
        attributes static void part(const Turn& t, int64_t row, int64_t rows, int64_t column,    \
                                    int64_t columns) {                                           \
            turn_part<T, sizeof(T) == 1 || bytes == kVectorBytes>(t, row, rows, column, columns);    \
        }                                                                                        \
    };
CV_VARIANTS(CV_PARTS)
#undef CV_PARTS

template <typename T>
Part part_of() {
    return best_of<Part>(Plain<T>::part, Avx2<T>::part, Avx512<T>::part);
}

}  // namespace
}  // namespace covector

extern "C" int32_t cv_turn(const void* from, void* to, int64_t width, int64_t rows, int64_t columns, int64_t inner_rows,
                           int64_t from_step, int64_t from_far, int64_t inner_columns, int64_t to_step,
                           int64_t to_far) {
    using namespace covector;
    if (rows <= 0 || columns <= 0) return 0;
    struct Job {
        Turn turn;
        Part part;
        int64_t down, across;  // parts along the rows, along the columns; the last of each has what is left
    };
    const Turn turn{static_cast<const char*>(from), static_cast<char*>(to),
                    {rows, inner_rows, from_step, from_far}, {columns, inner_columns, to_step, to_far}};
    const Part part = width == 1   ? part_of<uint8_t>()
                      : width == 2 ? part_of<uint16_t>()
                      : width == 4 ? part_of<uint32_t>()
                      : width == 8 ? part_of<uint64_t>()
                                   : part_of<Wide>();
    const Job job{turn, part, std::max<int64_t>(rows / kRows, 1), std::max<int64_t>(columns / kColumns, 1)};
    const int64_t grain = std::max<int64_t>(1, (int64_t{1} << 14) / (std::min(rows, kRows) * kColumns));
    cv_parallel_for(
        [](void* context, int64_t begin, int64_t end) {
            const Job& job = *static_cast<const Job*>(context);
            for (int64_t p = begin; p < end; ++p) {
                const int64_t down = p % job.down, across = p / job.down;
                const int64_t row = down * kRows, column = across * kColumns;
                job.part(job.turn, row, down + 1 == job.down ? job.turn.rows.count - row : kRows, column,
                         across + 1 == job.across ? job.turn.columns.count - column : kColumns);
            }
        },
        const_cast<Job*>(&job), job.across * job.down, grain);
    return 0;
}
