// The extension module covector._engine._native.
#include <nanobind/nanobind.h>

#include <cstdlib>
#include <cstring>
#include <stdexcept>

#include "dispatch/batch.h"
#include "dispatch/calls.h"
#include "dispatch/cells.h"
#include "dispatch/jit.h"
#include "dispatch/nodes.h"
#include "dispatch/tape.h"
#include "dispatch/ufunc.h"
#include "python/array.h"
#include "python/bindings.h"
#include "python/boundary.h"
#include "python/numpy_bridge.h"
#include "python/state.h"
#include "python/ended_threads.h"
#include "python/room.h"
#include "runtime/runtime.h"

namespace nb = nanobind;

namespace {

// Queued work is finished before a fork. At exit nobody can read its results, so it is not.
void register_exit_handlers(nb::module_& m, const nb::module_& atexit, const nb::module_& os) {
    atexit.attr("register")(nb::cpp_function(covector::close_dropped));
    if (Py_AtExit(covector::runtime_close) != 0) throw std::runtime_error("no room in Py_AtExit's table");
    if (nb::hasattr(os, "register_at_fork")) {
        os.attr("register_at_fork")(nb::arg("before") = m.attr("synchronize"));
    }
}

}  // namespace

NB_MODULE(_native, m) {
    using namespace covector;
    // nanobind has just put the tables of this interpreter in place of those of the one that was before.
    static decltype(nb::detail::internals) tables = nullptr;
    if (PyInterpreterState_Get() != PyInterpreterState_Main()) {
        if (tables != nullptr) nb::detail::internals = tables;
        PyErr_SetString(PyExc_ImportError,
                        "covector cannot be imported in a subinterpreter: its arrays, threads and "
                        "caches belong to the process; use threads, or processes");
        throw nb::python_error();
    }
    tables = nb::detail::internals;
    // First what runs Python: Ctrl-C may end it, and then the module can be imported again.
    const nb::module_ atexit = nb::module_::import_("atexit"), os = nb::module_::import_("os");
    if (!numpy_init()) throw nb::python_error();
    nb::set_leak_warnings(false);  // arrays and caches may live until the process ends
    m.doc() = "The native core: arrays, memory, threads, the execution queue, jit and eager calls.";
    runtime_start(python_host());
    dropped_init();
    stop_ended_threads();
    if (!array_type_init(m.ptr()) || !calls_type_init(m.ptr()) || !jit_type_init(m.ptr()) || !ufunc_type_init(m.ptr()) ||
        !nodes_init(m.ptr()) || !levels_init(m.ptr()) || !tape_type_init(m.ptr()) || !batch_type_init(m.ptr()) || !cells_init(m.ptr()) ||
        !boundary_type_init(m.ptr()) || !room_init(m.ptr())) {
        throw nb::python_error();
    }
    bind_executable(m);
    bind_entry(m);
    bind_foreign(m);
    bind_runtime(m);
    register_exit_handlers(m, atexit, os);
    const char* fast_paths = std::getenv("COVECTOR_FAST_PATHS");
    g_fast_paths = fast_paths == nullptr || std::strcmp(fast_paths, "0") != 0;
}
