// Boundary: a function as its users call it. An exception that leaves it has none of our frames.
#pragma once

#include "python/objects.h"

namespace covector {

bool boundary_type_init(PyObject* module);

// Cuts our frames out of the traceback of the exception in flight, and of those it came from.
void trim_traceback();

// A result, or null with a trimmed exception: what a call that users make returns.
inline PyObject* or_trimmed(PyObject* result) {
    if (CV_UNLIKELY(result == nullptr)) trim_traceback();
    return result;
}

}  // namespace covector
