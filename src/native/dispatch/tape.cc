// The tape: its two types, and running it backwards.
#include "dispatch/tape.h"

#include <structmember.h>

#include <new>

#include "dispatch/plan.h"
#include "python/state.h"
#include "runtime/small_vector.h"

namespace covector {

PyTypeObject* g_tape_tracer_type = nullptr;
constinit thread_local Tape* tls_tape = nullptr;

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
    Transposed(const Tape* tape, const TapeNode& node, const Pullback& pullback,
               Cotangents& cotangents)
        : tape_(tape), node_(node), pullback_(pullback), cotangents_(cotangents) {}
    ~Transposed() {
        for (PyObject* array : inputs_) Py_DECREF(array);
        for (PyObject* array : outputs_) Py_XDECREF(array);
    }
    Transposed(const Transposed&) = delete;
    Transposed& operator=(const Transposed&) = delete;

    // Residuals, the cotangents that there are, constants. Held: others may drop them meanwhile.
    void gather() {
        const size_t residuals = node_.plan->linear->residuals.size();
        for (size_t i = 0; i < residuals; ++i) {
            inputs_.push_back(Py_NewRef((*tape_->residuals)[node_.residuals + i]));
        }
        for (int64_t i = 0; i < node_.results; ++i) {
            PyObject* value = cotangents_.at(node_.first + i);
            if (value != nullptr) inputs_.push_back(Py_NewRef(value));
        }
        for (Array* constant : pullback_.constants) {
            inputs_.push_back(Py_NewRef(as_object(constant)));
        }
    }

    bool run() {
        Executable* executable = pullback_.executable;
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

    // Gives each operand its cotangent; one that passes unchanged was not computed.
    bool add() {
        for (size_t i = 0; i < pullback_.operands.size(); ++i) {
            const auto operand = static_cast<size_t>(pullback_.operands[i]);
            const auto source = static_cast<size_t>(pullback_.sources[i]);
            const size_t outputs = outputs_.size();
            if (source >= outputs + inputs_.size()) {
                PyErr_SetString(PyExc_ValueError, "a pullback names no value");
                return false;
            }
            PyObject* value = source < outputs ? outputs_[source] : inputs_[source - outputs];
            const int64_t number = (*tape_->operands)[node_.operands + operand];
            if (!cotangents_.add(number, Ref::borrow(value))) return false;
        }
        return true;
    }

private:
    const Tape* tape_;
    const TapeNode& node_;
    const Pullback& pullback_;
    Cotangents& cotangents_;
    SmallVector<PyObject*, 24> inputs_;   // owned
    SmallVector<PyObject*, 16> outputs_;  // owned
};

// Runs the compiled transpose of a node.
bool pull_compiled(Tape* tape, const TapeNode& node, Cotangents& cotangents) {
    uint64_t given = 0;
    for (int64_t i = 0; i < node.results; ++i) {
        given |= static_cast<uint64_t>(cotangents.at(node.first + i) != nullptr) << i;
    }
    const Pullback* pullback = node.plan->linear->pullback(given);
    if (pullback == nullptr) return false;
    Transposed transposed(tape, node, *pullback, cotangents);
    transposed.gather();
    return transposed.run() && transposed.add();
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
        if (!cotangents.add((*tape->operands)[node.operands + i], Ref::borrow(value))) return false;
    }
    return true;
}

// --- Tape ---

void drop_residuals(Tape* self, size_t from) {
    while (self->residuals->size() > from) {
        PyObject* last = self->residuals->back();
        self->residuals->pop_back();
        Py_DECREF(last);
    }
}

// The last node goes, with what it holds.
void drop_last(Tape* self) {
    const TapeNode node = self->nodes->back();
    self->nodes->pop_back();
    self->operands->resize(node.operands);
    drop_residuals(self, node.residuals);
    Py_DECREF(node.pullback);
}

bool pull_nodes(Tape* self, Cotangents& cotangents, bool consume) {
    size_t operands_end = self->operands->size();
    for (size_t at = self->nodes->size(); at-- > 0;) {
        const TapeNode node = (*self->nodes)[at];
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
        inputs > self->count || self->open) {
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
                as_tape_tracer(output)->tape != object) {
                continue;
            }
            if (!cotangents.add(as_tape_tracer(output)->number, Ref::borrow(value))) return nullptr;
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
    if (!is_array(array) || !self->nodes->empty() || !self->open) {
        PyErr_SetString(PyExc_ValueError, "input: an Array, before anything is recorded");
        return nullptr;
    }
    PyObject* made = tape_tracer_new(self, as_array(array), self->count);
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
        if (is_tape_tracer(operand) && as_tape_tracer(operand)->tape == object) continue;
        PyErr_SetString(PyExc_ValueError, "record: the operands must be tracers of this tape");
        return nullptr;
    }
    Ref made(PyTuple_New(count));
    if (!made) return nullptr;
    if (!self->open) {
        PyErr_SetString(PyExc_ValueError, "record: the tape is closed");
        return nullptr;
    }
    for (Py_ssize_t i = 0; i < count; ++i) {
        PyObject* result = PyTuple_GET_ITEM(results, i);
        if (!is_array(result)) {
            PyErr_SetString(PyExc_TypeError, "record: the results must be Arrays");
            return nullptr;
        }
        PyObject* tracer = tape_tracer_new(self, as_array(result), self->count + i);
        if (tracer == nullptr) return nullptr;
        PyTuple_SET_ITEM(made.get(), i, tracer);
    }
    try {
        const size_t first_operand = self->operands->size();
        make_room(*self->nodes, 1);
        for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(operands); ++i) {
            self->operands->push_back(as_tape_tracer(PyTuple_GET_ITEM(operands, i))->number);
        }
        self->nodes->push_back({Py_NewRef(pullback), nullptr, self->residuals->size(),
                                first_operand, self->count, count});
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
    const size_t count = self->nodes->size();
    Ref made(PyList_New(static_cast<Py_ssize_t>(count)));
    for (size_t at = 0; made && at < count; ++at) {
        const TapeNode& node = (*self->nodes)[at];
        const bool is_last = at + 1 == count;
        const size_t residuals_end =
            is_last ? self->residuals->size() : (*self->nodes)[at + 1].residuals;
        const size_t operands_end =
            is_last ? self->operands->size() : (*self->nodes)[at + 1].operands;
        Ref residuals(PyTuple_New(static_cast<Py_ssize_t>(residuals_end - node.residuals)));
        Ref operands(PyTuple_New(static_cast<Py_ssize_t>(operands_end - node.operands)));
        if (!residuals || !operands) return nullptr;
        for (size_t i = node.residuals; i < residuals_end; ++i) {
            PyTuple_SET_ITEM(residuals.get(), static_cast<Py_ssize_t>(i - node.residuals),
                             Py_NewRef((*self->residuals)[i]));
        }
        for (size_t i = node.operands; i < operands_end; ++i) {
            PyObject* number = PyLong_FromLongLong((*self->operands)[i]);
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
        const bool is_mine = is_tape_tracer(item) && as_tape_tracer(item)->tape == object;
        PyObject* number =
            is_mine ? PyLong_FromLongLong(as_tape_tracer(item)->number) : Py_NewRef(Py_None);
        if (number == nullptr) return nullptr;
        PyList_SET_ITEM(made.get(), i, number);
    }
    return made.release();
}

PyObject* tape_close(PyObject* object, PyObject*) {
    as_tape(object)->open = false;
    Py_RETURN_NONE;
}

// enter(): calls of this thread are recorded on it; returns the tape that they were before.
PyObject* tape_enter(PyObject* object, PyObject*) {
    Tape* before = std::exchange(tls_tape, as_tape(Py_NewRef(object)));
    return before == nullptr ? Py_NewRef(Py_None) : reinterpret_cast<PyObject*>(before);
}

// leave(before): undoes enter.
PyObject* tape_leave(PyObject* object, PyObject* before) {
    if (before != Py_None && Py_TYPE(before) != Py_TYPE(object)) {
        PyErr_SetString(PyExc_TypeError, "leave: what enter returned");
        return nullptr;
    }
    Tape* now = before == Py_None ? nullptr : as_tape(Py_NewRef(before));
    Py_XDECREF(reinterpret_cast<PyObject*>(std::exchange(tls_tape, now)));
    Py_RETURN_NONE;
}

PyObject* tape_new(PyTypeObject* type, PyObject* args, PyObject* keywords) {
    static const char* names[] = {nullptr};
    if (!PyArg_ParseTupleAndKeywords(args, keywords, ":Tape", const_cast<char**>(names))) {
        return nullptr;
    }
    Ref object(type->tp_alloc(type, 0));
    if (!object) return nullptr;
    Tape* self = as_tape(object.get());
    self->nodes = new std::vector<TapeNode>;
    self->residuals = new std::vector<PyObject*>;
    self->operands = new std::vector<int64_t>;
    self->open = true;
    return object.release();
}

int tape_traverse(PyObject* object, visitproc visit, void* arg) {
    Tape* self = as_tape(object);
    Py_VISIT(Py_TYPE(object));
    if (self->nodes != nullptr) {
        for (const TapeNode& node : *self->nodes) Py_VISIT(node.pullback);
    }
    return 0;
}

int tape_clear(PyObject* object) {
    Tape* self = as_tape(object);
    self->open = false;
    while (self->nodes != nullptr && !self->nodes->empty()) drop_last(self);
    if (self->residuals != nullptr) drop_residuals(self, 0);
    return 0;
}

void tape_dealloc(PyObject* object) {
    Tape* self = as_tape(object);
    PyTypeObject* type = Py_TYPE(object);
    PyObject_GC_UnTrack(object);
    tape_clear(object);
    delete self->nodes;
    delete self->residuals;
    delete self->operands;
    type->tp_free(object);
    Py_DECREF(type);
}

PyMethodDef kTapeMethods[] = {
    {"input", tape_input, METH_O, "A tracer of an Array that is differentiated."},
    {"record", tape_record, METH_VARARGS,
     "record(operands, results, pullback): tracers of a call's results."},
    {"pull", tape_pull, METH_VARARGS,
     "pull(outputs, cotangents, inputs, consume): the cotangents of the first inputs."},
    {"nodes", tape_nodes, METH_NOARGS,
     "(pullback, residuals, operands, first result, results) of each node, values by number."},
    {"numbers", tape_numbers, METH_O, "The numbers of values; None for what is not on it."},
    {"close", tape_close, METH_NOARGS, "Nothing is recorded any more."},
    {"enter", tape_enter, METH_NOARGS, "Calls of this thread are recorded on it."},
    {"leave", tape_leave, METH_O, "Undoes enter, given what that returned."},
    {nullptr, nullptr, 0, nullptr},
};

PyObject* tape_parent(PyObject*, void*) { Py_RETURN_NONE; }

PyGetSetDef kTapeAttributes[] = {
    {"parent", tape_parent, nullptr, "None: as a trace, it stands on no other.", nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr},
};

PyType_Slot kTapeSlots[] = {
    {Py_tp_new, reinterpret_cast<void*>(tape_new)},
    {Py_tp_dealloc, reinterpret_cast<void*>(tape_dealloc)},
    {Py_tp_traverse, reinterpret_cast<void*>(tape_traverse)},
    {Py_tp_clear, reinterpret_cast<void*>(tape_clear)},
    {Py_tp_methods, kTapeMethods},
    {Py_tp_getset, kTapeAttributes},
    {Py_tp_doc, const_cast<char*>("The tape of an eager derivative.")},
    {0, nullptr},
};

// --- TapeTracer ---

void tracer_dealloc(PyObject* object) {
    TapeTracer* self = as_tape_tracer(object);
    PyTypeObject* type = Py_TYPE(object);
    PyObject_GC_UnTrack(object);
    PyObject_ClearWeakRefs(object);
    Py_XDECREF(as_object(self->primal));
    Py_XDECREF(self->tape);
    type->tp_free(object);
    Py_DECREF(type);
}

int tracer_traverse(PyObject* object, visitproc visit, void* arg) {
    Py_VISIT(Py_TYPE(object));
    Py_VISIT(as_tape_tracer(object)->tape);
    return 0;
}

PyObject* tracer_shape(PyObject* object, void*) {
    return array_shape(as_tape_tracer(object)->primal);
}
PyObject* tracer_dtype(PyObject* object, void*) {
    return Py_NewRef(dtype_object(as_tape_tracer(object)->primal->dtype));
}
PyObject* tracer_ndim(PyObject* object, void*) {
    return PyLong_FromLong(as_tape_tracer(object)->primal->ndim);
}
PyObject* tracer_size(PyObject* object, void*) {
    return PyLong_FromLongLong(as_tape_tracer(object)->primal->size);
}
PyObject* tracer_weak(PyObject* object, void*) {
    return PyBool_FromLong(as_tape_tracer(object)->primal->weak);
}
PyObject* tracer_primal(PyObject* object, void*) {
    return Py_NewRef(as_object(as_tape_tracer(object)->primal));
}

PyGetSetDef kTracerAttributes[] = {
    {"shape", tracer_shape, nullptr, "The lengths of the axes.", nullptr},
    {"dtype", tracer_dtype, nullptr, "The type of the elements.", nullptr},
    {"ndim", tracer_ndim, nullptr, "The number of axes.", nullptr},
    {"size", tracer_size, nullptr, "The number of elements.", nullptr},
    {"weak_type", tracer_weak, nullptr, "Whether the type gives way to others.", nullptr},
    {"primal", tracer_primal, nullptr, "The value.", nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr},
};

// tape_tracer_type(base): makes the class, once, from a class of tracers without slots of its own.
PyObject* tape_tracer_type(PyObject*, PyObject* base) {
    if (g_tape_tracer_type != nullptr) {
        return Py_NewRef(reinterpret_cast<PyObject*>(g_tape_tracer_type));
    }
    auto* type = reinterpret_cast<PyTypeObject*>(base);
    if (!PyType_Check(base) || type->tp_basicsize != offsetof(TapeTracer, primal) ||
        type->tp_weaklistoffset == 0) {
        PyErr_SetString(PyExc_TypeError, "tape_tracer_type: a class with the slots of Tracer");
        return nullptr;
    }
    std::vector<PyType_Slot> slots;
    for (const PyType_Slot* slot = kNumberSlots; slot->slot != 0; ++slot) slots.push_back(*slot);
    slots.push_back({Py_tp_dealloc, reinterpret_cast<void*>(tracer_dealloc)});
    slots.push_back({Py_tp_traverse, reinterpret_cast<void*>(tracer_traverse)});
    slots.push_back({Py_tp_getset, kTracerAttributes});
    slots.push_back({0, nullptr});
    PyType_Spec spec = {"covector._engine._native.TapeTracer", sizeof(TapeTracer), 0,
                        Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC |
                            Py_TPFLAGS_DISALLOW_INSTANTIATION | CV_MANAGED_WEAKREFS,
                        slots.data()};
    Ref bases(PyTuple_Pack(1, base));
    PyObject* made = bases ? PyType_FromSpecWithBases(&spec, bases.get()) : nullptr;
    if (made == nullptr) return nullptr;
    g_tape_tracer_type = reinterpret_cast<PyTypeObject*>(made);
    return Py_NewRef(made);
}

PyMethodDef kFunctions[] = {
    {"tape_tracer_type", tape_tracer_type, METH_O,
     "The class of values on a tape, made from its Python base when first asked for."},
    {nullptr, nullptr, 0, nullptr},
};

}  // namespace

PyObject* tape_tracer_new(Tape* tape, Array* primal, int64_t number) {
    PyObject* object = g_tape_tracer_type == nullptr
                           ? PyErr_Format(PyExc_RuntimeError, "import covector first")
                           : g_tape_tracer_type->tp_alloc(g_tape_tracer_type, 0);
    if (object == nullptr) return nullptr;
    TapeTracer* self = as_tape_tracer(object);
    self->tape = Py_NewRef(reinterpret_cast<PyObject*>(tape));
    self->primal = as_array(Py_NewRef(as_object(primal)));
    self->number = number;
    return object;
}

bool tape_types_init(PyObject* module) {
    PyType_Spec spec = {"covector._engine._native.Tape", sizeof(Tape), 0,
                        Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC, kTapeSlots};
    Ref type(PyType_FromSpec(&spec));
    return type && PyModule_AddObjectRef(module, "Tape", type.get()) == 0 &&
           PyModule_AddFunctions(module, kFunctions) == 0;
}

}  // namespace covector
