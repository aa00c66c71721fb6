from ptychoproduct_native.bitshuffled cimport Bitshuffled
from ptychoproduct_native.buffers cimport ChunkBuffer, Destination
from ptychoproduct_native.szip cimport Szip
from ptychoproduct_native.zstandard cimport Zstandard

cdef enum:
    MAX_CD_VALUES = 32

# H5Z_func_t of HDF5's H5Zdevelop.h, written out so that HDF5's headers are not needed to build.
ctypedef size_t (*filter_function)(unsigned int flags, size_t cd_nelmts, const unsigned int *cd_values,
                                   size_t nbytes, size_t *buf_size, void **buf) noexcept nogil

# What has become of a chunk: it went through a filter, is as before, or its bytes are gone, without memory for others.
cdef enum Outcome:
    DONE
    UNCHANGED
    LOST


cdef class Filter:
    cdef readonly int filter_id
    cdef bint encodes
    cdef bint decodes
    cdef bint optional
    cdef size_t cd_nelmts
    cdef unsigned int cd_values[MAX_CD_VALUES]
    cdef filter_function function
    cdef Bitshuffled bitshuffled  # where one of these is not None, it does what a plugin's function does otherwise
    cdef Szip szip
    cdef Zstandard zstandard
    cdef object library  # keeps the shared library loaded while its function may be called

    cdef int check_values(self, cd_values) except -1
    cdef Outcome call(self, unsigned int flags, ChunkBuffer chunk) noexcept nogil
    cdef bint shuffle(self, ChunkBuffer chunk) noexcept nogil
    cdef ChunkBuffer encode(self, ChunkBuffer chunk)
    cdef object decode(self, object data, size_t most, bint is_free, size_t start, size_t stop, Destination place)
    cdef bint fits(self, ChunkBuffer chunk, size_t most) noexcept nogil
    cdef object unshuffled(self, object data, Destination place)

cdef ChunkBuffer copied(data)
