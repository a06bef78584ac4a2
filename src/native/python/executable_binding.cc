// The Python class Executable.
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <memory>

#include "python/bindings.h"

namespace nb = nanobind;

namespace covector {
namespace {

constexpr int64_t kAnyLength = -1;

[[noreturn]] void raise(PyObject* type, const std::string& text) {
    PyErr_SetString(type, text.c_str());
    throw nb::python_error();
}

std::string text_of(const ValueType& type) {
    std::string text = kDtypeName[type.dtype];
    text += '[';
    for (size_t i = 0; i < type.dims.size(); ++i) {
        if (i > 0) text += ',';
        text += type.dims[i] == kAnyLength ? "?" : std::to_string(type.dims[i]);
    }
    return text + ']';
}

// An int from Python; beyond 64 bits the nearest one, and `too_large` is set.
int64_t read_int(nb::handle value, bool* too_large) {
    int overflow = 0;
    const long long number = PyLong_AsLongLongAndOverflow(value.ptr(), &overflow);
    if (number == -1 && overflow == 0 && PyErr_Occurred()) throw nb::python_error();
    *too_large |= overflow != 0;
    return overflow == 0 ? number : overflow > 0 ? INT64_MAX : INT64_MIN;
}

// A shape in which None stands for a length that each call brings.
std::vector<int64_t> read_dims(nb::handle shape) {
    std::vector<int64_t> dims;
    bool too_large = false;
    for (nb::handle item : nb::iter(shape)) {
        dims.push_back(item.is_none() ? kAnyLength : read_int(item, &too_large));
    }
    if (too_large) {
        PyErr_Format(PyExc_MemoryError, "an array of shape %R takes more memory than can be "
                     "addressed", shape.ptr());
        throw nb::python_error();
    }
    if (dims.size() > kMaxDims) raise(PyExc_ValueError, "an array has at most 64 axes");
    return dims;
}

void set_size(ValueType& type) {
    for (int64_t length : type.dims) {
        if (length == kAnyLength) return;
    }
    type.size = element_count(type.ndim(), type.dims.data(), type.dtype);
    if (type.size < 0) throw nb::python_error();
    type.bytes = type.size * kItemsize[type.dtype];
}

ValueType read_type(nb::handle item, size_t fields, const char* what) {
    const nb::tuple parts = nb::tuple(nb::borrow(item));
    if (parts.size() != fields) {
        raise(PyExc_ValueError, std::string("Executable: each of the ") + what + " must have " +
                                    std::to_string(fields) + " parts");
    }
    ValueType type;
    type.dtype = parse_dtype(parts[0].ptr());
    if (type.dtype < 0) throw nb::python_error();
    type.dims = read_dims(parts[1]);
    if (fields > 2) type.weak = nb::cast<bool>(parts[2]);
    set_size(type);
    return type;
}

void read_aliases(Executable& native, nb::handle aliases) {
    native.alias_of.assign(native.outputs.size(), -1);
    for (nb::handle pair : nb::iter(aliases)) {
        const auto numbers = nb::cast<std::vector<int64_t>>(pair);
        if (numbers.size() != 2 || numbers[0] < 0 || numbers[1] < 0 ||
            numbers[0] >= static_cast<int64_t>(native.outputs.size()) ||
            numbers[1] >= static_cast<int64_t>(native.inputs.size())) {
            raise(PyExc_ValueError,
                  "Executable: an alias must be a pair (output, input) of existing positions");
        }
        native.alias_of[static_cast<size_t>(numbers[0])] = static_cast<int>(numbers[1]);
        native.has_aliases = true;
    }
}

struct ReleaseExecutable {
    void operator()(Executable* executable) const { executable->unref(); }
};
using OwnedExecutable = std::unique_ptr<Executable, ReleaseExecutable>;

void construct(ExecutableObject* self, uintptr_t address, nb::handle inputs, nb::handle outputs,
               nb::handle arena, nb::handle cost, nb::handle keepalive, nb::handle aliases,
               bool calls_back, bool repeats) {
    if (address == 0) raise(PyExc_ValueError, "Executable: the address must not be 0");
    bool too_large = false, any = false;
    const int64_t cost_ns = read_int(cost, &any);  // the longest time is as good as a longer one
    const int64_t arena_bytes = read_int(arena, &too_large);
    if (arena_bytes < 0) raise(PyExc_ValueError, "Executable: arena_bytes must not be negative");
    OwnedExecutable native(new Executable);
    native->entry = reinterpret_cast<EntryFunction>(address);
    for (nb::handle item : nb::iter(inputs)) {
        native->inputs.push_back(read_type(item, 2, "inputs"));
    }
    for (nb::handle item : nb::iter(outputs)) {
        native->outputs.push_back(read_type(item, 3, "outputs"));
    }
    if (too_large) {
        raise(PyExc_MemoryError, "a compiled program needs more scratch memory than can be addressed");
    }
    read_aliases(*native, aliases);
    native->arena_bytes = arena_bytes;
    native->cost_ns = cost_ns;
    native->calls_back = calls_back;
    native->repeats = repeats;
    native->keepalive = owner_of(keepalive.ptr());
    new (self) ExecutableObject(native.release());
}

std::string array_text(Array* array) {
    Ref text(describe(array->dtype, array->ndim, array->dims()));
    if (!text) throw nb::python_error();
    return nb::cast<std::string>(nb::handle(text.get()));
}

// The operands of one call from Python, checked.
struct Arguments {
    nb::object items;  // keeps the arrays alive
    std::vector<Operand> operands;
    std::vector<Array*> arrays;
    std::vector<Buffer**> donors;
};

void read_arrays(Arguments& arguments, const Executable& native, nb::handle arrays) {
    arguments.items = nb::steal(PySequence_Fast(arrays.ptr(), "execute() takes a list of Arrays"));
    if (!arguments.items.is_valid()) throw nb::python_error();
    const auto count = static_cast<size_t>(PySequence_Fast_GET_SIZE(arguments.items.ptr()));
    if (count != native.inputs.size()) {
        raise(PyExc_TypeError, "this executable takes " + std::to_string(native.inputs.size()) +
                                   " arrays, not " + std::to_string(count));
    }
    for (size_t i = 0; i < count; ++i) {
        PyObject* item =
            PySequence_Fast_GET_ITEM(arguments.items.ptr(), static_cast<Py_ssize_t>(i));
        if (!is_array(item)) {
            raise(PyExc_TypeError, "input " + std::to_string(i) + " must be an Array, not " +
                                       Py_TYPE(item)->tp_name);
        }
        Array* array = as_array(item);
        if (!array_check(array)) throw nb::python_error();
        if (!matches(native.inputs[i], array)) {
            raise(PyExc_TypeError, "input " + std::to_string(i) + " must be " +
                                       text_of(native.inputs[i]) + ", not " + array_text(array));
        }
        arguments.arrays.push_back(array);
        arguments.operands.push_back({array->buffer, nullptr});
    }
}

void set_donors(Arguments& arguments, const std::vector<int64_t>& donate) {
    const size_t count = arguments.arrays.size();
    auto donated = std::make_unique<bool[]>(count + 1);
    for (int64_t position : donate) {
        if (position < 0 || position >= static_cast<int64_t>(count)) {
            raise(PyExc_ValueError, "donate names input " + std::to_string(position) + " of " +
                                        std::to_string(count));
        }
        donated[static_cast<size_t>(position)] = true;
        arguments.donors.resize(count, nullptr);
        arguments.donors[static_cast<size_t>(position)] =
            &arguments.arrays[static_cast<size_t>(position)]->buffer;
    }
    if (arguments.donors.empty()) return;
    if (!check_donations(arguments.arrays.data(), donated.get(), static_cast<int>(count))) {
        throw nb::python_error();
    }
}

nb::list run(Executable& native, Arguments& arguments, const std::vector<ValueType>& outputs,
             const std::vector<int64_t>& dims, int64_t cost_ns) {
    std::vector<Buffer*> results(outputs.size(), nullptr);
    const Call call{&native,
                    arguments.operands.data(),
                    arguments.donors.empty() ? nullptr : arguments.donors.data(),
                    results.data(),
                    outputs.data(),
                    dims.data(),
                    static_cast<int>(dims.size()),
                    cost_ns};
    if (!succeeded(launch(call))) throw nb::python_error();
    nb::list made;
    bool failed = false, committed = false;
    for (const Array* array : arguments.arrays) committed |= array->committed;
    for (size_t i = 0; i < outputs.size(); ++i) {
        const ValueType& type = outputs[i];
        if (failed) {
            buffer_unref(results[i]);
            continue;
        }
        Array* array = array_new(results[i], type.dtype, type.weak, type.ndim(), type.dims.data(),
                                 type.size, committed);
        failed = array == nullptr || PyList_Append(made.ptr(), as_object(array)) < 0;
        Py_XDECREF(as_object(array));
    }
    if (failed) throw nb::python_error();
    return made;
}

nb::list execute(ExecutableObject& self, nb::handle arrays, const std::vector<int64_t>& donate) {
    Executable& native = *self.native;
    for (const ValueType& type : native.outputs) {
        for (int64_t length : type.dims) {
            if (length == kAnyLength) {
                raise(PyExc_TypeError, "this executable has symbolic sizes: call "
                                       "execute_symbolic(arrays, dims, output_shapes)");
            }
        }
    }
    Arguments arguments;
    read_arrays(arguments, native, arrays);
    set_donors(arguments, donate);
    return run(native, arguments, native.outputs, {}, native.cost_ns);
}

nb::list execute_symbolic(ExecutableObject& self, nb::handle arrays,
                          const std::vector<int64_t>& dims, nb::handle output_shapes,
                          const std::vector<int64_t>& donate, std::optional<int64_t> cost_ns) {
    Executable& native = *self.native;
    std::vector<ValueType> outputs = native.outputs;
    size_t count = 0;
    for (nb::handle shape : nb::iter(output_shapes)) {
        if (count == outputs.size()) break;
        ValueType& type = outputs[count++];
        std::vector<int64_t> actual = read_dims(shape);
        bool fits = actual.size() == type.dims.size();
        for (size_t i = 0; fits && i < actual.size(); ++i) {
            fits = actual[i] >= 0 && (type.dims[i] == kAnyLength || type.dims[i] == actual[i]);
        }
        if (!fits) {
            const std::string declared = text_of(type);
            type.dims = actual;
            raise(PyExc_ValueError, "output " + std::to_string(count - 1) + " is declared " +
                                        declared + ", which " + text_of(type) + " does not fit");
        }
        type.dims = std::move(actual);
        set_size(type);
    }
    if (count != outputs.size() || nb::len(output_shapes) != outputs.size()) {
        raise(PyExc_TypeError, "this executable has " + std::to_string(outputs.size()) +
                                   " outputs; output_shapes has " +
                                   std::to_string(nb::len(output_shapes)));
    }
    Arguments arguments;
    read_arrays(arguments, native, arrays);
    set_donors(arguments, donate);
    return run(native, arguments, outputs, dims, cost_ns.value_or(native.cost_ns));
}

nb::tuple dims_tuple(const ValueType& type) {
    nb::list dims;
    for (int64_t length : type.dims) {
        if (length == kAnyLength) dims.append(nb::none());
        else dims.append(length);
    }
    return nb::tuple(dims);
}

PyObject* keepalive_of(const Executable* native) {
    return static_cast<PyObject*>(native->keepalive.object);
}

int traverse(PyObject* self, visitproc visit, void* arg) {
    Py_VISIT(Py_TYPE(self));
    if (!nb::inst_ready(self)) return 0;
    const auto* object = nb::inst_ptr<ExecutableObject>(self);
    // Queued work holds the keepalive through the native part, so it is not this object's alone.
    if (object->native->refs.load(std::memory_order_relaxed) == 1) {
        Py_VISIT(keepalive_of(object->native));
    }
    return 0;
}

int clear(PyObject* self) {
    if (!nb::inst_ready(self)) return 0;
    auto* object = nb::inst_ptr<ExecutableObject>(self);
    if (object->native->refs.load() != 1) return 0;
    // The code goes with its owner, and other garbage might still call it.
    object->native->entry = [](void* const*, const int64_t*, void*) -> int32_t {
        return kUnloaded;
    };
    std::exchange(object->native->keepalive, {}).drop();
    return 0;
}

PyType_Slot kCollectorSlots[] = {
    {Py_tp_traverse, reinterpret_cast<void*>(traverse)},
    {Py_tp_clear, reinterpret_cast<void*>(clear)},
    {0, nullptr},
};

}  // namespace

void bind_executable(nb::module_& m) {
    nb::class_<ExecutableObject>(m, "Executable", nb::type_slots(kCollectorSlots), nb::is_final(),
                                 "A compiled Program: a native function with the types of its "
                                 "inputs and outputs.")
        .def("__init__", construct, nb::arg("address"), nb::arg("inputs"), nb::arg("outputs"),
             nb::arg("arena_bytes") = 0, nb::arg("cost_ns") = 0,
             nb::arg("keepalive").none() = nb::none(), nb::arg("aliases") = nb::tuple(),
             nb::arg("calls_back") = false, nb::arg("repeats") = false,
             "inputs: (dtype, shape) each; outputs: (dtype, shape, weak) each; None in a shape is "
             "a symbolic length; aliases: pairs (output, input) that may share memory when the "
             "input is donated; calls_back: it calls Python functions, so its caller's thread runs it; "
             "repeats: its data say how often, so the cost is that of the last run.")
        .def("execute", execute, nb::arg("arrays"), nb::arg("donate") = nb::tuple(),
             "Runs the function, or queues it, and returns its outputs.")
        .def("execute_symbolic", execute_symbolic, nb::arg("arrays"), nb::arg("dims"),
             nb::arg("output_shapes"), nb::arg("donate") = nb::tuple(),
             nb::arg("cost_ns").none() = nb::none(),
             "As execute, with the values of the symbolic dimensions and the shapes that follow.")
        .def_prop_ro("address", [](const ExecutableObject& self) {
            return reinterpret_cast<uintptr_t>(self.native->entry);
        })
        .def_prop_ro("inputs", [](const ExecutableObject& self) {
            nb::list made;
            for (const ValueType& t : self.native->inputs) {
                made.append(nb::make_tuple(t.dtype, dims_tuple(t)));
            }
            return made;
        })
        .def_prop_ro("outputs", [](const ExecutableObject& self) {
            nb::list made;
            for (const ValueType& t : self.native->outputs) {
                made.append(nb::make_tuple(t.dtype, dims_tuple(t), t.weak));
            }
            return made;
        })
        .def_prop_ro("arena_bytes",
                     [](const ExecutableObject& self) { return self.native->arena_bytes; })
        .def_prop_ro("cost_ns", [](const ExecutableObject& self) { return self.native->cost_ns; })
        .def_prop_ro("keepalive", [](const ExecutableObject& self) {
            PyObject* keepalive = keepalive_of(self.native);
            return nb::borrow(keepalive != nullptr ? keepalive : Py_None);
        });
}

}  // namespace covector
