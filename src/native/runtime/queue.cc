// The execution queue.
//
// Tasks run one at a time, in order. Mostly the worker runs them; a thread that waits for a result
// runs short ones that the worker has not begun, which spares it the time that waking the worker
// takes (25-50 us on a virtual machine). Long ones it leaves to the worker: while it computes it
// does not hear Ctrl-C.
#include "runtime/queue.h"

#include <pthread.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <unordered_set>
#include <vector>

#include "runtime/affinity.h"
#include "runtime/common.h"
#include "runtime/threads.h"

namespace covector {
namespace {

constexpr int64_t kDepth = 64;
constexpr auto kSpin = std::chrono::microseconds(50);
constexpr auto kWaitSlice = std::chrono::milliseconds(100);  // then the host is asked for Ctrl-C
constexpr int64_t kMostHelpNs = 20'000'000;  // of a task that a thread runs while it waits

std::atomic<uint64_t> g_threads{0};

// A number of this thread's own; 0 means none.
uint64_t this_thread() {
    thread_local const uint64_t number = g_threads.fetch_add(1, std::memory_order_relaxed) + 1;
    return number;
}

struct Queue {
    std::mutex mutex;
    std::condition_variable work;  // for the worker
    std::condition_variable done;  // for those who wait for a result, or for room
    std::deque<Task*> tasks;
    Task* running = nullptr;       // by the worker or by a thread that waits
    bool busy = false;             // until what the running task held is released too
    bool started = false;
    bool closed = false;           // nothing more is begun
    Placement placement;
    std::atomic<int64_t> queued{0};    // tasks not finished yet
    std::atomic<int64_t> finished{0};  // since the start
    int64_t requests = 0;   // to stop tasks
    int64_t fulfilled = 0;  // the last request by which one was stopped
};

Queue* g_queue = nullptr;  // replaced after a fork
std::atomic<bool> g_async{true};

void finish(Task* task, int32_t error) {
    for (int i = 0; i < task->output_count; ++i) {
        Buffer* output = task->outputs[i];
        output->error = error;
        output->state.store(error == 0 ? kReady : kFailed, std::memory_order_release);
    }
}

void release(Task* task) {
    for (int i = 0; i < task->input_count; ++i) buffer_unref(task->inputs[i], kTaskRef);
    for (int i = 0; i < task->output_count; ++i) buffer_unref(task->outputs[i], kTaskRef);
    delete task;
}

int32_t failed_input(const Task* task) {
    for (int i = 0; i < task->input_count; ++i) {
        const Buffer* input = task->inputs[i];
        if (input->state.load(std::memory_order_acquire) == kFailed) return input->error;
    }
    return 0;
}

// The next task, if none is running; for a thread that waits, only one that is short for sure. Called with
// the mutex held.
Task* take(Queue* queue, bool for_worker) {
    if (queue->busy || queue->closed || queue->tasks.empty()) return nullptr;
    const Task* next = queue->tasks.front();
    if (!for_worker && (next->repeats || next->cost_ns > kMostHelpNs)) return nullptr;
    queue->busy = true;
    queue->running = queue->tasks.front();
    queue->tasks.pop_front();
    return queue->running;
}

// What comes of a task. After one that had to be stopped, those that the same request was for do not begin.
int32_t outcome(const Queue* queue, Task* task) {
    if (const int32_t error = failed_input(task)) return error;
    const int64_t request = task->run_record.request();
    if (request != 0 && request == queue->fulfilled) return kStopped;
    task->run_record.begin();
    const InRun in_run(&task->run_record);
    return task->run();
}

// Runs a task that was taken; outside the host.
void run(Queue* queue, Task* task) {
    const int32_t error = outcome(queue, task);
    {
        std::lock_guard<std::mutex> lock(queue->mutex);
        if (error == kStopped) queue->fulfilled = task->run_record.request();
        finish(task, error);
        queue->running = nullptr;
    }
    queue->done.notify_all();
    release(task);  // before the next one begins: what this one needed no more serves that one
    bool more;
    {
        std::lock_guard<std::mutex> lock(queue->mutex);
        queue->busy = false;
        more = !queue->tasks.empty();
        queue->queued.fetch_sub(1, std::memory_order_acq_rel);
        queue->finished.fetch_add(1, std::memory_order_acq_rel);
    }
    if (more) queue->work.notify_one();
    queue->done.notify_all();
}

// Runs the next task here, if none is running and it is short. What it releases of the host's is left to
// a thread inside.
bool help(Queue* queue) {
    Task* task;
    {
        std::lock_guard<std::mutex> lock(queue->mutex);
        task = take(queue, false);
    }
    if (task == nullptr) return false;
    const bool before = mark_outside(true);
    run(queue, task);
    mark_outside(before);
    return true;
}

// The next task; spins for a moment before it sleeps, as the next call is often on its way.
Task* next_task(Queue* queue) {
    const auto start = std::chrono::steady_clock::now();
    while (queue->queued.load(std::memory_order_acquire) == 0 &&
           std::chrono::steady_clock::now() - start < kSpin) {
        for (int i = 0; i < 16; ++i) cpu_relax();
    }
    std::unique_lock<std::mutex> lock(queue->mutex);
    Task* task = take(queue, true);
    if (task != nullptr) return task;
    queue->placement.set_asleep(true);
    queue->work.wait(lock, [&] { return (task = take(queue, true)) != nullptr; });
    queue->placement.set_asleep(false);
    return task;
}

void* worker_main(void* argument) {
    auto* queue = static_cast<Queue*>(argument);
    mark_outside(true);
    queue->placement.enter();
    for (;;) run(queue, next_task(queue));
    return nullptr;
}

// Called with the mutex held.
bool start(Queue* queue) {
    queue->started = start_thread(worker_main, queue);
    return queue->started;
}

// In the child: what was queued at the moment of the fork will never run.
void after_fork_in_child() {
    Queue* old = g_queue;
    g_queue = new Queue;
    if (old->running != nullptr) finish(old->running, kLostInFork);
    for (Task* task : old->tasks) finish(task, kLostInFork);
}

}  // namespace

Status queue_push(Task* task) {
    Queue* queue = g_queue;
    task->thread = this_thread();
    {
        std::unique_lock<std::mutex> lock(queue->mutex);
        if (!queue->started && !start(queue)) {
            lock.unlock();
            finish(task, kOutOfMemory);
            release(task);
            return {kNoThread};
        }
        queue->tasks.push_back(task);
        queue->queued.fetch_add(1, std::memory_order_release);
    }
    queue->placement.before_wake();
    queue->work.notify_one();
    return {};
}

void queue_stop(const Buffer* buffer) {
    Queue* queue = g_queue;
    const uint64_t thread = this_thread();
    std::lock_guard<std::mutex> lock(queue->mutex);
    std::vector<Task*> tasks(queue->tasks.rbegin(), queue->tasks.rend());  // the last one first
    if (queue->running != nullptr) tasks.push_back(queue->running);
    std::unordered_set<const Buffer*> needed{buffer};
    const auto is_needed = [&](const Task* task) {
        return std::any_of(task->outputs, task->outputs + task->output_count,
                           [&](const Buffer* output) { return needed.count(output) != 0; });
    };
    bool before = buffer == nullptr;  // whether the task stands before the one that was waited for
    ++queue->requests;
    for (Task* task : tasks) {
        const bool wanted = is_needed(task);
        before |= wanted;
        if (wanted) needed.insert(task->inputs, task->inputs + task->input_count);
        if (task->repeats && (wanted || (before && task->thread == thread))) {
            task->run_record.ask(queue->requests);
        }
    }
}

bool queue_is_full() { return g_queue->queued.load(std::memory_order_relaxed) > kDepth; }

Status queue_wait_for_room() {
    Queue* queue = g_queue;
    for (;;) {
        bool room;
        {
            const Outside outside;
            std::unique_lock<std::mutex> lock(queue->mutex);
            room = queue->done.wait_for(lock, kWaitSlice, [&] {
                return queue->queued.load(std::memory_order_relaxed) <= kDepth / 2;
            });
        }
        if (g_host.interrupted()) {
            queue_stop(nullptr);
            return {kInterrupted};
        }
        if (room) return {};
    }
}

void queue_wait_for(Buffer* buffer) {
    Queue* queue = g_queue;
    if (help(queue)) return;
    const auto start = std::chrono::steady_clock::now();
    while (std::chrono::steady_clock::now() - start < kSpin) {
        for (int i = 0; i < 16; ++i) cpu_relax();
        if (!buffer_is_pending(buffer)) return;
    }
    std::unique_lock<std::mutex> lock(queue->mutex);
    queue->done.wait_for(lock, kWaitSlice, [&] { return !buffer_is_pending(buffer); });
}

Status queue_synchronize() {
    Queue* queue = g_queue;
    int64_t last;  // not until the queue is empty: other threads may push without end
    {
        std::lock_guard<std::mutex> lock(queue->mutex);
        last = queue->finished.load() + queue->queued.load();
    }
    const auto done = [&] { return queue->finished.load(std::memory_order_acquire) >= last; };
    while (!done()) {
        {
            const Outside outside;
            if (!help(queue)) {
                std::unique_lock<std::mutex> lock(queue->mutex);
                queue->done.wait_for(lock, kWaitSlice, done);
            }
        }
        if (g_host.interrupted()) {
            queue_stop(nullptr);
            return {kInterrupted};
        }
    }
    return {};
}

void queue_settle() {
    Queue* queue = g_queue;
    const Outside outside;
    std::unique_lock<std::mutex> lock(queue->mutex);
    queue->done.wait(lock, [&] { return !queue->busy || queue->running != nullptr; });
}

void queue_close() {
    std::lock_guard<std::mutex> lock(g_queue->mutex);
    g_queue->closed = true;
}

bool queue_is_awake() { return g_queue->started && !g_queue->placement.is_asleep(); }

bool set_async(bool enabled) { return g_async.exchange(enabled); }
bool async_enabled() { return g_async.load(std::memory_order_relaxed); }

void queue_init() {
    g_queue = new Queue;
    pthread_atfork([] { g_queue->mutex.lock(); }, [] { g_queue->mutex.unlock(); },
                   after_fork_in_child);
}

}  // namespace covector
