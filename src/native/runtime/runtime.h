// The runtime as a whole: memory, buffers, threads, the queue, executables, routines. It knows
// nothing of Python; whoever uses it starts it here.
#pragma once

#include "runtime/host.h"

namespace covector {

void runtime_start(const Host& host);  // once, before anything else

// The process ends. No task is begun any more, and nobody is in a library that gives its memory back
// now; a task that still runs needs neither, so the process does not wait for it.
void runtime_close();

}  // namespace covector
