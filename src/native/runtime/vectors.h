// The sets of instructions that routines are compiled for beside the plain one, and which of them is
// used: what the processor has and the tests allow.
#pragma once

#if defined(__x86_64__)
#define CV_AVX2 __attribute__((target("avx2,fma")))
#define CV_AVX512 __attribute__((target("avx512f,avx512dq,avx512vl,fma,prefer-vector-width=512")))
// make(Name, bytes, attributes) for each set: a template of one type that is compiled for it, and the
// length of its vectors.
#define CV_VARIANTS(make) make(Plain, 16, ) make(Avx2, 32, CV_AVX2) make(Avx512, 64, CV_AVX512)
#else
#define CV_VARIANTS(make)     \
    make(Plain, 16, )         \
    template <typename T>     \
    using Avx2 = Plain<T>;    \
    template <typename T>     \
    using Avx512 = Plain<T>;
#endif

namespace covector {

// The bytes of the longest vectors that are used: 64 (AVX-512), 32 (AVX2 with FMA) or 16.
int vector_bytes();

// Uses no longer ones from now on, for what begins after that; returns the previous limit.
int set_vectors(int bytes);

// Of what is compiled for each set, the one to use.
template <typename K>
K best_of(const K& plain, const K& avx2, const K& avx512) {
    const int bytes = vector_bytes();
    return bytes >= 64 ? avx512 : bytes >= 32 ? avx2 : plain;
}

}  // namespace covector
