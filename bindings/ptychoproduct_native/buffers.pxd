cdef class ChunkBuffer:
    cdef unsigned char *data
    cdef size_t nbytes
    cdef size_t capacity
    cdef int views
    cdef bint busy

    cdef int seize(self) except -1
    cdef void release(self) noexcept
    cdef ChunkBuffer taken(self)


cdef class Destination:
    cdef ChunkBuffer chunk  # None where the memory is given
    cdef Py_buffer view
    cdef bint is_given

    cdef unsigned char *room(self, size_t nbytes) except? NULL
    cdef object filled(self)
