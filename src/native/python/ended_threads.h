// Threads that the interpreter ends when it goes away: see ended_threads.cc.
#pragma once

namespace covector {

// From now on they stop where another library's frames would end the process.
void stop_ended_threads();

}  // namespace covector
