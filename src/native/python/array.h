// Array: the Python type of all concrete values.
#pragma once

#include "python/dtypes.h"
#include "python/objects.h"
#include "runtime/buffer.h"

namespace covector {

constexpr int kInlineDims = 6;
constexpr int kMaxDims = 64;

enum Gone : uint8_t { kHere, kDeleted, kDonated };

struct Array {
    PyObject_HEAD
    Buffer* buffer;       // null once deleted or donated
    PyObject* weakrefs;
    PyObject* shape;      // the tuple, made when first asked for
    int64_t size;
    uint8_t dtype;
    bool weak;
    Gone gone;
    bool marked;          // scratch for the check of donations
    bool committed;       // somebody asked for its device
    int16_t ndim;
    union {
        int64_t inline_dims[kInlineDims];
        int64_t* heap_dims;
    };

    const int64_t* dims() const { return ndim <= kInlineDims ? inline_dims : heap_dims; }
    int64_t nbytes() const { return size * kItemsize[dtype]; }
};

extern PyTypeObject* g_array_type;

inline bool is_array(PyObject* object) { return Py_TYPE(object) == g_array_type; }
inline Array* as_array(PyObject* object) { return reinterpret_cast<Array*>(object); }
inline PyObject* as_object(Array* array) { return reinterpret_cast<PyObject*>(array); }

bool array_type_init(PyObject* module);
// Makes the class count instances of registered classes as its own; false with an exception.
bool array_kind_init(PyTypeObject* array_type);

// Takes over the reference to `buffer`, also when it fails (null with an exception).
// Results of committed arrays are committed.
Array* array_new(Buffer* buffer, int dtype, bool weak, int ndim, const int64_t* dims, int64_t size,
                 bool committed = false);
// A second array over the same buffer.
Array* array_share(Array* array);
Array* array_copy(Array* array);  // in fresh memory
// A fresh array of uninitialised elements.
Array* array_empty(int dtype, bool weak, int ndim, const int64_t* dims);

// Marks it deleted and hands its reference to the buffer to the caller.
inline Buffer* array_give_up(Array* array, Gone gone) {
    array->gone = gone;
    return std::exchange(array->buffer, nullptr);
}

PyObject* array_shape(Array* array);  // new reference
bool raise_deleted(Array* array);     // sets RuntimeError; returns false

inline bool array_check(Array* array) {
    if (CV_LIKELY(array->buffer != nullptr)) return true;
    return raise_deleted(array);
}

// Waits until the elements can be read; false with an exception. Another thread may delete the
// array during the wait, hence the second check.
inline bool array_wait(Array* array) {
    return array_check(array) && succeeded(buffer_wait(array->buffer)) && array_check(array);
}

// Number of elements; -1 with a ValueError if it, or its bytes, overflow or a dim is negative.
int64_t element_count(int ndim, const int64_t* dims, int dtype);
// Reads a shape (an int or a sequence of ints) into dims[kMaxDims]; -1 with an exception.
int parse_shape(PyObject* shape, int64_t* dims);
PyObject* shape_tuple(int ndim, const int64_t* dims);  // new reference

// "float32[3,4]" as a Python string; new reference.
PyObject* describe(int dtype, int ndim, const int64_t* dims);

// An Array from a NumPy array or scalar; see the module function array_from.
PyObject* array_from(PyObject* object, int dtype, bool weak, bool copy);
extern PyMethodDef kArrayFunctions[];

// Slots and methods defined in the other array files.
extern PyMethodDef kProtocolMethods[];
extern PyMethodDef kConvertMethods[];
int array_getbuffer(PyObject* self, Py_buffer* view, int flags);
void array_releasebuffer(PyObject* self, Py_buffer* view);
PyObject* array_numpy(Array* array);  // a read-only ndarray over the buffer; new reference
extern PyType_Slot kNumberSlots[];    // ends with {0, nullptr}
extern PyType_Slot kConvertSlots[];
PyObject* array_richcompare(PyObject* a, PyObject* b, int operation);

}  // namespace covector
