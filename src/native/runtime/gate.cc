// The gate: a counter for each thread, as one for all would be fought over.
#include "runtime/gate.h"

#include <pthread.h>
#include <unistd.h>

#include <atomic>

#include "runtime/common.h"

namespace covector {
namespace {

constexpr int kSlots = 64;  // threads beyond share
constexpr useconds_t kPause = 50;

struct alignas(64) Slot {
    std::atomic<int> inside{0};
};

Slot g_slots[kSlots];
std::atomic<bool> g_shut{false};
std::atomic<int> g_next{0};
constinit thread_local int tls_slot = -1;

void reset_in_child() {
    for (Slot& slot : g_slots) slot.inside.store(0);
    gate_open();
}

}  // namespace

// The counter is raised before the gate is looked at, and `gate_shut` does it the other way round,
// so one of the two sees the other.
Passage::Passage() {
    if (CV_UNLIKELY(tls_slot < 0)) tls_slot = g_next.fetch_add(1) % kSlots;
    slot_ = tls_slot;
    std::atomic<int>& inside = g_slots[slot_].inside;
    inside.fetch_add(1);
    while (CV_UNLIKELY(g_shut.load())) {
        inside.fetch_sub(1);
        while (g_shut.load()) usleep(kPause);
        inside.fetch_add(1);
    }
}

Passage::~Passage() { g_slots[slot_].inside.fetch_sub(1, std::memory_order_release); }

void gate_shut() {
    g_shut.store(true);
    for (Slot& slot : g_slots) {
        while (slot.inside.load() != 0) usleep(kPause);
    }
}

void gate_open() { g_shut.store(false); }

void gate_init() { pthread_atfork(gate_shut, gate_open, reset_in_child); }

}  // namespace covector
