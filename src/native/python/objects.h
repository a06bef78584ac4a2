// Python objects in native code: owned references, the GIL, exceptions for errors of the runtime.
#pragma once

#include <Python.h>

#include <utility>

#include "runtime/common.h"
#include "runtime/host.h"
#include "runtime/status.h"

namespace covector {

// An owned reference; null stands for "an exception is set" or "nothing".
class Ref {
public:
    Ref() = default;
    explicit Ref(PyObject* owned) : object_(owned) {}
    Ref(Ref&& other) noexcept : object_(std::exchange(other.object_, nullptr)) {}
    Ref(const Ref&) = delete;
    Ref& operator=(const Ref&) = delete;
    Ref& operator=(Ref&& other) noexcept {
        std::swap(object_, other.object_);
        return *this;
    }
    ~Ref() { Py_XDECREF(object_); }

    static Ref borrow(PyObject* object) {
        Py_XINCREF(object);
        return Ref(object);
    }

    PyObject* get() const { return object_; }
    PyObject* release() { return std::exchange(object_, nullptr); }
    explicit operator bool() const { return object_ != nullptr; }

private:
    PyObject* object_ = nullptr;
};

// Lets other Python threads run while native code waits or works.
class WithoutGil {
public:
    WithoutGil() : state_(PyEval_SaveThread()) {}
    ~WithoutGil() { PyEval_RestoreThread(state_); }
    WithoutGil(const WithoutGil&) = delete;
    WithoutGil& operator=(const WithoutGil&) = delete;

private:
    PyThreadState* state_;
};

Host python_host();  // Python, to the runtime

// Drops a reference from any thread: at once where the GIL is held, else soon after.
void drop_object(PyObject* object);
Owner owner_of(PyObject* object);  // with a new reference
void flush_dropped();              // needs the GIL
void close_dropped();              // the interpreter ends; needs the GIL
void dropped_init();               // registers the fork handlers; once

void keep_raised();  // puts what is raised now apart, for `raise_status` of kCallbackFailed in this thread
PyObject* raise_no_memory(int64_t bytes);  // sets MemoryError; returns null
CV_NOINLINE bool raise_status(Status status);  // sets the exception of a bad one; returns false
inline bool succeeded(Status status) { return CV_LIKELY(status.ok()) || raise_status(status); }

}  // namespace covector
