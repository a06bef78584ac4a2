// Plan: how a signature's call is run: which leaves the executable takes, and what it returns.
#pragma once

#include <vector>

#include "dispatch/signature.h"
#include "python/operands.h"
#include "runtime/executable.h"

namespace covector {

enum class OutKind : uint8_t {
    kLeaf,
    kInput,
    kConstant,
    kNone,
    kTuple,
    kList,
    kDict,
    kNamedTuple,  // a class made by namedtuple: filled without a call
    kObject,      // a class called with the children and static data by name
    kFields,      // a class whose instances are made of attributes: nothing is called
    kCustom,      // a function called with a tuple of the children
    kRegistered,  // a function called with static data and that tuple
};

// One node of the result's tree, which is stored in preorder.
struct OutNode {
    OutKind kind = OutKind::kNone;
    bool last_use = false;       // of a leaf: takes over the output's buffer
    int index = 0;               // of an output, or of a leaf of the arguments
    int count = 0;               // children
    PyObject* object = nullptr;  // owned: a constant, a tuple of keys, a class, a function
    PyObject* names = nullptr;    // owned, of kObject and kFields: of the children, then of statics
    PyObject* statics = nullptr;  // owned: the values of the last ones; of kRegistered: its data
};

struct Plan {
    Executable* executable = nullptr;     // of the object below
    PyObject* executable_object = nullptr;  // owned
    std::vector<int> kept;                // leaf positions, in the order of the inputs
    std::vector<Array*> constants;        // owned; the inputs after those
    std::vector<char> donated;            // for each kept leaf; empty if none is
    std::vector<int> forwarded;           // leaves that are results
    std::vector<OutNode> nodes;
    std::vector<int> unused;              // outputs that no node takes
    int most_leaf = -1;                   // the largest leaf position named

    Plan() = default;
    Plan(const Plan&) = delete;
    Plan& operator=(const Plan&) = delete;
    ~Plan() { release(); }
    void release();
    int traverse(visitproc visit, void* arg) const;

    // Whether the leaves fit the executable; false with an exception. Once for each signature.
    bool check(const Signature& signature) const;
    // Runs it; a new reference to the result, or null with an exception.
    PyObject* run(const Signature& signature) const;
};

// Fills in a plan from the arguments of the Python class Entry; false with an exception.
bool make_plan(Plan* plan, PyObject* executable, PyObject* kept, PyObject* constants,
               PyObject* out_spec, PyObject* donate);

}  // namespace covector
