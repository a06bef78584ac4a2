// Functions of users' in the C layout of XLA's typed FFI, called from compiled code without the host.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "covector/ffi.h"

// Calls a Foreign on `count` values, described as for `Host::call_back`.
extern "C" int32_t cv_foreign(const void* call, int64_t operands, int64_t count, void* const* words);

namespace covector {

// Attributes in the layout, with the memory that they lie in.
class ForeignAttributes {
public:
    // In the order in which they are added, which must be that of their names.
    void add_scalar(const std::string& name, int dtype, const void* bytes, size_t size);
    void add_string(const std::string& name, const std::string& text);
    void add_array(const std::string& name, int dtype, const void* bytes, size_t size, size_t count);
    void add_dictionary(const std::string& name, std::unique_ptr<ForeignAttributes> inner);

    // Valid as long as this is, wherever it is moved, and nothing is added.
    cv_ffi_attributes layout() const;

private:
    void add(const std::string& name, int type, void* item);
    void* keep(const void* bytes, size_t size);

    std::deque<std::string> texts_;
    std::deque<cv_ffi_text> spans_;
    std::deque<std::unique_ptr<char[]>> bytes_;
    std::deque<cv_ffi_scalar> scalars_;
    std::deque<cv_ffi_array> arrays_;
    std::deque<std::unique_ptr<ForeignAttributes>> inner_;
    std::deque<cv_ffi_attributes> dictionaries_;
    std::vector<int> types_;
    std::vector<cv_ffi_text*> names_;
    std::vector<void*> items_;
};

// What a handler said went wrong: a code of the FFI's, and a message.
struct ForeignFailure {
    int code = 0;  // 0: nothing did
    std::string message;
};

// The state that handlers of one stage have left for the next ones.
struct ForeignState {
    int64_t type = 0;
    void* object = nullptr;
};

// A target with its attributes, as one place of a compiled Program calls it.
class Foreign {
public:
    static constexpr int kStages = CV_FFI_EXECUTE + 1;

    Foreign(std::string name, cv_ffi_handler* const (&stages)[kStages], ForeignAttributes attributes);
    ~Foreign();
    Foreign(const Foreign&) = delete;
    Foreign& operator=(const Foreign&) = delete;

    // Once, before all calls.
    ForeignFailure instantiate();
    // Runs on the thread of its caller, from any number of threads at a time.
    ForeignFailure call(int64_t operands, int64_t count, void* const* words);
    const std::string& name() const { return name_; }

private:
    std::string name_;
    cv_ffi_handler* stages_[kStages];
    ForeignAttributes attributes_;
    ForeignState instantiated_;
};

// What a handler says of itself: (major, minor) of the header that it was compiled with, or a failure.
ForeignFailure foreign_version(cv_ffi_handler* handler, int* major, int* minor);

// Gives a type of state a number, as handlers do it themselves.
ForeignFailure foreign_register_type(const std::string& name, cv_ffi_type* type,
                                     const cv_ffi_type_info* info);

// What the last call on this thread that returned `kForeignFailed` says; it is forgotten here.
std::pair<std::string, ForeignFailure> take_foreign_failure();

}  // namespace covector
