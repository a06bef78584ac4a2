// The batch of an eager `vmap`: values with one more axis than the function sees.
//
// Its specification is the trace of transforms/batch.py.
#pragma once

#include "dispatch/levels.h"

namespace covector {

struct Batch {
    Level level;
    int64_t size;
};

bool batch_type_init(PyObject* module);

}  // namespace covector
