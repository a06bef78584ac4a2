// Process-wide and thread-local switches, and the Python functions the native code calls back.
#pragma once

#include <atomic>

#include "python/objects.h"

namespace covector {

// Set once by the Python side; each may be null. Owned references.
struct Hooks {
    PyObject* flatten = nullptr;
    PyObject* exact = nullptr;  // the key of a static value: see base/exact.py
    PyObject* tracer = nullptr;  // a type
    PyObject* taped = nullptr;   // from a ufunc's Python form to its function on the tape
    PyObject* getitem = nullptr;
    PyObject* iter = nullptr;
    PyObject* contains = nullptr;
    PyObject* repr = nullptr;
    PyObject* format = nullptr;
};
extern Hooks g_hooks;

enum Operator {
    kAdd,
    kSubtract,
    kMultiply,
    kTrueDivide,
    kFloorDivide,
    kRemainder,
    kPower,
    kMatmul,
    kDivmod,
    kNegative,
    kPositive,
    kAbsolute,
    kInvert,
    kAnd,
    kOr,
    kXor,
    kLshift,
    kRshift,
    kEqual,
    kNotEqual,
    kLess,
    kLessEqual,
    kGreater,
    kGreaterEqual,
    kOperatorCount,
};
extern PyObject* g_operators[kOperatorCount];
extern const char* const kOperatorNames[kOperatorCount];

extern constinit thread_local bool tls_tracing;
extern bool g_fast_paths;        // under the GIL
extern uint64_t g_config_epoch;  // part of every signature; under the GIL

inline bool use_slow_path() { return CV_UNLIKELY(tls_tracing || !g_fast_paths); }

// Take a dict of name to callable or None; return what was set before, or null with an exception.
PyObject* set_hooks(PyObject* hooks);
PyObject* set_operators(PyObject* operators);
bool hook_missing(const char* name);     // sets the exception; returns false

}  // namespace covector
