// Executable: a compiled Program as a native function, and the one way to run it.
#pragma once

#include <atomic>
#include <cstdint>
#include <vector>

#include "python/array.h"
#include "runtime/common.h"

namespace covector {

using EntryFunction = int32_t (*)(void* const* buffers, const int64_t* dims, void* arena);

// The type of an operand or a result.
struct ValueType {
    int dtype = 0;
    bool weak = false;
    std::vector<int64_t> dims;
    int64_t size = 0;
    int64_t bytes = 0;

    int ndim() const { return static_cast<int>(dims.size()); }
    bool matches(const Array* array) const;
};

// Reference counted apart from its Python object: queued work holds it too.
struct Executable {
    EntryFunction entry = nullptr;
    std::vector<ValueType> inputs;
    std::vector<ValueType> outputs;
    std::vector<int> alias_of;  // for each output: the input whose memory it may take, or -1
    bool has_aliases = false;
    int64_t arena_bytes = 0;
    int64_t cost_ns = 0;
    PyObject* keepalive = nullptr;
    std::atomic<int32_t> refs{1};

    void ref() { refs.fetch_add(1, std::memory_order_relaxed); }
    void unref();
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
// null without an exception.
Buffer* task_operand(const Operand& operand, int64_t bytes);

// One call. The operands are borrowed; `results` receives a new reference for each output.
// `donors[i]`, if donors is not null, is the array that gives input i up, or null.
struct Call {
    Executable* executable;
    Operand* operands;
    Array** donors;
    Buffer** results;
    const ValueType* outputs;  // those of the executable, or of this call's sizes
    const int64_t* dims;
    int dim_count;
    int64_t cost_ns;
};

// Runs the call here, or queues it; false with an exception, and then nothing was given up but
// arrays whose memory was already overwritten.
bool launch(const Call& call);

// Checks donations before anything runs: an array may be donated once, and then not be passed
// twice. `arrays[i]` is the array of input i, or null for a scalar.
bool check_donations(Array* const* arrays, const bool* donated, int count);

// Whether a program of this cost had better be queued than run by its caller: beyond the threshold,
// or four times that if the queue's worker would have to be woken up.
bool is_worth_queueing(double cost_ns);
int64_t set_inline_threshold_ns(int64_t ns);  // the previous one

// Calls of at least this cost let other Python threads run meanwhile.
constexpr int64_t kKeepGilNs = 10'000;

}  // namespace covector
