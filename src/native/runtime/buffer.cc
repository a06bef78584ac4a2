// Buffer: creation, release, waiting.
#include "runtime/buffer.h"

#include "runtime/queue.h"

namespace covector {
namespace {

Buffer* header(int64_t bytes) {
    int64_t capacity;
    void* block = memory_alloc(sizeof(Buffer), &capacity);
    if (block == nullptr) return nullptr;
    auto* buffer = static_cast<Buffer*>(block);
    buffer->refs.store(1, std::memory_order_relaxed);
    buffer->state.store(kReady, std::memory_order_relaxed);
    buffer->data = nullptr;
    buffer->bytes = bytes;
    buffer->data_capacity = 0;
    buffer->block_capacity = capacity;
    buffer->owner.object = nullptr;
    buffer->error = 0;
    return buffer;
}

}  // namespace

Buffer* buffer_new_large(int64_t bytes) {
    Buffer* buffer = header(bytes);
    if (buffer == nullptr) return nullptr;
    buffer->data = memory_alloc(bytes, &buffer->data_capacity);
    if (buffer->data == nullptr) {
        queue_settle();  // a result may be known before what it was made of is free
        buffer->data = memory_alloc(bytes, &buffer->data_capacity);
    }
    if (buffer->data == nullptr) {
        memory_free(buffer, buffer->block_capacity);
        return nullptr;
    }
    return buffer;
}

Buffer* buffer_new_empty(int64_t bytes) { return header(bytes); }

Buffer* buffer_new_later(int64_t bytes) {
    if (bytes <= kInlineBytes) return buffer_new(bytes);
    return memory_can_hold(bytes) ? header(bytes) : nullptr;
}

bool buffer_obtain(Buffer* buffer) {
    if (buffer->data != nullptr) return true;
    buffer->data = memory_alloc(buffer->bytes, &buffer->data_capacity);
    return buffer->data != nullptr;
}

Buffer* buffer_new_foreign(void* data, int64_t bytes, Owner owner) {
    Buffer* buffer = header(bytes);
    if (buffer == nullptr) {
        owner.drop();
        return nullptr;
    }
    buffer->data = data;
    buffer->owner = owner;
    return buffer;
}

void buffer_destroy(Buffer* buffer) {
    if (!buffer->is_own()) {
        buffer->owner.drop();
    } else if (buffer->data_capacity != 0) {
        memory_free(buffer->data, buffer->data_capacity);
    }
    memory_free(buffer, buffer->block_capacity);
}

void buffer_take_memory(Buffer* to, Buffer* from) {
    to->data = from->data;
    to->data_capacity = from->data_capacity;
    from->data = nullptr;
    from->data_capacity = 0;
}

Status buffer_wait_slow(Buffer* buffer) {
    buffer_ref(buffer);  // the array may be deleted by another thread meanwhile
    Status status;
    while (status.ok() && buffer_is_pending(buffer)) {
        {
            const Outside outside;
            queue_wait_for(buffer);
        }
        if (g_host.interrupted()) {
            queue_stop(buffer);
            status = {kInterrupted};
        }
    }
    if (status.ok() && buffer->state.load(std::memory_order_acquire) == kFailed) {
        status = {buffer->error, buffer->error == kNoRoom ? buffer->bytes : 0};
    }
    buffer_unref(buffer);
    return status;
}

}  // namespace covector
