// Container classes.
#include "dispatch/nodes.h"

#include <memory>
#include <unordered_map>

namespace covector {
namespace {

std::unordered_map<PyTypeObject*, std::unique_ptr<NodeClass>> g_classes;  // keys are owned

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

const NodeClass* keep(PyTypeObject* type, std::unique_ptr<NodeClass> made) {
    g_last_type = nullptr;
    std::unique_ptr<NodeClass>& place = g_classes[type];
    if (place == nullptr) {
        Py_INCREF(reinterpret_cast<PyObject*>(type));
    } else {
        made.swap(place);
        (void)made.release();  // a call in progress may use it
        return place.get();
    }
    place = std::move(made);
    return place.get();
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
    if (!PyTuple_Check(value) || !is_named_tuple(type)) return nullptr;
    auto made = std::make_unique<NodeClass>();
    made->kind = NodeClass::kNamedTuple;
    return keep(type, std::move(made));
}

}  // namespace covector
