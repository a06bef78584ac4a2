// The tape: its type, and running it backwards.
#include "dispatch/tape.h"

#include <memory>
#include <new>

#include "dispatch/level_type.h"
#include "dispatch/plan.h"
#include "python/state.h"
#include "runtime/small_vector.h"

namespace covector {

namespace {

Tape* as_tape(PyObject* object) { return reinterpret_cast<Tape*>(object); }

// --- cotangents ---

// The cotangents of a tape's values while it is run backwards; null: zero.
class Cotangents {
public:
    explicit Cotangents(int64_t count) : values_(static_cast<size_t>(count)) {}
    ~Cotangents() {
        for (PyObject* value : values_) Py_XDECREF(value);
    }
    Cotangents(const Cotangents&) = delete;
    Cotangents& operator=(const Cotangents&) = delete;

    PyObject* at(int64_t number) const { return values_[static_cast<size_t>(number)]; }
    PyObject* take(int64_t number) {
        return std::exchange(values_[static_cast<size_t>(number)], nullptr);
    }

    // Adds to what arrived before, in this order, as transposition does; false with an exception.
    bool add(int64_t number, Ref value) {
        PyObject*& place = values_[static_cast<size_t>(number)];
        if (place == nullptr) {
            place = value.release();
            return true;
        }
        const Ref function = Ref::borrow(g_operators[kAdd]);
        if (!function) return false;
        PyObject* args[] = {nullptr, place, value.get()};
        Ref sum(PyObject_Vectorcall(function.get(), args + 1,
                                    2 | PY_VECTORCALL_ARGUMENTS_OFFSET, nullptr));
        if (!sum) return false;
        Py_SETREF(values_[static_cast<size_t>(number)], sum.release());
        return true;
    }

private:
    std::vector<PyObject*> values_;
};

// One run of the compiled transpose of a node.
class Transposed {
public:
    Transposed(const Tape* tape, const TapeNode& node, Cotangents& cotangents)
        : tape_(tape), node_(node), cotangents_(cotangents) {}
    ~Transposed() {
        for (PyObject* array : inputs_) Py_DECREF(array);
        for (PyObject* array : outputs_) Py_XDECREF(array);
    }
    Transposed(const Transposed&) = delete;
    Transposed& operator=(const Transposed&) = delete;

    // Residuals, the cotangents that there are, constants. Held: others may drop them meanwhile.
    // False with an exception.
    bool gather() {
        const size_t residuals = node_.plan->linear->residuals.size();
        for (size_t i = 0; i < residuals; ++i) {
            inputs_.push_back(Py_NewRef(tape_->residuals[node_.residuals + i]));
        }
        uint64_t given = 0;
        for (int64_t i = 0; i < node_.results; ++i) {
            PyObject* value = cotangents_.at(node_.first + i);
            if (value == nullptr) continue;
            inputs_.push_back(Py_NewRef(value));
            given |= uint64_t{1} << i;
        }
        pullback_ = node_.plan->linear->pullback(given, !are_arrays());
        if (pullback_ == nullptr) return false;
        for (Array* constant : pullback_->constants) {
            inputs_.push_back(Py_NewRef(as_object(constant)));
        }
        return true;
    }

    bool run() {
        if (pullback_->lifted != nullptr) return run_lifted();
        Executable* executable = pullback_->executable;
        if (executable == nullptr) return true;
        SmallVector<Operand, 24> operands;
        bool fits = inputs_.size() == executable->inputs.size();
        for (size_t i = 0; i < inputs_.size() && fits; ++i) {
            fits = is_array(inputs_[i]) && matches(executable->inputs[i], as_array(inputs_[i]));
            if (fits && !array_check(as_array(inputs_[i]))) return false;
            if (fits) operands.push_back({as_array(inputs_[i])->buffer, nullptr});
        }
        if (!fits) {
            PyErr_SetString(PyExc_TypeError, "a cotangent does not fit the result that it is of");
            return false;
        }
        const size_t count = executable->outputs.size();
        SmallVector<Buffer*, 16> results;
        results.resize(count);
        const Call call{executable, operands.data(), nullptr, results.data(),
                        executable->outputs.data(), nullptr, 0, executable->cost_ns};
        if (!succeeded(launch(call))) return false;
        bool good = true, committed = false;
        for (PyObject* input : inputs_) committed |= as_array(input)->committed;
        for (size_t i = 0; i < count; ++i) {
            const ValueType& type = executable->outputs[i];
            outputs_.push_back(as_object(array_new(results[i], type.dtype, type.weak, type.ndim(),
                                                   type.dims.data(), type.size, committed)));
            good = good && outputs_[i] != nullptr;
        }
        return good;
    }

    // Of values of levels further out: by the function that does what the executable does.
    bool run_lifted() {
        const Ref function = Ref::borrow(pullback_->lifted);
        Ref made(PyObject_Vectorcall(function.get(), inputs_.data(), inputs_.size(), nullptr));
        if (!made) return false;
        if (!PyTuple_Check(made.get())) {
            PyErr_SetString(PyExc_TypeError, "a pullback's function must return a tuple");
            return false;
        }
        for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(made.get()); ++i) {
            outputs_.push_back(Py_NewRef(PyTuple_GET_ITEM(made.get(), i)));
        }
        return true;
    }

    bool are_arrays() const {
        for (size_t i = 0; i < inputs_.size(); ++i) {
            if (!is_array(inputs_[i])) return false;
        }
        return true;
    }

    // Gives each operand its cotangent; one that passes unchanged was not computed.
    bool add() {
        for (size_t i = 0; i < pullback_->operands.size(); ++i) {
            const auto operand = static_cast<size_t>(pullback_->operands[i]);
            const auto source = static_cast<size_t>(pullback_->sources[i]);
            const size_t outputs = outputs_.size();
            if (source >= outputs + inputs_.size()) {
                PyErr_SetString(PyExc_ValueError, "a pullback names no value");
                return false;
            }
            PyObject* value = source < outputs ? outputs_[source] : inputs_[source - outputs];
            const int64_t number = tape_->operands[node_.operands + operand];
            if (!cotangents_.add(number, Ref::borrow(value))) return false;
        }
        return true;
    }

private:
    const Tape* tape_;
    const TapeNode& node_;
    const Pullback* pullback_ = nullptr;
    Cotangents& cotangents_;
    SmallVector<PyObject*, 24> inputs_;   // owned
    SmallVector<PyObject*, 16> outputs_;  // owned
};

// Runs the compiled transpose of a node.
bool pull_compiled(Tape* tape, const TapeNode& node, Cotangents& cotangents) {
    Transposed transposed(tape, node, cotangents);
    return transposed.gather() && transposed.run() && transposed.add();
}

// Calls the Python function of a node: from a tuple of cotangents to as many as it has operands,
// None for zeros.
bool pull_python(Tape* tape, const TapeNode& node, size_t operand_count, Cotangents& cotangents) {
    Ref given(PyTuple_New(node.results));
    if (!given) return false;
    for (int64_t i = 0; i < node.results; ++i) {
        PyObject* value = cotangents.at(node.first + i);
        PyTuple_SET_ITEM(given.get(), i, Py_NewRef(value == nullptr ? Py_None : value));
    }
    const Ref function = Ref::borrow(node.pullback);
    Ref made(PyObject_CallOneArg(function.get(), given.get()));
    Ref found(made ? PySequence_Tuple(made.get()) : nullptr);
    if (!found) return false;
    if (static_cast<size_t>(PyTuple_GET_SIZE(found.get())) != operand_count) {
        PyErr_SetString(PyExc_ValueError, "a pullback gives one cotangent for each operand");
        return false;
    }
    for (size_t i = 0; i < operand_count; ++i) {
        PyObject* value = PyTuple_GET_ITEM(found.get(), static_cast<Py_ssize_t>(i));
        if (value == Py_None) continue;
        if (!cotangents.add(tape->operands[node.operands + i], Ref::borrow(value))) return false;
    }
    return true;
}

// --- Tape ---

// The last node goes, with what it holds.
void drop_last(Tape* self) {
    const TapeNode node = self->nodes.back();
    self->nodes.pop_back();
    self->shrink(node.residuals, node.operands);
    Py_DECREF(node.pullback);
}

bool pull_nodes(Tape* self, Cotangents& cotangents, bool consume) {
    size_t operands_end = self->operands.size();
    for (size_t at = self->nodes.size(); at-- > 0;) {
        const TapeNode node = self->nodes[at];
        const Ref held = Ref::borrow(node.pullback);
        bool any = false;
        for (int64_t i = 0; i < node.results; ++i) any |= cotangents.at(node.first + i) != nullptr;
        if (any) {
            const bool good =
                node.plan != nullptr
                    ? pull_compiled(self, node, cotangents)
                    : pull_python(self, node, operands_end - node.operands, cotangents);
            if (!good) return false;
            for (int64_t i = 0; i < node.results; ++i) Py_XDECREF(cotangents.take(node.first + i));
        }
        operands_end = node.operands;
        if (consume) drop_last(self);
    }
    return true;
}

PyObject* tape_pull(PyObject* object, PyObject* args) {
    Tape* self = as_tape(object);
    PyObject *outputs, *given;
    Py_ssize_t inputs;
    int consume;
    if (!PyArg_ParseTuple(args, "O!O!np:pull", &PyTuple_Type, &outputs, &PyTuple_Type, &given,
                          &inputs, &consume)) {
        return nullptr;
    }
    if (PyTuple_GET_SIZE(outputs) != PyTuple_GET_SIZE(given) || inputs < 0 ||
        inputs > self->count || self->level.open) {
        PyErr_SetString(PyExc_ValueError,
                        "pull: one cotangent for each output of a closed tape, and its inputs");
        return nullptr;
    }
    try {
        Cotangents cotangents(self->count);
        for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(given); ++i) {
            PyObject* output = PyTuple_GET_ITEM(outputs, i);
            PyObject* value = PyTuple_GET_ITEM(given, i);
            if (value == Py_None || !is_tape_tracer(output) ||
                as_level_tracer(output)->level != object) {
                continue;
            }
            if (!cotangents.add(as_level_tracer(output)->number, Ref::borrow(value))) return nullptr;
        }
        if (!pull_nodes(self, cotangents, consume != 0)) return nullptr;
        Ref found(PyList_New(inputs));
        for (Py_ssize_t i = 0; found && i < inputs; ++i) {
            PyObject* value = cotangents.take(i);
            PyList_SET_ITEM(found.get(), i, value == nullptr ? Py_NewRef(Py_None) : value);
        }
        return found.release();
    } catch (const std::bad_alloc&) {
        return PyErr_NoMemory();
    }
}

PyObject* tape_input(PyObject* object, PyObject* array) {
    Tape* self = as_tape(object);
    if (!is_native_value(array) || !self->nodes.empty() || !self->level.open) {
        PyErr_SetString(PyExc_ValueError,
                        "input: a value of the level outside, before anything is recorded");
        return nullptr;
    }
    PyObject* made = level_tracer_new(&self->level, array, self->count);
    if (made != nullptr) ++self->count;
    return made;
}

// record(operands, results, pullback): a node whose transpose is a Python function.
PyObject* tape_record(PyObject* object, PyObject* args) {
    Tape* self = as_tape(object);
    PyObject *operands, *results, *pullback;
    if (!PyArg_ParseTuple(args, "O!O!O:record", &PyTuple_Type, &operands, &PyTuple_Type, &results,
                          &pullback)) {
        return nullptr;
    }
    const Py_ssize_t count = PyTuple_GET_SIZE(results);
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(operands); ++i) {
        PyObject* operand = PyTuple_GET_ITEM(operands, i);
        if (is_tape_tracer(operand) && as_level_tracer(operand)->level == object) continue;
        PyErr_SetString(PyExc_ValueError, "record: the operands must be tracers of this tape");
        return nullptr;
    }
    Ref made(PyTuple_New(count));
    if (!made) return nullptr;
    if (!self->level.open) {
        PyErr_SetString(PyExc_ValueError, "record: the tape is closed");
        return nullptr;
    }
    for (Py_ssize_t i = 0; i < count; ++i) {
        PyObject* result = PyTuple_GET_ITEM(results, i);
        if (!is_native_value(result)) {
            PyErr_SetString(PyExc_TypeError, "record: the results must be Arrays, or of a level outside");
            return nullptr;
        }
        PyObject* tracer = level_tracer_new(&self->level, result, self->count + i);
        if (tracer == nullptr) return nullptr;
        PyTuple_SET_ITEM(made.get(), i, tracer);
    }
    try {
        const size_t first_operand = self->operands.size();
        make_room(self->nodes, 1);
        make_room(self->operands, static_cast<size_t>(PyTuple_GET_SIZE(operands)));
        for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(operands); ++i) {
            self->operands.push_back(as_level_tracer(PyTuple_GET_ITEM(operands, i))->number);
        }
        self->nodes.push_back({Py_NewRef(pullback), nullptr, self->residuals.size(), first_operand,
                               self->count, count});
        self->count += count;
    } catch (const std::bad_alloc&) {
        return PyErr_NoMemory();
    }
    return made.release();
}

// nodes(): (pullback, residuals, numbers of operands, number of the first result, results) of each,
// with what `Entry` was given as its pullback.
PyObject* tape_nodes(PyObject* object, PyObject*) {
    Tape* self = as_tape(object);
    const size_t count = self->nodes.size();
    Ref made(PyList_New(static_cast<Py_ssize_t>(count)));
    for (size_t at = 0; made && at < count; ++at) {
        const TapeNode& node = self->nodes[at];
        const bool is_last = at + 1 == count;
        const size_t residuals_end =
            is_last ? self->residuals.size() : self->nodes[at + 1].residuals;
        const size_t operands_end =
            is_last ? self->operands.size() : self->nodes[at + 1].operands;
        Ref residuals(PyTuple_New(static_cast<Py_ssize_t>(residuals_end - node.residuals)));
        Ref operands(PyTuple_New(static_cast<Py_ssize_t>(operands_end - node.operands)));
        if (!residuals || !operands) return nullptr;
        for (size_t i = node.residuals; i < residuals_end; ++i) {
            PyTuple_SET_ITEM(residuals.get(), static_cast<Py_ssize_t>(i - node.residuals),
                             Py_NewRef(self->residuals[i]));
        }
        for (size_t i = node.operands; i < operands_end; ++i) {
            PyObject* number = PyLong_FromLongLong(self->operands[i]);
            if (number == nullptr) return nullptr;
            PyTuple_SET_ITEM(operands.get(), static_cast<Py_ssize_t>(i - node.operands), number);
        }
        PyObject* item = Py_BuildValue(
            "(OOOLL)", node.plan != nullptr ? node.plan->linear->make : node.pullback,
            residuals.get(), operands.get(), static_cast<long long>(node.first),
            static_cast<long long>(node.results));
        if (item == nullptr) return nullptr;
        PyList_SET_ITEM(made.get(), static_cast<Py_ssize_t>(at), item);
    }
    return made.release();
}

// numbers(outputs): which value each is; None for what is not on this tape.
PyObject* tape_numbers(PyObject* object, PyObject* outputs) {
    Ref items(PySequence_Fast(outputs, "numbers: a sequence of values"));
    if (!items) return nullptr;
    const Py_ssize_t count = PySequence_Fast_GET_SIZE(items.get());
    Ref made(PyList_New(count));
    for (Py_ssize_t i = 0; made && i < count; ++i) {
        PyObject* item = PySequence_Fast_GET_ITEM(items.get(), i);
        const bool is_mine = is_tape_tracer(item) && as_level_tracer(item)->level == object;
        PyObject* number =
            is_mine ? PyLong_FromLongLong(as_level_tracer(item)->number) : Py_NewRef(Py_None);
        if (number == nullptr) return nullptr;
        PyList_SET_ITEM(made.get(), i, number);
    }
    return made.release();
}

}  // namespace

const std::vector<PyMethodDef> Tape::kMethods = {
    {"input", tape_input, METH_O, "A tracer of a value that is differentiated."},
    {"record", tape_record, METH_VARARGS,
     "record(operands, results, pullback): tracers of a call's results."},
    {"pull", tape_pull, METH_VARARGS,
     "pull(outputs, cotangents, inputs, consume): the cotangents of the first inputs."},
    {"nodes", tape_nodes, METH_NOARGS,
     "(pullback, residuals, operands, first result, results) of each node, values by number."},
    {"numbers", tape_numbers, METH_O, "The numbers of values; None for what is not on it."},
};
const std::vector<PyGetSetDef> Tape::kAttributes = {};

bool Tape::begin(PyObject* args, PyObject* keywords) {
    std::construct_at(&nodes);
    std::construct_at(&residuals);
    std::construct_at(&operands);
    static const char* names[] = {nullptr};
    return PyArg_ParseTupleAndKeywords(args, keywords, ":Tape", const_cast<char**>(names)) != 0;
}

int Tape::traverse(visitproc visit, void* arg) const {
    for (const TapeNode& node : nodes) Py_VISIT(node.pullback);
    if (level.outer == nullptr) return 0;  // arrays hold no objects
    for (PyObject* residual : residuals) Py_VISIT(residual);
    return 0;
}

void Tape::drop() {
    while (!nodes.empty()) drop_last(this);
    shrink(0, 0);
}

void Tape::end() {
    std::destroy_at(&nodes);
    std::destroy_at(&residuals);
    std::destroy_at(&operands);
}

void Tape::shrink(size_t residual_count, size_t operand_count) {
    operands.resize(operand_count);
    while (residuals.size() > residual_count) {
        PyObject* last = residuals.back();
        residuals.pop_back();
        Py_DECREF(last);
    }
}

bool tape_type_init(PyObject* module) { return LevelType<Tape>::init(module); }

}  // namespace covector
