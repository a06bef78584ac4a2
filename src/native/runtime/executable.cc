// Executable: running on the calling thread or in the queue, donation, errors.
#include "runtime/executable.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <new>
#include <utility>

#include "runtime/queue.h"
#include "runtime/stops.h"

namespace covector {
namespace {

std::atomic<int64_t> g_inline_threshold{50'000};

// Scratch memory for one run.
class Arena {
public:
    explicit Arena(int64_t bytes) {
        if (bytes > 0) memory_ = memory_alloc(bytes, &capacity_);
    }
    ~Arena() {
        if (memory_ != nullptr) memory_free(memory_, capacity_);
    }
    Arena(const Arena&) = delete;
    Arena& operator=(const Arena&) = delete;
    void* get() const { return memory_; }

private:
    void* memory_ = nullptr;
    int64_t capacity_ = 0;
};

// A queued run. Results get their memory when it begins; one in donated memory when it ends, as
// the donor's header may still be waited for by a queued run before this one.
struct QueuedCall final : Task {
    Executable* executable = nullptr;
    std::vector<Buffer*> buffers;       // the inputs, then the outputs
    std::vector<void*> pointers;        // room for as many
    std::vector<int> memory_of;         // for each output: the input whose memory it takes, or -1
    std::vector<int64_t> dims;

    ~QueuedCall() override { executable->unref(); }

    int32_t run() override {
        const size_t count = buffers.size();
        const auto input_total = static_cast<size_t>(input_count);
        for (size_t o = 0; o < memory_of.size(); ++o) {
            if (memory_of[o] < 0 && !buffer_obtain(buffers[input_total + o])) return kNoRoom;
        }
        for (size_t i = 0; i < count; ++i) pointers[i] = buffers[i]->data;
        for (size_t i = 0; i < memory_of.size(); ++i) {
            if (memory_of[i] < 0) continue;
            pointers[input_total + i] = pointers[static_cast<size_t>(memory_of[i])];
        }
        const Arena arena(executable->arena_bytes);
        if (executable->arena_bytes > 0 && arena.get() == nullptr) return kOutOfMemory;
        const int32_t error = executable->run(pointers.data(), dims.data(), arena.get());
        if (error != 0) return error;
        for (size_t i = 0; i < memory_of.size(); ++i) {
            if (memory_of[i] < 0) continue;
            buffer_take_memory(buffers[input_total + i],
                               buffers[static_cast<size_t>(memory_of[i])]);
        }
        return 0;
    }
};

// The input whose memory output `o` may take over in this call, or -1.
int usable_alias(const Call& call, int o, bool queued) {
    const int input = call.executable->alias_of[static_cast<size_t>(o)];
    if (input < 0 || call.donors == nullptr || call.donors[input] == nullptr) return -1;
    const Buffer* buffer = call.operands[input].buffer;
    if (buffer == nullptr || buffer->bytes != call.outputs[o].bytes) return -1;
    if (*call.donors[input] != buffer) return -1;  // deleted while this call waited
    return (queued ? buffer_will_be_unique(buffer) : buffer_is_unique(buffer)) ? input : -1;
}

// A bad compiler might give two outputs the same memory; the first one gets it.
bool already_taken(const int* taken, int o, int input) {
    for (int i = 0; i < o; ++i) {
        if (taken[i] == input) return true;
    }
    return false;
}

void drop_results(const Call& call, int count) {
    for (int i = 0; i < count; ++i) buffer_unref(call.results[i]);
}

// Before anything ran: results in donated memory leave it to its array, which stays.
void undo_results(const Call& call, const int* taken, int count) {
    for (int i = 0; i < count && call.executable->has_aliases; ++i) {
        if (taken[i] >= 0) buffer_ref(call.results[i]);
    }
    drop_results(call, count);
}

void give_up_donors(const Call& call) {
    if (call.donors == nullptr) return;
    const size_t count = call.executable->inputs.size();
    for (size_t i = 0; i < count; ++i) {
        Buffer** donor = call.donors[i];
        if (donor != nullptr && *donor != nullptr) buffer_unref(std::exchange(*donor, nullptr));
    }
}

// Runs outside the host: other threads may drop the operands' arrays meanwhile.
int32_t run_released(const Call& call, void* const* pointers, void* arena) {
    const size_t count = call.executable->inputs.size();
    for (size_t i = 0; i < count; ++i) {
        if (call.operands[i].buffer != nullptr) buffer_ref(call.operands[i].buffer);
    }
    int32_t error;
    {
        Outside outside;
        if (call.executable->repeats) {
            CallersRun run(outside);
            const InRun in_run(&run);
            error = call.executable->run(pointers, call.dims, arena);
        } else {
            error = call.executable->run(pointers, call.dims, arena);
        }
    }
    for (size_t i = 0; i < count; ++i) {
        if (call.operands[i].buffer != nullptr) buffer_unref(call.operands[i].buffer);
    }
    return error;
}

Status run_inline(const Call& call, void** pointers, int* taken) {
    Executable* executable = call.executable;
    const int inputs = static_cast<int>(executable->inputs.size());
    const int outputs = static_cast<int>(executable->outputs.size());
    for (int i = 0; i < inputs; ++i) pointers[i] = call.operands[i].data();
    for (int o = 0; o < outputs; ++o) {
        int alias = -1;
        if (CV_UNLIKELY(executable->has_aliases)) {
            alias = usable_alias(call, o, false);
            if (alias >= 0 && already_taken(taken, o, alias)) alias = -1;
            taken[o] = alias;
        }
        if (alias >= 0) {
            call.results[o] = call.operands[alias].buffer;
        } else {
            call.results[o] = buffer_new(call.outputs[o].bytes);
            if (CV_UNLIKELY(call.results[o] == nullptr)) {
                undo_results(call, taken, o);
                return {kNoRoom, call.outputs[o].bytes};
            }
        }
        pointers[inputs + o] = call.results[o]->data;
    }
    const Arena arena(executable->arena_bytes);
    if (CV_UNLIKELY(executable->arena_bytes > 0 && arena.get() == nullptr)) {
        undo_results(call, taken, outputs);
        return {kOutOfMemory, executable->arena_bytes};
    }
    if (CV_UNLIKELY(executable->has_aliases)) {
        for (int o = 0; o < outputs; ++o) {  // the donor's reference becomes the result's
            if (taken[o] >= 0) *call.donors[taken[o]] = nullptr;
        }
    }
    int32_t error = 0;
    if (CV_LIKELY(call.cost_ns < kStayInsideNs && !executable->repeats)) {
        error = executable->entry(pointers, call.dims, arena.get());
    } else {
        error = run_released(call, pointers, arena.get());
    }
    if (CV_UNLIKELY(error != 0)) {
        drop_results(call, outputs);
        return {error, error == kOutOfMemory ? executable->arena_bytes : 0};
    }
    give_up_donors(call);
    return {};
}

// A loop may go on for ever: one that nobody has seen end is not for the thread that calls, which has to hear Ctrl-C.
int64_t expected_ns(const Call& call) {
    if (CV_LIKELY(!call.executable->repeats)) return call.cost_ns;
    return std::max(call.cost_ns, call.executable->last_ns.load(std::memory_order_relaxed));
}

void discard(QueuedCall* task) {
    for (Buffer* buffer : task->buffers) buffer_unref(buffer, kTaskRef);
    delete task;
}

Status enqueue(const Call& call) {
    Executable* executable = call.executable;
    const size_t inputs = executable->inputs.size();
    const size_t outputs = executable->outputs.size();
    auto* task = new QueuedCall;
    executable->ref();
    task->executable = executable;
    task->cost_ns = expected_ns(call);
    task->repeats = executable->repeats;
    task->buffers.reserve(inputs + outputs);
    task->pointers.resize(inputs + outputs);
    task->memory_of.assign(outputs, -1);
    task->dims.assign(call.dims, call.dims + call.dim_count);
    for (size_t o = 0; o < outputs && executable->has_aliases; ++o) {
        const int input = usable_alias(call, static_cast<int>(o), true);
        if (input < 0 || call.operands[input].buffer->is_inline()) continue;
        if (already_taken(task->memory_of.data(), static_cast<int>(o), input)) continue;
        task->memory_of[o] = input;
    }
    for (size_t i = 0; i < inputs; ++i) {
        Buffer* buffer = task_operand(call.operands[i], executable->inputs[i].bytes);
        if (buffer == nullptr) {
            discard(task);
            return {kNoRoom, executable->inputs[i].bytes};
        }
        task->buffers.push_back(buffer);
    }
    for (size_t o = 0; o < outputs; ++o) {
        const int64_t bytes = call.outputs[o].bytes;
        Buffer* buffer = task->memory_of[o] >= 0 ? buffer_new_empty(bytes)
                                                 : buffer_new_later(bytes);
        if (buffer == nullptr) {
            discard(task);
            return {kNoRoom, bytes};
        }
        buffer->state.store(kPending, std::memory_order_relaxed);
        buffer->refs.store(kTaskRef, std::memory_order_relaxed);
        task->buffers.push_back(buffer);
    }
    task->inputs = task->buffers.data();
    task->input_count = static_cast<int>(inputs);
    task->outputs = task->buffers.data() + inputs;
    task->output_count = static_cast<int>(outputs);
    for (size_t o = 0; o < outputs; ++o) {
        call.results[o] = task->outputs[o];
        buffer_ref(call.results[o]);
    }
    give_up_donors(call);
    const Status status = queue_push(task);
    if (!status.ok()) drop_results(call, static_cast<int>(outputs));
    return status;
}

bool any_pending(const Call& call) {
    const size_t count = call.executable->inputs.size();
    for (size_t i = 0; i < count; ++i) {
        const Buffer* buffer = call.operands[i].buffer;
        if (buffer == nullptr) continue;
        if (buffer->state.load(std::memory_order_acquire) != kReady) return true;
    }
    return false;
}

// References to the operands, which must survive a wait outside the host. Those of weight 1 also keep
// results from taking over donated memory, as its array may be gone after the wait; those of weight
// kTaskRef count as queued work.
class HeldOperands {
public:
    explicit HeldOperands(const Call& call, int64_t weight = 1) : call_(call), weight_(weight) {
        for (size_t i = 0; i < count(); ++i) {
            if (call.operands[i].buffer != nullptr) buffer_ref(call.operands[i].buffer, weight);
        }
    }
    ~HeldOperands() {
        for (size_t i = 0; i < count(); ++i) {
            Buffer* buffer = call_.operands[i].buffer;
            if (buffer != nullptr) buffer_unref(buffer, weight_);
        }
    }
    HeldOperands(const HeldOperands&) = delete;
    HeldOperands& operator=(const HeldOperands&) = delete;

    Status wait() const {
        for (size_t i = 0; i < count(); ++i) {
            Buffer* buffer = call_.operands[i].buffer;
            const Status status = buffer != nullptr ? buffer_wait(buffer) : Status{};
            if (!status.ok()) return status;
        }
        return {};
    }

private:
    size_t count() const { return call_.executable->inputs.size(); }
    const Call& call_;
    const int64_t weight_;
};

// Nothing is given up before there is room: Ctrl-C may end the wait for it.
Status enqueue_when_there_is_room(const Call& call) {
    if (CV_LIKELY(!queue_is_full())) return enqueue(call);
    const HeldOperands held(call, kTaskRef);
    const Status status = queue_wait_for_room();
    return status.ok() ? enqueue(call) : status;
}

Status run_here(const Call& call) {
    constexpr size_t kOnStack = 64;
    const size_t outputs = call.executable->outputs.size();
    const size_t count = call.executable->inputs.size() + outputs;
    if (CV_LIKELY(count <= kOnStack)) {
        void* pointers[kOnStack];
        int taken[kOnStack];
        return run_inline(call, pointers, taken);
    }
    std::vector<void*> pointers(count);
    std::vector<int> taken(outputs);
    return run_inline(call, pointers.data(), taken.data());
}

}  // namespace

int32_t Executable::run(void* const* pointers, const int64_t* dims, void* arena) {
    if (CV_LIKELY(!repeats)) return entry(pointers, dims, arena);
    const auto start = std::chrono::steady_clock::now();
    const int32_t error = entry(pointers, dims, arena);
    const std::chrono::nanoseconds took = std::chrono::steady_clock::now() - start;
    last_ns.store(took.count(), std::memory_order_relaxed);
    return error;
}

void Executable::unref() {
    if (refs.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
    keepalive.drop();
    delete this;
}

Buffer* task_operand(const Operand& operand, int64_t bytes) {
    if (operand.buffer != nullptr) {
        buffer_ref(operand.buffer, kTaskRef);
        return operand.buffer;
    }
    Buffer* buffer = buffer_new(bytes);
    if (buffer == nullptr) return nullptr;
    std::memcpy(buffer->data, operand.element, static_cast<size_t>(bytes));
    buffer->refs.store(kTaskRef, std::memory_order_relaxed);
    return buffer;
}

// Waking the worker from its sleep costs this thread 25-50 us on a virtual machine.
bool is_worth_queueing(double cost_ns) {
    const auto threshold = static_cast<double>(g_inline_threshold.load(std::memory_order_relaxed));
    return cost_ns >= threshold && (queue_is_awake() || cost_ns >= 4 * threshold);
}

int64_t set_inline_threshold_ns(int64_t ns) { return g_inline_threshold.exchange(ns); }

Status launch(const Call& call) {
    const bool pending = any_pending(call);
    const bool large =
        is_worth_queueing(static_cast<double>(expected_ns(call))) && !call.executable->calls_back;
    if (CV_LIKELY(!pending && !large)) return run_here(call);
    try {
        if (async_enabled() && !call.executable->calls_back) {
            return enqueue_when_there_is_room(call);
        }
        if (!pending) return run_here(call);
        const HeldOperands held(call);
        const Status status = held.wait();
        return status.ok() ? run_here(call) : status;
    } catch (const std::bad_alloc&) {
        return {kNoRoom};
    }
}

}  // namespace covector

extern "C" int32_t cv_callback(const void* table, int64_t index, int64_t operands, int64_t count,
                               void* const* words) {
    return covector::g_host.call_back(table, index, operands, count, words);
}
