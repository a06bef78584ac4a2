// Objects of other libraries that stand for arrays: `__covector_array__` and `__jax_array__`.
#pragma once

#include "python/objects.h"

namespace covector {

// Whether the type of an object says that it stands for an array.
bool stands_for_array(PyObject* object);

// The array that it stands for; a new reference, or null with an exception.
PyObject* array_it_stands_for(PyObject* object);

}  // namespace covector
