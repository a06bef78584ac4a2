// Array: the type object, its life cycle and plain attributes.
#include "python/array.h"

#include <structmember.h>

#include <cstring>
#include <string>
#include <vector>

#include "python/numpy_bridge.h"
#include "python/state.h"

namespace covector {

PyTypeObject* g_array_type = nullptr;

namespace {

PyObject* g_array_from = nullptr;  // the module function, which pickles refer to

constexpr int kFreeListSize = 256;
Array* g_free_list[kFreeListSize];
int g_free_count = 0;

void array_dealloc(PyObject* self) {
    Array* array = as_array(self);
    if (CV_UNLIKELY(array->weakrefs != nullptr)) PyObject_ClearWeakRefs(self);
    if (CV_LIKELY(array->buffer != nullptr)) buffer_unref(array->buffer);
    if (CV_UNLIKELY(array->ndim > kInlineDims)) PyMem_Free(array->heap_dims);
    Py_CLEAR(array->shape);
    PyTypeObject* type = Py_TYPE(self);
    if (CV_LIKELY(g_free_count < kFreeListSize)) {
        g_free_list[g_free_count++] = array;
    } else {
        PyObject_Free(self);
    }
    Py_DECREF(type);
}

// --- attributes ---

PyObject* get_shape(PyObject* self, void*) { return array_shape(as_array(self)); }
PyObject* get_dtype(PyObject* self, void*) {
    return Py_XNewRef(dtype_object(as_array(self)->dtype));
}
PyObject* get_weak_type(PyObject* self, void*) { return PyBool_FromLong(as_array(self)->weak); }
PyObject* get_ndim(PyObject* self, void*) { return PyLong_FromLong(as_array(self)->ndim); }
PyObject* get_size(PyObject* self, void*) { return PyLong_FromLongLong(as_array(self)->size); }
PyObject* get_nbytes(PyObject* self, void*) {
    return PyLong_FromLongLong(as_array(self)->nbytes());
}
PyObject* get_itemsize(PyObject* self, void*) {
    return PyLong_FromLong(kItemsize[as_array(self)->dtype]);
}

PyObject* get_committed(PyObject* self, void*) {
    return PyBool_FromLong(as_array(self)->committed);
}

PyGetSetDef kAttributes[] = {
    {"committed", get_committed, nullptr,
     "Whether somebody asked for its device, or that of something that it was computed from.",
     nullptr},
    {"shape", get_shape, nullptr, "The lengths of the axes.", nullptr},
    {"dtype", get_dtype, nullptr, "The type of the elements.", nullptr},
    {"weak_type", get_weak_type, nullptr,
     "Whether the type came from a Python number, and gives way in promotion.", nullptr},
    {"ndim", get_ndim, nullptr, "The number of axes.", nullptr},
    {"size", get_size, nullptr, "The number of elements.", nullptr},
    {"nbytes", get_nbytes, nullptr, "The bytes that the elements take.", nullptr},
    {"itemsize", get_itemsize, nullptr, "The bytes that one element takes.", nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr},
};

PyMemberDef kMembers[] = {
    {"__weaklistoffset__", T_PYSSIZET, offsetof(Array, weakrefs), READONLY, nullptr},
    {nullptr, 0, 0, 0, nullptr},
};

// --- life cycle ---

PyObject* is_ready(PyObject* self, PyObject*) {
    if (!array_check(as_array(self))) return nullptr;
    return PyBool_FromLong(!buffer_is_pending(as_array(self)->buffer));
}

PyObject* block_until_ready(PyObject* self, PyObject*) {
    return array_wait(as_array(self)) ? Py_NewRef(self) : nullptr;
}

PyObject* is_deleted(PyObject* self, PyObject*) {
    return PyBool_FromLong(as_array(self)->buffer == nullptr);
}

PyObject* delete_buffer(PyObject* self, PyObject*) {
    if (as_array(self)->buffer != nullptr) buffer_unref(array_give_up(as_array(self), kDeleted));
    Py_RETURN_NONE;
}

PyObject* unsafe_buffer_pointer(PyObject* self, PyObject*) {
    if (!array_wait(as_array(self))) return nullptr;
    return PyLong_FromVoidPtr(as_array(self)->buffer->data);
}

// Our own memory never changes, so a copy is another name of it; another library may write to its.
PyObject* copy_method(PyObject* self, PyObject*) {
    Array* array = as_array(self);
    const bool own = array->buffer == nullptr || array->buffer->is_own();
    return as_object(own ? array_share(array) : array_copy(array));
}

PyObject* reduce(PyObject* self, PyObject*) {
    Array* array = as_array(self);
    Ref data(array_numpy(array));
    if (!data) return nullptr;
    return Py_BuildValue("O(OOO)", g_array_from, data.get(), Py_None,
                         array->weak ? Py_True : Py_False);
}

PyMethodDef kLifeMethods[] = {
    {"is_ready", is_ready, METH_NOARGS, "Whether the value is computed."},
    {"block_until_ready", block_until_ready, METH_NOARGS,
     "Waits until the value is computed, and returns the array."},
    {"is_deleted", is_deleted, METH_NOARGS, "Whether the memory was given up."},
    {"delete", delete_buffer, METH_NOARGS, "Gives the memory up; the array cannot be read again."},
    {"unsafe_buffer_pointer", unsafe_buffer_pointer, METH_NOARGS,
     "The address of the first element."},
    {"__copy__", copy_method, METH_NOARGS, "A second array with the same elements."},
    {"__deepcopy__", copy_method, METH_O, "A second array with the same elements."},
    {"__reduce__", reduce, METH_NOARGS, "How pickle makes the array again."},
};

// --- what Python code does for us ---

// Calls a hook, which may be replaced while it runs.
PyObject* call_hook(PyObject* hook, const char* name, PyObject* self, PyObject* argument) {
    if (hook == nullptr) return hook_missing(name), nullptr;
    const Ref held = Ref::borrow(hook);
    PyObject* args[] = {nullptr, self, argument};
    const size_t count = argument == nullptr ? 1 : 2;
    return PyObject_Vectorcall(hook, args + 1, count | PY_VECTORCALL_ARGUMENTS_OFFSET, nullptr);
}

PyObject* subscript(PyObject* self, PyObject* index) {
    return call_hook(g_hooks.getitem, "getitem", self, index);
}

int assign_subscript(PyObject*, PyObject*, PyObject* value) {
    PyErr_SetString(PyExc_TypeError,
                    value == nullptr
                        ? "arrays are immutable: elements cannot be deleted"
                        : "arrays are immutable: instead of x[idx] = value, write "
                          "x = x.at[idx].set(value), which returns the changed array");
    return -1;
}

PyObject* iterate(PyObject* self) {
    return call_hook(g_hooks.iter, "iter", self, nullptr);
}

int contains(PyObject* self, PyObject* item) {
    Ref found(call_hook(g_hooks.contains, "contains", self, item));
    return found ? PyObject_IsTrue(found.get()) : -1;
}

Py_ssize_t length(PyObject* self) {
    Array* array = as_array(self);
    if (array->ndim > 0) return static_cast<Py_ssize_t>(array->dims()[0]);
    PyErr_SetString(PyExc_TypeError, "len() of an array without axes: its shape is ()");
    return -1;
}

PyObject* plain_repr(PyObject* self) {
    Array* array = as_array(self);
    Ref type(describe(array->dtype, array->ndim, array->dims()));
    if (!type) return nullptr;
    return PyUnicode_FromFormat(array->buffer ? "<Array %U>" : "<deleted Array %U>", type.get());
}

PyObject* represent(PyObject* self) {
    if (g_hooks.repr == nullptr) return plain_repr(self);
    return call_hook(g_hooks.repr, "repr", self, nullptr);
}

PyObject* to_text(PyObject* self) {
    if (as_array(self)->buffer == nullptr) return represent(self);
    Ref values(array_numpy(as_array(self)));
    return values ? PyObject_Str(values.get()) : nullptr;
}

PyObject* format(PyObject* self, PyObject* spec) {
    if (g_hooks.format != nullptr) return call_hook(g_hooks.format, "format", self, spec);
    Ref values(array_numpy(as_array(self)));
    if (!values) return nullptr;
    if (as_array(self)->ndim != 0) return PyObject_Format(values.get(), spec);
    Ref item(PyObject_CallMethod(values.get(), "item", nullptr));
    return item ? PyObject_Format(item.get(), spec) : nullptr;
}

PyMethodDef kHookMethods[] = {
    {"__format__", format, METH_O, "The text of the array under a format specification."},
};

PyType_Slot kBasicSlots[] = {
    {Py_tp_dealloc, reinterpret_cast<void*>(array_dealloc)},
    {Py_tp_doc, const_cast<char*>("An immutable multidimensional array; its value may still be "
                                  "being computed.\n\n"
                                  ">>> from covector import numpy as cnp\n"
                                  ">>> x = cnp.array([[1, 2], [3, 4]])\n"
                                  ">>> x.shape, x.T[0], x.sum(axis=1)\n"
                                  "((2, 2), Array([1, 3], dtype=int32), "
                                  "Array([3, 7], dtype=int32))\n")},
    {Py_tp_members, kMembers},
    {Py_tp_getset, kAttributes},
    {Py_tp_hash, reinterpret_cast<void*>(PyObject_HashNotImplemented)},
    {Py_tp_richcompare, reinterpret_cast<void*>(array_richcompare)},
    {Py_tp_iter, reinterpret_cast<void*>(iterate)},
    {Py_tp_repr, reinterpret_cast<void*>(represent)},
    {Py_tp_str, reinterpret_cast<void*>(to_text)},
    {Py_mp_subscript, reinterpret_cast<void*>(subscript)},
    {Py_mp_ass_subscript, reinterpret_cast<void*>(assign_subscript)},
    {Py_mp_length, reinterpret_cast<void*>(length)},
    {Py_sq_contains, reinterpret_cast<void*>(contains)},
    {Py_bf_getbuffer, reinterpret_cast<void*>(array_getbuffer)},
    {Py_bf_releasebuffer, reinterpret_cast<void*>(array_releasebuffer)},
};

}  // namespace

// --- creation ---

Array* array_new(Buffer* buffer, int dtype, bool weak, int ndim, const int64_t* dims, int64_t size,
                 bool committed) {
    Array* array;
    if (CV_LIKELY(g_free_count > 0)) {
        array = g_free_list[--g_free_count];
    } else {
        array = static_cast<Array*>(PyObject_Malloc(sizeof(Array)));
        if (array == nullptr) {
            buffer_unref(buffer);
            PyErr_NoMemory();
            return nullptr;
        }
    }
    int64_t* own_dims = array->inline_dims;
    if (CV_UNLIKELY(ndim > kInlineDims)) {
        own_dims = static_cast<int64_t*>(PyMem_Malloc(sizeof(int64_t) * static_cast<size_t>(ndim)));
        if (own_dims == nullptr) {
            PyObject_Free(array);
            buffer_unref(buffer);
            PyErr_NoMemory();
            return nullptr;
        }
        array->heap_dims = own_dims;
    }
    for (int i = 0; i < ndim; ++i) own_dims[i] = dims[i];
    array->buffer = buffer;
    array->weakrefs = nullptr;
    array->shape = nullptr;
    array->size = size;
    array->dtype = static_cast<uint8_t>(dtype);
    array->weak = weak;
    array->gone = kHere;
    array->marked = false;
    array->committed = committed;
    array->ndim = static_cast<int16_t>(ndim);
    PyObject_Init(as_object(array), g_array_type);
    return array;
}

Array* array_share(Array* array) {
    if (!array_check(array)) return nullptr;
    buffer_ref(array->buffer);
    return array_new(array->buffer, array->dtype, array->weak, array->ndim, array->dims(),
                     array->size, array->committed);
}

Array* array_empty(int dtype, bool weak, int ndim, const int64_t* dims) {
    const int64_t size = element_count(ndim, dims, dtype);
    if (size < 0) return nullptr;
    Buffer* buffer = buffer_new(size * kItemsize[dtype]);
    if (buffer == nullptr) {
        raise_no_memory(size * kItemsize[dtype]);
        return nullptr;
    }
    return array_new(buffer, dtype, weak, ndim, dims, size);
}

// --- shapes ---

PyObject* shape_tuple(int ndim, const int64_t* dims) {
    PyObject* tuple = PyTuple_New(ndim);
    if (tuple == nullptr) return nullptr;
    for (int i = 0; i < ndim; ++i) {
        PyObject* length = PyLong_FromLongLong(dims[i]);
        if (length == nullptr) {
            Py_DECREF(tuple);
            return nullptr;
        }
        PyTuple_SET_ITEM(tuple, i, length);
    }
    return tuple;
}

PyObject* array_shape(Array* array) {
    if (array->shape == nullptr) {
        array->shape = shape_tuple(array->ndim, array->dims());
        if (array->shape == nullptr) return nullptr;
    }
    return Py_NewRef(array->shape);
}

int64_t element_count(int ndim, const int64_t* dims, int dtype) {
    int64_t size = 1;
    int64_t bytes = kItemsize[dtype];
    bool empty = false;
    bool overflow = false;
    for (int i = 0; i < ndim; ++i) {
        if (dims[i] < 0) {
            Ref shape(shape_tuple(ndim, dims));
            if (shape) {
                PyErr_Format(PyExc_ValueError, "a shape must not be negative: %R", shape.get());
            }
            return -1;
        }
        if (dims[i] == 0) empty = true;
        else overflow |= __builtin_mul_overflow(bytes, dims[i], &bytes);
        size *= overflow ? 1 : dims[i];
    }
    if (empty) return 0;
    if (!overflow && bytes < (int64_t{1} << 62)) return size;
    Ref type(describe(dtype, ndim, dims));
    if (type) {
        PyErr_Format(PyExc_MemoryError, "an array %U takes more memory than can be addressed",
                     type.get());
    }
    return -1;
}

int parse_shape(PyObject* shape, int64_t* dims) {
    if (PyIndex_Check(shape)) {
        const Py_ssize_t length = PyNumber_AsSsize_t(shape, PyExc_OverflowError);
        if (length == -1 && PyErr_Occurred()) return -1;
        dims[0] = length;
        return 1;
    }
    Ref items(PySequence_Fast(shape, "a shape must be an int or a sequence of ints"));
    if (!items) return -1;
    const Py_ssize_t ndim = PySequence_Fast_GET_SIZE(items.get());
    if (ndim > kMaxDims) {
        PyErr_Format(PyExc_ValueError, "an array has at most %d axes, not %zd", kMaxDims, ndim);
        return -1;
    }
    for (Py_ssize_t i = 0; i < ndim; ++i) {
        PyObject* item = PySequence_Fast_GET_ITEM(items.get(), i);
        const Py_ssize_t length = PyNumber_AsSsize_t(item, PyExc_OverflowError);
        if (length == -1 && PyErr_Occurred()) return -1;
        dims[i] = length;
    }
    return static_cast<int>(ndim);
}

PyObject* describe(int dtype, int ndim, const int64_t* dims) {
    std::string text = kDtypeName[dtype];
    text += '[';
    for (int i = 0; i < ndim; ++i) {
        if (i > 0) text += ',';
        text += std::to_string(dims[i]);
    }
    text += ']';
    return PyUnicode_FromStringAndSize(text.data(), static_cast<Py_ssize_t>(text.size()));
}

bool raise_deleted(Array* array) {
    Ref type(describe(array->dtype, array->ndim, array->dims()));
    if (!type) return false;
    PyErr_Format(PyExc_RuntimeError, "Array has been deleted: %U %s", type.get(),
                 array->gone == kDonated
                     ? "was donated to a compiled call, which may have reused its memory; use the "
                       "call's result, or do not donate this argument"
                     : "was freed by its delete() method");
    return false;
}

bool array_type_init(PyObject* module) {
    static std::vector<PyMethodDef> methods;
    for (PyMethodDef& method : kLifeMethods) methods.push_back(method);
    for (PyMethodDef& method : kHookMethods) methods.push_back(method);
    for (PyMethodDef* m = kProtocolMethods; m->ml_name != nullptr; ++m) methods.push_back(*m);
    for (PyMethodDef* m = kConvertMethods; m->ml_name != nullptr; ++m) methods.push_back(*m);
    methods.push_back({nullptr, nullptr, 0, nullptr});

    std::vector<PyType_Slot> slots(std::begin(kBasicSlots), std::end(kBasicSlots));
    for (PyType_Slot* s = kNumberSlots; s->slot != 0; ++s) slots.push_back(*s);
    for (PyType_Slot* s = kConvertSlots; s->slot != 0; ++s) slots.push_back(*s);
    slots.push_back({Py_tp_methods, methods.data()});
    slots.push_back({0, nullptr});

    PyType_Spec spec = {"covector.Array", sizeof(Array), 0,
                        Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION, slots.data()};
    PyObject* type = PyType_FromSpec(&spec);
    if (type == nullptr) return false;
    g_array_type = reinterpret_cast<PyTypeObject*>(type);
    Ref priority(PyLong_FromLong(100));
    if (!priority || !array_kind_init(g_array_type) ||
        PyObject_SetAttrString(type, "__array_ufunc__", Py_None) < 0 ||
        PyObject_SetAttrString(type, "__array_priority__", priority.get()) < 0 ||
        PyModule_AddObjectRef(module, "Array", type) < 0 ||
        PyModule_AddFunctions(module, kArrayFunctions) < 0) {
        return false;
    }
    g_array_from = PyObject_GetAttrString(module, "array_from");
    return g_array_from != nullptr;
}

}  // namespace covector
