/*
 * The bitshuffle of filter 32008: bit b of byte j of element i goes to bit i % 8 of dst[(8 * j + b) * (n / 8) + i / 8].
 * Pure C11, no allocation, no global state, no HDF5 and no Python.
 * K. Masui et al., "A compression scheme for radio data in high performance computing", Astronomy and Computing 12 (2015).
 */
#ifndef PTYCHOPRODUCT_BITSHUFFLE_H
#define PTYCHOPRODUCT_BITSHUFFLE_H

#include <stdbool.h>
#include <stddef.h>

/*
 * Shuffles or restores n elements of `itemsize` bytes. n is a multiple of 8, `itemsize` one of 1, 2, 4, 8, 16; `src` and
 * `dst` hold n * itemsize bytes each and do not overlap.
 */
typedef void pp_bitshuffle_function(unsigned char *dst, const unsigned char *src, size_t n, size_t itemsize);

typedef struct {
    const char *name; /* of the vectors that it uses */
    pp_bitshuffle_function *shuffle;
    pp_bitshuffle_function *unshuffle;
} pp_bitshuffle_kernel;

/* Return the kernel of a number that this processor can run, the fastest first; NULL where there are no more. */
const pp_bitshuffle_kernel *pp_bitshuffle_kernel_at(size_t number);

/* Whether the kernels know elements of this size. */
bool pp_bitshuffle_has(size_t itemsize);

#endif
