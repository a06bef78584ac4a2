// Ending compiled code whose loops go on for ever.
#include "runtime/stops.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "runtime/common.h"
#include "runtime/pool.h"

namespace covector {
namespace {

constexpr int64_t kGraceNs = 1'000'000'000;
constexpr int64_t kBetweenLooksNs = 100'000'000;
constexpr uint32_t kPollsOfClock = 64;  // a poll comes every few microseconds

constinit thread_local Run* tls_run = nullptr;
constinit thread_local uint32_t tls_polls = 0;

int64_t now_ns() {
    const auto now = std::chrono::steady_clock::now().time_since_epoch();
    return std::chrono::duration_cast<std::chrono::nanoseconds>(now).count();
}

// An address of this thread's own.
const void* this_thread() { return &tls_polls; }

}  // namespace

void QueuedRun::begin() { begun_ns_ = now_ns(); }

void QueuedRun::ask(int64_t request) {
    if (this->request() != 0) return;
    asked_ns_ = now_ns();
    request_.store(request, std::memory_order_release);
}

int32_t QueuedRun::poll() {
    if (CV_LIKELY(request() == 0)) return kNoError;
    return now_ns() - std::max(asked_ns_, begun_ns_) < kGraceNs ? kNoError : kStopped;
}

CallersRun::CallersRun(Outside& outside)
    : outside_(outside),
      hears_(g_host.hears()),
      thread_(this_thread()),
      next_look_ns_(hears_ ? now_ns() + kGraceNs : 0) {}

int32_t CallersRun::poll() {
    if (!hears_) return kNoError;
    if (CV_UNLIKELY(ended_.load(std::memory_order_relaxed))) return kInterrupted;
    if (CV_LIKELY(++tls_polls % kPollsOfClock != 0)) return kNoError;
    if (now_ns() < next_look_ns_.load(std::memory_order_relaxed)) return kNoError;
    if (this_thread() != thread_) {
        pool_wants_look();  // the caller may have nothing to do but wait for this thread
        return kNoError;
    }
    look();
    return ended_.load(std::memory_order_relaxed) ? kInterrupted : kNoError;
}

void CallersRun::look() {
    const int64_t now = now_ns();
    if (now < next_look_ns_.load(std::memory_order_relaxed)) return;
    next_look_ns_.store(now + kBetweenLooksNs, std::memory_order_relaxed);
    if (!ended_.load(std::memory_order_relaxed) && outside_.look()) {
        ended_.store(true, std::memory_order_relaxed);
    }
}

Run* current_run() { return tls_run; }
Run* set_current_run(Run* run) { return std::exchange(tls_run, run); }

}  // namespace covector

extern "C" int32_t cv_poll() {
    covector::Run* run = covector::current_run();
    return CV_LIKELY(run != nullptr) ? run->poll() : 0;
}
