// The program that the runtime lives in, as the runtime sees it: Python, or nothing in particular.
#pragma once

namespace covector {

struct Host {
    // Around a wait or a long run: the host's other threads may go on.
    void* (*leave)() = [] { return static_cast<void*>(nullptr); };
    void (*enter)(void* state) = [](void*) {};
    // Whether a wait should end before its time; asked now and then, inside.
    bool (*interrupted)() = [] { return false; };
};

extern Host g_host;

// Outside the host, for the length of a scope.
class Outside {
public:
    Outside() : state_(g_host.leave()) {}
    ~Outside() { g_host.enter(state_); }
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
