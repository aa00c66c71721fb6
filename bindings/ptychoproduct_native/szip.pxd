from libc.stdint cimport uint64_t

from ptychoproduct_native.buffers cimport ChunkBuffer

# aec_stream of libaec.h, written out so that no header is needed to build.
cdef struct aec_stream:
    const unsigned char *next_in
    size_t avail_in
    size_t total_in
    unsigned char *next_out
    size_t avail_out
    size_t total_out
    unsigned int bits_per_sample
    unsigned int block_size
    unsigned int rsi
    unsigned int flags
    void *state

ctypedef int (*aec_function)(aec_stream *stream) noexcept nogil


cdef class Szip:
    cdef object library  # keeps the shared library loaded while its functions may be called
    cdef aec_function compress
    cdef aec_function decompress
    cdef aec_stream settings  # what is the same for all chunks
    cdef bint predicts
    cdef size_t planes  # an element's bytes, where each is coded for itself; 1 where elements are coded whole
    cdef size_t sample_bytes
    cdef size_t line_bytes
    cdef size_t padded_bytes  # of a line that is filled up to whole blocks

    cdef bint encode(self, ChunkBuffer chunk) noexcept nogil
    cdef ChunkBuffer decode(self, data, size_t most)
    cdef bint decode_into(self, unsigned char *decoded, size_t size, const unsigned char *data, size_t n) noexcept nogil
    cdef bint holds_whole_elements(self, uint64_t nbytes) noexcept nogil
    cdef size_t lines_of(self, size_t nbytes) noexcept nogil
    cdef unsigned char *padded(self, const unsigned char *samples, size_t nbytes) noexcept nogil
