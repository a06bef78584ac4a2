// Arguments of vectorcall functions, by position or name.
#pragma once

#include "python/objects.h"

namespace covector {

// Puts the arguments into values[count] (borrowed, null where absent) in the order of `names`;
// false with an exception. The first `required` ones must be given.
inline bool parse_arguments(const char* function, const char* const* names, int count,
                            int required, PyObject* const* args, Py_ssize_t nargs,
                            PyObject* keywords, PyObject** values) {
    if (nargs > count) {
        PyErr_Format(PyExc_TypeError, "%s() takes at most %d arguments, not %zd", function, count,
                     nargs);
        return false;
    }
    for (int i = 0; i < count; ++i) values[i] = i < nargs ? args[i] : nullptr;
    const Py_ssize_t named = keywords == nullptr ? 0 : PyTuple_GET_SIZE(keywords);
    for (Py_ssize_t k = 0; k < named; ++k) {
        PyObject* name = PyTuple_GET_ITEM(keywords, k);
        int i = 0;
        while (i < count && PyUnicode_CompareWithASCIIString(name, names[i]) != 0) ++i;
        if (i == count || values[i] != nullptr) {
            PyErr_Format(PyExc_TypeError,
                         i == count ? "%s() has no argument named %R"
                                    : "%s() got the argument %R twice",
                         function, name);
            return false;
        }
        values[i] = args[nargs + k];
    }
    for (int i = 0; i < required; ++i) {
        if (values[i] == nullptr) {
            PyErr_Format(PyExc_TypeError, "%s() misses the argument '%s'", function, names[i]);
            return false;
        }
    }
    return true;
}

// A truth value with a default; -1 with an exception.
inline int truth(PyObject* value, bool absent) {
    return value == nullptr ? absent : PyObject_IsTrue(value);
}

template <typename Function>
PyCFunction as_method(Function function) {
    return reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(function));
}

}  // namespace covector
