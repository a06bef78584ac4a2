// The tape of eager derivatives: values that are being differentiated, and the calls that made them.
//
// A tape numbers its values: its inputs first, then the results of each node. A node is a call: the
// compiled pair of its linearization says how to pull cotangents of its results back to those of its
// operands, from residuals that the tape holds. Its specification are the traces of
// transforms/forward.py and transforms/transpose.py.
#pragma once

#include <vector>

#include "python/array.h"
#include "python/objects.h"

namespace covector {

struct Plan;

struct TapeNode {
    PyObject* pullback;  // owned: an Entry, or a Python function from cotangents to cotangents
    const Plan* plan;    // inside an Entry; null: a Python function
    size_t residuals;    // where its residuals begin
    size_t operands;     // where the numbers of its operands begin
    int64_t first;       // the number of its first result
    int64_t results;
};

struct Tape {
    PyObject_HEAD
    std::vector<TapeNode>* nodes;
    std::vector<PyObject*>* residuals;  // owned Arrays, of all nodes
    std::vector<int64_t>* operands;     // of all nodes
    int64_t count;                      // of values
    bool open;                          // whether it may be recorded on
};

// From Python 3.12 on the weak references of a class with slots lie in front of its objects.
#if PY_VERSION_HEX >= 0x030C0000
#define CV_MANAGED_WEAKREFS Py_TPFLAGS_MANAGED_WEAKREF
#else
#define CV_MANAGED_WEAKREFS 0
#endif

// A subclass of Python's Tracer, whose slots come first.
struct TapeTracer {
    PyObject_HEAD
    PyObject* tape;  // owned; a Tape
#if PY_VERSION_HEX < 0x030C0000
    PyObject* weakrefs;
#endif
    Array* primal;   // owned
    int64_t number;
};

extern PyTypeObject* g_tape_tracer_type;  // null until Python has given its base

// The tape that calls of this thread are recorded on; null if there is none.
extern constinit thread_local Tape* tls_tape;

inline bool is_tape_tracer(PyObject* object) { return Py_TYPE(object) == g_tape_tracer_type; }
inline TapeTracer* as_tape_tracer(PyObject* object) {
    return reinterpret_cast<TapeTracer*>(object);
}
inline bool is_recorded(PyObject* object) {
    return is_tape_tracer(object) && tls_tape != nullptr && tls_tape->open &&
           as_tape_tracer(object)->tape == reinterpret_cast<PyObject*>(tls_tape);
}

// Room for some more, twice as much as there is when it has to grow: a vector's reserve makes it fit.
template <typename T>
void make_room(std::vector<T>& values, size_t more) {
    if (values.size() + more > values.capacity()) values.reserve(2 * (values.size() + more));
}

// A tracer of a value that is on the tape already; null with an exception.
PyObject* tape_tracer_new(Tape* tape, Array* primal, int64_t number);

bool tape_types_init(PyObject* module);

}  // namespace covector
