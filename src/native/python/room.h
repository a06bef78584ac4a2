// Room on the stack for functions that are called inside of each other, as deep as users nest them.
#pragma once

#include <cstdint>

#include "python/objects.h"

namespace covector {

// What a call takes of Python's frames, at most, until it asks for room again.
constexpr int kFramesOfCall = 500;

// Below this address the machine's stack of this thread is short; at first all of it is.
extern constinit thread_local uintptr_t tls_short_stack;

inline bool has_room() {
    const PyThreadState* thread = PyThreadState_Get();
#if PY_VERSION_HEX >= 0x030C0000
    const bool frames = thread->py_recursion_remaining >= kFramesOfCall &&
                        thread->c_recursion_remaining >= kFramesOfCall;
#else
    const bool frames = thread->recursion_remaining >= kFramesOfCall;
#endif
    const auto here = reinterpret_cast<uintptr_t>(__builtin_frame_address(0));
    return CV_LIKELY(frames && here >= tls_short_stack);
}

// How many of Python's frames there may be on the stack, in its own limits of them, which the user can set.
constexpr long kTimesOfUsers = 20;  // where users' functions call ours, which may have no end
constexpr long kTimesOfOurs = 64;   // where we go through Programs, which have one

// A call with more of Python's frames than are left, and a stack to hold them.
CV_NOINLINE PyObject* call_with_more(PyObject* fun, PyObject* const* args, size_t flags,
                                     PyObject* names, long times);

// Calls a function of ours, as a user does, that has room for `kFramesOfCall` frames.
inline PyObject* call_with_room(PyObject* fun, PyObject* const* args, size_t flags,
                                PyObject* names) {
    return has_room() ? PyObject_Vectorcall(fun, args, flags, names)
                      : call_with_more(fun, args, flags, names, kTimesOfUsers);
}

bool room_init(PyObject* module);

}  // namespace covector
