// Calls: compiled Programs by the signatures of calls, for one function and one set of options.
//
// All functions share it that were made of one function with the same options.
#pragma once

#include <vector>

#include "dispatch/call_cache.h"
#include "python/objects.h"

namespace covector {

struct Calls {
    PyObject_HEAD
    PyObject* weakrefs;
    PyObject* miss;
    PyObject* bypass;
    PyObject* owner;         // what Python keeps beside it
    PyObject* static_names;  // a tuple of str
    uint64_t static_mask;            // of positions below 64
    std::vector<long>* static_rest;  // other positions: large, or counted from the end
    CallCache* cache;
};

struct CallArguments {
    PyObject* const* args;
    Py_ssize_t nargs;
    PyObject* names;  // a tuple, or null

    Py_ssize_t named() const { return names == nullptr ? 0 : PyTuple_GET_SIZE(names); }
};

bool is_calls(PyObject* object);

// The result of a call, a new reference; null with an exception. `std::bad_alloc` may be thrown.
PyObject* call_native(Calls* self, const CallArguments& call);

// The same by `bypass`.
PyObject* call_python(Calls* self, const CallArguments& call);

bool calls_type_init(PyObject* module);

}  // namespace covector
