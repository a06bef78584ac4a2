// Arrays as operands of executables.
#include "python/operands.h"

namespace covector {

bool matches(const ValueType& type, const Array* array) {
    if (array->dtype != type.dtype || array->ndim != type.ndim()) return false;
    const int64_t* actual = array->dims();
    for (size_t i = 0; i < type.dims.size(); ++i) {
        if (actual[i] != type.dims[i] && type.dims[i] >= 0) return false;  // negative: symbolic
    }
    return true;
}

bool check_donations(Array* const* arrays, const bool* donated, int count) {
    int twice = -1;
    for (int i = 0; i < count; ++i) {
        if (!donated[i] || arrays[i] == nullptr) continue;
        if (!array_check(arrays[i])) break;
        if (arrays[i]->marked) twice = i;
        arrays[i]->marked = true;
    }
    int also_read = -1;
    for (int i = 0; i < count; ++i) {
        if (!donated[i] && arrays[i] != nullptr && arrays[i]->marked) also_read = i;
    }
    for (int i = 0; i < count; ++i) {
        if (arrays[i] != nullptr) arrays[i]->marked = false;
    }
    if (twice >= 0) {
        PyErr_Format(PyExc_ValueError,
                     "the same array is donated twice in one call, the second time as argument %d "
                     "(counting leaves); donate it once, or pass a copy", twice);
    } else if (also_read >= 0) {
        PyErr_Format(PyExc_ValueError,
                     "an array is donated and also passed without donation, as argument %d "
                     "(counting leaves), in the same call; pass a copy, or do not donate it",
                     also_read);
    }
    if (twice >= 0 || also_read >= 0 || PyErr_Occurred()) return false;
    for (int i = 0; i < count; ++i) {  // says why its buffer is gone, once that is so
        if (donated[i] && arrays[i] != nullptr) arrays[i]->gone = kDonated;
    }
    return true;
}

}  // namespace covector
