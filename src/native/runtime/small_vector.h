// A vector of plain values whose first ones lie inside it.
#pragma once

#include <cstdlib>
#include <cstring>
#include <new>
#include <type_traits>

#include "runtime/common.h"

namespace covector {

template <typename T, size_t kInline>
class SmallVector {
    static_assert(std::is_trivially_copyable_v<T>);

public:
    SmallVector() {}
    ~SmallVector() {
        if (CV_UNLIKELY(data_ != inline_data())) std::free(data_);
    }
    SmallVector(const SmallVector&) = delete;
    SmallVector& operator=(const SmallVector&) = delete;

    void push_back(const T& value) {
        if (CV_UNLIKELY(size_ == capacity_)) grow(capacity_ * 2);
        data_[size_++] = value;
    }
    // Room for `size` values, uninitialised.
    void resize(size_t size) {
        if (CV_UNLIKELY(size > capacity_)) grow(size);
        size_ = size;
    }
    T& operator[](size_t i) { return data_[i]; }
    const T& operator[](size_t i) const { return data_[i]; }
    T* data() { return data_; }
    const T* data() const { return data_; }
    size_t size() const { return size_; }
    T* begin() { return data_; }
    T* end() { return data_ + size_; }

private:
    T* inline_data() { return reinterpret_cast<T*>(storage_); }

    CV_NOINLINE void grow(size_t capacity) {
        const size_t bytes = (capacity * sizeof(T) + 63) / 64 * 64;
        auto* data = static_cast<T*>(std::aligned_alloc(64, bytes));
        if (data == nullptr) throw std::bad_alloc();
        std::memcpy(static_cast<void*>(data), data_, size_ * sizeof(T));
        if (data_ != inline_data()) std::free(data_);
        data_ = data;
        capacity_ = capacity;
    }

    T* data_ = inline_data();
    size_t size_ = 0;
    size_t capacity_ = kInline;
    alignas(T) char storage_[kInline * sizeof(T)];
};

}  // namespace covector
