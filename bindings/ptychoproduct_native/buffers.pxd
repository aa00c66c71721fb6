cdef class ChunkBuffer:
    cdef unsigned char *data
    cdef size_t nbytes
    cdef size_t capacity
    cdef int views
    cdef bint busy

    cdef int seize(self) except -1
    cdef void release(self) noexcept
    cdef ChunkBuffer taken(self)
