// The batch: its type.
#include "dispatch/batch.h"

#include "dispatch/level_type.h"

namespace covector {
namespace {

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

PyObject* batch_size(PyObject* object, void*) {
    return PyLong_FromLongLong(reinterpret_cast<Batch*>(object)->size);
}

}  // namespace

const std::vector<PyMethodDef> Batch::kMethods = {
    {"input", batch_input, METH_VARARGS, "input(value, axis): a tracer of a value with a batch axis."},
};
const std::vector<PyGetSetDef> Batch::kAttributes = {
    {"size", batch_size, nullptr, "The number of elements.", nullptr},
};

bool Batch::begin(PyObject* args, PyObject* keywords) {
    static const char* names[] = {"size", nullptr};
    long long given;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "L:Batch", const_cast<char**>(names), &given)) {
        return false;
    }
    size = given;
    return true;
}

bool batch_type_init(PyObject* module) { return LevelType<Batch>::init(module); }

}  // namespace covector
