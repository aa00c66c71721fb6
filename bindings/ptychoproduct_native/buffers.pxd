cdef class ChunkBuffer:
    cdef unsigned char *data
    cdef size_t nbytes
    cdef size_t capacity
    cdef int views

    cdef int require_no_views(self) except -1
