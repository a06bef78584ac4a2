// The runtime without Python, as a saved program has it: arrays, calls, the queue, threads, routines.
// Built and run by asan.sh; it says nothing if all is well.
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "runtime/blas.h"
#include "runtime/executable.h"
#include "runtime/pool.h"
#include "runtime/queue.h"
#include "runtime/runtime.h"
#include "runtime/sort.h"

using namespace covector;

namespace {

constexpr int64_t kCount = 1000;
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

}  // namespace

int main() {
    runtime_start(Host{});
    check_calls();
    check_routines();
    runtime_close();
    return 0;
}
