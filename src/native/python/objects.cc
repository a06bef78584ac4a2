// References dropped by threads without the GIL, and exceptions for errors of the runtime.
#include "python/objects.h"

#include <pthread.h>
#include <unistd.h>

#include <mutex>
#include <new>
#include <vector>

#include "python/callback.h"
#include "python/foreign.h"
#include "python/state.h"
#include "runtime/allocator.h"
#include "runtime/threads.h"

namespace covector {
namespace {

// References dropped outside, until the interpreter gets to them.
struct Dropped {
    std::mutex mutex;
    std::vector<PyObject*> objects;
    bool announced = false;  // a pending call will flush them
    bool closed = false;     // the interpreter ends: what is dropped now stays
};

Dropped& dropped() {
    static Dropped* instance = new Dropped;
    return *instance;
}

// What a callback raised, until its Program has ended.
struct Raised {
    PyObject* type = nullptr;
    PyObject* value = nullptr;
    PyObject* traceback = nullptr;
};
constinit thread_local Raised tls_raised;

int flush_pending_call(void*) {
    flush_dropped();
    return 0;
}

// Python hears signals on this one alone.
bool is_main_thread() {
#if defined(__APPLE__)
    return pthread_main_np() != 0;
#else
    return gettid() == getpid();
#endif
}

void raise_stopped() {
    if (g_hooks.stopped == nullptr) {
        PyErr_SetString(PyExc_RuntimeError, "the computation of this value was stopped");
        return;
    }
    const Ref error(PyObject_CallNoArgs(g_hooks.stopped));
    if (error) PyErr_SetObject(reinterpret_cast<PyObject*>(Py_TYPE(error.get())), error.get());
}

}  // namespace

Host python_host() {
    Host host;
    host.leave = [] { return static_cast<void*>(PyEval_SaveThread()); };
    host.enter = [](void* state) { PyEval_RestoreThread(static_cast<PyThreadState*>(state)); };
    host.interrupted = [] { return PyErr_CheckSignals() != 0; };
    host.hears = is_main_thread;
    host.call_back = call_back;
    return host;
}

void drop_object(PyObject* object) {
    if (!is_outside()) {
        Py_DECREF(object);
        return;
    }
    std::lock_guard<std::mutex> lock(dropped().mutex);
    if (dropped().closed) return;
    try {
        dropped().objects.push_back(object);
    } catch (const std::bad_alloc&) {
        return;  // it stays: this thread cannot free it, and has nobody to tell
    }
    if (!dropped().announced) {
        dropped().announced = Py_AddPendingCall(flush_pending_call, nullptr) == 0;
    }
}

Owner owner_of(PyObject* object) {
    return {Py_NewRef(object), [](void* owned) { drop_object(static_cast<PyObject*>(owned)); }};
}

void flush_dropped() {
    std::vector<PyObject*> objects;
    {
        std::lock_guard<std::mutex> lock(dropped().mutex);
        objects.swap(dropped().objects);
        dropped().announced = false;
    }
    for (PyObject* object : objects) Py_DECREF(object);
}

void close_dropped() {
    flush_dropped();
    std::lock_guard<std::mutex> lock(dropped().mutex);
    dropped().closed = true;
}

void dropped_init() {
    dropped();
    pthread_atfork([] { dropped().mutex.lock(); }, [] { dropped().mutex.unlock(); },
                   [] { dropped().mutex.unlock(); });
}

void keep_raised() {
    Raised& kept = tls_raised;
    Py_CLEAR(kept.type);  // of a Program that nobody asked for its status
    Py_CLEAR(kept.value);
    Py_CLEAR(kept.traceback);
    PyErr_Fetch(&kept.type, &kept.value, &kept.traceback);
}

PyObject* raise_no_memory(int64_t bytes) {
    const MemoryStats stats = memory_stats();
    if (stats.memory_limit > 0) {
        PyErr_Format(PyExc_MemoryError,
                     "cannot allocate %lld bytes: %lld bytes are in use and the limit is %lld",
                     static_cast<long long>(bytes), static_cast<long long>(stats.bytes_in_use),
                     static_cast<long long>(stats.memory_limit));
    } else {
        PyErr_Format(PyExc_MemoryError, "cannot allocate %lld bytes: %lld bytes are in use",
                     static_cast<long long>(bytes), static_cast<long long>(stats.bytes_in_use));
    }
    return nullptr;
}

bool raise_status(Status status) {
    switch (status.error) {
        case kInterrupted: break;  // the exception is that of the signal
        case kNoRoom:
            status.bytes > 0 ? raise_no_memory(status.bytes) : PyErr_NoMemory();
            break;
        case kOutOfMemory:
            PyErr_Format(PyExc_MemoryError,
                         status.bytes > 0 ? "a compiled program ran out of memory (its scratch "
                                            "memory is %lld bytes)"
                                          : "a compiled program ran out of memory",
                         static_cast<long long>(status.bytes));
            break;
        case kCallbackFailed: {
            const Raised raised = std::exchange(tls_raised, {});
            PyErr_Restore(raised.type, raised.value, raised.traceback);
            break;
        }
        case kForeignFailed: raise_foreign_failure(); break;
        case kStopped: raise_stopped(); break;
        case kLostInFork:
            PyErr_SetString(PyExc_RuntimeError,
                            "this value was still being computed when the process forked, and the "
                            "child has no thread that computes it; call block_until_ready() before "
                            "the fork");
            break;
        case kUnloaded:
            PyErr_SetString(PyExc_RuntimeError, "this compiled program was destroyed");
            break;
        case kNoThread:
            PyErr_SetString(PyExc_RuntimeError, "cannot start the thread of the execution queue");
            break;
        default:
            if (status.error >= kUsersRoutine) {
                // As it was returned, but for the bit above the sign's.
                const int32_t bits = status.error - kUsersRoutine;
                const int32_t number = bits >= kUsersRoutine / 2 ? bits - kUsersRoutine : bits;
                PyErr_Format(PyExc_RuntimeError, "a C routine of a primitive returned the status %d",
                             number);
                break;
            }
            PyErr_Format(PyExc_RuntimeError, "a compiled program failed with error number %d",
                         status.error);
    }
    return false;
}

}  // namespace covector
