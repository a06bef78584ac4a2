// References in compiled calls.
#include "dispatch/cells.h"

#include <structmember.h>

#include <algorithm>

#include "python/array.h"

namespace covector {

constinit thread_local bool tls_transforming = false;

namespace {

// Where slots of Python's classes lie in their objects.
struct Layout {
    PyTypeObject* cell = nullptr;  // owned; null until Python has given it
    PyObject* bottom = nullptr;    // owned
    Py_ssize_t own = 0, home = 0, level = 0, gone = 0, busy = 0;  // in a cell
    Py_ssize_t value = 0, written = 0;                            // in what it holds
};
Layout g_layout;

PyObject*& slot(PyObject* object, Py_ssize_t offset) {
    return *reinterpret_cast<PyObject**>(reinterpret_cast<char*>(object) + offset);
}

void set_slot(PyObject* object, Py_ssize_t offset, PyObject* value) {
    PyObject* before = std::exchange(slot(object, offset), Py_NewRef(value));
    Py_XDECREF(before);
}

// The offset of a slot of a class; false with an exception.
bool find_slot(PyObject* type, const char* name, Py_ssize_t* offset) {
    Ref found(PyObject_GetAttrString(type, name));
    if (!found) return false;
    if (Py_TYPE(found.get()) != &PyMemberDescr_Type) {
        PyErr_Format(PyExc_TypeError, "set_cells: %s is no slot", name);
        return false;
    }
    *offset = reinterpret_cast<PyMemberDescrObject*>(found.get())->d_member->offset;
    return true;
}

PyObject* set_cells(PyObject*, PyObject* args) {
    PyObject *cell, *held, *bottom;
    if (!PyArg_ParseTuple(args, "O!O!O:set_cells", &PyType_Type, &cell, &PyType_Type, &held,
                          &bottom)) {
        return nullptr;
    }
    Layout made;
    if (!find_slot(cell, "_own", &made.own) || !find_slot(cell, "_home", &made.home) ||
        !find_slot(cell, "_level", &made.level) || !find_slot(cell, "_gone", &made.gone) ||
        !find_slot(cell, "_busy", &made.busy) || !find_slot(held, "value", &made.value) ||
        !find_slot(held, "written", &made.written)) {
        return nullptr;
    }
    made.cell = reinterpret_cast<PyTypeObject*>(Py_NewRef(cell));
    made.bottom = Py_NewRef(bottom);
    std::swap(g_layout, made);
    Py_XDECREF(reinterpret_cast<PyObject*>(made.cell));
    Py_XDECREF(made.bottom);
    Py_RETURN_NONE;
}

PyObject* set_transforming(PyObject*, PyObject* on) {
    tls_transforming = on == Py_True;
    Py_RETURN_NONE;
}

PyMethodDef kFunctions[] = {
    {"set_cells", set_cells, METH_VARARGS,
     "Sets the class of references, that of what they hold, and the lowest trace."},
    {"set_transforming", set_transforming, METH_O,
     "Says whether a transformation of this thread is in progress."},
    {nullptr, nullptr, 0, nullptr},
};

// The cell that a position among the written ones means.
PyObject* target(const Signature& signature, int position) {
    return signature.cells[static_cast<size_t>(position)];
}

}  // namespace

bool is_cell(PyObject* object) {
    return g_layout.cell != nullptr && PyObject_TypeCheck(object, g_layout.cell);
}

Array* cell_array(PyObject* cell) {
    const Layout& at = g_layout;
    if (tls_transforming || slot(cell, at.home) != at.bottom || slot(cell, at.level) != at.bottom ||
        slot(cell, at.gone) != Py_None || slot(cell, at.busy) != Py_False) {
        return nullptr;
    }
    PyObject* held = slot(cell, at.own);
    PyObject* value = held == nullptr ? nullptr : slot(held, at.value);
    return value != nullptr && is_array(value) ? as_array(value) : nullptr;
}

Touched::~Touched() {
    for (PyObject* cell : captured) Py_DECREF(cell);
}

bool Touched::add_captured(Signature* signature) const {
    if (tls_transforming) return false;
    for (PyObject* cell : captured) {
        if (!signature->add_captured(cell)) return false;
    }
    return true;
}

void Touched::begin(const Signature& signature) const {
    for (int position : written) set_slot(target(signature, position), g_layout.busy, Py_True);
}

PyObject* Touched::settle(const Signature& signature, PyObject* made) const {
    if (made == nullptr) {  // what was taken by the call that failed must not be used again
        PyObject *type, *value, *traceback;
        PyErr_Fetch(&type, &value, &traceback);
        for (int position : written) {
            Ref done(PyObject_CallMethod(target(signature, position), "_settle", nullptr));
            if (!done) PyErr_WriteUnraisable(target(signature, position));
        }
        PyErr_Restore(type, value, traceback);
        return nullptr;
    }
    const Ref both(made);
    for (size_t i = 0; i < written.size(); ++i) {
        set_slot(target(signature, written[i]), g_layout.busy, Py_False);
        PyObject* held = slot(target(signature, written[i]), g_layout.own);
        set_slot(held, g_layout.value,
                 PyTuple_GET_ITEM(made, static_cast<Py_ssize_t>(i) + 1));
        set_slot(held, g_layout.written, Py_True);
    }
    return Py_NewRef(PyTuple_GET_ITEM(made, 0));
}

std::unique_ptr<Touched> make_touched(PyObject* captured, PyObject* written) {
    auto made = std::make_unique<Touched>();
    Ref cells(PySequence_Tuple(captured)), positions(cells ? PySequence_Tuple(written) : nullptr);
    if (!positions) return nullptr;
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(cells.get()); ++i) {
        PyObject* cell = PyTuple_GET_ITEM(cells.get(), i);
        if (!is_cell(cell)) {
            PyErr_SetString(PyExc_TypeError, "Entry: what is captured must be references");
            return nullptr;
        }
        made->captured.push_back(Py_NewRef(cell));
    }
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(positions.get()); ++i) {
        const long position = PyLong_AsLong(PyTuple_GET_ITEM(positions.get(), i));
        if (position == -1 && PyErr_Occurred()) return nullptr;
        made->written.push_back(static_cast<int>(position));
    }
    return made;
}

bool cells_init(PyObject* module) { return PyModule_AddFunctions(module, kFunctions) == 0; }

}  // namespace covector
