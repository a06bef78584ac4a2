// The classes that are containers beside tuples, lists and dicts: what flattens them natively.
#pragma once

#include <vector>

#include "python/objects.h"

namespace covector {

// A container class. Named tuples hold children as tuples do; others have them in attributes, or
// a Python function takes them out.
struct NodeClass {
    enum Kind : uint8_t { kNamedTuple, kAttributes, kFunction };
    Kind kind;
    std::vector<PyObject*> children;  // owned: names of attributes
    std::vector<PyObject*> statics;   // owned: names of attributes that are static data
    PyObject* flatten = nullptr;      // owned: x to (children, static data)
};

// The class of a value; null without an exception if it is not known to be a container. What is
// registered lives as long as the process, as on the Python side.
const NodeClass* find_node_class(PyObject* value);

// Adds the function register_node to the module.
bool nodes_init(PyObject* module);

}  // namespace covector
