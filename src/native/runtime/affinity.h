// Placement of worker threads: away from the processor of the thread that wakes them.
//
// Linux likes to wake a thread on its waker's processor. For a worker that is wrong: the waker goes
// on computing, and the worker waits behind it for milliseconds while another processor idles. On
// two processors, 92-98 % of the parallel regions that followed a pause of 1 ms ran serially.
#pragma once

#include <pthread.h>

#include <atomic>

namespace covector {

int allowed_cpus();  // the number of processors this process may use

class Placement {
public:
    // In the worker, first of all.
    void enter();
    // Around a sleep of the worker.
    void set_asleep(bool asleep) { asleep_.store(asleep, std::memory_order_relaxed); }
    bool is_asleep() const { return asleep_.load(std::memory_order_relaxed); }
    // In the thread that is about to wake it.
    void before_wake() {
        if (is_asleep()) move_off_this_cpu();
    }
    // Makes a new thread start elsewhere than here.
    static void set_start(pthread_attr_t* attributes);

private:
    void move_off_this_cpu();

    std::atomic<int> thread_{0};
    std::atomic<int> avoided_{-1};
    std::atomic<bool> asleep_{false};
};

}  // namespace covector
