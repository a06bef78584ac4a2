// The thread pool: one parallel region at a time, a static partition, workers that spin briefly.
// A caller never waits for a worker that has not begun.
#include "runtime/pool.h"

#include <pthread.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <mutex>
#include <new>

#include "runtime/affinity.h"
#include "runtime/common.h"
#include "runtime/stops.h"
#include "runtime/threads.h"

namespace covector {
namespace {

constexpr auto kSpin = std::chrono::microseconds(30);
constexpr int kMaxThreads = 512;
constexpr int32_t kLook = 1 << 30;  // in the number of pieces that remain

constinit thread_local bool tls_in_region = false;

// Polls for about 30 us; whether the value has changed.
template <typename Value>
bool spin_while_equal(const std::atomic<Value>& value, Value old) {
    const auto start = std::chrono::steady_clock::now();
    do {
        for (int i = 0; i < 32; ++i) {
            if (value.load(std::memory_order_acquire) != old) return true;
            cpu_relax();
        }
    } while (std::chrono::steady_clock::now() - start < kSpin);
    return false;
}

// A worker's piece of a region goes to whoever claims it first: the worker, or the caller, when it
// has done its own and the worker has not woken up or got a processor yet.
struct alignas(64) Worker {
    std::atomic<uint32_t> ticket{0};   // one up for each piece offered
    std::atomic<uint32_t> claimed{0};  // the last ticket that was taken
    int index = 0;
    struct Pool* pool = nullptr;
    Placement placement;

    uint32_t wait_for_ticket(uint32_t seen) {
        if (!spin_while_equal(ticket, seen)) {
            placement.set_asleep(true);
            ticket.wait(seen, std::memory_order_acquire);
            placement.set_asleep(false);
        }
        return ticket.load(std::memory_order_acquire);
    }
    void offer() {
        placement.before_wake();
        ticket.fetch_add(1, std::memory_order_release);
        ticket.notify_one();
    }
    bool claim(uint32_t offered) {
        uint32_t before = offered - 1;
        return claimed.compare_exchange_strong(before, offered, std::memory_order_acq_rel);
    }
};

struct Pool {
    int size = 1;
    bool started = false;
    std::mutex region;  // held by the thread whose region runs
    Worker* workers = nullptr;
    ParallelBody body = nullptr;
    void* context = nullptr;
    int64_t n = 0;
    int pieces = 0;
    Run* run = nullptr;
    alignas(64) std::atomic<int32_t> remaining{0};

    void run_piece(int piece) {
        tls_in_region = true;
        const int64_t share = n / pieces;
        const int64_t extra = n % pieces;
        const int64_t begin = piece * share + std::min<int64_t>(piece, extra);
        body(context, begin, begin + share + (piece < extra ? 1 : 0));
        tls_in_region = false;
    }
};

int wanted_threads() {
    if (const char* text = std::getenv("COVECTOR_NUM_THREADS")) {
        const long value = std::strtol(text, nullptr, 10);
        if (value > 0) return static_cast<int>(std::min<long>(value, kMaxThreads));
    }
    return std::min(allowed_cpus(), kMaxThreads);
}

Pool* make_pool() {
    Pool* made = new Pool;
    made->size = wanted_threads();
    return made;
}

// Replaced after a fork: the child has none of the threads, and may have a held lock.
Pool* g_pool = nullptr;

void* worker_main(void* argument) {
    auto* worker = static_cast<Worker*>(argument);
    mark_outside(true);
    worker->placement.enter();
    uint32_t seen = 0;
    for (;;) {
        const uint32_t before = seen;
        seen = worker->wait_for_ticket(before);
        if (seen == before) continue;
        if (!worker->claim(seen)) continue;
        {
            const InRun in_run(worker->pool->run);
            worker->pool->run_piece(worker->index);
        }
        // The region, and with it the caller's data, may be gone after the last decrement; the
        // counter itself belongs to the pool.
        if ((worker->pool->remaining.fetch_sub(1, std::memory_order_acq_rel) & ~kLook) == 1) {
            worker->pool->remaining.notify_one();
        }
    }
    return nullptr;
}

// Starts the workers; a system that refuses threads gets a smaller pool.
CV_NOINLINE void start(Pool* pool) {
    pool->started = true;
    pool->workers = new (std::nothrow) Worker[static_cast<size_t>(pool->size)];
    if (pool->workers == nullptr) {
        pool->size = 1;
        return;
    }
    for (int i = 1; i < pool->size; ++i) {
        pool->workers[i].index = i;
        pool->workers[i].pool = pool;
        if (!start_thread(worker_main, &pool->workers[i])) {
            pool->size = i;
            break;
        }
    }
}

}  // namespace

int pool_size() { return g_pool->size; }

bool in_region() { return tls_in_region; }

void pool_wants_look() {
    g_pool->remaining.fetch_or(kLook, std::memory_order_acq_rel);
    g_pool->remaining.notify_one();
}

void pool_init() {
    g_pool = make_pool();
    pthread_atfork(nullptr, nullptr, [] {
        g_pool = make_pool();
        tls_in_region = false;
    });
}

}  // namespace covector

extern "C" void cv_parallel_for(ParallelBody body, void* context, int64_t n, int64_t grain) {
    using namespace covector;
    if (n <= 0) return;
    Pool* pool = g_pool;
    const int64_t most = n / std::max<int64_t>(grain, 1);
    if (most < 2 || tls_in_region || pool->size < 2 || !pool->region.try_lock()) {
        return body(context, 0, n);
    }
    if (CV_UNLIKELY(!pool->started)) start(pool);
    const int pieces = static_cast<int>(std::min<int64_t>(pool->size, most));
    pool->body = body;
    pool->context = context;
    pool->n = n;
    pool->pieces = pieces;
    pool->run = current_run();
    pool->remaining.store(pieces - 1, std::memory_order_relaxed);
    for (int i = 1; i < pieces; ++i) {
        pool->workers[i].offer();
    }
    pool->run_piece(0);
    for (int i = pieces - 1; i > 0; --i) {
        Worker& worker = pool->workers[i];
        if (!worker.claim(worker.ticket.load(std::memory_order_relaxed))) continue;
        pool->run_piece(i);
        pool->remaining.fetch_sub(1, std::memory_order_acq_rel);
    }
    for (int32_t left; (left = pool->remaining.load(std::memory_order_acquire)) != 0;) {
        if (CV_UNLIKELY((left & kLook) != 0)) {
            pool->remaining.fetch_and(~kLook, std::memory_order_acq_rel);
            pool->run->look();
            continue;
        }
        if (spin_while_equal(pool->remaining, left)) continue;
        pool->remaining.wait(left, std::memory_order_acquire);
    }
    pool->region.unlock();
}
