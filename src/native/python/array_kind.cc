// ArrayType: the class of the class Array. isinstance(x, Array) also holds for instances of classes
// that were registered, as tracers are: libraries branch on it, and must not take the wrong branch.
// They also derive classes of classes from it; classes of those are as any others are.
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

bool is_the_class(PyObject* self) { return self == reinterpret_cast<PyObject*>(g_array_type); }

// What `type` itself answers.
PyObject* plain_check(const char* method, PyObject* self, PyObject* object) {
    return PyObject_CallMethod(reinterpret_cast<PyObject*>(&PyType_Type), method, "OO", self, object);
}

// register(cls): also a decorator, as abc.ABCMeta.register is.
PyObject* register_class(PyObject* self, PyObject* cls) {
    if (!is_the_class(self)) {
        PyErr_SetString(PyExc_TypeError, "register() is for Array, not for what is derived from its class");
        return nullptr;
    }
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

PyObject* instance_check(PyObject* self, PyObject* object) {
    if (!is_the_class(self)) return plain_check("__instancecheck__", self, object);
    return PyBool_FromLong(is_array(object) || is_registered(Py_TYPE(object)));
}

PyObject* subclass_check(PyObject* self, PyObject* cls) {
    if (!is_the_class(self)) return plain_check("__subclasscheck__", self, cls);
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
    PyType_Spec spec = {"covector._engine._native.ArrayType", 0, 0,
                        Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE, kSlots};
    PyObject* kind = PyType_FromSpec(&spec);
    if (kind == nullptr) return false;
    // Before Python 3.12 no function makes a class of another class from slots. Nothing was
    // looked up in it yet, and both have one layout.
    Py_SET_TYPE(reinterpret_cast<PyObject*>(array_type), reinterpret_cast<PyTypeObject*>(kind));
    return true;
}

}  // namespace covector
