// Plan: how a signature's call is run: which leaves the executable takes, and what it returns.
#pragma once

#include <memory>
#include <vector>

#include "dispatch/cells.h"
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

// The compiled transpose of a call, for those of its results that have cotangents: from residuals and
// these to cotangents of operands.
struct Pullback {
    uint64_t given = 0;                     // bit i: the i-th result on the tape has one
    Executable* executable = nullptr;       // of the object below; null: nothing is computed
    PyObject* executable_object = nullptr;  // owned
    std::vector<Array*> constants;          // owned; its last inputs
    std::vector<int> operands;  // those on the tape that get a cotangent
    std::vector<int> sources;   // for each of them: an output, or from the number of outputs on, an input

    Pullback() = default;
    Pullback(const Pullback&) = delete;
    Pullback& operator=(const Pullback&) = delete;
    ~Pullback();
};

// What a call with operands on the tape has beside its plan: the rest of a compiled linearization.
struct Linear {
    std::vector<int> number;     // for each output: which of the results on the tape it is, or -1
    int results = 0;             // on the tape
    std::vector<int> residuals;  // positions among the inputs, then the outputs
    PyObject* make = nullptr;    // owned: from a mask to a pullback
    std::vector<std::unique_ptr<Pullback>> made;

    Linear() = default;
    Linear(const Linear&) = delete;
    Linear& operator=(const Linear&) = delete;
    ~Linear() { Py_XDECREF(make); }

    // The transpose for these results, made when it is first asked for; null with an exception.
    const Pullback* pullback(uint64_t given);
};

constexpr int kMostTaped = 64;  // results of one call on a tape

struct Plan {
    Executable* executable = nullptr;     // of the object below
    PyObject* executable_object = nullptr;  // owned
    std::vector<int> kept;                // leaf positions, in the order of the inputs
    std::vector<Array*> constants;        // owned; the inputs after those
    std::vector<char> donated;            // for each kept leaf; empty if none is
    std::vector<int> forwarded;           // leaves that are results
    std::vector<OutNode> nodes;
    std::vector<int> unused;              // outputs that no node takes
    bool committed = false;               // results are, whatever the arguments are
    int most_leaf = -1;                   // the largest leaf position named
    std::unique_ptr<Linear> linear;       // of calls with operands on a tape
    std::unique_ptr<Touched> touched;     // of calls that write references, or close over some

    Plan() = default;
    Plan(const Plan&) = delete;
    Plan& operator=(const Plan&) = delete;
    ~Plan() { release(); }
    void release();
    int traverse(visitproc visit, void* arg) const;

    // Whether the leaves fit the executable; false with an exception. Once for each signature.
    bool check(const Signature& signature) const;
    // Whether it can run natively, with what it closes over added to the leaves; else in the twin.
    bool prepare(Signature* signature) const {
        return CV_LIKELY(touched == nullptr) || touched->add_captured(signature);
    }
    // Runs it; a new reference to the result, or null with an exception. `entry` holds the plan.
    PyObject* run(const Signature& signature, PyObject* entry) const;
};

// Fills in a plan from the arguments of the Python class Entry; false with an exception.
bool make_plan(Plan* plan, PyObject* executable, PyObject* kept, PyObject* constants,
               PyObject* out_spec, PyObject* donate);

// Adds what a call on the tape needs; false with an exception. `live`: which outputs, of the first
// ones, are on the tape.
bool make_linear(Plan* plan, PyObject* live, PyObject* residuals, PyObject* make);

}  // namespace covector
