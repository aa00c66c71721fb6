/*
 * The sizes that encoded bytes of a chunk state. The filters of plugins get no size of their input, or believe
 * the sizes they find there: a truncated or forged chunk would make them read and allocate without bounds. These
 * functions walk through the sizes first. Pure C11, no allocation, no global state, no HDF5 and no Python.
 */
#ifndef PTYCHOPRODUCT_ENCODED_H
#define PTYCHOPRODUCT_ENCODED_H

#include <stdbool.h>
#include <stddef.h>

/*
 * Each returns whether the sizes in `data` stay within its `nbytes` bytes, and decode to at most `most` bytes.
 */

/* Filter 32008 with a compressor: https://github.com/kiyo-masui/bitshuffle#the-hdf5-filter; itemsize > 0. */
bool pp_bitshuffle_fits(const unsigned char *data, size_t nbytes, size_t itemsize, size_t most);

/* Filter 32004: https://github.com/nexusformat/HDF5-External-Filter-Plugins/tree/master/LZ4 */
bool pp_lz4_fits(const unsigned char *data, size_t nbytes, size_t most);

/* Filter 32015, a frame of RFC 8878 section 3.1.1. */
bool pp_zstd_fits(const unsigned char *data, size_t nbytes, size_t most);

/* Filter 32001: https://github.com/Blosc/c-blosc/blob/main/README_CHUNK_FORMAT.rst */
bool pp_blosc_fits(const unsigned char *data, size_t nbytes, size_t most);

/* Filter 32026, a frame: https://github.com/Blosc/c-blosc2/blob/main/README_CFRAME_FORMAT.rst */
bool pp_blosc2_fits(const unsigned char *data, size_t nbytes, size_t most);

#endif
