// What came of a call to the runtime: nothing bad, or an error number.
#pragma once

#include <cstdint>

namespace covector {

// Numbers above 0 are what compiled code returns; those below are the runtime's own.
enum Error : int32_t {
    kNoError = 0,
    kOutOfMemory = 1,   // compiled code found no scratch memory
    kCallbackFailed = 2,  // a function of the host's, which knows why
    kForeignFailed = 3,   // a handler of the FFI, as `take_foreign_failure` tells
    kStopped = 4,         // it was asked to stop, and would not end by itself
    kUsersRoutine = 1 << 30,  // and above: a user's routine returned what is below this bit
    kLostInFork = -1,   // it was queued when the process forked
    kUnloaded = -2,     // the compiled code is gone
    kNoRoom = -3,       // no memory for an array
    kNoThread = -4,     // the queue's thread cannot be started
    kInterrupted = -5,  // the host wants the wait to end
};

struct [[nodiscard]] Status {
    int32_t error = kNoError;
    int64_t bytes = 0;  // that could not be had

    bool ok() const { return error == kNoError; }
};

}  // namespace covector
