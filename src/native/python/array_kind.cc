// ArrayType: the class of the class Array. isinstance(x, Array) also holds for instances of classes
// that were registered, as tracers are: libraries branch on it, and must not take the wrong branch.
#include <vector>

#include "python/array.h"

namespace covector {
namespace {

std::vector<PyTypeObject*> g_registered;  // owned; a few, for the life of the process

bool is_registered(PyTypeObject* type) {
    for (PyTypeObject* known : g_registered) {
        if (type == known || PyType_IsSubtype(type, known)) return true;
    }
    return false;
}

// register(cls): also a decorator, as abc.ABCMeta.register is.
PyObject* register_class(PyObject*, PyObject* cls) {
    if (!PyType_Check(cls)) {
        PyErr_Format(PyExc_TypeError, "Array.register() takes a class, not %.200s",
                     Py_TYPE(cls)->tp_name);
        return nullptr;
    }
    auto* type = reinterpret_cast<PyTypeObject*>(cls);
    if (!is_registered(type)) {
        Py_INCREF(cls);
        g_registered.push_back(type);
    }
    return Py_NewRef(cls);
}

PyObject* instance_check(PyObject*, PyObject* object) {
    return PyBool_FromLong(is_array(object) || is_registered(Py_TYPE(object)));
}

PyObject* subclass_check(PyObject*, PyObject* cls) {
    auto* type = reinterpret_cast<PyTypeObject*>(cls);
    return PyBool_FromLong(PyType_Check(cls) && (type == g_array_type || is_registered(type)));
}

PyMethodDef kMethods[] = {
    {"register", register_class, METH_O, "Lets the instances of a class count as arrays."},
    {"__instancecheck__", instance_check, METH_O, "Whether an object counts as an array."},
    {"__subclasscheck__", subclass_check, METH_O, "Whether instances of a class do."},
    {nullptr, nullptr, 0, nullptr},
};

PyType_Slot kSlots[] = {
    {Py_tp_base, &PyType_Type},
    {Py_tp_methods, kMethods},
    {0, nullptr},
};

}  // namespace

bool array_kind_init(PyTypeObject* array_type) {
    PyType_Spec spec = {"covector._engine._native.ArrayType", 0, 0, Py_TPFLAGS_DEFAULT, kSlots};
    PyObject* kind = PyType_FromSpec(&spec);
    if (kind == nullptr) return false;
    // Before Python 3.12 no function makes a class of another class from slots. Nothing was
    // looked up in it yet, and both have one layout.
    Py_SET_TYPE(reinterpret_cast<PyObject*>(array_type), reinterpret_cast<PyTypeObject*>(kind));
    return true;
}

}  // namespace covector
