// Switches and hooks.
#include "python/state.h"

#include <cstring>

namespace covector {

Hooks g_hooks;
PyObject* g_operators[kOperatorCount] = {};
const char* const kOperatorNames[kOperatorCount] = {
    "add",      "subtract", "multiply", "true_divide", "floor_divide", "remainder",
    "power",    "matmul",   "divmod",   "negative",    "positive",     "absolute",
    "invert",   "and_",     "or_",      "xor",         "lshift",       "rshift",
    "equal",    "not_equal", "less",    "less_equal",  "greater",      "greater_equal"};

constinit thread_local uint8_t tls_slow_path = 0;
constinit thread_local uint64_t tls_config_epoch = 0;
constinit thread_local uint64_t tls_scope = 0;
constinit thread_local Widths tls_widths = Widths::kAsWritten;
bool g_fast_paths = true;
uint64_t g_config_epoch = 0;
Widths g_widths = Widths::kAsWritten;

namespace {

struct HookSlot {
    const char* name;
    PyObject** slot;
};

const HookSlot kHookSlots[] = {
    {"flatten", &g_hooks.flatten},   {"exact", &g_hooks.exact},
    {"tracer", &g_hooks.tracer},     {"traced", &g_hooks.traced},
    {"stands_for", &g_hooks.stands_for}, {"unforeseen", &g_hooks.unforeseen},
    {"stopped", &g_hooks.stopped},
    {"deep_tree", &g_hooks.deep_tree},
    {"too_deep", &g_hooks.too_deep},
    {"getitem", &g_hooks.getitem},   {"iter", &g_hooks.iter},
    {"contains", &g_hooks.contains}, {"repr", &g_hooks.repr},
    {"format", &g_hooks.format},
};

// Returns what the slot held.
PyObject* replace(PyObject** slot, PyObject* value) {
    PyObject* old = std::exchange(*slot, value == Py_None ? nullptr : Py_NewRef(value));
    return old != nullptr ? old : Py_NewRef(Py_None);
}

PyObject* set_hook(const char* name, PyObject* value) {
    for (const HookSlot& hook : kHookSlots) {
        if (std::strcmp(hook.name, name) != 0) continue;
        const bool is_tracer = hook.slot == &g_hooks.tracer;
        const bool fits = value == Py_None ||
                          (is_tracer ? PyType_Check(value) != 0 : PyCallable_Check(value) != 0);
        if (!fits) {
            PyErr_Format(PyExc_TypeError, "set_hooks: %s must be %s or None, not %.200s", name,
                         is_tracer ? "a type" : "callable", Py_TYPE(value)->tp_name);
            return nullptr;
        }
        return replace(hook.slot, value);
    }
    PyErr_Format(PyExc_TypeError, "set_hooks: there is no hook named %s", name);
    return nullptr;
}

PyObject* set_operator(const char* name, PyObject* value) {
    for (int i = 0; i < kOperatorCount; ++i) {
        if (std::strcmp(kOperatorNames[i], name) != 0) continue;
        if (value != Py_None && !PyCallable_Check(value)) {
            PyErr_Format(PyExc_TypeError, "set_operators: %s must be callable or None, not %.200s",
                         name, Py_TYPE(value)->tp_name);
            return nullptr;
        }
        return replace(&g_operators[i], value);
    }
    PyErr_Format(PyExc_ValueError, "set_operators: there is no operator named %s", name);
    return nullptr;
}

template <PyObject* (*set)(const char*, PyObject*)>
PyObject* set_each(PyObject* names) {
    Ref before(PyDict_New());
    PyObject *key, *value;
    Py_ssize_t position = 0;
    while (before && PyDict_Next(names, &position, &key, &value)) {
        const char* name = PyUnicode_AsUTF8(key);
        Ref old(name == nullptr ? nullptr : set(name, value));
        if (!old || PyDict_SetItem(before.get(), key, old.get()) < 0) return nullptr;
    }
    return before.release();
}

}  // namespace

PyObject* set_hooks(PyObject* hooks) { return set_each<set_hook>(hooks); }
PyObject* set_operators(PyObject* operators) { return set_each<set_operator>(operators); }

bool hook_missing(const char* name) {
    PyErr_Format(PyExc_RuntimeError,
                 "the '%s' hook of covector._engine._native is not set; import covector, not its native "
                 "module alone", name);
    return false;
}

}  // namespace covector
