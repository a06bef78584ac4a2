// All use of NumPy's C interface.
#include "python/numpy_bridge.h"

#define PY_ARRAY_UNIQUE_SYMBOL covector_numpy_api
#include <numpy/arrayobject.h>
#include <numpy/arrayscalars.h>

#include <cstring>

#include "python/dtypes.h"

namespace covector {
namespace {

PyArrayObject* nd(PyObject* object) { return reinterpret_cast<PyArrayObject*>(object); }
PyArray_Descr* descr(PyObject* object) { return reinterpret_cast<PyArray_Descr*>(object); }

int builtin_code(const PyArray_Descr* type) {
    const npy_intp size = PyDataType_ELSIZE(type);
    switch (type->kind) {
        case 'b': return kBool;
        case 'i': return size == 1 ? kInt8 : size == 2 ? kInt16 : size == 4 ? kInt32 : kInt64;
        case 'u': return size == 1 ? kUint8 : size == 2 ? kUint16 : size == 4 ? kUint32 : kUint64;
        case 'f': return size == 2 ? kFloat16 : size == 4 ? kFloat32 : size == 8 ? kFloat64 : -1;
        case 'c': return size == 8 ? kComplex64 : size == 16 ? kComplex128 : -1;
        default: return -1;
    }
}

int g_bfloat16_number = -1;

}  // namespace

bool numpy_init() { return _import_array() >= 0; }

// NumPy loads its masked arrays when they are first used: before that there are none.
bool is_masked(PyObject* array) {
    if (CV_LIKELY(PyArray_CheckExact(array)) || !PyArray_Check(array)) return false;
    Ref name(PyUnicode_InternFromString("numpy.ma"));
    Ref module(name ? PyImport_GetModule(name.get()) : nullptr);
    Ref type(module ? PyObject_GetAttrString(module.get(), "MaskedArray") : nullptr);
    if (!type) PyErr_Clear();
    return type && PyObject_TypeCheck(array, reinterpret_cast<PyTypeObject*>(type.get()));
}

bool is_ndarray(PyObject* object) { return PyArray_Check(object); }
bool is_numpy_scalar(PyObject* object) { return PyArray_IsScalar(object, Generic); }
bool is_numpy_dtype(PyObject* object) { return PyArray_DescrCheck(object); }

int numpy_type_code(PyObject* descriptor) {
    const PyArray_Descr* type = descr(descriptor);
    if (type->type_num >= NPY_USERDEF) {
        if (g_bfloat16_number < 0) {
            PyObject* registered = dtype_object(kBfloat16);
            if (registered == nullptr) {
                PyErr_Clear();
                return -1;
            }
            g_bfloat16_number = descr(registered)->type_num;
        }
        return type->type_num == g_bfloat16_number ? kBfloat16 : -1;
    }
    return PyArray_ISNBO(type->byteorder) ? builtin_code(type) : -1;
}

NdarrayView view_ndarray(PyObject* array) {
    PyArrayObject* a = nd(array);
    NdarrayView view;
    view.data = PyArray_DATA(a);
    view.ndim = PyArray_NDIM(a);
    view.shape = PyArray_DIMS(a);
    view.code = is_masked(array)
                    ? -1
                    : numpy_type_code(reinterpret_cast<PyObject*>(PyArray_DESCR(a)));
    view.contiguous = PyArray_IS_C_CONTIGUOUS(a) && PyArray_ISALIGNED(a);
    view.writeable = PyArray_ISWRITEABLE(a);
    return view;
}

PyObject* ndarray_descriptor(PyObject* array) {
    return reinterpret_cast<PyObject*>(PyArray_DESCR(nd(array)));
}

int numpy_scalar_code(PyObject* scalar) {
    PyArray_Descr* type = PyArray_DescrFromScalar(scalar);
    if (type == nullptr) {
        PyErr_Clear();
        return -1;
    }
    const int code = numpy_type_code(reinterpret_cast<PyObject*>(type));
    Py_DECREF(type);
    return code;
}

bool numpy_scalar_read(PyObject* scalar, void* memory) {
    if (PyArray_IsScalar(scalar, Bool) || PyArray_IsScalar(scalar, Number)) {
        PyArray_ScalarAsCtype(scalar, memory);
        return true;
    }
    // Of an extension type, like bfloat16: only the type itself knows where the value lies.
    Ref array(PyArray_FromScalar(scalar, nullptr));
    if (!array) return false;
    std::memcpy(memory, PyArray_DATA(nd(array.get())), static_cast<size_t>(
        PyArray_ITEMSIZE(nd(array.get()))));
    return true;
}

bool numpy_scalar_read_narrowed(PyObject* scalar, int code, void* memory) {
    char item[16];
    if (!numpy_scalar_read(scalar, item)) return false;
    if (is_integer(code)) {
        std::memcpy(memory, item, 4);  // the lower half comes first
        return true;
    }
    for (int part = 0; part < (is_complex(code) ? 2 : 1); ++part) {
        double value;
        std::memcpy(&value, item + 8 * part, 8);
        const float narrow = static_cast<float>(value);
        std::memcpy(static_cast<char*>(memory) + 4 * part, &narrow, 4);
    }
    return true;
}

PyObject* ndarray_over(void* data, int code, int ndim, const int64_t* shape, bool writeable,
                       PyObject* owner) {
    Ref keeper(owner);
    PyObject* type = dtype_object(code);
    if (type == nullptr) return nullptr;
    Py_INCREF(type);  // stolen below
    PyObject* array = PyArray_NewFromDescr(
        &PyArray_Type, descr(type), ndim, reinterpret_cast<const npy_intp*>(shape), nullptr, data,
        NPY_ARRAY_C_CONTIGUOUS | NPY_ARRAY_ALIGNED | (writeable ? NPY_ARRAY_WRITEABLE : 0),
        nullptr);
    if (array == nullptr) return nullptr;
    if (PyArray_SetBaseObject(nd(array), keeper.release()) < 0) {
        Py_DECREF(array);
        return nullptr;
    }
    return array;
}

PyObject* to_ndarray(PyObject* object, int code) {
    PyArray_Descr* type = nullptr;
    if (code >= 0) {
        PyObject* registered = dtype_object(code);
        if (registered == nullptr) return nullptr;
        type = descr(Py_NewRef(registered));
    }
    return PyArray_FromAny(object, type, 0, 0,
                           NPY_ARRAY_C_CONTIGUOUS | NPY_ARRAY_ALIGNED | NPY_ARRAY_NOTSWAPPED |
                               NPY_ARRAY_FORCECAST,
                           nullptr);
}

PyObject* ndarray_astype(PyObject* array, PyObject* descriptor) {
    return PyArray_CastToType(nd(array), descr(Py_NewRef(descriptor)), 0);
}

PyObject* ndarray_copy(PyObject* array) { return PyArray_NewCopy(nd(array), NPY_CORDER); }

PyObject* ndarray_scalar(void* data, int code) {
    PyObject* type = dtype_object(code);
    return type == nullptr ? nullptr : PyArray_Scalar(data, descr(type), nullptr);
}

PyObject* parse_descriptor(PyObject* object) {
    PyArray_Descr* type = nullptr;
    if (!PyArray_DescrConverter(object, &type)) return nullptr;
    if (!PyArray_ISNBO(type->byteorder)) {
        PyArray_Descr* native = PyArray_DescrNewByteorder(type, NPY_NATIVE);
        Py_DECREF(type);
        type = native;
    }
    return reinterpret_cast<PyObject*>(type);
}

int64_t descriptor_itemsize(PyObject* descriptor) { return PyDataType_ELSIZE(descr(descriptor)); }

}  // namespace covector
