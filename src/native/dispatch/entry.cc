// The Python class Entry: a plan that `miss` returns to JitFunction.
#include "python/bindings.h"
#include "dispatch/jit.h"
#include "dispatch/plan.h"

namespace nb = nanobind;

namespace covector {
namespace {

struct EntryObject {
    Plan plan;
};

void construct(EntryObject* self, nb::handle executable, nb::handle kept, nb::handle constants,
               nb::handle out_spec, nb::handle donate, nb::handle live, nb::handle residuals,
               nb::handle pullback, nb::handle captured, nb::handle written,
               bool committed) {
    new (self) EntryObject;
    self->plan.committed = committed;
    if (make_plan(&self->plan, executable.ptr(), kept.ptr(), constants.ptr(), out_spec.ptr(),
                  donate.ptr()) &&
        (pullback.is_none() ||
         make_linear(&self->plan, live.ptr(), residuals.ptr(), pullback.ptr()))) {
        if (captured.is_none()) return;
        self->plan.touched = make_touched(captured.ptr(), written.ptr());
        if (self->plan.touched != nullptr) return;
    }
    self->~EntryObject();
    throw nb::python_error();
}

int traverse(PyObject* self, visitproc visit, void* arg) {
    Py_VISIT(Py_TYPE(self));
    if (!nb::inst_ready(self)) return 0;
    return nb::inst_ptr<EntryObject>(self)->plan.traverse(visit, arg);
}

PyType_Slot kCollectorSlots[] = {
    {Py_tp_traverse, reinterpret_cast<void*>(traverse)},
    {0, nullptr},
};

}  // namespace

const Plan* plan_of(PyObject* entry) {
    const nb::handle handle(entry);
    if (nb::isinstance<EntryObject>(handle)) return &nb::inst_ptr<EntryObject>(handle)->plan;
    PyErr_Format(PyExc_TypeError, "miss must return an Entry or None, not %.200s",
                 Py_TYPE(entry)->tp_name);
    return nullptr;
}

void bind_entry(nb::module_& m) {
    nb::class_<EntryObject>(m, "Entry", nb::type_slots(kCollectorSlots), nb::is_final(),
                            "How calls of one signature are run.")
        .def("__init__", construct, nb::arg("executable"), nb::arg("kept"), nb::arg("constants"),
             nb::arg("out_spec"), nb::arg("donate") = nb::tuple(),
             nb::arg("live") = nb::tuple(), nb::arg("residuals") = nb::tuple(),
             nb::arg("pullback") = nb::none(), nb::arg("captured") = nb::none(),
             nb::arg("written") = nb::tuple(), nb::arg("committed") = false,
             "kept: the leaf positions that the executable takes; constants: Arrays it takes after "
             "those; out_spec: the tree of results; donate: positions among the kept leaves. Of a call on a tape, live: which outputs are "
             "on it; residuals: positions among inputs and outputs; pullback: a function from a "
             "mask of the live ones that have cotangents to (executable or None, constants, "
             "operands that get one, for each an output or, after those, an input). Of a call that "
             "touches references, captured: those whose values follow the leaves; written: those, "
             "of the arguments' and then of these, whose new values follow the result, which is "
             "the first item of a tuple. committed: results are, whatever the arguments are.")
        .def_prop_ro("executable",
                     [](const EntryObject& self) {
                         return nb::borrow(self.plan.executable_object);
                     })
        .def_prop_ro("kept", [](const EntryObject& self) {
            nb::list made;
            for (int leaf : self.plan.kept) made.append(leaf);
            return made;
        });
}

}  // namespace covector
