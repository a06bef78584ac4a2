// Ufunc: the object, and the operands of one call, for the files that it is made of.
#pragma once

#include <algorithm>
#include <vector>

#include "dispatch/ufunc.h"
#include "python/objects.h"
#include "python/state.h"

namespace covector {

struct KernelSlot {
    uint64_t key = 0;  // 0: free
    EagerKernel* kernel = nullptr;  // null: always the fallback
};

// A key has so many bits for each operand: its dtype, and whether it is weak, and one element.
constexpr int kKeyBits = 7;
constexpr uint64_t kWeakBit = 32, kScalarBit = 64;
static_assert(kDtypeCount <= kWeakBit && kScalarBit < (1 << kKeyBits));

struct Ufunc {
    PyObject_HEAD
    vectorcallfunc vectorcall;
    PyObject* dict;
    PyObject* weakrefs;
    PyObject* name;
    PyObject* fallback;
    PyObject* compile;
    PyObject* traced;  // the function that is called with values of a level; made when first needed
    int nin;
    KernelSlot last;
    std::vector<KernelSlot>* table;  // open addressing; the size is a power of two
    size_t count;
};

inline Ufunc* as_ufunc(PyObject* object) { return reinterpret_cast<Ufunc*>(object); }

struct Input {
    PyObject* object;
    Array* array;  // null: a Python number, in `element`
    uint8_t dtype;
    bool weak;
    bool scalar;
};

// The operands of one call.
struct EagerInputs {
    int count;
    Input inputs[kMaxOperands];
    Element elements[kMaxOperands];
    Shape shapes[kMaxOperands] = {};
    int ndim;
    const int64_t* dims;            // of the result
    int64_t dims_storage[kMaxDims];
    int64_t size;
    bool rows;                      // whether one run is not enough

    bool read(PyObject* const* args, int nargs);
    bool read_number(int i, bool wide_int, bool wide_float);
    bool read_numpy_scalar(int i, bool wide);
    bool find_shape();
    bool find_general_shape(RowLoop* loop);
    uint64_t key() const;
};

inline bool all_ones(const Shape& shape) {
    for (int i = 0; i < shape.ndim; ++i) {
        if (shape.dims[i] != 1) return false;
    }
    return true;
}

// Sorts out the operands; false: the fallback's business.
inline bool EagerInputs::read(PyObject* const* args, int nargs) {
    count = nargs;
    bool any_array = false, all_arrays = true, wide_int = false, wide_float = false;
    for (int i = 0; i < nargs; ++i) {
        Input& input = inputs[i];
        input.object = args[i];
        if (!is_array(args[i])) {
            input.array = nullptr;
            shapes[i] = {0, nullptr};
            all_arrays = false;
            continue;
        }
        Array* array = as_array(args[i]);
        input.array = array;
        input.dtype = array->dtype;
        input.weak = array->weak;
        input.scalar = array->size == 1;
        shapes[i] = {array->ndim, array->dims()};
        any_array = true;
        wide_int |= array->dtype == kInt64 || array->dtype == kUint64;
        wide_float |= array->dtype == kFloat64 || array->dtype == kComplex128 ||
                      array->dtype == kInt64 || array->dtype == kUint64;
    }
    if (CV_LIKELY(all_arrays)) return true;
    if (!any_array) return false;
    if (widths() == Widths::kWide) wide_int = wide_float = true;
    for (int i = 0; i < nargs; ++i) {
        if (inputs[i].array == nullptr && !read_number(i, wide_int, wide_float)) return false;
    }
    return true;
}

// The result's shape when each operand either has it or is a single element; else false.
inline bool EagerInputs::find_shape() {
    int widest = 0;
    for (int i = 1; i < count; ++i) {
        const bool larger = inputs[i].array != nullptr && inputs[i].array->size > 1;
        if (shapes[i].ndim > shapes[widest].ndim ||
            (shapes[i].ndim == shapes[widest].ndim && larger)) {
            widest = i;
        }
    }
    const Shape& out = shapes[widest];
    for (int i = 0; i < count; ++i) {
        if (shapes[i].ndim == out.ndim &&
            std::equal(out.dims, out.dims + out.ndim, shapes[i].dims)) {
            continue;
        }
        if (!all_ones(shapes[i])) return false;
        inputs[i].scalar = true;
    }
    ndim = out.ndim;
    dims = out.dims;
    size = inputs[widest].array == nullptr ? 1 : inputs[widest].array->size;
    rows = false;
    return true;
}

// Seven bits an operand, and above those of the last the number of the flags' setting. A kernel has
// one operand at least that is not a single element.
inline uint64_t EagerInputs::key() const {
    uint64_t made = (config_epoch() + 1) << (kKeyBits * kMaxOperands);  // never 0: an empty slot
    bool all_scalar = true;
    for (int i = 0; i < count; ++i) {
        all_scalar &= inputs[i].scalar;
        const uint64_t bits = inputs[i].dtype | (inputs[i].weak ? kWeakBit : 0) |
                              (inputs[i].scalar ? kScalarBit : 0);
        made |= bits << (kKeyBits * i);
    }
    return all_scalar ? made & ~kScalarBit : made;
}

// An operand that is a number, as an array.
PyObject* scalar_array(const Input& input, const Element& element);

// A call on operands that were read, by a kernel; with `fall_back` set there is none.
PyObject* call_arrays(Ufunc* self, EagerInputs& inputs, bool* fall_back);

// A call with operands of some level. With `fall_back` set nothing was done: it is the twin's business.
PyObject* call_traced(Ufunc* self, PyObject* const* args, bool* fall_back);
bool any_traced(PyObject* const* args, Py_ssize_t count);

}  // namespace covector
