// Broadcasting.
#include "dispatch/broadcast.h"

#include <algorithm>

namespace covector {

int broadcast_dims(const Shape* shapes, int count, int64_t* dims) {
    int ndim = 0;
    for (int i = 0; i < count; ++i) ndim = std::max(ndim, shapes[i].ndim);
    for (int axis = 0; axis < ndim; ++axis) dims[axis] = 1;
    for (int i = 0; i < count; ++i) {
        const int shift = ndim - shapes[i].ndim;
        for (int axis = 0; axis < shapes[i].ndim; ++axis) {
            const int64_t length = shapes[i].dims[axis];
            int64_t& out = dims[axis + shift];
            if (length == out || length == 1) continue;
            if (out != 1) return -1;
            out = length;
        }
    }
    return ndim;
}

void RowLoop::build(const Shape* shapes, int count, int ndim, const int64_t* out_dims) {
    operands = count;
    outer = 0;
    // Outermost first: axes of length 1 vanish, and an axis joins the one before it where a step
    // of that one is a whole length of this one, or neither moves.
    int64_t element_stride[kMaxOperands][kMaxDims];
    for (int i = 0; i < count; ++i) {
        const int shift = ndim - shapes[i].ndim;
        int64_t step = 1;
        for (int axis = ndim - 1; axis >= 0; --axis) {
            const int64_t length = axis < shift ? 1 : shapes[i].dims[axis - shift];
            element_stride[i][axis] = length == 1 ? 0 : step;
            step *= length;
        }
    }
    for (int axis = 0; axis < ndim; ++axis) {
        const int64_t length = out_dims[axis];
        if (length == 1) continue;
        bool joins = outer > 0;
        for (int i = 0; i < count && joins; ++i) {
            joins = strides[i][outer - 1] == element_stride[i][axis] * length;
        }
        if (joins) {
            dims[outer - 1] *= length;
        } else {
            dims[outer++] = length;
        }
        for (int i = 0; i < count; ++i) strides[i][outer - 1] = element_stride[i][axis];
    }
    n = 1;
    for (int i = 0; i < count; ++i) run_scalar[i] = true;
    if (outer > 0) {  // the last axis is the run
        --outer;
        n = dims[outer];
        for (int i = 0; i < count; ++i) run_scalar[i] = strides[i][outer] == 0;
    }
    rows = 1;
    for (int axis = 0; axis < outer; ++axis) rows *= dims[axis];
}

}  // namespace covector
