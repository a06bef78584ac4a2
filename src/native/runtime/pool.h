// The process-wide thread pool.
#pragma once

#include <cstdint>

extern "C" {
using ParallelBody = void (*)(void* context, int64_t begin, int64_t end);

// Splits [0, n) into contiguous pieces of at least `grain`, and returns when all are done.
void cv_parallel_for(ParallelBody body, void* context, int64_t n, int64_t grain);
}

namespace covector {

int pool_size();   // threads that compute, the caller among them
bool in_region();  // whether the calling thread runs a piece
// Lets the thread whose region runs look whether its run has to end, also if it only waits for others; for a worker
// in its piece.
void pool_wants_look();
void pool_init();  // registers the fork handlers; once

}  // namespace covector
