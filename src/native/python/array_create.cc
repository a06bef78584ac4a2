// Array: the module functions that make one.
#include <cstring>

#include "python/arguments.h"
#include "python/array.h"
#include "python/dlpack.h"
#include "python/numpy_bridge.h"
#include "runtime/pool.h"

namespace covector {
namespace {

constexpr int64_t kCopyGrain = 1 << 20;
constexpr int64_t kCopyWithoutGil = 256 << 10;

struct CopyJob {
    char* to;
    const char* from;
};

// Both must be kept alive by the caller.
void copy_bytes(void* to, const void* from, int64_t bytes) {
    if (bytes < kCopyWithoutGil) {
        std::memcpy(to, from, static_cast<size_t>(bytes));
        return;
    }
    WithoutGil released;
    CopyJob job{static_cast<char*>(to), static_cast<const char*>(from)};
    cv_parallel_for(
        [](void* context, int64_t begin, int64_t end) {
            const auto* part = static_cast<CopyJob*>(context);
            std::memcpy(part->to + begin, part->from + begin, static_cast<size_t>(end - begin));
        },
        &job, bytes, kCopyGrain);
}

Array* copy_memory(const void* data, int dtype, bool weak, int ndim, const int64_t* dims) {
    Array* made = array_empty(dtype, weak, ndim, dims);
    if (made != nullptr) copy_bytes(made->buffer->data, data, made->nbytes());
    return made;
}

// A fresh array with the same elements; `array` itself is kept alive by the caller.
Array* copy_array(Array* array, bool weak) {
    if (!array_wait(array)) return nullptr;
    Buffer* source = array->buffer;
    buffer_ref(source);
    Array* made = copy_memory(source->data, array->dtype, weak, array->ndim, array->dims());
    buffer_unref(source);
    if (made != nullptr) made->committed = array->committed;
    return made;
}

PyObject* from_array(PyObject* object, int dtype, bool weak, bool copy) {
    Array* array = as_array(object);
    if (dtype >= 0 && dtype != array->dtype) {
        Ref values(array_numpy(array));
        return values ? array_from(values.get(), dtype, weak, false) : nullptr;
    }
    if (copy) return as_object(copy_array(array, weak));
    Array* shared = array_share(array);
    if (shared != nullptr) shared->weak = weak;
    return as_object(shared);
}

PyObject* from_ndarray(PyObject* object, int dtype, bool weak, bool copy) {
    if (is_masked(object)) {
        PyErr_SetString(PyExc_TypeError, "a masked array cannot become an array, which has no mask: "
                        "fill it first, for example x.filled(0)");
        return nullptr;
    }
    NdarrayView view = view_ndarray(object);
    if (dtype < 0) {
        dtype = view.code >= 0 ? view.code : parse_dtype(ndarray_descriptor(object));
        if (dtype < 0) return nullptr;
    }
    Ref values = Ref::borrow(object);
    if (view.code != dtype || !view.contiguous) {
        values = Ref(to_ndarray(object, dtype));
        if (!values) return nullptr;
        view = view_ndarray(values.get());
        copy = values.get() == object;  // a fresh ndarray is ours to alias
    }
    const bool aligned = reinterpret_cast<uintptr_t>(view.data) % kAlignment == 0;
    const auto* dims = reinterpret_cast<const int64_t*>(view.shape);
    if (copy || !aligned) {
        return as_object(copy_memory(view.data, dtype, weak, view.ndim, dims));
    }
    const int64_t size = element_count(view.ndim, dims, dtype);
    if (size < 0) return nullptr;
    Buffer* buffer = buffer_new_foreign(view.data, size * kItemsize[dtype],
                                        owner_of(values.get()));
    if (buffer == nullptr) return raise_no_memory(size * kItemsize[dtype]);
    return as_object(array_new(buffer, dtype, weak, view.ndim, dims, size));
}

PyObject* from_numpy_scalar(PyObject* object, int dtype, bool weak) {
    const int code = numpy_scalar_code(object);
    if (code < 0 || (dtype >= 0 && code != dtype)) {
        Ref values(to_ndarray(object, -1));
        return values ? from_ndarray(values.get(), dtype, weak, true) : nullptr;
    }
    Array* made = array_empty(code, weak, 0, nullptr);
    if (made != nullptr && !numpy_scalar_read(object, made->buffer->data)) Py_CLEAR(made);
    return as_object(made);
}

// array_from(obj, dtype=None, weak_type=False, copy=True)
PyObject* py_array_from(PyObject*, PyObject* const* args, Py_ssize_t nargs, PyObject* keywords) {
    static const char* names[] = {"obj", "dtype", "weak_type", "copy"};
    PyObject* values[4];
    if (!parse_arguments("array_from", names, 4, 1, args, nargs, keywords, values)) return nullptr;
    int dtype = -1;
    if (values[1] != nullptr && values[1] != Py_None) {
        dtype = parse_dtype(values[1]);
        if (dtype < 0) return nullptr;
    }
    const int weak = truth(values[2], false);
    const int copy = truth(values[3], true);
    if (weak < 0 || copy < 0) return nullptr;
    return array_from(values[0], dtype, weak, copy);
}

// empty(shape, dtype, weak_type=False)
PyObject* py_empty(PyObject*, PyObject* const* args, Py_ssize_t nargs, PyObject* keywords) {
    static const char* names[] = {"shape", "dtype", "weak_type"};
    PyObject* values[3];
    if (!parse_arguments("empty", names, 3, 2, args, nargs, keywords, values)) return nullptr;
    int64_t dims[kMaxDims];
    const int ndim = parse_shape(values[0], dims);
    const int dtype = ndim < 0 ? -1 : parse_dtype(values[1]);
    const int weak = dtype < 0 ? -1 : truth(values[2], false);
    return weak < 0 ? nullptr : as_object(array_empty(dtype, weak, ndim, dims));
}

// scalar(value, dtype, weak=False)
PyObject* py_scalar(PyObject*, PyObject* const* args, Py_ssize_t nargs, PyObject* keywords) {
    static const char* names[] = {"value", "dtype", "weak"};
    PyObject* values[3];
    if (!parse_arguments("scalar", names, 3, 2, args, nargs, keywords, values)) return nullptr;
    const int dtype = parse_dtype(values[1]);
    const int weak = dtype < 0 ? -1 : truth(values[2], false);
    if (weak < 0) return nullptr;
    alignas(16) char element[16];
    if (!store_number(values[0], dtype, element)) return nullptr;
    return as_object(copy_memory(element, dtype, weak, 0, nullptr));
}

Array* expect_array(PyObject* object, const char* function) {
    if (is_array(object)) return as_array(object);
    PyErr_Format(PyExc_TypeError, "%s() takes an Array, not %.200s", function,
                 Py_TYPE(object)->tp_name);
    return nullptr;
}

// reshape(array, shape)
PyObject* py_reshape(PyObject*, PyObject* const* args, Py_ssize_t nargs, PyObject* keywords) {
    static const char* names[] = {"array", "shape"};
    PyObject* values[2];
    if (!parse_arguments("reshape", names, 2, 2, args, nargs, keywords, values)) return nullptr;
    Array* array = expect_array(values[0], "reshape");
    if (array == nullptr) return nullptr;
    int64_t dims[kMaxDims];
    const int ndim = parse_shape(values[1], dims);
    const int64_t size = ndim < 0 ? -1 : element_count(ndim, dims, array->dtype);
    if (size < 0 || !array_check(array)) return nullptr;
    if (size != array->size) {
        Ref type(describe(array->dtype, array->ndim, array->dims()));
        Ref shape(shape_tuple(ndim, dims));
        if (type && shape) {
            PyErr_Format(PyExc_ValueError, "an array %U of %lld elements cannot have the shape %R",
                         type.get(), static_cast<long long>(array->size), shape.get());
        }
        return nullptr;
    }
    buffer_ref(array->buffer);
    return as_object(array_new(array->buffer, array->dtype, array->weak, ndim, dims, size,
                               array->committed));
}

// bitcast(array, dtype)
PyObject* py_bitcast(PyObject*, PyObject* const* args, Py_ssize_t nargs, PyObject* keywords) {
    static const char* names[] = {"array", "dtype"};
    PyObject* values[2];
    if (!parse_arguments("bitcast", names, 2, 2, args, nargs, keywords, values)) return nullptr;
    Array* array = expect_array(values[0], "bitcast");
    const int dtype = array == nullptr ? -1 : parse_dtype(values[1]);
    if (dtype < 0) return nullptr;
    const bool same = dtype == array->dtype;
    const bool packed = is_below_a_byte(dtype) || is_below_a_byte(array->dtype);
    if (!same && (kItemsize[dtype] != kItemsize[array->dtype] || dtype == kBool || packed)) {
        PyErr_Format(PyExc_ValueError,
                     "bitcast() needs elements of the same size that every bit pattern is valid "
                     "for: %s cannot be read as %s", kDtypeName[array->dtype], kDtypeName[dtype]);
        return nullptr;
    }
    Array* cast = array_share(array);
    if (cast != nullptr) {
        cast->dtype = static_cast<uint8_t>(dtype);
        cast->weak = false;
    }
    return as_object(cast);
}

// with_weak_type(array, weak)
PyObject* py_with_weak_type(PyObject*, PyObject* const* args, Py_ssize_t nargs,
                            PyObject* keywords) {
    static const char* names[] = {"array", "weak"};
    PyObject* values[2];
    if (!parse_arguments("with_weak_type", names, 2, 2, args, nargs, keywords, values)) {
        return nullptr;
    }
    Array* array = expect_array(values[0], "with_weak_type");
    const int weak = array == nullptr ? -1 : truth(values[1], false);
    if (weak < 0) return nullptr;
    Array* shared = array_share(array);
    if (shared != nullptr) shared->weak = weak;
    return as_object(shared);
}

PyObject* py_copy(PyObject*, PyObject* object) {
    Array* array = expect_array(object, "copy");
    return array == nullptr ? nullptr : as_object(array_copy(array));
}

// commit(array)
PyObject* py_commit(PyObject*, PyObject* object) {
    Array* array = expect_array(object, "commit");
    Array* shared = array == nullptr ? nullptr : array_share(array);
    if (shared != nullptr) shared->committed = true;
    return as_object(shared);
}

PyObject* py_is_masked(PyObject*, PyObject* object) { return PyBool_FromLong(is_masked(object)); }

// --- DLPack ---

int dtype_of_dlpack(DLDataType type) {
    if (type.lanes != 1 || type.code == kDLNone) return -1;
    for (int code = 0; code < kDtypeCount; ++code) {
        if (kItemsize[code] * 8 == type.bits && kDlpackKind[code] == type.code) return code;
    }
    return -1;
}

bool is_row_major(const DLTensor& tensor) {
    if (tensor.strides == nullptr) return true;
    int64_t step = 1;
    for (int i = tensor.ndim - 1; i >= 0; --i) {
        if (tensor.shape[i] != 1 && tensor.strides[i] != step) return false;
        step *= tensor.shape[i];
    }
    return true;
}

constexpr const char* kOwnerName = "covector_dlpack_owner";

template <typename Managed>
void release_owner(PyObject* capsule) {
    auto* managed = static_cast<Managed*>(PyCapsule_GetPointer(capsule, kOwnerName));
    if (managed->deleter != nullptr) managed->deleter(managed);
}

// Takes the tensor out of its capsule. The result owns it: a Python object whose end frees it.
template <typename Managed>
PyObject* consume(PyObject* capsule, const char* name, const char* used_name, DLTensor** tensor) {
    auto* managed = static_cast<Managed*>(PyCapsule_GetPointer(capsule, name));
    if (managed == nullptr) return nullptr;
    PyObject* owner = PyCapsule_New(managed, kOwnerName, release_owner<Managed>);
    if (owner == nullptr) return nullptr;
    PyCapsule_SetName(capsule, used_name);
    *tensor = &managed->tensor;
    return owner;
}

// Asks for the newest protocol first, and falls back for producers that do not know it.  With `share`
// the producer must not copy either; those that do not know the word cannot.
PyObject* request_capsule(PyObject* object, bool share) {
    Ref method(PyObject_GetAttrString(object, "__dlpack__"));
    if (!method) {
        if (PyErr_ExceptionMatches(PyExc_AttributeError)) {
            PyErr_Format(PyExc_TypeError,
                         "from_dlpack() takes an object with __dlpack__, not %.200s",
                         Py_TYPE(object)->tp_name);
        }
        return nullptr;
    }
    Ref empty(PyTuple_New(0));
    Ref keywords(share ? Py_BuildValue("{s(ii)sO}", "max_version", 1, 0, "copy", Py_False)
                       : Py_BuildValue("{s(ii)}", "max_version", 1, 0));
    if (!empty || !keywords) return nullptr;
    PyObject* capsule = PyObject_Call(method.get(), empty.get(), keywords.get());
    if (capsule != nullptr || !PyErr_ExceptionMatches(PyExc_TypeError)) return capsule;
    PyErr_Clear();
    return PyObject_CallNoArgs(method.get());
}

PyObject* strided_copy(const DLTensor& tensor, int dtype, char* data) {
    int64_t dims[kMaxDims], strides[kMaxDims];
    for (int i = 0; i < tensor.ndim; ++i) {
        dims[i] = tensor.shape[i];
        strides[i] = tensor.strides[i] * kItemsize[dtype];
    }
    Array* made = array_empty(dtype, false, tensor.ndim, dims);
    if (made == nullptr || made->size == 0) return as_object(made);
    auto* to = static_cast<char*>(made->buffer->data);
    int64_t index[kMaxDims] = {};
    for (int64_t done = 0; done < made->size; ++done, to += kItemsize[dtype]) {
        std::memcpy(to, data, kItemsize[dtype]);
        for (int axis = tensor.ndim - 1; axis >= 0; --axis) {
            data += strides[axis];
            if (++index[axis] < dims[axis]) break;
            data -= strides[axis] * dims[axis];
            index[axis] = 0;
        }
    }
    return as_object(made);
}

PyObject* refuse_to_copy(const char* reason) {
    PyErr_Format(PyExc_BufferError, "from_dlpack(copy=False) of an array %s, which has to be copied",
                 reason);
    return nullptr;
}

PyObject* from_tensor(const DLTensor& tensor, PyObject* owner, bool share) {
    const int dtype = dtype_of_dlpack(tensor.dtype);
    if (tensor.device.type != kDLCPU) {
        PyErr_Format(PyExc_BufferError, "from_dlpack() reads memory of the CPU (device type 1), "
                     "not of a device of type %d", tensor.device.type);
        return nullptr;
    }
    if (dtype < 0 || tensor.ndim > kMaxDims) {
        PyErr_Format(PyExc_BufferError, "from_dlpack() does not know the element type with DLPack "
                     "code %d, %d bits, %d lanes, or an array of %d axes", tensor.dtype.code,
                     tensor.dtype.bits, tensor.dtype.lanes, tensor.ndim);
        return nullptr;
    }
    auto* data = static_cast<char*>(tensor.data) + tensor.byte_offset;
    const int64_t size = element_count(tensor.ndim, tensor.shape, dtype);
    if (size < 0) return nullptr;
    if (size != 0 && !is_row_major(tensor)) {
        return share ? refuse_to_copy("that is not in row-major order")
                     : strided_copy(tensor, dtype, data);
    }
    const bool aligned = reinterpret_cast<uintptr_t>(data) % kItemsize[dtype] == 0;
    if (!aligned && size != 0 && share) return refuse_to_copy("that is not aligned");
    if (!aligned || size == 0) {
        return as_object(copy_memory(data, dtype, false, tensor.ndim, tensor.shape));
    }
    Buffer* buffer = buffer_new_foreign(data, size * kItemsize[dtype], owner_of(owner));
    if (buffer == nullptr) return raise_no_memory(size * kItemsize[dtype]);
    return as_object(array_new(buffer, dtype, false, tensor.ndim, tensor.shape, size));
}

// from_dlpack(obj, share=False)
PyObject* py_from_dlpack(PyObject*, PyObject* const* args, Py_ssize_t nargs, PyObject* keywords) {
    static const char* names[] = {"obj", "share"};
    PyObject* values[2];
    if (!parse_arguments("from_dlpack", names, 2, 1, args, nargs, keywords, values)) return nullptr;
    const int share = truth(values[1], false);
    if (share < 0) return nullptr;
    PyObject* object = values[0];
    Ref capsule = PyCapsule_CheckExact(object) ? Ref::borrow(object)
                                               : Ref(request_capsule(object, share));
    if (!capsule) return nullptr;
    DLTensor* tensor = nullptr;
    Ref owner;
    if (PyCapsule_IsValid(capsule.get(), "dltensor_versioned")) {
        owner = Ref(consume<DLManagedTensorVersioned>(capsule.get(), "dltensor_versioned",
                                                      "used_dltensor_versioned", &tensor));
    } else if (PyCapsule_IsValid(capsule.get(), "dltensor")) {
        owner = Ref(consume<DLManagedTensor>(capsule.get(), "dltensor", "used_dltensor", &tensor));
    } else {
        PyErr_Format(PyExc_BufferError, "%R is not a fresh DLPack capsule", capsule.get());
    }
    return owner ? from_tensor(*tensor, owner.get(), share) : nullptr;
}

}  // namespace

Array* array_copy(Array* array) { return copy_array(array, array->weak); }

PyObject* array_from(PyObject* object, int dtype, bool weak, bool copy) {
    if (is_ndarray(object)) return from_ndarray(object, dtype, weak, copy);
    if (is_array(object)) return from_array(object, dtype, weak, copy);
    if (is_numpy_scalar(object)) return from_numpy_scalar(object, dtype, weak);
    if (dtype < 0) {
        PyErr_Format(PyExc_TypeError,
                     "array_from() takes a NumPy array or scalar, or an Array, not %.200s; with a "
                     "dtype it takes whatever NumPy can convert", Py_TYPE(object)->tp_name);
        return nullptr;
    }
    Ref values(to_ndarray(object, dtype));
    return values ? from_ndarray(values.get(), dtype, weak, copy) : nullptr;
}

PyMethodDef kArrayFunctions[] = {
    {"array_from", as_method(py_array_from), METH_FASTCALL | METH_KEYWORDS,
     "array_from(obj, dtype=None, weak_type=False, copy=True): an Array from a NumPy array or "
     "scalar."},
    {"empty", as_method(py_empty), METH_FASTCALL | METH_KEYWORDS,
     "empty(shape, dtype, weak_type=False): an Array of uninitialised elements."},
    {"scalar", as_method(py_scalar), METH_FASTCALL | METH_KEYWORDS,
     "scalar(value, dtype, weak=False): an Array of shape () from a Python number."},
    {"reshape", as_method(py_reshape), METH_FASTCALL | METH_KEYWORDS,
     "reshape(array, shape): the same memory under another shape."},
    {"bitcast", as_method(py_bitcast), METH_FASTCALL | METH_KEYWORDS,
     "bitcast(array, dtype): the same memory under another dtype of the same size."},
    {"with_weak_type", as_method(py_with_weak_type), METH_FASTCALL | METH_KEYWORDS,
     "with_weak_type(array, weak): the same memory with this weak flag."},
    {"commit", py_commit, METH_O,
     "commit(array): the same memory as an array whose device somebody asked for."},
    {"copy", py_copy, METH_O, "copy(array): the same elements in fresh memory."},
    {"from_dlpack", as_method(py_from_dlpack), METH_FASTCALL | METH_KEYWORDS,
     "from_dlpack(obj, share=False): an Array over the memory of another library's array."},
    {"is_masked", py_is_masked, METH_O, "is_masked(obj): whether it is a masked array of NumPy."},
    {nullptr, nullptr, 0, nullptr},
};

}  // namespace covector
