// Stable sorting of rows by key, with a payload moved along: the routine behind sort_pairs.
#include "sort.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <new>
#include <vector>

#include "pool.h"

namespace {

struct Item {
    uint64_t key;    // the order of keys as that of unsigned integers
    int64_t place;   // where it was
};

// Below this many items comparisons are quicker than passes over bytes.
constexpr int64_t kRadixFrom = 384;

template <class T>
uint64_t of_unsigned(T x) {
    return x;
}

template <class T, class U>
uint64_t of_signed(T x) {
    return static_cast<U>(x) ^ (U{1} << (8 * sizeof(U) - 1));
}

// Zeros are equal, NaNs equal and last.
template <class U>
uint64_t of_float_bits(U bits, bool is_nan) {
    constexpr U sign = U{1} << (8 * sizeof(U) - 1);
    if (is_nan) return static_cast<U>(~U{0});
    if (bits == sign) bits = 0;
    return static_cast<U>(bits & sign ? ~bits : bits | sign);
}

template <class U>
bool small_float_is_nan(U bits, U infinity) {
    return (bits & 0x7FFF) > infinity;
}

template <class T>
T read(const char* keys, int64_t i) {
    T x;
    std::memcpy(&x, keys + i * static_cast<int64_t>(sizeof(T)), sizeof(T));
    return x;
}

// The dtype codes are those of types/dtypes.py.
uint64_t order_of(const char* keys, int64_t i, int64_t code) {
    switch (code) {
        case 0:
        case 5: return of_unsigned(read<uint8_t>(keys, i));
        case 1: return of_signed<int8_t, uint8_t>(read<int8_t>(keys, i));
        case 2: return of_signed<int16_t, uint16_t>(read<int16_t>(keys, i));
        case 3: return of_signed<int32_t, uint32_t>(read<int32_t>(keys, i));
        case 4: return of_signed<int64_t, uint64_t>(read<int64_t>(keys, i));
        case 6: return of_unsigned(read<uint16_t>(keys, i));
        case 7: return of_unsigned(read<uint32_t>(keys, i));
        case 8: return of_unsigned(read<uint64_t>(keys, i));
        case 9: {
            const auto bits = read<uint16_t>(keys, i);
            return of_float_bits(bits, small_float_is_nan<uint16_t>(bits, 0x7C00));
        }
        case 10: {
            const auto bits = read<uint16_t>(keys, i);
            return of_float_bits(bits, small_float_is_nan<uint16_t>(bits, 0x7F80));
        }
        case 11: return of_float_bits(read<uint32_t>(keys, i), std::isnan(read<float>(keys, i)));
        default: return of_float_bits(read<uint64_t>(keys, i), std::isnan(read<double>(keys, i)));
    }
}

// Least significant byte first; passes in which all bytes agree are left out.
void radix_sort(std::vector<Item>& items, std::vector<Item>& spare) {
    const size_t n = items.size();
    for (int shift = 0; shift < 64; shift += 8) {
        size_t counts[256] = {};
        for (const Item& item : items) ++counts[(item.key >> shift) & 0xFF];
        if (counts[(items[0].key >> shift) & 0xFF] == n) continue;
        size_t start = 0;
        for (size_t& count : counts) {
            const size_t here = count;
            count = start;
            start += here;
        }
        for (const Item& item : items) spare[counts[(item.key >> shift) & 0xFF]++] = item;
        items.swap(spare);
    }
}

void move_row(char* row, const std::vector<Item>& items, int64_t width, std::vector<char>& copy) {
    const auto n = static_cast<int64_t>(items.size());
    copy.assign(row, row + n * width);
    for (int64_t i = 0; i < n; ++i) {
        std::memcpy(row + i * width, copy.data() + items[static_cast<size_t>(i)].place * width,
                    static_cast<size_t>(width));
    }
}

struct Job {
    char* keys;
    char* values;
    int64_t code, key_width, value_width, n;
    bool failed;
};

void sort_rows(void* context, int64_t begin, int64_t end) {
    Job& job = *static_cast<Job*>(context);
    try {
        std::vector<Item> items(static_cast<size_t>(job.n)), spare(static_cast<size_t>(job.n));
        std::vector<char> copy;
        for (int64_t row = begin; row < end; ++row) {
            char* keys = job.keys + row * job.n * job.key_width;
            char* values = job.values + row * job.n * job.value_width;
            for (int64_t i = 0; i < job.n; ++i) {
                items[static_cast<size_t>(i)] = {order_of(keys, i, job.code), i};
            }
            if (job.n < kRadixFrom) {
                std::stable_sort(items.begin(), items.end(),
                                 [](const Item& a, const Item& b) { return a.key < b.key; });
            } else {
                radix_sort(items, spare);
            }
            move_row(keys, items, job.key_width, copy);
            move_row(values, items, job.value_width, copy);
        }
    } catch (const std::bad_alloc&) {
        job.failed = true;
    }
}

int64_t width_of(int64_t code) {
    static constexpr int64_t widths[] = {1, 1, 2, 4, 8, 1, 2, 4, 8, 2, 2, 4, 8};
    return widths[code];
}

}  // namespace

extern "C" int32_t cv_sort_pairs(void* keys, void* values, int64_t code, int64_t value_width,
                                 int64_t rows, int64_t n) {
    if (rows <= 0 || n <= 1) return 0;
    Job job{static_cast<char*>(keys), static_cast<char*>(values), code, width_of(code), value_width, n, false};
    const int64_t grain = std::max<int64_t>(1, 4096 / n);
    cv_parallel_for(sort_rows, &job, rows, grain);
    return job.failed ? 1 : 0;
}
