// The structures of the DLPack exchange protocol, version 1.0 (https://dmlc.github.io/dlpack).
#pragma once

#include <cstdint>

namespace covector {

constexpr int32_t kDLCPU = 1;
constexpr uint64_t kDLReadOnly = 1;
constexpr uint64_t kDLIsCopied = 2;

enum DLTypeCode : uint8_t {
    kDLInt,
    kDLUInt,
    kDLFloat,
    kDLBfloat = 4,
    kDLComplex,
    kDLBool,
    kDLFloat8E3M4,
    kDLFloat8E4M3,
    kDLFloat8E4M3B11FNUZ,
    kDLFloat8E4M3FN,
    kDLFloat8E4M3FNUZ,
    kDLFloat8E5M2,
    kDLFloat8E5M2FNUZ,
    kDLFloat8E8M0FNU,
    kDLNone = 255,  // ours: of what DLPack packs several elements into a byte, and we do not
};

struct DLDevice {
    int32_t type;
    int32_t id;
};

struct DLDataType {
    uint8_t code;
    uint8_t bits;
    uint16_t lanes;
};

struct DLTensor {
    void* data;
    DLDevice device;
    int32_t ndim;
    DLDataType dtype;
    int64_t* shape;
    int64_t* strides;
    uint64_t byte_offset;
};

struct DLManagedTensor {
    DLTensor tensor;
    void* context;
    void (*deleter)(DLManagedTensor* self);
};

struct DLManagedTensorVersioned {
    uint32_t major;
    uint32_t minor;
    void* context;
    void (*deleter)(DLManagedTensorVersioned* self);
    uint64_t flags;
    DLTensor tensor;
};

}  // namespace covector
