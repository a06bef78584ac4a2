// Plan: running it.
#include <cstring>

#include "python/numpy_bridge.h"
#include "dispatch/plan.h"
#include "dispatch/tape.h"

namespace covector {
namespace {

constexpr size_t kOnStack = 40;

// The operands of one run, and what has to live as long as it.
class RunState {
public:
    RunState(const Plan& plan, const Signature& signature)
        : plan_(plan), signature_(signature), committed_(plan.committed || signature.committed) {}
    ~RunState() {
        for (PyObject* object : temporaries_) Py_XDECREF(object);
    }
    RunState(const RunState&) = delete;
    RunState& operator=(const RunState&) = delete;

    bool gather();
    bool run(Buffer** results);
    PyObject* build(Buffer** results);
    PyObject* build_traced(Buffer** results, PyObject* entry);
    PyObject* run_lifted(PyObject* entry);

private:
    bool add_operand(size_t position, const Leaf& leaf);
    bool convert_ndarrays();
    bool add_converted(size_t position);
    bool gather_donors();
    bool gather_forwarded();
    bool make_arrays(Buffer** results);
    PyObject* input_value(size_t position) const;
    PyObject* lifted_operand(size_t position);
    PyObject* trace(const OutNode& node) const;
    bool record(PyObject* entry);
    PyObject* build_node(Buffer** results);
    PyObject* build_leaf(const OutNode& node, Buffer** results);
    PyObject* build_children(const OutNode& node, Buffer** results);
    PyObject* build_dict(const OutNode& node, Buffer** results);
    PyObject* build_named_tuple(const OutNode& node, Buffer** results);
    PyObject* build_object(const OutNode& node, Buffer** results);
    PyObject* build_fields(const OutNode& node, Buffer** results);

    const Plan& plan_;
    const Signature& signature_;
    const bool committed_;
    SmallVector<Operand, kOnStack> operands_;
    SmallVector<Element, 16> elements_;
    SmallVector<Buffer**, 16> donors_;
    SmallVector<PyObject*, 8> temporaries_;
    size_t converted_at_ = 0;  // the next array among the temporaries that was an ndarray
    size_t element_count_ = 0;
    size_t next_node_ = 0;
    size_t next_forwarded_ = 0;
    size_t arrays_at_ = 0;   // of a call of a level: its outputs, among the temporaries
    int64_t first_taped_ = 0;  // the number of its first result
};

// A Python number for an input of 64 bits, which is one of its own kind.
CV_NOINLINE bool read_wide(const Leaf& leaf, int dtype, Element* element) {
    return store_number(leaf.object, dtype, element->bytes);
}

inline bool read_scalar(const Leaf& leaf, int dtype, Element* element) {
    switch (leaf.kind) {
        case kIntLeaf:
            if (CV_UNLIKELY(dtype != kInt32)) return read_wide(leaf, dtype, element);
            std::memcpy(element->bytes, &leaf.value.integer, 4);
            return true;
        case kFloatLeaf:
            if (CV_UNLIKELY(dtype != kFloat32)) return read_wide(leaf, dtype, element);
            std::memcpy(element->bytes, &leaf.value.real, 4);
            return true;
        case kBoolLeaf:
            element->bytes[0] = static_cast<char>(leaf.value.integer);
            return true;
        case kComplexLeaf:
            return store_number(leaf.object, dtype, element->bytes);
        case kNarrowedScalarLeaf:
            return numpy_scalar_read_narrowed(leaf.object, dtype, element->bytes);
        default:
            return numpy_scalar_read(leaf.object, element->bytes);
    }
}

inline bool RunState::add_operand(size_t position, const Leaf& leaf) {
    if (CV_LIKELY(leaf.kind == kArrayLeaf)) {
        Array* array = as_array(leaf.object);
        if (!array_check(array)) return false;
        operands_[position] = {array->buffer, nullptr};
        return true;
    }
    if (leaf.kind == kNdarrayLeaf) return add_converted(position);
    Element* element = &elements_[element_count_++];
    operands_[position] = {nullptr, element->bytes};
    return read_scalar(leaf, plan_.executable->inputs[position].dtype, element);
}

// Before the other operands are read: a long copy lets other threads run, which may delete arrays.
bool RunState::convert_ndarrays() {
    converted_at_ = temporaries_.size();
    for (int position : plan_.kept) {
        const Leaf& leaf = signature_.leaves[static_cast<size_t>(position)];
        if (leaf.kind != kNdarrayLeaf) continue;
        PyObject* made = array_from(leaf.object, leaf.dtype, false, true);
        if (made == nullptr) return false;
        temporaries_.push_back(made);
    }
    return true;
}

bool RunState::add_converted(size_t position) {
    Array* array = as_array(temporaries_[converted_at_++]);
    if (!matches(plan_.executable->inputs[position], array)) {
        PyErr_SetString(PyExc_RuntimeError,
                        "a NumPy array changed its shape or dtype during the call");
        return false;
    }
    operands_[position] = {array->buffer, nullptr};
    return true;
}

bool RunState::gather() {
    if (CV_UNLIKELY(!plan_.forwarded.empty()) && !gather_forwarded()) return false;
    if (CV_UNLIKELY(signature_.ndarray_count > 0) && !convert_ndarrays()) return false;
    const size_t kept = plan_.kept.size();
    const size_t count = kept + plan_.constants.size();
    operands_.resize(count);
    if (signature_.scalar_count > 0) elements_.resize(signature_.scalar_count);
    for (size_t i = 0; i < kept; ++i) {
        const Leaf& leaf = signature_.leaves[static_cast<size_t>(plan_.kept[i])];
        if (CV_UNLIKELY(!add_operand(i, leaf))) return false;
    }
    for (size_t i = kept; i < count; ++i) {
        operands_[i] = {plan_.constants[i - kept]->buffer, nullptr};
    }
    return CV_LIKELY(plan_.donated.empty()) || gather_donors();
}

// Results that are arguments as given. Made before the run, which may take donated ones away.
bool RunState::gather_forwarded() {
    for (int position : plan_.forwarded) {
        const Leaf& leaf = signature_.leaves[static_cast<size_t>(position)];
        PyObject* made = nullptr;
        if (leaf.kind == kArrayLeaf) {
            made = as_object(array_share(as_array(leaf.object)));
        } else if (leaf.kind == kNdarrayLeaf) {
            made = array_from(leaf.object, leaf.dtype, false, true);
        } else {
            Array* array = array_empty(leaf.dtype, leaf.weak, 0, nullptr);
            Element element;
            if (array != nullptr && read_scalar(leaf, leaf.dtype, &element)) {
                std::memcpy(array->buffer->data, element.bytes, kItemsize[leaf.dtype]);
                made = as_object(array);
            } else {
                Py_XDECREF(as_object(array));
            }
        }
        if (made == nullptr) return false;
        temporaries_.push_back(made);
    }
    return true;
}

bool RunState::gather_donors() {
    const size_t kept = plan_.kept.size();
    const size_t count = kept + plan_.constants.size();
    SmallVector<Array*, 16> arrays;
    SmallVector<bool, 64> donated;
    arrays.resize(count);
    donated.resize(count);
    donors_.resize(count);
    for (size_t i = 0; i < count; ++i) {
        arrays[i] = nullptr;
        donors_[i] = nullptr;
        donated[i] = i < kept && plan_.donated[i] != 0;
        if (i >= kept) continue;
        const Leaf& leaf = signature_.leaves[static_cast<size_t>(plan_.kept[i])];
        if (leaf.kind != kArrayLeaf) continue;
        arrays[i] = as_array(leaf.object);
        if (donated[i]) donors_[i] = &arrays[i]->buffer;
    }
    return check_donations(arrays.data(), donated.data(), static_cast<int>(count));
}

bool RunState::run(Buffer** results) {
    const Call call{plan_.executable,
                    operands_.data(),
                    donors_.size() > 0 ? donors_.data() : nullptr,
                    results,
                    plan_.executable->outputs.data(),
                    nullptr,
                    0,
                    plan_.executable->cost_ns};
    return succeeded(launch(call));
}

inline PyObject* RunState::build_leaf(const OutNode& node, Buffer** results) {
    if (CV_UNLIKELY(results == nullptr)) return trace(node);
    const ValueType& type = plan_.executable->outputs[static_cast<size_t>(node.index)];
    Buffer* buffer = results[node.index];
    if (CV_LIKELY(node.last_use)) {
        results[node.index] = nullptr;
    } else {
        buffer_ref(buffer);
    }
    return as_object(array_new(buffer, type.dtype, type.weak, type.ndim(), type.dims.data(),
                               type.size, committed_));
}

// An output of a call of a level, as that level knows it.
PyObject* RunState::trace(const OutNode& node) const {
    const auto index = static_cast<size_t>(node.index);
    PyObject* value = temporaries_[arrays_at_ + index];
    const bool is_taped = plan_.linear != nullptr;
    const int place = is_taped ? plan_.linear->number[index] : plan_.axes[index];
    if (place < 0) return Py_NewRef(value);
    return level_tracer_new(signature_.level, value, is_taped ? first_taped_ + place : place);
}

PyObject* RunState::build_node(Buffer** results) {
    const OutNode& node = plan_.nodes[next_node_++];
    switch (node.kind) {
        case OutKind::kLeaf: return build_leaf(node, results);
        case OutKind::kInput:
            return std::exchange(temporaries_[next_forwarded_++], nullptr);
        case OutKind::kConstant: return Py_NewRef(node.object);
        case OutKind::kNone: Py_RETURN_NONE;
        case OutKind::kDict: return build_dict(node, results);
        case OutKind::kNamedTuple: return build_named_tuple(node, results);
        case OutKind::kObject: return build_object(node, results);
        case OutKind::kFields: return build_fields(node, results);
        default: return build_children(node, results);
    }
}

PyObject* RunState::build_children(const OutNode& node, Buffer** results) {
    const bool is_list = node.kind == OutKind::kList;
    Ref made(is_list ? PyList_New(node.count) : PyTuple_New(node.count));
    if (!made) return nullptr;
    for (int i = 0; i < node.count; ++i) {
        PyObject* child = build_node(results);
        if (child == nullptr) return nullptr;
        if (!is_list) {
            PyTuple_SET_ITEM(made.get(), i, child);
        } else {
            PyList_SET_ITEM(made.get(), i, child);
        }
    }
    if (node.kind == OutKind::kCustom) return PyObject_CallOneArg(node.object, made.get());
    if (node.kind != OutKind::kRegistered) return made.release();
    PyObject* args[] = {nullptr, node.statics, made.get()};
    return PyObject_Vectorcall(node.object, args + 1, 2 | PY_VECTORCALL_ARGUMENTS_OFFSET, nullptr);
}

PyObject* RunState::build_dict(const OutNode& node, Buffer** results) {
    Ref made(PyDict_New());
    if (!made) return nullptr;
    for (int i = 0; i < node.count; ++i) {
        Ref child(build_node(results));
        PyObject* key = PyTuple_GET_ITEM(node.object, i);
        if (!child || PyDict_SetItem(made.get(), key, child.get()) < 0) {
            return nullptr;
        }
    }
    return made.release();
}

// As the class's _make does, without the call.
PyObject* RunState::build_named_tuple(const OutNode& node, Buffer** results) {
    auto* type = reinterpret_cast<PyTypeObject*>(node.object);
    Ref made(type->tp_alloc(type, node.count));
    if (!made) return nullptr;
    for (int i = 0; i < node.count; ++i) {
        PyObject* child = build_node(results);
        if (child == nullptr) return nullptr;
        PyTuple_SET_ITEM(made.get(), i, child);
    }
    return made.release();
}

PyObject* RunState::build_object(const OutNode& node, Buffer** results) {
    SmallVector<PyObject*, 16> args;  // one place before them is the callee's
    args.push_back(nullptr);
    bool good = true;
    for (int i = 0; i < node.count && good; ++i) {
        PyObject* child = build_node(results);
        good = child != nullptr;
        if (good) args.push_back(child);
    }
    const size_t owned = args.size();
    const Py_ssize_t statics = PyTuple_GET_SIZE(node.statics);
    for (Py_ssize_t i = 0; i < statics; ++i) args.push_back(PyTuple_GET_ITEM(node.statics, i));
    PyObject* made = nullptr;
    if (good) {
        made = PyObject_Vectorcall(node.object, args.data() + 1, PY_VECTORCALL_ARGUMENTS_OFFSET,
                                   node.names);
    }
    for (size_t i = 1; i < owned; ++i) Py_DECREF(args[i]);
    return made;
}

// As the __init__ that a dataclass gets does, without the call: 0.1 us instead of 0.4.
PyObject* RunState::build_fields(const OutNode& node, Buffer** results) {
    auto* type = reinterpret_cast<PyTypeObject*>(node.object);
    Ref made(type->tp_alloc(type, 0));
    if (!made) return nullptr;
    const Py_ssize_t count = PyTuple_GET_SIZE(node.names);
    for (Py_ssize_t i = 0; i < count; ++i) {
        const Ref value(i < node.count
                            ? build_node(results)
                            : Py_NewRef(PyTuple_GET_ITEM(node.statics, i - node.count)));
        PyObject* name = PyTuple_GET_ITEM(node.names, i);
        if (!value || PyObject_GenericSetAttr(made.get(), name, value.get()) < 0) return nullptr;
    }
    return made.release();
}

// All outputs as arrays, residuals included.
bool RunState::make_arrays(Buffer** results) {
    arrays_at_ = temporaries_.size();
    bool good = true;
    for (size_t i = 0; i < plan_.executable->outputs.size(); ++i) {
        const ValueType& type = plan_.executable->outputs[i];
        temporaries_.push_back(as_object(array_new(results[i], type.dtype, type.weak, type.ndim(),
                                                   type.dims.data(), type.size,
                                                   committed_)));
        good = good && temporaries_[arrays_at_ + i] != nullptr;
    }
    return good;
}

// An operand as an array, or a value of a level further out, for later; a new reference.
PyObject* RunState::input_value(size_t position) const {
    const size_t kept = plan_.kept.size();
    if (position >= kept) return Py_NewRef(as_object(plan_.constants[position - kept]));
    const Leaf& leaf = signature_.leaves[static_cast<size_t>(plan_.kept[position])];
    if (leaf.kind == kArrayLeaf || leaf.kind == kLiftedLeaf) return Py_NewRef(leaf.object);
    if (plan_.lifted != nullptr) return Py_NewRef(temporaries_[position]);
    const ValueType& type = plan_.executable->inputs[position];
    const Operand& operand = operands_[position];
    if (operand.buffer != nullptr) {
        buffer_ref(operand.buffer);
        return as_object(array_new(operand.buffer, type.dtype, type.weak, type.ndim(),
                                   type.dims.data(), type.size));
    }
    Array* made = array_empty(type.dtype, type.weak, 0, nullptr);
    if (made != nullptr) {
        std::memcpy(made->buffer->data, operand.element, static_cast<size_t>(made->nbytes()));
    }
    return as_object(made);
}

// What the function of a plan for values of levels further out takes; a new reference.
PyObject* RunState::lifted_operand(size_t position) {
    const Leaf& leaf = signature_.leaves[static_cast<size_t>(plan_.kept[position])];
    if (leaf.kind == kArrayLeaf || leaf.kind == kLiftedLeaf) return Py_NewRef(leaf.object);
    if (leaf.kind == kNdarrayLeaf) return array_from(leaf.object, leaf.dtype, false, true);
    const int dtype = plan_.lifted_dtypes[position];
    Array* made = array_empty(dtype, leaf.weak, 0, nullptr);
    Element element;
    if (made == nullptr || !read_scalar(leaf, dtype, &element)) {
        Py_XDECREF(as_object(made));
        return nullptr;
    }
    std::memcpy(made->buffer->data, element.bytes, kItemsize[dtype]);
    return as_object(made);
}

// Computes the outputs by a call of the next level, which knows these values.
PyObject* RunState::run_lifted(PyObject* entry) {
    const size_t kept = plan_.kept.size();
    for (size_t i = 0; i < plan_.inputs(); ++i) {
        PyObject* operand = i < kept ? lifted_operand(i)
                                     : Py_NewRef(as_object(plan_.constants[i - kept]));
        if (operand == nullptr) return nullptr;
        temporaries_.push_back(operand);
    }
    arrays_at_ = temporaries_.size();
    {
        const AtLevel outside(signature_.level->outer);
        const Ref function = Ref::borrow(plan_.lifted);
        Ref made(PyObject_Vectorcall(function.get(), temporaries_.data(), plan_.inputs(), nullptr));
        if (!made) return nullptr;
        if (!PyTuple_Check(made.get()) ||
            PyTuple_GET_SIZE(made.get()) != static_cast<Py_ssize_t>(plan_.outputs())) {
            PyErr_SetString(PyExc_TypeError, "the function of an Entry gives a tuple of its outputs");
            return nullptr;
        }
        for (size_t i = 0; i < plan_.outputs(); ++i) {
            temporaries_.push_back(
                Py_NewRef(PyTuple_GET_ITEM(made.get(), static_cast<Py_ssize_t>(i))));
        }
    }
    return plan_.linear != nullptr && !record(entry) ? nullptr : build_node(nullptr);
}

// Puts the call on the tape, whole or, if it fails, not at all.
bool RunState::record(PyObject* entry) {
    const Linear& linear = *plan_.linear;
    Tape* tape = reinterpret_cast<Tape*>(signature_.level);
    if (linear.results == 0) return true;
    const size_t first_residual = tape->residuals.size();
    const size_t first_operand = tape->operands.size();
    const size_t inputs = plan_.inputs();
    make_room(tape->nodes, 1);
    make_room(tape->residuals, linear.residuals.size());
    make_room(tape->operands, signature_.taped.size());
    for (int position : linear.residuals) {
        const auto at = static_cast<size_t>(position);
        PyObject* value = at < inputs ? input_value(at)
                                      : Py_NewRef(temporaries_[arrays_at_ + at - inputs]);
        if (value == nullptr) {
            tape->shrink(first_residual, first_operand);
            return false;
        }
        tape->residuals.push_back(value);
    }
    for (size_t i = 0; i < signature_.taped.size(); ++i) {
        tape->operands.push_back(signature_.taped[i]);
    }
    first_taped_ = tape->count;
    tape->nodes.push_back({Py_NewRef(entry), &plan_, first_residual, first_operand, tape->count,
                           linear.results});
    tape->count += linear.results;
    return true;
}

PyObject* RunState::build_traced(Buffer** results, PyObject* entry) {
    if (!make_arrays(results) || (plan_.linear != nullptr && !record(entry))) return nullptr;
    return build_node(nullptr);
}

PyObject* RunState::build(Buffer** results) {
    PyObject* made = build_node(results);
    if (CV_UNLIKELY(made == nullptr)) {
        for (size_t i = 0; i < plan_.executable->outputs.size(); ++i) {
            if (results[i] != nullptr) buffer_unref(results[i]);
        }
        return nullptr;
    }
    for (int i : plan_.unused) buffer_unref(results[i]);
    return made;
}

}  // namespace

namespace {

bool is_wide_form(const Leaf& leaf, int dtype) {
    return (leaf.kind == kIntLeaf && dtype == kInt64) ||
           (leaf.kind == kFloatLeaf && dtype == kFloat64) ||
           (leaf.kind == kComplexLeaf && dtype == kComplex128);
}

}  // namespace

bool Plan::check(const Signature& signature) const {
    if ((linear != nullptr || !axes.empty()) != (signature.level != nullptr)) {
        PyErr_SetString(PyExc_RuntimeError, "an Entry of another level than the call's");
        return false;
    }
    if (most_leaf >= static_cast<int>(signature.leaves.size())) {
        PyErr_Format(PyExc_RuntimeError, "the compiled Program reads leaf %d of arguments that "
                     "have %zu leaves", most_leaf, signature.leaves.size());
        return false;
    }
    if (lifted != nullptr) return true;  // the function looks at them itself
    for (size_t i = 0; i < kept.size(); ++i) {
        const Leaf& leaf = signature.leaves[static_cast<size_t>(kept[i])];
        const ValueType& wanted = executable->inputs[i];
        bool fits = leaf.dtype == wanted.dtype || is_wide_form(leaf, wanted.dtype);
        if (leaf.kind == kArrayLeaf) {
            fits = matches(wanted, as_array(leaf.object));
        } else if (leaf.kind != kNdarrayLeaf) {  // those are compared at each call
            fits = fits && wanted.ndim() == 0;
        }
        if (fits) continue;
        PyErr_Format(PyExc_RuntimeError, "leaf %d of the arguments does not fit input %zu of the "
                     "compiled Program, which is %s with %d axes", kept[i], i,
                     kDtypeName[wanted.dtype], wanted.ndim());
        return false;
    }
    return true;
}

namespace {

PyObject* run_plan(const Plan& plan, const Signature& signature, PyObject* entry) {
    RunState state(plan, signature);
    if (CV_UNLIKELY(plan.lifted != nullptr)) return state.run_lifted(entry);
    if (CV_UNLIKELY(!state.gather())) return nullptr;
    SmallVector<Buffer*, kOnStack> results;
    results.resize(plan.executable->outputs.size());
    if (CV_UNLIKELY(!state.run(results.data()))) return nullptr;
    if (CV_UNLIKELY(signature.level != nullptr)) return state.build_traced(results.data(), entry);
    return state.build(results.data());
}

}  // namespace

PyObject* Plan::run(const Signature& signature, PyObject* entry) const {
    if (CV_LIKELY(touched == nullptr)) return run_plan(*this, signature, entry);
    touched->begin(signature);
    return touched->settle(signature, run_plan(*this, signature, entry));
}

}  // namespace covector
