// Objects of other libraries that stand for arrays.
#include "python/array_protocol.h"

#include "python/array.h"
#include "python/state.h"

namespace covector {
namespace {

bool is_plain(PyObject* object) {
    return is_array(object) || PyFloat_CheckExact(object) || PyLong_CheckExact(object) ||
           object == Py_None || PyBool_Check(object) || PyUnicode_CheckExact(object) ||
           PyTuple_CheckExact(object) || PyList_CheckExact(object);
}

}  // namespace

bool stands_for_array(PyObject* object) {
    if (CV_LIKELY(is_plain(object))) return false;
    static PyObject* const names[] = {PyUnicode_InternFromString("__covector_array__"),
                                      PyUnicode_InternFromString("__jax_array__")};
    for (PyObject* name : names) {
        if (name != nullptr && _PyType_Lookup(Py_TYPE(object), name) != nullptr) return true;
    }
    return false;
}

bool takes_calls(PyObject* object) {
    if (CV_LIKELY(is_plain(object))) return false;
    static PyObject* const name = PyUnicode_InternFromString("__covector_function__");
    return name != nullptr && _PyType_Lookup(Py_TYPE(object), name) != nullptr;
}

PyObject* taker_of_calls(PyObject* object) {
    if (!PyList_CheckExact(object) && !PyTuple_CheckExact(object)) {
        return takes_calls(object) ? object : nullptr;
    }
    for (Py_ssize_t i = 0; i < Py_SIZE(object); ++i) {
        PyObject* item = PySequence_Fast_GET_ITEM(object, i);
        if (CV_UNLIKELY(takes_calls(item))) return item;
    }
    return nullptr;
}

PyObject* take_call(PyObject* object, PyObject* function, PyObject* const* args, Py_ssize_t given,
                    PyObject* names) {
    const Ref positional(PyTuple_New(given));
    const Ref keywords(PyDict_New());
    if (!positional || !keywords) return nullptr;
    for (Py_ssize_t i = 0; i < given; ++i) {
        PyTuple_SET_ITEM(positional.get(), i, Py_NewRef(args[i]));
    }
    for (Py_ssize_t i = 0; names != nullptr && i < PyTuple_GET_SIZE(names); ++i) {
        if (PyDict_SetItem(keywords.get(), PyTuple_GET_ITEM(names, i), args[given + i]) < 0) {
            return nullptr;
        }
    }
    return PyObject_CallMethod(object, "__covector_function__", "OOO", function, positional.get(),
                               keywords.get());
}

PyObject* array_it_stands_for(PyObject* object) {
    if (g_hooks.stands_for == nullptr) {
        hook_missing("stands_for");
        return nullptr;
    }
    const Ref hook = Ref::borrow(g_hooks.stands_for);
    return PyObject_CallOneArg(hook.get(), object);
}

}  // namespace covector
