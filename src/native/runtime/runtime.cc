// Starting and closing the runtime.
#include "runtime/runtime.h"

#include "runtime/allocator.h"
#include "runtime/gate.h"
#include "runtime/pool.h"
#include "runtime/queue.h"

namespace covector {

Host g_host;

void runtime_start(const Host& host) {
    g_host = host;
    allocator_init();
    pool_init();
    queue_init();
    gate_init();
}

void runtime_close() {
    queue_close();
    gate_shut();
}

}  // namespace covector
