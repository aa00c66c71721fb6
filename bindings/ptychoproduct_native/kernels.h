/* Memory kernels of chunks. Pure C11, no allocation, no global state, no HDF5 and no Python. */
#ifndef PTYCHOPRODUCT_KERNELS_H
#define PTYCHOPRODUCT_KERNELS_H

#include <stddef.h>
#include <stdint.h>

/*
 * HDF5's byte shuffle (filter id 2): byte j of element i goes to dst[j * n + i].
 * `src` and `dst` hold n * itemsize bytes each and do not overlap.
 * https://docs.hdfgroup.org/hdf5/develop/_f_m_t3.html
 */
void pp_shuffle(unsigned char *dst, const unsigned char *src, size_t n, size_t itemsize);

/* Undo pp_shuffle: byte j of element i comes from src[j * n + i]. */
void pp_unshuffle(unsigned char *dst, const unsigned char *src, size_t n, size_t itemsize);

/*
 * HDF5's checksum (filter id 3): Fletcher's, of 16-bit big-endian words, a last odd byte padded with zero.
 * https://en.wikipedia.org/wiki/Fletcher%27s_checksum
 */
uint32_t pp_fletcher32(const unsigned char *data, size_t nbytes);

/*
 * HDF5's checksum of its own structures: Bob Jenkins's lookup3 ("hashlittle"), begun with 0.
 * https://www.burtleburtle.net/bob/hash/doobs.html
 */
uint32_t pp_lookup3(const unsigned char *data, size_t nbytes);

/* Reverse the bytes of each of the n elements of `itemsize` bytes in place. */
void pp_byteswap(unsigned char *data, size_t n, size_t itemsize);

/*
 * Copy a rows x cols plane of elements. Strides are in bytes and may be negative; the columns of `dst`
 * are contiguous. Walks in tiles, so that a transposing copy uses each cache line it touches.
 */
void pp_copy_plane(unsigned char *dst, ptrdiff_t dst_row_stride, const unsigned char *src, ptrdiff_t src_row_stride,
                   ptrdiff_t src_col_stride, size_t rows, size_t cols, size_t itemsize);

#endif
