// Flattening arguments into a signature.
#include "dispatch/signature.h"

#include <algorithm>
#include <cstring>

#include "dispatch/call_cache.h"
#include "dispatch/cells.h"
#include "dispatch/nodes.h"
#include "dispatch/levels.h"
#include "python/numpy_bridge.h"
#include "python/state.h"

namespace covector {
namespace {

inline uint64_t container_word(Tag tag, Py_ssize_t count) {
    return tag | static_cast<uint64_t>(count) << 8;
}

// Equal words stand for equally many objects: positions of dict keys are found again by them.
inline uint64_t node_word(Py_ssize_t count, size_t object_count) {
    return container_word(kCustomTag, count) | static_cast<uint64_t>(object_count) << 48;
}

inline uint64_t mix(uint64_t hash, uint64_t word) {
    hash = (hash ^ word) * 0x9e3779b97f4a7c15ULL;
    return hash ^ (hash >> 32);
}

uint64_t float_bits(PyObject* object) {  // 0.0 and -0.0 differ, NaN is itself
    const double value = PyFloat_AS_DOUBLE(object);
    uint64_t bits;
    std::memcpy(&bits, &value, sizeof bits);
    return bits;
}

// Whether Python's == of two of this class is what compiling asks: most static values are such.
bool is_plain(PyObject* object) {
    return object == Py_None || PyUnicode_CheckExact(object) || PyLong_CheckExact(object) ||
           PyBool_Check(object) || PyBytes_CheckExact(object) || PyType_Check(object) ||
           PyFunction_Check(object);
}

// The key by which Python's caches go, for what is not looked at here; a new reference.
PyObject* exact_key(PyObject* object) {
    if (g_hooks.exact == nullptr) return Py_NewRef(object);
    const Ref hook = Ref::borrow(g_hooks.exact);
    return PyObject_CallOneArg(hook.get(), object);
}

// Equal for what `same_static` finds the same. False with an exception.
bool hash_static(PyObject* object, uint64_t* result) {
    if (PyFloat_CheckExact(object)) {
        *result = mix(float_bits(object), kFloatLeaf);
        return true;
    }
    if (PyTuple_CheckExact(object)) {
        if (Py_EnterRecursiveCall(" while hashing a static argument")) return false;
        uint64_t made = static_cast<uint64_t>(PyTuple_GET_SIZE(object));
        bool good = true;
        for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(object) && good; ++i) {
            uint64_t part = 0;
            good = hash_static(PyTuple_GET_ITEM(object, i), &part);
            made = mix(made, part);
        }
        Py_LeaveRecursiveCall();
        *result = made;
        return good;
    }
    const Ref key(is_plain(object) ? Py_NewRef(object) : exact_key(object));
    const Py_hash_t part = key ? PyObject_Hash(key.get()) : -1;
    *result = static_cast<uint64_t>(part);
    return part != -1;
}

bool all_text(PyObject* const* keys, size_t count) {
    return std::all_of(keys, keys + count, [](PyObject* key) { return PyUnicode_CheckExact(key); });
}

// Sorts keys in place by Python's <; false without an exception if they have no order.
bool sort_keys(PyObject** keys, size_t count) {
    if (CV_LIKELY(all_text(keys, count))) {
        std::sort(keys, keys + count,
                  [](PyObject* a, PyObject* b) { return PyUnicode_Compare(a, b) < 0; });
        return true;
    }
    Ref list(PyList_New(static_cast<Py_ssize_t>(count)));
    for (size_t i = 0; list && i < count; ++i) {
        PyList_SET_ITEM(list.get(), static_cast<Py_ssize_t>(i), Py_NewRef(keys[i]));
    }
    if (!list || PyList_Sort(list.get()) < 0) {
        PyErr_Clear();
        return false;
    }
    for (size_t i = 0; i < count; ++i) {
        keys[i] = PyList_GET_ITEM(list.get(), static_cast<Py_ssize_t>(i));
    }
    return true;
}

}  // namespace

void Signature::add_static(PyObject* value) {
    words.push_back(kStaticTag);
    objects.push_back(value);
}

void Signature::add_keyword(PyObject* name) {
    words.push_back(kKeywordTag);
    objects.push_back(name);
}

bool Signature::hash(uint64_t* result) const {
    uint64_t made = words.size();
    for (size_t i = 0; i < words.size(); ++i) made = mix(made, words[i]);
    for (size_t i = 0; i < objects.size(); ++i) {
        uint64_t part = 0;
        if (!hash_static(objects[i], &part)) {
            if (PyErr_ExceptionMatches(PyExc_TypeError)) PyErr_Clear();
            return false;
        }
        made = mix(made, part);
    }
    *result = made;
    return true;
}

Flat Signature::add_value(PyObject* value, int depth) {
    if (CV_LIKELY(is_array(value))) {
        add_array(as_array(value));
        if (depth > 0) keep(value);
        return Flat::kDone;
    }
    if (value == Py_None) {
        words.push_back(kNoneTag);
        return Flat::kDone;
    }
    if (is_level_tracer(value)) return add_traced(value, depth);
    if (PyTuple_CheckExact(value) || PyList_CheckExact(value)) return add_sequence(value, depth);
    if (PyDict_CheckExact(value)) return add_dict(value, depth);
    if (PyTuple_Check(value)) return add_custom(value, depth);
    return add_leaf(value, depth);
}

// A value of the innermost level counts as what it holds. One of a level that is none of this thread's
// now was leaked.
Flat Signature::add_traced(PyObject* value, int depth) {
    const LevelTracer* tracer = as_level_tracer(value);
    PyObject* inner = value;
    uint64_t bits = 0;
    if (is_innermost(tracer)) {
        level = tls_level;
        inner = tracer->value;
        if (level->kind == LevelKind::kTape) {
            bits = kTapedBit;
            taped.push_back(tracer->number);
        } else {
            bits = kMappedBit | static_cast<uint64_t>(tracer->axis) << kAxisShift;
        }
    } else if (!is_further_out(tracer)) {
        return Flat::kBypass;
    }
    const size_t at = words.size();
    if (CV_LIKELY(is_array(inner))) {
        add_array(as_array(inner));
    } else {
        add_lifted(inner);
        bits |= kLiftedBit;
    }
    words[at] |= bits;
    if (depth > 0) keep(value);
    return Flat::kDone;
}

void Signature::add_lifted(PyObject* value) {
    ElementType type;
    read_type(value, &type);
    words.push_back(leaf_word(type.dtype, type.weak, type.ndim));
    for (int i = 0; i < type.ndim; ++i) words.push_back(static_cast<uint64_t>(type.dims[i]));
    Leaf leaf;
    leaf.object = value;
    leaf.kind = kLiftedLeaf;
    leaf.dtype = static_cast<uint8_t>(type.dtype);
    leaves.push_back(leaf);
    lifted = true;
}

// A reference counts as the array that it holds, and by its class, which says what the array stands for. One that is
// there twice is an error.
Flat Signature::add_cell(PyObject* value) {
    if (!add_captured(value)) return Flat::kBypass;
    const Array* array = as_array(leaves[leaves.size() - 1].object);
    words.push_back(leaf_word(array->dtype, array->weak, array->ndim) | kCellBit);
    words.push_back(reinterpret_cast<uint64_t>(Py_TYPE(value)));
    for (int i = 0; i < array->ndim; ++i) words.push_back(static_cast<uint64_t>(array->dims()[i]));
    return Flat::kDone;
}

bool Signature::add_captured(PyObject* cell) {
    Array* array = cell_array(cell);
    if (array == nullptr) return false;
    for (size_t i = 0; i < cells.size(); ++i) {
        if (cells[i] == cell) return false;
    }
    keep(cell);
    keep(as_object(array));
    cells.push_back(cell);
    Leaf leaf;
    leaf.object = as_object(array);
    leaf.kind = kArrayLeaf;
    leaf.dtype = array->dtype;
    leaves.push_back(leaf);
    committed |= array->committed;
    return true;
}

Flat Signature::add_leaf(PyObject* value, int depth) {
    Leaf leaf;
    leaf.object = value;
    leaf.weak = true;
    bool number = true;
    const Widths wanted = widths();
    const bool wide = wanted == Widths::kWide;
    if (PyFloat_CheckExact(value)) {
        leaf.kind = kFloatLeaf;
        leaf.dtype = wide ? kFloat64 : kFloat32;
        leaf.value.real = static_cast<float>(PyFloat_AS_DOUBLE(value));
    } else if (PyLong_CheckExact(value)) {
        int overflow = 0;
        const long held = PyLong_AsLongAndOverflow(value, &overflow);
        const auto narrow = static_cast<int32_t>(held);
        if (overflow != 0 || (held != narrow && !wide)) return Flat::kBypass;
        leaf.kind = kIntLeaf;
        leaf.dtype = wide ? kInt64 : kInt32;
        leaf.value.integer = narrow;
    } else if (PyBool_Check(value)) {
        leaf.kind = kBoolLeaf;
        leaf.dtype = kBool;
        leaf.value.integer = value == Py_True;
        number = leaf.weak = false;
    } else if (PyComplex_CheckExact(value)) {
        leaf.kind = kComplexLeaf;
        leaf.dtype = wide ? kComplex128 : kComplex64;
    } else if (is_ndarray(value)) {
        const NdarrayView view = view_ndarray(value);
        if (view.code < 0) return Flat::kBypass;
        const int dtype = wanted == Widths::kNarrow ? narrowed(view.code) : view.code;
        leaf.kind = kNdarrayLeaf;
        leaf.dtype = static_cast<uint8_t>(dtype);
        leaf.weak = false;
        words.push_back(leaf_word(dtype, false, view.ndim));
        for (int i = 0; i < view.ndim; ++i) words.push_back(static_cast<uint64_t>(view.shape[i]));
        leaves.push_back(leaf);
        ++ndarray_count;
        if (depth > 0) keep(value);
        return Flat::kDone;
    } else if (is_numpy_scalar(value)) {
        const int code = numpy_scalar_code(value);
        if (code < 0) return Flat::kBypass;
        const int dtype = wanted == Widths::kNarrow ? narrowed(code) : code;
        leaf.kind = dtype == code ? kNumpyScalarLeaf : kNarrowedScalarLeaf;
        leaf.dtype = static_cast<uint8_t>(dtype);
        leaf.weak = wanted == Widths::kAsWritten && is_like_python(code);
        number = false;
    } else {
        return add_custom(value, depth);
    }
    words.push_back(leaf_word(leaf.dtype, leaf.weak, 0) | (number ? kNumberBit : 0));
    leaves.push_back(leaf);
    ++scalar_count;
    if (depth > 0) keep(value);
    return Flat::kDone;
}

Flat Signature::add_sequence(PyObject* value, int depth) {
    if (Py_EnterRecursiveCall(" while flattening the arguments of a compiled function")) {
        return Flat::kError;
    }
    if (depth > 0) keep(value);
    Flat result = Flat::kDone;
    if (PyTuple_CheckExact(value)) {
        const Py_ssize_t count = PyTuple_GET_SIZE(value);
        words.push_back(container_word(kTupleTag, count));
        for (Py_ssize_t i = 0; i < count && result == Flat::kDone; ++i) {
            result = add_value(PyTuple_GET_ITEM(value, i), depth + 1);
        }
    } else {
        const Py_ssize_t count = PyList_GET_SIZE(value);
        words.push_back(container_word(kListTag, count));
        for (Py_ssize_t i = 0; i < count && result == Flat::kDone; ++i) {
            if (i >= PyList_GET_SIZE(value)) {  // a hook made it shorter
                result = Flat::kBypass;
                break;
            }
            result = add_value(PyList_GET_ITEM(value, i), depth + 1);
        }
    }
    Py_LeaveRecursiveCall();
    return result;
}

// Takes keys in order from the last call, if its arguments had a dict of this size here.
bool Signature::add_known_keys(size_t count) {
    const CachedCall* last = cache_->last();
    const size_t at = objects.size();
    if (last == nullptr || last->words.size() < words.size() || last->objects.size() < at + count ||
        std::memcmp(last->words.data(), words.data(), words.size() * sizeof(uint64_t)) != 0 ||
        !all_text(last->objects.data() + at, count)) {
        return false;
    }
    // Equal words mean equal structure so far: these objects are the sorted keys of a dict.
    for (size_t i = 0; i < count; ++i) {
        keep(last->objects[at + i]);
        objects.push_back(last->objects[at + i]);
    }
    return true;
}

Flat Signature::add_sorted_keys(PyObject* dict) {
    const size_t at = objects.size();
    PyObject *key, *item;
    Py_ssize_t position = 0;
    while (PyDict_Next(dict, &position, &key, &item)) {
        keep(key);
        objects.push_back(key);
    }
    return sort_keys(objects.data() + at, objects.size() - at) ? Flat::kDone : Flat::kBypass;
}

// Adds the values of the keys from `at` on; stops at a key that is missing.
Flat Signature::add_dict_values(PyObject* dict, size_t at, int depth, bool* missing) {
    const size_t end = objects.size();
    for (size_t i = at; i < end; ++i) {
        PyObject* item = PyDict_GetItemWithError(dict, objects[i]);
        if (item == nullptr) {
            *missing = true;
            return PyErr_Occurred() ? Flat::kError : Flat::kBypass;
        }
        const Flat result = add_value(item, depth + 1);
        if (result != Flat::kDone) return result;
    }
    return Flat::kDone;
}

Flat Signature::add_dict(PyObject* value, int depth) {
    if (Py_EnterRecursiveCall(" while flattening the arguments of a compiled function")) {
        return Flat::kError;
    }
    if (depth > 0) keep(value);
    const auto count = static_cast<size_t>(PyDict_GET_SIZE(value));
    words.push_back(container_word(kDictTag, static_cast<Py_ssize_t>(count)));
    const size_t first_word = words.size(), first_object = objects.size();
    const size_t first_leaf = leaves.size(), scalars = scalar_count, ndarrays = ndarray_count;
    const size_t first_taped = taped.size(), first_cell = cells.size();
    Flat result = Flat::kBypass;
    bool missing = !add_known_keys(count);
    if (!missing) result = add_dict_values(value, first_object, depth, &missing);
    if (missing && result == Flat::kBypass) {  // other keys: begin again
        words.resize(first_word);
        objects.resize(first_object);
        leaves.resize(first_leaf);
        taped.resize(first_taped);
        cells.resize(first_cell);
        scalar_count = scalars;
        ndarray_count = ndarrays;
        result = add_sorted_keys(value);
        if (result == Flat::kDone) result = add_dict_values(value, first_object, depth, &missing);
    }
    Py_LeaveRecursiveCall();
    return result;
}

Flat Signature::add_custom(PyObject* value, int depth) {
    const NodeClass* known = find_node_class(value);
    if (known == nullptr && is_cell(value)) return add_cell(value);
    if (known == nullptr && g_hooks.tracer != nullptr &&
        PyObject_TypeCheck(value, reinterpret_cast<PyTypeObject*>(g_hooks.tracer))) {
        return Flat::kBypass;
    }
    if (Py_EnterRecursiveCall(" while flattening the arguments of a compiled function")) {
        return Flat::kError;
    }
    if (depth > 0) keep(value);
    Flat result;
    if (known == nullptr) {
        result = add_by_function(value, g_hooks.flatten, depth);
    } else if (known->kind == NodeClass::kNamedTuple) {
        result = add_named_tuple(value, depth);
    } else if (known->kind == NodeClass::kAttributes) {
        result = add_attributes(value, *known, depth);
    } else {
        result = add_by_function(value, known->flatten, depth);
    }
    Py_LeaveRecursiveCall();
    return result;
}

Flat Signature::add_named_tuple(PyObject* value, int depth) {
    auto* type = reinterpret_cast<PyObject*>(Py_TYPE(value));
    keep(type);
    objects.push_back(type);
    const Py_ssize_t count = PyTuple_GET_SIZE(value);
    words.push_back(node_word(count, 1));
    Flat result = Flat::kDone;
    for (Py_ssize_t i = 0; i < count && result == Flat::kDone; ++i) {
        result = add_value(PyTuple_GET_ITEM(value, i), depth + 1);
    }
    return result;
}

Flat Signature::add_attributes(PyObject* value, const NodeClass& known, int depth) {
    auto* type = reinterpret_cast<PyObject*>(Py_TYPE(value));
    keep(type);
    objects.push_back(type);
    words.push_back(node_word(static_cast<Py_ssize_t>(known.children.size()),
                              1 + known.statics.size()));
    for (PyObject* name : known.statics) {
        PyObject* data = PyObject_GetAttr(value, name);
        if (data == nullptr) return Flat::kError;
        owned_.push_back(data);
        objects.push_back(data);
    }
    Flat result = Flat::kDone;
    for (size_t i = 0; i < known.children.size() && result == Flat::kDone; ++i) {
        PyObject* child = PyObject_GetAttr(value, known.children[i]);
        if (child == nullptr) return Flat::kError;
        owned_.push_back(child);
        result = add_value(child, depth + 1);
    }
    return result;
}

// By a Python function that gives (children, static data), or None for what is no container.
Flat Signature::add_by_function(PyObject* value, PyObject* function, int depth) {
    if (function == nullptr) return Flat::kBypass;
    const Ref held = Ref::borrow(function);  // a hook may be replaced while it runs
    Ref parts(PyObject_CallOneArg(held.get(), value));
    if (!parts) return Flat::kError;
    if (parts.get() == Py_None) return Flat::kBypass;
    if (!PyTuple_Check(parts.get()) || PyTuple_GET_SIZE(parts.get()) < 2) {
        PyErr_Format(PyExc_TypeError, "flattening %.200s must give a pair (children, static data)",
                     Py_TYPE(value)->tp_name);
        return Flat::kError;
    }
    Ref children(PySequence_Tuple(PyTuple_GET_ITEM(parts.get(), 0)));
    if (!children) return Flat::kError;
    auto* type = reinterpret_cast<PyObject*>(Py_TYPE(value));
    PyObject* data = PyTuple_GET_ITEM(parts.get(), 1);
    keep(type);
    keep(data);
    objects.push_back(type);
    objects.push_back(data);
    const Py_ssize_t count = PyTuple_GET_SIZE(children.get());
    words.push_back(node_word(count, 2));
    Flat result = Flat::kDone;
    for (Py_ssize_t i = 0; i < count && result == Flat::kDone; ++i) {
        PyObject* child = PyTuple_GET_ITEM(children.get(), i);
        keep(child);
        result = add_value(child, depth + 1);
    }
    return result;
}

int same_static(PyObject* a, PyObject* b) {
    if (a == b) return 1;
    if (Py_TYPE(a) != Py_TYPE(b)) return 0;
    if (PyFloat_CheckExact(a)) return float_bits(a) == float_bits(b);
    if (is_plain(a)) return PyObject_RichCompareBool(a, b, Py_EQ);
    if (!PyTuple_CheckExact(a)) {
        const Ref first(exact_key(a));
        const Ref second(first ? exact_key(b) : nullptr);
        return second ? PyObject_RichCompareBool(first.get(), second.get(), Py_EQ) : -1;
    }
    if (PyTuple_GET_SIZE(a) != PyTuple_GET_SIZE(b)) return 0;
    if (Py_EnterRecursiveCall(" while comparing static arguments")) return -1;
    int same = 1;
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(a) && same == 1; ++i) {
        same = same_static(PyTuple_GET_ITEM(a, i), PyTuple_GET_ITEM(b, i));
    }
    Py_LeaveRecursiveCall();
    return same;
}

}  // namespace covector
