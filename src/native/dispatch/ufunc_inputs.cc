// Ufunc: reading the operands of a call.
#include <algorithm>
#include <cstring>

#include "dispatch/ufunc_object.h"
#include "python/numpy_bridge.h"
#include "python/state.h"

namespace covector {
namespace {

constexpr int64_t kShortRun = 32;
constexpr int64_t kManyRows = 1024;  // short runs beyond this many are left to the fallback

}  // namespace

// A Python number, which is as wide as the arrays beside it: a float64 array plus 0.1 means the
// double 0.1; or a scalar of NumPy that is weak, too. False: the fallback's business.
bool EagerInputs::read_number(int i, bool wide_int, bool wide_float) {
    Input& input = inputs[i];
    Element& element = elements[i];
    input.weak = true;
    input.scalar = true;
    if (PyFloat_CheckExact(input.object)) {
        const double value = PyFloat_AS_DOUBLE(input.object);
        const float narrow = static_cast<float>(value);
        input.dtype = wide_float ? kFloat64 : kFloat32;
        if (wide_float) std::memcpy(element.bytes, &value, 8);
        else std::memcpy(element.bytes, &narrow, 4);
        return true;
    }
    if (PyLong_CheckExact(input.object)) {
        int overflow = 0;
        const int64_t value = PyLong_AsLongLongAndOverflow(input.object, &overflow);
        const auto narrow = static_cast<int32_t>(value);
        const bool fits = value == narrow;
        if (overflow != 0 || (!fits && !wide_int && !wide_float)) return false;
        input.dtype = wide_int || !fits ? kInt64 : kInt32;
        if (input.dtype == kInt64) std::memcpy(element.bytes, &value, 8);
        else std::memcpy(element.bytes, &narrow, 4);
        return true;
    }
    if (PyBool_Check(input.object)) {
        input.dtype = kBool;
        input.weak = false;
        element.bytes[0] = input.object == Py_True;
        return true;
    }
    if (!PyComplex_CheckExact(input.object)) return read_numpy_scalar(i, wide_int || wide_float);
    input.dtype = wide_float ? kComplex128 : kComplex64;
    return store_number(input.object, input.dtype, element.bytes);
}

CV_NOINLINE bool EagerInputs::read_numpy_scalar(int i, bool wide) {
    Input& input = inputs[i];
    if (widths() != Widths::kAsWritten || !is_numpy_scalar(input.object)) return false;
    const int code = numpy_scalar_code(input.object);
    if (!is_like_python(code) || !numpy_scalar_read(input.object, elements[i].bytes)) return false;
    input.dtype = static_cast<uint8_t>(code);
    if (code != kInt64) return true;
    int64_t value;
    std::memcpy(&value, elements[i].bytes, 8);
    return wide || value == static_cast<int32_t>(value);
}

// False: the shapes do not fit, or rows are too short to be worth it.
CV_NOINLINE bool EagerInputs::find_general_shape(RowLoop* loop) {
    ndim = broadcast_dims(shapes, count, dims_storage);
    if (ndim < 0) return false;
    dims = dims_storage;
    size = element_count(ndim, dims, kComplex128);  // of whatever type the result is
    if (size < 0) {
        PyErr_Clear();
        return false;
    }
    if (size == 0) {  // nothing is run, and the lengths may have a product beyond any number
        rows = false;
        return true;
    }
    loop->build(shapes, count, ndim, dims);
    for (int i = 0; i < count; ++i) inputs[i].scalar = loop->run_scalar[i];
    rows = loop->rows > 1;
    return !(rows && loop->n < kShortRun && loop->rows > kManyRows);
}

PyObject* scalar_array(const Input& input, const Element& element) {
    Array* made = array_empty(input.dtype, input.weak, 0, nullptr);
    if (made != nullptr) {
        std::memcpy(made->buffer->data, element.bytes, kItemsize[input.dtype]);
    }
    return as_object(made);
}

}  // namespace covector
