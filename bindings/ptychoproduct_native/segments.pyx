# cython: language_level=3, boundscheck=False, wraparound=False
"""Reading a strided part of a file in one call: segments of equal length, at equal distances."""

import os

from cpython.buffer cimport PyBUF_C_CONTIGUOUS, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from libc.errno cimport EINTR, errno

cdef extern from "files.h" nogil:
    ctypedef long long pp_offset
    Py_ssize_t pp_pread(int descriptor, void *data, size_t nbytes, pp_offset offset)


def read_segments(int descriptor, pp_offset offset, pp_offset stride, Py_ssize_t segment_bytes, destination):
    """Fill memory with segments of a file, one after the other.

    Parameters
    ----------
    descriptor : int
        Open for reading; its position does not matter, and changes on Windows only.
    offset : int
        Where the first segment starts.
    stride : int
        From the start of one segment to that of the next.
    segment_bytes : int
        Length of a segment, positive.
    destination : writable buffer
        Contiguous memory, a whole number of segments.

    Raises
    ------
    ValueError
        The memory is not a whole number of segments, or an offset is negative.
    EOFError
        The file ends before the last segment does.
    OSError
        The file cannot be read.
    """
    cdef Py_buffer view
    cdef Py_ssize_t done = 0, in_segment = 0, count = 1
    cdef int failure = 0
    PyObject_GetBuffer(destination, &view, PyBUF_C_CONTIGUOUS | PyBUF_WRITABLE)
    try:
        if segment_bytes < 1 or view.len % segment_bytes or offset < 0 or stride < 0:
            raise ValueError(f"size {view.len} is not a whole number of segments of {segment_bytes}, or offset {offset} is negative")
        with nogil:
            while done < view.len:
                count = pp_pread(descriptor, <char *> view.buf + done, segment_bytes - in_segment, offset + in_segment)
                if count < 0 and errno == EINTR:
                    continue
                if count <= 0:
                    failure = errno if count < 0 else 0
                    break
                done += count
                in_segment += count
                if in_segment == segment_bytes:
                    in_segment = 0
                    offset += stride
    finally:
        PyBuffer_Release(&view)
    if count < 0:
        raise OSError(failure, os.strerror(failure))
    if count == 0:
        raise EOFError(f"the file ends within the segment of {segment_bytes} bytes at {offset}")
