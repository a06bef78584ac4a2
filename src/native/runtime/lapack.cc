#include "runtime/lapack.h"

#include <cstring>
#include <string>

#include "runtime/pool.h"

namespace covector {

namespace {

void (*g_set_threads)(int) = nullptr;
std::mutex g_many;  // held by the thread whose matrix gets all threads

struct Slot {
    const char* real;
    const char* complex;  // null: there is none
    size_t offset;
};

// A routine has its slot at the same place for all types.
using Any = Lapack<float>;
constexpr Slot kSlots[] = {
    {"potrf", "potrf", offsetof(Any, potrf)}, {"getrf", "getrf", offsetof(Any, getrf)},
    {"trsm", "trsm", offsetof(Any, trsm)},    {"geqrf", "geqrf", offsetof(Any, geqrf)},
    {"orgqr", "ungqr", offsetof(Any, orgqr)}, {"ormqr", "unmqr", offsetof(Any, ormqr)},
    {"gehrd", "gehrd", offsetof(Any, gehrd)}, {"sytrd", "hetrd", offsetof(Any, sytrd)},
    {"trsyl", "trsyl", offsetof(Any, trsyl)}, {"geqp3", "geqp3", offsetof(Any, geqp3)},
    {"gesdd", "gesdd", offsetof(Any, gesdd)}, {"syevd", "heevd", offsetof(Any, syevd)},
    {"geev", "geev", offsetof(Any, geev)},    {"gees", "gees", offsetof(Any, gees)},
    {"lasdq", nullptr, offsetof(Any, lasdq)}, {"sterf", nullptr, offsetof(Any, sterf)},
};

struct Kind {
    char letter;
    bool complex;
    char* table;
};

const Kind kKinds[] = {
    {'s', false, reinterpret_cast<char*>(&g_lapack<float>)},
    {'d', false, reinterpret_cast<char*>(&g_lapack<double>)},
    {'c', true, reinterpret_cast<char*>(&g_lapack<std::complex<float>>)},
    {'z', true, reinterpret_cast<char*>(&g_lapack<std::complex<double>>)},
};

template <typename F>
void each(const F& f) {
    for (const Kind& kind : kKinds) {
        for (const Slot& slot : kSlots) {
            const char* name = kind.complex ? slot.complex : slot.real;
            if (name == nullptr) continue;
            f(kind.letter + std::string(name),
              reinterpret_cast<void**>(kind.table + slot.offset));
        }
    }
}

}  // namespace

bool set_lapack_routine(const char* name, uintptr_t address) {
    bool found = false;
    each([&](const std::string& known, void** slot) {
        if (known != name) return;
        *slot = reinterpret_cast<void*>(address);
        found = true;
    });
    return found;
}

void each_lapack_name(void (*f)(void* context, const char* name), void* context) {
    each([&](const std::string& name, void**) { f(context, name.c_str()); });
}

void set_thread_setter(void (*setter)(int)) { g_set_threads = setter; }

ManyThreads::ManyThreads(bool wanted) {
    if (!wanted || g_set_threads == nullptr || pool_size() < 2 || in_region()) return;
    if (!g_many.try_lock()) return;
    holds_ = true;
    g_set_threads(pool_size());
}

ManyThreads::~ManyThreads() {
    if (!holds_) return;
    g_set_threads(1);
    g_many.unlock();
}

}  // namespace covector
