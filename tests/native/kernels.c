/* Native functions for the tests; the ABI is that of docs/internals.md. */
#include <stdint.h>
#include <string.h>
#include <unistd.h>

typedef void* const* Buffers;
typedef const int64_t* Dims;

/* y = x + 1 on four floats */
int32_t add_one(Buffers b, Dims d, void* arena) {
    (void)d, (void)arena;
    const float* x = b[0];
    float* y = b[1];
    for (int i = 0; i < 4; ++i) y[i] = x[i] + 1;
    return 0;
}

int32_t add_one_slowly(Buffers b, Dims d, void* arena) {
    usleep(30000);
    return add_one(b, d, arena);
}

/* returns once the test has opened the gate; error 9 if it does not within two minutes */
int32_t gate_open;

int32_t add_one_after_the_gate(Buffers b, Dims d, void* arena) {
    for (int i = 0; !__atomic_load_n(&gate_open, __ATOMIC_SEQ_CST); ++i) {
        if (i == 120000) return 9;
        usleep(1000);
    }
    return add_one(b, d, arena);
}

/* returns when four threads are in it; error 9 if they do not come within two minutes */
int32_t meet_four(Buffers b, Dims d, void* arena) {
    static int64_t inside;
    __atomic_fetch_add(&inside, 1, __ATOMIC_SEQ_CST);
    for (int i = 0; __atomic_load_n(&inside, __ATOMIC_SEQ_CST) < 4; ++i) {
        if (i == 120000) return 9;
        usleep(1000);
    }
    return add_one(b, d, arena);
}

/* y = x + 1 on n floats */
int32_t add_one_symbolic(Buffers b, Dims d, void* arena) {
    (void)arena;
    const float* x = b[0];
    float* y = b[1];
    for (int64_t i = 0; i < d[0]; ++i) y[i] = x[i] + 1;
    return 0;
}

int32_t fail_with_7(Buffers b, Dims d, void* arena) {
    (void)b, (void)d, (void)arena;
    return 7;
}

int32_t run_out_of_memory(Buffers b, Dims d, void* arena) {
    (void)b, (void)d, (void)arena;
    usleep(10000);
    return 1;
}

/* y = the addresses of input, output and arena; the arena is written */
int32_t addresses(Buffers b, Dims d, void* arena) {
    (void)d;
    int64_t* y = b[1];
    y[0] = (int64_t)b[0];
    y[1] = (int64_t)b[1];
    y[2] = (int64_t)arena;
    if (arena) memset(arena, 1, 1000);
    return 0;
}

/* y = how many runs of this function came before */
static int64_t g_count;
int32_t count_runs(Buffers b, Dims d, void* arena) {
    (void)d, (void)arena;
    *(int64_t*)b[1] = g_count++;
    usleep((useconds_t)(*(int32_t*)b[0]));
    return 0;
}

/* y = a + 10 b + 100 c on float scalars */
int32_t combine(Buffers b, Dims d, void* arena) {
    (void)d, (void)arena;
    *(float*)b[3] = *(float*)b[0] + 10 * *(float*)b[1] + 100 * *(float*)b[2];
    return 0;
}

/* two outputs: x + 1, x + 2 */
int32_t two_outputs(Buffers b, Dims d, void* arena) {
    (void)d, (void)arena;
    *(float*)b[1] = *(float*)b[0] + 1;
    *(float*)b[2] = *(float*)b[0] + 2;
    return 0;
}

/* the sum of twenty float scalars */
int32_t sum_of_twenty(Buffers b, Dims d, void* arena) {
    (void)d, (void)arena;
    float sum = 0;
    for (int i = 0; i < 20; ++i) sum += *(float*)b[i];
    *(float*)b[20] = sum;
    return 0;
}

/* copies one element of its size; int32 and float32 scalars to float32 */
int32_t from_int32(Buffers b, Dims d, void* arena) {
    (void)d, (void)arena;
    *(float*)b[1] = (float)*(int32_t*)b[0];
    return 0;
}

int32_t copy_float(Buffers b, Dims d, void* arena) {
    (void)d, (void)arena;
    *(float*)b[1] = *(float*)b[0];
    return 0;
}

int32_t copy_complex(Buffers b, Dims d, void* arena) {
    (void)d, (void)arena;
    memcpy(b[1], b[0], 8);
    return 0;
}

int32_t copy_bool(Buffers b, Dims d, void* arena) {
    (void)d, (void)arena;
    memcpy(b[1], b[0], 1);
    return 0;
}

/* eager kernels: NAME_xy with x, y in {v: (n,), s: ()} */
#define EAGER(NAME, A, B, R, SA, SB)                                    \
    int32_t NAME(Buffers b, Dims d, void* arena) {                      \
        (void)arena;                                                    \
        const A* x = b[0];                                              \
        const B* y = b[1];                                              \
        R* z = b[2];                                                    \
        for (int64_t i = 0; i < d[0]; ++i) z[i] = (R)x[i * SA] - (R)y[i * SB]; \
        return 0;                                                       \
    }
EAGER(sub_f32_f32_vv, float, float, float, 1, 1)
EAGER(sub_f32_f32_vs, float, float, float, 1, 0)
EAGER(sub_f32_f32_sv, float, float, float, 0, 1)
EAGER(sub_f32_i32_vs, float, int32_t, float, 1, 0)
EAGER(sub_i32_f32_sv, int32_t, float, float, 0, 1)
EAGER(sub_i32_f32_vs, int32_t, float, float, 1, 0)
EAGER(sub_f64_f64_vs, double, double, double, 1, 0)
EAGER(sub_f64_f64_sv, double, double, double, 0, 1)
EAGER(sub_i64_i64_vs, int64_t, int64_t, int64_t, 1, 0)
EAGER(sub_f64_i64_vs, double, int64_t, double, 1, 0)
EAGER(sub_f64_i32_vs, double, int32_t, double, 1, 0)

/* pieces of a parallel region: context is {count, pieces[2 * 512]} */
struct Pieces {
    int64_t count;
    int64_t bounds[1024];
};

void record_piece(void* context, int64_t begin, int64_t end) {
    struct Pieces* pieces = context;
    const int64_t at = __atomic_fetch_add(&pieces->count, 1, __ATOMIC_SEQ_CST);
    pieces->bounds[2 * at] = begin;
    pieces->bounds[2 * at + 1] = end;
}

void add_to_sum(void* context, int64_t begin, int64_t end) {
    int64_t sum = 0;
    for (int64_t i = begin; i < end; ++i) sum += i;
    __atomic_fetch_add((int64_t*)context, sum, __ATOMIC_SEQ_CST);
}

typedef void (*ParallelFor)(void (*)(void*, int64_t, int64_t), void*, int64_t, int64_t);
struct Nested {
    ParallelFor parallel_for;
    int64_t sum;
};

void nested_body(void* context, int64_t begin, int64_t end) {
    struct Nested* nested = context;
    for (int64_t i = begin; i < end; ++i) nested->parallel_for(add_to_sum, &nested->sum, 100, 1);
}

/* many short regions, called from several threads at once; returns the wrong sums */
int64_t many_regions(ParallelFor parallel_for, int64_t regions, int64_t n) {
    int64_t wrong = 0;
    for (int64_t i = 0; i < regions; ++i) {
        int64_t sum = 0;
        parallel_for(add_to_sum, &sum, n, 1);
        wrong += sum != n * (n - 1) / 2;
    }
    return wrong;
}
