// The instruction takes pairs that follow each other along k. So lie the rows of a, and those of a transposed b;
// others are put into pairs first. Then matrices of pairs are multiplied as those of float32.
#include "runtime/gemm_narrow.h"

#include <algorithm>
#include <atomic>
#include <bit>
#include <memory>

#include "runtime/allocator.h"
#include "runtime/gemm.h"
#include "runtime/gemm_kernels.h"
#include "runtime/pool.h"
#include "runtime/status.h"

namespace covector {
namespace {

constexpr int64_t kPiece = 1 << 15;  // elements that are worth a thread

template <typename T>
struct Freed {
    void operator()(T* memory) const { cv_free(memory); }
};
template <typename T>
using Room = std::unique_ptr<T, Freed<T>>;

template <typename T>
Room<T> room_for(int64_t count) {
    return Room<T>(static_cast<T*>(cv_alloc(std::max<int64_t>(count, 1) * int64_t{sizeof(T)})));
}

// A matrix of bfloat16 as it is stored.
struct Stored {
    const uint16_t* at;
    int64_t rows, columns, step;
};

// Calls f(row) for all rows of so many columns, on the pool.
template <class F>
void for_rows(int64_t rows, int64_t columns, const F& f) {
    cv_parallel_for(
        [](void* context, int64_t begin, int64_t end) {
            for (int64_t i = begin; i < end; ++i) (*static_cast<const F*>(context))(i);
        },
        const_cast<F*>(&f), rows, kPiece / std::max<int64_t>(columns, 1) + 1);
}

// The bits of the least magnitude that is not 0; all ones where there is none.
uint16_t least_magnitude(const Stored& x) {
    std::atomic<uint16_t> least{0xffff};
    for_rows(x.rows, x.columns, [&](int64_t i) {
        const uint16_t* row = x.at + i * x.step;
        uint16_t found = 0xffff;  // of the row, less 1: so 0 is above all
        for (int64_t j = 0; j < x.columns; ++j) {
            found = std::min(found, static_cast<uint16_t>((row[j] & 0x7fff) - 1));
        }
        uint16_t before = least.load(std::memory_order_relaxed);
        while (found < before &&
               !least.compare_exchange_weak(before, found, std::memory_order_relaxed)) {
        }
    });
    const uint16_t found = least.load(std::memory_order_relaxed);
    return found == 0xffff ? found : static_cast<uint16_t>(found + 1);
}

// Whether no sum of products is below 2^-126: they are multiples of the last of the 16 digits of the least product, so
// as large as that, or 0.
bool are_normal(uint16_t least_x, uint16_t least_y) {
    constexpr int kFraction = 7, kBias = 127, kDigits = 15;
    const int first = least_x >> kFraction, second = least_y >> kFraction;
    return first > 0 && second > 0 && first + second - 2 * kBias - kDigits >= 1 - kBias;
}

// Row q of the result holds the pairs of the rows 2q and 2q + 1, of which the last may be missing.
void pair_rows(const Stored& x, uint32_t* to) {
    for_rows((x.rows + 1) / 2, x.columns, [&](int64_t q) {
        const uint16_t* first = x.at + 2 * q * x.step;
        uint32_t* out = to + q * x.columns;
        if (2 * q + 1 == x.rows) {
            for (int64_t j = 0; j < x.columns; ++j) out[j] = first[j];
            return;
        }
        const uint16_t* second = first + x.step;
        for (int64_t j = 0; j < x.columns; ++j) out[j] = first[j] | uint32_t{second[j]} << 16;
    });
}

// The rows, each an even number of elements long.
void pair_columns(const Stored& x, uint32_t* to) {
    const int64_t pairs = (x.columns + 1) / 2;
    for_rows(x.rows, x.columns, [&](int64_t i) {
        const uint16_t* row = x.at + i * x.step;
        uint32_t* out = to + i * pairs;
        for (int64_t q = 0; q < x.columns / 2; ++q) out[q] = row[2 * q] | uint32_t{row[2 * q + 1]} << 16;
        if (x.columns % 2 != 0) out[pairs - 1] = row[x.columns - 1];
    });
}

// A matrix of pairs, with k along its columns: the operand itself where it lies so.
struct Paired {
    Room<uint32_t> room;
    const float* at;
    bool k_in_rows;  // pairs of rows lie side by side
    int64_t step;

    Paired(const Stored& x, bool k_in_rows) : k_in_rows(k_in_rows) {
        const int64_t pairs = ((k_in_rows ? x.rows : x.columns) + 1) / 2;
        if (!k_in_rows && x.columns % 2 == 0 && x.step % 2 == 0) {
            at = reinterpret_cast<const float*>(x.at);
            step = x.step / 2;
            return;
        }
        room = room_for<uint32_t>(pairs * (k_in_rows ? x.columns : x.rows));
        at = reinterpret_cast<const float*>(room.get());
        step = k_in_rows ? x.columns : pairs;
        if (room != nullptr) k_in_rows ? pair_rows(x, room.get()) : pair_columns(x, room.get());
    }
};

Room<float> widened(const Stored& x) {
    auto made = room_for<float>(x.rows * x.columns);
    if (made == nullptr) return made;
    for_rows(x.rows, x.columns, [&](int64_t i) {
        const uint16_t* row = x.at + i * x.step;
        float* out = made.get() + i * x.columns;
        for (int64_t j = 0; j < x.columns; ++j) out[j] = std::bit_cast<float>(uint32_t{row[j]} << 16);
    });
    return made;
}

uint16_t least_magnitude(const uint16_t* x, int64_t count) {
    constexpr int64_t kRow = 4096;
    const int64_t rest = count % kRow, whole = count - rest;
    return std::min(least_magnitude(Stored{x, count / kRow, kRow, kRow}),
                    least_magnitude(Stored{x + whole, 1, rest, rest}));
}

}  // namespace

bool are_normal(const uint16_t* x, int64_t x_count, const uint16_t* y, int64_t y_count) {
    return are_normal(least_magnitude(x, x_count), least_magnitude(y, y_count));
}

}  // namespace covector

extern "C" int32_t cv_bgemm(int32_t ta, int32_t tb, int64_t m, int64_t n, int64_t k, const uint16_t* a, int64_t lda,
                            const uint16_t* b, int64_t ldb, float beta, float* c, int64_t ldc) {
    using namespace covector;
    if (m <= 0 || n <= 0) return kNoError;
    const Stored left{a, ta ? k : m, ta ? m : k, lda}, right{b, tb ? n : k, tb ? k : n, ldb};
    if (pair_kernels() != nullptr && k > 0 && are_normal(least_magnitude(left), least_magnitude(right))) {
        const Paired x(left, ta != 0), y(right, tb == 0);
        const Product<float> p{ta != 0, tb != 0, m, n, (k + 1) / 2, x.at, x.step, y.at, y.step, beta, c, ldc};
        if (x.at != nullptr && y.at != nullptr && multiply_pairs(p)) return kNoError;
    }
    const auto x = widened(left), y = widened(right);
    if (x == nullptr || y == nullptr) return kOutOfMemory;
    multiply_parallel<float>({ta != 0, tb != 0, m, n, k, x.get(), left.columns, y.get(), right.columns, beta, c, ldc});
    return kNoError;
}
