from ptychoproduct_native.buffers cimport ChunkBuffer, Destination
from ptychoproduct_native.compressors cimport Compressor


cdef class Zstandard:
    cdef Compressor compressor

    cdef bint encode(self, ChunkBuffer chunk) except -1
    cdef object decode(self, data, size_t most, size_t start, size_t stop, Destination place)
