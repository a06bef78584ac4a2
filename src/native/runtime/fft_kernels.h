// What of a Fourier transform is done by vectors, for this processor.
//
// A vector holds the same element of many transforms, one in each lane: so there is no shuffling in
// the butterflies, and any radix is as good as any other.
#pragma once

#include <cstdint>

#include "runtime/vectors.h"

namespace covector {

constexpr int kLargestRadix = 31;  // of the primes; others are done by a convolution

// Where rows of complex numbers lie, in numbers of T. Either real and imaginary parts apart, in
// memory of ours that whole vectors may be read from and written to (`im` is not null), or one after
// the other, in a user's memory. Swapped, what is real counts as imaginary: the inverse transform is
// the forward one between swapped ends.
template <class T>
struct Rows {
    T* re;
    T* im;
    int64_t step;
    bool swapped = false;
    T factor = 1;  // that all that is stored is multiplied by (a user's memory alone)
    int64_t ahead = 0;  // how far beyond each number lies one that is read or written soon (there alone)
};

// One pass of Stockham's algorithm (W. Cochran et al., "What is the fast Fourier transform?", 1967):
// from rows q + s (p + m j) to rows q + s (r p + k), for j and k below r, p below m, q below s.
template <class T>
struct Pass {
    int64_t radix, m, s;
    const T* twiddles;  // e^(-2 pi i p k / (m r)), for each p and each k but 0
    const T* roots;     // cosines and sines of 2 pi j / r, one after the other
};

template <class T>
using PassFunction = void (*)(const Pass<T>& pass, const Rows<T>& in, const Rows<T>& out, int64_t lanes);

// Makes lanes rows and rows lanes. Twisted, lane j of row k is multiplied by e^(-2 pi i j k / n); of that
// by_tile has what is equal in a vector of lanes, by_lane what is equal in all vectors of a row.
template <class T>
using TurnFunction = void (*)(const Rows<T>& in, int64_t rows, int64_t lanes, const T* by_tile,
                              const T* by_lane, const Rows<T>& out);

// Between the transform of h complex numbers and that of the 2 h reals that they are pairs of.
// Forwards `out` has h + 1 numbers and may be `in`; backwards `in` has. roots: e^(-pi i k / h). Of k from 0
// to h / 2 it does those from `begin` to `end`, and h - k with them.
template <class T>
using SplitFunction = void (*)(const T* in, T* out, int64_t h, const T* roots, bool forwards,
                               int64_t begin, int64_t end);

constexpr int kRadices = 9;  // by number; 0 for all that have none of their own

template <class T>
struct FftKernels {
    int lanes;
    PassFunction<T> first[kRadices];   // from a user's memory to ours
    PassFunction<T> middle[kRadices];  // in ours
    PassFunction<T> last[kRadices];    // from ours to a user's
    TurnFunction<T> twist;             // in memory of ours, by roots
    TurnFunction<T> turn_in, turn_out; // from a user's memory, and to it
    SplitFunction<T> split;
};

#if defined(__x86_64__)
extern const FftKernels<float> kFftAvx512Float, kFftAvx2Float;
extern const FftKernels<double> kFftAvx512Double, kFftAvx2Double;
#endif
extern const FftKernels<float> kFftPlainFloat;
extern const FftKernels<double> kFftPlainDouble;

}  // namespace covector
