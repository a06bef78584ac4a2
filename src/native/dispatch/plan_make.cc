// Plan: compiling the description that Python gives.
#include <algorithm>
#include <cstring>
#include <string>

#include "python/bindings.h"
#include "dispatch/plan.h"

namespace covector {
namespace {

bool bad_spec(PyObject* spec, const char* reason) {
    PyErr_Format(PyExc_ValueError, "Entry: out_spec %R: %s", spec, reason);
    return false;
}

struct SpecName {
    const char* name;
    OutKind kind;
    Py_ssize_t size;  // of the tuple, its name counted
};

constexpr SpecName kSpecNames[] = {
    {"leaf", OutKind::kLeaf, 2},   {"input", OutKind::kInput, 2},
    {"const", OutKind::kConstant, 2}, {"none", OutKind::kNone, 1},
    {"tuple", OutKind::kTuple, 2}, {"list", OutKind::kList, 2},
    {"dict", OutKind::kDict, 3},   {"namedtuple", OutKind::kNamedTuple, 3},
    {"custom", OutKind::kCustom, 3}, {"object", OutKind::kObject, 5},
    {"fields", OutKind::kFields, 5}, {"registered", OutKind::kRegistered, 4},
};

const SpecName* spec_name(PyObject* spec) {
    if (!PyTuple_Check(spec) || PyTuple_GET_SIZE(spec) == 0) return nullptr;
    PyObject* name = PyTuple_GET_ITEM(spec, 0);
    if (!PyUnicode_Check(name)) return nullptr;
    for (const SpecName& known : kSpecNames) {
        if (PyUnicode_CompareWithASCIIString(name, known.name) == 0 &&
            PyTuple_GET_SIZE(spec) == known.size) {
            return &known;
        }
    }
    return nullptr;
}

bool read_position(PyObject* object, int* position) {
    const long value = PyLong_AsLong(object);
    if (value == -1 && PyErr_Occurred()) return false;
    if (value < 0 || value > (1 << 30)) {
        PyErr_Format(PyExc_ValueError, "Entry: %ld is not a position", value);
        return false;
    }
    *position = static_cast<int>(value);
    return true;
}

bool add_node(Plan* plan, PyObject* spec);

// Adds the node, which then owns its object, and its children.
bool add_children(Plan* plan, PyObject* spec, PyObject* children, const OutNode& node) {
    const size_t at = plan->nodes.size();
    plan->nodes.push_back(node);
    Ref items(PySequence_Fast(children, "Entry: children must be a sequence"));
    if (!items) return false;
    const Py_ssize_t count = PySequence_Fast_GET_SIZE(items.get());
    if (node.kind == OutKind::kObject || node.kind == OutKind::kFields) {
        if (node.names == nullptr || node.statics == nullptr) return false;
        if (PyTuple_GET_SIZE(node.names) != count + PyTuple_GET_SIZE(node.statics)) {
            return bad_spec(spec, "there must be as many names as values");
        }
    }
    if (node.kind == OutKind::kDict && PyTuple_GET_SIZE(node.object) != count) {
        return bad_spec(spec, "there must be as many keys as children");
    }
    plan->nodes[at].count = static_cast<int>(count);
    if (Py_EnterRecursiveCall(" in the result of a compiled function")) return false;
    bool good = true;
    for (Py_ssize_t i = 0; i < count && good; ++i) {
        good = add_node(plan, PySequence_Fast_GET_ITEM(items.get(), i));
    }
    Py_LeaveRecursiveCall();
    return good;
}

bool add_node(Plan* plan, PyObject* spec) {
    const SpecName* name = spec_name(spec);
    if (name == nullptr) return bad_spec(spec, "is not a node, or has a wrong number of parts");
    OutNode node;
    node.kind = name->kind;
    PyObject* first = name->size > 1 ? PyTuple_GET_ITEM(spec, 1) : nullptr;
    switch (node.kind) {
        case OutKind::kLeaf:
            if (!read_position(first, &node.index)) return false;
            if (node.index >= static_cast<int>(plan->outputs())) {
                return bad_spec(spec, "the executable has no such output");
            }
            break;
        case OutKind::kInput:
            if (!read_position(first, &node.index)) return false;
            plan->forwarded.push_back(node.index);
            plan->most_leaf = std::max(plan->most_leaf, node.index);
            break;
        case OutKind::kConstant:
            node.object = Py_NewRef(first);
            break;
        case OutKind::kNone:
            break;
        case OutKind::kTuple:
        case OutKind::kList:
            return add_children(plan, spec, first, node);
        case OutKind::kDict:
            node.object = PySequence_Tuple(first);
            if (node.object == nullptr) return false;
            return add_children(plan, spec, PyTuple_GET_ITEM(spec, 2), node);
        case OutKind::kNamedTuple:
            if (!PyType_Check(first) ||
                !PyType_IsSubtype(reinterpret_cast<PyTypeObject*>(first), &PyTuple_Type)) {
                return bad_spec(spec, "is no class of tuples");
            }
            node.object = Py_NewRef(first);
            return add_children(plan, spec, PyTuple_GET_ITEM(spec, 2), node);
        case OutKind::kObject:
        case OutKind::kFields:
            if (!PyType_Check(first)) return bad_spec(spec, "is no class");
            node.object = Py_NewRef(first);
            node.names = PySequence_Tuple(PyTuple_GET_ITEM(spec, 2));
            node.statics = PySequence_Tuple(PyTuple_GET_ITEM(spec, 3));
            return add_children(plan, spec, PyTuple_GET_ITEM(spec, 4), node);
        case OutKind::kCustom:
            if (!PyCallable_Check(first)) return bad_spec(spec, "unflatten is not callable");
            node.object = Py_NewRef(first);
            return add_children(plan, spec, PyTuple_GET_ITEM(spec, 2), node);
        case OutKind::kRegistered:
            if (!PyCallable_Check(first)) return bad_spec(spec, "unflatten is not callable");
            node.object = Py_NewRef(first);
            node.statics = Py_NewRef(PyTuple_GET_ITEM(spec, 2));
            return add_children(plan, spec, PyTuple_GET_ITEM(spec, 3), node);
    }
    plan->nodes.push_back(node);
    return true;
}

// The last node of an output takes its buffer over; earlier ones share it.
void mark_last_uses(Plan* plan) {
    std::vector<bool> taken(plan->outputs());
    for (auto node = plan->nodes.rbegin(); node != plan->nodes.rend(); ++node) {
        if (node->kind != OutKind::kLeaf || taken[static_cast<size_t>(node->index)]) continue;
        taken[static_cast<size_t>(node->index)] = true;
        node->last_use = true;
    }
    for (size_t i = 0; i < taken.size(); ++i) {
        if (!taken[i]) plan->unused.push_back(static_cast<int>(i));
    }
}

bool read_positions(PyObject* sequence, std::vector<int>* positions) {
    Ref items(PySequence_Fast(sequence, "Entry: positions must be a sequence of ints"));
    if (!items) return false;
    for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(items.get()); ++i) {
        int position;
        if (!read_position(PySequence_Fast_GET_ITEM(items.get(), i), &position)) return false;
        positions->push_back(position);
    }
    return true;
}

// A constant gets an array of its own: the caller's may be deleted or donated later.
bool read_constants(Plan* plan, PyObject* constants) {
    Ref items(PySequence_Fast(constants, "Entry: constants must be a sequence of Arrays"));
    if (!items) return false;
    for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(items.get()); ++i) {
        PyObject* item = PySequence_Fast_GET_ITEM(items.get(), i);
        if (!is_array(item)) {
            PyErr_Format(PyExc_TypeError, "Entry: constant %zd must be an Array, not %.200s", i,
                         Py_TYPE(item)->tp_name);
            return false;
        }
        Array* own = array_share(as_array(item));
        if (own == nullptr) return false;
        plan->constants.push_back(own);
    }
    return true;
}

bool check_inputs(const Plan& plan) {
    std::vector<int> sorted = plan.kept;
    std::sort(sorted.begin(), sorted.end());
    if (std::adjacent_find(sorted.begin(), sorted.end()) != sorted.end()) {
        PyErr_SetString(PyExc_ValueError, "Entry: kept names a leaf twice");
        return false;
    }
    if (plan.lifted != nullptr) {
        if (plan.lifted_dtypes.size() == plan.kept.size()) return true;
        PyErr_SetString(PyExc_ValueError, "Entry: a dtype for each kept leaf");
        return false;
    }
    const Executable& executable = *plan.executable;
    const size_t given = plan.kept.size() + plan.constants.size();
    if (given != executable.inputs.size()) {
        PyErr_Format(PyExc_ValueError,
                     "Entry: the executable takes %zu inputs; %zu leaves and %zu constants are "
                     "given", executable.inputs.size(), plan.kept.size(), plan.constants.size());
        return false;
    }
    for (size_t i = 0; i < plan.constants.size(); ++i) {
        const Array* constant = plan.constants[i];
        if (matches(executable.inputs[plan.kept.size() + i], constant)) continue;
        Ref type(describe(constant->dtype, constant->ndim, constant->dims()));
        if (type) {
            PyErr_Format(PyExc_ValueError, "Entry: constant %zu, %U, does not fit the executable",
                         i, type.get());
        }
        return false;
    }
    for (const ValueType& output : executable.outputs) {
        if (std::any_of(output.dims.begin(), output.dims.end(), [](int64_t d) { return d < 0; })) {
            PyErr_SetString(PyExc_ValueError, "Entry: the outputs must have no symbolic lengths");
            return false;
        }
    }
    return true;
}

}  // namespace

namespace {

bool read_executable(Plan* plan, PyObject* executable) {
    if (PyTuple_Check(executable)) {
        PyObject *function, *dtypes;
        Py_ssize_t outputs;
        if (!PyArg_ParseTuple(executable, "OOn;Entry: (function, dtypes, outputs)", &function,
                              &dtypes, &outputs) ||
            !read_positions(dtypes, &plan->lifted_dtypes)) {
            return false;
        }
        plan->lifted = Py_NewRef(function);
        plan->lifted_outputs = static_cast<size_t>(outputs);
        return true;
    }
    const nanobind::handle handle(executable);
    if (!nanobind::isinstance<ExecutableObject>(handle)) {
        PyErr_Format(PyExc_TypeError, "Entry: executable must be an Executable, not %.200s",
                     Py_TYPE(executable)->tp_name);
        return false;
    }
    plan->executable = nanobind::inst_ptr<ExecutableObject>(handle)->native;
    plan->executable_object = Py_NewRef(executable);
    return true;
}

}  // namespace

bool make_plan(Plan* plan, PyObject* executable, PyObject* kept, PyObject* constants,
               PyObject* out_spec, PyObject* donate) {
    std::vector<int> donations;
    if (!read_executable(plan, executable) || !read_positions(kept, &plan->kept) || !read_constants(plan, constants) ||
        !read_positions(donate, &donations) || !check_inputs(*plan)) {
        return false;
    }
    for (int leaf : plan->kept) plan->most_leaf = std::max(plan->most_leaf, leaf);
    for (int position : donations) {
        if (position >= static_cast<int>(plan->kept.size())) {
            PyErr_Format(PyExc_ValueError, "Entry: donate names leaf %d of %zu", position,
                         plan->kept.size());
            return false;
        }
        plan->donated.resize(plan->kept.size());
        plan->donated[static_cast<size_t>(position)] = 1;
    }
    if (!add_node(plan, out_spec)) return false;
    mark_last_uses(plan);
    return true;
}

bool make_linear(Plan* plan, PyObject* live, PyObject* residuals, PyObject* make) {
    auto linear = std::make_unique<Linear>();
    Ref items(PySequence_Fast(live, "Entry: live must be a sequence of bools"));
    if (!items) return false;
    for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(items.get()); ++i) {
        const int is_live = PyObject_IsTrue(PySequence_Fast_GET_ITEM(items.get(), i));
        if (is_live < 0) return false;
        linear->number.push_back(is_live != 0 ? linear->results++ : -1);
    }
    const size_t outputs = plan->outputs();
    if (linear->number.size() > outputs || linear->results > kMostTaped) {
        PyErr_Format(PyExc_ValueError, "Entry: %d results on the tape", linear->results);
        return false;
    }
    linear->number.resize(outputs, -1);
    if (!read_positions(residuals, &linear->residuals)) return false;
    for (int position : linear->residuals) {
        if (static_cast<size_t>(position) < plan->inputs() + outputs) continue;
        PyErr_Format(PyExc_ValueError, "Entry: there is no value %d for a residual", position);
        return false;
    }
    if (!PyCallable_Check(make)) {
        PyErr_SetString(PyExc_TypeError, "Entry: pullback must be callable");
        return false;
    }
    linear->make = Py_NewRef(make);
    plan->linear = std::move(linear);
    return true;
}

bool make_batched(Plan* plan, PyObject* axes) {
    Ref items(PySequence_Fast(axes, "Entry: axes must be a sequence"));
    if (!items) return false;
    for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(items.get()); ++i) {
        PyObject* item = PySequence_Fast_GET_ITEM(items.get(), i);
        int axis = -1;
        if (item != Py_None && !read_position(item, &axis)) return false;
        plan->axes.push_back(axis);
    }
    if (plan->axes.size() == plan->outputs()) return true;
    PyErr_SetString(PyExc_ValueError, "Entry: an axis or None for each output");
    return false;
}

Pullback::~Pullback() {
    Py_XDECREF(lifted);
    for (Array* constant : constants) Py_DECREF(as_object(constant));
    Py_XDECREF(executable_object);
}

namespace {

// Asks Python for (executable or None, constants, operands, sources). Of lifted values a function is in
// the executable's place.
std::unique_ptr<Pullback> make_pullback(PyObject* make, uint64_t given, bool of_lifted) {
    Ref mask(PyLong_FromUnsignedLongLong(given));
    const Ref function = Ref::borrow(make);
    Ref found(mask ? PyObject_CallFunctionObjArgs(function.get(), mask.get(),
                                                  of_lifted ? Py_True : Py_False, nullptr)
                   : nullptr);
    if (!found) return nullptr;
    auto made = std::make_unique<Pullback>();
    made->given = given;
    made->of_lifted = of_lifted;
    PyObject *object, *constants, *operands, *sources;
    if (!PyArg_ParseTuple(found.get(),
                          "OO!OO;a pullback is (executable, constants, operands, sources)",
                          &object, &PyTuple_Type, &constants, &operands, &sources)) {
        return nullptr;
    }
    const nanobind::handle handle(object);
    if (of_lifted && object != Py_None) made->lifted = Py_NewRef(object);
    const bool computes = object != Py_None && !of_lifted;
    bool good = (!computes || nanobind::isinstance<ExecutableObject>(handle)) &&
                read_positions(operands, &made->operands) &&
                read_positions(sources, &made->sources) &&
                made->operands.size() == made->sources.size();
    for (Py_ssize_t i = 0; good && i < PyTuple_GET_SIZE(constants); ++i) {
        PyObject* item = PyTuple_GET_ITEM(constants, i);
        good = is_array(item);
        if (good) made->constants.push_back(as_array(Py_NewRef(item)));
    }
    if (good && computes) {
        made->executable = nanobind::inst_ptr<ExecutableObject>(handle)->native;
        made->executable_object = Py_NewRef(object);
    }
    if (good) return made;
    if (!PyErr_Occurred()) PyErr_SetString(PyExc_TypeError, "this is no pullback");
    return nullptr;
}

}  // namespace

const Pullback* Linear::pullback(uint64_t given, bool of_lifted) {
    const auto find = [&]() -> const Pullback* {
        for (const auto& known : made) {
            if (known->given == given && known->of_lifted == of_lifted) return known.get();
        }
        return nullptr;
    };
    if (const Pullback* known = find()) return known;
    std::unique_ptr<Pullback> fresh = make_pullback(make, given, of_lifted);
    if (fresh == nullptr) return nullptr;
    if (const Pullback* known = find()) return known;  // made by another thread meanwhile
    made.push_back(std::move(fresh));
    return made.back().get();
}

void Plan::release() {
    linear.reset();
    touched.reset();
    for (Array* constant : std::exchange(constants, {})) Py_DECREF(as_object(constant));
    for (OutNode& node : std::exchange(nodes, {})) {
        Py_XDECREF(node.object);
        Py_XDECREF(node.names);
        Py_XDECREF(node.statics);
    }
    executable = nullptr;
    Py_CLEAR(executable_object);
    Py_CLEAR(lifted);
}

int Plan::traverse(visitproc visit, void* arg) const {
    Py_VISIT(executable_object);
    Py_VISIT(lifted);
    if (linear != nullptr) {
        Py_VISIT(linear->make);
        for (const auto& pullback : linear->made) Py_VISIT(pullback->lifted);
    }
    if (touched != nullptr) {
        for (PyObject* cell : touched->captured) Py_VISIT(cell);
    }
    for (const OutNode& node : nodes) {
        Py_VISIT(node.object);
        Py_VISIT(node.names);
        Py_VISIT(node.statics);
    }
    return 0;
}

}  // namespace covector
