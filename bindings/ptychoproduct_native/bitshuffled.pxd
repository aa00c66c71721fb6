from ptychoproduct_native.buffers cimport ChunkBuffer, Destination
from ptychoproduct_native.compressors cimport Compressor, Context


cdef class Bitshuffled:
    cdef Compressor compressor
    cdef size_t itemsize
    cdef size_t block  # elements of a block

    cdef bint encode(self, ChunkBuffer chunk) except -1
    cdef bint encode_blocks(self, ChunkBuffer chunk, Context context) noexcept nogil
    cdef object decode(self, data, size_t most, size_t start, size_t stop, Destination place)
    cdef bint decode_blocks(self, unsigned char *decoded, size_t decoded_bytes, const unsigned char *encoded, size_t nbytes,
                            size_t start, size_t stop, Context context) noexcept nogil


cdef size_t default_block(size_t itemsize) noexcept
