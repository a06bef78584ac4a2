// Ufunc: the native path of eager elementwise calls.
#pragma once

#include <atomic>

#include "dispatch/broadcast.h"
#include "runtime/executable.h"

namespace covector {

// A kernel compiled for one signature of operand types. Queued work holds it too.
struct EagerKernel {
    std::atomic<int32_t> refs{1};
    EntryFunction entry = nullptr;
    int dtype = 0;
    bool weak = false;
    double cost_per_element = 0;
    PyObject* keepalive = nullptr;

    void ref() { refs.fetch_add(1, std::memory_order_relaxed); }
    void unref();
};

// One eager call on dense operands. `loop` is null when one run does it all; then the kernel's
// signature says which operands are single elements.
struct EagerCall {
    EagerKernel* kernel;
    const Operand* operands;
    const int* itemsizes;  // of the operands
    int count;
    int64_t size;          // elements of the result
    const RowLoop* loop;
};

// Runs or queues it: the result's buffer (a new reference), or null with an exception.
Buffer* run_eager(const EagerCall& call);

bool ufunc_type_init(PyObject* module);

}  // namespace covector
