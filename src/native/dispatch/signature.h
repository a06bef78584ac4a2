// The signature of a call: what decides which compiled Program it runs.
//
// Arguments are flattened to leaves. The structure and the types of the leaves become words;
// static values, names, dict keys and the data of registered containers become objects.
#pragma once

#include "python/array.h"
#include "python/objects.h"
#include "runtime/small_vector.h"

namespace covector {

enum LeafKind : uint8_t {
    kArrayLeaf,
    kIntLeaf,      // value.integer
    kFloatLeaf,    // value.real
    kComplexLeaf,  // read from the object
    kBoolLeaf,     // value.integer
    kNdarrayLeaf,  // `dtype` is the one that it is converted to
    kNumpyScalarLeaf,
    kNarrowedScalarLeaf,  // the same, of 64 bits, of which 32 are taken
    kLiftedLeaf,          // a value of a level further out
};

struct Leaf {
    PyObject* object;
    union {
        int32_t integer;
        float real;
    } value;
    LeafKind kind;
    uint8_t dtype;
    bool weak;  // of what is no array
};

enum Tag : uint64_t {
    kLeafTag = 1,
    kStaticTag,
    kNoneTag,
    kTupleTag,
    kListTag,
    kDictTag,
    kCustomTag,
    kKeywordTag,
};

inline uint64_t leaf_word(int dtype, bool weak, int ndim) {
    return kLeafTag | static_cast<uint64_t>(dtype) << 8 | static_cast<uint64_t>(weak) << 16 |
           static_cast<uint64_t>(ndim) << 24;
}

// Beside a weakly typed leaf's word: it is a Python number, and may be read in 64 bits.
constexpr uint64_t kNumberBit = uint64_t{1} << 17;

// It is on the tape that is the innermost level, or in the batch that is; and its batch axis.
constexpr uint64_t kTapedBit = uint64_t{1} << 18;
constexpr uint64_t kMappedBit = uint64_t{1} << 20;
constexpr int kAxisShift = 40;

// Beneath that it is a value of a level further out.
constexpr uint64_t kLiftedBit = uint64_t{1} << 21;

// It is what a reference holds.
constexpr uint64_t kCellBit = uint64_t{1} << 19;

enum class Flat { kDone, kBypass, kError };  // kError: an exception is set

class CallCache;
struct NodeClass;
struct Level;

class Signature {
public:
    // The cache's last call often has the same dict keys, already in order.
    explicit Signature(const CallCache* cache) : cache_(cache) {}
    ~Signature() {
        for (PyObject* object : owned_) Py_DECREF(object);
    }
    Signature(const Signature&) = delete;
    Signature& operator=(const Signature&) = delete;

    void add_word(uint64_t word) { words.push_back(word); }
    Flat add_argument(PyObject* value) {
        if (CV_UNLIKELY(!is_array(value))) return add_value(value, 0);
        add_array(as_array(value));
        return Flat::kDone;
    }
    // Of a reference that the function closes over, the value: it is no part of the key. False
    // where a call must go to the Python twin.
    bool add_captured(PyObject* cell);
    void add_static(PyObject* value);
    void add_keyword(PyObject* name);

    // False without an exception if an object is not hashable; with one if hashing was stopped.
    bool hash(uint64_t* result) const;

    SmallVector<uint64_t, 128> words;
    SmallVector<PyObject*, 32> objects;  // borrowed, alive while this is
    SmallVector<Leaf, 48> leaves;        // the same
    size_t scalar_count = 0;             // leaves that are single elements and no Arrays
    size_t ndarray_count = 0;
    bool committed = false;              // whether any array is: then results are
    SmallVector<int64_t, 8> taped;       // the numbers of leaves that are on the tape
    Level* level = nullptr;              // the innermost one, if any leaf is of it
    bool lifted = false;                 // whether any leaf is a value of a level further out
    SmallVector<PyObject*, 8> cells;     // the references among the leaves, alive while this is

private:
    void add_array(Array* array) {
        words.push_back(leaf_word(array->dtype, array->weak, array->ndim));
        const int64_t* dims = array->dims();
        for (int i = 0; i < array->ndim; ++i) words.push_back(static_cast<uint64_t>(dims[i]));
        Leaf leaf;
        leaf.object = as_object(array);
        leaf.kind = kArrayLeaf;
        leaf.dtype = array->dtype;
        leaves.push_back(leaf);
        committed |= array->committed;
    }
    Flat add_value(PyObject* value, int depth);
    Flat add_traced(PyObject* value, int depth);
    void add_lifted(PyObject* value);
    Flat add_cell(PyObject* value);
    Flat add_leaf(PyObject* value, int depth);
    Flat add_sequence(PyObject* value, int depth);
    Flat add_dict(PyObject* value, int depth);
    bool add_known_keys(size_t count);
    Flat add_dict_values(PyObject* dict, size_t at, int depth, bool* missing);
    Flat add_sorted_keys(PyObject* dict);
    Flat add_custom(PyObject* value, int depth);
    Flat add_named_tuple(PyObject* value, int depth);
    Flat add_attributes(PyObject* value, const NodeClass& known, int depth);
    Flat add_by_function(PyObject* value, PyObject* function, int depth);
    void keep(PyObject* object) {
        Py_INCREF(object);
        owned_.push_back(object);
    }

    const CallCache* cache_;
    SmallVector<PyObject*, 32> owned_;  // containers may change while Python code runs
};

// Whether two static values are the same for compilation: of one class and the same bit for bit,
// as base/exact.py says (1, 1.0 and True are equal in Python). -1 with an exception.
int same_static(PyObject* a, PyObject* b);

}  // namespace covector
