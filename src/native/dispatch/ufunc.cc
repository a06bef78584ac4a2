// Ufunc: the type and its call.
#include "dispatch/ufunc.h"

#include <structmember.h>

#include <algorithm>
#include <cstring>
#include <new>
#include <vector>

#include "dispatch/levels.h"
#include "python/boundary.h"
#include "python/numpy_bridge.h"
#include "python/state.h"

namespace covector {
namespace {

constexpr int64_t kShortRun = 32;
constexpr int64_t kManyRows = 1024;  // short runs beyond this many are left to the fallback

struct KernelSlot {
    uint64_t key = 0;  // 0: free
    EagerKernel* kernel = nullptr;  // null: always the fallback
};

// A key has so many bits for each operand: its dtype, and whether it is weak, and one element.
constexpr int kKeyBits = 7;
constexpr uint64_t kWeakBit = 32, kScalarBit = 64;
static_assert(kDtypeCount <= kWeakBit && kScalarBit < (1 << kKeyBits));

// Settings of the flags that a key can tell apart: beyond them (they are rare) all calls fall back.
constexpr uint64_t kMostEpochs = (uint64_t{1} << (64 - kKeyBits * kMaxOperands)) - 2;

struct Ufunc {
    PyObject_HEAD
    vectorcallfunc vectorcall;
    PyObject* dict;
    PyObject* weakrefs;
    PyObject* name;
    PyObject* fallback;
    PyObject* compile;
    PyObject* traced;  // the function that is called with values of a level; made when first needed
    int nin;
    KernelSlot last;
    std::vector<KernelSlot>* table;  // open addressing; the size is a power of two
    size_t count;
};

Ufunc* as_ufunc(PyObject* object) { return reinterpret_cast<Ufunc*>(object); }

// --- the operands of one call ---

struct Input {
    PyObject* object;
    Array* array;  // null: a Python number, in `element`
    uint8_t dtype;
    bool weak;
    bool scalar;
};

struct EagerInputs {
    int count;
    Input inputs[kMaxOperands];
    Element elements[kMaxOperands];
    Shape shapes[kMaxOperands] = {};
    int ndim;
    const int64_t* dims;            // of the result
    int64_t dims_storage[kMaxDims];
    int64_t size;
    bool rows;                      // whether one run is not enough

    bool read(PyObject* const* args, int nargs);
    bool read_number(int i, bool wide_int, bool wide_float);
    bool read_numpy_scalar(int i, bool wide);
    bool find_shape();
    bool find_general_shape(RowLoop* loop);
    uint64_t key() const;
};

// A Python number, which is as wide as the arrays beside it: a float64 array plus 0.1 means the
// double 0.1; or a scalar of NumPy that is weak, too. False: the fallback's business.
bool EagerInputs::read_number(int i, bool wide_int, bool wide_float) {
    Input& input = inputs[i];
    Element& element = elements[i];
    input.weak = true;
    input.scalar = true;
    if (PyFloat_CheckExact(input.object)) {
        const double value = PyFloat_AS_DOUBLE(input.object);
        const float narrow = static_cast<float>(value);
        input.dtype = wide_float ? kFloat64 : kFloat32;
        if (wide_float) std::memcpy(element.bytes, &value, 8);
        else std::memcpy(element.bytes, &narrow, 4);
        return true;
    }
    if (PyLong_CheckExact(input.object)) {
        int overflow = 0;
        const int64_t value = PyLong_AsLongLongAndOverflow(input.object, &overflow);
        const auto narrow = static_cast<int32_t>(value);
        const bool fits = value == narrow;
        if (overflow != 0 || (!fits && !wide_int && !wide_float)) return false;
        input.dtype = wide_int || !fits ? kInt64 : kInt32;
        if (input.dtype == kInt64) std::memcpy(element.bytes, &value, 8);
        else std::memcpy(element.bytes, &narrow, 4);
        return true;
    }
    if (PyBool_Check(input.object)) {
        input.dtype = kBool;
        input.weak = false;
        element.bytes[0] = input.object == Py_True;
        return true;
    }
    if (!PyComplex_CheckExact(input.object)) return read_numpy_scalar(i, wide_int || wide_float);
    input.dtype = wide_float ? kComplex128 : kComplex64;
    return store_number(input.object, input.dtype, element.bytes);
}

CV_NOINLINE bool EagerInputs::read_numpy_scalar(int i, bool wide) {
    Input& input = inputs[i];
    if (widths() != Widths::kAsWritten || !is_numpy_scalar(input.object)) return false;
    const int code = numpy_scalar_code(input.object);
    if (!is_like_python(code) || !numpy_scalar_read(input.object, elements[i].bytes)) return false;
    input.dtype = static_cast<uint8_t>(code);
    if (code != kInt64) return true;
    int64_t value;
    std::memcpy(&value, elements[i].bytes, 8);
    return wide || value == static_cast<int32_t>(value);
}

// Sorts out the operands; false: the fallback's business.
bool EagerInputs::read(PyObject* const* args, int nargs) {
    count = nargs;
    bool any_array = false, all_arrays = true, wide_int = false, wide_float = false;
    for (int i = 0; i < nargs; ++i) {
        Input& input = inputs[i];
        input.object = args[i];
        if (!is_array(args[i])) {
            input.array = nullptr;
            shapes[i] = {0, nullptr};
            all_arrays = false;
            continue;
        }
        Array* array = as_array(args[i]);
        input.array = array;
        input.dtype = array->dtype;
        input.weak = array->weak;
        input.scalar = array->size == 1;
        shapes[i] = {array->ndim, array->dims()};
        any_array = true;
        wide_int |= array->dtype == kInt64 || array->dtype == kUint64;
        wide_float |= array->dtype == kFloat64 || array->dtype == kComplex128 ||
                      array->dtype == kInt64 || array->dtype == kUint64;
    }
    if (CV_LIKELY(all_arrays)) return true;
    if (!any_array) return false;
    if (widths() == Widths::kWide) wide_int = wide_float = true;
    for (int i = 0; i < nargs; ++i) {
        if (inputs[i].array == nullptr && !read_number(i, wide_int, wide_float)) return false;
    }
    return true;
}

inline bool all_ones(const Shape& shape) {
    for (int i = 0; i < shape.ndim; ++i) {
        if (shape.dims[i] != 1) return false;
    }
    return true;
}

// The result's shape when each operand either has it or is a single element; else false.
bool EagerInputs::find_shape() {
    int widest = 0;
    for (int i = 1; i < count; ++i) {
        const bool larger = inputs[i].array != nullptr && inputs[i].array->size > 1;
        if (shapes[i].ndim > shapes[widest].ndim ||
            (shapes[i].ndim == shapes[widest].ndim && larger)) {
            widest = i;
        }
    }
    const Shape& out = shapes[widest];
    for (int i = 0; i < count; ++i) {
        if (shapes[i].ndim == out.ndim &&
            std::equal(out.dims, out.dims + out.ndim, shapes[i].dims)) {
            continue;
        }
        if (!all_ones(shapes[i])) return false;
        inputs[i].scalar = true;
    }
    ndim = out.ndim;
    dims = out.dims;
    size = inputs[widest].array == nullptr ? 1 : inputs[widest].array->size;
    rows = false;
    return true;
}

// False: the shapes do not fit, or rows are too short to be worth it.
CV_NOINLINE bool EagerInputs::find_general_shape(RowLoop* loop) {
    ndim = broadcast_dims(shapes, count, dims_storage);
    if (ndim < 0) return false;
    dims = dims_storage;
    size = element_count(ndim, dims, kComplex128);  // of whatever type the result is
    if (size < 0) {
        PyErr_Clear();
        return false;
    }
    loop->build(shapes, count, ndim, dims);
    for (int i = 0; i < count; ++i) inputs[i].scalar = loop->run_scalar[i];
    rows = loop->rows > 1;
    return !(rows && loop->n < kShortRun && loop->rows > kManyRows);
}

// Seven bits an operand, and above those of the last the number of the flags' setting. A kernel has
// one operand at least that is not a single element.
uint64_t EagerInputs::key() const {
    uint64_t made = (config_epoch() + 1) << (kKeyBits * kMaxOperands);  // never 0: an empty slot
    bool all_scalar = true;
    for (int i = 0; i < count; ++i) {
        all_scalar &= inputs[i].scalar;
        const uint64_t bits = inputs[i].dtype | (inputs[i].weak ? kWeakBit : 0) |
                              (inputs[i].scalar ? kScalarBit : 0);
        made |= bits << (kKeyBits * i);
    }
    return all_scalar ? made & ~kScalarBit : made;
}

// --- the table of kernels ---

inline size_t slot_of(uint64_t key, size_t size) {
    return (key * 0x9e3779b97f4a7c15ULL >> 32) & (size - 1);
}

const KernelSlot* find_kernel(Ufunc* self, uint64_t key) {
    if (CV_LIKELY(self->last.key == key)) return &self->last;
    std::vector<KernelSlot>& table = *self->table;
    for (size_t at = slot_of(key, table.size()); table[at].key != 0;
         at = (at + 1) & (table.size() - 1)) {
        if (table[at].key != key) continue;
        self->last = table[at];
        return &self->last;
    }
    return nullptr;
}

void put(std::vector<KernelSlot>& table, const KernelSlot& slot) {
    size_t at = slot_of(slot.key, table.size());
    while (table[at].key != 0) at = (at + 1) & (table.size() - 1);
    table[at] = slot;
}

// Another thread may have compiled the same kernel meanwhile: the first one stays, as calls in
// progress use it without holding it.
const KernelSlot* add_kernel(Ufunc* self, uint64_t key, EagerKernel* kernel) {
    if (const KernelSlot* known = find_kernel(self, key)) {
        if (kernel != nullptr) kernel->unref();
        return known;
    }
    if ((self->count + 1) * 2 > self->table->size()) {
        std::vector<KernelSlot> bigger(self->table->size() * 2);
        for (const KernelSlot& slot : *self->table) {
            if (slot.key != 0) put(bigger, slot);
        }
        self->table->swap(bigger);
    }
    self->last = {key, kernel};
    put(*self->table, self->last);
    ++self->count;
    return &self->last;
}

PyObject* signature_tuple(uint64_t key, int count) {
    PyObject* made = PyTuple_New(count);
    for (int i = 0; made != nullptr && i < count; ++i) {
        const uint64_t bits = key >> (kKeyBits * i);
        PyObject* item = Py_BuildValue("(iOO)", static_cast<int>(bits & (kWeakBit - 1)),
                                       bits & kWeakBit ? Py_True : Py_False,
                                       bits & kScalarBit ? Py_True : Py_False);
        if (item == nullptr) {
            Py_CLEAR(made);
            break;
        }
        PyTuple_SET_ITEM(made, i, item);
    }
    return made;
}

// Asks Python for a kernel; null with an exception.
CV_NOINLINE const KernelSlot* compile_kernel(Ufunc* self, uint64_t key, int count) {
    Ref signature(signature_tuple(key, count));
    if (!signature) return nullptr;
    Ref made(or_trimmed(PyObject_CallOneArg(self->compile, signature.get())));
    if (!made) return nullptr;
    if (made.get() == Py_None) return add_kernel(self, key, nullptr);
    unsigned long long address = 0;
    int dtype = 0, weak = 0;
    double cost = 0;
    PyObject* keepalive = nullptr;
    if (!PyTuple_Check(made.get())) {
        PyErr_Format(PyExc_TypeError, "compile must return None or a tuple, not %.200s",
                     Py_TYPE(made.get())->tp_name);
        return nullptr;
    }
    if (!PyArg_ParseTuple(made.get(), "KipdO;compile must return (address, out_dtype_code, "
                          "out_weak, cost_ns_per_element, keepalive)", &address, &dtype, &weak,
                          &cost, &keepalive)) {
        return nullptr;
    }
    if (address == 0 || dtype < 0 || dtype >= kDtypeCount) {
        PyErr_SetString(PyExc_ValueError, "compile returned a null address or a bad dtype code");
        return nullptr;
    }
    auto* kernel = new EagerKernel;
    kernel->entry = reinterpret_cast<EntryFunction>(static_cast<uintptr_t>(address));
    kernel->dtype = dtype;
    kernel->weak = weak != 0;
    kernel->cost_per_element = cost;
    kernel->keepalive = Py_NewRef(keepalive);
    return add_kernel(self, key, kernel);
}

// --- the call ---

PyObject* call_fallback(Ufunc* self, PyObject* const* args, size_t flags, PyObject* names) {
    if (CV_LIKELY(self->fallback != nullptr)) {
        PyObject* result = PyObject_Vectorcall(self->fallback, args, flags, names);
        return or_explained(result, self->fallback, args, flags, names);
    }
    PyErr_SetString(PyExc_RuntimeError, "this function is being destroyed");  // by the collector
    return nullptr;
}

bool any_traced(PyObject* const* args, Py_ssize_t count) {
    if (CV_LIKELY(tls_level == nullptr)) return false;
    for (Py_ssize_t i = 0; i < count; ++i) {
        if (is_level_tracer(args[i])) return true;
    }
    return false;
}

PyObject* scalar_array(const Input& input, const Element& element) {
    Array* made = array_empty(input.dtype, input.weak, 0, nullptr);
    if (made != nullptr) {
        std::memcpy(made->buffer->data, element.bytes, kItemsize[input.dtype]);
    }
    return as_object(made);
}

// Runs the kernel on operands that are read again: compiling may have run any Python code.
PyObject* run(EagerInputs& inputs, EagerKernel* kernel, const RowLoop* loop) {
    Operand operands[kMaxOperands];
    int itemsizes[kMaxOperands];
    bool committed = false;
    for (int i = 0; i < inputs.count; ++i) {
        const Input& input = inputs.inputs[i];
        itemsizes[i] = kItemsize[input.dtype];
        if (input.array == nullptr) {
            operands[i] = {nullptr, inputs.elements[i].bytes};
            continue;
        }
        if (!array_check(input.array)) return nullptr;
        committed |= input.array->committed;
        operands[i] = {input.array->buffer, nullptr};
    }
    Buffer* result =
        run_eager({kernel, operands, itemsizes, inputs.count, inputs.size, loop});
    if (CV_UNLIKELY(result == nullptr)) return nullptr;
    return as_object(array_new(result, kernel->dtype, kernel->weak, inputs.ndim, inputs.dims,
                               inputs.size, committed));
}

CV_NOINLINE PyObject* call_rows(Ufunc* self, EagerInputs& inputs, bool* fall_back) {
    RowLoop loop;
    *fall_back = !inputs.find_general_shape(&loop);
    if (*fall_back) return nullptr;
    const uint64_t key = inputs.key();
    const KernelSlot* slot = find_kernel(self, key);
    if (slot == nullptr) slot = compile_kernel(self, key, inputs.count);
    if (slot == nullptr) return nullptr;
    EagerKernel* kernel = slot->kernel;
    *fall_back = kernel == nullptr;
    return kernel == nullptr ? nullptr : run(inputs, kernel, inputs.rows ? &loop : nullptr);
}

// By a kernel; with `fall_back` set there is none.
PyObject* call_arrays(Ufunc* self, EagerInputs& inputs, bool* fall_back) {
    *fall_back = false;
    if (CV_UNLIKELY(!inputs.find_shape())) return call_rows(self, inputs, fall_back);
    const uint64_t key = inputs.key();
    const KernelSlot* slot = find_kernel(self, key);
    if (CV_UNLIKELY(slot == nullptr)) slot = compile_kernel(self, key, inputs.count);
    if (CV_UNLIKELY(slot == nullptr)) return nullptr;
    if (CV_LIKELY(slot->kernel != nullptr)) return run(inputs, slot->kernel, nullptr);
    *fall_back = true;
    return nullptr;
}

// --- operands of a level ---

// What an operand is beneath the levels.
PyObject* array_beneath(PyObject* value) {
    while (is_level_tracer(value)) value = as_level_tracer(value)->value;
    return value;
}

// What serves in all cases: a jitted function of the ufunc's Python form. Numbers become arrays as wide as
// beside arrays.
CV_NOINLINE PyObject* call_traced_function(Ufunc* self, PyObject* const* args, bool* fall_back) {
    if (self->traced == nullptr) {
        if (g_hooks.traced == nullptr) {
            hook_missing("traced");
            return nullptr;
        }
        const Ref hook = Ref::borrow(g_hooks.traced);
        Ref made(or_trimmed(PyObject_CallOneArg(hook.get(), self->fallback)));
        if (!made) return nullptr;
        if (self->traced == nullptr) self->traced = made.release();
    }
    PyObject* plain[kMaxOperands];
    for (int i = 0; i < self->nin; ++i) plain[i] = array_beneath(args[i]);
    EagerInputs inputs;
    *fall_back = !inputs.read(plain, self->nin);
    if (*fall_back) return nullptr;
    PyObject* operands[kMaxOperands + 1];
    Ref numbers[kMaxOperands];
    for (int i = 0; i < self->nin; ++i) {
        operands[i + 1] = args[i];
        if (inputs.inputs[i].array != nullptr) continue;
        numbers[i] = Ref(scalar_array(inputs.inputs[i], inputs.elements[i]));
        if (!numbers[i]) return nullptr;
        operands[i + 1] = numbers[i].get();
    }
    const Ref function = Ref::borrow(self->traced);
    return PyObject_Vectorcall(function.get(), operands + 1,
                               static_cast<size_t>(self->nin) | PY_VECTORCALL_ARGUMENTS_OFFSET,
                               nullptr);
}

PyObject* call_traced(Ufunc* self, PyObject* const* args, bool* fall_back);

// The operands of a call in the innermost batch.
struct Lanes {
    PyObject* values[kMaxOperands];  // with the batch axis, of those that have one; borrowed
    bool mapped[kMaxOperands];
    int64_t axis = -1;               // the batch axis of all of them; -1: they differ
    int rank = 0;                    // of an element of the result
    bool one_rank = true;            // whether all elements that are mapped have it
    bool others_single = true;       // whether what is not mapped has no axes

    void read(PyObject* const* args, int count);
};

void Lanes::read(PyObject* const* args, int count) {
    bool first = true;
    int ranks[kMaxOperands];
    for (int i = 0; i < count; ++i) {
        mapped[i] = is_level_tracer(args[i]) && is_innermost(as_level_tracer(args[i]));
        values[i] = mapped[i] ? as_level_tracer(args[i])->value : args[i];
        const bool has_axes = is_array(values[i]) || is_level_tracer(values[i]);
        ranks[i] = has_axes ? value_ndim(values[i]) - mapped[i] : 0;
        rank = std::max(rank, ranks[i]);
        if (!mapped[i]) {
            others_single &= ranks[i] == 0;
            continue;
        }
        const int64_t mine = as_level_tracer(args[i])->axis;
        axis = first || axis == mine ? mine : -1;
        first = false;
    }
    for (int i = 0; i < count; ++i) one_rank &= !mapped[i] || ranks[i] == rank;
}

// A call in a batch: where batch axes are in front, or the operands are alike, it is the same call on all elements,
// by broadcasting. Else `fall_back` is set.
CV_NOINLINE PyObject* call_lanes(Ufunc* self, PyObject* const* args, bool* fall_back) {
    Lanes lanes;
    lanes.read(args, self->nin);
    Level* batch = tls_level;
    *fall_back = lanes.axis != 0 && !(lanes.axis > 0 && lanes.one_rank && lanes.others_single);
    if (*fall_back) return nullptr;
    EagerInputs inputs;
    Ref result;
    if (any_traced(lanes.values, self->nin)) {
        *fall_back = !lanes.one_rank;
        if (*fall_back) return nullptr;
        const AtLevel outside(batch->outer);
        result = Ref(call_traced(self, lanes.values, fall_back));
    } else {
        *fall_back = !inputs.read(lanes.values, self->nin);
        if (*fall_back) return nullptr;
        int64_t dims[kMaxOperands][kMaxDims];
        for (int i = 0; i < self->nin && !lanes.one_rank; ++i) {
            Shape& shape = inputs.shapes[i];
            if (!lanes.mapped[i] || shape.ndim == lanes.rank + 1) continue;
            const int missing = lanes.rank + 1 - shape.ndim;
            *fall_back = lanes.rank + 1 > kMaxDims;
            if (*fall_back) return nullptr;
            dims[i][0] = shape.dims[0];
            std::fill(dims[i] + 1, dims[i] + 1 + missing, int64_t{1});
            std::copy(shape.dims + 1, shape.dims + shape.ndim, dims[i] + 1 + missing);
            shape = {lanes.rank + 1, dims[i]};
        }
        result = Ref(call_arrays(self, inputs, fall_back));
    }
    return result ? level_tracer_new(batch, result.get(), lanes.axis) : nullptr;
}

// A call with operands of some level. With `fall_back` set nothing was done: it is the twin's business.
CV_NOINLINE PyObject* call_traced(Ufunc* self, PyObject* const* args, bool* fall_back) {
    bool innermost = false;
    for (int i = 0; i < self->nin; ++i) {
        if (!is_level_tracer(args[i])) continue;
        const bool mine = is_innermost(as_level_tracer(args[i]));
        innermost |= mine;
        *fall_back = !mine && !is_further_out(as_level_tracer(args[i]));
        if (*fall_back) return nullptr;
    }
    if (!innermost) {
        const AtLevel outside(tls_level->outer);
        return call_traced(self, args, fall_back);
    }
    if (tls_level->kind == LevelKind::kBatch) {
        PyObject* result = call_lanes(self, args, fall_back);
        if (!*fall_back) return result;
    }
    return call_traced_function(self, args, fall_back);
}

PyObject* ufunc_call(PyObject* object, PyObject* const* args, size_t flags, PyObject* names) {
    Ufunc* self = as_ufunc(object);
    const Py_ssize_t nargs = PyVectorcall_NARGS(flags);
    const bool named = names != nullptr && PyTuple_GET_SIZE(names) > 0;
    EagerInputs inputs;
    bool fall_back = false;
    try {
        if (CV_UNLIKELY(use_slow_path() || config_epoch() > kMostEpochs || named ||
                        nargs != self->nin || self->compile == nullptr ||
                        !inputs.read(args, static_cast<int>(nargs)))) {
            if (!use_slow_path() && config_epoch() <= kMostEpochs && !named &&
                nargs == self->nin && self->compile != nullptr && any_traced(args, nargs)) {
                PyObject* result = call_traced(self, args, &fall_back);
                if (!fall_back) return result;
            }
        } else {
            PyObject* result = call_arrays(self, inputs, &fall_back);
            if (CV_LIKELY(!fall_back)) return result;
        }
    } catch (const std::bad_alloc&) {
        return PyErr_NoMemory();
    }
    return call_fallback(self, args, flags, names);
}

// --- construction and life cycle ---

bool fill_dict(Ufunc* self) {
    self->dict = PyDict_New();
    if (self->dict == nullptr ||
        PyDict_SetItemString(self->dict, "__name__", self->name) < 0 ||
        PyDict_SetItemString(self->dict, "__qualname__", self->name) < 0 ||
        PyDict_SetItemString(self->dict, "__wrapped__", self->fallback) < 0) {
        return false;
    }
    for (const char* attribute : {"__doc__", "__module__"}) {
        Ref value(PyObject_GetAttrString(self->fallback, attribute));
        if (!value) PyErr_Clear();
        else if (PyDict_SetItemString(self->dict, attribute, value.get()) < 0) return false;
    }
    return true;
}

PyObject* ufunc_new(PyTypeObject* type, PyObject* args, PyObject* keywords) {
    static const char* names[] = {"name", "fallback", "compile", "nin", nullptr};
    PyObject *name, *fallback, *compile;
    int nin;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "UOOi:Ufunc", const_cast<char**>(names), &name,
                                     &fallback, &compile, &nin)) {
        return nullptr;
    }
    if (!PyCallable_Check(fallback) || !PyCallable_Check(compile)) {
        PyErr_SetString(PyExc_TypeError, "Ufunc: fallback and compile must be callable");
        return nullptr;
    }
    if (nin < 1 || nin > kMaxOperands) {
        PyErr_Format(PyExc_ValueError, "Ufunc: nin must be 1 to %d, not %d", kMaxOperands, nin);
        return nullptr;
    }
    Ref object(type->tp_alloc(type, 0));
    if (!object) return nullptr;
    Ufunc* self = as_ufunc(object.get());
    self->vectorcall = ufunc_call;
    self->nin = nin;
    self->name = Py_NewRef(name);
    self->fallback = Py_NewRef(fallback);
    self->compile = Py_NewRef(compile);
    self->table = new std::vector<KernelSlot>(8);
    return fill_dict(self) ? object.release() : nullptr;
}

int ufunc_traverse(PyObject* object, visitproc visit, void* arg) {
    Ufunc* self = as_ufunc(object);
    Py_VISIT(Py_TYPE(object));
    Py_VISIT(self->dict);
    Py_VISIT(self->fallback);
    Py_VISIT(self->compile);
    Py_VISIT(self->traced);
    return 0;
}

int ufunc_clear(PyObject* object) {
    Ufunc* self = as_ufunc(object);
    Py_CLEAR(self->dict);
    Py_CLEAR(self->fallback);
    Py_CLEAR(self->compile);
    Py_CLEAR(self->traced);
    return 0;
}

void ufunc_dealloc(PyObject* object) {
    Ufunc* self = as_ufunc(object);
    PyTypeObject* type = Py_TYPE(object);
    PyObject_GC_UnTrack(object);
    if (self->weakrefs != nullptr) PyObject_ClearWeakRefs(object);
    ufunc_clear(object);
    Py_CLEAR(self->name);
    if (self->table != nullptr) {
        for (const KernelSlot& slot : *self->table) {
            if (slot.kernel != nullptr) slot.kernel->unref();
        }
        delete self->table;
    }
    type->tp_free(object);
    Py_DECREF(type);
}

PyObject* ufunc_repr(PyObject* object) {
    return PyUnicode_FromFormat("<function %U of covector>", as_ufunc(object)->name);
}

PyMemberDef kMembers[] = {
    {"__vectorcalloffset__", T_PYSSIZET, offsetof(Ufunc, vectorcall), READONLY, nullptr},
    {"__dictoffset__", T_PYSSIZET, offsetof(Ufunc, dict), READONLY, nullptr},
    {"__weaklistoffset__", T_PYSSIZET, offsetof(Ufunc, weakrefs), READONLY, nullptr},
    {"nin", T_INT, offsetof(Ufunc, nin), READONLY, nullptr},
    {nullptr, 0, 0, 0, nullptr},
};

PyGetSetDef kAttributes[] = {
    {"__dict__", PyObject_GenericGetDict, PyObject_GenericSetDict, nullptr, nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr},
};

PyType_Slot kSlots[] = {
    {Py_tp_new, reinterpret_cast<void*>(ufunc_new)},
    {Py_tp_dealloc, reinterpret_cast<void*>(ufunc_dealloc)},
    {Py_tp_traverse, reinterpret_cast<void*>(ufunc_traverse)},
    {Py_tp_clear, reinterpret_cast<void*>(ufunc_clear)},
    {Py_tp_call, reinterpret_cast<void*>(PyVectorcall_Call)},
    {Py_tp_repr, reinterpret_cast<void*>(ufunc_repr)},
    {Py_tp_members, kMembers},
    {Py_tp_getset, kAttributes},
    {Py_tp_doc, const_cast<char*>(
         "Ufunc(name, fallback, compile, nin): an elementwise function with compiled kernels.")},
    {0, nullptr},
};

}  // namespace

bool ufunc_type_init(PyObject* module) {
    PyType_Spec spec = {"covector._engine._native.Ufunc", sizeof(Ufunc), 0,
                        Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HAVE_VECTORCALL,
                        kSlots};
    Ref type(PyType_FromSpec(&spec));
    return type && PyModule_AddObjectRef(module, "Ufunc", type.get()) == 0;
}

}  // namespace covector
