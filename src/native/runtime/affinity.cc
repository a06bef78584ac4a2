// Placement of worker threads.
#include "runtime/affinity.h"

#if defined(__linux__)
#include <sched.h>
#include <sys/syscall.h>
#endif
#include <unistd.h>

#include <algorithm>

namespace covector {

#if defined(__linux__)

namespace {

// What the process was allowed when the module was first used; a CPU set holds 1024 processors.
const cpu_set_t& allowed_set() {
    static const cpu_set_t set = [] {
        cpu_set_t made;
        CPU_ZERO(&made);
        if (sched_getaffinity(0, sizeof made, &made) != 0) CPU_ZERO(&made);
        return made;
    }();
    return set;
}

// The allowed processors without one; false if none would be left.
bool without(int cpu, cpu_set_t* set) {
    *set = allowed_set();
    if (cpu < 0 || cpu >= CPU_SETSIZE || !CPU_ISSET(cpu, set)) return false;
    CPU_CLR(cpu, set);
    return CPU_COUNT(set) > 0;
}

}  // namespace

int allowed_cpus() {
    const int count = CPU_COUNT(&allowed_set());
    return count > 0 ? count : std::max(1, static_cast<int>(sysconf(_SC_NPROCESSORS_ONLN)));
}

void Placement::enter() {
    thread_.store(static_cast<int>(syscall(SYS_gettid)), std::memory_order_relaxed);
}

void Placement::move_off_this_cpu() {
    const int cpu = sched_getcpu();
    const int thread = thread_.load(std::memory_order_relaxed);
    if (cpu == avoided_.load(std::memory_order_relaxed) || thread == 0) return;
    cpu_set_t set;
    if (without(cpu, &set)) sched_setaffinity(thread, sizeof set, &set);
    avoided_.store(cpu, std::memory_order_relaxed);
}

void Placement::set_start(pthread_attr_t* attributes) {
    cpu_set_t set;
    if (without(sched_getcpu(), &set)) pthread_attr_setaffinity_np(attributes, sizeof set, &set);
}

#else

int allowed_cpus() { return std::max(1, static_cast<int>(sysconf(_SC_NPROCESSORS_ONLN))); }
void Placement::enter() {}
void Placement::move_off_this_cpu() {}
void Placement::set_start(pthread_attr_t*) {}

#endif

}  // namespace covector
