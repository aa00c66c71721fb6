#include "encoded.h"

#include <stdint.h>
#include <string.h>

static uint64_t big_endian(const unsigned char *data, size_t nbytes)
{
    uint64_t value = 0;
    for (size_t i = 0; i < nbytes; i++) {
        value = value << 8 | data[i];
    }
    return value;
}

static uint64_t little_endian(const unsigned char *data, size_t nbytes)
{
    uint64_t value = 0;
    while (nbytes--) {
        value = value << 8 | data[nbytes];
    }
    return value;
}

/* Walk over blocks that each begin with their size in four bytes; false where one ends after the data. */
static bool skip_blocks(const unsigned char *data, size_t nbytes, size_t *position, uint64_t blocks)
{
    for (uint64_t block = 0; block < blocks; block++) {
        if (nbytes - *position < 4) {
            return false;
        }
        const uint64_t size = big_endian(data + *position, 4);
        *position += 4;
        if (size > nbytes - *position) {
            return false;
        }
        *position += size;
    }
    return true;
}

/* Both filters with blocks begin with the decoded size in eight bytes, and the size of a block in four. */
enum { BLOCKS_HEADER = 12 };

bool pp_bitshuffle_fits(const unsigned char *data, size_t nbytes, size_t itemsize, size_t most)
{
    /* Elements that are left over from groups of eight are stored after the blocks. */
    const size_t group = 8;
    if (nbytes < BLOCKS_HEADER) {
        return false;
    }
    const uint64_t decoded = big_endian(data, 8);
    const uint64_t block = big_endian(data + 8, 4) / itemsize;
    if (decoded > most || decoded % itemsize || block == 0 || block % group) {
        return false;
    }
    const uint64_t elements = decoded / itemsize;
    const uint64_t blocks = elements / block + (elements % block >= group);
    size_t position = BLOCKS_HEADER;
    return skip_blocks(data, nbytes, &position, blocks) && elements % group * itemsize <= nbytes - position;
}

bool pp_lz4_fits(const unsigned char *data, size_t nbytes, size_t most)
{
    if (nbytes < BLOCKS_HEADER) {
        return false;
    }
    const uint64_t decoded = big_endian(data, 8);
    const uint64_t block = big_endian(data + 8, 4);
    if (decoded > most || block == 0) {
        return false;
    }
    size_t position = BLOCKS_HEADER;
    return skip_blocks(data, nbytes, &position, decoded / block + (decoded % block != 0));
}

bool pp_zstd_fits(const unsigned char *data, size_t nbytes, size_t most)
{
    static const size_t dictionary_bytes[] = {0, 1, 2, 4};
    static const size_t size_bytes[] = {0, 2, 4, 8};
    if (nbytes < 5 || little_endian(data, 4) != 0xFD2FB528) {
        return false;
    }
    const unsigned char descriptor = data[4];
    const bool single_segment = descriptor & 0x20;
    const size_t position = 5 + !single_segment + dictionary_bytes[descriptor & 3];
    const size_t count = descriptor >> 6 ? size_bytes[descriptor >> 6] : single_segment;
    const uint64_t least = count == 2 ? 256 : 0; /* smaller sizes are stated in one byte */
    return nbytes >= position + count && least + little_endian(data + position, count) <= most;
}

bool pp_blosc_fits(const unsigned char *data, size_t nbytes, size_t most)
{
    return nbytes >= 16 && data[3] > 0                 /* bytes of an element */
           && little_endian(data + 4, 4) <= most       /* decoded bytes */
           && little_endian(data + 8, 4) > 0           /* bytes of a block */
           && little_endian(data + 12, 4) <= nbytes;   /* encoded bytes */
}

/* Whether a chunk of Blosc 2 decodes to at most `most` bytes. */
static bool blosc2_chunk_fits(const unsigned char *data, size_t nbytes, uint64_t most)
{
    return nbytes >= 16 && little_endian(data + 4, 4) <= most && little_endian(data + 12, 4) <= nbytes;
}

bool pp_blosc2_fits(const unsigned char *data, size_t nbytes, size_t most)
{
    /* Where a frame says how long its header is, it, what it decodes to, its chunks, a block and a chunk decoded. */
    enum { HEADER = 11, FRAME = 16, DECODED = 30, ENCODED = 39, BLOCK = 53, CHUNK = 58, LEAST = 62 };
    if (nbytes < LEAST || memcmp(data + 2, "b2frame", 8) != 0 || big_endian(data + FRAME, 8) > nbytes) {
        return false;
    }
    const uint64_t header = big_endian(data + HEADER, 4), encoded = big_endian(data + ENCODED, 8);
    const uint64_t decoded = big_endian(data + DECODED, 8), chunk = big_endian(data + CHUNK, 4);
    /* Each axis of a chunk is filled up to whole blocks, which can double it; frames have three. */
    const uint64_t padded = 8 * (uint64_t) most;
    if (decoded > padded || chunk == 0 || chunk > padded || big_endian(data + BLOCK, 4) > padded
        || header > nbytes || encoded > nbytes - header) {
        return false;
    }
    const unsigned char *index = data + header + encoded; /* a chunk, too: of offsets, of eight bytes each */
    return (encoded == 0 || blosc2_chunk_fits(data + header, encoded, padded))
           && blosc2_chunk_fits(index, nbytes - header - encoded, 8 * (decoded / chunk + 1));
}
