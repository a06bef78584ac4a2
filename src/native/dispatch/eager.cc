// Running an eager kernel: here or in the queue, in one run or row by row.
#include <algorithm>
#include <new>

#include "runtime/pool.h"
#include "runtime/queue.h"
#include "dispatch/ufunc.h"

namespace covector {
namespace {

constexpr double kRowPieceNs = 20'000;  // rows are shared among threads in pieces of this cost

struct RowWork {
    const RowLoop* loop;
    EagerKernel* kernel;
    void* const* pointers;  // the operands, then the result
    const int* itemsizes;
    std::atomic<int32_t> error{0};

    void run(int64_t begin, int64_t end) {
        const int count = loop->operands;
        const int64_t run_bytes = loop->n * kItemsize[kernel->dtype];
        const int32_t failed = loop->each_row(begin, end, [&](const int64_t* offsets, int64_t row) {
            void* buffers[kMaxOperands + 1];
            for (int i = 0; i < count; ++i) {
                buffers[i] = static_cast<char*>(pointers[i]) + offsets[i] * itemsizes[i];
            }
            buffers[count] = static_cast<char*>(pointers[count]) + row * run_bytes;
            return kernel->entry(buffers, &loop->n, nullptr);
        });
        if (failed != 0) error.store(failed, std::memory_order_relaxed);
    }
};

int32_t run_rows(RowWork& work) {
    const double row_cost =
        std::max(1.0, work.kernel->cost_per_element * static_cast<double>(work.loop->n));
    const auto grain = static_cast<int64_t>(kRowPieceNs / row_cost) + 1;
    cv_parallel_for(
        [](void* context, int64_t begin, int64_t end) {
            static_cast<RowWork*>(context)->run(begin, end);
        },
        &work, work.loop->rows, grain);
    return work.error.load(std::memory_order_relaxed);
}

int32_t run_kernel(const EagerCall& call, void* const* pointers) {
    if (call.size == 0) return 0;
    if (CV_LIKELY(call.loop == nullptr)) return call.kernel->entry(pointers, &call.size, nullptr);
    RowWork work{call.loop, call.kernel, pointers, call.itemsizes};
    return run_rows(work);
}

struct QueuedEager final : Task {
    EagerKernel* kernel = nullptr;
    Buffer* buffers[kMaxOperands + 1] = {};
    int itemsizes[kMaxOperands] = {};
    int64_t size = 0;
    RowLoop* loop = nullptr;

    ~QueuedEager() override {
        kernel->unref();
        delete loop;
    }

    int32_t run() override {
        if (!buffer_obtain(buffers[input_count])) return kNoRoom;
        void* pointers[kMaxOperands + 1];
        for (int i = 0; i <= input_count; ++i) pointers[i] = buffers[i]->data;
        return run_kernel({kernel, nullptr, itemsizes, input_count, size, loop}, pointers);
    }
};

Buffer* enqueue(const EagerCall& call, int64_t bytes, double cost) {
    Buffer* result = buffer_new_later(bytes);
    if (result == nullptr) {
        raise_no_memory(bytes);
        return nullptr;
    }
    auto* task = new QueuedEager;
    call.kernel->ref();
    task->kernel = call.kernel;
    task->size = call.size;
    task->cost_ns = static_cast<int64_t>(cost);
    if (call.loop != nullptr) task->loop = new RowLoop(*call.loop);
    task->inputs = task->buffers;
    task->outputs = task->buffers + call.count;
    for (int i = 0; i < call.count; ++i) {
        task->itemsizes[i] = call.itemsizes[i];
        task->buffers[i] = task_operand(call.operands[i], sizeof(Element::bytes));
        if (task->buffers[i] == nullptr) {
            for (int k = 0; k < i; ++k) buffer_unref(task->buffers[k], kTaskRef);
            delete task;
            buffer_unref(result);
            raise_no_memory(static_cast<int64_t>(sizeof(Element::bytes)));
            return nullptr;
        }
    }
    task->input_count = call.count;
    task->output_count = 1;
    task->buffers[call.count] = result;
    buffer_ref(result, kTaskRef);
    result->state.store(kPending, std::memory_order_relaxed);
    if (succeeded(queue_push(task))) return result;
    buffer_unref(result);
    return nullptr;
}

// The operands' arrays may be dropped by others while this waits for room; Ctrl-C may end the wait.
Buffer* enqueue_when_there_is_room(const EagerCall& call, int64_t bytes, double cost) {
    if (CV_LIKELY(!queue_is_full())) return enqueue(call, bytes, cost);
    for (int i = 0; i < call.count; ++i) {
        if (call.operands[i].buffer != nullptr) buffer_ref(call.operands[i].buffer, kTaskRef);
    }
    Buffer* result = succeeded(queue_wait_for_room()) ? enqueue(call, bytes, cost) : nullptr;
    for (int i = 0; i < call.count; ++i) {
        if (call.operands[i].buffer != nullptr) buffer_unref(call.operands[i].buffer, kTaskRef);
    }
    return result;
}

// Runs here. The operands' arrays may be dropped by others while the GIL is released.
Status run_here(const EagerCall& call, Buffer* result, double cost, bool pending) {
    void* pointers[kMaxOperands + 1];
    pointers[call.count] = result->data;
    if (CV_LIKELY(cost < static_cast<double>(kStayInsideNs) && !pending)) {
        for (int i = 0; i < call.count; ++i) pointers[i] = call.operands[i].data();
        return {run_kernel(call, pointers)};
    }
    for (int i = 0; i < call.count; ++i) {
        if (call.operands[i].buffer != nullptr) buffer_ref(call.operands[i].buffer);
    }
    Status status;
    for (int i = 0; i < call.count && status.ok(); ++i) {
        Buffer* buffer = call.operands[i].buffer;
        if (buffer != nullptr) status = buffer_wait(buffer);
        pointers[i] = call.operands[i].data();
    }
    if (status.ok()) {
        WithoutGil released;
        status.error = run_kernel(call, pointers);
    }
    for (int i = 0; i < call.count; ++i) {
        if (call.operands[i].buffer != nullptr) buffer_unref(call.operands[i].buffer);
    }
    return status;
}

}  // namespace

void EagerKernel::unref() {
    if (refs.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
    if (keepalive != nullptr) drop_object(keepalive);
    delete this;
}

Buffer* run_eager(const EagerCall& call) {
    const int64_t bytes = call.size * kItemsize[call.kernel->dtype];
    bool pending = false;
    for (int i = 0; i < call.count; ++i) {
        const Buffer* buffer = call.operands[i].buffer;
        pending |= buffer != nullptr && buffer->state.load(std::memory_order_acquire) != kReady;
    }
    const double cost = static_cast<double>(call.size) * call.kernel->cost_per_element;
    if (CV_UNLIKELY(pending || is_worth_queueing(cost)) && async_enabled()) {
        return enqueue_when_there_is_room(call, bytes, cost);
    }
    Buffer* result = buffer_new(bytes);
    if (CV_UNLIKELY(result == nullptr)) {
        raise_no_memory(bytes);
        return nullptr;
    }
    if (succeeded(run_here(call, result, cost, pending))) return result;
    buffer_unref(result);
    return nullptr;
}

}  // namespace covector
