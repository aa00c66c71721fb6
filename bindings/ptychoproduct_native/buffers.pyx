# cython: language_level=3, boundscheck=False, wraparound=False
"""The memory that one chunk lives in on its way from a source to a file, and back."""

from cpython.buffer cimport (
    PyBUF_C_CONTIGUOUS, PyBUF_WRITABLE, PyBuffer_FillInfo, PyBuffer_Release, PyObject_GetBuffer,
)
from libc.stdlib cimport free, malloc


cdef extern from "Python.h":
    size_t PY_SSIZE_T_MAX

cdef extern from "allocation.h" nogil:
    void pp_keep_freed_memory()


def keep_freed_memory():
    """Keep freed memory in the process, which gets and frees buffers of the same sizes all the time.

    GNU's malloc gives it back to the kernel, and each page that it gets again costs a fault: a third of the speed of a
    fast codec. For a process as a whole; other allocators are left as they are.
    """
    pp_keep_freed_memory()


cdef class ChunkBuffer:
    """A writable block of bytes from malloc, which HDF5 filter functions may replace.

    Filter functions free the block they are given and hand back another one, so the memory of a chunk cannot
    belong to a NumPy array. While a memoryview of the buffer is alive its memory stays where it is, and
    encoding it raises BufferError.

    Parameters
    ----------
    nbytes : int
        Size of the block. Its contents are not initialised.
    """

    def __cinit__(self, size_t nbytes):
        if nbytes >= PY_SSIZE_T_MAX:
            raise MemoryError(f"no memory for a chunk of {nbytes} bytes")
        # malloc(0) may be NULL: one spare byte keeps "NULL" meaning "no memory".
        self.data = <unsigned char *> malloc(nbytes + 1)
        if self.data == NULL:
            raise MemoryError(f"no memory for a chunk of {nbytes} bytes")
        self.nbytes = nbytes
        self.capacity = nbytes + 1
        self.views = 0
        self.busy = False

    def __dealloc__(self):
        free(self.data)

    def __len__(self):
        return self.nbytes

    def __getbuffer__(self, Py_buffer *view, int flags):
        if self.busy:
            raise BufferError("chunk buffer is being encoded")
        PyBuffer_FillInfo(view, self, self.data, <Py_ssize_t> self.nbytes, 0, flags)
        self.views += 1

    def __releasebuffer__(self, Py_buffer *view):
        self.views -= 1

    cdef int seize(self) except -1:
        """Let nobody use the memory while it may be replaced without the GIL."""
        if self.views or self.busy:
            raise BufferError("chunk buffer has memoryviews, or is being encoded")
        self.busy = True
        return 0

    cdef void release(self) noexcept:
        self.busy = False

    cdef ChunkBuffer taken(self):
        """Return a buffer that has this one's memory, and leave this one empty."""
        cdef ChunkBuffer other = ChunkBuffer(0)
        self.seize()
        self.data, other.data = other.data, self.data
        self.capacity, other.capacity = other.capacity, self.capacity
        self.nbytes, other.nbytes = other.nbytes, self.nbytes
        self.release()
        return other


cdef class Destination:
    """Where decoded bytes go: memory that is given, or a new chunk.

    Parameters
    ----------
    given : buffer or None
        Contiguous, can be written to.
    """

    def __cinit__(self, given):
        self.is_given = False
        if given is not None:
            PyObject_GetBuffer(given, &self.view, PyBUF_C_CONTIGUOUS | PyBUF_WRITABLE)
            self.is_given = True

    def __dealloc__(self):
        if self.is_given:
            PyBuffer_Release(&self.view)

    def __len__(self):
        return self.view.len if self.is_given else len(self.chunk)

    cdef unsigned char *room(self, size_t nbytes) except? NULL:
        """Return where so many bytes go; NULL where another number fits."""
        if self.is_given:
            return <unsigned char *> self.view.buf if <size_t> self.view.len == nbytes else NULL
        self.chunk = ChunkBuffer(nbytes)
        return self.chunk.data

    cdef object filled(self):
        """Return the new chunk, or this where the memory is given."""
        return self if self.is_given else self.chunk
