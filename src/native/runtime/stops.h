// Ending compiled code whose loops go on for ever: they ask now and then whether they are to stop.
//
// What goes on for less than a second after it was asked to, or began, is let finish: its results, and
// what was donated to it, are not lost.
#pragma once

#include <atomic>
#include <cstdint>

#include "runtime/host.h"
#include "runtime/status.h"

// What loops of compiled code ask: 0, or the status with which the run has to end.
extern "C" int32_t cv_poll();

namespace covector {

// A run of compiled code. Its loops ask it on all threads that it runs on.
class Run {
public:
    Run() = default;
    Run(const Run&) = delete;
    Run& operator=(const Run&) = delete;
    virtual ~Run() = default;

    virtual int32_t poll() = 0;
    // For the thread on which it began, when it waits for other threads: see `pool_wants_look`.
    virtual void look() {}
};

// A run that others ask to stop.
class QueuedRun final : public Run {
public:
    void begin();
    void ask(int64_t request);  // requests are numbered; the first one counts
    int64_t request() const { return request_.load(std::memory_order_acquire); }  // 0: none
    int32_t poll() override;

private:
    std::atomic<int64_t> request_{0};
    int64_t asked_ns_ = 0;
    int64_t begun_ns_ = 0;
};

// A run on the thread of its caller, outside the host, which it asks itself whether it was interrupted.
class CallersRun final : public Run {
public:
    explicit CallersRun(Outside& outside);
    int32_t poll() override;
    void look() override;

private:
    Outside& outside_;
    const bool hears_;          // whether interrupts come to this thread
    const void* const thread_;  // where it began
    std::atomic<bool> ended_{false};
    std::atomic<int64_t> next_look_ns_;
};

// The run that this thread works for, or null; what it was before.
Run* current_run();
Run* set_current_run(Run* run);

// In a run, for the length of a scope.
class InRun {
public:
    explicit InRun(Run* run) : before_(set_current_run(run)) {}
    ~InRun() { set_current_run(before_); }
    InRun(const InRun&) = delete;
    InRun& operator=(const InRun&) = delete;

private:
    Run* before_;
};

}  // namespace covector
