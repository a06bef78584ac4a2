// Machine code from object files, linked in memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <unordered_map>

namespace covector {

// Machine code in memory, and where its functions begin; freed when it goes.
class ObjectCode {
public:
    // Where a name from outside is; 0 if there is none.
    using Find = uintptr_t (*)(void* context, const char* name);
    enum class Outcome { kDone, kNotTaken, kNoRoom };

    ObjectCode() = default;
    ~ObjectCode();
    ObjectCode(const ObjectCode&) = delete;
    ObjectCode& operator=(const ObjectCode&) = delete;

    // Links an object file, once. It takes what compiled Programs are: ELF for x86-64, code and
    // constants, no data that is written, and all names found.
    Outcome link(const uint8_t* data, size_t size, Find find, void* context);

    uintptr_t address(const std::string& name) const;  // 0: there is no such function

private:
    std::unordered_map<std::string, uintptr_t> functions_;
    uint8_t* memory_ = nullptr;
    size_t bytes_ = 0;
};

}  // namespace covector
