// Objects of other libraries that stand for arrays: `__covector_array__` and `__jax_array__`.
#pragma once

#include "python/objects.h"

namespace covector {

// Whether the type of an object says that it stands for an array.
bool stands_for_array(PyObject* object);

// The array that it stands for; a new reference, or null with an exception.
PyObject* array_it_stands_for(PyObject* object);

// Whether its type takes the calls of functions of arrays that it is an argument of: `__covector_function__`.
bool takes_calls(PyObject* object);

// The object itself if it does, or the first item of a list or tuple that does; borrowed, null if there is none.
PyObject* taker_of_calls(PyObject* object);

// What it makes of such a call: a new reference, perhaps to NotImplemented, or null with an exception.
PyObject* take_call(PyObject* object, PyObject* function, PyObject* const* args, Py_ssize_t given,
                    PyObject* names);

}  // namespace covector
