// Boundary: the type, and the trimming of tracebacks.
#include "python/boundary.h"

#include <frameobject.h>
#include <structmember.h>

#include <algorithm>
#include <new>
#include <vector>

#include "python/array_protocol.h"
#include "python/room.h"
#include "python/state.h"

namespace covector {
namespace {

// How many of our frames stay of an exception that we did not raise on purpose: where to look.
constexpr size_t kUnplannedFrames = 3;

bool g_trim = false;              // under the GIL, as all of these
PyObject* g_own_paths = nullptr;  // a tuple: what the names of files begin with whose frames go
PyObject* g_called_paths = nullptr;  // a tuple: the same of libraries that we call
PyObject* g_inside_paths = nullptr;  // a tuple: the same of what of ours meets no arguments of users
int g_raise = -1;                 // the opcode of a `raise` statement

// What an exception has that a boundary on its way found to be raised on purpose: the frames that told so
// are gone by the next boundary.
constexpr const char* kPlanned = "_covector_planned";

bool is_marked(PyObject* exception) { return PyObject_HasAttrString(exception, kPlanned) == 1; }

void mark(PyObject* exception) {
    if (PyObject_SetAttrString(exception, kPlanned, Py_True) < 0) PyErr_Clear();
}

struct Boundary {
    PyObject_HEAD
    vectorcallfunc vectorcall;
    PyObject* dict;
    PyObject* weakrefs;
    PyObject* fun;
    PyObject* called;  // what calls go to: `fun`, or a native function that does the same
    PyObject* module;  // the name of the module that offers it; null: that of `fun`
};

Boundary* as_boundary(PyObject* object) { return reinterpret_cast<Boundary*>(object); }

// --- tracebacks ---

enum class Owner { kUser, kPackage, kLibrary };

bool begins_with(PyTracebackObject* entry, PyObject* path) {
    PyCodeObject* code = PyFrame_GetCode(entry->tb_frame);
    const bool does = PyUnicode_Tailmatch(code->co_filename, path, 0, PY_SSIZE_T_MAX, -1) == 1;
    Py_DECREF(code);
    return does;
}

// The last of the paths that the file of a frame begins with; -1 if there is none.
Py_ssize_t path_of(PyTracebackObject* entry, PyObject* paths) {
    Py_ssize_t i = PyTuple_GET_SIZE(paths);
    while (--i >= 0 && !begins_with(entry, PyTuple_GET_ITEM(paths, i))) {
    }
    return i;
}

Owner owner_of(PyTracebackObject* entry) {
    const Py_ssize_t path = path_of(entry, g_own_paths);
    return path < 0 ? Owner::kUser : path == 0 ? Owner::kPackage : Owner::kLibrary;
}

// Whether the exception was raised on purpose: the innermost frame, which is ours, stands at a `raise`,
// and not at something that went wrong in it. A failed assertion is a defect of ours.
bool is_planned(PyObject* exception, PyTracebackObject* entry) {
    if (is_marked(exception)) return true;
    if (PyObject_TypeCheck(exception, reinterpret_cast<PyTypeObject*>(PyExc_AssertionError))) {
        return false;
    }
    PyCodeObject* code = PyFrame_GetCode(entry->tb_frame);
    Ref bytes(PyCode_GetCode(code));
    Py_DECREF(code);
    if (!bytes || entry->tb_lasti < 0 || entry->tb_lasti >= PyBytes_GET_SIZE(bytes.get())) {
        PyErr_Clear();  // without memory for the copy there is nothing to tell it by
        return true;
    }
    return static_cast<unsigned char>(PyBytes_AS_STRING(bytes.get())[entry->tb_lasti]) == g_raise;
}

// `first`: it is the exception on its way, not one that it was raised from.
void trim_one(PyObject* exception, bool first) {
    Ref traceback(PyException_GetTraceback(exception));
    if (!traceback || !PyTraceBack_Check(traceback.get())) return;  // None: all of it was cut before
    std::vector<Ref> entries;
    std::vector<bool> ours;
    Owner innermost = Owner::kUser;
    for (PyObject* at = traceback.get(); at != nullptr;) {
        auto* entry = reinterpret_cast<PyTracebackObject*>(at);
        entries.emplace_back(Py_NewRef(at));
        innermost = owner_of(entry);
        ours.push_back(innermost != Owner::kUser);
        at = reinterpret_cast<PyObject*>(entry->tb_next);
    }
    const size_t count = entries.size();
    if (std::find(ours.begin(), ours.end(), true) == ours.end()) return;
    if (innermost != Owner::kPackage ||
        is_planned(exception, reinterpret_cast<PyTracebackObject*>(entries.back().get()))) {
        if (first) mark(exception);
    } else {
        for (size_t i = 0; i < std::min(count, kUnplannedFrames) && ours[count - 1 - i]; ++i) {
            ours[count - 1 - i] = false;
        }
    }
    PyObject* next = nullptr;
    for (size_t i = count; i-- > 0;) {
        if (ours[i]) continue;
        auto* entry = reinterpret_cast<PyTracebackObject*>(entries[i].get());
        auto* link = reinterpret_cast<PyTracebackObject*>(Py_XNewRef(next));
        Py_XSETREF(entry->tb_next, link);
        next = entries[i].get();
    }
    PyException_SetTraceback(exception, next == nullptr ? Py_None : next);
}

// The exception, what it was raised from, and what was being handled: each once. Without memory for
// the lists the frames stay.
void trim_chain(PyObject* exception) try {
    std::vector<Ref> chain;
    chain.emplace_back(Py_NewRef(exception));
    for (size_t i = 0; i < chain.size(); ++i) {
        PyObject* at = chain[i].get();
        trim_one(at, i == 0);
        for (PyObject* found : {PyException_GetCause(at), PyException_GetContext(at)}) {
            Ref other(found);
            const auto known = [&](const Ref& seen) { return seen.get() == found; };
            if (other && std::none_of(chain.begin(), chain.end(), known)) {
                chain.push_back(std::move(other));
            }
        }
    }
} catch (const std::bad_alloc&) {
}

// The exception in flight, which is none after it, with its traceback.
Ref take_raised() {
#if PY_VERSION_HEX >= 0x030C0000
    return Ref(PyErr_GetRaisedException());
#else
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    PyErr_NormalizeException(&type, &value, &traceback);
    if (traceback != nullptr) PyException_SetTraceback(value, traceback);
    Py_XDECREF(type);
    Py_XDECREF(traceback);
    return Ref(value);
#endif
}

void raise_again(Ref exception) {
#if PY_VERSION_HEX >= 0x030C0000
    PyErr_SetRaisedException(exception.release());
#else
    PyObject* traceback = PyException_GetTraceback(exception.get());
    PyObject* type = Py_NewRef(reinterpret_cast<PyObject*>(Py_TYPE(exception.get())));
    PyErr_Restore(type, exception.release(), traceback);
#endif
}

// --- what a function was given that it could not take ---

// Where an exception came from.
enum class Origin {
    kElsewhere,  // not about these arguments: a user's function had a part in it, or a defect of ours
    kPlanned,  // ours, and raised on purpose
    kUnplanned  // from where our code looked at the arguments, and nothing was raised on purpose
};

// `functions`: some were given, which are traced, and something is made of the Programs: what fails there is
// not about the other arguments.
Origin origin_of(PyObject* exception, bool functions) {
    Ref traceback(PyException_GetTraceback(exception));
    if (!traceback || !PyTraceBack_Check(traceback.get())) return Origin::kPlanned;  // of the call itself
    PyObject* package = PyTuple_GET_ITEM(g_own_paths, 0);
    PyTracebackObject* last = nullptr;
    bool in_library = false;  // which we called with what users gave us
    bool with_user = false;
    bool inside = false;  // of what is made of the arguments, once they were taken
    for (auto* entry = reinterpret_cast<PyTracebackObject*>(traceback.get()); entry != nullptr;
         entry = entry->tb_next) {
        in_library = path_of(entry, g_called_paths) >= 0;
        if (in_library) continue;
        last = entry;
        with_user = with_user || owner_of(entry) == Owner::kUser;
        inside = inside || path_of(entry, g_inside_paths) >= 0;
    }
    if (last == nullptr || !begins_with(last, package)) return Origin::kElsewhere;
    if (!in_library && is_planned(exception, last)) {
        return with_user ? Origin::kElsewhere : Origin::kPlanned;
    }
    return functions && (inside || with_user) ? Origin::kElsewhere : Origin::kUnplanned;
}

// The error that says which arguments a function was given, which may be the same; null if there is
// nothing to say.
Ref told_by(PyObject* exception, bool planned, PyObject* fun, PyObject* const* args, size_t flags,
            PyObject* names) {
    const Py_ssize_t given = PyVectorcall_NARGS(flags);
    Ref positional(PyTuple_New(given)), keywords(PyDict_New());
    if (!positional || !keywords) return Ref();
    for (Py_ssize_t i = 0; i < given; ++i) PyTuple_SET_ITEM(positional.get(), i, Py_NewRef(args[i]));
    const Py_ssize_t named = names == nullptr ? 0 : PyTuple_GET_SIZE(names);
    for (Py_ssize_t i = 0; i < named; ++i) {
        if (PyDict_SetItem(keywords.get(), PyTuple_GET_ITEM(names, i), args[given + i]) < 0) return Ref();
    }
    Ref told(PyObject_CallFunctionObjArgs(g_hooks.unforeseen, exception, planned ? Py_True : Py_False,
                                          fun, positional.get(), keywords.get(), nullptr));
    return told && PyExceptionInstance_Check(told.get()) ? std::move(told) : Ref();
}

bool is_function(PyObject* object) {
    return PyCallable_Check(object) && !PyType_Check(object) &&
           !PyObject_HasAttrString(object, "dtype");  // functions that stand for dtypes
}

// Whether functions are among what was given, or in a list or tuple of it.
bool given_functions(PyObject* const* args, Py_ssize_t count) {
    for (Py_ssize_t i = 0; i < count; ++i) {
        if (is_function(args[i])) return true;
        if (!PyList_Check(args[i]) && !PyTuple_Check(args[i])) continue;
        PyObject** items = PySequence_Fast_ITEMS(args[i]);
        for (Py_ssize_t k = 0; k < PySequence_Fast_GET_SIZE(args[i]); ++k) {
            if (is_function(items[k])) return true;
        }
    }
    return false;
}

void explain(PyObject* fun, PyObject* const* args, size_t flags, PyObject* names) {
    Ref exception = take_raised();
    const Py_ssize_t named = names == nullptr ? 0 : PyTuple_GET_SIZE(names);
    const bool functions = given_functions(args, PyVectorcall_NARGS(flags) + named);
    const Origin origin = origin_of(exception.get(), functions);
    if (origin != Origin::kElsewhere) {
        Ref told = told_by(exception.get(), origin == Origin::kPlanned, fun, args, flags, names);
        if (told && told.get() != exception.get()) {
            PyException_SetCause(told.get(), exception.release());
            return raise_again(std::move(told));
        }
        PyErr_Clear();  // it stays as it was
    }
    raise_again(std::move(exception));
}

// In the place of a RecursionError of whoever takes trees apart: one that says what to do.
void tell_deep_tree() {
    if (g_hooks.deep_tree == nullptr) return;
    Ref exception = take_raised();
    Ref told(PyObject_CallOneArg(g_hooks.deep_tree, exception.get()));
    if (!told) PyErr_Clear();  // it stays as it was
    raise_again(told && told.get() != Py_None ? std::move(told) : std::move(exception));
}

// What a public function does with an exception.
CV_NOINLINE PyObject* failed(PyObject* fun, PyObject* const* args, size_t flags, PyObject* names) {
    const bool about_arguments = PyErr_ExceptionMatches(PyExc_TypeError) ||
                                 PyErr_ExceptionMatches(PyExc_ValueError) ||
                                 PyErr_ExceptionMatches(PyExc_IndexError) ||
                                 PyErr_ExceptionMatches(PyExc_OverflowError) ||
                                 PyErr_ExceptionMatches(PyExc_AttributeError);
    if (about_arguments && g_hooks.unforeseen != nullptr && g_own_paths != nullptr) {
        explain(fun, args, flags, names);
    }
    return or_trimmed(nullptr);
}

// --- the type ---

// What a call ends with that raised an exception.
CV_NOINLINE PyObject* ended(PyObject* object, PyObject* const* args, size_t flags, PyObject* names) {
    Boundary* self = as_boundary(object);
    return self->module == nullptr ? or_trimmed(nullptr) : failed(self->fun, args, flags, names);
}

PyObject* boundary_call(PyObject* object, PyObject* const* args, size_t flags, PyObject* names) {
    Boundary* self = as_boundary(object);
    PyObject* result = self->called == self->fun  // else it is native, and asks where it calls Python
                           ? call_with_room(self->fun, args, flags, names)
                           : PyObject_Vectorcall(self->called, args, flags, names);
    return CV_LIKELY(result != nullptr) ? result : ended(object, args, flags, names);
}

// The same with arrays in the place of arguments that stand for some, unless one takes the call.
CV_NOINLINE PyObject* call_with_arrays(PyObject* object, PyObject* const* args, size_t flags,
                                       PyObject* names) {
    const size_t given = static_cast<size_t>(PyVectorcall_NARGS(flags));
    const size_t count = given + (names == nullptr ? 0 : static_cast<size_t>(PyTuple_GET_SIZE(names)));
    std::vector<Ref> made;
    std::vector<PyObject*> arguments(1);
    for (size_t i = 0; i < count; ++i) {
        PyObject* taker = taker_of_calls(args[i]);
        if (taker == nullptr) continue;
        Ref taken(take_call(taker, as_boundary(object)->fun, args, static_cast<Py_ssize_t>(given), names));
        if (!taken) return ended(object, args, flags, names);
        if (taken.get() != Py_NotImplemented) return taken.release();
        break;
    }
    made.reserve(count);
    for (size_t i = 0; i < count; ++i) {
        PyObject* argument = args[i];
        if (stands_for_array(argument)) {
            made.emplace_back(array_it_stands_for(argument));
            argument = made.back().get();
            if (argument == nullptr) return or_trimmed(nullptr);
        }
        arguments.push_back(argument);
    }
    return boundary_call(object, arguments.data() + 1, given | PY_VECTORCALL_ARGUMENTS_OFFSET, names);
}

// Of functions of arrays.
PyObject* array_boundary_call(PyObject* object, PyObject* const* args, size_t flags,
                              PyObject* names) {
    Py_ssize_t count = PyVectorcall_NARGS(flags);
    if (names != nullptr) count += PyTuple_GET_SIZE(names);
    for (Py_ssize_t i = 0; i < count; ++i) {
        if (CV_LIKELY(!stands_for_array(args[i]) && taker_of_calls(args[i]) == nullptr)) continue;
        try {
            return call_with_arrays(object, args, flags, names);
        } catch (const std::bad_alloc&) {
            return PyErr_NoMemory();
        }
    }
    return boundary_call(object, args, flags, names);
}

PyObject* boundary_new(PyTypeObject* type, PyObject* args, PyObject* keywords) {
    static const char* names[] = {"fun", "module", "called", "arrays", nullptr};
    PyObject* fun;
    PyObject* module = Py_None;
    PyObject* called = Py_None;
    int arrays = 0;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "O|OOp:Boundary", const_cast<char**>(names),
                                     &fun, &module, &called, &arrays)) {
        return nullptr;
    }
    if (module != Py_None && !PyUnicode_Check(module)) {
        PyErr_SetString(PyExc_TypeError, "Boundary: the module is a name");
        return nullptr;
    }
    if (called == Py_None) called = fun;
    if (!PyCallable_Check(fun) || !PyCallable_Check(called)) {
        PyErr_Format(PyExc_TypeError, "Boundary: not a function: %R", fun);
        return nullptr;
    }
    PyObject* object = type->tp_alloc(type, 0);
    if (object == nullptr) return nullptr;
    Boundary* self = as_boundary(object);
    self->vectorcall = arrays ? array_boundary_call : boundary_call;
    self->fun = Py_NewRef(fun);
    self->called = Py_NewRef(called);
    self->module = module == Py_None ? nullptr : Py_NewRef(module);
    return object;
}

int boundary_traverse(PyObject* object, visitproc visit, void* arg) {
    Boundary* self = as_boundary(object);
    Py_VISIT(Py_TYPE(object));
    Py_VISIT(self->dict);
    Py_VISIT(self->fun);
    Py_VISIT(self->called);
    return 0;
}

// `fun` stays: a cycle through it is cut in the function itself.
int boundary_clear(PyObject* object) {
    Py_CLEAR(as_boundary(object)->dict);
    return 0;
}

void boundary_dealloc(PyObject* object) {
    Boundary* self = as_boundary(object);
    PyTypeObject* type = Py_TYPE(object);
    PyObject_GC_UnTrack(object);
    if (self->weakrefs != nullptr) PyObject_ClearWeakRefs(object);
    Py_CLEAR(self->dict);
    Py_CLEAR(self->fun);
    Py_CLEAR(self->called);
    Py_CLEAR(self->module);
    type->tp_free(object);
    Py_DECREF(type);
}

PyObject* boundary_repr(PyObject* object) { return PyObject_Repr(as_boundary(object)->fun); }

// It is the function, for tables of functions: equal to it, and to another boundary of it.
Py_hash_t boundary_hash(PyObject* object) { return PyObject_Hash(as_boundary(object)->fun); }

PyObject* function_of(PyObject* object) {
    return Py_TYPE(object)->tp_repr == boundary_repr ? as_boundary(object)->fun : object;
}

PyObject* boundary_compare(PyObject* a, PyObject* b, int operation) {
    if (operation != Py_EQ && operation != Py_NE) Py_RETURN_NOTIMPLEMENTED;
    return PyObject_RichCompare(function_of(a), function_of(b), operation);
}

PyObject* boundary_bind(PyObject* function, PyObject* instance, PyObject*) {
    if (instance == nullptr || instance == Py_None) return Py_NewRef(function);
    return PyMethod_New(function, instance);
}

// What it does not have itself is the function's: its code, defaults, annotations, ...
PyObject* boundary_getattr(PyObject* object, PyObject* name) {
    PyObject* found = PyObject_GenericGetAttr(object, name);
    if (found != nullptr || !PyErr_ExceptionMatches(PyExc_AttributeError)) return found;
    PyErr_Clear();
    return PyObject_GetAttr(as_boundary(object)->fun, name);
}

PyObject* get_wrapped(PyObject* object, void*) { return Py_NewRef(as_boundary(object)->fun); }

PyObject* get_module(PyObject* object, void*) {
    Boundary* self = as_boundary(object);
    if (self->module != nullptr) return Py_NewRef(self->module);
    return PyObject_GetAttrString(self->fun, "__module__");
}

PyObject* get_of_function(PyObject* object, void* name) {
    return PyObject_GetAttrString(as_boundary(object)->fun, static_cast<const char*>(name));
}

PyMemberDef kMembers[] = {
    {"__vectorcalloffset__", T_PYSSIZET, offsetof(Boundary, vectorcall), READONLY, nullptr},
    {"__dictoffset__", T_PYSSIZET, offsetof(Boundary, dict), READONLY, nullptr},
    {"__weaklistoffset__", T_PYSSIZET, offsetof(Boundary, weakrefs), READONLY, nullptr},
    {nullptr, 0, 0, 0, nullptr},
};

PyGetSetDef kAttributes[] = {
    {"__dict__", PyObject_GenericGetDict, PyObject_GenericSetDict, nullptr, nullptr},
    {"__wrapped__", get_wrapped, nullptr, nullptr, nullptr},
    {"__module__", get_module, nullptr, nullptr, nullptr},
    {"__doc__", get_of_function, nullptr, nullptr, const_cast<char*>("__doc__")},
    {nullptr, nullptr, nullptr, nullptr, nullptr},
};

PyType_Slot kSlots[] = {
    {Py_tp_new, reinterpret_cast<void*>(boundary_new)},
    {Py_tp_dealloc, reinterpret_cast<void*>(boundary_dealloc)},
    {Py_tp_traverse, reinterpret_cast<void*>(boundary_traverse)},
    {Py_tp_clear, reinterpret_cast<void*>(boundary_clear)},
    {Py_tp_call, reinterpret_cast<void*>(PyVectorcall_Call)},
    {Py_tp_repr, reinterpret_cast<void*>(boundary_repr)},
    {Py_tp_hash, reinterpret_cast<void*>(boundary_hash)},
    {Py_tp_richcompare, reinterpret_cast<void*>(boundary_compare)},
    {Py_tp_getattro, reinterpret_cast<void*>(boundary_getattr)},
    {Py_tp_descr_get, reinterpret_cast<void*>(boundary_bind)},
    {Py_tp_members, kMembers},
    {Py_tp_getset, kAttributes},
    {0, nullptr},
};

PyObject* set_trim_tracebacks(PyObject*, PyObject* on) {
    const int trim = PyObject_IsTrue(on);
    if (trim < 0) return nullptr;
    g_trim = trim != 0;
    Py_RETURN_NONE;
}

PyObject* set_own_code(PyObject*, PyObject* args) {
    PyObject *paths, *called, *inside;
    int opcode;
    if (!PyArg_ParseTuple(args, "O!iO!O!:set_own_code", &PyTuple_Type, &paths, &opcode,
                          &PyTuple_Type, &called, &PyTuple_Type, &inside)) {
        return nullptr;
    }
    for (PyObject* tuple : {paths, called, inside}) {
        for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(tuple); ++i) {
            if (PyUnicode_Check(PyTuple_GET_ITEM(tuple, i))) continue;
            PyErr_SetString(PyExc_TypeError, "set_own_code: paths must be str");
            return nullptr;
        }
    }
    Py_XSETREF(g_own_paths, Py_NewRef(paths));
    Py_XSETREF(g_called_paths, Py_NewRef(called));
    Py_XSETREF(g_inside_paths, Py_NewRef(inside));
    g_raise = opcode;
    Py_RETURN_NONE;
}

PyMethodDef kFunctions[] = {
    {"set_trim_tracebacks", set_trim_tracebacks, METH_O, "Sets whether boundaries trim."},
    {"set_own_code", set_own_code, METH_VARARGS,
     "Takes paths whose files' frames go, first ours, then libraries', the opcode of `raise`, the paths of libraries "
     "that we call with what users give us, and those of what of ours meets no arguments of users."},
    {nullptr, nullptr, 0, nullptr},
};

}  // namespace

void trim_traceback() {
    if (PyErr_Occurred() && PyErr_ExceptionMatches(PyExc_RecursionError)) tell_deep_tree();
    if (!g_trim || g_own_paths == nullptr || !PyErr_Occurred()) return;
    Ref exception = take_raised();
    trim_chain(exception.get());
    raise_again(std::move(exception));
}

PyObject* or_explained(PyObject* result, PyObject* fun, PyObject* const* args, size_t flags,
                       PyObject* names) {
    return CV_LIKELY(result != nullptr) ? result : failed(fun, args, flags, names);
}

bool boundary_type_init(PyObject* module) {
    PyType_Spec spec = {"covector._engine._native.Boundary", sizeof(Boundary), 0,
                        Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HAVE_VECTORCALL |
                            Py_TPFLAGS_METHOD_DESCRIPTOR,
                        kSlots};
    Ref type(PyType_FromSpec(&spec));
    return type && PyModule_AddObjectRef(module, "Boundary", type.get()) == 0 &&
           PyModule_AddFunctions(module, kFunctions) == 0;
}

}  // namespace covector
