# cython: language_level=3, boundscheck=False, wraparound=False
"""Copying strided arrays into chunks, and putting bytes into native order."""

from cpython.buffer cimport (PyBUF_C_CONTIGUOUS, PyBUF_FORMAT, PyBUF_STRIDED_RO, PyBUF_WRITABLE,
                             PyBuffer_Release, PyObject_GetBuffer)

cdef extern from "kernels.h" nogil:
    void pp_byteswap(unsigned char *data, size_t n, size_t itemsize)
    void pp_copy_plane(unsigned char *dst, ptrdiff_t dst_row_stride, const unsigned char *src,
                       ptrdiff_t src_row_stride, ptrdiff_t src_col_stride, size_t rows, size_t cols, size_t itemsize)

cdef enum:
    MAX_NDIM = 32


def gather(source, destination):
    """Copy an array of any strides into contiguous memory, in C order.

    Parameters
    ----------
    source : buffer
        Array of up to 32 dimensions.
    destination : writable buffer
        Contiguous memory of exactly the source's size.

    Raises
    ------
    ValueError
        The sizes differ, or there are too many dimensions.
    """
    cdef Py_buffer src, dst
    PyObject_GetBuffer(source, &src, PyBUF_STRIDED_RO | PyBUF_FORMAT)
    try:
        PyObject_GetBuffer(destination, &dst, PyBUF_C_CONTIGUOUS | PyBUF_WRITABLE)
        try:
            if src.ndim > MAX_NDIM:
                raise ValueError(f"found an array of {src.ndim} dimensions, expected at most {MAX_NDIM}")
            if src.len != dst.len:
                raise ValueError(f"found an array of size {src.len}, expected {dst.len} bytes")
            if src.len:
                with nogil:
                    copy_planes(&src, <unsigned char *> dst.buf)
        finally:
            PyBuffer_Release(&dst)
    finally:
        PyBuffer_Release(&src)


cdef inline size_t magnitude(Py_ssize_t stride) noexcept nogil:
    return <size_t> (stride if stride >= 0 else -stride)


cdef void copy_planes(Py_buffer *src, unsigned char *dst) noexcept nogil:
    """Walk all axes but two: the last, along which `dst` is contiguous, and that along which `src` is tightest."""
    cdef Py_ssize_t shape[MAX_NDIM]
    cdef Py_ssize_t strides[MAX_NDIM]
    cdef Py_ssize_t dst_strides[MAX_NDIM]
    cdef Py_ssize_t index[MAX_NDIM]
    cdef int ndim = 0, axis, last, row_axis = -1
    cdef const unsigned char *source = <const unsigned char *> src.buf
    cdef Py_ssize_t stride = src.itemsize
    for axis in range(src.ndim):
        if src.shape[axis] > 1:  # axes of length 1 only stand between others
            shape[ndim] = src.shape[axis]
            strides[ndim] = src.strides[axis]
            ndim += 1
    if ndim == 0:
        pp_copy_plane(dst, 0, source, 0, src.itemsize, 1, 1, src.itemsize)
        return
    last = ndim - 1
    for axis in range(last, -1, -1):
        index[axis] = 0
        dst_strides[axis] = stride
        stride *= shape[axis]
    for axis in range(last):
        if row_axis < 0 or magnitude(strides[axis]) < magnitude(strides[row_axis]):
            row_axis = axis
    while True:
        if row_axis < 0:
            pp_copy_plane(dst, 0, source, 0, strides[last], 1, shape[last], src.itemsize)
        else:
            pp_copy_plane(dst, dst_strides[row_axis], source, strides[row_axis], strides[last],
                          shape[row_axis], shape[last], src.itemsize)
        axis = last - 1
        while axis >= 0:
            if axis != row_axis:
                index[axis] += 1
                source += strides[axis]
                dst += dst_strides[axis]
                if index[axis] < shape[axis]:
                    break
                source -= strides[axis] * shape[axis]
                dst -= dst_strides[axis] * shape[axis]
                index[axis] = 0
            axis -= 1
        if axis < 0:
            return


def byteswap(data, Py_ssize_t itemsize):
    """Reverse the bytes of each element in place.

    Parameters
    ----------
    data : writable buffer
        Contiguous memory, a whole number of elements.
    itemsize : int
        Bytes of an element; of a component, for complex numbers.

    Raises
    ------
    ValueError
        The memory is not a whole number of elements.
    """
    cdef Py_buffer view
    PyObject_GetBuffer(data, &view, PyBUF_C_CONTIGUOUS | PyBUF_WRITABLE)
    try:
        if itemsize < 1 or view.len % itemsize:
            raise ValueError(f"size {view.len} is not a whole number of elements of {itemsize} bytes")
        with nogil:
            pp_byteswap(<unsigned char *> view.buf, view.len // itemsize, itemsize)
    finally:
        PyBuffer_Release(&view)
