// The runtime without Python, as a saved program has it: arrays, calls, the queue, threads, routines.
// Built and run by asan.sh and tsan.sh; it says nothing if all is well.
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <thread>
#include <vector>

#include "runtime/blas.h"
#include "runtime/conv.h"
#include "runtime/conv_narrow.h"
#include "runtime/executable.h"
#include "runtime/pool.h"
#include "runtime/queue.h"
#include "runtime/runtime.h"
#include "runtime/scatter.h"
#include "runtime/sort.h"

using namespace covector;

namespace {

constexpr int64_t kCount = 2000;  // too many for a block with the header
constexpr int64_t kLong = 1'000'000'000;  // ns: such calls are queued

void require(bool good, const char* what) {
    if (good) return;
    std::fprintf(stderr, "runtime_alone: %s\n", what);
    std::exit(1);
}

int32_t add_one(void* const* buffers, const int64_t*, void*) {
    const auto* x = static_cast<const float*>(buffers[0]);
    auto* y = static_cast<float*>(buffers[1]);
    for (int64_t i = 0; i < kCount; ++i) y[i] = x[i] + 1;
    return 0;
}

int32_t fail(void* const*, const int64_t*, void*) { return 7; }

Executable* executable_of(EntryFunction entry) {
    auto* made = new Executable;
    made->entry = entry;
    made->inputs = made->outputs = {{11, false, {kCount}, kCount, kCount * 4}};
    made->alias_of = {-1};
    return made;
}

Status call(Executable* executable, Buffer* x, int64_t cost_ns, Buffer** y) {
    Operand operand{x, nullptr};
    return launch({executable, &operand, nullptr, y, executable->outputs.data(), nullptr, 0, cost_ns});
}

void check_calls() {
    Executable* program = executable_of(add_one);
    Buffer* x = buffer_new(kCount * 4);
    for (int64_t i = 0; i < kCount; ++i) static_cast<float*>(x->data)[i] = 0;
    for (int64_t step = 0; step < 200; ++step) {  // more than the queue takes at once
        Buffer* y = nullptr;
        require(call(program, x, step % 3 == 0 ? 0 : kLong, &y).ok(), "a call fails");
        buffer_unref(x);
        x = y;
    }
    require(buffer_wait(x).ok(), "a wait fails");
    require(static_cast<const float*>(x->data)[kCount - 1] == 200, "a result is wrong");

    Executable* failing = executable_of(fail);
    Buffer *lost = nullptr, *dependent = nullptr;
    require(call(failing, x, 0, &lost).error == 7, "an error is lost");
    require(call(failing, x, kLong, &lost).ok(), "a call is not queued");
    require(call(program, lost, 0, &dependent).ok(), "a call on a pending value fails");
    require(buffer_wait(dependent).error == 7, "an error is not passed on");
    for (Buffer* buffer : {x, lost, dependent}) buffer_unref(buffer);
    require(queue_synchronize().ok(), "the queue is not done");
    program->unref();
    failing->unref();
}

void check_routines() {
    const int64_t n = 96;
    std::vector<float> a(n * n, 1), b(n * n, 2), c(n * n, 5);
    cv_sgemm(0, 0, n, n, n, a.data(), n, b.data(), n, 0, c.data(), n);
    require(c[0] == 2 * n && c[n * n - 1] == 2 * n, "a product is wrong");
    std::vector<float> keys(kCount);
    for (int64_t i = 0; i < kCount; ++i) keys[i] = static_cast<float>(i * 7919 % kCount);
    require(cv_sort_pairs(keys.data(), nullptr, 11, 0, 1, kCount) == 0, "a sort fails");
    for (int64_t i = 0; i < kCount; ++i) require(keys[i] == i, "a sort is wrong");
    std::vector<char> seen(kCount);
    cv_parallel_for(
        [](void* context, int64_t begin, int64_t end) {
            for (int64_t i = begin; i < end; ++i) ++static_cast<char*>(context)[i];
        },
        seen.data(), kCount, 10);
    for (char times : seen) require(times == 1, "a parallel loop is wrong");
}

// Sums at single indices: few places, which have copies, and many.
void check_scatter(int64_t places) {
    const int64_t count = 70'000;
    std::vector<int32_t> indices(count);
    for (int64_t i = 0; i < count; ++i) indices[i] = static_cast<int32_t>(i * 7919 % places);
    const std::vector<float> updates(count, 1);
    std::vector<float> sums(places);
    std::vector<int32_t> wanted(places);
    for (int32_t index : indices) ++wanted[index];
    require(cv_scatter(indices.data(), updates.data(), sums.data(), 11, 1, 0, 0, 4, count, 1, 1, places, 1,
                       1, 1) == 0, "a scatter fails");
    for (int64_t i = 0; i < places; ++i) require(sums[i] == wanted[i], "a scatter is wrong");
}

// Of ones: each result counts the numbers that it is a sum of.
void check_convolution() {
    const int64_t batch = 3, size = 65, window = 3, taken = 8, made = 40;
    const Convolution conv{1, 1, batch, taken, made,
                           {{size, window, size, 1, 1, 1, 1, taken, taken * made, made},
                            {1, 1, 1, 1, 0, 1, 1, 0, 0, 0},
                            {1, 1, 1, 1, 0, 1, 1, 0, 0, 0}},
                           size * taken, 1, 1, made, size * made, 1};
    const auto* numbers = reinterpret_cast<const int64_t*>(&conv);
    const std::vector<float> lhs(batch * size * taken, 1), rhs(window * taken * made, 1);
    const std::vector<uint16_t> narrow_lhs(lhs.size(), 0x3F80), narrow_rhs(rhs.size(), 0x3F80);
    std::vector<float> out(batch * size * made), narrow(out.size());
    require(cv_sconv(lhs.data(), rhs.data(), out.data(), numbers) == 0, "a convolution fails");
    require(cv_bconv(narrow_lhs.data(), narrow_rhs.data(), narrow.data(), numbers) == 0,
            "a narrow convolution fails");
    for (size_t i = 0; i < out.size(); ++i) {
        const int64_t place = static_cast<int64_t>(i) / made % size;
        const float sum = static_cast<float>((place == 0 || place == size - 1 ? 2 : 3) * taken);
        require(out[i] == sum && narrow[i] == sum, "a convolution is wrong");
    }
}

// Many threads call at once, here and in the queue, with results that other threads wait for and free,
// while loops of some run in the pool and memory goes back.
class Crowd {
public:
    Crowd() : x_(buffer_new(kCount * 4)) {
        for (int64_t i = 0; i < kCount; ++i) static_cast<float*>(x_->data)[i] = 0;
        for (auto& place : places_) place.store(nullptr);
    }
    ~Crowd() {
        for (auto& place : places_) free(place.load());
        buffer_unref(x_);
        program_->unref();
        failing_->unref();
        donating_->unref();
        repeating_->unref();
    }

    void run() {
        std::vector<std::thread> threads;
        for (int n = 0; n < kThreads; ++n) threads.emplace_back([this, n] { work(n); });
        for (std::thread& thread : threads) thread.join();
    }

private:
    static constexpr int kThreads = 8, kRounds = 150;

    static void free(Buffer* buffer) {
        if (buffer != nullptr) buffer_unref(buffer);
    }

    void work(int thread) {
        for (int round = 0; round < kRounds; ++round) {
            exchange(thread + round, round % 2 == 0 ? kLong : 0, round % 8 == 7);
            if (round % 4 == 0) check_loop();
            if (round % 8 == 1) repeat();
            if (round % 16 == 3) donate(round % 32 == 3 ? kLong : 0);
            if (round % 50 == 7) require(queue_synchronize().ok(), "the queue is not done");
            if (round % 64 == 9) clear_memory_cache();
            if (round % 50 == 13) check_scatter(thread % 2 == 0 ? 300 : 50'000);
            if (round % 50 == 29) check_convolution();
            if (round % 16 == 5) queue_settle();
            require(memory_stats().bytes_in_use > 0, "memory is counted wrong");
        }
    }

    // Leaves a result, and looks at what another thread has left.
    void exchange(int at, int64_t cost_ns, bool fails) {
        Buffer* mine = nullptr;
        require(call(fails ? failing_ : program_, x_, fails ? kLong : cost_ns, &mine).ok(), "a call fails");
        Buffer* found = places_[at % kThreads].exchange(mine);
        if (found == nullptr) return;
        Buffer* next = nullptr;
        const Status status = call(program_, found, cost_ns, &next);
        if (status.ok()) {
            require(buffer_wait(next).ok() ? first(next) == 2 : buffer_wait(found).error == 7,
                    "a result is wrong");
            free(next);
        } else {
            require(status.error == 7, "a call fails");
        }
        free(found);
    }

    // A loop of unknown length is queued until a run of it was seen to end.
    void repeat() {
        Buffer* made = nullptr;
        require(call(repeating_, x_, 0, &made).ok(), "a call fails");
        require(buffer_wait(made).ok() && first(made) == 1, "a result is wrong");
        free(made);
    }

    void donate(int64_t cost_ns) {
        Buffer* mine = nullptr;
        require(call(program_, x_, cost_ns, &mine).ok(), "a call fails");
        for (int step = 0; step < 4; ++step) {
            Operand operand{mine, nullptr};
            Buffer** donor = &mine;
            Buffer* next = nullptr;
            require(launch({donating_, &operand, &donor, &next, donating_->outputs.data(), nullptr, 0,
                            cost_ns}).ok(), "a call fails");
            require(mine == nullptr, "what was donated is still there");
            mine = next;
        }
        require(buffer_wait(mine).ok() && first(mine) == 5, "a result is wrong");
        free(mine);
    }

    static float first(const Buffer* buffer) { return static_cast<const float*>(buffer->data)[0]; }

    static void check_loop() {
        std::vector<float> values(20'000, 1);
        cv_parallel_for(
            [](void* context, int64_t begin, int64_t end) {
                for (int64_t i = begin; i < end; ++i) static_cast<float*>(context)[i] += 1;
            },
            values.data(), 20'000, 500);
        for (float value : values) require(value == 2, "a parallel loop is wrong");
    }

    static Executable* donating() {
        Executable* made = executable_of(add_one);
        made->alias_of = {0};
        made->has_aliases = true;
        return made;
    }

    static Executable* repeating() {
        Executable* made = executable_of(add_one);
        made->repeats = true;
        return made;
    }

    Buffer* x_;
    Executable* program_ = executable_of(add_one);
    Executable* failing_ = executable_of(fail);
    Executable* donating_ = donating();
    Executable* repeating_ = repeating();
    std::atomic<Buffer*> places_[kThreads];
};

}  // namespace

int main() {
    runtime_start(Host{});
    check_calls();
    check_routines();
    for (int64_t places : {1, 300, 50'000}) check_scatter(places);
    check_convolution();
    Crowd().run();
    require(queue_synchronize().ok(), "the queue is not done");
    runtime_close();
    return 0;
}
