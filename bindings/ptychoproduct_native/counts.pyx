# cython: language_level=3, boundscheck=False, wraparound=False
"""Amplitudes to the counts that they are square roots of, and back, bit for bit."""

import sys

from cpython.buffer cimport PyBUF_C_CONTIGUOUS, PyBUF_FORMAT, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from libc.math cimport isfinite
from libc.stdint cimport uint32_t

cdef extern from "roots.h" nogil:
    ctypedef enum pp_precision:
        PP_SINGLE
        PP_DOUBLE
    ctypedef enum pp_root:
        PP_NO_ROOT
        PP_ROOT
    ctypedef enum pp_scaling:
        PP_NO_SCALING
        PP_DIVIDE
        PP_MULTIPLY
    ctypedef struct pp_recipe:
        pp_root root
        pp_precision root_precision
        pp_scaling scaling
        pp_precision scaling_precision
        double scale
    size_t pp_counts_of(const void *amplitudes, pp_precision precision, size_t n, const pp_recipe *recipe,
                        void *counts, size_t count_size, uint32_t *largest)
    void pp_amplitudes_of(const void *counts, size_t count_size, size_t n, const pp_recipe *recipe,
                          void *amplitudes, pp_precision precision)

ROOTS = {None: PP_NO_ROOT, "sqrt": PP_ROOT}
SCALINGS = {None: PP_NO_SCALING, "divide": PP_DIVIDE, "multiply": PP_MULTIPLY}
PRECISIONS = {"float32": PP_SINGLE, "float64": PP_DOUBLE}


cdef class CountSteps:
    """The steps from a count to an amplitude; the amplitude's own type is that of the array of amplitudes.

    Parameters
    ----------
    root : {"float32", "float64"} or None
        Precision of the square root, to which the count is rounded first; None for no root.
    scaling : {"divide", "multiply"} or None
        What is done with the scale afterwards.
    scaling_precision : {"float32", "float64"}
        Precision of that, to which the root and the scale are rounded first.
    scale : float
        Finite and positive, in the precision of the scaling too.

    Raises
    ------
    ValueError
        An argument has another value.
    """

    cdef pp_recipe recipe

    def __init__(self, root=None, scaling=None, scaling_precision="float64", double scale=1.0):
        if root not in (None, *PRECISIONS) or scaling not in SCALINGS or scaling_precision not in PRECISIONS:
            raise ValueError(f"there are no steps with {root=}, {scaling=}, {scaling_precision=}")
        self.recipe.root = ROOTS[None if root is None else "sqrt"]
        self.recipe.root_precision = PRECISIONS[root or "float64"]
        self.recipe.scaling = SCALINGS[scaling]
        self.recipe.scaling_precision = PRECISIONS[scaling_precision]
        self.recipe.scale = scale
        rounded = <float> scale if scaling_precision == "float32" else scale
        if not isfinite(rounded) or not rounded > 0:
            raise ValueError(f"scale {scale} is not a finite positive {scaling_precision}")

    def counts(self, amplitudes, counts=None):
        """Find the counts of amplitudes, each of which is checked to come back bit for bit.

        Parameters
        ----------
        amplitudes : buffer
            Contiguous, of floats or doubles.
        counts : writable buffer, optional
            Contiguous, of unsigned integers of 1, 2 or 4 bytes, as many; left as it is where only the check is wanted.

        Returns
        -------
        exact : int
            Index of the first amplitude that no count up to 2**32 - 1 gives back; their number where there is none.
        largest : int
            The largest count, 0 where not all are exact. `counts` is of use only where it can hold that.

        Raises
        ------
        ValueError
            The buffers are of other types, not aligned, or of different length.
        """
        cdef Py_buffer source, result
        cdef size_t n, exact, count_size = 0
        cdef uint32_t largest = 0
        cdef pp_precision precision
        cdef void *target = NULL
        PyObject_GetBuffer(amplitudes, &source, PyBUF_C_CONTIGUOUS | PyBUF_FORMAT)
        try:
            precision = precision_of(&source)
            n = <size_t> (source.len // source.itemsize)
            if counts is not None:
                PyObject_GetBuffer(counts, &result, PyBUF_C_CONTIGUOUS | PyBUF_FORMAT | PyBUF_WRITABLE)
            try:
                if counts is not None:
                    count_size = size_of_counts(&result)
                    check_length(&result, n)
                    target = result.buf
                with nogil:
                    exact = pp_counts_of(source.buf, precision, n, &self.recipe, target, count_size, &largest)
            finally:
                if counts is not None:
                    PyBuffer_Release(&result)
        finally:
            PyBuffer_Release(&source)
        return exact, largest

    def amplitudes(self, counts, amplitudes):
        """Compute the amplitudes of counts.

        Parameters
        ----------
        counts : buffer
            Contiguous, of unsigned integers of 1, 2 or 4 bytes.
        amplitudes : writable buffer
            Contiguous, of floats or doubles, as many.

        Raises
        ------
        ValueError
            The buffers are of other types, not aligned, or of different length.
        """
        cdef Py_buffer source, result
        cdef size_t n, count_size
        cdef pp_precision precision
        PyObject_GetBuffer(counts, &source, PyBUF_C_CONTIGUOUS | PyBUF_FORMAT)
        try:
            count_size = size_of_counts(&source)
            n = <size_t> (source.len // source.itemsize)
            PyObject_GetBuffer(amplitudes, &result, PyBUF_C_CONTIGUOUS | PyBUF_FORMAT | PyBUF_WRITABLE)
            try:
                precision = precision_of(&result)
                check_length(&result, n)
                with nogil:
                    pp_amplitudes_of(source.buf, count_size, n, &self.recipe, result.buf, precision)
            finally:
                PyBuffer_Release(&result)
        finally:
            PyBuffer_Release(&source)


NATIVE_ORDERS = (b"@", b"=", b"<" if sys.byteorder == "little" else b">")


cdef bytes format_of(Py_buffer *view):
    """Return the format of the elements, without the mark of native byte order."""
    cdef bytes format = b"B" if view.format == NULL else <bytes> view.format
    return format[1:] if format[:1] in NATIVE_ORDERS else format


cdef int check_alignment(Py_buffer *view) except -1:
    if <size_t> view.buf % <size_t> view.itemsize:
        raise ValueError("elements are not aligned")
    return 0


cdef pp_precision precision_of(Py_buffer *view) except *:
    format = format_of(view)
    check_alignment(view)
    if format == b"f" and view.itemsize == sizeof(float):
        return PP_SINGLE
    if format == b"d" and view.itemsize == sizeof(double):
        return PP_DOUBLE
    raise ValueError(f"found elements of format {format.decode()!r}, expected native 'f' or 'd'")


cdef size_t size_of_counts(Py_buffer *view) except 0:
    format = format_of(view)
    check_alignment(view)
    if format in (b"B", b"H", b"I", b"L") and view.itemsize in (1, 2, 4):
        return <size_t> view.itemsize
    raise ValueError(f"found elements of format {format.decode()!r}, expected unsigned integers of 1, 2 or 4 bytes")


cdef int check_length(Py_buffer *view, size_t n) except -1:
    if <size_t> (view.len // view.itemsize) != n:
        raise ValueError(f"there must be as many elements as in the other buffer: {n}, not {view.len // view.itemsize}")
    return 0
