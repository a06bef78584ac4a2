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

struct Turn {
    const char* from;
    char* to;
    int64_t width, rows, columns, from_step, to_step;
};

// A square of a vector by a vector. Those of 16 bits are turned as pairs of them: two rows make words of even
// columns, and words of odd ones.
template <typename T>
CV_INLINE void turn_block(const T* from, int64_t from_step, T* to, int64_t to_step) {
    if constexpr (sizeof(T) == 2) {
        constexpr int n = kLanes<uint32_t>;
        Vector<uint32_t> even[n], odd[n];
        CV_UNROLL for (int i = 0; i < n; ++i) {
            const auto* const row = from + 2 * i * from_step;
            const Vector<uint32_t> upper = load(reinterpret_cast<const uint32_t*>(row));
            const Vector<uint32_t> lower = load(reinterpret_cast<const uint32_t*>(row + from_step));
            even[i] = (upper & 0xFFFF) | (lower << 16);
            odd[i] = (upper >> 16) | (lower & 0xFFFF0000);
        }
        turn_square<uint32_t>(even);
        turn_square<uint32_t>(odd);
        CV_UNROLL for (int i = 0; i < n; ++i) {
            store<uint32_t>(reinterpret_cast<uint32_t*>(to + 2 * i * to_step), even[i]);
            store<uint32_t>(reinterpret_cast<uint32_t*>(to + (2 * i + 1) * to_step), odd[i]);
        }
    } else {
        constexpr int n = kLanes<T>;
        Vector<T> v[n];
        CV_UNROLL for (int i = 0; i < n; ++i) v[i] = load(from + i * from_step);
        turn_square<T>(v);
        CV_UNROLL for (int i = 0; i < n; ++i) store<T>(to + i * to_step, v[i]);
    }
}

template <typename T>
CV_INLINE void turn_plainly(const Turn& t, int64_t row, int64_t rows, int64_t column, int64_t columns) {
    const T* from = reinterpret_cast<const T*>(t.from);
    T* to = reinterpret_cast<T*>(t.to);
    for (int64_t j = column; j < column + columns; ++j) {
        for (int64_t i = row; i < row + rows; ++i) to[j * t.to_step + i] = from[i * t.from_step + j];
    }
}

template <typename T, bool kInRegisters>
CV_INLINE void turn_part(const Turn& t, int64_t row, int64_t rows, int64_t column, int64_t columns) {
    constexpr int64_t side = kLanes<T>;
    const T* from = reinterpret_cast<const T*>(t.from);
    T* to = reinterpret_cast<T*>(t.to);
    for (int64_t i = row; i < row + rows; i += side) {
        const int64_t high = std::min(side, row + rows - i);
        for (int64_t j = column; j < column + columns; j += side) {
            const int64_t wide = std::min(side, column + columns - j);
            if constexpr (kInRegisters) {
                if (high == side && wide == side) {
                    turn_block<T>(from + i * t.from_step + j, t.from_step, to + j * t.to_step + i, t.to_step);
                    continue;
                }
            }
            turn_plainly<T>(t, i, high, j, wide);
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
            turn_part<T, bytes == 64>(t, row, rows, column, columns);                            \
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

extern "C" int32_t cv_turn(const void* from, void* to, int64_t width, int64_t rows, int64_t columns,
                           int64_t from_step, int64_t to_step) {
    using namespace covector;
    if (rows <= 0 || columns <= 0) return 0;
    struct Job {
        Turn turn;
        Part part;
        int64_t down;  // parts along the rows
    };
    const Turn turn{static_cast<const char*>(from), static_cast<char*>(to), width, rows, columns, from_step, to_step};
    const Part part = width == 2 ? part_of<uint16_t>() : width == 4 ? part_of<uint32_t>() : part_of<uint64_t>();
    Job job{turn, part, (rows + kRows - 1) / kRows};
    const int64_t across = (columns + kColumns - 1) / kColumns;
    const int64_t grain = std::max<int64_t>(1, (int64_t{1} << 14) / (std::min(rows, kRows) * kColumns));
    cv_parallel_for(
        [](void* context, int64_t begin, int64_t end) {
            const Job& job = *static_cast<const Job*>(context);
            for (int64_t p = begin; p < end; ++p) {
                const int64_t row = p % job.down * kRows, column = p / job.down * kColumns;
                job.part(job.turn, row, std::min(kRows, job.turn.rows - row), column,
                         std::min(kColumns, job.turn.columns - column));
            }
        },
        &job, across * job.down, grain);
    return 0;
}
