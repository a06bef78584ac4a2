// Threads of our own.
#pragma once

namespace covector {

// Starts a detached thread away from this one's processor; false if the system has none to give.
bool start_thread(void* (*run)(void*), void* argument);

// Marks this thread as one outside the host: what it releases is left to a thread inside. Returns
// the previous mark.
bool mark_outside(bool on);
bool is_outside();

}  // namespace covector
