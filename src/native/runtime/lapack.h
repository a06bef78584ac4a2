// LAPACK's routines in Fortran's calling convention, for the four types of matrices, and how many
// threads they may use.
#pragma once

#include <complex>
#include <cstddef>
#include <cstdint>
#include <mutex>

#include "runtime/gate.h"

namespace covector {

template <typename T>
struct RealOf {
    using Type = T;
};
template <typename R>
struct RealOf<std::complex<R>> {
    using Type = R;
};
template <typename T>
using Real = typename RealOf<T>::Type;

template <typename T>
constexpr bool kIsComplex = !std::is_same_v<T, Real<T>>;

// The addresses of one type's routines, null where the library has none. Fortran passes the lengths
// of strings behind all other arguments.
template <typename T>
struct Lapack {
    using R = Real<T>;
    using I = const int*;
    using S = const char*;
    void (*potrf)(S, I, T*, I, int*, size_t);
    void (*getrf)(I, I, T*, I, int*, int*);
    void (*trsm)(S, S, S, S, I, I, const T*, const T*, I, T*, I, size_t, size_t, size_t, size_t);
    void (*geqrf)(I, I, T*, I, T*, T*, I, int*);
    void (*orgqr)(I, I, I, T*, I, const T*, T*, I, int*);
    void (*ormqr)(S, S, I, I, I, const T*, I, const T*, T*, I, T*, I, int*, size_t, size_t);
    void (*gehrd)(I, I, I, T*, I, T*, T*, I, int*);
    void (*sytrd)(S, I, T*, I, R*, R*, T*, T*, I, int*, size_t);
    void (*trsyl)(S, S, I, I, I, const T*, I, const T*, I, T*, I, R*, int*, size_t, size_t);
    // Of reals alone:
    void (*lasdq)(S, I, I, I, I, I, R*, R*, T*, I, T*, I, T*, I, T*, int*, size_t);
    void (*sterf)(I, R*, R*, int*);
    // Those whose arguments depend on the type are called through functions of ours.
    void* geqp3;
    void* gesdd;
    void* syevd;
    void* geev;
    void* gees;
};

template <typename T>
inline Lapack<T> g_lapack{};

// Takes the address of a routine by LAPACK's name; false if it is not used.
bool set_lapack_routine(const char* name, uintptr_t address);
// Calls f with each name that `set_lapack_routine` takes.
void each_lapack_name(void (*f)(void* context, const char* name), void* context);

// While it lives, the library may use all threads of the pool for one large matrix, if nobody else
// does. The setting is the process's: at worst another thread's product is split, too.
class ManyThreads {
public:
    explicit ManyThreads(bool wanted);
    ~ManyThreads();
    ManyThreads(const ManyThreads&) = delete;
    ManyThreads& operator=(const ManyThreads&) = delete;

private:
    bool holds_ = false;
};

void set_thread_setter(void (*setter)(int));  // OpenBLAS's; null: it has no threads

}  // namespace covector
