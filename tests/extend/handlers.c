/* Handlers for the tests of the FFI. */
#include <covector/ffi.h>
#include <stdio.h>
#include <string.h>

#define START(call) \
    if (cv_ffi_is_metadata(call)) return cv_ffi_tell_version(call)

static const cv_ffi_buffer* arg(const cv_ffi_call* call, int i) {
    return (const cv_ffi_buffer*)call->args.items[i];
}
static const cv_ffi_buffer* ret(const cv_ffi_call* call, int i) {
    return (const cv_ffi_buffer*)call->rets.items[i];
}
static int64_t size_of(const cv_ffi_buffer* x) {
    int64_t n = 1;
    for (int64_t i = 0; i < x->rank; ++i) n *= x->dims[i];
    return n;
}
/* The attribute of a name, of a kind. */
static void* attribute(const cv_ffi_attributes* all, const char* name, int type) {
    for (int64_t i = 0; i < all->size; ++i) {
        if (all->names[i]->size == strlen(name) && memcmp(all->names[i]->text, name, strlen(name)) == 0) {
            return all->types[i] == type ? all->items[i] : NULL;
        }
    }
    return NULL;
}

/* y = factor * x, float32; negative factors are refused. */
cv_ffi_error* scaled(cv_ffi_call* call) {
    START(call);
    const cv_ffi_scalar* factor = (const cv_ffi_scalar*)attribute(&call->attrs, "factor", CV_FFI_SCALAR);
    if (factor == NULL || factor->dtype != CV_FFI_FLOAT64) return cv_ffi_fail(call, 3, "no float64 'factor'");
    const double f = *(const double*)factor->value;
    if (f < 0) return cv_ffi_fail(call, 11, "the factor is negative");
    if (f > 1e6) return cv_ffi_fail(call, 8, "too much");
    if (arg(call, 0)->dtype != CV_FFI_FLOAT32) return cv_ffi_fail(call, 12, "float32 only");
    const float* x = (const float*)arg(call, 0)->data;
    float* y = (float*)ret(call, 0)->data;
    for (int64_t i = 0, n = size_of(ret(call, 0)); i < n; ++i) y[i] = (float)(f * x[i]);
    return NULL;
}

/* y = a + b, where an axis of size 1 in front goes with any. */
cv_ffi_error* sum(cv_ffi_call* call) {
    START(call);
    const cv_ffi_buffer *a = arg(call, 0), *b = arg(call, 1), *y = ret(call, 0);
    const int64_t n = size_of(y), p = size_of(a), q = size_of(b);
    for (int64_t i = 0; i < n; ++i) {
        ((float*)y->data)[i] = ((const float*)a->data)[i % p] + ((const float*)b->data)[i % q];
    }
    return NULL;
}

/* The operand, which lies where the result does, plus 1; and how large it is, by its dims. */
cv_ffi_error* add_one_in_place(cv_ffi_call* call) {
    START(call);
    if (arg(call, 0)->data != ret(call, 0)->data) return cv_ffi_fail(call, 13, "not in place");
    float* x = (float*)ret(call, 0)->data;
    for (int64_t i = 0, n = size_of(ret(call, 0)); i < n; ++i) x[i] += 1;
    return NULL;
}

/* All attributes as text, and the dims of the operand, into bytes. */
static int describe(const cv_ffi_attributes* all, char* out, int room) {
    int used = 0;
    for (int64_t i = 0; i < all->size; ++i) {
        used += snprintf(out + used, room - used, "%.*s=", (int)all->names[i]->size, all->names[i]->text);
        if (all->types[i] == CV_FFI_STRING) {
            const cv_ffi_text* text = (const cv_ffi_text*)all->items[i];
            used += snprintf(out + used, room - used, "'%.*s'", (int)text->size, text->text);
        } else if (all->types[i] == CV_FFI_SCALAR) {
            const cv_ffi_scalar* x = (const cv_ffi_scalar*)all->items[i];
            long long value = -1;
            if (x->dtype == CV_FFI_INT64) value = *(const int64_t*)x->value;
            if (x->dtype == CV_FFI_INT32) value = *(const int32_t*)x->value;
            if (x->dtype == CV_FFI_BOOL) value = *(const uint8_t*)x->value;
            used += snprintf(out + used, room - used, "%d:%lld", x->dtype, value);
        } else if (all->types[i] == CV_FFI_ARRAY) {
            const cv_ffi_array* x = (const cv_ffi_array*)all->items[i];
            used += snprintf(out + used, room - used, "%d[", x->dtype);
            for (size_t k = 0; k < x->size; ++k) {
                long long value = x->dtype == CV_FFI_INT64 ? ((const int64_t*)x->data)[k] : -1;
                used += snprintf(out + used, room - used, k ? " %lld" : "%lld", value);
            }
            used += snprintf(out + used, room - used, "]");
        } else {
            used += snprintf(out + used, room - used, "{");
            used += describe((const cv_ffi_attributes*)all->items[i], out + used, room - used);
            used += snprintf(out + used, room - used, "}");
        }
        used += snprintf(out + used, room - used, ";");
    }
    return used;
}

cv_ffi_error* described(cv_ffi_call* call) {
    START(call);
    char text[256] = {0};
    int used = describe(&call->attrs, text, sizeof text);
    const cv_ffi_buffer* x = arg(call, 0);
    for (int64_t i = 0; i < x->rank; ++i) used += snprintf(text + used, sizeof text - used, "%lld,", (long long)x->dims[i]);
    memcpy(ret(call, 0)->data, text, (size_t)size_of(ret(call, 0)));
    return NULL;
}

/* The sum over the slow axis in memory, of a matrix whose layout is column by column. */
cv_ffi_error* first_in_memory(cv_ffi_call* call) {
    START(call);
    memcpy(ret(call, 0)->data, arg(call, 0)->data, (size_t)size_of(ret(call, 0)) * sizeof(float));
    return NULL;
}

/* Stages with a state: how often it was instantiated and prepared, and scratch memory. */
static cv_ffi_type counter_type;
static int instantiated, prepared, deleted;
static void delete_counter(void* object) { (void)object, ++deleted; }
void* counter_type_id(void) { return &counter_type; }
void* counter_type_info(void) {
    static const cv_ffi_type_info info = {sizeof(cv_ffi_type_info), NULL, delete_counter};
    return (void*)&info;
}

cv_ffi_error* count_instantiate(cv_ffi_call* call) {
    START(call);
    ++instantiated;
    cv_ffi_state_args args = {sizeof args, NULL, call->context, CV_FFI_INSTANTIATE, &counter_type, &instantiated};
    return call->api->state_set(&args);
}

cv_ffi_error* count_prepare(cv_ffi_call* call) {
    START(call);
    ++prepared;
    return NULL;
}

cv_ffi_error* count_execute(cv_ffi_call* call) {
    START(call);
    cv_ffi_state_args args = {sizeof args, NULL, call->context, CV_FFI_INSTANTIATE, &counter_type, NULL};
    cv_ffi_error* failed = call->api->state_get(&args);
    if (failed != NULL) return failed;
    cv_ffi_allocate_args scratch = {sizeof scratch, NULL, call->context, 64, 64, NULL};
    failed = call->api->allocate(&scratch);
    if (failed != NULL) return failed;
    int32_t* found = (int32_t*)scratch.data;
    found[0] = *(int*)args.state, found[1] = prepared, found[2] = deleted;
    memcpy(ret(call, 0)->data, found, 3 * sizeof(int32_t));
    return NULL;
}

/* Goes on in a task, and says so with a future. */
struct later { const cv_ffi_api* api; cv_ffi_future* future; float* y; int fails; };
static void finish(void* data) {
    struct later* l = (struct later*)data;
    *l->y = 7;
    cv_ffi_future_args args = {sizeof args, NULL, l->future, NULL};
    if (l->fails) {
        cv_ffi_error_create_args made = {sizeof made, NULL, "too late", 4};
        args.error = l->api->error_create(&made);
        l->api->future_set_error(&args);
    } else {
        l->api->future_set_available(&args);
    }
}
cv_ffi_error* later(cv_ffi_call* call) {
    START(call);
    cv_ffi_future_args made = {sizeof made, NULL, NULL, NULL};
    call->api->future_create(&made);
    struct later l = {call->api, made.future, (float*)ret(call, 0)->data, *(const float*)arg(call, 0)->data < 0};
    cv_ffi_schedule_args task = {sizeof task, NULL, call->context, finish, &l};
    call->api->schedule(&task);
    call->future = made.future;
    return NULL;
}

/* Calls, counted. */
static int calls;
int number_of_calls(void) { return calls; }
cv_ffi_error* counted(cv_ffi_call* call) {
    START(call);
    ++calls;
    *(float*)ret(call, 0)->data = *(const float*)arg(call, 0)->data;
    return NULL;
}

cv_ffi_error* of_another_version(cv_ffi_call* call) {
    if (cv_ffi_is_metadata(call)) {
        cv_ffi_tell_version(call);
        ((cv_ffi_metadata_extension*)call->extensions)->metadata->version.major_version = 3;
    }
    return NULL;
}

/* The layout, in numbers: sizes and places of fields, as XLA's typed FFI has them. */
#define AT(type, field, place) _Static_assert(offsetof(type, field) == place, #type "." #field)
AT(cv_ffi_buffer, dtype, 16);
AT(cv_ffi_buffer, data, 24);
AT(cv_ffi_buffer, rank, 32);
AT(cv_ffi_buffer, dims, 40);
AT(cv_ffi_attributes, names, 32);
AT(cv_ffi_attributes, items, 40);
AT(cv_ffi_call, api, 16);
AT(cv_ffi_call, context, 24);
AT(cv_ffi_call, stage, 32);
AT(cv_ffi_call, args, 40);
AT(cv_ffi_call, rets, 80);
AT(cv_ffi_call, attrs, 120);
AT(cv_ffi_call, future, 168);
AT(cv_ffi_api, error_create, 48);
AT(cv_ffi_api, state_set, 104);
AT(cv_ffi_api, allocate, 120);
AT(cv_ffi_api, custom_options, 200);
AT(cv_ffi_state_args, state, 40);
AT(cv_ffi_allocate_args, data, 40);
