// Container classes.
#include "dispatch/nodes.h"

#include <memory>
#include <unordered_map>

namespace covector {
namespace {

std::unordered_map<PyTypeObject*, std::unique_ptr<NodeClass>> g_classes;  // keys are owned

// Named tuples that were met. Nobody registers their classes, of which a program may make any number, so they are
// not kept: a weak reference (owned) takes out what is gone, before its address can be another class's.
std::unordered_map<PyTypeObject*, PyObject*> g_named_tuples;
const NodeClass kNamedTuples{NodeClass::kNamedTuple, {}, {}, nullptr};

// What was found last: most calls have containers of few classes.
PyTypeObject* g_last_type = nullptr;
const NodeClass* g_last_class = nullptr;

const NodeClass* found(PyTypeObject* type, const NodeClass* known) {
    g_last_type = type;
    return g_last_class = known;
}

// As optree tells them: a subclass of tuple with a tuple of field names and the two methods.
bool is_named_tuple(PyTypeObject* type) {
    auto* cls = reinterpret_cast<PyObject*>(type);
    Ref fields(PyObject_GetAttrString(cls, "_fields"));
    bool named = fields && PyTuple_CheckExact(fields.get());
    for (Py_ssize_t i = 0; named && i < PyTuple_GET_SIZE(fields.get()); ++i) {
        named = PyUnicode_CheckExact(PyTuple_GET_ITEM(fields.get(), i)) != 0;
    }
    for (const char* name : {"_make", "_asdict"}) {
        if (!named) break;
        Ref method(PyObject_GetAttrString(cls, name));
        named = method && PyCallable_Check(method.get());
    }
    PyErr_Clear();
    return named;
}

bool read_names(PyObject* names, std::vector<PyObject*>* into) {
    Ref items(PySequence_Tuple(names));
    if (!items) return false;
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(items.get()); ++i) {
        PyObject* name = PyTuple_GET_ITEM(items.get(), i);
        if (!PyUnicode_Check(name)) {
            PyErr_Format(PyExc_TypeError, "register_node: %R is not the name of an attribute", name);
            return false;
        }
        Py_INCREF(name);
        PyUnicode_InternInPlace(&name);
        into->push_back(name);
    }
    return true;
}

PyObject* forget_named_tuple(PyObject* address, PyObject*) {
    auto* type = static_cast<PyTypeObject*>(PyLong_AsVoidPtr(address));
    if (g_last_type == type) g_last_type = nullptr;
    const auto at = g_named_tuples.find(type);
    const Ref reference(at == g_named_tuples.end() ? nullptr : at->second);
    if (reference) g_named_tuples.erase(at);
    Py_RETURN_NONE;
}

// False without an exception: it is looked at again next time.
bool remember_named_tuple(PyTypeObject* type) {
    static PyMethodDef method = {"forget", forget_named_tuple, METH_O, nullptr};
    Ref address(PyLong_FromVoidPtr(type));
    Ref forget(address ? PyCFunction_New(&method, address.get()) : nullptr);
    PyObject* reference =
        forget ? PyWeakref_NewRef(reinterpret_cast<PyObject*>(type), forget.get()) : nullptr;
    if (reference == nullptr) return PyErr_Clear(), false;
    const auto [place, fresh] = g_named_tuples.emplace(type, reference);
    if (!fresh) Py_DECREF(reference);  // another thread, meanwhile
    return true;
}

// What was said of the class before stays: a call in progress may use it.
void keep(PyTypeObject* type, std::unique_ptr<NodeClass> made) {
    g_last_type = nullptr;
    std::unique_ptr<NodeClass>& place = g_classes[type];
    if (place == nullptr) Py_INCREF(reinterpret_cast<PyObject*>(type));
    made.swap(place);
    (void)made.release();
}

// register_node(cls, children, statics, flatten)
PyObject* register_node(PyObject*, PyObject* args) {
    PyObject *cls, *children, *statics, *flatten;
    if (!PyArg_ParseTuple(args, "OOOO:register_node", &cls, &children, &statics, &flatten)) {
        return nullptr;
    }
    if (!PyType_Check(cls)) {
        PyErr_Format(PyExc_TypeError, "register_node: %R is not a class", cls);
        return nullptr;
    }
    auto made = std::make_unique<NodeClass>();
    made->kind = children == Py_None ? NodeClass::kFunction : NodeClass::kAttributes;
    if (made->kind == NodeClass::kAttributes) {
        if (!read_names(children, &made->children) || !read_names(statics, &made->statics)) {
            return nullptr;
        }
    } else if (PyCallable_Check(flatten)) {
        made->flatten = Py_NewRef(flatten);
    } else {
        PyErr_SetString(PyExc_TypeError, "register_node: flatten must be callable");
        return nullptr;
    }
    keep(reinterpret_cast<PyTypeObject*>(cls), std::move(made));
    Py_RETURN_NONE;
}

PyMethodDef kFunctions[] = {
    {"register_node", register_node, METH_VARARGS,
     "register_node(cls, children, statics, flatten): makes instances of a class containers of "
     "jit's arguments, by names of attributes, or by a function to (children, static data)."},
    {nullptr, nullptr, 0, nullptr},
};

}  // namespace

bool nodes_init(PyObject* module) { return PyModule_AddFunctions(module, kFunctions) == 0; }

const NodeClass* find_node_class(PyObject* value) {
    PyTypeObject* type = Py_TYPE(value);
    if (CV_LIKELY(type == g_last_type)) return g_last_class;
    const auto known = g_classes.find(type);
    if (CV_LIKELY(known != g_classes.end())) return found(type, known->second.get());
    if (!PyTuple_Check(value)) return nullptr;
    if (g_named_tuples.contains(type)) return found(type, &kNamedTuples);
    if (!is_named_tuple(type)) return nullptr;
    return remember_named_tuple(type) ? found(type, &kNamedTuples) : &kNamedTuples;
}

}  // namespace covector
