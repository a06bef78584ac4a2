// The element types, by code: the position in the list that register_dtypes is called with.
#pragma once

#include <cstdint>

#include "python/objects.h"

namespace covector {

enum Dtype : uint8_t {
    kBool,
    kInt8,
    kInt16,
    kInt32,
    kInt64,
    kUint8,
    kUint16,
    kUint32,
    kUint64,
    kFloat16,
    kBfloat16,
    kFloat32,
    kFloat64,
    kComplex64,
    kComplex128,
    kDtypeCount,
};

constexpr uint8_t kItemsize[kDtypeCount] = {1, 1, 2, 4, 8, 1, 2, 4, 8, 2, 2, 4, 8, 8, 16};
constexpr const char* kDtypeName[kDtypeCount] = {
    "bool",   "int8",   "int16",    "int32",   "int64",   "uint8",     "uint16",    "uint32",
    "uint64", "float16", "bfloat16", "float32", "float64", "complex64", "complex128"};

// What a dtype of 64 bits is in 32; others themselves.
inline int narrowed(int code) {
    return code == kInt64        ? kInt32
           : code == kUint64     ? kUint32
           : code == kFloat64    ? kFloat32
           : code == kComplex128 ? kComplex64
                                 : code;
}

// Of the NumPy scalars that arithmetic of Python's numbers with NumPy's makes.
inline bool is_like_python(int code) {
    return code == kInt64 || code == kFloat64 || code == kComplex128;
}

inline bool is_integer(int code) { return code >= kInt8 && code <= kUint64; }
inline bool is_complex(int code) { return code >= kComplex64; }

// Remembers the dtype objects; false with an exception if the list is not the expected one.
bool register_dtypes(PyObject* list);

PyObject* dtype_object(int code);  // borrowed; null with an exception before registration
int dtype_code_of(PyObject* descriptor);  // -1, without an exception, if it is not one of ours

// The code of a dtype, of anything NumPy takes for one, or of a code; -1 with an exception.
int parse_dtype(PyObject* object);

uint16_t half_bits(double value);
uint16_t bfloat16_bits(double value);
double half_value(uint16_t bits);
double bfloat16_value(uint16_t bits);

// Writes a Python number to memory as one element; false with an exception if it does not fit.
bool store_number(PyObject* value, int code, void* memory);

// The Python number in memory; a new reference.
PyObject* load_number(const void* memory, int code);

}  // namespace covector
