// Levels: what tapes and batches share, and the two types of tracers.
#include "dispatch/levels.h"

#include <structmember.h>

#include <algorithm>
#include <vector>

#include "python/state.h"

namespace covector {

PyTypeObject* g_tape_tracer_type = nullptr;
PyTypeObject* g_mapped_tracer_type = nullptr;
constinit thread_local Level* tls_level = nullptr;

bool is_further_out(const LevelTracer* tracer) {
    if (tls_level == nullptr) return false;
    for (PyObject* at = tls_level->outer; at != nullptr; at = as_level(at)->outer) {
        if (at == tracer->level) return as_level(at)->open;
    }
    return false;
}

bool is_native_value(PyObject* value) {
    if (is_array(value)) return true;
    return is_level_tracer(value) && (is_innermost(as_level_tracer(value)) ||
                                      is_further_out(as_level_tracer(value)));
}

int value_ndim(PyObject* value) {
    int axes = 0;
    while (!is_array(value)) {
        axes += Py_TYPE(value) == g_mapped_tracer_type;
        value = as_level_tracer(value)->value;
    }
    return as_array(value)->ndim - axes;
}

void read_type(PyObject* value, ElementType* type) {
    if (is_array(value)) {
        const Array* array = as_array(value);
        type->dtype = array->dtype;
        type->weak = array->weak;
        type->ndim = array->ndim;
        std::copy(array->dims(), array->dims() + array->ndim, type->dims);
        return;
    }
    const LevelTracer* tracer = as_level_tracer(value);
    read_type(tracer->value, type);
    if (is_tape_tracer(value)) return;
    std::copy(type->dims + tracer->axis + 1, type->dims + type->ndim, type->dims + tracer->axis);
    --type->ndim;
}

PyObject* level_tracer_new(Level* level, PyObject* value, int64_t place) {
    PyTypeObject* type =
        level->kind == LevelKind::kTape ? g_tape_tracer_type : g_mapped_tracer_type;
    PyObject* object = type == nullptr ? PyErr_Format(PyExc_RuntimeError, "import covector first")
                                       : type->tp_alloc(type, 0);
    if (object == nullptr) return nullptr;
    LevelTracer* self = as_level_tracer(object);
    self->level = Py_NewRef(as_object(level));
    self->value = Py_NewRef(value);
    self->number = place;
    return object;
}

void level_begin(Level* self, LevelKind kind) {
    self->kind = kind;
    self->open = true;
    self->outer = tls_level == nullptr ? nullptr : Py_NewRef(as_object(tls_level));
}

void level_end(Level* self) {
    self->open = false;
    Py_CLEAR(self->outer);
}

namespace {

PyObject* close(PyObject* object, PyObject*) {
    as_level(object)->open = false;
    Py_RETURN_NONE;
}

PyObject* parent(PyObject*, void*) { Py_RETURN_NONE; }

PyObject* outer(PyObject* object, void*) {
    PyObject* level = as_level(object)->outer;
    return Py_NewRef(level == nullptr ? Py_None : level);
}

}  // namespace

const PyMethodDef kLevelClose = {"close", close, METH_NOARGS,
                                 "What is in it is of no use any more, and nothing is added."};
const PyGetSetDef kLevelParent = {"parent", parent, nullptr,
                                  "None: as a trace, it stands on no other.", nullptr};
const PyGetSetDef kLevelOuter = {"outer", outer, nullptr,
                                 "The level that it stands on; None: none.", nullptr};

namespace {

// --- the tracers ---

void tracer_dealloc(PyObject* object) {
    LevelTracer* self = as_level_tracer(object);
    PyTypeObject* type = Py_TYPE(object);
    PyObject_GC_UnTrack(object);
    PyObject_ClearWeakRefs(object);
    Py_XDECREF(self->value);
    Py_XDECREF(self->level);
    type->tp_free(object);
    Py_DECREF(type);
}

int tracer_traverse(PyObject* object, visitproc visit, void* arg) {
    Py_VISIT(Py_TYPE(object));
    Py_VISIT(as_level_tracer(object)->level);
    Py_VISIT(as_level_tracer(object)->value);
    return 0;
}

PyObject* tracer_shape(PyObject* object, void*) {
    if (is_tape_tracer(object) && is_array(as_level_tracer(object)->value)) {
        return array_shape(as_array(as_level_tracer(object)->value));
    }
    ElementType type;
    read_type(object, &type);
    return shape_tuple(type.ndim, type.dims);
}
PyObject* tracer_dtype(PyObject* object, void*) {
    ElementType type;
    read_type(object, &type);
    return Py_NewRef(dtype_object(type.dtype));
}
PyObject* tracer_ndim(PyObject* object, void*) { return PyLong_FromLong(value_ndim(object)); }
PyObject* tracer_size(PyObject* object, void*) {
    ElementType type;
    read_type(object, &type);
    const int64_t size = element_count(type.ndim, type.dims, type.dtype);
    return size < 0 ? nullptr : PyLong_FromLongLong(size);
}
PyObject* tracer_weak(PyObject* object, void*) {
    ElementType type;
    read_type(object, &type);
    return PyBool_FromLong(type.weak);
}
PyObject* tracer_value(PyObject* object, void*) { return Py_NewRef(as_level_tracer(object)->value); }
PyObject* tracer_axis(PyObject* object, void*) {
    return PyLong_FromLongLong(as_level_tracer(object)->axis);
}

#define CV_TRACER_ATTRIBUTES                                                                 \
    {"shape", tracer_shape, nullptr, "The lengths of the axes.", nullptr},                   \
        {"dtype", tracer_dtype, nullptr, "The type of the elements.", nullptr},              \
        {"ndim", tracer_ndim, nullptr, "The number of axes.", nullptr},                      \
        {"size", tracer_size, nullptr, "The number of elements.", nullptr},                  \
        {"weak_type", tracer_weak, nullptr, "Whether the type gives way to others.", nullptr}

PyGetSetDef kTapeTracerAttributes[] = {
    CV_TRACER_ATTRIBUTES,
    {"primal", tracer_value, nullptr, "The value.", nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr},
};

PyGetSetDef kMappedTracerAttributes[] = {
    CV_TRACER_ATTRIBUTES,
    {"value", tracer_value, nullptr, "The values of all elements.", nullptr},
    {"axis", tracer_axis, nullptr, "The batch axis of the value.", nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr},
};

// Makes the class, once, from a class of tracers without slots of its own.
PyObject* make_tracer_type(PyTypeObject** place, PyObject* base, const char* name,
                           PyGetSetDef* attributes) {
    if (*place != nullptr) return Py_NewRef(reinterpret_cast<PyObject*>(*place));
    auto* type = reinterpret_cast<PyTypeObject*>(base);
    if (!PyType_Check(base) || type->tp_basicsize != offsetof(LevelTracer, value) ||
        type->tp_weaklistoffset == 0) {
        return PyErr_Format(PyExc_TypeError, "%s: its base is a class with the slots of Tracer",
                            name);
    }
    std::vector<PyType_Slot> slots;
    for (const PyType_Slot* slot = kNumberSlots; slot->slot != 0; ++slot) slots.push_back(*slot);
    slots.push_back({Py_tp_dealloc, reinterpret_cast<void*>(tracer_dealloc)});
    slots.push_back({Py_tp_traverse, reinterpret_cast<void*>(tracer_traverse)});
    slots.push_back({Py_tp_getset, attributes});
    slots.push_back({0, nullptr});
    PyType_Spec spec = {name, sizeof(LevelTracer), 0,
                        Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC |
                            Py_TPFLAGS_DISALLOW_INSTANTIATION | CV_MANAGED_WEAKREFS,
                        slots.data()};
    Ref bases(PyTuple_Pack(1, base));
    PyObject* made = bases ? PyType_FromSpecWithBases(&spec, bases.get()) : nullptr;
    if (made == nullptr) return nullptr;
    *place = reinterpret_cast<PyTypeObject*>(made);
    return Py_NewRef(made);
}

PyObject* tape_tracer_type(PyObject*, PyObject* base) {
    return make_tracer_type(&g_tape_tracer_type, base, "covector._engine._native.TapeTracer",
                            kTapeTracerAttributes);
}

PyObject* mapped_tracer_type(PyObject*, PyObject* base) {
    return make_tracer_type(&g_mapped_tracer_type, base, "covector._engine._native.MappedTracer",
                            kMappedTracerAttributes);
}

// --- the innermost level ---

PyObject* level(PyObject*, PyObject*) {
    return Py_NewRef(tls_level == nullptr ? Py_None : as_object(tls_level));
}

PyTypeObject* g_level_types[2] = {};  // owned

bool is_level(PyObject* object) {
    return Py_TYPE(object) == g_level_types[0] || Py_TYPE(object) == g_level_types[1];
}

// set_level(level or None): calls of this thread are of that; returns what they were of before.
PyObject* set_level(PyObject*, PyObject* wanted) {
    if (wanted != Py_None && !is_level(wanted)) {
        PyErr_SetString(PyExc_TypeError, "set_level: a Tape, a Batch, or None");
        return nullptr;
    }
    Level* now = wanted == Py_None ? nullptr : as_level(Py_NewRef(wanted));
    Level* before = std::exchange(tls_level, now);
    return before == nullptr ? Py_NewRef(Py_None) : as_object(before);
}

PyObject* native_value(PyObject*, PyObject* value) {
    return PyBool_FromLong(is_native_value(value));
}

// marks(leaves): for each, what the innermost level knows it by (None: nothing, True: it is on the tape,
// or its batch axis), and whether some are values of levels further out beneath that.
PyObject* marks(PyObject*, PyObject* leaves) {
    Ref items(PySequence_Fast(leaves, "marks: a sequence of leaves"));
    if (!items) return nullptr;
    const Py_ssize_t count = PySequence_Fast_GET_SIZE(items.get());
    Ref made(PyTuple_New(count));
    bool lifted = false;
    for (Py_ssize_t i = 0; made && i < count; ++i) {
        PyObject* item = PySequence_Fast_GET_ITEM(items.get(), i);
        PyObject* mark = Py_NewRef(Py_None);
        if (is_level_tracer(item)) {
            const LevelTracer* tracer = as_level_tracer(item);
            if (is_innermost(tracer)) {
                Py_SETREF(mark, is_tape_tracer(item) ? Py_NewRef(Py_True)
                                                     : PyLong_FromLongLong(tracer->axis));
                lifted |= !is_array(tracer->value);
            } else {
                lifted = true;
            }
        }
        if (mark == nullptr) return nullptr;
        PyTuple_SET_ITEM(made.get(), i, mark);
    }
    return made ? Py_BuildValue("(OO)", made.get(), lifted ? Py_True : Py_False) : nullptr;
}

PyMethodDef kFunctions[] = {
    {"tape_tracer_type", tape_tracer_type, METH_O,
     "The class of values on a tape, made from its Python base when first asked for."},
    {"mapped_tracer_type", mapped_tracer_type, METH_O,
     "The class of values in a batch, made from its Python base when first asked for."},
    {"level", level, METH_NOARGS, "The innermost Tape or Batch of this thread, or None."},
    {"set_level", set_level, METH_O, "Makes it the innermost; returns the one before."},
    {"is_native_value", native_value, METH_O,
     "Whether it is an Array, or a tracer of a level that calls are of now."},
    {"marks", marks, METH_O,
     "For each leaf None, or True on the innermost tape, or its axis in the innermost batch; and "
     "whether there are values of levels further out beneath."},
    {nullptr, nullptr, 0, nullptr},
};

}  // namespace

void register_level_type(LevelKind kind, PyObject* type) {
    g_level_types[static_cast<int>(kind)] = reinterpret_cast<PyTypeObject*>(Py_NewRef(type));
}

bool levels_init(PyObject* module) { return PyModule_AddFunctions(module, kFunctions) == 0; }

}  // namespace covector
