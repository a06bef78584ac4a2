// Ufunc: calls with operands of levels.
#include <algorithm>

#include "dispatch/levels.h"
#include "dispatch/ufunc_object.h"
#include "python/boundary.h"
#include "python/state.h"

namespace covector {
namespace {

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

// Whether the elements that a call is of fit together: if not, the twin says so of them.
bool elements_fit(PyObject* const* args, int count) {
    ElementType types[kMaxOperands];
    Shape shapes[kMaxOperands];
    for (int i = 0; i < count; ++i) {
        types[i].ndim = 0;
        if (is_array(args[i]) || is_level_tracer(args[i])) read_type(args[i], &types[i]);
        shapes[i] = {types[i].ndim, types[i].dims};
    }
    int64_t dims[kMaxDims];
    return broadcast_dims(shapes, count, dims) >= 0;
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
        *fall_back = !lanes.one_rank || !elements_fit(args, self->nin);
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

}  // namespace

bool any_traced(PyObject* const* args, Py_ssize_t count) {
    if (CV_LIKELY(tls_level == nullptr)) return false;
    for (Py_ssize_t i = 0; i < count; ++i) {
        if (is_level_tracer(args[i])) return true;
    }
    return false;
}

PyObject* call_traced(Ufunc* self, PyObject* const* args, bool* fall_back) {
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

}  // namespace covector
