// Buffer: reference-counted memory that may still be being computed.
#pragma once

#include <atomic>
#include <cstdint>

#include "runtime/allocator.h"
#include "runtime/common.h"
#include "runtime/host.h"
#include "runtime/status.h"

namespace covector {

enum BufferState : int32_t { kReady, kPending, kFailed };

constexpr int64_t kBufferHeader = 64;
constexpr int64_t kInlineBytes = 4096 - kBufferHeader;

// Small buffers carry their data behind this header, in the same block. Foreign memory is kept
// alive by `owner`. Counts are atomic: workers drop references too.
//
// Queued work counts its references apart, kTaskRef each. So it can be told whether one array alone
// refers to a buffer that is still being computed, or read, by work that is queued already.
struct alignas(64) Buffer {
    std::atomic<int64_t> refs;
    std::atomic<int32_t> state;
    int32_t error;           // why it failed
    void* data;              // set when ready; earlier for all but results of queued work
    int64_t bytes;           // what the array needs
    int64_t data_capacity;   // of a block of its own; 0: inline or foreign
    int64_t block_capacity;  // of the block this header lies in
    Owner owner;             // of foreign memory; no object: it is ours

    bool is_own() const { return owner.object == nullptr; }
    bool is_inline() const { return is_own() && bytes <= kInlineBytes; }
};
static_assert(sizeof(Buffer) == kBufferHeader);

constexpr int64_t kTaskRef = int64_t{1} << 32;

CV_NOINLINE Buffer* buffer_new_large(int64_t bytes);
CV_NOINLINE void buffer_destroy(Buffer* buffer);

// Null if memory is exhausted.
inline Buffer* buffer_new(int64_t bytes) {
    if (CV_UNLIKELY(bytes > kInlineBytes)) return buffer_new_large(bytes);
    int64_t capacity;
    const int64_t data_bytes = bytes > 0 ? bytes : 1;
    void* block = memory_alloc(static_cast<int64_t>(sizeof(Buffer)) + data_bytes, &capacity);
    if (CV_UNLIKELY(block == nullptr)) return nullptr;
    auto* buffer = static_cast<Buffer*>(block);
    buffer->refs.store(1, std::memory_order_relaxed);
    buffer->state.store(kReady, std::memory_order_relaxed);
    buffer->data = buffer + 1;
    buffer->bytes = bytes;
    buffer->data_capacity = 0;
    buffer->block_capacity = capacity;
    buffer->owner.object = nullptr;
    buffer->error = 0;
    return buffer;
}

// A header without data: a result that takes over donated memory when it is computed.
Buffer* buffer_new_empty(int64_t bytes);

// A result of queued work. A large one has a header only and gets its memory when the work begins
// (`buffer_obtain`): memory that was freed just before is still in the caches, so ten calls in a
// row of a function of 16 MB take a third of the time, and never have more than they need.
// Null if there can never be so much memory.
Buffer* buffer_new_later(int64_t bytes);
bool buffer_obtain(Buffer* buffer);  // false: memory is exhausted

// Memory of someone else; takes the owner over, also when it returns null.
Buffer* buffer_new_foreign(void* data, int64_t bytes, Owner owner);

inline void buffer_ref(Buffer* buffer, int64_t weight = 1) {
    buffer->refs.fetch_add(weight, std::memory_order_relaxed);
}

inline void buffer_unref(Buffer* buffer, int64_t weight = 1) {
    // A sole owner cannot race with anybody, and need not pay for the locked instruction.
    if (buffer->refs.load(std::memory_order_acquire) == weight ||
        buffer->refs.fetch_sub(weight, std::memory_order_acq_rel) == weight) {
        buffer_destroy(buffer);
    }
}

// Moves the memory of `from`, which nobody reads any more, to the header `to`.
void buffer_take_memory(Buffer* to, Buffer* from);

inline bool buffer_is_pending(const Buffer* buffer) {
    return buffer->state.load(std::memory_order_acquire) == kPending;
}

// Whether our memory serves one array alone: for work that runs now, or after all queued work.
inline bool buffer_is_unique(const Buffer* buffer) {
    return buffer->is_own() && buffer->refs.load(std::memory_order_acquire) == 1;
}
inline bool buffer_will_be_unique(const Buffer* buffer) {
    return buffer->is_own() && buffer->refs.load(std::memory_order_acquire) % kTaskRef == 1;
}

// Waits, outside the host; the computation may have failed, or the wait been interrupted.
CV_NOINLINE Status buffer_wait_slow(Buffer* buffer);
inline Status buffer_wait(Buffer* buffer) {
    if (CV_LIKELY(buffer->state.load(std::memory_order_acquire) == kReady)) return {};
    return buffer_wait_slow(buffer);
}

}  // namespace covector
