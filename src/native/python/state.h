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
    PyObject* traced = nullptr;   // from a ufunc's Python form to its function for values of levels
    PyObject* stands_for = nullptr;  // the array that an object of another library stands for
    PyObject* unforeseen = nullptr;  // the error to raise in the place of one that nobody meant
    PyObject* stopped = nullptr;    // the error that a computation was stopped
    PyObject* deep_tree = nullptr;  // the error that a tree is too deep, for one that says so, or None
    PyObject* too_deep = nullptr;    // the error that calls are nested too deep, for a reason
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

// Why calls of a thread go to the Python twins: something is traced, or a flag of the thread that
// native code does not know is set.
enum SlowPath : uint8_t { kTracing = 1, kTwins = 2 };
extern constinit thread_local uint8_t tls_slow_path;
extern constinit thread_local uint64_t tls_config_epoch;  // of the thread's flags; 0: it has none
extern bool g_fast_paths;                                 // under the GIL
extern uint64_t g_config_epoch;                           // under the GIL

inline bool use_slow_path() { return CV_UNLIKELY(tls_slow_path || !g_fast_paths); }

// Part of every signature.
inline uint64_t config_epoch() { return tls_config_epoch ? tls_config_epoch : g_config_epoch; }

// The number of the named axes in scope in this thread; 0: there are none. Part of every signature,
// as what is traced may read their sizes.
extern constinit thread_local uint64_t tls_scope;
constexpr int kScopeShift = 40;  // above the settings of the flags

// What the flag `enable_x64` makes of types of 64 bits, of the thread's flags or of the process's.
enum class Widths : uint8_t { kAsWritten, kNarrow, kWide };
extern constinit thread_local Widths tls_widths;  // if the thread has flags of its own
extern Widths g_widths;                           // under the GIL

inline Widths widths() { return tls_config_epoch ? tls_widths : g_widths; }

// Switches a reason on or off; returns whether it was on.
inline bool set_slow_path(SlowPath reason, bool on) {
    bool before = tls_slow_path & reason;
    tls_slow_path = static_cast<uint8_t>(on ? tls_slow_path | reason : tls_slow_path & ~reason);
    return before;
}

// Take a dict of name to callable or None; return what was set before, or null with an exception.
PyObject* set_hooks(PyObject* hooks);
PyObject* set_operators(PyObject* operators);
bool hook_missing(const char* name);     // sets the exception; returns false

}  // namespace covector
