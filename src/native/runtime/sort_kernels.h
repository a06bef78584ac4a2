// Sorting unsigned integers with vectors: what sort.cc takes where the machine has it.
#pragma once

#include <cstdint>

#include "runtime/vectors.h"

namespace covector {

template <class T>
struct VectorSort {
    // Sorts `n` items that lie in `items`; `other` is as long. They end up in `items`, or in `other`.
    void (*sort)(T* items, T* other, int64_t n, bool to_other);
    // Moves the smaller ones of `n` items to the front of `low`, the others to that of `high`, both of
    // which are as long, and one of which is `items`; how many the smaller ones are, 0 if all may be equal.
    int64_t (*split)(const T* items, T* low, T* high, int64_t n);
};

// Null where there is no AVX-512, or it is not used.
const VectorSort<uint32_t>* vector_sort(uint32_t);
const VectorSort<uint64_t>* vector_sort(uint64_t);

}  // namespace covector
