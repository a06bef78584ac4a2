// JitFunction: the type.
#include "dispatch/jit.h"

#include <structmember.h>

#include <new>

#include "dispatch/call_cache.h"
#include "dispatch/plan.h"
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
    PyObject* miss;
    PyObject* bypass;
    PyObject* static_names;  // a tuple of str
    PyObject* donate_argnums;
    PyObject* donate_argnames;
    uint64_t static_mask;           // of positions below 64
    std::vector<long>* static_rest;  // other positions: large, or counted from the end
    CallCache* cache;
};

JitFunction* as_jit(PyObject* object) { return reinterpret_cast<JitFunction*>(object); }

// --- the call ---

struct CallArguments {
    PyObject* const* args;
    Py_ssize_t nargs;
    PyObject* names;  // a tuple, or null

    Py_ssize_t named() const { return names == nullptr ? 0 : PyTuple_GET_SIZE(names); }
};

CV_NOINLINE PyObject* call_python(PyObject* function, const CallArguments& call) {
    if (function == nullptr) {  // only after the garbage collector took this object apart
        PyErr_SetString(PyExc_RuntimeError, "this compiled function is being destroyed");
        return nullptr;
    }
    Ref args(PyTuple_New(call.nargs));
    Ref keywords(PyDict_New());
    if (!args || !keywords) return nullptr;
    for (Py_ssize_t i = 0; i < call.nargs; ++i) {
        PyTuple_SET_ITEM(args.get(), i, Py_NewRef(call.args[i]));
    }
    for (Py_ssize_t i = 0; i < call.named(); ++i) {
        PyObject* name = PyTuple_GET_ITEM(call.names, i);
        if (PyDict_SetItem(keywords.get(), name, call.args[call.nargs + i]) < 0) return nullptr;
    }
    PyObject* both[] = {nullptr, args.get(), keywords.get()};
    return PyObject_Vectorcall(function, both + 1, 2 | PY_VECTORCALL_ARGUMENTS_OFFSET, nullptr);
}

bool is_static_position(const JitFunction* self, Py_ssize_t position, Py_ssize_t nargs) {
    if (position < 64 && (self->static_mask >> position & 1)) return true;
    if (CV_LIKELY(self->static_rest == nullptr)) return false;
    for (long wanted : *self->static_rest) {
        if (position == wanted || position - nargs == wanted) return true;
    }
    return false;
}

bool is_static_name(const JitFunction* self, PyObject* name) {
    const Py_ssize_t count = PyTuple_GET_SIZE(self->static_names);
    for (Py_ssize_t i = 0; i < count; ++i) {
        PyObject* known = PyTuple_GET_ITEM(self->static_names, i);
        if (known == name || PyUnicode_Compare(known, name) == 0) return true;
    }
    return false;
}

CV_NOINLINE Flat add_keywords(const JitFunction* self, const CallArguments& call,
                              Signature* signature) {
    const auto count = static_cast<size_t>(call.named());
    SmallVector<Py_ssize_t, 24> order;  // by name
    for (size_t i = 0; i < count; ++i) {
        order.push_back(static_cast<Py_ssize_t>(i));
        for (size_t at = i; at > 0; --at) {
            PyObject* here = PyTuple_GET_ITEM(call.names, order[at]);
            PyObject* before = PyTuple_GET_ITEM(call.names, order[at - 1]);
            if (PyUnicode_Compare(here, before) >= 0) break;
            std::swap(order[at], order[at - 1]);
        }
    }
    for (size_t i = 0; i < count; ++i) {
        PyObject* name = PyTuple_GET_ITEM(call.names, order[i]);
        PyObject* value = call.args[call.nargs + order[i]];
        signature->add_keyword(name);
        if (is_static_name(self, name)) {
            signature->add_static(value);
            continue;
        }
        const Flat result = signature->add_argument(value);
        if (result != Flat::kDone) return result;
    }
    return Flat::kDone;
}

inline Flat flatten(const JitFunction* self, const CallArguments& call, Signature* signature) {
    signature->add_word(config_epoch());
    signature->add_word(static_cast<uint64_t>(call.nargs) << 32 |
                        static_cast<uint64_t>(call.named()));
    const bool statics = self->static_mask != 0 || self->static_rest != nullptr;
    for (Py_ssize_t i = 0; i < call.nargs; ++i) {
        if (CV_UNLIKELY(statics) && is_static_position(self, i, call.nargs)) {
            signature->add_static(call.args[i]);
            continue;
        }
        const Flat result = signature->add_argument(call.args[i]);
        if (CV_UNLIKELY(result != Flat::kDone)) return result;
    }
    return CV_LIKELY(call.names == nullptr) ? Flat::kDone : add_keywords(self, call, signature);
}

CV_NOINLINE PyObject* call_miss(JitFunction* self, const CallArguments& call,
                                Signature* signature) {
    Ref entry(call_python(self->miss, call));
    if (!entry) return nullptr;
    if (entry.get() == Py_None) return call_python(self->bypass, call);
    const Plan* plan = plan_of(entry.get());
    if (plan == nullptr) return nullptr;
    if (!plan->prepare(signature)) return call_python(self->bypass, call);
    if (!plan->check(*signature) || !self->cache->insert(*signature, entry.get(), plan)) {
        return nullptr;
    }
    return plan->run(*signature, entry.get());
}

PyObject* call_native(JitFunction* self, const CallArguments& call) {
    Signature signature(self->cache);
    const Flat flat = flatten(self, call, &signature);
    if (CV_UNLIKELY(flat != Flat::kDone)) {
        return flat == Flat::kBypass ? call_python(self->bypass, call) : nullptr;
    }
    bool unhashable = false;
    const Plan* plan = nullptr;
    Ref entry(self->cache->find(signature, &plan, &unhashable));
    if (CV_LIKELY(entry)) {
        if (CV_UNLIKELY(!plan->prepare(&signature))) return call_python(self->bypass, call);
        return plan->run(signature, entry.get());
    }
    if (unhashable) return call_python(self->bypass, call);
    return PyErr_Occurred() ? nullptr : call_miss(self, call, &signature);
}

PyObject* jit_call(PyObject* object, PyObject* const* args, size_t flags, PyObject* names) {
    JitFunction* self = as_jit(object);
    if (names != nullptr && PyTuple_GET_SIZE(names) == 0) names = nullptr;
    const CallArguments call{args, PyVectorcall_NARGS(flags), names};
    if (use_slow_path()) return or_trimmed(call_python(self->bypass, call));
    try {
        return or_trimmed(call_native(self, call));
    } catch (const std::bad_alloc&) {
        return PyErr_NoMemory();
    }
}

// --- construction ---

// An int or a sequence of ints: small positions to the mask, the others to a list.
bool read_static_positions(JitFunction* self, PyObject* positions) {
    Ref items(PyLong_Check(positions) ? PyTuple_Pack(1, positions) : PySequence_Tuple(positions));
    if (!items) return false;
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(items.get()); ++i) {
        const long position = PyLong_AsLong(PyTuple_GET_ITEM(items.get(), i));
        if (position == -1 && PyErr_Occurred()) return false;
        if (position >= 0 && position < 64) {
            self->static_mask |= uint64_t{1} << position;
        } else {
            if (self->static_rest == nullptr) self->static_rest = new std::vector<long>;
            self->static_rest->push_back(position);
        }
    }
    return true;
}

PyObject* name_tuple(PyObject* names) {
    Ref items(PyUnicode_Check(names) ? PyTuple_Pack(1, names) : PySequence_Tuple(names));
    if (!items) return nullptr;
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(items.get()); ++i) {
        PyObject* name = PyTuple_GET_ITEM(items.get(), i);
        if (PyUnicode_Check(name)) continue;
        PyErr_Format(PyExc_TypeError, "argument names must be str, not %R", name);
        return nullptr;
    }
    return items.release();
}

PyObject* jit_new(PyTypeObject* type, PyObject* args, PyObject* keywords) {
    static const char* names[] = {"fun", "miss", "bypass", "static_argnums", "static_argnames",
                                  "donate_argnums", "donate_argnames", nullptr};
    Ref none(PyTuple_New(0));
    PyObject *fun, *miss, *bypass;
    PyObject *static_argnums = none.get(), *static_argnames = none.get();
    PyObject *donate_argnums = none.get(), *donate_argnames = none.get();
    if (!none || !PyArg_ParseTupleAndKeywords(args, keywords, "OOO|OOOO:JitFunction",
                                              const_cast<char**>(names), &fun, &miss, &bypass,
                                              &static_argnums, &static_argnames, &donate_argnums,
                                              &donate_argnames)) {
        return nullptr;
    }
    if (!PyCallable_Check(fun) || !PyCallable_Check(miss) || !PyCallable_Check(bypass)) {
        PyErr_SetString(PyExc_TypeError, "JitFunction: fun, miss and bypass must be callable");
        return nullptr;
    }
    Ref object(type->tp_alloc(type, 0));
    if (!object) return nullptr;
    JitFunction* self = as_jit(object.get());
    self->vectorcall = jit_call;
    self->cache = new CallCache;
    self->fun = Py_NewRef(fun);
    self->miss = Py_NewRef(miss);
    self->bypass = Py_NewRef(bypass);
    self->donate_argnums = Py_NewRef(donate_argnums);
    self->donate_argnames = Py_NewRef(donate_argnames);
    self->static_names = name_tuple(static_argnames);
    self->dict = PyDict_New();
    if (self->static_names == nullptr || self->dict == nullptr ||
        !read_static_positions(self, static_argnums) ||
        PyDict_SetItemString(self->dict, "__wrapped__", fun) < 0) {
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
    Py_VISIT(self->miss);
    Py_VISIT(self->bypass);
    Py_VISIT(self->static_names);
    Py_VISIT(self->donate_argnums);
    Py_VISIT(self->donate_argnames);
    return self->cache == nullptr ? 0 : self->cache->traverse(visit, arg);
}

int jit_clear(PyObject* object) {
    JitFunction* self = as_jit(object);
    if (self->cache != nullptr) self->cache->clear();
    Py_CLEAR(self->dict);
    Py_CLEAR(self->fun);
    Py_CLEAR(self->miss);
    Py_CLEAR(self->bypass);
    Py_CLEAR(self->donate_argnums);
    Py_CLEAR(self->donate_argnames);
    return 0;
}

void jit_dealloc(PyObject* object) {
    JitFunction* self = as_jit(object);
    PyTypeObject* type = Py_TYPE(object);
    PyObject_GC_UnTrack(object);
    if (self->weakrefs != nullptr) PyObject_ClearWeakRefs(object);
    jit_clear(object);
    Py_CLEAR(self->static_names);
    delete self->cache;
    delete self->static_rest;
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

PyObject* cache_size(PyObject* object, PyObject*) {
    return PyLong_FromSize_t(as_jit(object)->cache->size());
}

PyObject* clear_cache(PyObject* object, PyObject*) {
    as_jit(object)->cache->clear();
    Py_RETURN_NONE;
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
    {"cache_size", cache_size, METH_NOARGS, "The number of signatures that are compiled."},
    {"clear_cache", clear_cache, METH_NOARGS, "Forgets all compiled signatures."},
    {nullptr, nullptr, 0, nullptr},
};

PyMemberDef kMembers[] = {
    {"__vectorcalloffset__", T_PYSSIZET, offsetof(JitFunction, vectorcall), READONLY, nullptr},
    {"__dictoffset__", T_PYSSIZET, offsetof(JitFunction, dict), READONLY, nullptr},
    {"__weaklistoffset__", T_PYSSIZET, offsetof(JitFunction, weakrefs), READONLY, nullptr},
    {"donate_argnums", T_OBJECT, offsetof(JitFunction, donate_argnums), READONLY, nullptr},
    {"donate_argnames", T_OBJECT, offsetof(JitFunction, donate_argnames), READONLY, nullptr},
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
         "JitFunction(fun, miss, bypass, static_argnums=(), static_argnames=(), "
         "donate_argnums=(), donate_argnames=()): calls compiled Programs by signature.")},
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
