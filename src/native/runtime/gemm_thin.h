// Products of long rows with few others, as inner products.
#pragma once

#include "runtime/gemm.h"

namespace covector {

// False, with nothing done, for other shapes, and if memory is exhausted. The result does not depend on the number
// of threads.
template <typename T>
bool multiply_thin(const Product<T>& p);

}  // namespace covector
