# cython: language_level=3, boundscheck=False, wraparound=False
"""The checksum that HDF5 has on its own structures."""

from cpython.buffer cimport PyBUF_C_CONTIGUOUS, PyBuffer_Release, PyObject_GetBuffer
from libc.stdint cimport uint32_t

cdef extern from "kernels.h" nogil:
    uint32_t pp_lookup3(const unsigned char *data, size_t nbytes)


def metadata_checksum(data):
    """Return the checksum of contiguous bytes, as HDF5 computes it of its metadata.

    Parameters
    ----------
    data : buffer
    """
    cdef Py_buffer view
    cdef uint32_t found
    PyObject_GetBuffer(data, &view, PyBUF_C_CONTIGUOUS)
    try:
        with nogil:
            found = pp_lookup3(<const unsigned char *> view.buf, view.len)
    finally:
        PyBuffer_Release(&view)
    return found
