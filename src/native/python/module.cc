// The extension module covector._engine._native.
#include <nanobind/nanobind.h>

#include <cstdlib>
#include <cstring>

#include "python/array.h"
#include "python/bindings.h"
#include "python/boundary.h"
#include "dispatch/jit.h"
#include "python/numpy_bridge.h"
#include "runtime/pool.h"
#include "runtime/queue.h"
#include "python/state.h"
#include "dispatch/ufunc.h"

namespace nb = nanobind;

namespace {

// Queued work is finished before a fork and before the interpreter goes away.
void register_exit_handlers(nb::module_& m) {
    const nb::object synchronize = m.attr("synchronize");
    nb::module_::import_("atexit").attr("register")(synchronize);
    const nb::object os = nb::module_::import_("os");
    if (nb::hasattr(os, "register_at_fork")) {
        os.attr("register_at_fork")(nb::arg("before") = synchronize);
    }
}

}  // namespace

NB_MODULE(_native, m) {
    using namespace covector;
    nb::set_leak_warnings(false);  // arrays and caches may live until the process ends
    m.doc() = "The native core: arrays, memory, threads, the execution queue, jit and eager calls.";
    allocator_init();
    buffer_init();
    pool_init();
    queue_init();
    if (!numpy_init() || !array_type_init(m.ptr()) || !jit_type_init(m.ptr()) ||
        !ufunc_type_init(m.ptr()) || !boundary_type_init(m.ptr())) {
        throw nb::python_error();
    }
    bind_executable(m);
    bind_entry(m);
    bind_runtime(m);
    register_exit_handlers(m);
    const char* fast_paths = std::getenv("COVECTOR_FAST_PATHS");
    g_fast_paths = fast_paths == nullptr || std::strcmp(fast_paths, "0") != 0;
}
