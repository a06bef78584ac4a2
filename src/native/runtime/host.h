// The program that the runtime lives in, as the runtime sees it: Python, or nothing in particular.
#pragma once

#include <cstdint>

namespace covector {

struct Host {
    // Around a wait or a long run: the host's other threads may go on.
    void* (*leave)() = [] { return static_cast<void*>(nullptr); };
    void (*enter)(void* state) = [](void*) {};
    // Whether a wait should end before its time; asked now and then, inside.
    bool (*interrupted)() = [] { return false; };
    // Whether that may ever be so of what this thread does.
    bool (*hears)() = [] { return false; };
    // Runs function number `index` of a table of the host's, on `count` values of which the first
    // are its operands and the others its results. Each value takes up words: a pointer to its
    // elements; its dtype (8 bits), whether it is weak (1), its rank (from bit 16 on); its shape.
    int32_t (*call_back)(const void* table, int64_t index, int64_t operands, int64_t count,
                         void* const* words) =
        [](const void*, int64_t, int64_t, int64_t, void* const*) { return int32_t{2}; };
};

extern Host g_host;

// Outside the host, for the length of a scope.
class Outside {
public:
    Outside() : state_(g_host.leave()) {}
    ~Outside() { g_host.enter(state_); }
    // Inside for a moment: whether what goes on here was interrupted.
    bool look() {
        g_host.enter(state_);
        const bool interrupted = g_host.interrupted();
        state_ = g_host.leave();
        return interrupted;
    }
    Outside(const Outside&) = delete;
    Outside& operator=(const Outside&) = delete;

private:
    void* state_;
};

// Something of the host's that must live as long as its use here; released from any thread.
struct Owner {
    void* object;
    void (*release)(void* object);

    void drop() const {
        if (object != nullptr) release(object);
    }
};

}  // namespace covector
