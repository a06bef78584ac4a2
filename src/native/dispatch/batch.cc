// The batch: its type.
#include "dispatch/batch.h"

namespace covector {
namespace {

Batch* as_batch(PyObject* object) { return reinterpret_cast<Batch*>(object); }

PyObject* batch_new(PyTypeObject* type, PyObject* args, PyObject* keywords) {
    static const char* names[] = {"size", nullptr};
    long long size;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "L:Batch", const_cast<char**>(names), &size)) {
        return nullptr;
    }
    PyObject* object = type->tp_alloc(type, 0);
    if (object == nullptr) return nullptr;
    as_batch(object)->size = size;
    level_begin(&as_batch(object)->level, LevelKind::kBatch);
    return object;
}

int batch_traverse(PyObject* object, visitproc visit, void* arg) {
    Py_VISIT(Py_TYPE(object));
    Py_VISIT(as_level(object)->outer);
    return 0;
}

int batch_clear(PyObject* object) {
    level_end(as_level(object));
    return 0;
}

void batch_dealloc(PyObject* object) {
    PyTypeObject* type = Py_TYPE(object);
    PyObject_GC_UnTrack(object);
    batch_clear(object);
    type->tp_free(object);
    Py_DECREF(type);
}

// input(value, axis): a tracer of a value that has a batch axis.
PyObject* batch_input(PyObject* object, PyObject* args) {
    PyObject* value;
    Py_ssize_t axis;
    if (!PyArg_ParseTuple(args, "On:input", &value, &axis)) return nullptr;
    if (!is_native_value(value) || axis < 0 || axis >= value_ndim(value) ||
        !as_level(object)->open) {
        PyErr_SetString(PyExc_ValueError, "input: a value of the level outside, and its batch axis");
        return nullptr;
    }
    return level_tracer_new(as_level(object), value, axis);
}

PyObject* batch_size(PyObject* object, void*) { return PyLong_FromLongLong(as_batch(object)->size); }

PyMethodDef kMethods[] = {
    {"input", batch_input, METH_VARARGS, "input(value, axis): a tracer of a value with a batch axis."},
    {"close", level_close, METH_NOARGS, "What is in it is of no use any more."},
    {nullptr, nullptr, 0, nullptr},
};

PyGetSetDef kAttributes[] = {
    {"parent", level_parent, nullptr, "None: as a trace, it stands on no other.", nullptr},
    {"outer", level_outer, nullptr, "The level that it stands on; None: none.", nullptr},
    {"size", batch_size, nullptr, "The number of elements.", nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr},
};

PyType_Slot kSlots[] = {
    {Py_tp_new, reinterpret_cast<void*>(batch_new)},
    {Py_tp_dealloc, reinterpret_cast<void*>(batch_dealloc)},
    {Py_tp_traverse, reinterpret_cast<void*>(batch_traverse)},
    {Py_tp_clear, reinterpret_cast<void*>(batch_clear)},
    {Py_tp_methods, kMethods},
    {Py_tp_getset, kAttributes},
    {Py_tp_doc, const_cast<char*>("Batch(size): the batch of an eager vmap.")},
    {0, nullptr},
};

}  // namespace

bool batch_type_init(PyObject* module) {
    PyType_Spec spec = {"covector._engine._native.Batch", sizeof(Batch), 0,
                        Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC, kSlots};
    Ref type(PyType_FromSpec(&spec));
    if (!type || PyModule_AddObjectRef(module, "Batch", type.get()) < 0) return false;
    register_level_type(LevelKind::kBatch, type.get());
    return true;
}

}  // namespace covector
