// The caching allocator.
//
// Three kinds of blocks, by size class (four classes a power of two below 896 KiB, eight above):
//   small  (<=  32 KiB) a free list for each thread and class; refilled from the central lists,
//                       and those from slabs that stay ours
//   middle (<= 896 KiB) central free lists over the C library's allocator
//   large               pages of their own (2 MiB aligned, with huge pages, from 4 MiB), kept when
//                       freed while the cache is below its limit, the oldest given back first
#include "runtime/allocator.h"

#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <map>
#include <mutex>
#include <new>
#include <utility>
#include <vector>

#include "runtime/common.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(address, size) ((void)(address), (void)(size))
#define ASAN_UNPOISON_MEMORY_REGION(address, size) ((void)(address), (void)(size))
#endif

namespace covector {
namespace {

constexpr int64_t kSmallLimit = 32 << 10;
constexpr int64_t kMiddleLimit = 896 << 10;
constexpr int64_t kHugeLimit = 4 << 20;
constexpr int64_t kHugePage = 2 << 20;
constexpr int64_t kSlab = 256 << 10;
constexpr int kSmallClasses = 32;    // up to 32 KiB
constexpr int kCentralClasses = 51;  // up to 896 KiB
constexpr int64_t kThreadBinBytes = 128 << 10;

struct SizeClass {
    int index;
    int64_t capacity;
};

inline SizeClass size_class(int64_t bytes) {
    if (bytes <= 256) {
        int index = bytes <= 64 ? 0 : static_cast<int>((bytes - 1) >> 6);
        return {index, (index + 1) * int64_t{64}};
    }
    const uint64_t last = static_cast<uint64_t>(bytes - 1);
    const int log = 63 - __builtin_clzll(last);
    if (bytes > kMiddleLimit) {
        const int64_t step = int64_t{1} << (log - 3);
        return {-1, (bytes + step - 1) / step * step};
    }
    const int64_t step = static_cast<int64_t>((last >> (log - 2)) & 3);
    return {4 + (log - 8) * 4 + static_cast<int>(step),
            (int64_t{1} << log) + ((step + 1) << (log - 2))};
}

struct FreeBlock {
    FreeBlock* next;
};

struct ThreadBin {
    FreeBlock* head = nullptr;
    int64_t count = 0;
};

// The counters are written by their thread only, and read by whoever asks for statistics.
struct ThreadCache {
    ThreadBin bins[kSmallClasses];
    std::atomic<int64_t> in_use{0};
    std::atomic<int64_t> allocs{0};

    void count(int64_t bytes, int64_t allocations) {
        in_use.store(in_use.load(std::memory_order_relaxed) + bytes, std::memory_order_relaxed);
        allocs.store(allocs.load(std::memory_order_relaxed) + allocations,
                     std::memory_order_relaxed);
    }
};

struct LargeBlock {
    void* memory;
    uint64_t age;
};

struct Central {
    std::mutex mutex;
    FreeBlock* bins[kCentralClasses] = {};
    char* slab = nullptr;
    int64_t slab_left = 0;
    std::map<int64_t, std::vector<LargeBlock>> large;  // by capacity; each list oldest first
    uint64_t clock = 0;
    int64_t large_cached = 0;
    int64_t central_cached = 0;
    int64_t in_use = 0;  // of blocks that no thread cache counts
    int64_t allocs = 0;
    int64_t peak = 0;
    int64_t memory_limit = 0;
    int64_t cache_limit = 0;
    std::vector<ThreadCache*> threads;
};

int64_t machine_memory() { return int64_t{sysconf(_SC_PHYS_PAGES)} * sysconf(_SC_PAGE_SIZE); }

std::atomic<int64_t> g_most{machine_memory()};  // what one array can have at most

Central& central() {
    static Central* instance = [] {
        auto* made = new Central;
        made->cache_limit = std::min<int64_t>(int64_t{2} << 30, machine_memory() / 4);
        return made;
    }();
    return *instance;
}

constinit thread_local ThreadCache* tls_cache = nullptr;
constinit thread_local bool tls_exited = false;

// --- central part: every function here is called with the mutex held ---

int64_t total_in_use(const Central& c) {
    int64_t total = c.in_use;
    for (const ThreadCache* t : c.threads) total += t->in_use.load(std::memory_order_relaxed);
    return total;
}

void note_peak(Central& c) { c.peak = std::max(c.peak, total_in_use(c)); }

void large_release(void* memory, int64_t capacity) {
    ASAN_UNPOISON_MEMORY_REGION(memory, static_cast<size_t>(capacity));
    munmap(memory, static_cast<size_t>(capacity));
}

void evict_oldest(Central& c) {
    auto oldest = c.large.begin();
    for (auto it = c.large.begin(); it != c.large.end(); ++it) {
        if (it->second.front().age < oldest->second.front().age) oldest = it;
    }
    large_release(oldest->second.front().memory, oldest->first);
    c.large_cached -= oldest->first;
    oldest->second.erase(oldest->second.begin());
    if (oldest->second.empty()) c.large.erase(oldest);
}

void trim(Central& c, int64_t limit) {
    while (c.large_cached > limit && !c.large.empty()) evict_oldest(c);
}

// Gives the middle blocks back to the C library; small ones lie in slabs and stay.
void release_middle(Central& c) {
    for (int i = kSmallClasses; i < kCentralClasses; ++i) {
        while (FreeBlock* block = c.bins[i]) {
            ASAN_UNPOISON_MEMORY_REGION(block, sizeof(FreeBlock));
            c.bins[i] = block->next;
            std::free(block);
        }
    }
    c.central_cached = 0;
}

void* map_pages(int64_t capacity) {
    const bool huge = capacity >= kHugeLimit;
    const int64_t mapped = huge ? capacity + kHugePage : capacity;
    void* raw = mmap(nullptr, static_cast<size_t>(mapped), PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (raw == MAP_FAILED) return nullptr;
    if (!huge) return raw;
    char* begin = static_cast<char*>(raw);
    const auto address = reinterpret_cast<uintptr_t>(raw);
    const int64_t skip = static_cast<int64_t>((kHugePage - address % kHugePage) % kHugePage);
    if (skip > 0) munmap(begin, static_cast<size_t>(skip));
    const int64_t tail = kHugePage - skip;
    if (tail > 0) munmap(begin + skip + capacity, static_cast<size_t>(tail));
#if defined(MADV_HUGEPAGE)
    madvise(begin + skip, static_cast<size_t>(capacity), MADV_HUGEPAGE);
#endif
    return begin + skip;
}

// A cached block of this capacity, or of one at most a quarter larger.
void* take_cached(Central& c, int64_t* capacity) {
    auto it = c.large.lower_bound(*capacity);
    if (it == c.large.end() || it->first > *capacity + *capacity / 4) return nullptr;
    void* memory = it->second.back().memory;
    it->second.pop_back();
    *capacity = it->first;
    c.large_cached -= it->first;
    if (it->second.empty()) c.large.erase(it);
    return memory;
}

bool over_limit(const Central& c, int64_t capacity) {
    return c.memory_limit > 0 && total_in_use(c) + capacity > c.memory_limit;
}

void* alloc_large(Central& c, int64_t* capacity) {
    *capacity = (*capacity + 4095) & ~int64_t{4095};
    if (over_limit(c, *capacity)) return nullptr;
    void* memory = take_cached(c, capacity);
    if (memory == nullptr) memory = map_pages(*capacity);
    if (memory == nullptr) {
        trim(c, 0);
        release_middle(c);
        memory = map_pages(*capacity);
    }
    if (memory == nullptr) return nullptr;
    ASAN_UNPOISON_MEMORY_REGION(memory, static_cast<size_t>(*capacity));
    return memory;
}

void* alloc_middle(Central& c, SizeClass size) {
    if (over_limit(c, size.capacity)) return nullptr;
    if (FreeBlock* block = c.bins[size.index]) {
        ASAN_UNPOISON_MEMORY_REGION(block, static_cast<size_t>(size.capacity));
        c.bins[size.index] = block->next;
        c.central_cached -= size.capacity;
        return block;
    }
    void* memory = std::aligned_alloc(kAlignment, static_cast<size_t>(size.capacity));
    if (memory == nullptr) {
        trim(c, 0);
        release_middle(c);
        memory = std::aligned_alloc(kAlignment, static_cast<size_t>(size.capacity));
    }
    return memory;
}

// One small block, poisoned but for its link.
FreeBlock* take_small(Central& c, SizeClass size) {
    if (FreeBlock* block = c.bins[size.index]) {
        c.bins[size.index] = block->next;
        return block;
    }
    if (c.slab_left < size.capacity) {
        if (over_limit(c, kSlab)) return nullptr;
        auto* slab = static_cast<char*>(map_pages(kSlab));
        if (slab == nullptr) {
            trim(c, 0);
            release_middle(c);
            slab = static_cast<char*>(map_pages(kSlab));
        }
        if (slab == nullptr) return nullptr;
        c.slab = slab;
        c.slab_left = kSlab;
        ASAN_POISON_MEMORY_REGION(slab, static_cast<size_t>(kSlab));
    }
    auto* block = reinterpret_cast<FreeBlock*>(c.slab);
    c.slab += size.capacity;
    c.slab_left -= size.capacity;
    ASAN_UNPOISON_MEMORY_REGION(block, sizeof(FreeBlock));
    return block;
}

// --- thread part ---

void release_thread(ThreadCache* cache) {
    Central& c = central();
    std::lock_guard<std::mutex> lock(c.mutex);
    for (int i = 0; i < kSmallClasses; ++i) {
        while (FreeBlock* block = cache->bins[i].head) {
            cache->bins[i].head = block->next;
            block->next = c.bins[i];
            c.bins[i] = block;
        }
    }
    c.in_use += cache->in_use.load(std::memory_order_relaxed);
    c.allocs += cache->allocs.load(std::memory_order_relaxed);
    c.threads.erase(std::find(c.threads.begin(), c.threads.end(), cache));
}

struct ThreadGuard {
    ~ThreadGuard() {
        tls_exited = true;
        ThreadCache* cache = std::exchange(tls_cache, nullptr);
        if (cache == nullptr) return;
        release_thread(cache);
        delete cache;
    }
    char used = 0;
};
thread_local ThreadGuard tls_guard;

CV_NOINLINE ThreadCache* thread_cache() {
    if (tls_cache != nullptr || tls_exited) return tls_cache;
    auto* cache = new (std::nothrow) ThreadCache;
    if (cache == nullptr) return nullptr;
    tls_guard.used = 1;
    Central& c = central();
    std::lock_guard<std::mutex> lock(c.mutex);
    try {
        c.threads.push_back(cache);
    } catch (const std::bad_alloc&) {
        delete cache;
        return nullptr;
    }
    return tls_cache = cache;
}

// Refills the thread's list by up to a quarter of what it may hold, and returns one block more.
CV_NOINLINE void* refill(SizeClass size, int64_t* capacity) {
    ThreadCache* cache = thread_cache();
    Central& c = central();
    std::lock_guard<std::mutex> lock(c.mutex);
    FreeBlock* first = take_small(c, size);
    if (first == nullptr) return nullptr;
    *capacity = size.capacity;
    if (cache == nullptr) {
        c.in_use += size.capacity;
        ++c.allocs;
    } else {
        ThreadBin& bin = cache->bins[size.index];
        const int64_t wanted = std::min<int64_t>(16, kThreadBinBytes / 4 / size.capacity);
        for (int64_t i = 0; i < wanted; ++i) {
            FreeBlock* block = take_small(c, size);
            if (block == nullptr) break;
            block->next = bin.head;
            bin.head = block;
            ++bin.count;
        }
        cache->count(size.capacity, 1);
    }
    note_peak(c);
    ASAN_UNPOISON_MEMORY_REGION(first, static_cast<size_t>(size.capacity));
    return first;
}

// Hands half of an overfull list, or one block if there is no list, to the central part.
CV_NOINLINE void spill(FreeBlock* block, SizeClass size) {
    Central& c = central();
    std::lock_guard<std::mutex> lock(c.mutex);
    ThreadCache* cache = tls_cache;
    if (cache == nullptr) {
        c.in_use -= size.capacity;
        block->next = c.bins[size.index];
        c.bins[size.index] = block;
        return;
    }
    ThreadBin& bin = cache->bins[size.index];
    for (int64_t half = bin.count / 2; half > 0; --half) {
        FreeBlock* moved = bin.head;
        bin.head = moved->next;
        --bin.count;
        moved->next = c.bins[size.index];
        c.bins[size.index] = moved;
    }
}

CV_NOINLINE void* alloc_central(SizeClass size, int64_t* capacity) {
    Central& c = central();
    std::lock_guard<std::mutex> lock(c.mutex);
    int64_t obtained = size.capacity;
    void* memory = size.index < 0 ? alloc_large(c, &obtained) : alloc_middle(c, size);
    if (memory == nullptr) return nullptr;
    *capacity = obtained;
    c.in_use += obtained;
    ++c.allocs;
    note_peak(c);
    return memory;
}

CV_NOINLINE void free_central(void* memory, SizeClass size, int64_t capacity) {
    Central& c = central();
    std::lock_guard<std::mutex> lock(c.mutex);
    c.in_use -= capacity;
    if (size.index >= 0) {
        if (c.central_cached + capacity > c.cache_limit / 4) return std::free(memory);
        auto* block = static_cast<FreeBlock*>(memory);
        block->next = c.bins[size.index];
        c.bins[size.index] = block;
        c.central_cached += capacity;
        ASAN_POISON_MEMORY_REGION(block + 1, static_cast<size_t>(capacity) - sizeof(FreeBlock));
        return;
    }
    if (capacity > c.cache_limit) return large_release(memory, capacity);
    trim(c, c.cache_limit - capacity);
    try {
        c.large[capacity].push_back({memory, ++c.clock});
    } catch (const std::bad_alloc&) {
        return large_release(memory, capacity);
    }
    ASAN_POISON_MEMORY_REGION(memory, static_cast<size_t>(capacity));
    c.large_cached += capacity;
}

}  // namespace

void* memory_alloc(int64_t bytes, int64_t* capacity) {
    constexpr int64_t kMost = int64_t{1} << 62;
    *capacity = 0;
    if (CV_UNLIKELY(bytes < 0 || bytes > kMost)) return nullptr;
    const SizeClass size = size_class(bytes);
    if (CV_UNLIKELY(size.capacity > kSmallLimit)) return alloc_central(size, capacity);
    ThreadCache* cache = tls_cache;
    if (CV_UNLIKELY(cache == nullptr)) return refill(size, capacity);
    ThreadBin& bin = cache->bins[size.index];
    FreeBlock* block = bin.head;
    if (CV_UNLIKELY(block == nullptr)) return refill(size, capacity);
    *capacity = size.capacity;
    bin.head = block->next;
    --bin.count;
    cache->count(size.capacity, 1);
    ASAN_UNPOISON_MEMORY_REGION(block, static_cast<size_t>(size.capacity));
    return block;
}

void memory_free(void* memory, int64_t capacity) {
    const SizeClass size = size_class(capacity);
    if (CV_UNLIKELY(capacity > kSmallLimit)) return free_central(memory, size, capacity);
    auto* block = static_cast<FreeBlock*>(memory);
    ASAN_POISON_MEMORY_REGION(block + 1, static_cast<size_t>(capacity) - sizeof(FreeBlock));
    ThreadCache* cache = tls_cache != nullptr ? tls_cache : thread_cache();
    if (CV_UNLIKELY(cache == nullptr)) return spill(block, size);
    ThreadBin& bin = cache->bins[size.index];
    block->next = bin.head;
    bin.head = block;
    ++bin.count;
    cache->count(-size.capacity, 0);
    if (CV_UNLIKELY(bin.count * size.capacity > kThreadBinBytes)) spill(block, size);
}

MemoryStats memory_stats() {
    Central& c = central();
    std::lock_guard<std::mutex> lock(c.mutex);
    note_peak(c);
    int64_t allocs = c.allocs;
    for (const ThreadCache* t : c.threads) allocs += t->allocs.load(std::memory_order_relaxed);
    return {total_in_use(c), c.peak,        c.large_cached + c.central_cached,
            allocs,          c.cache_limit, c.memory_limit};
}

void clear_memory_cache() {
    Central& c = central();
    std::lock_guard<std::mutex> lock(c.mutex);
    trim(c, 0);
    release_middle(c);
}

bool memory_can_map(int64_t bytes) {
    const auto can_map = [bytes] {
        void* memory = mmap(nullptr, static_cast<size_t>(bytes), PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        return memory != MAP_FAILED && munmap(memory, static_cast<size_t>(bytes)) == 0;
    };
    if (can_map()) return true;
    clear_memory_cache();
    return can_map();
}

void reset_peak_memory() {
    Central& c = central();
    std::lock_guard<std::mutex> lock(c.mutex);
    c.peak = total_in_use(c);
}

void set_memory_limit(int64_t bytes) {
    Central& c = central();
    std::lock_guard<std::mutex> lock(c.mutex);
    c.memory_limit = bytes;
    g_most.store(bytes > 0 ? bytes : machine_memory(), std::memory_order_relaxed);
}

bool memory_can_hold(int64_t bytes) { return bytes <= g_most.load(std::memory_order_relaxed); }

void set_memory_cache_limit(int64_t bytes) {
    Central& c = central();
    std::lock_guard<std::mutex> lock(c.mutex);
    c.cache_limit = bytes;
    trim(c, bytes);
}

void allocator_init() {
    central();
    pthread_atfork([] { central().mutex.lock(); }, [] { central().mutex.unlock(); },
                   [] { central().mutex.unlock(); });
}

}  // namespace covector

// The block's capacity stands in a header one cache line before the memory handed out.
extern "C" void* cv_alloc(int64_t bytes) {
    using namespace covector;
    if (bytes < 0) return nullptr;
    int64_t capacity = 0;
    char* block = static_cast<char*>(memory_alloc(bytes + kAlignment, &capacity));
    if (block == nullptr) return nullptr;
    *reinterpret_cast<int64_t*>(block) = capacity;
    return block + kAlignment;
}

extern "C" void cv_free(void* memory) {
    using namespace covector;
    if (memory == nullptr) return;
    char* block = static_cast<char*>(memory) - kAlignment;
    memory_free(block, *reinterpret_cast<int64_t*>(block));
}

extern "C" int32_t cv_unfilled(void*, int64_t, int64_t) { return 0; }
