/* The state in which other libraries leave the vector registers. */
#ifndef PTYCHOPRODUCT_VECTORS_H
#define PTYCHOPRODUCT_VECTORS_H

/*
 * Clear the upper halves of the vector registers. isal's CRC-32 leaves values there, which slow down SSE2 code in the
 * same thread: square roots take four times as long, bitshuffle a fifth longer.
 */
#if defined(__GNUC__) && (defined(__x86_64__) || defined(__i386__))
__attribute__((target("avx"))) static inline void pp_zero_upper_halves(void) { __builtin_ia32_vzeroupper(); }

static inline void pp_clear_vectors(void)
{
    if (__builtin_cpu_supports("avx")) {
        pp_zero_upper_halves();
    }
}
#else
static inline void pp_clear_vectors(void) {}
#endif

#endif
