// Array: how other libraries read it without a copy: buffer protocol, NumPy, DLPack.
#include <cstring>
#include <new>

#include "python/array.h"
#include "python/dlpack.h"
#include "python/numpy_bridge.h"

namespace covector {
namespace {

constexpr const char* kFormats[kDtypeCount] = {"?", "b", "h", "i", "l",     "B", "H", "I",
                                               "L", "e", nullptr, "f", "d", "Zf", "Zd"};  // none of extension types
static_assert(sizeof(long) == 8 && sizeof(Py_ssize_t) == 8);

// What a view of the buffer protocol keeps: memory, even when the array is deleted meanwhile.
struct Export {
    Buffer* buffer;
    Py_ssize_t strides[1];
};

// Of an array without elements the lengths may have a product beyond any number: then some steps are too short.
void row_major_strides(Array* array, int64_t step, int64_t* strides) {
    for (int i = array->ndim - 1; i >= 0; --i) {
        strides[i] = step;
        int64_t longer;
        const int64_t length = array->dims()[i] > 0 ? array->dims()[i] : 1;
        if (!__builtin_mul_overflow(step, length, &longer)) step = longer;
    }
}

void release_capsule(PyObject* capsule) {
    buffer_unref(static_cast<Buffer*>(PyCapsule_GetPointer(capsule, nullptr)));
}

PyObject* convert_dtype(PyObject* values, PyObject* dtype, bool may_copy) {
    Ref wanted(parse_descriptor(dtype));
    if (!wanted) return nullptr;
    const int same = PyObject_RichCompareBool(ndarray_descriptor(values), wanted.get(), Py_EQ);
    if (same < 0) return nullptr;
    if (same) return Py_NewRef(values);
    if (!may_copy) {
        PyErr_Format(PyExc_ValueError, "%R cannot be read as %R without a copy (copy=False)",
                     ndarray_descriptor(values), wanted.get());
        return nullptr;
    }
    return ndarray_astype(values, wanted.get());
}

// __array__(dtype=None, copy=None)
PyObject* to_numpy(PyObject* self, PyObject* args, PyObject* keywords) {
    static const char* names[] = {"dtype", "copy", nullptr};
    PyObject* dtype = Py_None;
    PyObject* copy = Py_None;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "|OO:__array__", const_cast<char**>(names),
                                     &dtype, &copy)) {
        return nullptr;
    }
    const int must_copy = copy == Py_None ? 0 : PyObject_IsTrue(copy);
    if (must_copy < 0) return nullptr;
    Ref values(array_numpy(as_array(self)));
    if (!values) return nullptr;
    if (dtype != Py_None) {
        Ref converted(convert_dtype(values.get(), dtype, copy == Py_None || must_copy));
        if (!converted) return nullptr;
        if (converted.get() != values.get()) return converted.release();
    }
    return must_copy ? ndarray_copy(values.get()) : values.release();
}

// --- DLPack ---

DLDataType dlpack_dtype(int code) {
    return {kDlpackKind[code], static_cast<uint8_t>(kItemsize[code] * 8), 1};
}

// The tensor structure of either version, with the memory it keeps and room for its lengths.
template <typename Managed>
struct Exported {
    Managed managed;
    Buffer* buffer;
    int64_t lengths[2 * kMaxDims];

    static void deleter(Managed* managed) {
        auto* self = reinterpret_cast<Exported*>(managed);
        if (Py_IsInitialized()) {  // the consumer may call from any thread
            const PyGILState_STATE state = PyGILState_Ensure();
            buffer_unref(self->buffer);
            PyGILState_Release(state);
        }
        delete self;
    }
};

template <typename Managed>
PyObject* export_dlpack(Array* array, const char* name, PyCapsule_Destructor destructor) {
    auto* exported = new (std::nothrow) Exported<Managed>();
    if (exported == nullptr) return PyErr_NoMemory();
    DLTensor& tensor = exported->managed.tensor;
    tensor.data = array->buffer->data;
    tensor.device = {kDLCPU, 0};
    tensor.ndim = array->ndim;
    tensor.dtype = dlpack_dtype(array->dtype);
    tensor.shape = exported->lengths;
    tensor.strides = exported->lengths + kMaxDims;
    std::memcpy(tensor.shape, array->dims(), sizeof(int64_t) * static_cast<size_t>(array->ndim));
    row_major_strides(array, 1, tensor.strides);
    exported->managed.deleter = Exported<Managed>::deleter;
    exported->buffer = array->buffer;
    buffer_ref(array->buffer);
    PyObject* capsule = PyCapsule_New(&exported->managed, name, destructor);
    if (capsule == nullptr) Exported<Managed>::deleter(&exported->managed);
    return capsule;
}

// A capsule that nobody consumed still owns its tensor.
template <typename Managed>
void release_unused(PyObject* capsule, const char* name) {
    if (!PyCapsule_IsValid(capsule, name)) return;
    auto* managed = static_cast<Managed*>(PyCapsule_GetPointer(capsule, name));
    managed->deleter(managed);
}

PyObject* export_legacy(Array* array) {
    return export_dlpack<DLManagedTensor>(array, "dltensor", [](PyObject* capsule) {
        release_unused<DLManagedTensor>(capsule, "dltensor");
    });
}

PyObject* export_versioned(Array* array, uint64_t flags) {
    Ref capsule(export_dlpack<DLManagedTensorVersioned>(
        array, "dltensor_versioned", [](PyObject* object) {
            release_unused<DLManagedTensorVersioned>(object, "dltensor_versioned");
        }));
    if (!capsule) return nullptr;
    auto* managed = static_cast<DLManagedTensorVersioned*>(
        PyCapsule_GetPointer(capsule.get(), "dltensor_versioned"));
    managed->major = 1;
    managed->minor = 0;
    managed->flags = flags;
    return capsule.release();
}

bool read_pair(PyObject* pair, const char* name, int* first, int* second) {
    if (PyTuple_Check(pair) && PyArg_ParseTuple(pair, "ii", first, second)) return true;
    PyErr_Format(PyExc_TypeError, "__dlpack__() takes %s as a pair of ints, not %R", name, pair);
    return false;
}

// Whether the consumer asked for a device we are not on; false with an exception.
bool check_device(PyObject* device) {
    if (device == Py_None) return true;
    int type, id;
    if (!read_pair(device, "dl_device", &type, &id)) return false;
    if (type == kDLCPU) return true;
    PyErr_Format(PyExc_BufferError,
                 "this array is on the CPU (device type 1), not on a device of type %d", type);
    return false;
}

// __dlpack__(*, stream=None, max_version=None, dl_device=None, copy=None)
PyObject* dlpack(PyObject* self, PyObject* args, PyObject* keywords) {
    static const char* names[] = {"stream", "max_version", "dl_device", "copy", nullptr};
    PyObject *stream = Py_None, *version = Py_None, *device = Py_None, *copy = Py_None;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "|OOOO:__dlpack__", const_cast<char**>(names),
                                     &stream, &version, &device, &copy)) {
        return nullptr;
    }
    if (stream != Py_None) {
        PyErr_Format(PyExc_ValueError, "__dlpack__() takes no stream, not %R: the CPU has none",
                     stream);
        return nullptr;
    }
    int major = 0, minor = 0;
    if (version != Py_None && !read_pair(version, "max_version", &major, &minor)) return nullptr;
    const int must_copy = copy == Py_None ? 0 : PyObject_IsTrue(copy);
    if (must_copy < 0 || !check_device(device) || !array_wait(as_array(self))) return nullptr;
    if (kDlpackKind[as_array(self)->dtype] == kDLNone) {
        PyErr_Format(PyExc_BufferError,
                     "DLPack packs several elements of %s into a byte, arrays do not; convert with "
                     "x.astype first", kDtypeName[as_array(self)->dtype]);
        return nullptr;
    }
    Ref source = Ref::borrow(self);
    if (must_copy) {
        Array* from = as_array(self);
        Array* fresh = array_empty(from->dtype, from->weak, from->ndim, from->dims());
        if (fresh == nullptr) return nullptr;
        std::memcpy(fresh->buffer->data, from->buffer->data, static_cast<size_t>(from->nbytes()));
        source = Ref(as_object(fresh));
    }
    if (major < 1) return export_legacy(as_array(source.get()));
    return export_versioned(as_array(source.get()), must_copy ? kDLIsCopied : kDLReadOnly);
}

PyObject* dlpack_device(PyObject*, PyObject*) { return Py_BuildValue("ii", kDLCPU, 0); }

}  // namespace

PyObject* array_numpy(Array* array) {
    if (!array_wait(array)) return nullptr;
    Buffer* buffer = array->buffer;
    buffer_ref(buffer);
    PyObject* owner = PyCapsule_New(buffer, nullptr, release_capsule);
    if (owner == nullptr) {
        buffer_unref(buffer);
        return nullptr;
    }
    return ndarray_over(buffer->data, array->dtype, array->ndim, array->dims(), false,
                        owner);
}

int array_getbuffer(PyObject* self, Py_buffer* view, int flags) {
    Array* array = as_array(self);
    view->obj = nullptr;
    if (kFormats[array->dtype] == nullptr) {
        PyErr_Format(PyExc_BufferError,
                     "the buffer protocol has no format for %s; use numpy.asarray(x), or "
                     "x.astype('float32') first",
                     kDtypeName[array->dtype]);
        return -1;
    }
    if (flags & PyBUF_WRITABLE) {
        PyErr_SetString(PyExc_BufferError,
                        "arrays are immutable: no writable view of their memory");
        return -1;
    }
    const bool fortran = (flags & PyBUF_F_CONTIGUOUS) == PyBUF_F_CONTIGUOUS;
    if (fortran && (flags & PyBUF_C_CONTIGUOUS) != PyBUF_C_CONTIGUOUS && array->ndim > 1) {
        PyErr_SetString(PyExc_BufferError, "arrays are row-major, not column-major");
        return -1;
    }
    if (!array_wait(array)) return -1;
    auto* data = static_cast<Export*>(
        PyMem_Malloc(sizeof(Export) + sizeof(Py_ssize_t) * static_cast<size_t>(array->ndim)));
    if (data == nullptr) {
        PyErr_NoMemory();
        return -1;
    }
    data->buffer = array->buffer;
    buffer_ref(array->buffer);
    int64_t strides[kMaxDims];
    row_major_strides(array, kItemsize[array->dtype], strides);
    for (int i = 0; i < array->ndim; ++i) data->strides[i] = strides[i];
    view->buf = array->buffer->data;
    view->obj = Py_NewRef(self);
    view->len = array->nbytes();
    view->readonly = 1;
    view->itemsize = kItemsize[array->dtype];
    view->format = flags & PyBUF_FORMAT ? const_cast<char*>(kFormats[array->dtype]) : nullptr;
    view->ndim = array->ndim;
    const bool with_shape = (flags & PyBUF_ND) == PyBUF_ND;
    const bool with_strides = (flags & PyBUF_STRIDES) == PyBUF_STRIDES;
    view->shape = with_shape ? reinterpret_cast<Py_ssize_t*>(const_cast<int64_t*>(array->dims()))
                             : nullptr;
    view->strides = with_strides ? data->strides : nullptr;
    view->suboffsets = nullptr;
    view->internal = data;
    return 0;
}

void array_releasebuffer(PyObject*, Py_buffer* view) {
    auto* data = static_cast<Export*>(view->internal);
    buffer_unref(data->buffer);
    PyMem_Free(data);
}

PyMethodDef kProtocolMethods[] = {
    {"__array__", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(to_numpy)),
     METH_VARARGS | METH_KEYWORDS, "A NumPy array, read-only and without a copy where it can be."},
    {"__dlpack__", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(dlpack)),
     METH_VARARGS | METH_KEYWORDS, "A DLPack capsule over the memory."},
    {"__dlpack_device__", dlpack_device, METH_NOARGS, "The DLPack device: the CPU."},
    {nullptr, nullptr, 0, nullptr},
};

}  // namespace covector
