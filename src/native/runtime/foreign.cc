// The calls, and the functions that handlers find in the API.
//
// Nothing here knows the host. A handler is called on the thread that runs the Program; what it
// allocates and does not free goes when it has returned, and one that works on is waited for.
#include "runtime/foreign.h"

#include <condition_variable>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <new>
#include <unordered_map>

#include "runtime/common.h"
#include "runtime/status.h"

struct cv_ffi_error {
    covector::ForeignFailure failure;
};

struct cv_ffi_context {
    covector::ForeignState states[covector::Foreign::kStages];
    std::vector<void*> allocated;
    int64_t run = 0;
};

struct cv_ffi_future {
    std::mutex mutex;
    std::condition_variable done;
    bool available = false;
    covector::ForeignFailure failure;
};

namespace covector {
namespace {

constexpr int kInvalidArgument = 3, kNotFound = 5, kNoMemoryLeft = 8, kNotImplemented = 12;
constexpr int kUnknown = 2;

cv_ffi_error* error(int code, std::string message) {
    return new cv_ffi_error{{code, std::move(message)}};
}

ForeignFailure taken(cv_ffi_error* found) {
    if (found == nullptr) return {};
    ForeignFailure failure = std::move(found->failure);
    if (failure.code == 0) failure.code = kUnknown;
    delete found;
    return failure;
}

// --- types of state ---

struct StateTypes {
    std::mutex mutex;
    std::unordered_map<std::string, int64_t> numbers;
    std::unordered_map<int64_t, void (*)(void*)> deleters;
};

StateTypes& state_types() {
    static StateTypes* instance = new StateTypes;  // handlers may run at exit
    return *instance;
}

void delete_state(const ForeignState& state) {
    if (state.object == nullptr) return;
    StateTypes& types = state_types();
    void (*deleter)(void*) = nullptr;
    {
        std::lock_guard<std::mutex> lock(types.mutex);
        const auto found = types.deleters.find(state.type);
        if (found != types.deleters.end()) deleter = found->second;
    }
    if (deleter != nullptr) deleter(state.object);
}

// --- the API ---

cv_ffi_error* error_create(cv_ffi_error_create_args* args) {
    return error(args->code, args->message == nullptr ? "" : args->message);
}

void error_details(cv_ffi_error_details_args* args) {
    args->message = args->error->failure.message.c_str();
    args->code = args->error->failure.code;
}

void error_destroy(cv_ffi_error_destroy_args* args) { delete args->error; }

cv_ffi_error* no_register(void*) {
    return error(kNotImplemented, "register targets with covector.ffi.register_ffi_target");
}

cv_ffi_error* no_stream(void*) { return error(kNotImplemented, "there are no streams on this device"); }

cv_ffi_error* type_register(cv_ffi_type_register_args* args) {
    const std::string name(args->name.text, args->name.size);
    const ForeignFailure failure = foreign_register_type(name, args->type, args->info);
    return failure.code == 0 ? nullptr : error(failure.code, failure.message);
}

cv_ffi_error* no_context(void*) { return error(kNotFound, "nothing was put into the context of the call"); }

cv_ffi_error* state_set(cv_ffi_state_args* args) {
    if (args->stage < 0 || args->stage >= Foreign::kStages) {
        return error(kInvalidArgument, "there is no such stage");
    }
    ForeignState& state = args->context->states[args->stage];
    if (state.object != nullptr) return error(kInvalidArgument, "the state of this stage is set already");
    state = {args->type->number, args->state};
    return nullptr;
}

cv_ffi_error* state_get(cv_ffi_state_args* args) {
    if (args->stage < 0 || args->stage >= Foreign::kStages) {
        return error(kInvalidArgument, "there is no such stage");
    }
    const ForeignState& state = args->context->states[args->stage];
    if (state.object == nullptr) return error(kNotFound, "the state of this stage is not set");
    if (state.type != args->type->number) {
        return error(kInvalidArgument, "the state of this stage is of another type");
    }
    args->state = state.object;
    return nullptr;
}

cv_ffi_error* allocate(cv_ffi_allocate_args* args) {
    const size_t alignment = args->alignment < sizeof(void*) ? sizeof(void*) : args->alignment;
    void* data = nullptr;
    if (posix_memalign(&data, alignment, args->size == 0 ? 1 : args->size) != 0) {
        return error(kNoMemoryLeft, "there is no memory for " + std::to_string(args->size) + " bytes");
    }
    args->context->allocated.push_back(data);
    args->data = data;
    return nullptr;
}

cv_ffi_error* release(cv_ffi_free_args* args) {
    std::vector<void*>& all = args->context->allocated;
    for (void*& data : all) {
        if (data == args->data) {
            std::free(data);
            data = all.back();
            all.pop_back();
            return nullptr;
        }
    }
    return error(kInvalidArgument, "this memory was not allocated in this call");
}

cv_ffi_error* schedule(cv_ffi_schedule_args* args) {
    args->task(args->data);
    return nullptr;
}

cv_ffi_error* thread_count(cv_ffi_threads_args* args) {
    *args->count = 1;
    return nullptr;
}

cv_ffi_error* future_create(cv_ffi_future_args* args) {
    args->future = new cv_ffi_future;
    return nullptr;
}

cv_ffi_error* complete(cv_ffi_future* future, ForeignFailure failure) {
    std::lock_guard<std::mutex> lock(future->mutex);
    future->failure = std::move(failure);
    future->available = true;
    future->done.notify_all();  // under the lock: who waits deletes it
    return nullptr;
}

cv_ffi_error* future_set_available(cv_ffi_future_args* args) { return complete(args->future, {}); }
cv_ffi_error* future_set_error(cv_ffi_future_args* args) {
    return complete(args->future, taken(args->error));
}

ForeignFailure waited(cv_ffi_future* future) {
    ForeignFailure failure;
    {
        std::unique_lock<std::mutex> lock(future->mutex);
        future->done.wait(lock, [&] { return future->available; });
        failure = std::move(future->failure);
    }
    delete future;
    return failure;
}

cv_ffi_error* run_number(cv_ffi_run_args* args) {
    args->run = args->context->run;
    return nullptr;
}

cv_ffi_error* device_number(cv_ffi_device_args* args) {
    args->device = 0;
    return nullptr;
}

cv_ffi_error* find_extension(cv_ffi_find_args* args) {
    args->extension = nullptr;
    return nullptr;
}

cv_ffi_error* no_options(void*) { return error(kNotFound, "there are no options of the call's"); }

const cv_ffi_api kApi = {
    sizeof(cv_ffi_api), nullptr, {sizeof(cv_ffi_version), nullptr, CV_FFI_MAJOR, CV_FFI_MINOR},
    nullptr,            error_create,
    error_details,      error_destroy,
    no_register,        no_stream,
    type_register,      no_context,
    state_set,          state_get,
    allocate,           release,
    schedule,           thread_count,
    future_create,      future_set_available,
    future_set_error,   run_number,
    device_number,      find_extension,
    no_options,
};

// The struct as handlers check its size: without `future`, which came later.
constexpr size_t kCallSize = offsetof(cv_ffi_call, attrs) + sizeof(cv_ffi_attributes);

cv_ffi_buffers buffers(int64_t size, int* types, void** items) {
    return {sizeof(cv_ffi_buffers), nullptr, size, types, items};
}

// The FFI's numbers of our dtypes, in the order of our codes.
constexpr int kDtypes[] = {
    CV_FFI_BOOL,    CV_FFI_INT8,    CV_FFI_INT16,    CV_FFI_INT32,   CV_FFI_INT64,
    CV_FFI_UINT8,   CV_FFI_UINT16,  CV_FFI_UINT32,   CV_FFI_UINT64,  CV_FFI_FLOAT16,
    CV_FFI_BFLOAT16, CV_FFI_FLOAT32, CV_FFI_FLOAT64, CV_FFI_COMPLEX64, CV_FFI_COMPLEX128,
    CV_FFI_INT1, CV_FFI_INT2, CV_FFI_INT4, CV_FFI_UINT1, CV_FFI_UINT2, CV_FFI_UINT4,
    CV_FFI_FLOAT4_E2M1FN, CV_FFI_FLOAT6_E2M3FN, CV_FFI_FLOAT6_E3M2FN, CV_FFI_FLOAT8_E3M4,
    CV_FFI_FLOAT8_E4M3, CV_FFI_FLOAT8_E4M3B11FNUZ, CV_FFI_FLOAT8_E4M3FN, CV_FFI_FLOAT8_E4M3FNUZ,
    CV_FFI_FLOAT8_E5M2, CV_FFI_FLOAT8_E5M2FNUZ, CV_FFI_FLOAT8_E8M0FNU,
};

// The values of one call in the layout.
struct Values {
    std::vector<cv_ffi_buffer> values;
    std::vector<void*> items;
    std::vector<int> types;

    Values(int64_t count, void* const* words) : types(static_cast<size_t>(count), 1) {
        values.reserve(static_cast<size_t>(count));
        items.reserve(static_cast<size_t>(count));
        for (int64_t i = 0; i < count; ++i) {
            const auto type = reinterpret_cast<uintptr_t>(words[1]);
            const auto rank = static_cast<int64_t>(type >> 16);
            auto* dims = reinterpret_cast<int64_t*>(const_cast<void**>(words + 2));
            values.push_back({sizeof(cv_ffi_buffer), nullptr, kDtypes[type & 0xff], words[0], rank, dims});
            items.push_back(&values.back());
            words += 2 + rank;
        }
    }
};

ForeignFailure run_stage(cv_ffi_handler* handler, cv_ffi_call* call, int stage) {
    call->stage = stage;
    call->future = nullptr;
    ForeignFailure failure = taken(handler(call));
    if (call->future == nullptr) return failure;
    ForeignFailure late = waited(call->future);
    return failure.code != 0 ? failure : late;
}

std::atomic<int64_t> g_runs{0};

thread_local std::pair<std::string, ForeignFailure> tls_failure;

}  // namespace

// --- attributes ---

void ForeignAttributes::add(const std::string& name, int type, void* item) {
    texts_.push_back(name);
    spans_.push_back({texts_.back().data(), texts_.back().size()});
    names_.push_back(&spans_.back());
    types_.push_back(type);
    items_.push_back(item);
}

void* ForeignAttributes::keep(const void* bytes, size_t size) {
    bytes_.emplace_back(new char[size == 0 ? 1 : size]);
    std::memcpy(bytes_.back().get(), bytes, size);
    return bytes_.back().get();
}

void ForeignAttributes::add_scalar(const std::string& name, int dtype, const void* bytes, size_t size) {
    scalars_.push_back({kDtypes[dtype], keep(bytes, size)});
    add(name, CV_FFI_SCALAR, &scalars_.back());
}

void ForeignAttributes::add_string(const std::string& name, const std::string& text) {
    texts_.push_back(text);
    spans_.push_back({texts_.back().data(), texts_.back().size()});
    add(name, CV_FFI_STRING, &spans_.back());
}

void ForeignAttributes::add_array(const std::string& name, int dtype, const void* bytes, size_t size,
                                  size_t count) {
    arrays_.push_back({kDtypes[dtype], count, keep(bytes, size)});
    add(name, CV_FFI_ARRAY, &arrays_.back());
}

void ForeignAttributes::add_dictionary(const std::string& name,
                                       std::unique_ptr<ForeignAttributes> inner) {
    inner_.push_back(std::move(inner));
    dictionaries_.push_back(inner_.back()->layout());
    add(name, CV_FFI_DICTIONARY, &dictionaries_.back());
}

cv_ffi_attributes ForeignAttributes::layout() const {
    return {sizeof(cv_ffi_attributes), nullptr, static_cast<int64_t>(items_.size()),
            const_cast<int*>(types_.data()), const_cast<cv_ffi_text**>(names_.data()),
            const_cast<void**>(items_.data())};
}

// --- calls ---

Foreign::Foreign(std::string name, cv_ffi_handler* const (&stages)[kStages],
                 ForeignAttributes attributes)
    : name_(std::move(name)), attributes_(std::move(attributes)) {
    std::memcpy(stages_, stages, sizeof(stages_));
}

Foreign::~Foreign() { delete_state(instantiated_); }

ForeignFailure Foreign::instantiate() {
    if (stages_[CV_FFI_INSTANTIATE] == nullptr) return {};
    cv_ffi_context context;
    cv_ffi_call call{kCallSize, nullptr, &kApi, &context, CV_FFI_INSTANTIATE, buffers(0, nullptr, nullptr),
                     buffers(0, nullptr, nullptr), attributes_.layout(), nullptr};
    ForeignFailure failure = run_stage(stages_[CV_FFI_INSTANTIATE], &call, CV_FFI_INSTANTIATE);
    instantiated_ = context.states[CV_FFI_INSTANTIATE];
    return failure;
}

ForeignFailure Foreign::call(int64_t operands, int64_t count, void* const* words) {
    Values all(count, words);
    cv_ffi_context context;
    context.states[CV_FFI_INSTANTIATE] = instantiated_;
    context.run = g_runs.fetch_add(1, std::memory_order_relaxed);
    const auto split = static_cast<size_t>(operands);
    cv_ffi_call call{kCallSize, nullptr, &kApi, &context, CV_FFI_EXECUTE,
                     buffers(operands, all.types.data(), all.items.data()),
                     buffers(count - operands, all.types.data() + split, all.items.data() + split),
                     attributes_.layout(), nullptr};
    ForeignFailure failure;
    for (int stage = CV_FFI_PREPARE; stage < kStages && failure.code == 0; ++stage) {
        if (stages_[stage] != nullptr) failure = run_stage(stages_[stage], &call, stage);
    }
    for (int stage = CV_FFI_PREPARE; stage < kStages; ++stage) delete_state(context.states[stage]);
    for (void* data : context.allocated) std::free(data);
    return failure;
}

ForeignFailure foreign_version(cv_ffi_handler* handler, int* major, int* minor) {
    cv_ffi_metadata metadata{sizeof(cv_ffi_metadata), {sizeof(cv_ffi_version), nullptr, -1, -1}, 0, {0}};
    cv_ffi_metadata_extension extension{{sizeof(cv_ffi_metadata_extension), 1, nullptr}, &metadata};
    cv_ffi_call call{kCallSize, &extension.base, &kApi, nullptr, CV_FFI_EXECUTE, buffers(0, nullptr, nullptr),
                     buffers(0, nullptr, nullptr), {}, nullptr};
    call.attrs.struct_size = sizeof(cv_ffi_attributes);
    ForeignFailure failure = taken(handler(&call));
    *major = metadata.version.major_version;
    *minor = metadata.version.minor_version;
    return failure;
}

ForeignFailure foreign_register_type(const std::string& name, cv_ffi_type* type,
                                     const cv_ffi_type_info* info) {
    StateTypes& types = state_types();
    std::lock_guard<std::mutex> lock(types.mutex);
    const auto known = types.numbers.find(name);
    if (known != types.numbers.end()) {
        if (type->number != 0 && type->number != known->second) {
            return {kInvalidArgument, "there is another type of state named " + name};
        }
        type->number = known->second;
        return {};
    }
    type->number = static_cast<int64_t>(types.numbers.size()) + 1;
    types.numbers.emplace(name, type->number);
    if (info != nullptr && info->deleter != nullptr) types.deleters.emplace(type->number, info->deleter);
    return {};
}

std::pair<std::string, ForeignFailure> take_foreign_failure() {
    return std::exchange(tls_failure, {});
}

}  // namespace covector

extern "C" int32_t cv_foreign(const void* call, int64_t operands, int64_t count, void* const* words) {
    auto* foreign = static_cast<covector::Foreign*>(const_cast<void*>(call));
    try {
        covector::ForeignFailure failure = foreign->call(operands, count, words);
        if (failure.code == 0) return covector::kNoError;
        covector::tls_failure = {foreign->name(), std::move(failure)};
        return covector::kForeignFailed;
    } catch (const std::bad_alloc&) {
        return covector::kOutOfMemory;
    }
}
