// Ufunc: the type, its kernels, and its call.
#include "dispatch/ufunc_object.h"

#include <structmember.h>

#include <new>
#include <vector>

#include "python/boundary.h"
#include "python/state.h"

namespace covector {
namespace {

// Settings of the flags that a key can tell apart: beyond them (they are rare) all calls fall back.
constexpr uint64_t kMostEpochs = (uint64_t{1} << (64 - kKeyBits * kMaxOperands)) - 2;

// --- the table of kernels ---

inline size_t slot_of(uint64_t key, size_t size) {
    return (key * 0x9e3779b97f4a7c15ULL >> 32) & (size - 1);
}

const KernelSlot* find_kernel(Ufunc* self, uint64_t key) {
    if (CV_LIKELY(self->last.key == key)) return &self->last;
    std::vector<KernelSlot>& table = *self->table;
    for (size_t at = slot_of(key, table.size()); table[at].key != 0;
         at = (at + 1) & (table.size() - 1)) {
        if (table[at].key != key) continue;
        self->last = table[at];
        return &self->last;
    }
    return nullptr;
}

void put(std::vector<KernelSlot>& table, const KernelSlot& slot) {
    size_t at = slot_of(slot.key, table.size());
    while (table[at].key != 0) at = (at + 1) & (table.size() - 1);
    table[at] = slot;
}

// Another thread may have compiled the same kernel meanwhile: the first one stays, as calls in
// progress use it without holding it.
const KernelSlot* add_kernel(Ufunc* self, uint64_t key, EagerKernel* kernel) {
    if (const KernelSlot* known = find_kernel(self, key)) {
        if (kernel != nullptr) kernel->unref();
        return known;
    }
    if ((self->count + 1) * 2 > self->table->size()) {
        std::vector<KernelSlot> bigger(self->table->size() * 2);
        for (const KernelSlot& slot : *self->table) {
            if (slot.key != 0) put(bigger, slot);
        }
        self->table->swap(bigger);
    }
    self->last = {key, kernel};
    put(*self->table, self->last);
    ++self->count;
    return &self->last;
}

PyObject* signature_tuple(uint64_t key, int count) {
    PyObject* made = PyTuple_New(count);
    for (int i = 0; made != nullptr && i < count; ++i) {
        const uint64_t bits = key >> (kKeyBits * i);
        PyObject* item = Py_BuildValue("(iOO)", static_cast<int>(bits & (kWeakBit - 1)),
                                       bits & kWeakBit ? Py_True : Py_False,
                                       bits & kScalarBit ? Py_True : Py_False);
        if (item == nullptr) {
            Py_CLEAR(made);
            break;
        }
        PyTuple_SET_ITEM(made, i, item);
    }
    return made;
}

// Asks Python for a kernel; null with an exception.
CV_NOINLINE const KernelSlot* compile_kernel(Ufunc* self, uint64_t key, int count) {
    Ref signature(signature_tuple(key, count));
    if (!signature) return nullptr;
    Ref made(or_trimmed(PyObject_CallOneArg(self->compile, signature.get())));
    if (!made) return nullptr;
    if (made.get() == Py_None) return add_kernel(self, key, nullptr);
    unsigned long long address = 0;
    int dtype = 0, weak = 0;
    double cost = 0;
    PyObject* keepalive = nullptr;
    if (!PyTuple_Check(made.get())) {
        PyErr_Format(PyExc_TypeError, "compile must return None or a tuple, not %.200s",
                     Py_TYPE(made.get())->tp_name);
        return nullptr;
    }
    if (!PyArg_ParseTuple(made.get(), "KipdO;compile must return (address, out_dtype_code, "
                          "out_weak, cost_ns_per_element, keepalive)", &address, &dtype, &weak,
                          &cost, &keepalive)) {
        return nullptr;
    }
    if (address == 0 || dtype < 0 || dtype >= kDtypeCount) {
        PyErr_SetString(PyExc_ValueError, "compile returned a null address or a bad dtype code");
        return nullptr;
    }
    auto* kernel = new EagerKernel;
    kernel->entry = reinterpret_cast<EntryFunction>(static_cast<uintptr_t>(address));
    kernel->dtype = dtype;
    kernel->weak = weak != 0;
    kernel->cost_per_element = cost;
    kernel->keepalive = Py_NewRef(keepalive);
    return add_kernel(self, key, kernel);
}

// --- the call ---

PyObject* call_fallback(Ufunc* self, PyObject* const* args, size_t flags, PyObject* names) {
    if (CV_LIKELY(self->fallback != nullptr)) {
        PyObject* result = PyObject_Vectorcall(self->fallback, args, flags, names);
        return or_explained(result, self->fallback, args, flags, names);
    }
    PyErr_SetString(PyExc_RuntimeError, "this function is being destroyed");  // by the collector
    return nullptr;
}

// Runs the kernel on operands that are read again: compiling may have run any Python code.
PyObject* run(EagerInputs& inputs, EagerKernel* kernel, const RowLoop* loop) {
    Operand operands[kMaxOperands];
    int itemsizes[kMaxOperands];
    bool committed = false;
    for (int i = 0; i < inputs.count; ++i) {
        const Input& input = inputs.inputs[i];
        itemsizes[i] = kItemsize[input.dtype];
        if (input.array == nullptr) {
            operands[i] = {nullptr, inputs.elements[i].bytes};
            continue;
        }
        if (!array_check(input.array)) return nullptr;
        committed |= input.array->committed;
        operands[i] = {input.array->buffer, nullptr};
    }
    Buffer* result =
        run_eager({kernel, operands, itemsizes, inputs.count, inputs.size, loop});
    if (CV_UNLIKELY(result == nullptr)) return nullptr;
    return as_object(array_new(result, kernel->dtype, kernel->weak, inputs.ndim, inputs.dims,
                               inputs.size, committed));
}

CV_NOINLINE PyObject* call_rows(Ufunc* self, EagerInputs& inputs, bool* fall_back) {
    RowLoop loop;
    *fall_back = !inputs.find_general_shape(&loop);
    if (*fall_back) return nullptr;
    const uint64_t key = inputs.key();
    const KernelSlot* slot = find_kernel(self, key);
    if (slot == nullptr) slot = compile_kernel(self, key, inputs.count);
    if (slot == nullptr) return nullptr;
    EagerKernel* kernel = slot->kernel;
    *fall_back = kernel == nullptr;
    return kernel == nullptr ? nullptr : run(inputs, kernel, inputs.rows ? &loop : nullptr);
}

inline PyObject* call_kernel(Ufunc* self, EagerInputs& inputs, bool* fall_back) {
    *fall_back = false;
    if (CV_UNLIKELY(!inputs.find_shape())) return call_rows(self, inputs, fall_back);
    const uint64_t key = inputs.key();
    const KernelSlot* slot = find_kernel(self, key);
    if (CV_UNLIKELY(slot == nullptr)) slot = compile_kernel(self, key, inputs.count);
    if (CV_UNLIKELY(slot == nullptr)) return nullptr;
    if (CV_LIKELY(slot->kernel != nullptr)) return run(inputs, slot->kernel, nullptr);
    *fall_back = true;
    return nullptr;
}

PyObject* ufunc_call(PyObject* object, PyObject* const* args, size_t flags, PyObject* names) {
    Ufunc* self = as_ufunc(object);
    const Py_ssize_t nargs = PyVectorcall_NARGS(flags);
    const bool named = names != nullptr && PyTuple_GET_SIZE(names) > 0;
    EagerInputs inputs;
    bool fall_back = false;
    try {
        if (CV_UNLIKELY(use_slow_path() || config_epoch() > kMostEpochs || named ||
                        nargs != self->nin || self->compile == nullptr ||
                        !inputs.read(args, static_cast<int>(nargs)))) {
            if (!use_slow_path() && config_epoch() <= kMostEpochs && !named &&
                nargs == self->nin && self->compile != nullptr && any_traced(args, nargs)) {
                PyObject* result = call_traced(self, args, &fall_back);
                if (!fall_back) return result;
            }
        } else {
            PyObject* result = call_kernel(self, inputs, &fall_back);
            if (CV_LIKELY(!fall_back)) return result;
        }
    } catch (const std::bad_alloc&) {
        return PyErr_NoMemory();
    }
    return call_fallback(self, args, flags, names);
}

// --- construction and life cycle ---

bool fill_dict(Ufunc* self) {
    self->dict = PyDict_New();
    if (self->dict == nullptr ||
        PyDict_SetItemString(self->dict, "__name__", self->name) < 0 ||
        PyDict_SetItemString(self->dict, "__qualname__", self->name) < 0 ||
        PyDict_SetItemString(self->dict, "__wrapped__", self->fallback) < 0) {
        return false;
    }
    for (const char* attribute : {"__doc__", "__module__"}) {
        Ref value(PyObject_GetAttrString(self->fallback, attribute));
        if (!value) PyErr_Clear();
        else if (PyDict_SetItemString(self->dict, attribute, value.get()) < 0) return false;
    }
    return true;
}

PyObject* ufunc_new(PyTypeObject* type, PyObject* args, PyObject* keywords) {
    static const char* names[] = {"name", "fallback", "compile", "nin", nullptr};
    PyObject *name, *fallback, *compile;
    int nin;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "UOOi:Ufunc", const_cast<char**>(names), &name,
                                     &fallback, &compile, &nin)) {
        return nullptr;
    }
    if (!PyCallable_Check(fallback) || !PyCallable_Check(compile)) {
        PyErr_SetString(PyExc_TypeError, "Ufunc: fallback and compile must be callable");
        return nullptr;
    }
    if (nin < 1 || nin > kMaxOperands) {
        PyErr_Format(PyExc_ValueError, "Ufunc: nin must be 1 to %d, not %d", kMaxOperands, nin);
        return nullptr;
    }
    Ref object(type->tp_alloc(type, 0));
    if (!object) return nullptr;
    Ufunc* self = as_ufunc(object.get());
    self->vectorcall = ufunc_call;
    self->nin = nin;
    self->name = Py_NewRef(name);
    self->fallback = Py_NewRef(fallback);
    self->compile = Py_NewRef(compile);
    self->table = new std::vector<KernelSlot>(8);
    return fill_dict(self) ? object.release() : nullptr;
}

int ufunc_traverse(PyObject* object, visitproc visit, void* arg) {
    Ufunc* self = as_ufunc(object);
    Py_VISIT(Py_TYPE(object));
    Py_VISIT(self->dict);
    Py_VISIT(self->fallback);
    Py_VISIT(self->compile);
    Py_VISIT(self->traced);
    return 0;
}

int ufunc_clear(PyObject* object) {
    Ufunc* self = as_ufunc(object);
    Py_CLEAR(self->dict);
    Py_CLEAR(self->fallback);
    Py_CLEAR(self->compile);
    Py_CLEAR(self->traced);
    return 0;
}

void ufunc_dealloc(PyObject* object) {
    Ufunc* self = as_ufunc(object);
    PyTypeObject* type = Py_TYPE(object);
    PyObject_GC_UnTrack(object);
    if (self->weakrefs != nullptr) PyObject_ClearWeakRefs(object);
    ufunc_clear(object);
    Py_CLEAR(self->name);
    if (self->table != nullptr) {
        for (const KernelSlot& slot : *self->table) {
            if (slot.kernel != nullptr) slot.kernel->unref();
        }
        delete self->table;
    }
    type->tp_free(object);
    Py_DECREF(type);
}

PyObject* ufunc_repr(PyObject* object) {
    return PyUnicode_FromFormat("<function %U of covector>", as_ufunc(object)->name);
}

PyMemberDef kMembers[] = {
    {"__vectorcalloffset__", T_PYSSIZET, offsetof(Ufunc, vectorcall), READONLY, nullptr},
    {"__dictoffset__", T_PYSSIZET, offsetof(Ufunc, dict), READONLY, nullptr},
    {"__weaklistoffset__", T_PYSSIZET, offsetof(Ufunc, weakrefs), READONLY, nullptr},
    {"nin", T_INT, offsetof(Ufunc, nin), READONLY, nullptr},
    {nullptr, 0, 0, 0, nullptr},
};

PyGetSetDef kAttributes[] = {
    {"__dict__", PyObject_GenericGetDict, PyObject_GenericSetDict, nullptr, nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr},
};

PyType_Slot kSlots[] = {
    {Py_tp_new, reinterpret_cast<void*>(ufunc_new)},
    {Py_tp_dealloc, reinterpret_cast<void*>(ufunc_dealloc)},
    {Py_tp_traverse, reinterpret_cast<void*>(ufunc_traverse)},
    {Py_tp_clear, reinterpret_cast<void*>(ufunc_clear)},
    {Py_tp_call, reinterpret_cast<void*>(PyVectorcall_Call)},
    {Py_tp_repr, reinterpret_cast<void*>(ufunc_repr)},
    {Py_tp_members, kMembers},
    {Py_tp_getset, kAttributes},
    {Py_tp_doc, const_cast<char*>(
         "Ufunc(name, fallback, compile, nin): an elementwise function with compiled kernels.")},
    {0, nullptr},
};

}  // namespace

PyObject* call_arrays(Ufunc* self, EagerInputs& inputs, bool* fall_back) {
    return call_kernel(self, inputs, fall_back);
}

bool ufunc_type_init(PyObject* module) {
    PyType_Spec spec = {"covector._engine._native.Ufunc", sizeof(Ufunc), 0,
                        Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HAVE_VECTORCALL,
                        kSlots};
    Ref type(PyType_FromSpec(&spec));
    return type && PyModule_AddObjectRef(module, "Ufunc", type.get()) == 0;
}

}  // namespace covector
