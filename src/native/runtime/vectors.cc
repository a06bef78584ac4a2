#include "runtime/vectors.h"

#include <algorithm>
#include <atomic>

namespace covector {
namespace {

std::atomic<int> g_most{64};

int longest() {
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512vl")) {
        return 64;
    }
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return 32;
#endif
    return 16;
}

}  // namespace

int vector_bytes() {
    static const int has = longest();
    return std::min(has, g_most.load(std::memory_order_relaxed));
}

int set_vectors(int bytes) { return g_most.exchange(bytes); }

}  // namespace covector
