// QR factors, and products with the reflectors that they are made of.
#include "runtime/blocked.h"
#include "runtime/linalg.h"
#include "runtime/linalg_lanes.h"
#include "runtime/matrices.h"

namespace covector {
namespace {

template <typename T>
using PivotedReal = void (*)(const int*, const int*, T*, const int*, int*, T*, T*, const int*, int*);
template <typename T>
using PivotedComplex = void (*)(const int*, const int*, T*, const int*, int*, T*, T*, const int*,
                                Real<T>*, int*);

// The reflectors of columns (m, n), which lie one after the other; `order` is null, or gets where
// columns come from.
template <typename T>
class Factoring {
public:
    Factoring(int64_t m, int64_t n, bool pivoted)
        : m_(static_cast<int>(m)),
          n_(static_cast<int>(n)),
          pivoted_(pivoted),
          length_(query()),
          work_(length_),
          real_(kIsComplex<T> && pivoted ? 2 * n : 0) {}

    void operator()(T* columns, T* taus, int32_t* order) {
        if (order != nullptr) std::fill(order, order + n_, 0);
        call(columns, taus, order, work_.get(), &length_);
        for (int j = 0; order != nullptr && j < n_; ++j) --order[j];
    }

private:
    int query() {
        T answer{};
        const int ask = -1;
        call(nullptr, nullptr, nullptr, &answer, &ask);
        return length_of(answer);
    }
    void call(T* a, T* taus, int32_t* order, T* work, const int* length) {
        int info = 0;
        const Passage passage;
        if (!pivoted_) {
            g_lapack<T>.geqrf(&m_, &n_, a, &m_, taus, work, length, &info);
        } else if constexpr (kIsComplex<T>) {
            reinterpret_cast<PivotedComplex<T>>(g_lapack<T>.geqp3)(&m_, &n_, a, &m_, order, taus, work,
                                                                   length, real_.get(), &info);
        } else {
            reinterpret_cast<PivotedReal<T>>(g_lapack<T>.geqp3)(&m_, &n_, a, &m_, order, taus, work,
                                                                length, &info);
        }
    }

    int m_, n_;
    bool pivoted_;
    int length_;
    Scratch<T> work_;
    Scratch<Real<T>> real_;
};

// The first n columns of the product of k reflectors, in place of these.
template <typename T>
class Multiplying {
public:
    Multiplying(int64_t m, int64_t n, int64_t k)
        : m_(static_cast<int>(m)),
          n_(static_cast<int>(n)),
          k_(static_cast<int>(k)),
          length_(query()),
          work_(length_) {}

    void operator()(T* columns, const T* taus) { call(columns, taus, work_.get(), &length_); }

private:
    int query() {
        T answer{};
        const int ask = -1;
        call(nullptr, nullptr, &answer, &ask);
        return length_of(answer);
    }
    void call(T* a, const T* taus, T* work, const int* length) {
        int info = 0;
        const Passage passage;
        g_lapack<T>.orgqr(&m_, &n_, &k_, a, &m_, taus, work, length, &info);
    }

    int m_, n_, k_, length_;
    Scratch<T> work_;
};

// A stack of matrices and their factors; `order` is null without pivots.
template <typename T>
struct Factored {
    const T* a;
    T *q, *r;
    int32_t* order;
    int64_t m, n, width;
};

template <typename T>
class QrByLapack {
public:
    explicit QrByLapack(const Factored<T>& stack)
        : stack_(stack),
          k_(std::min(stack.m, stack.n)),
          columns_(stack.m * std::max(stack.n, stack.width)),
          taus_(k_),
          factor_(std::max<int64_t>(stack.m, 1), stack.n, stack.order != nullptr),
          multiply_(std::max<int64_t>(stack.m, 1), stack.width, k_) {}

    void operator()(int64_t i) {
        const auto& [a, q, r, order, m, n, width] = stack_;
        transpose(a + i * m * n, m, n, columns_.get());
        int32_t* moved = order != nullptr ? order + i * n : nullptr;
        if (k_ > 0) {
            factor_(columns_.get(), taus_.get(), moved);
        } else if (moved != nullptr) {
            for (int64_t j = 0; j < n; ++j) moved[j] = static_cast<int32_t>(j);
        }
        T* upper = r + i * width * n;
        for (int64_t row = 0; row < width; ++row) {
            for (int64_t j = 0; j < n; ++j) {
                upper[row * n + j] = row <= j ? columns_[j * m + row] : T{0};
            }
        }
        if (width > 0 && m > 0) multiply_(columns_.get(), taus_.get());
        transpose(columns_.get(), width, m, q + i * m * width);
    }

private:
    Factored<T> stack_;
    int64_t k_;
    Scratch<T> columns_, taus_;
    Factoring<T> factor_;
    Multiplying<T> multiply_;
};

template <typename T>
void qr_in_lanes(const Factored<T>& stack, int64_t begin, int64_t end) {
    const auto& [a, q, r, order, m, n, width] = stack;
    const LaneQr<T> factor = lane_qr<T>();
    for (int64_t i = begin; i < end; i += kMatricesInLanes<T>) {
        const int64_t count = std::min(end - i, kMatricesInLanes<T>);
        uint32_t left = factor(a + i * m * n, q + i * m * width, r + i * width * n, m, n, width, count);
        if (left == 0) continue;
        QrByLapack<T> by(stack);
        for (; left != 0; left &= left - 1) by(i + __builtin_ctz(left));
    }
}

}  // namespace
}  // namespace covector

using namespace covector;

extern "C" int32_t cv_qr(const void* a, void* q, void* r, int32_t* order, int64_t type, int64_t count,
                         int64_t m, int64_t n, int64_t full, int64_t pivoted) {
    if (count == 0) return kNoError;
    return with_type(type, [&]<typename T>() {
        const int64_t k = std::min(m, n), width = full != 0 ? m : k;
        const double work = work_of(2.0 * static_cast<double>(m) * n * k);
        return over_matrices(count, work, [&](int64_t begin, int64_t end) {
            if constexpr (!kIsComplex<T>) {
                if (pivoted == 0 && in_blocks<T>(k)) {
                    for (int64_t i = begin; i < end; ++i) {
                        blocked_qr(static_cast<const T*>(a) + i * m * n,
                                   static_cast<T*>(q) + i * m * width,
                                   static_cast<T*>(r) + i * width * n, m, n, width);
                    }
                    return;
                }
            }
            const Factored<T> whole{static_cast<const T*>(a), static_cast<T*>(q), static_cast<T*>(r),
                                    pivoted != 0 ? order : nullptr, m, n, width};
            const bool small = k > 0 && std::max(m, n) <= kMostInLanes;
            if (pivoted == 0 && small && end - begin >= kLeastInLanes) {
                qr_in_lanes(whole, begin, end);
            } else {
                QrByLapack<T> by(whole);
                for (int64_t i = begin; i < end; ++i) by(i);
            }
        }, pivoted == 0 && in_blocks<T>(k));
    });
}

extern "C" int32_t cv_geqrf(void* a, void* taus, int32_t* order, int64_t type, int64_t count, int64_t m,
                            int64_t n, int64_t pivoted) {
    const int64_t k = std::min(m, n);
    if (count == 0) return kNoError;
    return with_type(type, [&]<typename T>() {
        const double work = work_of(static_cast<double>(m) * n * k);
        return over_matrices(count, work, [&](int64_t begin, int64_t end) {
            const Scratch<T> columns(m * n);
            Factoring<T> factor(std::max<int64_t>(m, 1), n, pivoted != 0);
            for (int64_t i = begin; i < end; ++i) {
                T* matrix = static_cast<T*>(a) + i * m * n;
                int32_t* moved = pivoted != 0 ? order + i * n : nullptr;
                if (k == 0) {
                    for (int64_t j = 0; moved != nullptr && j < n; ++j) moved[j] = static_cast<int32_t>(j);
                    continue;
                }
                transpose(matrix, m, n, columns.get());
                factor(columns.get(), static_cast<T*>(taus) + i * k, moved);
                transpose(columns.get(), n, m, matrix);
            }
        });
    });
}

extern "C" int32_t cv_householder_product(const void* taus, void* a, int64_t type, int64_t count,
                                          int64_t m, int64_t n, int64_t k) {
    if (count == 0 || m == 0 || n == 0) return kNoError;
    return with_type(type, [&]<typename T>() {
        const double work = work_of(static_cast<double>(m) * n * k);
        return over_matrices(count, work, [&](int64_t begin, int64_t end) {
            const Scratch<T> columns(m * n);
            Multiplying<T> multiply(m, n, k);
            for (int64_t i = begin; i < end; ++i) {
                T* matrix = static_cast<T*>(a) + i * m * n;
                transpose(matrix, m, n, columns.get());
                multiply(columns.get(), static_cast<const T*>(taus) + i * k);
                transpose(columns.get(), n, m, matrix);
            }
        });
    });
}

extern "C" int32_t cv_ormqr(const void* a, const void* taus, void* c, int64_t type, int64_t count,
                            int64_t m, int64_t n, int64_t r, int64_t k, int64_t left,
                            int64_t transposed) {
    if (count == 0 || m == 0 || n == 0) return kNoError;
    return with_type(type, [&]<typename T>() {
        const int64_t side = left != 0 ? m : n;
        const double work = work_of(static_cast<double>(m) * n * k);
        return over_matrices(count, work, [&](int64_t begin, int64_t end) {
            const Scratch<T> reflectors(side * r), columns(m * n);
            const int rows = static_cast<int>(m), width = static_cast<int>(n);
            const int depth = static_cast<int>(k), leading = static_cast<int>(side);
            const char* where = left != 0 ? "L" : "R";
            const char* how = transposed == 0 ? "N" : kIsComplex<T> ? "C" : "T";
            const auto call = [&](const T* t, T* space, const int* length) {
                int info = 0;
                const Passage passage;
                g_lapack<T>.ormqr(where, how, &rows, &width, &depth, reflectors.get(), &leading, t,
                                  columns.get(), &rows, space, length, &info, 1, 1);
            };
            T answer{};
            const int ask = -1;
            call(nullptr, &answer, &ask);
            const int length = length_of(answer);
            const Scratch<T> space(length);
            for (int64_t i = begin; i < end; ++i) {
                T* matrix = static_cast<T*>(c) + i * m * n;
                transpose(static_cast<const T*>(a) + i * side * r, side, r, reflectors.get());
                transpose(matrix, m, n, columns.get());
                call(static_cast<const T*>(taus) + i * k, space.get(), &length);
                transpose(columns.get(), n, m, matrix);
            }
        });
    });
}
