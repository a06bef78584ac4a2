// All use of NumPy's C interface, behind plain functions.
#pragma once

#include "python/objects.h"

namespace covector {

bool numpy_init();

bool is_ndarray(PyObject* object);
bool is_masked(PyObject* object);  // whether it is an ndarray with a mask
bool is_numpy_scalar(PyObject* object);
bool is_numpy_dtype(PyObject* object);

// What an ndarray holds.
struct NdarrayView {
    void* data;
    int ndim;
    const Py_ssize_t* shape;
    int code;         // -1: none of the registered dtypes
    bool contiguous;  // row-major, aligned, native byte order
    bool writeable;
};
NdarrayView view_ndarray(PyObject* array);

PyObject* ndarray_descriptor(PyObject* array);   // borrowed
int numpy_scalar_code(PyObject* scalar);         // -1 without an exception
bool numpy_scalar_read(PyObject* scalar, void* memory);  // its item; the code must be known

// The item of one of 64 bits, in 32, as arrays are converted: integers keep their lower bits.
bool numpy_scalar_read_narrowed(PyObject* scalar, int code, void* memory);

// An ndarray over foreign memory that `owner` (stolen) keeps alive; new reference.
PyObject* ndarray_over(void* data, int code, int ndim, const int64_t* shape, bool writeable,
                       PyObject* owner);
// `object` as a row-major aligned ndarray of the dtype (or its own when code < 0).
PyObject* to_ndarray(PyObject* object, int code);
PyObject* ndarray_astype(PyObject* array, PyObject* descriptor);
PyObject* ndarray_copy(PyObject* array);
PyObject* ndarray_scalar(void* data, int code);  // a NumPy scalar; new reference

int numpy_type_code(PyObject* descriptor);   // as dtype_code_of, by type number and byte order
// What NumPy takes for a dtype, in native byte order; new reference, or null with an exception.
PyObject* parse_descriptor(PyObject* object);
int64_t descriptor_itemsize(PyObject* descriptor);

}  // namespace covector
