// A Python function called from compiled code: operands become Arrays, results go to their places.
//
// Programs that call back run on the thread of their caller (see `launch`), so the function may do
// anything: call other compiled functions, wait, raise. What it raises is kept apart until the
// Program has ended and its caller looks at the status.
#include "python/callback.h"

#include <cstring>
#include <new>
#include <vector>

#include "python/array.h"

namespace covector {
namespace {

// Holds the GIL for the length of a scope. Its destructor is also what keeps a thread that the
// interpreter ends here from being unwound through compiled code: see ended_threads.cc.
class Inside {
public:
    Inside() : state_(PyGILState_Ensure()) {}
    ~Inside() { PyGILState_Release(state_); }
    Inside(const Inside&) = delete;
    Inside& operator=(const Inside&) = delete;

private:
    PyGILState_STATE state_;
};

// One value: a pointer to its elements, then a word for its type, then its shape.
struct Value {
    void* data;
    int dtype;
    bool weak;
    int ndim;
    const int64_t* dims;
};

class Words {
public:
    explicit Words(void* const* words) : next_(words) {}
    Value take() {
        const auto type = reinterpret_cast<uintptr_t>(next_[1]);
        const Value value{next_[0], static_cast<int>(type & 0xff), (type >> 8 & 1) != 0,
                          static_cast<int>(type >> 16),
                          reinterpret_cast<const int64_t*>(next_ + 2)};
        next_ += 2 + value.ndim;
        return value;
    }

private:
    void* const* next_;
};

PyObject* operand_array(const Value& value) {
    Array* array = array_empty(value.dtype, value.weak, value.ndim, value.dims);
    if (array == nullptr) return nullptr;
    std::memcpy(array->buffer->data, value.data, static_cast<size_t>(array->nbytes()));
    return as_object(array);
}

bool store_result(const Value& value, PyObject* found) {
    if (!is_array(found)) {
        PyErr_SetString(PyExc_TypeError, "a callback's result is no Array");
        return false;
    }
    Array* array = as_array(found);
    if (!array_wait(array)) return false;
    const int64_t* dims = array->dims();
    bool fits = array->dtype == value.dtype && array->ndim == value.ndim;
    for (int i = 0; fits && i < value.ndim; ++i) fits = dims[i] == value.dims[i];
    if (!fits) {
        PyErr_SetString(PyExc_ValueError, "a callback's result is not of its type");
        return false;
    }
    std::memcpy(value.data, array->buffer->data, static_cast<size_t>(array->nbytes()));
    return true;
}

bool run(PyObject* function, int64_t operands, int64_t count, Words words) {
    std::vector<Ref> owned;
    std::vector<PyObject*> arguments(1);
    owned.reserve(static_cast<size_t>(operands));
    arguments.reserve(static_cast<size_t>(operands) + 1);
    for (int64_t i = 0; i < operands; ++i) {
        owned.emplace_back(operand_array(words.take()));
        if (!owned.back()) return false;
        arguments.push_back(owned.back().get());
    }
    const size_t given = static_cast<size_t>(operands) | PY_VECTORCALL_ARGUMENTS_OFFSET;
    Ref out(PyObject_Vectorcall(function, arguments.data() + 1, given, nullptr));
    if (!out) return false;
    if (count == operands) return true;
    Ref results(PySequence_Fast(out.get(), "a callback gives a sequence of Arrays"));
    if (!results) return false;
    if (PySequence_Fast_GET_SIZE(results.get()) != count - operands) {
        PyErr_SetString(PyExc_ValueError, "a callback gives another number of results");
        return false;
    }
    for (int64_t i = 0; i < count - operands; ++i) {
        if (!store_result(words.take(), PySequence_Fast_GET_ITEM(results.get(), i))) return false;
    }
    return true;
}

}  // namespace

int32_t call_back(const void* table, int64_t index, int64_t operands, int64_t count,
                  void* const* words) {
    const Inside inside;
    auto* functions = static_cast<PyObject*>(const_cast<void*>(table));
    const Ref function = Ref::borrow(PyTuple_GET_ITEM(functions, index));
    try {
        if (run(function.get(), operands, count, Words(words))) return kNoError;
    } catch (const std::bad_alloc&) {
        PyErr_NoMemory();
    }
    keep_raised();
    return kCallbackFailed;
}

}  // namespace covector
