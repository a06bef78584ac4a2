// Plans of Fourier transforms: what depends on the length alone, and how one row or a block of columns is
// done with it. Of fft.cc alone.
#pragma once

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <new>
#include <utility>
#include <vector>

#include "runtime/allocator.h"
#include "runtime/fft_kernels.h"
#include "runtime/pool.h"
#include "runtime/vectors.h"

namespace covector {
namespace {

constexpr int64_t kBlock = 1 << 18;       // bytes that the passes of a block of columns go over
constexpr int64_t kPiece = 1 << 14;       // the numbers that are worth a thread
constexpr double kWaste = 1.4;  // from which on rows are better put beside each other
constexpr int64_t kKept = int64_t{1} << 26;  // bytes of tables that are kept for the next transform

// The kernels for this processor.
template <class T>
const FftKernels<T>& kernels();

#if defined(__x86_64__)
template <>
const FftKernels<float>& kernels() {
    return *best_of(&kFftPlainFloat, &kFftAvx2Float, &kFftAvx512Float);
}
template <>
const FftKernels<double>& kernels() {
    return *best_of(&kFftPlainDouble, &kFftAvx2Double, &kFftAvx512Double);
}
#else
template <>
const FftKernels<float>& kernels() {
    return kFftPlainFloat;
}
template <>
const FftKernels<double>& kernels() {
    return kFftPlainDouble;
}
#endif

int64_t rounded_up(int64_t n, int64_t multiple) { return (n + multiple - 1) / multiple * multiple; }

// Scratch memory, of so many numbers. Throws bad_alloc.
template <class T>
class Memory {
  public:
    explicit Memory(int64_t count)
        : at_(static_cast<T*>(cv_alloc(std::max<int64_t>(count, 1) * static_cast<int64_t>(sizeof(T))))) {
        if (at_ == nullptr) throw std::bad_alloc();
    }
    ~Memory() { cv_free(at_); }
    Memory(const Memory&) = delete;
    Memory& operator=(const Memory&) = delete;
    T* get() const { return at_; }

  private:
    T* at_;
};

// body(begin, end) over pieces of [0, n), on the threads. Throws bad_alloc if one did.
template <class Body>
void in_parallel(int64_t n, int64_t grain, const Body& body) {
    struct Context {
        const Body& body;
        std::atomic<bool> failed{false};
    } context{body};
    cv_parallel_for(
        [](void* p, int64_t begin, int64_t end) {
            auto& c = *static_cast<Context*>(p);
            try {
                c.body(begin, end);
            } catch (const std::bad_alloc&) {
                c.failed = true;
            }
        },
        &context, n, std::max<int64_t>(grain, 1));
    if (context.failed) throw std::bad_alloc();
}

// e^(-2 pi i a / n), from an angle of at most an eighth of a turn.
template <class T>
void root(int64_t a, int64_t n, T* to) {
    a %= n;
    const int64_t octant = 8 * a / n;
    // Of 8 parts of a turn this one is 8 a - octant n; odd ones are counted from their end.
    int64_t rest = 8 * a - octant * n;
    const bool mirrored = octant % 2 != 0;
    if (mirrored) rest = n - rest;
    const long double angle =
        static_cast<long double>(rest) / static_cast<long double>(n) * 0.78539816339744830961566084582L;
    long double c = std::cos(angle), s = std::sin(angle);
    if (mirrored) std::swap(c, s);
    const int quarter = static_cast<int>(octant / 2);
    for (int turn = 0; turn < quarter; ++turn) {
        const long double old = c;
        c = -s;
        s = old;
    }
    to[0] = static_cast<T>(c);
    to[1] = static_cast<T>(-s);
}

// The radices of the passes, or nothing if a prime factor is too large.
std::vector<int64_t> radices(int64_t n) {
    std::vector<int64_t> made;
    for (const int64_t r : {8, 5, 4, 3, 2}) {
        for (; n % r == 0; n /= r) {
            // Of 2^k radices 4 and 4 are less work than 8 and 2.
            if (r == 8 && n / r % 2 == 0 && n / r % 4 != 0) break;
            made.push_back(r);
        }
    }
    for (int64_t r = 7; r <= kLargestRadix && n > 1; r += 2) {
        for (; n % r == 0; n /= r) made.push_back(r);
    }
    if (n > 1) return {};
    // One reads from a user's memory and another writes to it.
    while (made.size() < 2) made.push_back(1);
    return made;
}

bool is_smooth(int64_t n) { return !radices(n).empty(); }

// ------------------------------------------------------------------------------------------- columns

// The passes of one length, over lanes.
template <class T>
class Columns {
  public:
    explicit Columns(int64_t n) : n_(n) {
        const auto rs = radices(n);
        int64_t left = n, total = 0;
        for (const int64_t r : rs) total += 2 * (left * (r - 1) / r + r), left /= r;
        table_.resize(static_cast<size_t>(total));
        T* to = table_.data();
        int64_t s = 1;
        left = n;
        for (const int64_t r : rs) {
            const int64_t m = left / r;
            T* twiddles = to;
            for (int64_t p = 0; p < m; ++p) {
                for (int64_t k = 1; k < r; ++k, to += 2) root(p * k, left, to);
            }
            T* roots = to;
            for (int64_t j = 0; j < r; ++j, to += 2) {
                root(j, r, to);
                to[1] = -to[1];
            }
            passes_.push_back({r, m, s, twiddles, roots});
            s *= r;
            left = m;
        }
    }

    int64_t n() const { return n_; }
    int64_t bytes() const { return static_cast<int64_t>(table_.size() * sizeof(T)); }

    // Numbers of T that the passes over so many lanes need: twice all rows.
    static int64_t room(int64_t n, int64_t lanes) {
        return 4 * n * rounded_up(lanes, kernels<T>().lanes);
    }

    // Transforms from rows to rows. Where there is no `out`, the result is in `work`, and is returned.
    Rows<T> run(const Rows<T>& in, const Rows<T>* out, int64_t lanes, T* work) const {
        const auto& k = kernels<T>();
        const int64_t width = rounded_up(lanes, k.lanes), half = 2 * n_ * width;
        Rows<T> from = in;
        for (size_t i = 0; i < passes_.size(); ++i) {
            const Pass<T>& f = passes_[i];
            const size_t which = f.radix < kRadices ? static_cast<size_t>(f.radix) : 0;
            if (i + 1 == passes_.size() && out != nullptr) {
                k.last[which](f, from, *out, lanes);
                return *out;
            }
            T* base = work + (i % 2 != 0 ? half : 0);
            const Rows<T> to{base, base + width, 2 * width};
            (from.im == nullptr ? k.first : k.middle)[which](f, from, to, lanes);
            from = to;
        }
        return from;
    }

  private:
    int64_t n_;
    std::vector<T> table_;
    std::vector<Pass<T>> passes_;
};

// A plan of each length, made when it is first asked for and kept while there is room.
template <class Plan>
std::shared_ptr<const Plan> plan_of(int64_t n) {
    const std::pair key(n, vector_bytes());
    static std::mutex mutex;
    static auto& plans = *new std::map<std::pair<int64_t, int>, std::shared_ptr<const Plan>>;
    static int64_t kept = 0;
    {
        const std::lock_guard<std::mutex> lock(mutex);
        if (const auto found = plans.find(key); found != plans.end()) return found->second;
    }
    auto made = std::make_shared<const Plan>(n);
    const std::lock_guard<std::mutex> lock(mutex);
    if (kept + made->bytes() > kKept) {
        plans.clear();
        kept = 0;
    }
    if (plans.emplace(key, made).second) kept += made->bytes();
    return made;
}

// ---------------------------------------------------------------------------------------------- a row

struct Parts {
    int64_t a, b;
    double waste;  // the work of both steps, where vectors are not full, for that of full ones
};

// n = a b with vectors as full as can be, or a = 1 if they would be hardly filled.
Parts parts(int64_t n, int64_t lanes) {
    const auto waste = [lanes](int64_t k) {
        return static_cast<double>(rounded_up(k, lanes)) / static_cast<double>(k);
    };
    Parts best{1, n, 4};
    for (int64_t a = 2; a * a <= n; ++a) {
        if (n % a != 0) continue;
        const int64_t b = n / a;
        const double share = std::log2(static_cast<double>(a)) / std::log2(static_cast<double>(n));
        const double costs = share * waste(b) + (1 - share) * waste(a);
        if (costs < best.waste || (costs == best.waste && a > best.a)) best = {a, b, costs};
    }
    return best;
}

template <class T>
class Row {
  public:
    explicit Row(int64_t n) : n_(n) {
        if (!is_smooth(n)) {
            convolve();
            return;
        }
        const int64_t lanes = kernels<T>().lanes;
        const auto [a, b, waste] = parts(n, lanes);
        if (a == 1) return;
        waste_ = waste;
        first_ = plan_of<Columns<T>>(a);
        second_ = plan_of<Columns<T>>(b);
        const int64_t tiles = rounded_up(b, lanes) / lanes;
        table_.resize(static_cast<size_t>(2 * a * (tiles + lanes)));
        T* to = table_.data();
        for (int64_t tile = 0; tile < tiles; ++tile) {
            for (int64_t k = 0; k < a; ++k, to += 2) root(tile * lanes * k, n, to);
        }
        for (int64_t k = 0; k < a; ++k, to += 2 * lanes) {
            for (int64_t l = 0; l < lanes; ++l) {
                T w[2];
                root(k * l, n, w);
                to[l] = w[0];
                to[lanes + l] = w[1];
            }
        }
    }

    int64_t bytes() const {
        return static_cast<int64_t>((table_.size() + chirp_.size() + spectrum_.size()) * sizeof(T));
    }

    // Whether each of so many rows is transformed on its own; if not, they become columns side by side.
    bool alone(int64_t rows) const {
        if (longer_ != nullptr) return true;
        return first_ != nullptr && (waste_ < kWaste || 2 * rows < kernels<T>().lanes);
    }

    // The transform of `in`, or between swapped numbers, times `factor`, to `out`, which may be `in`. What
    // lies so far ahead of both is fetched on the way.
    void run(const T* in, T* out, bool swapped, T factor, int64_t in_ahead = 0,
             int64_t out_ahead = 0) const {
        if (longer_ != nullptr) {
            run_convolution(in, out, swapped, factor);
            return;
        }
        const int64_t a = first_->n(), b = second_->n(), lanes = kernels<T>().lanes;
        const int64_t width = rounded_up(a, lanes);
        // A stride of a power of two would put all rows into the same few places of the cache.
        const int64_t step = 2 * width + (width > 256 ? lanes : 0);
        const Memory<T> between(b * step);
        const Rows<T> turned{between.get(), between.get() + width, step};
        const T* by_lane = table_.data() + 2 * a * (rounded_up(b, lanes) / lanes);
        over_blocks(a, b, [&](int64_t begin, int64_t end, T* work) {
            const Rows<T> rows{const_cast<T*>(in) + 2 * begin, nullptr, 2 * b, swapped, T(1), in_ahead};
            const Rows<T> made = first_->run(rows, nullptr, end - begin, work);
            const Rows<T> to{turned.re + begin * step, turned.im + begin * step, step};
            const T* by_tile = table_.data() + begin / lanes * 2 * a;
            kernels<T>().twist(made, a, end - begin, by_tile, by_lane, to);
        });
        over_blocks(b, a, [&](int64_t begin, int64_t end, T* work) {
            const Rows<T> rows{turned.re + begin, turned.im + begin, step};
            const Rows<T> to{out + 2 * begin, nullptr, 2 * a, swapped, factor, out_ahead};
            second_->run(rows, &to, end - begin, work);
        });
    }

  private:
    // body(begin, end, work) over blocks of `count` columns of length n.
    template <class Body>
    static void over_blocks(int64_t n, int64_t count, const Body& body) {
        const int64_t lanes = kernels<T>().lanes;
        const int64_t most = kBlock / (4 * n * static_cast<int64_t>(sizeof(T)));
        const int64_t width = std::min(rounded_up(count, lanes), std::max(most / lanes, int64_t{1}) * lanes);
        const int64_t blocks = (count + width - 1) / width;
        in_parallel(blocks, kPiece / (n * width), [&](int64_t begin, int64_t end) {
            const Memory<T> work(Columns<T>::room(n, width));
            for (int64_t i = begin; i < end; ++i) {
                body(i * width, std::min(count, (i + 1) * width), work.get());
            }
        });
    }

    // y_k = w_k sum_j (x_j w_j) conj(w_(k - j)) with w_j = e^(-pi i j^2 / n).
    void convolve() {
        int64_t m = 256;  // and not less, so that it is alone
        while (m < 2 * n_ - 1) m *= 2;
        if (m / 4 * 3 >= 2 * n_ - 1 && m > 256) m = m / 4 * 3;
        longer_ = plan_of<Row<T>>(m);
        chirp_.resize(static_cast<size_t>(2 * n_));
        int64_t square = 0;  // j^2 modulo 2 n
        for (int64_t j = 0; j < n_; ++j) {
            root(square, 2 * n_, chirp_.data() + 2 * j);
            square = (square + 2 * j + 1) % (2 * n_);
        }
        spectrum_.assign(static_cast<size_t>(2 * m), 0);
        for (int64_t j = 0; j < n_; ++j) {
            for (const int64_t at : {j, (m - j) % m}) {
                spectrum_[static_cast<size_t>(2 * at)] = chirp_[static_cast<size_t>(2 * j)];
                spectrum_[static_cast<size_t>(2 * at + 1)] = -chirp_[static_cast<size_t>(2 * j + 1)];
            }
        }
        longer_->run(spectrum_.data(), spectrum_.data(), false, T(1) / static_cast<T>(m));
    }

    static void multiply(const T* x, const T* w, T* to, int64_t count, T factor, bool swapped) {
        const int64_t re = swapped ? 1 : 0, im = 1 - re;
        for (int64_t j = 0; j < 2 * count; j += 2) {
            const T real = x[j + re] * w[j] - x[j + im] * w[j + 1];
            const T imaginary = x[j + re] * w[j + 1] + x[j + im] * w[j];
            to[j] = real * factor;
            to[j + 1] = imaginary * factor;
        }
    }

    void run_convolution(const T* in, T* out, bool swapped, T factor) const {
        const int64_t m = static_cast<int64_t>(spectrum_.size()) / 2;
        const Memory<T> memory(2 * m);
        T* z = memory.get();
        multiply(in, chirp_.data(), z, n_, T(1), swapped);
        std::fill(z + 2 * n_, z + 2 * m, T(0));
        longer_->run(z, z, false, T(1));
        multiply(z, spectrum_.data(), z, m, T(1), false);
        longer_->run(z, z, true, T(1));
        multiply(z, chirp_.data(), out, n_, factor, false);
        if (swapped) {
            for (int64_t j = 0; j < 2 * n_; j += 2) std::swap(out[j], out[j + 1]);
        }
    }

    int64_t n_;
    double waste_ = 1;
    std::shared_ptr<const Columns<T>> first_, second_;
    std::shared_ptr<const Row<T>> longer_;
    std::vector<T> table_;  // of the roots between the steps
    std::vector<T> chirp_, spectrum_;
};

// e^(-pi i k / h) for k up to h / 2: what reals need beside a transform of half their length.
template <class T>
class Halves {
  public:
    explicit Halves(int64_t h) : table_(static_cast<size_t>(h + 2)) {
        for (int64_t k = 0; 2 * k <= h; ++k) root(k, 2 * h, table_.data() + 2 * k);
    }
    int64_t bytes() const { return static_cast<int64_t>(table_.size() * sizeof(T)); }
    const T* roots() const { return table_.data(); }

  private:
    std::vector<T> table_;
};

}  // namespace
}  // namespace covector
