// References: cells of Python that hold an Array, which compiled calls read and write.
//
// Their specification are core/refs.py and api/references.py. A cell is used here where it holds an
// Array outside of any trace; everything else goes to the Python twin.
#pragma once

#include <memory>
#include <vector>

#include "dispatch/signature.h"

namespace covector {

// The references that a compiled Program touches beside those that it only reads among its arguments.
struct Touched {
    std::vector<PyObject*> captured;  // owned: closed over; their values follow the leaves
    std::vector<int> written;         // among the arguments' references, then the captured ones

    Touched() = default;
    Touched(const Touched&) = delete;
    Touched& operator=(const Touched&) = delete;
    ~Touched();

    // Adds the values of the captured ones; false where a call must go to the Python twin.
    bool add_captured(Signature* signature) const;
    // Says that those that are written are being changed: others must not use them meanwhile.
    void begin(const Signature& signature) const;
    // Takes a tuple (result, the values written): what is written is written. The result, or null
    // with the exception that the call raised.
    PyObject* settle(const Signature& signature, PyObject* made) const;
};

// From a tuple of cells and positions; null with an exception.
std::unique_ptr<Touched> make_touched(PyObject* captured, PyObject* written);

// Whether a transformation of this thread is in progress: what is written may be of its values.
extern constinit thread_local bool tls_transforming;

// Whether it is a cell.
bool is_cell(PyObject* object);
// Its Array, borrowed, if calls may use it now; null without an exception.
Array* cell_array(PyObject* cell);

// set_cells(cell, held, bottom): the class of references, that of what they hold, the lowest trace.
bool cells_init(PyObject* module);

}  // namespace covector
