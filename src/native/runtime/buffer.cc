// Buffer: creation, release, waiting.
#include "runtime/buffer.h"

#include <pthread.h>

#include <mutex>
#include <new>
#include <vector>

#include "runtime/queue.h"

namespace covector {
namespace {

constinit thread_local bool tls_worker = false;

// References dropped by threads without the GIL, until the interpreter gets to them.
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

int flush_pending_call(void*) {
    flush_dropped();
    return 0;
}

Buffer* header(int64_t bytes) {
    int64_t capacity;
    void* block = memory_alloc(sizeof(Buffer), &capacity);
    if (block == nullptr) return nullptr;
    auto* buffer = static_cast<Buffer*>(block);
    buffer->refs.store(1, std::memory_order_relaxed);
    buffer->state.store(kReady, std::memory_order_relaxed);
    buffer->data = nullptr;
    buffer->bytes = bytes;
    buffer->data_capacity = 0;
    buffer->block_capacity = capacity;
    buffer->owner = nullptr;
    buffer->error = 0;
    return buffer;
}

}  // namespace

Buffer* buffer_new_large(int64_t bytes) {
    Buffer* buffer = header(bytes);
    if (buffer == nullptr) return nullptr;
    buffer->data = memory_alloc(bytes, &buffer->data_capacity);
    if (buffer->data == nullptr) {
        memory_free(buffer, buffer->block_capacity);
        return nullptr;
    }
    return buffer;
}

Buffer* buffer_new_empty(int64_t bytes) { return header(bytes); }

Buffer* buffer_new_later(int64_t bytes) {
    if (bytes <= kInlineBytes) return buffer_new(bytes);
    return memory_can_hold(bytes) ? header(bytes) : nullptr;
}

bool buffer_obtain(Buffer* buffer) {
    if (buffer->data != nullptr) return true;
    buffer->data = memory_alloc(buffer->bytes, &buffer->data_capacity);
    return buffer->data != nullptr;
}

Buffer* buffer_new_foreign(void* data, int64_t bytes, PyObject* owner) {
    Buffer* buffer = header(bytes);
    if (buffer == nullptr) return nullptr;
    buffer->data = data;
    buffer->owner = Py_NewRef(owner);
    return buffer;
}

void buffer_destroy(Buffer* buffer) {
    if (buffer->owner != nullptr) {
        drop_object(buffer->owner);
    } else if (buffer->data_capacity != 0) {
        memory_free(buffer->data, buffer->data_capacity);
    }
    memory_free(buffer, buffer->block_capacity);
}

void buffer_take_memory(Buffer* to, Buffer* from) {
    to->data = from->data;
    to->data_capacity = from->data_capacity;
    from->data = nullptr;
    from->data_capacity = 0;
}

bool buffer_wait_slow(Buffer* buffer) {
    buffer_ref(buffer);  // the array may be deleted by another thread meanwhile
    bool interrupted = false;
    while (buffer_is_pending(buffer)) {
        {
            WithoutGil released;
            queue_wait_for(buffer);
        }
        if (PyErr_CheckSignals() != 0) {
            interrupted = true;
            break;
        }
    }
    if (!interrupted && buffer->state.load(std::memory_order_acquire) == kFailed) {
        raise_run_error(buffer->error, buffer->bytes);
        interrupted = true;
    }
    buffer_unref(buffer);
    return !interrupted;
}

void raise_run_error(int32_t error, int64_t bytes) {
    if (error == kNoRoom) {
        raise_no_memory(bytes);
    } else if (error == kOutOfMemory) {
        PyErr_SetString(PyExc_MemoryError,
                        "a compiled program ran out of memory while it computed this value");
    } else if (error == kLostInFork) {
        PyErr_SetString(PyExc_RuntimeError,
                        "this value was still being computed when the process forked, and the "
                        "child has no thread that computes it; call block_until_ready() before "
                        "the fork");
    } else if (error == kUnloaded) {
        PyErr_SetString(PyExc_RuntimeError, "this compiled program was destroyed");
    } else {
        PyErr_Format(PyExc_RuntimeError, "a compiled program failed with error number %d", error);
    }
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

void drop_object(PyObject* object) {
    if (!tls_worker) {
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

void buffer_init() {
    dropped();
    pthread_atfork([] { dropped().mutex.lock(); }, [] { dropped().mutex.unlock(); },
                   [] { dropped().mutex.unlock(); });
}

bool mark_worker_thread(bool on) { return std::exchange(tls_worker, on); }

}  // namespace covector
