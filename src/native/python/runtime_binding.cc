// The module functions for memory, threads, the queue, BLAS and the switches.
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/unique_ptr.h>

#include <memory>

#include "runtime/allocator.h"
#include "python/bindings.h"
#include "runtime/blas.h"
#include "runtime/conv.h"
#include "runtime/conv_narrow.h"
#include "runtime/executable.h"
#include "runtime/foreign.h"
#include "runtime/lapack.h"
#include "runtime/linalg.h"
#include "runtime/object_code.h"
#include "runtime/places.h"
#include "runtime/pool.h"
#include "runtime/queue.h"
#include "runtime/fft.h"
#include "runtime/gemm_narrow.h"
#include "runtime/scatter.h"
#include "runtime/sort.h"
#include "runtime/stops.h"
#include "runtime/top_k.h"
#include "runtime/turn.h"
#include "runtime/vectors.h"
#include "python/state.h"

namespace nb = nanobind;

namespace covector {
namespace {

void check(bool good) {
    if (!good) throw nb::python_error();
}

nb::object checked(PyObject* made) {
    check(made != nullptr);
    return nb::steal(made);
}

nb::dict stats_dict() {
    queue_settle();
    const MemoryStats stats = memory_stats();
    nb::dict made;
    made["bytes_in_use"] = stats.bytes_in_use;
    made["peak_bytes_in_use"] = stats.peak_bytes_in_use;
    made["bytes_cached"] = stats.bytes_cached;
    made["num_allocs"] = stats.num_allocs;
    made["cache_limit"] = stats.cache_limit;
    made["memory_limit"] = stats.memory_limit;
    return made;
}

template <typename Function>
uintptr_t address_of(Function* function) {
    return reinterpret_cast<uintptr_t>(function);
}

nb::dict symbol_addresses() {
    nb::dict made;
    made["cv_parallel_for"] = address_of(cv_parallel_for);
    made["cv_alloc"] = address_of(cv_alloc);
    made["cv_free"] = address_of(cv_free);
    made["cv_sgemm"] = address_of(cv_sgemm);
    made["cv_dgemm"] = address_of(cv_dgemm);
    made["cv_cgemm"] = address_of(cv_cgemm);
    made["cv_zgemm"] = address_of(cv_zgemm);
    made["cv_bgemm"] = address_of(cv_bgemm);
    made["cv_fft"] = address_of(cv_fft);
    made["cv_scatter"] = address_of(cv_scatter);
    made["cv_unfilled"] = address_of(cv_unfilled);
    made["cv_top_k"] = address_of(cv_top_k);
    made["cv_places"] = address_of(cv_places);
    made["cv_turn"] = address_of(cv_turn);
    made["cv_sconv"] = address_of(cv_sconv);
    made["cv_dconv"] = address_of(cv_dconv);
    made["cv_bconv"] = address_of(cv_bconv);
    made["cv_sort_pairs"] = address_of(cv_sort_pairs);
    made["cv_sort_order"] = address_of(cv_sort_order);
    made["cv_cholesky"] = address_of(cv_cholesky);
    made["cv_lu"] = address_of(cv_lu);
    made["cv_pivots_to_permutation"] = address_of(cv_pivots_to_permutation);
    made["cv_triangular_solve"] = address_of(cv_triangular_solve);
    made["cv_qr"] = address_of(cv_qr);
    made["cv_geqrf"] = address_of(cv_geqrf);
    made["cv_householder_product"] = address_of(cv_householder_product);
    made["cv_ormqr"] = address_of(cv_ormqr);
    made["cv_eigh"] = address_of(cv_eigh);
    made["cv_svd"] = address_of(cv_svd);
    made["cv_eig"] = address_of(cv_eig);
    made["cv_schur"] = address_of(cv_schur);
    made["cv_hessenberg"] = address_of(cv_hessenberg);
    made["cv_tridiagonal"] = address_of(cv_tridiagonal);
    made["cv_tridiagonal_solve"] = address_of(cv_tridiagonal_solve);
    made["cv_cholesky_update"] = address_of(cv_cholesky_update);
    made["cv_poll"] = address_of(cv_poll);
    made["cv_callback"] = address_of(cv_callback);
    made["cv_foreign"] = address_of(cv_foreign);
    return made;
}

nb::list lapack_names() {
    nb::list made;
    each_lapack_name([](void* list, const char* name) { static_cast<nb::list*>(list)->append(name); },
                     &made);
    return made;
}

void set_blas(const nb::dict& routines) {
    for (auto [name, address] : routines) {
        const auto text = nb::cast<std::string>(name);
        if (!set_blas_routine(text.c_str(), nb::cast<uintptr_t>(address))) {
            PyErr_Format(PyExc_ValueError, "set_blas: there is no use for a routine named %s",
                         text.c_str());
            throw nb::python_error();
        }
    }
}

// The object file linked, or None if it is not such a one as is linked here.
nb::object link_object(const nb::bytes& data, const nb::dict& symbols) {
    auto made = std::make_unique<ObjectCode>();
    const auto find = [](void* context, const char* name) {
        PyObject* found = PyDict_GetItemString(static_cast<PyObject*>(context), name);
        return found == nullptr ? 0 : nb::cast<uintptr_t>(nb::handle(found));
    };
    const auto* bytes = reinterpret_cast<const uint8_t*>(data.c_str());
    switch (made->link(bytes, data.size(), find, symbols.ptr())) {
        case ObjectCode::Outcome::kNotTaken: return nb::none();
        case ObjectCode::Outcome::kNoRoom: PyErr_NoMemory(); throw nb::python_error();
        case ObjectCode::Outcome::kDone: break;
    }
    return nb::cast(std::move(made));
}

uintptr_t address_in(const ObjectCode& code, const std::string& name) {
    const uintptr_t found = code.address(name);
    if (found != 0) return found;
    PyErr_Format(PyExc_KeyError, "%s is no function of this object", name.c_str());
    throw nb::python_error();
}

int64_t not_negative(int64_t value, const char* function) {
    if (value >= 0) return value;
    PyErr_Format(PyExc_ValueError, "%s: must not be negative: %lld", function,
                 static_cast<long long>(value));
    throw nb::python_error();
}

void bind_memory(nb::module_& m) {
    m.def("memory_stats", stats_dict,
          "The allocator's counters: bytes_in_use, peak_bytes_in_use, bytes_cached, num_allocs, "
          "cache_limit, memory_limit.");
    m.def("clear_memory_cache", clear_memory_cache, "Gives cached memory back to the system.");
    m.def("can_map", [](int64_t bytes) { return memory_can_map(not_negative(bytes, "can_map")); },
          nb::arg("bytes"), "Whether so much more memory could be mapped now.");
    m.def("reset_peak_memory", reset_peak_memory, "Starts peak_bytes_in_use again from now.");
    m.def("set_memory_limit", [](int64_t bytes) {
        set_memory_limit(not_negative(bytes, "set_memory_limit"));
    }, nb::arg("bytes"), "Makes allocations beyond this many bytes fail; 0 takes the limit away.");
    m.def("set_memory_cache_limit", [](int64_t bytes) {
        set_memory_cache_limit(not_negative(bytes, "set_memory_cache_limit"));
    }, nb::arg("bytes"), "Sets how many bytes of freed large blocks are kept for reuse.");
}

Widths widths_of(std::optional<bool> x64) {
    return !x64 ? Widths::kAsWritten : *x64 ? Widths::kWide : Widths::kNarrow;
}

void bind_switches(nb::module_& m) {
    m.def("set_tracing", [](bool on) { return set_slow_path(kTracing, on); }, nb::arg("on"),
          "Switches the native fast paths off for this thread; returns the previous setting.");
    m.def("set_scope", [](uint64_t scope) { tls_scope = scope; }, nb::arg("scope"),
          "Sets the number of the named axes in scope in this thread.");
    m.def("set_fast_paths", [](bool on) { return std::exchange(g_fast_paths, on); }, nb::arg("on"),
          "Switches the native fast paths on or off for the process; returns the previous "
          "setting.");
    m.def("set_config_epoch", [](uint64_t epoch, std::optional<bool> x64) {
        g_widths = widths_of(x64);
        return std::exchange(g_config_epoch, epoch);
    }, nb::arg("epoch"), nb::arg("x64").none(), "Sets a number that is part of every signature: a "
          "new one makes jit compile anew; and the flag enable_x64. Returns the previous number.");
    m.def("set_thread_config", [](uint64_t epoch, bool twins, std::optional<bool> x64) {
        tls_config_epoch = epoch;
        tls_widths = widths_of(x64);
        set_slow_path(kTwins, twins);
    }, nb::arg("epoch"), nb::arg("twins"), nb::arg("x64").none(),
          "Sets the number of this thread's own flags (0: it has none), whether they need the "
          "Python twins, and its enable_x64.");
    m.def("set_hooks", [](const nb::kwargs& hooks) { return checked(set_hooks(hooks.ptr())); },
          "Sets the Python functions that native code calls: flatten, tracer, getitem, iter, "
          "contains, repr, format; returns the previous ones.");
    m.def("set_operators", [](const nb::dict& operators) {
        return checked(set_operators(operators.ptr()));
    }, nb::arg("operators"), "Sets the functions behind the operators of Array, by name; returns "
                             "the previous ones.");
    m.def("register_dtypes", [](nb::handle dtypes) { check(register_dtypes(dtypes.ptr())); },
          nb::arg("dtypes"), "Registers the dtype objects; positions are the dtype codes.");
}

}  // namespace

void bind_runtime(nb::module_& m) {
    bind_memory(m);
    bind_switches(m);
    m.def("num_threads", pool_size, "The number of threads that compute.");
    m.def("synchronize", [] {
        check(succeeded(queue_synchronize()));
        flush_dropped();
    },
          "Waits until all queued work is done.");
    m.def("vector_bytes", vector_bytes, "The bytes of the longest vectors that routines use: 64, 32 or 16.");
    m.def("set_vectors", set_vectors, nb::arg("bytes"),
          "Lets routines use no longer vectors than of so many bytes; returns the previous limit.");
    m.def("set_async", set_async, nb::arg("enabled"),
          "Switches the execution queue on or off; returns the previous setting.");
    m.def("set_inline_threshold_ns", set_inline_threshold_ns, nb::arg("ns"),
          "Sets the cost from which programs are queued; returns the previous one.");
    nb::class_<ObjectCode>(m, "ObjectCode", nb::is_final(),
                           "Machine code in memory; it is freed when this object goes.")
        .def("address", &address_in, nb::arg("name"), "Where an exported function begins.");
    m.def("link", link_object, nb::arg("data"), nb::arg("symbols"),
          "An object file linked into this process, or None if that is left to LLVM.");
    m.def("symbols", symbol_addresses, "Addresses of the routines that compiled code calls.");
    m.def("set_blas", set_blas, nb::arg("routines"),
          "Sets the addresses of routines of CBLAS and LAPACK.");
    m.def("lapack_names", lapack_names, "The routines of LAPACK that `set_blas` takes.");
}

}  // namespace covector
