// Eigenvalues, singular values, and the forms of matrices on the way to them.
#include <type_traits>

#include "runtime/bidiagonal.h"
#include "runtime/linalg.h"
#include "runtime/linalg_lanes.h"
#include "runtime/linalg_small.h"
#include "runtime/matrices.h"
#include "runtime/tridiagonal.h"

namespace covector {
namespace {

// A routine in Fortran with these arguments, behind which the lengths of strings come.
template <typename... A>
void call(void* routine, A... arguments) {
    const Passage passage;
    reinterpret_cast<void (*)(A...)>(routine)(arguments...);
}

constexpr size_t kOne = 1;  // the length of a string

template <typename T>
using R = Real<T>;

// Eigenvalues, and eigenvectors in place of the columns of a Hermitian matrix.
template <typename T>
class Hermitian {
public:
    Hermitian(int64_t n, bool vectors, bool lower)
        : n_(static_cast<int>(n)), vectors_(vectors), lower_(lower) {
        T answer{};
        R<T> real_answer{};
        int index_answer = 1;
        run(nullptr, nullptr, &answer, -1, &real_answer, -1, &index_answer, -1);
        length_ = length_of(answer);
        reals_ = length_of(real_answer);
        indices_ = std::max(index_answer, 1);
    }

    bool operator()(T* columns, R<T>* values) {
        const Scratch<T> work(length_);
        const Scratch<R<T>> real(reals_);
        const Scratch<int> index(indices_);
        return run(columns, values, work.get(), length_, real.get(), reals_, index.get(), indices_) == 0;
    }

private:
    int run(T* a, R<T>* w, T* work, int length, R<T>* real, int reals, int* index, int indices) {
        const char* job = vectors_ ? "V" : "N";
        const char* which = lower_ ? "L" : "U";
        int info = 0;
        if constexpr (kIsComplex<T>) {
            call(g_lapack<T>.syevd, job, which, &n_, a, &n_, w, work, &length, real, &reals, index,
                 &indices, &info, kOne, kOne);
        } else {
            call(g_lapack<T>.syevd, job, which, &n_, a, &n_, w, work, &length, index, &indices, &info,
                 kOne, kOne);
        }
        return info;
    }

    int n_;
    bool vectors_, lower_;
    int length_ = 1, reals_ = 1, indices_ = 1;
};

// Singular values of columns (m, n), which are lost, and singular vectors as columns of u and rows of vt.
template <typename T>
class Singular {
public:
    Singular(int64_t m, int64_t n, const char* job)
        : m_(static_cast<int>(m)), n_(static_cast<int>(n)), job_(job) {
        const int64_t small = std::min(m, n), large = std::max(m, n);
        rows_ = *job == 'S' ? static_cast<int>(small) : n_;
        reals_ = *job == 'N' ? 7 * small : small * std::max(5 * small + 7, 2 * large + 2 * small + 1);
        T answer{};
        run(nullptr, nullptr, nullptr, nullptr, &answer, -1, nullptr, nullptr);
        length_ = length_of(answer);
    }

    bool operator()(T* a, R<T>* s, T* u, T* vt) {
        const Scratch<T> work(length_);
        const Scratch<R<T>> real(kIsComplex<T> ? reals_ : 0);
        const Scratch<int> index(8 * std::min<int64_t>(m_, n_));
        return run(a, s, u, vt, work.get(), length_, real.get(), index.get()) == 0;
    }

private:
    int run(T* a, R<T>* s, T* u, T* vt, T* work, int length, R<T>* real, int* index) {
        int info = 0;
        if constexpr (kIsComplex<T>) {
            call(g_lapack<T>.gesdd, job_, &m_, &n_, a, &m_, s, u, &m_, vt, &rows_, work, &length, real,
                 index, &info, kOne);
        } else {
            call(g_lapack<T>.gesdd, job_, &m_, &n_, a, &m_, s, u, &m_, vt, &rows_, work, &length, index,
                 &info, kOne);
        }
        return info;
    }

    int m_, n_, rows_;
    const char* job_;
    int64_t reals_;
    int length_ = 1;
};

template <typename T>
void unit(T* a, int64_t n) {
    std::fill(a, a + n * n, T{0});
    for (int64_t i = 0; i < n; ++i) a[i * n + i] = 1;
}

// A stack of matrices, and of their singular values and vectors; u is null without vectors.
template <typename T>
struct Factors {
    const T* a;
    R<T>* s;
    T* u;
    T* vt;
    int64_t m, n, width, height;
};

template <typename T>
void singular_in_blocks(const Factors<T>& f, int64_t begin, int64_t end) {
    const int64_t k = std::min(f.m, f.n);
    for (int64_t i = begin; i < end; ++i) {
        const T* a = f.a + i * f.m * f.n;
        T* s = f.s + i * k;
        T* u = f.u == nullptr ? nullptr : f.u + i * f.m * f.width;
        T* vt = f.u == nullptr ? nullptr : f.vt + i * f.height * f.n;
        const bool good =
            all_finite(a, f.m * f.n) && blocked_svd(a, f.m, f.n, s, u, f.width, vt, f.height);
        if (good) continue;
        fill_nan(s, k);
        if (u == nullptr) continue;
        fill_nan(u, f.m * f.width);
        fill_nan(vt, f.height * f.n);
    }
}

template <typename T>
class SingularByLapack {
public:
    SingularByLapack(const Factors<T>& stack, bool full)
        : f_(stack),
          wanted_(stack.u != nullptr),
          find_(f_.m, f_.n, !wanted_ ? "N" : full ? "A" : "S"),
          columns_(f_.m * f_.n),
          left_(wanted_ ? f_.m * f_.width : 0),
          right_(wanted_ ? f_.height * f_.n : 0) {}

    void operator()(int64_t i) {
        const auto& [a, s, u, vt, m, n, width, height] = f_;
        const int64_t k = std::min(m, n);
        const T* matrix = a + i * m * n;
        transpose(matrix, m, n, columns_.get());
        const bool good = all_finite(matrix, m * n) &&
                          find_(columns_.get(), s + i * k, left_.get(), right_.get());
        if (!good) fill_nan(s + i * k, k);
        if (!wanted_) return;
        T* us = u + i * m * width;
        T* vs = vt + i * height * n;
        if (good) {
            transpose(left_.get(), width, m, us);
            transpose(right_.get(), n, height, vs);
        } else {
            fill_nan(us, m * width);
            fill_nan(vs, height * n);
        }
    }

private:
    Factors<T> f_;
    bool wanted_;
    Singular<T> find_;
    Scratch<T> columns_, left_, right_;
};

// The largest side of a matrix whose columns are turned in lanes: by shorter vectors LAPACK's method is faster.
int64_t most_turned() { return vector_bytes() >= 64 ? kMostInLanes : kMostInLanes / 4; }

// Where lanes would be left over, one matrix after the other takes less.
template <typename T>
void values_in_lanes(const Factors<T>& f, int64_t begin, int64_t end) {
    const int64_t each = f.m * f.n, k = std::min(f.m, f.n);
    constexpr int64_t kGroup = kMatricesInLanes<T>;
    const LaneValues<T> values = lane_values<T>();
    int64_t i = begin;
    for (; i + kGroup <= end; i += kGroup) {
        uint32_t left = values(f.a + i * each, f.s + i * k, f.m, f.n, kGroup);
        if (left == 0) continue;
        SingularByLapack<T> by(f, false);
        for (; left != 0; left &= left - 1) by(i + __builtin_ctz(left));
    }
    if (i == end) return;
    SingularByLapack<T> by(f, false);
    for (; i < end; ++i) by(i);
}

// The eigenvalues of whole groups of Hermitian matrices, from `begin` on; where the next group would
// begin. What is not found so is left to one(i).
template <typename T, typename F>
int64_t eigenvalues_in_lanes(const T* a, R<T>* w, int64_t n, bool lower, int64_t begin, int64_t end,
                             const F& one) {
    const LaneEigenvalues<T> find = lane_eigenvalues<T>();
    if (find == nullptr || n > kMostValuesInLanes) return begin;
    constexpr int64_t kGroup = kMatricesInLanes<T>;
    int64_t i = begin;
    for (; i + kGroup <= end; i += kGroup) {
        const T* group = a + i * n * n;
        const uint32_t left = find(group, w + i * n, n, lower);
        for (int64_t l = 0; l < kGroup; ++l) {
            if ((left >> l & 1) != 0 || !all_finite(group + l * n * n, n * n)) one(i + l);
        }
    }
    return i;
}

// Eigenvalues of a general matrix of columns, which is lost, and left and right eigenvectors.
template <typename T>
class General {
public:
    using C = std::complex<R<T>>;

    General(int64_t n, bool left, bool right)
        : n_(static_cast<int>(n)), left_(left), right_(right), real_(2 * n), vectors_(2 * n * n) {
        T answer{};
        run(nullptr, &answer, -1);
        length_ = length_of(answer);
    }

    bool operator()(T* columns, C* values, C* left, C* right) {
        const Scratch<T> work(length_);
        if (run(columns, work.get(), length_) != 0) return false;
        for (int i = 0; i < n_; ++i) {
            if constexpr (kIsComplex<T>) {
                values[i] = reinterpret_cast<const C*>(real_.get())[i];
            } else {
                values[i] = {real_[i], real_[n_ + i]};
            }
        }
        if (left_) rows(vectors_.get(), values, left);
        if (right_) rows(vectors_.get() + n_ * n_, values, right);
        return true;
    }

private:
    int run(T* a, T* work, int length) {
        const char* on = "V";
        const char* off = "N";
        T* left = vectors_.get();
        T* right = left + n_ * n_;
        int info = 0;
        if constexpr (kIsComplex<T>) {
            const Scratch<R<T>> more(2 * n_);
            call(g_lapack<T>.geev, left_ ? on : off, right_ ? on : off, &n_, a, &n_,
                 reinterpret_cast<T*>(real_.get()), left, &n_, right, &n_, work, &length, more.get(),
                 &info, kOne, kOne);
        } else {
            call(g_lapack<T>.geev, left_ ? on : off, right_ ? on : off, &n_, a, &n_, real_.get(),
                 real_.get() + n_, left, &n_, right, &n_, work, &length, &info, kOne, kOne);
        }
        return info;
    }

    // A pair of conjugate vectors of a real matrix comes as one column of real, one of imaginary parts.
    void rows(const T* columns, const C* values, C* to) {
        for (int j = 0; j < n_; ++j) {
            const bool pair = !kIsComplex<T> && values[j].imag() != 0 && j + 1 < n_;
            for (int i = 0; i < n_; ++i) {
                const T x = columns[j * n_ + i];
                if constexpr (kIsComplex<T>) {
                    to[i * n_ + j] = x;
                } else {
                    const T y = pair ? columns[(j + 1) * n_ + i] : T{0};
                    to[i * n_ + j] = {x, y};
                    if (pair) to[i * n_ + j + 1] = {x, -y};
                }
            }
            if (pair) ++j;
        }
    }

    int n_;
    bool left_, right_;
    Scratch<R<T>> real_;
    Scratch<T> vectors_;
    int length_ = 1;
};

template <typename T>
bool schur(T* columns, T* vectors, int64_t size, bool wanted) {
    const int n = static_cast<int>(size);
    const Scratch<R<T>> values(2 * size), real(size);
    const Scratch<int> marks(size);
    const char* job = wanted ? "V" : "N";
    const auto run = [&](T* work, int length) {
        int info = 0, chosen = 0;
        void* none = nullptr;
        if constexpr (kIsComplex<T>) {
            call(g_lapack<T>.gees, job, "N", none, &n, columns, &n, &chosen,
                 reinterpret_cast<T*>(values.get()), vectors, &n, work, &length, real.get(), marks.get(),
                 &info, kOne, kOne);
        } else {
            call(g_lapack<T>.gees, job, "N", none, &n, columns, &n, &chosen, values.get(),
                 values.get() + size, vectors, &n, work, &length, marks.get(), &info, kOne, kOne);
        }
        return info;
    };
    T answer{};
    run(&answer, -1);
    const int length = length_of(answer);
    const Scratch<T> work(length);
    return run(work.get(), length) == 0;
}

// Elimination with exchanges of neighbouring rows, as LAPACK's gtsv does it, on the rows of b.
template <typename T>
void tridiagonal_solve(T* below, T* d, T* above, T* second, T* b, int64_t n, int64_t m) {
    const auto size = [](T x) { return std::abs(std::real(x)) + std::abs(std::imag(x)); };
    for (int64_t i = 0; i + 1 < n; ++i) {
        T* row = b + i * m;
        T* next = row + m;
        second[i] = 0;
        if (size(d[i]) >= size(below[i + 1])) {
            const T factor = below[i + 1] == T{0} ? T{0} : below[i + 1] / d[i];
            d[i + 1] -= factor * above[i];
            for (int64_t j = 0; j < m; ++j) next[j] -= factor * row[j];
            continue;
        }
        const T factor = d[i] / below[i + 1];
        const T old = d[i + 1];
        d[i] = below[i + 1];
        d[i + 1] = above[i] - factor * old;
        above[i] = old;
        if (i + 2 < n) {
            second[i] = above[i + 1];
            above[i + 1] = -factor * second[i];
        }
        for (int64_t j = 0; j < m; ++j) {
            const T x = row[j];
            row[j] = next[j];
            next[j] = x - factor * next[j];
        }
    }
    for (int64_t i = n - 1; i >= 0; --i) {
        T* row = b + i * m;
        for (int64_t j = 0; j < m; ++j) {
            T x = row[j];
            if (i + 1 < n) x -= above[i] * row[m + j];
            if (i + 2 < n) x -= second[i] * row[2 * m + j];
            row[j] = x / d[i];
        }
    }
}

}  // namespace
}  // namespace covector

using namespace covector;

extern "C" int32_t cv_eigh(const void* a, void* v, void* w, int64_t type, int64_t count, int64_t n,
                           int64_t lower, int64_t vectors) {
    if (count == 0 || n == 0) return kNoError;
    return with_type(type, [&]<typename T>() {
        const double cube = static_cast<double>(n) * n * n;
        const double work = work_of(vectors != 0 ? 5 * cube : 2 * cube);
        const bool ours = eigh_in_blocks<T>(n);
        return over_matrices(count, work, [&](int64_t begin, int64_t end) {
            const bool small = lower != 0 && n <= kMostSmall;
            const Scratch<T> columns(ours ? 0 : n * n);
            const auto one = [&](int64_t i) {
                const T* matrix = static_cast<const T*>(a) + i * n * n;
                Real<T>* values = static_cast<Real<T>*>(w) + i * n;
                T* rows = vectors != 0 ? static_cast<T*>(v) + i * n * n : nullptr;
                bool good = all_finite(matrix, n * n);
                if (good && small && small_eigh(matrix, n, values, rows)) return;
                if constexpr (!kIsComplex<T>) {
                    if (good && ours) {
                        good = blocked_eigh(matrix, n, lower != 0, values, rows);
                        if (good) return;
                    }
                }
                if (good) {
                    transpose(matrix, n, n, columns.get());
                    good = Hermitian<T>(n, vectors != 0, lower != 0)(columns.get(), values);
                }
                if (!good) fill_nan(values, n);
                if (rows == nullptr) return;
                if (good) {
                    transpose(columns.get(), n, n, rows);
                } else {
                    fill_nan(rows, n * n);
                }
            };
            int64_t i = begin;
            if (vectors == 0) {
                i = eigenvalues_in_lanes(static_cast<const T*>(a), static_cast<Real<T>*>(w), n,
                                         lower != 0, begin, end, one);
            }
            for (; i < end; ++i) one(i);
        }, ours);
    });
}

extern "C" int32_t cv_svd(const void* a, void* s, void* u, void* vt, int64_t type, int64_t count,
                          int64_t m, int64_t n, int64_t vectors, int64_t full) {
    if (count == 0) return kNoError;
    return with_type(type, [&]<typename T>() {
        const int64_t k = std::min(m, n);
        if (k == 0) {
            // Of no values, all vectors are unit vectors.
            for (int64_t i = 0; i < count && vectors != 0 && full != 0; ++i) {
                unit(static_cast<T*>(u) + i * m * m, m);
                unit(static_cast<T*>(vt) + i * n * n, n);
            }
            return int32_t{kNoError};
        }
        const int64_t width = full != 0 ? m : k, height = full != 0 ? n : k;
        const double cube = static_cast<double>(m) * n * k;
        const bool ours = svd_in_blocks<T>(k);
        const Factors<T> whole{static_cast<const T*>(a),
                               static_cast<Real<T>*>(s),
                               vectors != 0 ? static_cast<T*>(u) : nullptr,
                               static_cast<T*>(vt),
                               m, n, width, height};
        return over_matrices(count, work_of(10 * cube), [&](int64_t begin, int64_t end) {
            if constexpr (!kIsComplex<T>) {
                if (ours) return singular_in_blocks(whole, begin, end);
                if (vectors == 0 && std::max(m, n) <= most_turned()) return values_in_lanes(whole, begin, end);
            }
            SingularByLapack<T> by(whole, full != 0);
            for (int64_t i = begin; i < end; ++i) by(i);
        }, ours);
    });
}

extern "C" int32_t cv_eig(const void* a, void* w, void* left, void* right, int64_t type, int64_t count,
                          int64_t n, int64_t with_left, int64_t with_right) {
    if (count == 0 || n == 0) return kNoError;
    return with_type(type, [&]<typename T>() {
        using C = std::complex<Real<T>>;
        const double cube = static_cast<double>(n) * n * n;
        return over_matrices(count, work_of(25 * cube), [&](int64_t begin, int64_t end) {
            const Scratch<T> columns(n * n);
            General<T> find(n, with_left != 0, with_right != 0);
            for (int64_t i = begin; i < end; ++i) {
                const T* matrix = static_cast<const T*>(a) + i * n * n;
                C* values = static_cast<C*>(w) + i * n;
                C* lefts = static_cast<C*>(left) + i * n * n;
                C* rights = static_cast<C*>(right) + i * n * n;
                transpose(matrix, n, n, columns.get());
                if (all_finite(matrix, n * n) && find(columns.get(), values, lefts, rights)) continue;
                fill_nan(values, n);
                if (with_left != 0) fill_nan(lefts, n * n);
                if (with_right != 0) fill_nan(rights, n * n);
            }
        });
    });
}

extern "C" int32_t cv_schur(void* a, void* vectors, int64_t type, int64_t count, int64_t n,
                            int64_t wanted) {
    if (count == 0 || n == 0) return kNoError;
    return with_type(type, [&]<typename T>() {
        const double cube = static_cast<double>(n) * n * n;
        return over_matrices(count, work_of(25 * cube), [&](int64_t begin, int64_t end) {
            const Scratch<T> columns(n * n), found(wanted != 0 ? n * n : 1);
            for (int64_t i = begin; i < end; ++i) {
                T* matrix = static_cast<T*>(a) + i * n * n;
                const bool finite = all_finite(matrix, n * n);
                transpose(matrix, n, n, columns.get());
                const bool good = finite && schur(columns.get(), found.get(), n, wanted != 0);
                if (good) {
                    transpose(columns.get(), n, n, matrix);
                } else {
                    fill_nan(matrix, n * n);
                }
                if (wanted == 0) continue;
                T* rows = static_cast<T*>(vectors) + i * n * n;
                if (good) {
                    transpose(found.get(), n, n, rows);
                } else {
                    fill_nan(rows, n * n);
                }
            }
        });
    });
}

extern "C" int32_t cv_hessenberg(void* a, void* taus, int64_t type, int64_t count, int64_t n) {
    if (count == 0 || n == 0) return kNoError;
    return with_type(type, [&]<typename T>() {
        const double cube = static_cast<double>(n) * n * n;
        return over_matrices(count, work_of(2 * cube), [&](int64_t begin, int64_t end) {
            const Scratch<T> columns(n * n);
            const int size = static_cast<int>(n), first = 1;
            const auto run = [&](T* scales, T* work, int length) {
                int info = 0;
                const Passage passage;
                g_lapack<T>.gehrd(&size, &first, &size, columns.get(), &size, scales, work, &length,
                                  &info);
            };
            T answer{};
            run(nullptr, &answer, -1);
            const int length = length_of(answer);
            const Scratch<T> work(length);
            for (int64_t i = begin; i < end; ++i) {
                T* matrix = static_cast<T*>(a) + i * n * n;
                transpose(matrix, n, n, columns.get());
                run(static_cast<T*>(taus) + i * (n - 1), work.get(), length);
                transpose(columns.get(), n, n, matrix);
            }
        });
    });
}

extern "C" int32_t cv_tridiagonal(void* a, void* d, void* e, void* taus, int64_t type, int64_t count,
                                  int64_t n, int64_t lower) {
    if (count == 0 || n == 0) return kNoError;
    return with_type(type, [&]<typename T>() {
        const double cube = static_cast<double>(n) * n * n;
        return over_matrices(count, work_of(cube), [&](int64_t begin, int64_t end) {
            const Scratch<T> columns(n * n);
            const int size = static_cast<int>(n);
            const auto run = [&](Real<T>* on, Real<T>* off, T* scales, T* work, int length) {
                int info = 0;
                const Passage passage;
                g_lapack<T>.sytrd(lower != 0 ? "L" : "U", &size, columns.get(), &size, on, off, scales,
                                  work, &length, &info, 1);
            };
            T answer{};
            run(nullptr, nullptr, nullptr, &answer, -1);
            const int length = length_of(answer);
            const Scratch<T> work(length);
            for (int64_t i = begin; i < end; ++i) {
                T* matrix = static_cast<T*>(a) + i * n * n;
                transpose(matrix, n, n, columns.get());
                run(static_cast<Real<T>*>(d) + i * n, static_cast<Real<T>*>(e) + i * (n - 1),
                    static_cast<T*>(taus) + i * (n - 1), work.get(), length);
                transpose(columns.get(), n, n, matrix);
            }
        });
    });
}

extern "C" int32_t cv_tridiagonal_solve(const void* below, const void* diagonal, const void* above,
                                        void* b, int64_t type, int64_t count, int64_t n, int64_t m) {
    if (count == 0 || n == 0) return kNoError;
    return with_type(type, [&]<typename T>() {
        const double work = work_of(20.0 * static_cast<double>(n) * static_cast<double>(m + 2));
        return over_matrices(count, work, [&](int64_t begin, int64_t end) {
            const Scratch<T> own(4 * n);
            for (int64_t i = begin; i < end; ++i) {
                const void* bands[] = {below, diagonal, above};
                for (int64_t k = 0; k < 3; ++k) {
                    const T* from = static_cast<const T*>(bands[k]) + i * n;
                    std::copy(from, from + n, own.get() + k * n);
                }
                tridiagonal_solve(own.get(), own.get() + n, own.get() + 2 * n, own.get() + 3 * n,
                                  static_cast<T*>(b) + i * n * m, n, m);
            }
        });
    });
}

extern "C" int32_t cv_cholesky_update(const void* w, void* r, int64_t type, int64_t count, int64_t n) {
    if (count == 0 || n == 0) return kNoError;
    return with_type(type, [&]<typename T>() {
        const double work = work_of(20.0 * static_cast<double>(n) * n);
        return over_matrices(count, work, [&](int64_t begin, int64_t end) {
            const Scratch<T> vector(n);
            for (int64_t i = begin; i < end; ++i) {
                T* rows = static_cast<T*>(r) + i * n * n;
                const T* from = static_cast<const T*>(w) + i * n;
                for (int64_t k = 0; k < n; ++k) vector[k] = conjugate(from[k]);
                // A rotation for each row takes an element of the vector into the diagonal.
                for (int64_t k = 0; k < n; ++k) {
                    T* row = rows + k * n;
                    std::fill(row, row + k, T{0});
                    const Real<T> x = std::abs(row[k]), y = std::abs(vector[k]);
                    const Real<T> length = std::hypot(x, y);
                    if (length == 0) continue;
                    const T c = row[k] / length, s = vector[k] / length;
                    for (int64_t j = k; j < n; ++j) {
                        const T p = row[j], q = vector[j];
                        row[j] = conjugate(c) * p + conjugate(s) * q;
                        vector[j] = c * q - s * p;
                    }
                }
            }
        });
    });
}
