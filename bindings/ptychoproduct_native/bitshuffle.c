#include "bitshuffle.h"
#include "inline.h"

#include <stdint.h>
#include <string.h>

/*
 * The loops below are written so that compilers make vectors of them; each kernel is the same code for another
 * processor. Measured in GB/s, uint32, one core: SSE2 4, AVX2 9, AVX-512 20, with GFNI 28.
 */

/* Elements that are shuffled at once: they fit the first cache, and fill whole cache lines of each row of bits. */
enum { TILE = 2048, MOST_BYTES = 16 };

typedef void transpose_function(unsigned char *data, size_t nbytes);

/* Byte j of element i goes to dst[j * n + i]. */
INLINE void split(unsigned char *restrict dst, const unsigned char *restrict src, size_t n, size_t itemsize)
{
    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j < itemsize; j++) {
            dst[j * n + i] = src[i * itemsize + j];
        }
    }
}

/* Undo split. */
INLINE void join(unsigned char *restrict dst, const unsigned char *restrict src, size_t n, size_t itemsize)
{
    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j < itemsize; j++) {
            dst[i * itemsize + j] = src[j * n + i];
        }
    }
}

/* Transpose each eight bytes, a little-endian number, as 8 x 8 bits: blocks of one bit change places, of two, of four. */
INLINE void transpose_words(unsigned char *data, size_t nbytes)
{
    for (size_t i = 0; i < nbytes; i += 8) {
        uint64_t bits, moved;
        memcpy(&bits, data + i, 8);
        moved = (bits ^ (bits >> 7)) & 0x00AA00AA00AA00AA;
        bits ^= moved ^ (moved << 7);
        moved = (bits ^ (bits >> 14)) & 0x0000CCCC0000CCCC;
        bits ^= moved ^ (moved << 14);
        moved = (bits ^ (bits >> 28)) & 0x00000000F0F0F0F0;
        bits ^= moved ^ (moved << 28);
        memcpy(data + i, &bits, 8);
    }
}

INLINE void shuffle_tile(unsigned char *dst, const unsigned char *src, size_t n, size_t count, size_t itemsize,
                         transpose_function *transpose)
{
    unsigned char bytes[TILE * MOST_BYTES], rows[TILE];
    const size_t row_bytes = count / 8;
    split(bytes, src, count, itemsize);
    transpose(bytes, itemsize * count);
    for (size_t j = 0; j < itemsize; j++) {
        split(rows, bytes + j * count, row_bytes, 8);
        for (size_t b = 0; b < 8; b++) {
            memcpy(dst + (8 * j + b) * (n / 8), rows + b * row_bytes, row_bytes);
        }
    }
}

INLINE void unshuffle_tile(unsigned char *dst, const unsigned char *src, size_t n, size_t count, size_t itemsize,
                           transpose_function *transpose)
{
    unsigned char bytes[TILE * MOST_BYTES], rows[TILE];
    const size_t row_bytes = count / 8;
    for (size_t j = 0; j < itemsize; j++) {
        for (size_t b = 0; b < 8; b++) {
            memcpy(rows + b * row_bytes, src + (8 * j + b) * (n / 8), row_bytes);
        }
        join(bytes + j * count, rows, row_bytes, 8);
    }
    transpose(bytes, itemsize * count);
    join(dst, bytes, count, itemsize);
}

INLINE void shuffle(unsigned char *dst, const unsigned char *src, size_t n, size_t itemsize, transpose_function *transpose)
{
    size_t i = 0;
    for (; i + TILE <= n; i += TILE) {
        shuffle_tile(dst + i / 8, src + i * itemsize, n, TILE, itemsize, transpose);
    }
    shuffle_tile(dst + i / 8, src + i * itemsize, n, n - i, itemsize, transpose);
}

INLINE void unshuffle(unsigned char *dst, const unsigned char *src, size_t n, size_t itemsize, transpose_function *transpose)
{
    size_t i = 0;
    for (; i + TILE <= n; i += TILE) {
        unshuffle_tile(dst + i * itemsize, src + i / 8, n, TILE, itemsize, transpose);
    }
    unshuffle_tile(dst + i * itemsize, src + i / 8, n, n - i, itemsize, transpose);
}

/* With a constant size the compiler knows how to interleave vectors. */
#define FOR_EACH_SIZE(FUNCTION, TRANSPOSE)                                                                  \
    switch (itemsize) {                                                                                     \
    case 1:                                                                                                 \
        FUNCTION(dst, src, n, 1, TRANSPOSE);                                                                \
        break;                                                                                              \
    case 2:                                                                                                 \
        FUNCTION(dst, src, n, 2, TRANSPOSE);                                                                \
        break;                                                                                              \
    case 4:                                                                                                 \
        FUNCTION(dst, src, n, 4, TRANSPOSE);                                                                \
        break;                                                                                              \
    case 8:                                                                                                 \
        FUNCTION(dst, src, n, 8, TRANSPOSE);                                                                \
        break;                                                                                              \
    case 16:                                                                                                \
        FUNCTION(dst, src, n, 16, TRANSPOSE);                                                               \
        break;                                                                                              \
    }

#define KERNEL(NAME, TARGET, TRANSPOSE)                                                                     \
    TARGET static void shuffle_##NAME(unsigned char *dst, const unsigned char *src, size_t n, size_t itemsize) \
    {                                                                                                       \
        FOR_EACH_SIZE(shuffle, TRANSPOSE)                                                                   \
    }                                                                                                       \
    TARGET static void unshuffle_##NAME(unsigned char *dst, const unsigned char *src, size_t n, size_t itemsize) \
    {                                                                                                       \
        FOR_EACH_SIZE(unshuffle, TRANSPOSE)                                                                 \
    }

KERNEL(plain, , transpose_words)

#if defined(__GNUC__) && defined(__x86_64__)
#include <immintrin.h>

#define AVX512 "avx512f,avx512bw,avx512vl,avx512vbmi"
/* Compilers prefer vectors of half the width. */
#ifdef __clang__
#define WIDE(FEATURES) __attribute__((target(FEATURES), min_vector_width(512)))
#else
#define WIDE(FEATURES) __attribute__((target(FEATURES ",prefer-vector-width=512")))
#endif

/* The instruction multiplies by a matrix of 8 x 8 bits whose first row is the last byte. */
WIDE(AVX512 ",gfni") static inline void transpose_gfni(unsigned char *data, size_t nbytes)
{
    const __m512i unit = _mm512_set1_epi64((long long)0x8040201008040201);
    const __m512i reversed = _mm512_set4_epi32(0x08090A0B, 0x0C0D0E0F, 0x00010203, 0x04050607);
    size_t i = 0;
    for (; i + 64 <= nbytes; i += 64) {
        const __m512i bytes = _mm512_shuffle_epi8(_mm512_loadu_si512(data + i), reversed);
        _mm512_storeu_si512(data + i, _mm512_gf2p8affine_epi64_epi8(unit, bytes, 0));
    }
    transpose_words(data + i, nbytes - i);
}

KERNEL(avx2, __attribute__((target("avx2"))), transpose_words)
KERNEL(avx512, WIDE(AVX512), transpose_words)
KERNEL(gfni, WIDE(AVX512 ",gfni"), transpose_gfni)

static bool has_avx512(void)
{
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl")
           && __builtin_cpu_supports("avx512vbmi");
}

static bool has_gfni(void) { return has_avx512() && __builtin_cpu_supports("gfni"); }

static bool has_avx2(void) { return __builtin_cpu_supports("avx2"); }
#endif

static bool always(void) { return true; }

const pp_bitshuffle_kernel *pp_bitshuffle_kernel_at(size_t number)
{
    static const struct {
        pp_bitshuffle_kernel kernel;
        bool (*can_run)(void);
    } kernels[] = {
#if defined(__GNUC__) && defined(__x86_64__)
        {{"avx512-gfni", shuffle_gfni, unshuffle_gfni}, has_gfni},
        {{"avx512", shuffle_avx512, unshuffle_avx512}, has_avx512},
        {{"avx2", shuffle_avx2, unshuffle_avx2}, has_avx2},
#endif
        {{"plain", shuffle_plain, unshuffle_plain}, always},
    };
    for (size_t i = 0; i < sizeof kernels / sizeof kernels[0]; i++) {
        if (kernels[i].can_run() && number-- == 0) {
            return &kernels[i].kernel;
        }
    }
    return NULL;
}

bool pp_bitshuffle_has(size_t itemsize)
{
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
    return false; /* see transpose_words */
#endif
    return itemsize == 1 || itemsize == 2 || itemsize == 4 || itemsize == 8 || itemsize == 16;
}
