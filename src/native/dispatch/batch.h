// The batch of an eager `vmap`: values with one more axis than the function sees.
//
// Its specification is the trace of transforms/batch.py.
#pragma once

#include <vector>

#include "dispatch/levels.h"

namespace covector {

struct Batch {
    Level level;
    int64_t size;

    // For LevelType.
    static constexpr LevelKind kKind = LevelKind::kBatch;
    static constexpr const char* kName = "Batch";
    static constexpr const char* kDoc = "Batch(size): the batch of an eager vmap.";
    static const std::vector<PyMethodDef> kMethods;
    static const std::vector<PyGetSetDef> kAttributes;
    bool begin(PyObject* args, PyObject* keywords);
    int traverse(visitproc, void*) const { return 0; }
    void drop() {}
    void end() {}
};

bool batch_type_init(PyObject* module);

}  // namespace covector
