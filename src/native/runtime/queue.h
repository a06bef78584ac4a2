// The execution queue: native functions that run one after the other, in the order of the calls.
#pragma once

#include <cstdint>

#include "runtime/buffer.h"
#include "runtime/status.h"
#include "runtime/stops.h"

namespace covector {

// Work with the buffers it reads and writes. The task owns a reference of weight kTaskRef to each.
struct Task {
    int64_t cost_ns = 0;
    Buffer** inputs = nullptr;
    int input_count = 0;
    Buffer** outputs = nullptr;
    int output_count = 0;
    bool repeats = false;   // as often as its data says: it may have to be stopped
    uint64_t thread = 0;    // that queued it
    QueuedRun run_record;

    Task() = default;
    Task(const Task&) = delete;
    Task& operator=(const Task&) = delete;
    virtual ~Task() = default;
    virtual int32_t run() = 0;  // 0 or an error number; outside the host
};

// Takes the task; its outputs must be pending. If the worker cannot be started the task is deleted.
Status queue_push(Task* task);

// For a wait that was interrupted: stops what the buffer needs, or all if it is null, and what this thread has
// queued before; of these, the tasks that repeat.
void queue_stop(const Buffer* buffer);

// To be asked before anything is given up for a call: while the queue is full its caller waits,
// and a wait may end with Ctrl-C.
bool queue_is_full();
Status queue_wait_for_room();

// Waits about 100 ms at most, or runs a short task on the way; outside the host.
void queue_wait_for(Buffer* buffer);
bool queue_is_awake();                // the worker runs or spins
Status queue_synchronize();           // waits until what is queued now is done
void queue_settle();                  // waits until the memory that a finished task held is free
void queue_close();                   // nothing more is begun: the process ends
bool set_async(bool enabled);         // the previous setting
bool async_enabled();
void queue_init();                    // registers the fork handlers; once

}  // namespace covector
