// Calls: what the functions share that were made of one function with the same options.
#include "dispatch/calls.h"

#include <structmember.h>

#include <new>

#include "dispatch/jit.h"
#include "dispatch/levels.h"
#include "dispatch/plan.h"
#include "python/room.h"
#include "python/state.h"

namespace covector {
namespace {

PyTypeObject* g_calls_type = nullptr;  // owned

Calls* as_calls(PyObject* object) { return reinterpret_cast<Calls*>(object); }

CV_NOINLINE PyObject* run_python(PyObject* function, const CallArguments& call) {
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
    return call_with_room(function, both + 1, 2 | PY_VECTORCALL_ARGUMENTS_OFFSET, nullptr);
}

bool is_static_position(const Calls* self, Py_ssize_t position, Py_ssize_t nargs) {
    if (position < 64 && (self->static_mask >> position & 1)) return true;
    if (CV_LIKELY(self->static_rest == nullptr)) return false;
    for (long wanted : *self->static_rest) {
        if (position == wanted || position - nargs == wanted) return true;
    }
    return false;
}

bool is_static_name(const Calls* self, PyObject* name) {
    const Py_ssize_t count = PyTuple_GET_SIZE(self->static_names);
    for (Py_ssize_t i = 0; i < count; ++i) {
        PyObject* known = PyTuple_GET_ITEM(self->static_names, i);
        if (known == name || PyUnicode_Compare(known, name) == 0) return true;
    }
    return false;
}

CV_NOINLINE Flat add_keywords(const Calls* self, const CallArguments& call,
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

inline Flat flatten(const Calls* self, const CallArguments& call, Signature* signature) {
    signature->add_word(config_epoch() | tls_scope << kScopeShift);
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

CV_NOINLINE PyObject* call_miss(Calls* self, const CallArguments& call, Signature* signature,
                                bool* bypass) {
    Ref entry(run_python(self->miss, call));
    if (!entry) return nullptr;
    *bypass = entry.get() == Py_None;
    if (*bypass) return nullptr;
    const Plan* plan = plan_of(entry.get());
    if (plan == nullptr) return nullptr;
    *bypass = !plan->prepare(signature);
    if (*bypass) return nullptr;
    if (!plan->check(*signature) || !self->cache->insert(*signature, entry.get(), plan)) {
        return nullptr;
    }
    return plan->run(*signature, entry.get());
}

PyObject* call_at_level(Calls* self, const CallArguments& call, bool* bypass);

// A call without operands of the innermost level, but with some of levels further out: it is one of these.
CV_NOINLINE PyObject* call_further_out(Calls* self, const CallArguments& call, bool* bypass) {
    const AtLevel outside(tls_level->outer);
    return call_at_level(self, call, bypass);
}

// By native code, at the innermost level. With `bypass` set nothing was done: it is the twin's business, which knows
// the levels by itself.
PyObject* call_at_level(Calls* self, const CallArguments& call, bool* bypass) {
    Signature signature(self->cache);
    const Flat flat = flatten(self, call, &signature);
    if (CV_UNLIKELY(flat != Flat::kDone)) {
        *bypass = flat == Flat::kBypass;
        return nullptr;
    }
    if (CV_UNLIKELY(signature.lifted) && signature.level == nullptr) {
        return call_further_out(self, call, bypass);
    }
    bool unhashable = false;
    const Plan* plan = nullptr;
    Ref entry(self->cache->find(signature, &plan, &unhashable));
    if (CV_LIKELY(entry)) {
        *bypass = !plan->prepare(&signature);
        return CV_UNLIKELY(*bypass) ? nullptr : plan->run(signature, entry.get());
    }
    if (unhashable) {
        *bypass = true;
        return nullptr;
    }
    return PyErr_Occurred() ? nullptr : call_miss(self, call, &signature, bypass);
}

// --- the type ---

// An int or a sequence of ints: small positions to the mask, the others to a list.
bool read_static_positions(Calls* self, PyObject* positions) {
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

PyObject* calls_new(PyTypeObject* type, PyObject* args, PyObject* keywords) {
    static const char* names[] = {"miss", "bypass", "static_argnums", "static_argnames", "owner",
                                  nullptr};
    Ref none(PyTuple_New(0));
    PyObject *miss, *bypass, *owner = Py_None;
    PyObject *static_argnums = none.get(), *static_argnames = none.get();
    if (!none || !PyArg_ParseTupleAndKeywords(args, keywords, "OO|OOO:Calls",
                                              const_cast<char**>(names), &miss, &bypass,
                                              &static_argnums, &static_argnames, &owner)) {
        return nullptr;
    }
    if (!PyCallable_Check(miss) || !PyCallable_Check(bypass)) {
        PyErr_SetString(PyExc_TypeError, "Calls: miss and bypass must be callable");
        return nullptr;
    }
    Ref object(type->tp_alloc(type, 0));
    if (!object) return nullptr;
    Calls* self = as_calls(object.get());
    self->cache = new CallCache;
    self->miss = Py_NewRef(miss);
    self->bypass = Py_NewRef(bypass);
    self->owner = Py_NewRef(owner);
    self->static_names = name_tuple(static_argnames);
    if (self->static_names == nullptr || !read_static_positions(self, static_argnums)) return nullptr;
    return object.release();
}

int calls_traverse(PyObject* object, visitproc visit, void* arg) {
    Calls* self = as_calls(object);
    Py_VISIT(Py_TYPE(object));
    Py_VISIT(self->miss);
    Py_VISIT(self->bypass);
    Py_VISIT(self->owner);
    Py_VISIT(self->static_names);
    return self->cache == nullptr ? 0 : self->cache->traverse(visit, arg);
}

int calls_clear(PyObject* object) {
    Calls* self = as_calls(object);
    if (self->cache != nullptr) self->cache->clear();
    Py_CLEAR(self->miss);
    Py_CLEAR(self->bypass);
    Py_CLEAR(self->owner);
    return 0;
}

void calls_dealloc(PyObject* object) {
    Calls* self = as_calls(object);
    PyTypeObject* type = Py_TYPE(object);
    PyObject_GC_UnTrack(object);
    if (self->weakrefs != nullptr) PyObject_ClearWeakRefs(object);
    calls_clear(object);
    Py_CLEAR(self->static_names);
    delete self->cache;
    delete self->static_rest;
    type->tp_free(object);
    Py_DECREF(type);
}

PyObject* size(PyObject* object, PyObject*) {
    return PyLong_FromSize_t(as_calls(object)->cache->size());
}

PyObject* forget(PyObject* object, PyObject*) {
    as_calls(object)->cache->clear();
    Py_RETURN_NONE;
}

PyMethodDef kMethods[] = {
    {"size", size, METH_NOARGS, "The number of signatures that are compiled."},
    {"forget", forget, METH_NOARGS, "Forgets all compiled signatures."},
    {nullptr, nullptr, 0, nullptr},
};

PyMemberDef kMembers[] = {
    {"__weaklistoffset__", T_PYSSIZET, offsetof(Calls, weakrefs), READONLY, nullptr},
    {"owner", T_OBJECT, offsetof(Calls, owner), READONLY, nullptr},
    {nullptr, 0, 0, 0, nullptr},
};

PyType_Slot kSlots[] = {
    {Py_tp_new, reinterpret_cast<void*>(calls_new)},
    {Py_tp_dealloc, reinterpret_cast<void*>(calls_dealloc)},
    {Py_tp_traverse, reinterpret_cast<void*>(calls_traverse)},
    {Py_tp_clear, reinterpret_cast<void*>(calls_clear)},
    {Py_tp_methods, kMethods},
    {Py_tp_members, kMembers},
    {Py_tp_doc, const_cast<char*>(
         "Calls(miss, bypass, static_argnums=(), static_argnames=(), owner=None): "
         "compiled Programs by the signatures of calls.")},
    {0, nullptr},
};

}  // namespace

bool is_calls(PyObject* object) { return Py_TYPE(object) == g_calls_type; }

PyObject* call_python(Calls* self, const CallArguments& call) {
    return run_python(self->bypass, call);
}

PyObject* call_native(Calls* self, const CallArguments& call) {
    bool bypass = false;
    PyObject* result = call_at_level(self, call, &bypass);
    return CV_UNLIKELY(bypass) ? run_python(self->bypass, call) : result;
}

bool calls_type_init(PyObject* module) {
    PyType_Spec spec = {"covector._engine._native.Calls", sizeof(Calls), 0,
                        Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC, kSlots};
    Ref type(PyType_FromSpec(&spec));
    if (!type || PyModule_AddObjectRef(module, "Calls", type.get()) < 0) return false;
    g_calls_type = reinterpret_cast<PyTypeObject*>(type.release());
    return true;
}

}  // namespace covector
