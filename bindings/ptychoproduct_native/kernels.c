#include "inline.h"
#include "kernels.h"

#include <string.h>

/* 32 x 32 elements of 8 bytes, source and destination, fit a 32 KiB first-level cache. */
enum { TILE = 32 };

/* Words that are summed up side by side. */
enum { PLAIN_LANES = 8, MOST_LANES = 32 };

static size_t smaller(size_t a, size_t b) { return a < b ? a : b; }

void pp_shuffle(unsigned char *dst, const unsigned char *src, size_t n, size_t itemsize)
{
    /* Blocks of elements stay in cache while each of their byte planes is written. */
    const size_t block = 4096;
    for (size_t start = 0; start < n; start += block) {
        const size_t count = smaller(block, n - start);
        for (size_t j = 0; j < itemsize; j++) {
            const unsigned char *from = src + start * itemsize + j;
            unsigned char *to = dst + j * n + start;
            for (size_t i = 0; i < count; i++) {
                to[i] = from[i * itemsize];
            }
        }
    }
}

/* With a constant size the compiler turns the inner loops into interleaving moves of vectors. */
#define UNSHUFFLE(SIZE)                                                                                     \
    for (size_t i = 0; i < n; i++) {                                                                        \
        for (size_t j = 0; j < (SIZE); j++) {                                                               \
            dst[i * (SIZE) + j] = src[j * n + i];                                                           \
        }                                                                                                   \
    }

void pp_unshuffle(unsigned char *restrict dst, const unsigned char *restrict src, size_t n, size_t itemsize)
{
    switch (itemsize) {
    case 2:
        UNSHUFFLE(2)
        break;
    case 4:
        UNSHUFFLE(4)
        break;
    case 8:
        UNSHUFFLE(8)
        break;
    default:
        UNSHUFFLE(itemsize)
        break;
    }
}

/* A sum modulo 65535, where 65535 stands for 0 unless all that was summed up is 0. */
static uint64_t folded(uint64_t sum)
{
    while (sum >> 16) {
        sum = (sum & 0xFFFF) + (sum >> 16);
    }
    return sum;
}

/* The bytes of a native word, the first one being the highest. */
static uint32_t big_endian(uint64_t word)
{
    const uint16_t native = (uint16_t)word;
    unsigned char bytes[2];
    memcpy(bytes, &native, 2);
    return (uint32_t)bytes[0] << 8 | bytes[1];
}

/* Sum up lanes of words side by side, and their sums: loops that compilers make vectors of. */
INLINE void sum_lanes(const unsigned char *data, size_t steps, uint32_t *sums, uint32_t *sums_of_sums, size_t lanes)
{
    uint32_t first[MOST_LANES] = {0}, second[MOST_LANES] = {0};
    for (size_t step = 0; step < steps; step++) {
        for (size_t lane = 0; lane < lanes; lane++) {
            uint16_t word;
            memcpy(&word, data + 2 * (step * lanes + lane), 2);
            first[lane] += word;
        }
        for (size_t lane = 0; lane < lanes; lane++) {
            second[lane] += first[lane];
        }
    }
    memcpy(sums, first, lanes * sizeof *sums);
    memcpy(sums_of_sums, second, lanes * sizeof *sums);
}

/*
 * The words are big-endian. To swap the bytes of a word is to multiply it by 256 modulo 65535, so that native words may
 * be summed up, and the bytes of the sums be swapped.
 */
INLINE uint32_t fletcher32(const unsigned char *data, size_t nbytes, size_t lanes)
{
    const size_t most = 360; /* steps before a sum of sums overflows 32 bits */
    uint64_t first = 0, second = 0;
    size_t words = nbytes / 2;
    while (words >= lanes) {
        const size_t steps = smaller(words / lanes, most);
        uint32_t sums[MOST_LANES], sums_of_sums[MOST_LANES];
        sum_lanes(data, steps, sums, sums_of_sums, lanes);
        second += first * steps * lanes;
        for (size_t lane = 0; lane < lanes; lane++) {
            first += sums[lane];
            second += (uint64_t)lanes * sums_of_sums[lane] - (uint64_t)lane * sums[lane];
        }
        first = folded(first);
        second = folded(second);
        data += 2 * steps * lanes;
        words -= steps * lanes;
    }
    for (size_t rest = 2 * words + nbytes % 2; rest;) {
        const size_t taken = smaller(rest, 2);
        uint16_t word = 0; /* behind an odd byte */
        memcpy(&word, data, taken);
        first += word;
        second += first;
        data += taken;
        rest -= taken;
    }
    return big_endian(folded(second)) << 16 | big_endian(folded(first));
}

/* As many lanes as the processor's registers hold. */
#if defined(__GNUC__) && defined(__x86_64__)
__attribute__((target("avx2"))) static uint32_t fletcher32_avx2(const unsigned char *data, size_t nbytes)
{
    return fletcher32(data, nbytes, MOST_LANES);
}
#endif

uint32_t pp_fletcher32(const unsigned char *data, size_t nbytes)
{
#if defined(__GNUC__) && defined(__x86_64__)
    if (__builtin_cpu_supports("avx2")) {
        return fletcher32_avx2(data, nbytes);
    }
#endif
    return fletcher32(data, nbytes, PLAIN_LANES);
}

static uint32_t rotated(uint32_t word, int bits) { return word << bits | word >> (32 - bits); }

uint32_t pp_lookup3(const unsigned char *data, size_t nbytes)
{
    /* Rotations of the steps that mix three words, for all blocks of 12 bytes but the last, and for that one. */
    static const int between[] = {4, 6, 8, 16, 19, 4}, last[] = {14, 11, 25, 16, 4, 14, 24};
    uint32_t word[3];
    word[0] = word[1] = word[2] = 0xDEADBEEF + (uint32_t)nbytes;
    if (nbytes == 0) {
        return word[2];
    }
    for (;;) {
        const size_t count = smaller(nbytes, 12);
        for (size_t i = 0; i < count; i++) {
            word[i / 4] += (uint32_t)data[i] << (8 * (i % 4));
        }
        if (nbytes <= 12) {
            break;
        }
        for (int step = 0; step < 6; step++) {
            uint32_t *a = &word[step % 3], *b = &word[(step + 1) % 3], *c = &word[(step + 2) % 3];
            *a = (*a - *c) ^ rotated(*c, between[step]);
            *c += *b;
        }
        data += 12;
        nbytes -= 12;
    }
    for (int step = 0; step < 7; step++) {
        uint32_t *to = &word[(step + 2) % 3];
        const uint32_t from = word[(step + 1) % 3];
        *to = (*to ^ from) - rotated(from, last[step]);
    }
    return word[2];
}

void pp_byteswap(unsigned char *data, size_t n, size_t itemsize)
{
    for (size_t i = 0; i < n; i++) {
        unsigned char *element = data + i * itemsize;
        for (size_t low = 0, high = itemsize; low + 1 < high; low++) {
            high--;
            const unsigned char byte = element[low];
            element[low] = element[high];
            element[high] = byte;
        }
    }
}

/* memcpy of a constant size compiles to one move, and is defined for unaligned elements. */
#define COPY_TILE(SIZE)                                                                                     \
    for (size_t r = 0; r < rows; r++) {                                                                     \
        unsigned char *to = dst + (ptrdiff_t)r * dst_row_stride;                                            \
        const unsigned char *from = src + (ptrdiff_t)r * src_row_stride;                                    \
        for (size_t c = 0; c < cols; c++) {                                                                 \
            memcpy(to + c * (SIZE), from + (ptrdiff_t)c * src_col_stride, (SIZE));                          \
        }                                                                                                   \
    }

static void copy_tile(unsigned char *dst, ptrdiff_t dst_row_stride, const unsigned char *src, ptrdiff_t src_row_stride,
                      ptrdiff_t src_col_stride, size_t rows, size_t cols, size_t itemsize)
{
    switch (itemsize) {
    case 1:
        COPY_TILE(1)
        break;
    case 2:
        COPY_TILE(2)
        break;
    case 4:
        COPY_TILE(4)
        break;
    case 8:
        COPY_TILE(8)
        break;
    default:
        COPY_TILE(itemsize)
        break;
    }
}

void pp_copy_plane(unsigned char *dst, ptrdiff_t dst_row_stride, const unsigned char *src, ptrdiff_t src_row_stride,
                   ptrdiff_t src_col_stride, size_t rows, size_t cols, size_t itemsize)
{
    if (src_col_stride == (ptrdiff_t)itemsize) {
        for (size_t r = 0; r < rows; r++) {
            memcpy(dst + (ptrdiff_t)r * dst_row_stride, src + (ptrdiff_t)r * src_row_stride, cols * itemsize);
        }
        return;
    }
    for (size_t r = 0; r < rows; r += TILE) {
        for (size_t c = 0; c < cols; c += TILE) {
            copy_tile(dst + (ptrdiff_t)r * dst_row_stride + c * itemsize, dst_row_stride,
                      src + (ptrdiff_t)r * src_row_stride + (ptrdiff_t)c * src_col_stride, src_row_stride,
                      src_col_stride, smaller(TILE, rows - r), smaller(TILE, cols - c), itemsize);
        }
    }
}
