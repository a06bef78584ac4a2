// The order of elements: as unsigned integers of the same order, for each dtype.
#pragma once

#include <cstdint>

#include "runtime/pool.h"
#include "runtime/wide.h"

namespace covector {

// Calls f(piece, begin, end) for the pieces of [0, n), in parallel.
template <class F>
void for_pieces(int64_t n, int64_t pieces, const F& f) {
    struct Context {
        const F& f;
        int64_t n, pieces;
    } context{f, n, pieces};
    cv_parallel_for(
        [](void* pointer, int64_t begin, int64_t end) {
            const auto& c = *static_cast<Context*>(pointer);
            for (int64_t p = begin; p < end; ++p) {
                c.f(p, c.n * p / c.pieces, c.n * (p + 1) / c.pieces);
            }
        },
        &context, pieces, 1);
}

template <class U>
constexpr U kSign = U{1} << (8 * sizeof(U) - 1);

// The dtypes: how an element (as bits), or a vector of them, becomes a key of the same order and back.
// Zeros of both signs are equal, NaNs are equal and last: `is_odd` are those that do not come back from
// their key.
template <class Bits>
struct Unsigned {
    using Raw = Bits;
    static constexpr bool kHasOdd = false;
    template <class V>
    CV_INLINE static V encode(V x) { return x; }
    template <class V>
    CV_INLINE static V decode(V key) { return key; }
    static bool is_odd(Raw) { return false; }
};

template <class Bits>
struct Signed {
    using Raw = Bits;
    static constexpr bool kHasOdd = false;
    template <class V>
    CV_INLINE static V encode(V x) { return static_cast<V>(x ^ kSign<Raw>); }
    template <class V>
    CV_INLINE static V decode(V key) { return static_cast<V>(key ^ kSign<Raw>); }
    static bool is_odd(Raw) { return false; }
};

// Written without branches, for the compiler's vectors.
template <class Bits, Bits kInfinity>
struct Float {
    using Raw = Bits;
    static constexpr bool kHasOdd = true;
    static constexpr int kShift = 8 * sizeof(Raw) - 1;
    template <class V>
    CV_INLINE static auto is_nan(V x) { return (x & static_cast<Raw>(~kSign<Raw>)) > kInfinity; }
    template <class V>
    CV_INLINE static V encode(V x) {
        x = x == kSign<Raw> ? V{} : x;
        const auto negative = static_cast<V>(V{} - (x >> kShift));  // all bits or none
        const auto key = static_cast<V>(x ^ (negative | kSign<Raw>));
        return is_nan(x) ? static_cast<V>(~V{}) : key;
    }
    template <class V>
    CV_INLINE static V decode(V key) {
        const auto negative = static_cast<V>((key >> kShift) - 1);
        return static_cast<V>(key ^ (negative | kSign<Raw>));
    }
    // Not 0 where an element does not come back. Truth values of long vectors GCC would take apart.
    template <class V>
    CV_INLINE static V is_odd(V x) { return static_cast<V>(x ^ decode(encode(x))); }
};

// f(Type{}) for the dtype with this code; the codes are those of types/dtypes.py.
template <class F>
auto with_order(int64_t code, const F& f) {
    switch (code) {
        case 0:
        case 5: return f(Unsigned<uint8_t>{});
        case 1: return f(Signed<uint8_t>{});
        case 2: return f(Signed<uint16_t>{});
        case 3: return f(Signed<uint32_t>{});
        case 4: return f(Signed<uint64_t>{});
        case 6: return f(Unsigned<uint16_t>{});
        case 7: return f(Unsigned<uint32_t>{});
        case 8: return f(Unsigned<uint64_t>{});
        case 9: return f(Float<uint16_t, 0x7C00>{});
        case 10: return f(Float<uint16_t, 0x7F80>{});
        case 11: return f(Float<uint32_t, 0x7F800000>{});
        default: return f(Float<uint64_t, 0x7FF0000000000000>{});
    }
}

}  // namespace covector
