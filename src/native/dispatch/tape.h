// The tape of eager derivatives: values that are being differentiated, and the calls that made them.
//
// A tape numbers its values: its inputs first, then the results of each node. A node is a call: the
// compiled pair of its linearization says how to pull cotangents of its results back to those of its
// operands, from residuals that the tape holds. Its specification are the traces of
// transforms/forward.py and transforms/transpose.py.
#pragma once

#include <vector>

#include "dispatch/levels.h"

namespace covector {

struct Plan;

struct TapeNode {
    PyObject* pullback;  // owned: an Entry, or a Python function from cotangents to cotangents
    const Plan* plan;    // inside an Entry; null: a Python function
    size_t residuals;    // where its residuals begin
    size_t operands;     // where the numbers of its operands begin
    int64_t first;       // the number of its first result
    int64_t results;
};

struct Tape {
    Level level;
    std::vector<TapeNode> nodes;
    std::vector<PyObject*> residuals;  // owned Arrays, or tracers of levels further out, of all nodes
    std::vector<int64_t> operands;     // of all nodes
    int64_t count;                     // of values

    // For LevelType.
    static constexpr LevelKind kKind = LevelKind::kTape;
    static constexpr const char* kName = "Tape";
    static constexpr const char* kDoc = "The tape of an eager derivative.";
    static const std::vector<PyMethodDef> kMethods;
    static const std::vector<PyGetSetDef> kAttributes;
    bool begin(PyObject* args, PyObject* keywords);
    int traverse(visitproc visit, void* arg) const;
    void drop();
    void end();

    // Takes the last residuals, and numbers of operands, away again: down to so many.
    void shrink(size_t residual_count, size_t operand_count);
};

// Room for some more, twice as much as there is when it has to grow: a vector's reserve makes it fit.
template <typename T>
void make_room(std::vector<T>& values, size_t more) {
    if (values.size() + more > values.capacity()) values.reserve(2 * (values.size() + more));
}

bool tape_type_init(PyObject* module);

}  // namespace covector
