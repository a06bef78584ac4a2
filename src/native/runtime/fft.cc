// Fourier transforms: which passes, over which rows, on which threads.
//
// A transform along an axis that is not the last one has many columns side by side: vectors take some of
// each row, and Stockham's passes transform them all (`Columns`). A row that lies in one piece is a matrix
// of n = a b: its columns are transformed, multiplied by roots of unity and put down as rows, and then the
// columns of that (D. Bailey, "FFTs in external or hierarchical memory", 1990; `Row`). So vectors are full
// there too, and a long row is done in blocks of columns that fit in the cache, on all threads. Lengths with
// large prime factors are convolutions of a length that has none (L. Bluestein, "A linear filtering approach
// to the computation of the discrete Fourier transform", 1970).
#include "runtime/fft.h"

#include <algorithm>
#include <new>
#include <utility>

#include "runtime/fft_plans.h"
#include "runtime/status.h"

namespace covector {
namespace {

constexpr int64_t kLongest = 1 << 12;     // of columns that are transformed where they are
constexpr int64_t kAlone = 1 << 16;       // numbers of a row from which on it has all threads to itself

enum Kind { kForward, kInverse, kReal, kRealInverse };

// body(begin, end) over rows of n numbers: long ones one after the other, as each uses the threads.
template <class Body>
void over_rows(int64_t rows, int64_t n, const Body& body) {
    if (n >= kAlone) {
        for (int64_t i = 0; i < rows; ++i) body(i, i + 1);
    } else {
        in_parallel(rows, kPiece / n, body);
    }
}

// Rows of n complex numbers and what they are transformed to, which begin `in_step` and `out_step` numbers
// of T apart. With `halves` one end of a row is 2 n reals, and the other, of n + 1 complex numbers, what is
// between them and the transform of their pairs: after it, or before if it is swapped.
template <class T>
struct Transforms {
    const T* in;
    int64_t in_step;
    T* out;
    int64_t out_step, rows, n;
    bool swapped;
    T factor;
    const Halves<T>* halves = nullptr;

    bool splits_before() const { return halves != nullptr && swapped; }

    // Rows of `in`, or, if they are to be split, of `room`, and the numbers that are between them.
    std::pair<const T*, int64_t> begin(int64_t row, int64_t count, T* room) const {
        const T* from = in + row * in_step;
        if (!splits_before()) return {from, in_step};
        for (int64_t i = 0; i < count; ++i) split(from + i * in_step, room + 2 * i * n);
        return {room, 2 * n};
    }

    // Done with each group of rows, as long as they are in the cache.
    void end(int64_t row, int64_t count) const {
        if (halves == nullptr || swapped) return;
        for (int64_t i = row; i < row + count; ++i) split(out + i * out_step, out + i * out_step);
    }

private:
    void split(const T* from, T* to) const {
        in_parallel(n / 2 + 1, kPiece, [&](int64_t begin, int64_t end) {
            kernels<T>().split(from, to, n, halves->roots(), !swapped, begin, end);
        });
    }
};

// Short rows beside each other as columns.
template <class T>
void run_side_by_side(const Transforms<T>& t) {
    const int64_t n = t.n, lanes = kernels<T>().lanes;
    const auto plan = plan_of<Columns<T>>(n);
    const auto& k = kernels<T>();
    in_parallel((t.rows + lanes - 1) / lanes, kPiece / (n * lanes), [&](int64_t begin, int64_t end) {
        const Memory<T> memory(2 * n * lanes + Columns<T>::room(n, lanes));
        const Memory<T> room(t.splits_before() ? 2 * n * lanes : 0);
        const Rows<T> columns{memory.get(), memory.get() + lanes, 2 * lanes};
        for (int64_t start = begin * lanes; start < std::min(t.rows, end * lanes); start += lanes) {
            const int64_t count = std::min(lanes, t.rows - start);
            const auto [in, in_step] = t.begin(start, count, room.get());
            const Rows<T> from{const_cast<T*>(in), nullptr, in_step, t.swapped};
            const Rows<T> to{t.out + start * t.out_step, nullptr, t.out_step, t.swapped, t.factor};
            k.turn_in(from, count, n, nullptr, nullptr, columns);
            const Rows<T> made = plan->run(columns, nullptr, count, memory.get() + 2 * n * lanes);
            k.turn_out(made, n, count, nullptr, nullptr, to);
            t.end(start, count);
        }
    });
}

template <class T>
void run_rows(const Transforms<T>& t) {
    const auto plan = plan_of<Row<T>>(t.n);
    if (!plan->alone(t.rows)) return run_side_by_side(t);
    over_rows(t.rows, t.n, [&](int64_t begin, int64_t end) {
        const Memory<T> room(t.splits_before() ? 2 * t.n : 0);
        for (int64_t i = begin; i < end; ++i) {
            const T* in = t.begin(i, 1, room.get()).first;
            // The next row is fetched while this one is computed: some columns at a time are read, which
            // the processor does not foresee. That is 15 % of the time of 1,000 rows of 1,024.
            const bool fetches = t.n < kAlone && i + 1 < end;
            const int64_t in_ahead = fetches && !t.splits_before() ? t.in_step : 0;
            plan->run(in, t.out + i * t.out_step, t.swapped, t.factor, in_ahead, fetches ? t.out_step : 0);
            t.end(i, 1);
        }
    });
}

// Rows of n reals to n / 2 + 1 complex numbers. Pairs of reals are complex numbers, if n is even.
template <class T>
void run_real(const T* in, T* out, int64_t rows, int64_t n) {
    const int64_t h = n / 2, step = 2 * (h + 1);
    if (n % 2 == 0) {
        const auto halves = plan_of<Halves<T>>(h);
        return run_rows<T>({in, n, out, step, rows, h, false, T(1), halves.get()});
    }
    const Memory<T> memory(2 * rows * n);
    T* wide = memory.get();
    for (int64_t j = 0; j < rows * n; ++j) {
        wide[2 * j] = in[j];
        wide[2 * j + 1] = 0;
    }
    run_rows<T>({wide, 2 * n, wide, 2 * n, rows, n, false, T(1)});
    for (int64_t i = 0; i < rows; ++i) {
        std::copy_n(wide + 2 * i * n, step, out + i * step);
        out[i * step + 1] = 0;
    }
}

// The inverse, divided by n. Imaginary parts that the transform of reals has not are not read.
template <class T>
void run_real_inverse(const T* in, T* out, int64_t rows, int64_t n) {
    const int64_t h = n / 2, step = 2 * (h + 1);
    if (n % 2 == 0) {
        const auto halves = plan_of<Halves<T>>(h);
        return run_rows<T>({in, step, out, n, rows, h, true, T(1) / static_cast<T>(h), halves.get()});
    }
    const Memory<T> memory(2 * rows * n);
    T* wide = memory.get();
    for (int64_t i = 0; i < rows; ++i) {
        const T* x = in + i * step;
        T* to = wide + 2 * i * n;
        to[0] = x[0];
        to[1] = 0;
        for (int64_t k = 1; k <= h; ++k) {
            to[2 * k] = to[2 * (n - k)] = x[2 * k];
            to[2 * k + 1] = x[2 * k + 1];
            to[2 * (n - k) + 1] = -x[2 * k + 1];
        }
    }
    run_rows<T>({wide, 2 * n, wide, 2 * n, rows, n, true, T(1) / static_cast<T>(n)});
    for (int64_t j = 0; j < rows * n; ++j) out[j] = wide[2 * j];
}

template <class T>
void run_contiguous(const T* in, T* out, Kind kind, int64_t rows, int64_t n) {
    switch (kind) {
        case kForward: run_rows<T>({in, 2 * n, out, 2 * n, rows, n, false, T(1)}); break;
        case kInverse:
            run_rows<T>({in, 2 * n, out, 2 * n, rows, n, true, T(1) / static_cast<T>(n)});
            break;
        case kReal: run_real<T>(in, out, rows, n); break;
        case kRealInverse: run_real_inverse<T>(in, out, rows, n); break;
    }
}

// --------------------------------------------------------------------------------------- other axes

// (n, count) of items of `parts` numbers, rows `step` items apart, to (count, n).
template <class T>
void gather(const T* from, int64_t step, int64_t n, int64_t count, int64_t parts, T* to) {
    for (int64_t j = 0; j < n; ++j) {
        for (int64_t c = 0; c < count; ++c) {
            for (int64_t p = 0; p < parts; ++p) {
                to[(c * n + j) * parts + p] = from[(j * step + c) * parts + p];
            }
        }
    }
}

template <class T>
void scatter(const T* from, int64_t n, int64_t count, int64_t parts, T* to, int64_t step) {
    for (int64_t j = 0; j < n; ++j) {
        for (int64_t c = 0; c < count; ++c) {
            for (int64_t p = 0; p < parts; ++p) {
                to[(j * step + c) * parts + p] = from[(c * n + j) * parts + p];
            }
        }
    }
}

template <class T>
void run_strided(const T* in, T* out, Kind kind, int64_t outer, int64_t n, int64_t inner) {
    const int64_t lanes = kernels<T>().lanes;
    const bool complex = kind == kForward || kind == kInverse;
    if (complex && n <= kLongest && 4 * inner > lanes && is_smooth(n)) {
        const auto plan = plan_of<Columns<T>>(n);
        const int64_t most = kBlock / (4 * n * static_cast<int64_t>(sizeof(T)));
        const int64_t width = std::min(rounded_up(inner, lanes), std::max(most / lanes, int64_t{1}) * lanes);
        const int64_t blocks = (inner + width - 1) / width;
        const T factor = kind == kInverse ? T(1) / static_cast<T>(n) : T(1);
        in_parallel(outer * blocks, kPiece / (n * width), [&](int64_t begin, int64_t end) {
            const Memory<T> work(Columns<T>::room(n, width));
            for (int64_t i = begin; i < end; ++i) {
                const int64_t start = i % blocks * width, at = 2 * (i / blocks * n * inner + start);
                const Rows<T> from{const_cast<T*>(in) + at, nullptr, 2 * inner, kind == kInverse};
                const Rows<T> to{out + at, nullptr, 2 * inner, kind == kInverse, factor};
                plan->run(from, &to, std::min(width, inner - start), work.get());
            }
        });
        return;
    }
    // Some columns at a time become rows: as many as are in a line of the cache.
    const int64_t width = std::min(inner, lanes), blocks = (inner + width - 1) / width;
    const int64_t from_parts = kind == kReal ? 1 : 2, to_parts = kind == kRealInverse ? 1 : 2;
    const int64_t from_n = kind == kRealInverse ? n / 2 + 1 : n, to_n = kind == kReal ? n / 2 + 1 : n;
    over_rows(outer * blocks, n * width, [&](int64_t begin, int64_t end) {
        const Memory<T> before(from_parts * from_n * width), after(to_parts * to_n * width);
        for (int64_t i = begin; i < end; ++i) {
            const int64_t start = i % blocks * width, count = std::min(width, inner - start);
            const T* from = in + from_parts * (i / blocks * from_n * inner + start);
            T* to = out + to_parts * (i / blocks * to_n * inner + start);
            gather(from, inner, from_n, count, from_parts, before.get());
            run_contiguous<T>(before.get(), after.get(), kind, count, n);
            scatter(after.get(), to_n, count, to_parts, to, inner);
        }
    });
}

template <class T>
void run(const void* in, void* out, Kind kind, int64_t outer, int64_t n, int64_t inner) {
    const T* from = static_cast<const T*>(in);
    T* to = static_cast<T*>(out);
    if (inner == 1) {
        run_contiguous<T>(from, to, kind, outer, n);
    } else {
        run_strided<T>(from, to, kind, outer, n, inner);
    }
}

}  // namespace

}  // namespace covector

int32_t cv_fft(const void* in, void* out, int64_t kind, int64_t wide, int64_t outer, int64_t n,
               int64_t inner) {
    using namespace covector;
    if (outer == 0 || n == 0 || inner == 0) return kNoError;
    try {
        (wide != 0 ? run<double> : run<float>)(in, out, static_cast<Kind>(kind), outer, n, inner);
    } catch (const std::bad_alloc&) {
        return kOutOfMemory;
    }
    return kNoError;
}
