/* The C layout by which `covector.ffi` calls functions: that of XLA's typed FFI, version 0.x.
 *
 * A handler that was compiled with XLA's own header works, and so does one that is written in C with this one:
 *
 *     cv_ffi_error* my_handler(cv_ffi_call* call) {
 *         if (cv_ffi_is_metadata(call)) return cv_ffi_tell_version(call);
 *         const cv_ffi_buffer* x = (const cv_ffi_buffer*)call->args.items[0];
 *         ...
 *         return NULL;
 *     }
 *
 * Each struct begins with its size, so that later versions may add fields at the end.
 */
#ifndef COVECTOR_FFI_H_
#define COVECTOR_FFI_H_

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define CV_FFI_MAJOR 0
#define CV_FFI_MINOR 5

typedef struct cv_ffi_api cv_ffi_api;
typedef struct cv_ffi_error cv_ffi_error;     /* made by `api->error_create`; NULL means that all went well */
typedef struct cv_ffi_context cv_ffi_context; /* of one call */
typedef struct cv_ffi_future cv_ffi_future;

/* What a later version, or a question beside the call, hangs on a struct. */
typedef struct cv_ffi_extension {
    size_t struct_size;
    int type; /* 1: cv_ffi_metadata_extension */
    struct cv_ffi_extension* next;
} cv_ffi_extension;

typedef struct {
    size_t struct_size;
    cv_ffi_extension* extensions;
    int major_version;
    int minor_version;
} cv_ffi_version;

/* Numbers of dtypes. */
enum {
    CV_FFI_BOOL = 1,
    CV_FFI_INT8 = 2,
    CV_FFI_INT16 = 3,
    CV_FFI_INT32 = 4,
    CV_FFI_INT64 = 5,
    CV_FFI_UINT8 = 6,
    CV_FFI_UINT16 = 7,
    CV_FFI_UINT32 = 8,
    CV_FFI_UINT64 = 9,
    CV_FFI_FLOAT16 = 10,
    CV_FFI_FLOAT32 = 11,
    CV_FFI_FLOAT64 = 12,
    CV_FFI_COMPLEX64 = 15,
    CV_FFI_BFLOAT16 = 16,
    CV_FFI_COMPLEX128 = 18,
    /* Narrow types: an element a byte. */
    CV_FFI_FLOAT8_E5M2 = 19,
    CV_FFI_FLOAT8_E4M3FN = 20,
    CV_FFI_INT4 = 21,
    CV_FFI_UINT4 = 22,
    CV_FFI_FLOAT8_E4M3B11FNUZ = 23,
    CV_FFI_FLOAT8_E5M2FNUZ = 24,
    CV_FFI_FLOAT8_E4M3FNUZ = 25,
    CV_FFI_INT2 = 26,
    CV_FFI_UINT2 = 27,
    CV_FFI_FLOAT8_E4M3 = 28,
    CV_FFI_FLOAT8_E3M4 = 29,
    CV_FFI_INT1 = 30,
    CV_FFI_UINT1 = 31,
    CV_FFI_FLOAT4_E2M1FN = 32,
    CV_FFI_FLOAT8_E8M0FNU = 33,
    /* Numbers of our own: the layout has none for these. */
    CV_FFI_FLOAT6_E2M3FN = 1001,
    CV_FFI_FLOAT6_E3M2FN = 1002
};

/* An operand or a result: dense, the last axis the fastest. */
typedef struct {
    size_t struct_size;
    cv_ffi_extension* extensions;
    int dtype;
    void* data;
    int64_t rank;
    int64_t* dims;
} cv_ffi_buffer;

typedef struct {
    const char* text; /* not ended by a zero */
    size_t size;
} cv_ffi_text;

typedef struct {
    int dtype;
    void* value;
} cv_ffi_scalar;

typedef struct {
    int dtype;
    size_t size;
    void* data;
} cv_ffi_array;

enum { CV_FFI_ARRAY = 1, CV_FFI_DICTIONARY = 2, CV_FFI_SCALAR = 3, CV_FFI_STRING = 4 };

/* Operands, or results: types[i] is 1, items[i] a cv_ffi_buffer. */
typedef struct {
    size_t struct_size;
    cv_ffi_extension* extensions;
    int64_t size;
    int* types;
    void** items;
} cv_ffi_buffers;

/* Attributes, sorted by name: items[i] is a cv_ffi_array, cv_ffi_attributes, cv_ffi_scalar or cv_ffi_text. */
typedef struct {
    size_t struct_size;
    cv_ffi_extension* extensions;
    int64_t size;
    int* types;
    cv_ffi_text** names;
    void** items;
} cv_ffi_attributes;

enum { CV_FFI_INSTANTIATE = 0, CV_FFI_PREPARE = 1, CV_FFI_INITIALIZE = 2, CV_FFI_EXECUTE = 3 };

typedef struct {
    size_t struct_size;
    cv_ffi_extension* extensions;
    const cv_ffi_api* api;
    cv_ffi_context* context;
    int stage;
    cv_ffi_buffers args;
    cv_ffi_buffers rets;
    cv_ffi_attributes attrs;
    cv_ffi_future* future; /* set by a handler that goes on working after it has returned */
} cv_ffi_call;

typedef cv_ffi_error* cv_ffi_handler(cv_ffi_call* call);

/* A type of state that handlers keep between stages: its number, and how one is deleted. */
typedef struct {
    int64_t number;
} cv_ffi_type;

typedef struct {
    size_t struct_size;
    cv_ffi_extension* extensions;
    void (*deleter)(void* object);
} cv_ffi_type_info;

/* The question of what a handler is, asked when it is registered. */
typedef struct {
    size_t struct_size;
    cv_ffi_version version;
    uint32_t traits;
    cv_ffi_type state_type;
} cv_ffi_metadata;

typedef struct {
    cv_ffi_extension base;
    cv_ffi_metadata* metadata;
} cv_ffi_metadata_extension;

/* What the functions of the API take, each a struct of its own. Fields marked `out` are answers. */
typedef struct {
    size_t struct_size;
    cv_ffi_extension* extensions;
    const char* message;
    int code; /* 2 unknown, 3 invalid argument, 5 not found, 8 no memory, 11 out of range, 12 not implemented, ... */
} cv_ffi_error_create_args;

typedef struct {
    size_t struct_size;
    cv_ffi_extension* extensions;
    cv_ffi_error* error;
    const char* message; /* out */
    int code;            /* out */
} cv_ffi_error_details_args;

typedef struct {
    size_t struct_size;
    cv_ffi_extension* extensions;
    cv_ffi_error* error;
} cv_ffi_error_destroy_args;

typedef struct {
    size_t struct_size;
    cv_ffi_extension* extensions;
    cv_ffi_text name;
    cv_ffi_type* type; /* in, out */
    const cv_ffi_type_info* info;
} cv_ffi_type_register_args;

typedef struct {
    size_t struct_size;
    cv_ffi_extension* extensions;
    cv_ffi_context* context;
    int stage;
    cv_ffi_type* type;
    void* state; /* out of `state_get` */
} cv_ffi_state_args;

typedef struct {
    size_t struct_size;
    cv_ffi_extension* extensions;
    cv_ffi_context* context;
    size_t size;
    size_t alignment;
    void* data; /* out */
} cv_ffi_allocate_args;

typedef struct {
    size_t struct_size;
    cv_ffi_extension* extensions;
    cv_ffi_context* context;
    size_t size;
    void* data;
} cv_ffi_free_args;

typedef struct {
    size_t struct_size;
    cv_ffi_extension* extensions;
    cv_ffi_context* context;
    void (*task)(void* data);
    void* data;
} cv_ffi_schedule_args;

typedef struct {
    size_t struct_size;
    cv_ffi_extension* extensions;
    cv_ffi_context* context;
    int64_t* count; /* out */
} cv_ffi_threads_args;

typedef struct {
    size_t struct_size;
    cv_ffi_extension* extensions;
    cv_ffi_future* future; /* out of `future_create` */
    cv_ffi_error* error;   /* of `future_set_error` alone, which takes it over */
} cv_ffi_future_args;

typedef struct {
    size_t struct_size;
    cv_ffi_extension* extensions;
    cv_ffi_context* context;
    int64_t run; /* out */
} cv_ffi_run_args;

typedef struct {
    size_t struct_size;
    cv_ffi_extension* extensions;
    cv_ffi_context* context;
    int32_t device; /* out */
} cv_ffi_device_args;

typedef struct {
    size_t struct_size;
    cv_ffi_extension* extensions;
    cv_ffi_context* context;
    int64_t type;
    const void* extension; /* out */
} cv_ffi_find_args;

typedef cv_ffi_error* cv_ffi_function(void* args);

struct cv_ffi_api {
    size_t struct_size;
    cv_ffi_extension* extensions;
    cv_ffi_version version;
    const void* internal;
    cv_ffi_error* (*error_create)(cv_ffi_error_create_args* args);
    void (*error_details)(cv_ffi_error_details_args* args);
    void (*error_destroy)(cv_ffi_error_destroy_args* args);
    cv_ffi_function* handler_register; /* not here: use covector.ffi.register_ffi_target */
    cv_ffi_function* stream;           /* there is none */
    cv_ffi_error* (*type_register)(cv_ffi_type_register_args* args);
    cv_ffi_function* context_get; /* there is nothing to get */
    cv_ffi_error* (*state_set)(cv_ffi_state_args* args);
    cv_ffi_error* (*state_get)(cv_ffi_state_args* args);
    cv_ffi_error* (*allocate)(cv_ffi_allocate_args* args); /* freed after the call, if not before */
    cv_ffi_error* (*free)(cv_ffi_free_args* args);
    cv_ffi_error* (*schedule)(cv_ffi_schedule_args* args); /* runs the task before it returns */
    cv_ffi_error* (*thread_count)(cv_ffi_threads_args* args);
    cv_ffi_error* (*future_create)(cv_ffi_future_args* args);
    cv_ffi_error* (*future_set_available)(cv_ffi_future_args* args);
    cv_ffi_error* (*future_set_error)(cv_ffi_future_args* args);
    cv_ffi_error* (*run)(cv_ffi_run_args* args);
    cv_ffi_error* (*device)(cv_ffi_device_args* args);
    cv_ffi_error* (*find_extension)(cv_ffi_find_args* args);
    cv_ffi_function* custom_options; /* there are none */
};

/* Whether a handler is asked what it is, and not called. */
static inline int cv_ffi_is_metadata(const cv_ffi_call* call) {
    return call->extensions != NULL && call->extensions->type == 1;
}

/* The answer: compiled with this header. */
static inline cv_ffi_error* cv_ffi_tell_version(cv_ffi_call* call) {
    cv_ffi_metadata* found = ((cv_ffi_metadata_extension*)call->extensions)->metadata;
    found->version.major_version = CV_FFI_MAJOR;
    found->version.minor_version = CV_FFI_MINOR;
    return NULL;
}

/* An error with a message. */
static inline cv_ffi_error* cv_ffi_fail(const cv_ffi_call* call, int code, const char* message) {
    cv_ffi_error_create_args args;
    args.struct_size = sizeof(args);
    args.extensions = NULL;
    args.message = message;
    args.code = code;
    return call->api->error_create(&args);
}

#ifdef __cplusplus
}
#endif
#endif
