// JitFunction: the type.
#include "dispatch/jit.h"

#include <structmember.h>

#include <new>

#include "dispatch/calls.h"
#include "python/boundary.h"
#include "python/state.h"

namespace covector {
namespace {

struct JitFunction {
    PyObject_HEAD
    vectorcallfunc vectorcall;
    PyObject* dict;
    PyObject* weakrefs;
    PyObject* fun;
    Calls* calls;
};

JitFunction* as_jit(PyObject* object) { return reinterpret_cast<JitFunction*>(object); }

PyObject* jit_call(PyObject* object, PyObject* const* args, size_t flags, PyObject* names) {
    Calls* calls = as_jit(object)->calls;
    if (names != nullptr && PyTuple_GET_SIZE(names) == 0) names = nullptr;
    const CallArguments call{args, PyVectorcall_NARGS(flags), names};
    if (use_slow_path()) return or_trimmed(call_python(calls, call));
    try {
        return or_trimmed(call_native(calls, call));
    } catch (const std::bad_alloc&) {
        return PyErr_NoMemory();
    }
}

PyObject* jit_new(PyTypeObject* type, PyObject* args, PyObject* keywords) {
    static const char* names[] = {"fun", "calls", nullptr};
    PyObject *fun, *calls;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "OO:JitFunction", const_cast<char**>(names),
                                     &fun, &calls)) {
        return nullptr;
    }
    if (!PyCallable_Check(fun) || !is_calls(calls)) {
        PyErr_SetString(PyExc_TypeError, "JitFunction: needs something callable and its Calls");
        return nullptr;
    }
    Ref object(type->tp_alloc(type, 0));
    if (!object) return nullptr;
    JitFunction* self = as_jit(object.get());
    self->vectorcall = jit_call;
    self->fun = Py_NewRef(fun);
    self->calls = reinterpret_cast<Calls*>(Py_NewRef(calls));
    self->dict = PyDict_New();
    if (self->dict == nullptr || PyDict_SetItemString(self->dict, "__wrapped__", fun) < 0) {
        return nullptr;
    }
    return object.release();
}

// --- life cycle ---

int jit_traverse(PyObject* object, visitproc visit, void* arg) {
    JitFunction* self = as_jit(object);
    Py_VISIT(Py_TYPE(object));
    Py_VISIT(self->dict);
    Py_VISIT(self->fun);
    Py_VISIT(self->calls);
    return 0;
}

// Not `calls`, which is needed until the end: cycles through it are its own to break.
int jit_clear(PyObject* object) {
    JitFunction* self = as_jit(object);
    Py_CLEAR(self->dict);
    Py_CLEAR(self->fun);
    return 0;
}

void jit_dealloc(PyObject* object) {
    JitFunction* self = as_jit(object);
    PyTypeObject* type = Py_TYPE(object);
    PyObject_GC_UnTrack(object);
    if (self->weakrefs != nullptr) PyObject_ClearWeakRefs(object);
    jit_clear(object);
    Py_CLEAR(self->calls);
    type->tp_free(object);
    Py_DECREF(type);
}

PyObject* jit_repr(PyObject* object) {
    PyObject* fun = as_jit(object)->fun;
    return PyUnicode_FromFormat("<compiled %R>", fun == nullptr ? Py_None : fun);
}

PyObject* jit_bind(PyObject* function, PyObject* instance, PyObject*) {
    if (instance == nullptr || instance == Py_None) return Py_NewRef(function);
    return PyMethod_New(function, instance);
}

// A compiled function does not change: copies of it are the function itself.
PyObject* copy_self(PyObject* object, PyObject*) { return Py_NewRef(object); }

// Pickled by name, as Python's functions are: what is found under the name must be this object.
PyObject* reduce(PyObject* object, PyObject*) {
    Ref name(PyObject_GetAttrString(object, "__qualname__"));
    Ref module_name(name ? PyObject_GetAttrString(object, "__module__") : nullptr);
    Ref found(module_name ? PyImport_Import(module_name.get()) : nullptr);
    Ref parts(found ? PyObject_CallMethod(name.get(), "split", "s", ".") : nullptr);
    for (Py_ssize_t i = 0; found && parts && i < PyList_GET_SIZE(parts.get()); ++i) {
        found = Ref(PyObject_GetAttr(found.get(), PyList_GET_ITEM(parts.get(), i)));
    }
    if (found && found.get() == object) return name.release();
    PyErr_Clear();
    PyErr_Format(PyExc_TypeError,
                 "%R cannot be pickled: it is not what its name refers to. Pickle the function "
                 "before it is compiled, and call jit after loading it", object);
    return nullptr;
}

PyMethodDef kMethods[] = {
    {"__copy__", copy_self, METH_NOARGS, "The function itself, which does not change."},
    {"__deepcopy__", copy_self, METH_O, "The function itself, which does not change."},
    {"__reduce__", reduce, METH_NOARGS, "How pickle finds the function again: by its name."},
    {nullptr, nullptr, 0, nullptr},
};

PyMemberDef kMembers[] = {
    {"__vectorcalloffset__", T_PYSSIZET, offsetof(JitFunction, vectorcall), READONLY, nullptr},
    {"__dictoffset__", T_PYSSIZET, offsetof(JitFunction, dict), READONLY, nullptr},
    {"__weaklistoffset__", T_PYSSIZET, offsetof(JitFunction, weakrefs), READONLY, nullptr},
    {"calls", T_OBJECT, offsetof(JitFunction, calls), READONLY, nullptr},
    {nullptr, 0, 0, 0, nullptr},
};

PyGetSetDef kAttributes[] = {
    {"__dict__", PyObject_GenericGetDict, PyObject_GenericSetDict, nullptr, nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr},
};

PyType_Slot kSlots[] = {
    {Py_tp_new, reinterpret_cast<void*>(jit_new)},
    {Py_tp_dealloc, reinterpret_cast<void*>(jit_dealloc)},
    {Py_tp_traverse, reinterpret_cast<void*>(jit_traverse)},
    {Py_tp_clear, reinterpret_cast<void*>(jit_clear)},
    {Py_tp_call, reinterpret_cast<void*>(PyVectorcall_Call)},
    {Py_tp_repr, reinterpret_cast<void*>(jit_repr)},
    {Py_tp_descr_get, reinterpret_cast<void*>(jit_bind)},
    {Py_tp_methods, kMethods},
    {Py_tp_members, kMembers},
    {Py_tp_getset, kAttributes},
    {Py_tp_doc, const_cast<char*>(
         "JitFunction(fun, calls): the function, compiled for each signature.")},
    {0, nullptr},
};

}  // namespace

bool jit_type_init(PyObject* module) {
    PyType_Spec spec = {"covector._engine._native.JitFunction", sizeof(JitFunction), 0,
                        Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HAVE_VECTORCALL |
                            Py_TPFLAGS_METHOD_DESCRIPTOR,
                        kSlots};
    Ref type(PyType_FromSpec(&spec));
    return type && PyModule_AddObjectRef(module, "JitFunction", type.get()) == 0;
}

}  // namespace covector
