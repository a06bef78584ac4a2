// The caching allocator: 64-byte aligned memory in size classes.
#pragma once

#include <cstdint>

namespace covector {

constexpr int64_t kAlignment = 64;

struct MemoryStats {
    int64_t bytes_in_use;
    int64_t peak_bytes_in_use;
    int64_t bytes_cached;
    int64_t num_allocs;
    int64_t cache_limit;
    int64_t memory_limit;
};

// Memory of at least `bytes`; its true size goes to `capacity`, which memory_free must be given.
// Null, and a capacity of 0, if memory is exhausted, also after the caches were emptied.
void* memory_alloc(int64_t bytes, int64_t* capacity);
void memory_free(void* memory, int64_t capacity);

// Whether an empty process could have so much: less than the limit, or than the machine has.
bool memory_can_hold(int64_t bytes);

MemoryStats memory_stats();
void clear_memory_cache();

// Whether so much more could be mapped now, cached memory given back if need be. A limit of the
// process's address space is found so before libraries run into it that end the process there.
bool memory_can_map(int64_t bytes);
void reset_peak_memory();
void set_memory_limit(int64_t bytes);        // 0: no limit
void set_memory_cache_limit(int64_t bytes);  // large blocks kept for reuse

void allocator_init();  // registers the fork handlers; once

}  // namespace covector

extern "C" {
// Whose memory holds whatever there is: nothing is done, so that no page of it is touched.
int32_t cv_unfilled(void* memory, int64_t elements, int64_t dtype);
void* cv_alloc(int64_t bytes);
void cv_free(void* memory);
}
