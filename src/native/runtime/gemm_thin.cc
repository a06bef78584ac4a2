// Products of long rows with few others: inner products, some rows by all of the few at once, so each vector is
// loaded once for several sums. Tiles would fill a part of a vector with the few.
//
// Rows are cut into chunks, of which the few are copied side by side where they lie apart; what the chunks give is
// added up in their order, whatever the number of threads.
#include "runtime/gemm_thin.h"

#include <algorithm>
#include <memory>
#include <type_traits>

#include "runtime/allocator.h"
#include "runtime/pool.h"
#include "runtime/wide.h"

namespace covector {
namespace {

constexpr int64_t kMostFew = 7;         // eight fill half a vector of a tile
constexpr int64_t kLeastDepth = 128;    // shorter sums are no longer than adding up their lanes
constexpr int64_t kManyRows = 16;       // fewer are not divided among threads
constexpr int64_t kPieceWork = 1 << 17;  // multiply-adds that are worth a thread: memory is the limit
template <typename T>
constexpr int64_t kChunk = 4096 / sizeof(T);

template <typename T>
using Lane = std::conditional_t<sizeof(T) == 4, int32_t, int64_t>;
template <typename T>
using Numbers __attribute__((vector_size(kVectorBytes))) = Lane<T>;

// Rows of kFew elements, side by side, into kFew rows that lie a chunk apart. Each vector of a row is made of kFew
// that are loaded, one after the other.
template <int kFew, bool kByShuffles, typename T>
CV_INLINE void take_apart(const T* from, int64_t length, T* to) {
    constexpr int lanes = static_cast<int>(kLanes<T>);
    int64_t q = 0;
    for (; kByShuffles && q + lanes <= length; q += lanes) {
        Vector<T> loaded[kFew];
        CV_UNROLL for (int s = 0; s < kFew; ++s) loaded[s] = load(from + q * kFew + s * lanes);
        CV_UNROLL for (int f = 0; f < kFew; ++f) {
            Vector<T> row = loaded[0];
            CV_UNROLL for (int s = 0; s < kFew; ++s) {
                Numbers<T> order;
                CV_UNROLL for (int l = 0; l < lanes; ++l) {
                    const int e = l * kFew + f;
                    order[l] = e / lanes == s ? lanes + e % lanes : l;
                }
                row = __builtin_shuffle(row, loaded[s], order);
            }
            store<T>(to + f * kChunk<T> + q, row);
        }
    }
    for (; q < length; ++q) {
        CV_UNROLL for (int f = 0; f < kFew; ++f) to[f * kChunk<T> + q] = from[q * kFew + f];
    }
}

template <typename T>
using Apart = void (*)(const T* from, int64_t few, int64_t length, T* to);

#define CV_APART(Name, bytes, attributes)                                                \
    template <typename T>                                                                \
    struct Name##Apart {                                                                 \
        attributes static void run(const T* from, int64_t few, int64_t length, T* to) {  \
            constexpr bool kByShuffles = bytes == kVectorBytes;                          \
            switch (few) {                                                               \
                case 2: return take_apart<2, kByShuffles>(from, length, to);             \
                case 3: return take_apart<3, kByShuffles>(from, length, to);             \
                case 4: return take_apart<4, kByShuffles>(from, length, to);             \
                case 5: return take_apart<5, kByShuffles>(from, length, to);             \
                case 6: return take_apart<6, kByShuffles>(from, length, to);             \
                default: return take_apart<7, kByShuffles>(from, length, to);            \
            }                                                                            \
        }                                                                                \
    };
CV_VARIANTS(CV_APART)
#undef CV_APART

template <typename T>
Apart<T> apart_for_processor() {
    return best_of<Apart<T>>(PlainApart<T>::run, Avx2Apart<T>::run, Avx512Apart<T>::run);
}

// c[row * c_row + f * c_few] = beta c + (or -) the product of a row of x with one of y, whose elements lie
// `y_near` apart.
template <typename T>
struct Thin {
    int64_t rows, few, depth;
    const T* x;
    int64_t x_row;
    const T* y;
    int64_t y_few, y_near;
    T* c;
    int64_t c_row, c_few;
    T beta;
    bool minus;

    int64_t chunks() const { return (depth + kChunk<T> - 1) / kChunk<T>; }
    int64_t begin_of(int64_t chunk) const { return depth * chunk / chunks(); }
};

// A chunk of the few, one after the other, and its length; `last` holds what is left of it, where no vector is
// whole, behind zeros: so much of the vector that ends there.
template <typename T>
struct Few {
    alignas(kVectorBytes) T chunk[kMostFew][kChunk<T>];
    alignas(kVectorBytes) T last[kMostFew][kLanes<T>];
    Numbers<T> is_last;
    int64_t length;

    Few(const Thin<T>& t, int64_t begin, int64_t end) : length(end - begin) {
        const T* from = t.y + begin * t.y_near;
        t.y_few == 1 && t.y_near == t.few ? apart_for_processor<T>()(from, t.few, length, chunk[0])
                                          : copy(from, t.few, t.y_few, t.y_near);
        const int64_t rest = length % kLanes<T>;
        for (int64_t l = 0; l < kLanes<T>; ++l) is_last[l] = l >= kLanes<T> - rest ? -1 : 0;
        for (int64_t f = 0; f < t.few; ++f) {
            for (int64_t l = 0; l < kLanes<T>; ++l) {
                last[f][l] = l >= kLanes<T> - rest ? chunk[f][length - kLanes<T> + l] : T(0);
            }
        }
    }

private:
    void copy(const T* from, int64_t few, int64_t step, int64_t near) {
        for (int64_t f = 0; f < few; ++f) {
            T* to = chunk[f];
            const T *x = from + f * step, *end = x + length * near;
            for (; x != end; x += near) *to++ = *x;
        }
    }
};

// All lanes added up, halves to halves.
template <int kHalf, typename T>
CV_INLINE T fold(const Vector<T>& x) {
    if constexpr (kHalf == 0) {
        return x[0];
    } else {
        Numbers<T> other;
        CV_UNROLL for (int l = 0; l < kLanes<T>; ++l) other[l] = static_cast<Lane<T>>(l ^ kHalf);
        return fold<kHalf / 2, T>(x + __builtin_shuffle(x, other));
    }
}

// kRows rows of x from the chunk's begin on, by the first kFew of the few.
template <int kRows, int kFew, typename T>
CV_INLINE void multiply_rows(const Few<T>& few, const T* x, int64_t x_row, T* sums) {
    constexpr int64_t lanes = kLanes<T>;
    Vector<T> sum[kRows][kFew] = {};
    const int64_t whole = few.length - few.length % lanes;
    for (int64_t q = 0; q < whole; q += lanes) {
        Vector<T> left[kRows];
        CV_UNROLL for (int i = 0; i < kRows; ++i) left[i] = load(x + i * x_row + q);
        CV_UNROLL for (int f = 0; f < kFew; ++f) {
            const Vector<T> right = load(&few.chunk[f][q]);
            CV_UNROLL for (int i = 0; i < kRows; ++i) sum[i][f] += left[i] * right;
        }
    }
    if (whole < few.length) {
        CV_UNROLL for (int i = 0; i < kRows; ++i) {
            const auto bits = reinterpret_cast<Numbers<T>>(load(x + i * x_row + few.length - lanes));
            const auto left = reinterpret_cast<Vector<T>>(bits & few.is_last);
            CV_UNROLL for (int f = 0; f < kFew; ++f) sum[i][f] += left * load(few.last[f]);
        }
    }
    CV_UNROLL for (int i = 0; i < kRows; ++i) {
        CV_UNROLL for (int f = 0; f < kFew; ++f) sums[i * kFew + f] = fold<lanes / 2, T>(sum[i][f]);
    }
}

// What to do with the sums of some rows.
template <typename T>
struct Rows {
    const Few<T>& few;
    const T* x;
    int64_t x_row, count;
    T* sums;  // row after row
};

template <int kMost, int kFew, typename T>
CV_INLINE void multiply_few(const Rows<T>& r) {
    int64_t i = 0;
    for (; i + kMost <= r.count; i += kMost) {
        multiply_rows<kMost, kFew>(r.few, r.x + i * r.x_row, r.x_row, r.sums + i * kFew);
    }
    for (; i < r.count; ++i) multiply_rows<1, kFew>(r.few, r.x + i * r.x_row, r.x_row, r.sums + i * kFew);
}

template <typename T>
using Multiply = void (*)(const Rows<T>& rows, int64_t few);

// One for each set of instructions; of sums in registers there are as many as 24 of 64 bytes, or 6.
#define CV_PRODUCTS(Name, bytes, attributes)                                     \
    template <typename T>                                                        \
    struct Name {                                                                \
        attributes static void run(const Rows<T>& r, int64_t few) {              \
            constexpr int kWide = bytes == 64 ? 4 : 1, kNarrow = bytes == 64 ? 3 : 1; \
            switch (few) {                                                       \
                case 2: return multiply_few<kWide, 2>(r);                        \
                case 3: return multiply_few<kWide, 3>(r);                        \
                case 4: return multiply_few<kWide, 4>(r);                        \
                case 5: return multiply_few<kWide, 5>(r);                        \
                case 6: return multiply_few<kWide, 6>(r);                        \
                default: return multiply_few<kNarrow, 7>(r);                     \
            }                                                                    \
        }                                                                        \
    };
CV_VARIANTS(CV_PRODUCTS)
#undef CV_PRODUCTS

template <typename T>
Multiply<T> multiply_for_processor() {
    return best_of<Multiply<T>>(Plain<T>::run, Avx2<T>::run, Avx512<T>::run);
}

template <typename T>
void put(const Thin<T>& t, int64_t row, int64_t rows, const T* sums, bool first) {
    for (int64_t i = 0; i < rows; ++i) {
        for (int64_t f = 0; f < t.few; ++f) {
            T* c = t.c + (row + i) * t.c_row + f * t.c_few;
            const T sum = t.minus ? -sums[i * t.few + f] : sums[i * t.few + f];
            *c = !first ? *c + sum : t.beta == 0 ? sum : t.beta * *c + sum;
        }
    }
}

// Many rows: a thread takes some of them, and goes through the chunks.
template <typename T>
void multiply_many(const Thin<T>& t, int64_t begin, int64_t end) {
    constexpr int64_t kBlock = 12;  // rows whose sums are kept before they are stored
    const Multiply<T> multiply = multiply_for_processor<T>();
    for (int64_t chunk = 0; chunk < t.chunks(); ++chunk) {
        const int64_t at = t.begin_of(chunk);
        const Few<T> few(t, at, t.begin_of(chunk + 1));
        for (int64_t row = begin; row < end; row += kBlock) {
            const int64_t rows = std::min(kBlock, end - row);
            T sums[kBlock * kMostFew];
            multiply({few, t.x + row * t.x_row + at, t.x_row, rows, sums}, t.few);
            put(t, row, rows, sums, chunk == 0);
        }
    }
}

// Few rows: a thread takes some of the chunks; what they give is added up afterwards.
template <typename T>
bool multiply_chunks(const Thin<T>& t) {
    struct Free {
        void operator()(T* memory) const { cv_free(memory); }
    };
    const int64_t each = t.rows * t.few;
    const std::unique_ptr<T, Free> sums(
        static_cast<T*>(cv_alloc(t.chunks() * each * static_cast<int64_t>(sizeof(T)))));
    if (sums == nullptr) return false;
    struct Job {
        const Thin<T>& t;
        T* sums;
        int64_t each;
    } job{t, sums.get(), each};
    cv_parallel_for(
        [](void* context, int64_t begin, int64_t end) {
            const Job& job = *static_cast<const Job*>(context);
            const Thin<T>& t = job.t;
            const Multiply<T> multiply = multiply_for_processor<T>();
            for (int64_t chunk = begin; chunk < end; ++chunk) {
                const int64_t at = t.begin_of(chunk);
                const Few<T> few(t, at, t.begin_of(chunk + 1));
                multiply({few, t.x + at, t.x_row, t.rows, job.sums + chunk * job.each}, t.few);
            }
        },
        &job, t.chunks(), kPieceWork / std::max<int64_t>(each * kChunk<T>, 1) + 1);
    for (int64_t chunk = 0; chunk < t.chunks(); ++chunk) {
        put(t, 0, t.rows, sums.get() + chunk * each, chunk == 0);
    }
    return true;
}

template <typename T>
bool multiply(const Thin<T>& t) {
    if (t.rows < kManyRows) return multiply_chunks(t);
    cv_parallel_for(
        [](void* context, int64_t begin, int64_t end) {
            multiply_many(*static_cast<const Thin<T>*>(context), begin, end);
        },
        const_cast<Thin<T>*>(&t), t.rows, kPieceWork / (t.few * t.depth) + 1);
    return true;
}

bool are_few(int64_t n) { return 2 <= n && n <= kMostFew; }

}  // namespace

template <typename T>
bool multiply_thin(const Product<T>& p) {
    if (p.k < kLeastDepth || p.m == 1 || p.n == 1) return false;
    if (!p.ta && are_few(p.n)) {
        const int64_t few = p.tb ? p.ldb : 1, near = p.tb ? 1 : p.ldb;
        return multiply(Thin<T>{p.m, p.n, p.k, p.a, p.lda, p.b, few, near, p.c, p.ldc, 1, p.beta, p.minus});
    }
    if (p.tb && are_few(p.m)) {
        const int64_t few = p.ta ? 1 : p.lda, near = p.ta ? p.lda : 1;
        return multiply(Thin<T>{p.n, p.m, p.k, p.b, p.ldb, p.a, few, near, p.c, 1, p.ldc, p.beta, p.minus});
    }
    return false;
}

template bool multiply_thin(const Product<float>&);
template bool multiply_thin(const Product<double>&);

}  // namespace covector
