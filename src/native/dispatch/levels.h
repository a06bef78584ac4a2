// Levels: the native transformations in progress in a thread, each standing on the one further out,
// and the values that stand in for arrays inside of them.
//
// A call whose operands are of the innermost level is what that level makes of it: a node of a tape, or the call's
// batched form. What it then calls is a call of the next level, until all operands are arrays. Calls
// without operands of a level pass it by. The specification of each is a trace in Python.
#pragma once

#include "python/array.h"
#include "python/objects.h"

namespace covector {

enum class LevelKind : uint8_t { kTape, kBatch };

struct Level {
    PyObject_HEAD
    PyObject* outer;  // owned: the level that it stands on; null: none
    LevelKind kind;
    bool open;        // whether the function that it is for still runs
};

// From Python 3.12 on the weak references of a class with slots lie in front of its objects.
#if PY_VERSION_HEX >= 0x030C0000
#define CV_MANAGED_WEAKREFS Py_TPFLAGS_MANAGED_WEAKREF
#else
#define CV_MANAGED_WEAKREFS 0
#endif

// A subclass of Python's Tracer, whose slots come first.
struct LevelTracer {
    PyObject_HEAD
    PyObject* level;  // owned
#if PY_VERSION_HEX < 0x030C0000
    PyObject* weakrefs;
#endif
    PyObject* value;  // owned: an Array, or a tracer of a level further out
    union {
        int64_t number;  // of the value on its tape
        int64_t axis;    // the batch axis of the value
    };
};

extern PyTypeObject* g_tape_tracer_type;    // null until Python has given its base
extern PyTypeObject* g_mapped_tracer_type;  // the same

// The innermost level of this thread; null if there is none. Owned.
extern constinit thread_local Level* tls_level;

inline Level* as_level(PyObject* object) { return reinterpret_cast<Level*>(object); }
inline PyObject* as_object(Level* level) { return reinterpret_cast<PyObject*>(level); }
inline bool is_tape_tracer(PyObject* object) { return Py_TYPE(object) == g_tape_tracer_type; }
inline bool is_level_tracer(PyObject* object) {
    return Py_TYPE(object) == g_tape_tracer_type || Py_TYPE(object) == g_mapped_tracer_type;
}
inline LevelTracer* as_level_tracer(PyObject* object) {
    return reinterpret_cast<LevelTracer*>(object);
}
// Whether a tracer is of the innermost level.
inline bool is_innermost(const LevelTracer* tracer) {
    return tracer->level == as_object(tls_level) && tls_level->open;
}
// Whether a tracer is of a level further out than that.
bool is_further_out(const LevelTracer* tracer);

// Calls in a block are of another level of this thread, or of none.
class AtLevel {
public:
    explicit AtLevel(PyObject* level) : before_(std::exchange(tls_level, as_level(level))) {
        Py_XINCREF(level);
    }
    ~AtLevel() { Py_XDECREF(as_object(std::exchange(tls_level, before_))); }
    AtLevel(const AtLevel&) = delete;
    AtLevel& operator=(const AtLevel&) = delete;

private:
    Level* before_;
};

// The type of an array, or of what a tracer stands for.
struct ElementType {
    int dtype;
    bool weak;
    int ndim;
    int64_t dims[kMaxDims];
};
void read_type(PyObject* value, ElementType* type);
int value_ndim(PyObject* value);

// A tracer of a value; null with an exception. `place` is its number, or its batch axis.
PyObject* level_tracer_new(Level* level, PyObject* value, int64_t place);

// Whether it is an Array, or a tracer that calls of the innermost level take: a value to begin with.
bool is_native_value(PyObject* value);

// What both kinds of levels have for Python: see level_type.h.
void level_begin(Level* self, LevelKind kind);  // it stands on the innermost one of now
void level_end(Level* self);  // drops what it stands on
extern const PyMethodDef kLevelClose;
extern const PyGetSetDef kLevelParent, kLevelOuter;

// Tells `set_level` of the type of such levels.
void register_level_type(LevelKind kind, PyObject* type);
bool levels_init(PyObject* module);

}  // namespace covector
