// Executable: a compiled Program as a native function, and the one way to run it.
#pragma once

#include <atomic>
#include <cstdint>
#include <vector>

#include "runtime/buffer.h"
#include "runtime/common.h"
#include "runtime/status.h"

// What compiled code calls: see Host::call_back.
extern "C" int32_t cv_callback(const void* table, int64_t index, int64_t operands, int64_t count,
                               void* const* words);

namespace covector {

using EntryFunction = int32_t (*)(void* const* buffers, const int64_t* dims, void* arena);

// The type of an operand or a result. The code of the dtype means nothing here.
struct ValueType {
    int dtype = 0;
    bool weak = false;
    std::vector<int64_t> dims;
    int64_t size = 0;
    int64_t bytes = 0;

    int ndim() const { return static_cast<int>(dims.size()); }
};

// Reference counted apart from the host's object: queued work holds it too.
struct Executable {
    EntryFunction entry = nullptr;
    std::vector<ValueType> inputs;
    std::vector<ValueType> outputs;
    std::vector<int> alias_of;  // for each output: the input whose memory it may take, or -1
    bool has_aliases = false;
    bool calls_back = false;    // to the host: runs on the thread of its caller, always
    bool repeats = false;       // as often as its data says: the cost is only guessed
    int64_t arena_bytes = 0;
    int64_t cost_ns = 0;
    std::atomic<int64_t> last_ns{INT64_MAX};  // what the last run took, if it repeats
    Owner keepalive{};          // of the code
    std::atomic<int32_t> refs{1};

    void ref() { refs.fetch_add(1, std::memory_order_relaxed); }
    void unref();

    // The entry; how long it took is noted where that depends on the data.
    int32_t run(void* const* pointers, const int64_t* dims, void* arena);
};

// An operand of a call: a buffer, or (buffer null) one element on the caller's stack.
struct Operand {
    Buffer* buffer;
    void* element;

    // Only once the buffer was seen to be ready: a queued run may set it late.
    void* data() const { return buffer != nullptr ? buffer->data : element; }
};

// Space for one element of any type.
struct alignas(64) Element {
    char bytes[16];
};

// The buffer of an operand, or a new one for an element on the stack: a reference for a task, or
// null if memory is exhausted.
Buffer* task_operand(const Operand& operand, int64_t bytes);

// One call. The operands are borrowed; `results` receives a new reference for each output.
// `donors[i]`, if donors is not null, is the place of the reference to input i that the call gives
// up, or null; what is given up is null there afterwards.
struct Call {
    Executable* executable;
    Operand* operands;
    Buffer*** donors;
    Buffer** results;
    const ValueType* outputs;  // those of the executable, or of this call's sizes
    const int64_t* dims;
    int dim_count;
    int64_t cost_ns;
};

// Runs the call here, or queues it. One that calls back is never queued: what it calls may wait for
// other work, which a task in the queue must not, and its errors go to its caller. If that fails, nothing was given up but buffers whose memory
// was already overwritten.
Status launch(const Call& call);

// Whether a program of this cost had better be queued than run by its caller: beyond the threshold,
// or four times that if the queue's worker would have to be woken up.
bool is_worth_queueing(double cost_ns);
int64_t set_inline_threshold_ns(int64_t ns);  // the previous one

// Calls of at least this cost run outside the host.
constexpr int64_t kStayInsideNs = 10'000;

}  // namespace covector
