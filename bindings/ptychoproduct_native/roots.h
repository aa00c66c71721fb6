/*
 * Amplitudes to the whole numbers that they are made of, and back, bit for bit. Pure C11, no allocation, no global
 * state, no HDF5 and no Python.
 *
 * Every step is an operation that IEEE 754 rounds correctly, so that the results are the same on every machine.
 */
#ifndef PTYCHOPRODUCT_ROOTS_H
#define PTYCHOPRODUCT_ROOTS_H

#include <stddef.h>
#include <stdint.h>

typedef enum { PP_SINGLE, PP_DOUBLE } pp_precision;
typedef enum { PP_NO_ROOT, PP_ROOT } pp_root;
typedef enum { PP_NO_SCALING, PP_DIVIDE, PP_MULTIPLY } pp_scaling;

/*
 * How an amplitude is computed: count, square root, scaling, rounding to the amplitude's own type. The precision of a
 * step is that of its operand, which is rounded to it first, and of its result.
 */
typedef struct {
    pp_root root;
    pp_precision root_precision;
    pp_scaling scaling;
    pp_precision scaling_precision;
    double scale; /* finite and positive */
} pp_recipe;

/*
 * Find the counts of n amplitudes, float for PP_SINGLE. `counts` holds n integers of `count_size` bytes (1, 2 or 4), or
 * is NULL where only the check is wanted. Returns the index of the first amplitude that no count gives back bit for
 * bit, or n; `counts` then holds all counts, and `largest` the largest. Where that is more than `count_size` bytes
 * hold, the counts are cut off, and of no use. No count is larger than 2^32 - 1.
 */
size_t pp_counts_of(const void *amplitudes, pp_precision precision, size_t n, const pp_recipe *recipe, void *counts,
                    size_t count_size, uint32_t *largest);

/* Compute the amplitudes of n counts. `amplitudes` and `counts` do not overlap. */
void pp_amplitudes_of(const void *counts, size_t count_size, size_t n, const pp_recipe *recipe, void *amplitudes,
                      pp_precision precision);

#endif
