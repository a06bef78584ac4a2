// Broadcasting: result shapes, and loops over operands by contiguous runs.
#pragma once

#include "python/array.h"
#include "python/objects.h"

namespace covector {

constexpr int kMaxOperands = 8;

struct Shape {
    int ndim;
    const int64_t* dims;
};

// The result's dims (dims[kMaxDims]); its ndim, or -1 without an exception if they do not fit.
int broadcast_dims(const Shape* shapes, int count, int64_t* dims);

// The elementwise loop over a dense result, its adjacent axes joined where every operand allows:
// `rows` runs of `n` elements; in a run each operand is either contiguous or one element.
struct RowLoop {
    int operands = 0;
    int64_t n = 1;
    int64_t rows = 1;
    bool run_scalar[kMaxOperands];        // one element in each run
    int outer = 0;                        // axes that are looped over, outermost first
    int64_t dims[kMaxDims];
    int64_t strides[kMaxOperands][kMaxDims];  // in elements

    void build(const Shape* shapes, int count, int ndim, const int64_t* out_dims);

    // Calls run(offsets, row) for rows [begin, end); offsets are in elements.
    template <typename Run>
    int32_t each_row(int64_t begin, int64_t end, Run run) const {
        int64_t index[kMaxDims];
        int64_t offsets[kMaxOperands] = {};
        int64_t rest = begin;
        for (int axis = outer - 1; axis >= 0; --axis) {
            index[axis] = rest % dims[axis];
            rest /= dims[axis];
            for (int i = 0; i < operands; ++i) offsets[i] += index[axis] * strides[i][axis];
        }
        for (int64_t row = begin; row < end; ++row) {
            const int32_t error = run(offsets, row);
            if (error != 0) return error;
            for (int axis = outer - 1; axis >= 0; --axis) {
                for (int i = 0; i < operands; ++i) offsets[i] += strides[i][axis];
                if (++index[axis] < dims[axis]) break;
                for (int i = 0; i < operands; ++i) offsets[i] -= strides[i][axis] * dims[axis];
                index[axis] = 0;
            }
        }
        return 0;
    }
};

}  // namespace covector
