// The element types: registration, and single elements to and from Python numbers.
#include "python/dtypes.h"

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

#include "python/numpy_bridge.h"

namespace covector {
namespace {

PyObject* g_dtypes[kDtypeCount] = {};

bool raise_out_of_bounds(PyObject* value, int code) {
    PyErr_Format(PyExc_OverflowError, "Python integer %R is out of bounds for %s", value,
                 kDtypeName[code]);
    return false;
}

template <typename Int>
bool store_signed(PyObject* value, int code, void* memory) {
    int overflow = 0;
    const long long number = PyLong_AsLongLongAndOverflow(value, &overflow);
    if (number == -1 && PyErr_Occurred()) return false;
    if (overflow || number < std::numeric_limits<Int>::min() ||
        number > std::numeric_limits<Int>::max()) {
        return raise_out_of_bounds(value, code);
    }
    const Int narrow = static_cast<Int>(number);
    std::memcpy(memory, &narrow, sizeof narrow);
    return true;
}

template <typename Int>
bool store_unsigned(PyObject* value, int code, void* memory) {
    const unsigned long long number = PyLong_AsUnsignedLongLong(value);
    if (number == static_cast<unsigned long long>(-1) && PyErr_Occurred()) {
        if (!PyErr_ExceptionMatches(PyExc_OverflowError)) return false;
        PyErr_Clear();
        return raise_out_of_bounds(value, code);
    }
    if (number > std::numeric_limits<Int>::max()) return raise_out_of_bounds(value, code);
    const Int narrow = static_cast<Int>(number);
    std::memcpy(memory, &narrow, sizeof narrow);
    return true;
}

bool store_integer(PyObject* number, int code, void* memory) {
    Ref value(PyNumber_Index(number));
    if (!value) return false;
    switch (code) {
        case kInt8: return store_signed<int8_t>(value.get(), code, memory);
        case kInt16: return store_signed<int16_t>(value.get(), code, memory);
        case kInt32: return store_signed<int32_t>(value.get(), code, memory);
        case kInt64: return store_signed<int64_t>(value.get(), code, memory);
        case kUint8: return store_unsigned<uint8_t>(value.get(), code, memory);
        case kUint16: return store_unsigned<uint16_t>(value.get(), code, memory);
        case kUint32: return store_unsigned<uint32_t>(value.get(), code, memory);
        default: return store_unsigned<uint64_t>(value.get(), code, memory);
    }
}

bool store_real(PyObject* number, int code, void* memory) {
    const double value = PyFloat_AsDouble(number);
    if (value == -1.0 && PyErr_Occurred()) return false;
    if (code == kFloat64) {
        std::memcpy(memory, &value, 8);
    } else if (code == kFloat32) {
        const float narrow = static_cast<float>(value);
        std::memcpy(memory, &narrow, 4);
    } else {
        const uint16_t bits = code == kFloat16 ? half_bits(value) : bfloat16_bits(value);
        std::memcpy(memory, &bits, 2);
    }
    return true;
}

bool store_complex(PyObject* number, int code, void* memory) {
    const Py_complex value = PyComplex_AsCComplex(number);
    if (value.real == -1.0 && PyErr_Occurred()) return false;
    if (code == kComplex128) {
        const double parts[2] = {value.real, value.imag};
        std::memcpy(memory, parts, 16);
    } else {
        const float parts[2] = {static_cast<float>(value.real), static_cast<float>(value.imag)};
        std::memcpy(memory, parts, 8);
    }
    return true;
}

template <typename T>
T read(const void* memory) {
    T value;
    std::memcpy(&value, memory, sizeof value);
    return value;
}

// Rounds a float to the upper 16 bits, ties to even; NaN stays NaN.
uint16_t truncate_bfloat16(float value) {
    const uint32_t bits = std::bit_cast<uint32_t>(value);
    if (std::isnan(value)) return static_cast<uint16_t>((bits >> 16) | 0x40);
    return static_cast<uint16_t>((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

// Of a narrow integer: whether the number is in the range of its bits.
bool fits_narrow(PyObject* number, int code) {
    static constexpr int8_t lowest[] = {-1, -2, -8, 0, 0, 0};
    static constexpr int8_t highest[] = {0, 1, 7, 1, 3, 15};
    int overflow = 0;
    const long long value = PyLong_AsLongLongAndOverflow(number, &overflow);
    if (value == -1 && PyErr_Occurred()) return false;
    const int row = code - kInt1;
    if (!overflow && value >= lowest[row] && value <= highest[row]) return true;
    return raise_out_of_bounds(number, code);
}

bool store_narrow(PyObject* value, int code, void* memory) {
    Ref number(is_integer(code) ? PyNumber_Index(value) : PyNumber_Float(value));
    if (!number || (is_integer(code) && !fits_narrow(number.get(), code))) return false;
    return numpy_store(number.get(), code, memory);
}

PyObject* load_narrow(const void* memory, int code) {
    Ref scalar(ndarray_scalar(const_cast<void*>(memory), code));
    if (!scalar) return nullptr;
    return is_integer(code) ? PyNumber_Long(scalar.get()) : PyNumber_Float(scalar.get());
}

}  // namespace

bool register_dtypes(PyObject* list) {
    Ref items(PySequence_Fast(list, "register_dtypes takes a list of numpy dtypes"));
    if (!items) return false;
    if (PySequence_Fast_GET_SIZE(items.get()) != kDtypeCount) {
        PyErr_Format(PyExc_ValueError, "register_dtypes takes %d dtypes, not %zd", kDtypeCount,
                     PySequence_Fast_GET_SIZE(items.get()));
        return false;
    }
    for (int i = 0; i < kDtypeCount; ++i) {
        PyObject* item = PySequence_Fast_GET_ITEM(items.get(), i);
        const bool fits = is_numpy_dtype(item) && descriptor_itemsize(item) == kItemsize[i] &&
                          (is_extension(i) || numpy_type_code(item) == i);
        if (!fits) {
            PyErr_Format(PyExc_ValueError, "register_dtypes: position %d must be %s, not %R", i,
                         kDtypeName[i], item);
            return false;
        }
    }
    for (int i = 0; i < kDtypeCount; ++i) {
        PyObject* old = g_dtypes[i];
        g_dtypes[i] = Py_NewRef(PySequence_Fast_GET_ITEM(items.get(), i));
        Py_XDECREF(old);
    }
    return true;
}

PyObject* dtype_object(int code) {
    if (CV_UNLIKELY(g_dtypes[code] == nullptr)) {
        PyErr_SetString(PyExc_RuntimeError,
                        "no dtypes are registered; import covector, not its native module alone");
    }
    return g_dtypes[code];
}

int dtype_code_of(PyObject* descriptor) {
    for (int i = 0; i < kDtypeCount; ++i) {
        if (g_dtypes[i] == descriptor) return i;
    }
    return is_numpy_dtype(descriptor) ? numpy_type_code(descriptor) : -1;
}

int parse_dtype(PyObject* object) {
    if (PyLong_CheckExact(object)) {
        const long code = PyLong_AsLong(object);
        if (code >= 0 && code < kDtypeCount) return static_cast<int>(code);
        PyErr_Clear();
        PyErr_Format(PyExc_ValueError, "there is no dtype code %R; codes are 0 to %d", object,
                     kDtypeCount - 1);
        return -1;
    }
    int code = dtype_code_of(object);
    if (code >= 0) return code;
    Ref descriptor(parse_descriptor(object));  // in native byte order
    if (!descriptor) return -1;
    code = dtype_code_of(descriptor.get());
    if (code < 0) {
        PyErr_Format(PyExc_TypeError,
                     "dtype %S is not supported; arrays hold bool, int8 to int64, uint8 to uint64, "
                     "float16, bfloat16, float32, float64, complex64, complex128, and the integers "
                     "and floats of 1 to 8 bits of ml_dtypes",
                     descriptor.get());
    }
    return code;
}

uint16_t bfloat16_bits(double value) {
    // Rounding twice, to float and then to bfloat16, could miss a tie; make the first one odd.
    float narrow = static_cast<float>(value);
    if (std::isfinite(narrow) && static_cast<double>(narrow) != value) {
        uint32_t bits = std::bit_cast<uint32_t>(narrow);
        const bool too_far = std::fabs(static_cast<double>(narrow)) > std::fabs(value);
        if (too_far) --bits;
        narrow = std::bit_cast<float>(bits | 1);
    }
    return truncate_bfloat16(narrow);
}

double bfloat16_value(uint16_t bits) {
    return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16);
}

uint16_t half_bits(double value) {
    const uint16_t sign = std::signbit(value) ? 0x8000 : 0;
    const double size = std::fabs(value);
    if (std::isnan(value)) return static_cast<uint16_t>(sign | 0x7e00);
    if (size >= 65520.0) return static_cast<uint16_t>(sign | 0x7c00);
    if (size < 6.103515625e-05) {  // subnormal: a multiple of 2^-24
        return static_cast<uint16_t>(sign | static_cast<uint16_t>(std::nearbyint(size * 0x1p24)));
    }
    int exponent;
    const double fraction = std::frexp(size, &exponent);  // in [0.5, 1)
    const auto mantissa = static_cast<uint32_t>(std::nearbyint(fraction * 2048.0));  // 1024..2048
    return static_cast<uint16_t>(sign | ((static_cast<uint32_t>(exponent + 13) << 10) + mantissa));
}

double half_value(uint16_t bits) {
    const int exponent = (bits >> 10) & 31;
    const int mantissa = bits & 1023;
    double size;
    if (exponent == 31) {
        size = mantissa ? std::numeric_limits<double>::quiet_NaN()
                        : std::numeric_limits<double>::infinity();
    } else if (exponent == 0) {
        size = mantissa * 0x1p-24;
    } else {
        size = std::ldexp(1024 + mantissa, exponent - 25);
    }
    return bits & 0x8000 ? -size : size;
}

bool store_number(PyObject* value, int code, void* memory) {
    if (code == kBool) {
        const int truth = PyObject_IsTrue(value);
        if (truth < 0) return false;
        *static_cast<uint8_t*>(memory) = static_cast<uint8_t>(truth);
        return true;
    }
    if (is_narrow(code)) return store_narrow(value, code, memory);
    if (is_integer(code)) return store_integer(value, code, memory);
    if (is_complex(code)) return store_complex(value, code, memory);
    return store_real(value, code, memory);
}

PyObject* load_number(const void* memory, int code) {
    if (is_narrow(code)) return load_narrow(memory, code);
    switch (code) {
        case kBool: return PyBool_FromLong(read<uint8_t>(memory));
        case kInt8: return PyLong_FromLong(read<int8_t>(memory));
        case kInt16: return PyLong_FromLong(read<int16_t>(memory));
        case kInt32: return PyLong_FromLong(read<int32_t>(memory));
        case kInt64: return PyLong_FromLongLong(read<int64_t>(memory));
        case kUint8: return PyLong_FromLong(read<uint8_t>(memory));
        case kUint16: return PyLong_FromLong(read<uint16_t>(memory));
        case kUint32: return PyLong_FromUnsignedLong(read<uint32_t>(memory));
        case kUint64: return PyLong_FromUnsignedLongLong(read<uint64_t>(memory));
        case kFloat16: return PyFloat_FromDouble(half_value(read<uint16_t>(memory)));
        case kBfloat16: return PyFloat_FromDouble(bfloat16_value(read<uint16_t>(memory)));
        case kFloat32: return PyFloat_FromDouble(read<float>(memory));
        case kFloat64: return PyFloat_FromDouble(read<double>(memory));
        case kComplex64: {
            float parts[2];
            std::memcpy(parts, memory, 8);
            return PyComplex_FromDoubles(parts[0], parts[1]);
        }
        default: {
            double parts[2];
            std::memcpy(parts, memory, 16);
            return PyComplex_FromDoubles(parts[0], parts[1]);
        }
    }
}

}  // namespace covector
