// Array: conversion to Python numbers, lists and bytes.
#include <cmath>
#include <cstring>

#include "python/array.h"
#include "python/numpy_bridge.h"

namespace covector {
namespace {

bool raise_not_scalar(Array* array, const char* wanted) {
    Ref type(describe(array->dtype, array->ndim, array->dims()));
    if (type) {
        PyErr_Format(PyExc_TypeError,
                     "only an array of shape () can become %s; this one is %U", wanted,
                     type.get());
    }
    return false;
}

// The element of an array that has only one, once it is computed; null with an exception.
const void* only_element(Array* array, const char* wanted) {
    if (!array_check(array)) return nullptr;
    if (array->size != 1) return raise_not_scalar(array, wanted), nullptr;
    return array_wait(array) ? array->buffer->data : nullptr;
}

// The element as a number of Python: what truth and item() ask for.
PyObject* only_number(PyObject* self, const char* wanted) {
    const void* element = only_element(as_array(self), wanted);
    return element == nullptr ? nullptr : load_number(element, as_array(self)->dtype);
}

// Of an array of shape () as a number: what Python's own types ask for.
PyObject* scalar_number(PyObject* self, const char* wanted) {
    Array* array = as_array(self);
    if (array->ndim != 0) return raise_not_scalar(array, wanted), nullptr;
    return only_number(self, wanted);
}

bool refuse_complex(PyObject* self, const char* wanted) {
    if (!is_complex(as_array(self)->dtype)) return true;
    PyErr_Format(PyExc_TypeError, "a %s number cannot become %s; take x.real or abs(x) first",
                 kDtypeName[as_array(self)->dtype], wanted);
    return false;
}

int to_bool(PyObject* self) {
    Array* array = as_array(self);
    if (array->size != 1) {
        Ref type(describe(array->dtype, array->ndim, array->dims()));
        if (type) {
            PyErr_Format(PyExc_ValueError,
                         array->size == 0
                             ? "the truth value of an empty array is ambiguous: %U"
                             : "the truth value of an array with more than one element is "
                               "ambiguous: %U; use x.any() or x.all()",
                         type.get());
        }
        return -1;
    }
    Ref number(only_number(self, "a bool"));
    return number ? PyObject_IsTrue(number.get()) : -1;
}

PyObject* to_int(PyObject* self) {
    if (!refuse_complex(self, "an int")) return nullptr;
    Ref number(scalar_number(self, "an int"));
    return number ? PyNumber_Long(number.get()) : nullptr;
}

PyObject* to_float(PyObject* self) {
    if (!refuse_complex(self, "a float")) return nullptr;
    Ref number(scalar_number(self, "a float"));
    return number ? PyNumber_Float(number.get()) : nullptr;
}

PyObject* to_complex(PyObject* self, PyObject*) {
    Ref number(scalar_number(self, "a complex number"));
    if (!number || PyComplex_Check(number.get())) return number.release();
    const double real = PyFloat_AsDouble(number.get());
    if (real == -1.0 && PyErr_Occurred()) return nullptr;
    return PyComplex_FromDoubles(real, 0.0);
}

PyObject* to_index(PyObject* self) {
    Array* array = as_array(self);
    if (array->ndim == 0 && is_integer(array->dtype)) return only_number(self, "an index");
    Ref type(describe(array->dtype, array->ndim, array->dims()));
    if (type) {
        PyErr_Format(PyExc_TypeError, "only an integer array of shape () can be an index; this one "
                     "is %U", type.get());
    }
    return nullptr;
}

PyObject* raise_not_item(Array* array) {  // in NumPy's words
    Ref type(describe(array->dtype, array->ndim, array->dims()));
    if (type) {
        PyErr_Format(PyExc_ValueError,
                     "can only convert an array of size 1 to a Python scalar; this one is %U",
                     type.get());
    }
    return nullptr;
}

// item(*index): without an index, the only element.
PyObject* item(PyObject* self, PyObject* const* args, Py_ssize_t count) {
    if (count == 0) {
        if (!array_check(as_array(self))) return nullptr;
        return as_array(self)->size == 1 ? only_number(self, "") : raise_not_item(as_array(self));
    }
    Ref values(array_numpy(as_array(self)));
    if (!values) return nullptr;
    Ref method(PyObject_GetAttrString(values.get(), "item"));
    return method ? PyObject_Vectorcall(method.get(), args, static_cast<size_t>(count), nullptr)
                  : nullptr;
}

PyObject* tolist(PyObject* self, PyObject*) {
    Ref values(array_numpy(as_array(self)));
    return values ? PyObject_CallMethod(values.get(), "tolist", nullptr) : nullptr;
}

// tobytes(order="C"): in another order as NumPy does it.
PyObject* tobytes(PyObject* self, PyObject* args, PyObject* keywords) {
    if (PyTuple_GET_SIZE(args) || (keywords && PyDict_GET_SIZE(keywords))) {
        Ref values(array_numpy(as_array(self)));
        Ref method(values ? PyObject_GetAttrString(values.get(), "tobytes") : nullptr);
        return method ? PyObject_Call(method.get(), args, keywords) : nullptr;
    }
    if (!array_wait(as_array(self))) return nullptr;
    return PyBytes_FromStringAndSize(static_cast<const char*>(as_array(self)->buffer->data),
                                     as_array(self)->nbytes());
}

}  // namespace

PyMethodDef kConvertMethods[] = {
    {"item", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(item)), METH_FASTCALL,
     "The only element, or the one at an index, as a Python number."},
    {"tolist", tolist, METH_NOARGS, "Nested lists of Python numbers."},
    {"tobytes", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(tobytes)),
     METH_VARARGS | METH_KEYWORDS, "The elements as bytes, in row-major order unless asked."},
    {"__complex__", to_complex, METH_NOARGS, "The only element as a complex number."},
    {nullptr, nullptr, 0, nullptr},
};

PyType_Slot kConvertSlots[] = {
    {Py_nb_bool, reinterpret_cast<void*>(to_bool)},
    {Py_nb_int, reinterpret_cast<void*>(to_int)},
    {Py_nb_float, reinterpret_cast<void*>(to_float)},
    {Py_nb_index, reinterpret_cast<void*>(to_index)},
    {0, nullptr},
};

}  // namespace covector
