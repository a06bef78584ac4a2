// Shared helpers: branch hints, and a pause in a loop that polls.
#pragma once

#include <cstddef>
#include <cstdint>

#define CV_LIKELY(x) __builtin_expect(!!(x), 1)
#define CV_UNLIKELY(x) __builtin_expect(!!(x), 0)
#define CV_NOINLINE __attribute__((noinline))

namespace covector {

inline void cpu_relax() {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
}

}  // namespace covector
