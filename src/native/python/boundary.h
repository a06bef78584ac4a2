// Boundary: a function as its users call it. An exception that leaves it has none of our frames.
#pragma once

#include "python/objects.h"

namespace covector {

bool boundary_type_init(PyObject* module);

// Cuts our frames out of the traceback of the exception in flight, and of those it came from. One that says that a
// tree is too deep says before what to do.
void trim_traceback();

// A result, or null with a trimmed exception: what a call that users make returns.
inline PyObject* or_trimmed(PyObject* result) {
    if (CV_UNLIKELY(result == nullptr)) trim_traceback();
    return result;
}

// The same, where the exception says which arguments the function was given: what it could not take.
PyObject* or_explained(PyObject* result, PyObject* fun, PyObject* const* args, size_t flags,
                       PyObject* names);

}  // namespace covector
