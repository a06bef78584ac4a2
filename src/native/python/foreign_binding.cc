// Targets of the FFI as Python makes them: handlers by stage, attributes, and calls of them alone.
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <iterator>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "python/bindings.h"
#include "python/foreign.h"
#include "python/operands.h"
#include "runtime/foreign.h"
#include "runtime/host.h"

namespace nb = nanobind;

namespace covector {
namespace {

// What the FFI calls its codes, from 1 on.
constexpr const char* kCodes[] = {
    "CANCELLED",         "UNKNOWN",           "INVALID_ARGUMENT",    "DEADLINE_EXCEEDED",
    "NOT_FOUND",         "ALREADY_EXISTS",    "PERMISSION_DENIED",   "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION", "ABORTED",         "OUT_OF_RANGE",        "UNIMPLEMENTED",
    "INTERNAL",          "UNAVAILABLE",       "DATA_LOSS",           "UNAUTHENTICATED",
};
constexpr int kResourceExhausted = 8, kUnimplemented = 12;

void raise_failure(const std::string& name, const ForeignFailure& failure) {
    PyObject* type = PyExc_RuntimeError;
    if (failure.code == kResourceExhausted) type = PyExc_MemoryError;
    if (failure.code == kUnimplemented) type = PyExc_NotImplementedError;
    const bool known = failure.code >= 1 && failure.code <= static_cast<int>(std::size(kCodes));
    PyErr_Format(type, "%s: %s: %s", name.c_str(), known ? kCodes[failure.code - 1] : "UNKNOWN",
                 failure.message.c_str());
}

void check(const std::string& name, const ForeignFailure& failure) {
    if (failure.code == 0) return;
    raise_failure(name, failure);
    throw nb::python_error();
}

cv_ffi_handler* handler_at(uintptr_t address) { return reinterpret_cast<cv_ffi_handler*>(address); }

// A list of (name, kind, ...): ("scalar", code, bytes), ("string", bytes), ("array", code, bytes, size),
// ("dictionary", list).
ForeignAttributes read_attributes(nb::handle items) {
    ForeignAttributes found;
    for (nb::handle item : nb::iter(items)) {
        const nb::tuple parts = nb::tuple(nb::borrow(item));
        const auto name = nb::cast<std::string>(parts[0]);
        const auto kind = nb::cast<std::string>(parts[1]);
        if (kind == "dictionary") {
            found.add_dictionary(name, std::make_unique<ForeignAttributes>(read_attributes(parts[2])));
            continue;
        }
        const nb::bytes bytes = nb::bytes(nb::borrow(parts[kind == "string" ? 2 : 3]));
        if (kind == "string") {
            found.add_string(name, std::string(bytes.c_str(), bytes.size()));
        } else if (kind == "scalar") {
            found.add_scalar(name, nb::cast<int>(parts[2]), bytes.c_str(), bytes.size());
        } else {
            found.add_array(name, nb::cast<int>(parts[2]), bytes.c_str(), bytes.size(),
                            nb::cast<size_t>(parts[4]));
        }
    }
    return found;
}

void construct(Foreign* self, std::string name, const std::vector<uintptr_t>& stages, nb::handle attributes) {
    cv_ffi_handler* handlers[Foreign::kStages] = {};
    for (size_t i = 0; i < stages.size() && i < std::size(handlers); ++i) handlers[i] = handler_at(stages[i]);
    new (self) Foreign(std::move(name), handlers, read_attributes(attributes));
    ForeignFailure failure;
    {
        const Outside outside;
        failure = self->instantiate();
    }
    if (failure.code == 0) return;
    raise_failure(self->name(), failure);
    self->~Foreign();
    throw nb::python_error();
}

// Calls it on values in memory: (address, code of the dtype, shape) each, the operands first.
void call_once(Foreign& self, int64_t operands, nb::handle values) {
    std::vector<void*> words;
    int64_t count = 0;
    for (nb::handle item : nb::iter(values)) {
        const nb::tuple parts = nb::tuple(nb::borrow(item));
        const auto shape = nb::cast<std::vector<int64_t>>(parts[2]);
        const auto type = nb::cast<uintptr_t>(parts[1]) | static_cast<uintptr_t>(shape.size()) << 16;
        words.push_back(reinterpret_cast<void*>(nb::cast<uintptr_t>(parts[0])));
        words.push_back(reinterpret_cast<void*>(type));
        for (int64_t d : shape) words.push_back(reinterpret_cast<void*>(d));
        ++count;
    }
    ForeignFailure failure;
    {
        const Outside outside;
        failure = self.call(operands, count, words.data());
    }
    check(self.name(), failure);
}

nb::tuple version(uintptr_t handler) {
    int major = -1, minor = -1;
    check("register_ffi_target", foreign_version(handler_at(handler), &major, &minor));
    return nb::make_tuple(major, minor);
}

int64_t register_type(const std::string& name, uintptr_t type, uintptr_t info) {
    auto* number = reinterpret_cast<cv_ffi_type*>(type);
    check("register_ffi_type", foreign_register_type(
        name, number, reinterpret_cast<const cv_ffi_type_info*>(info)));
    return number->number;
}

}  // namespace

void raise_foreign_failure() {
    const auto [name, failure] = take_foreign_failure();
    raise_failure(name, failure);
}

void bind_foreign(nb::module_& m) {
    nb::class_<Foreign>(m, "Foreign", nb::is_final(),
                        "A target of the FFI with its attributes, as compiled code calls it.")
        .def("__init__", &construct, nb::arg("name"), nb::arg("stages"), nb::arg("attributes"),
             "`stages`: the addresses of the handlers that instantiate, prepare, initialize, execute, or 0. "
             "`attributes`: (name, kind, ...) sorted by name.")
        .def("call", &call_once, nb::arg("operands"), nb::arg("values"),
             "Call it on values (address, code of the dtype, shape), of which the first are operands.")
        .def_prop_ro("address", [](const Foreign& self) { return reinterpret_cast<uintptr_t>(&self); },
                     "What `cv_foreign` takes.");
    m.def("foreign_version", &version, nb::arg("handler"),
          "The version of the header that a handler was compiled with: (major, minor).");
    m.def("foreign_register_type", &register_type, nb::arg("name"), nb::arg("type"), nb::arg("info"),
          "Give a type of state its number, and say how it is deleted.");
}

}  // namespace covector
