// Targets of the FFI, and what their handlers raise.
#pragma once

namespace covector {

void raise_foreign_failure();  // as a Python exception: what the last handler on this thread said

}  // namespace covector
