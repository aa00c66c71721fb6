# cython: language_level=3, boundscheck=False, wraparound=False
"""The filters of a dataset, run one after the other on a chunk; any number of chunks at once."""

from cpython.buffer cimport PyBUF_C_CONTIGUOUS, PyBuffer_Release, PyObject_GetBuffer
from libc.string cimport memcpy

from ptychoproduct_native.buffers cimport ChunkBuffer, Destination
from ptychoproduct_native.filters cimport Filter, copied

from ptychoproduct_native.filters import FilterError

cdef extern from "Python.h":
    size_t PY_SSIZE_T_MAX

cdef enum:
    MAX_FILTERS = 32  # by HDF5; a filter mask has no more bits

# What one of several stages may add to data that it cannot compress; more is forged data.
cdef size_t SPARE_BYTES = 65536


cdef class FilterPipeline:
    """The filters of one dataset, in order.

    Parameters
    ----------
    filters : sequence of Filter

    Attributes
    ----------
    decodes_parts : bool
        Whether part of a chunk is decoded in less time than all of it.

    Notes
    -----
    A pipeline holds no state of a chunk: any number of threads may use one pipeline at once.
    """

    cdef tuple filters

    def __cinit__(self, filters):
        self.filters = tuple(filters)
        if len(self.filters) > MAX_FILTERS:
            raise FilterError(f"{len(self.filters)} filters; HDF5 has at most {MAX_FILTERS}")
        for stage in self.filters:
            if not isinstance(stage, Filter):
                raise TypeError(f"a pipeline is made of Filter, not of {type(stage).__name__}")

    @property
    def decodes_parts(self):
        cdef Filter first
        if not self.filters:
            return False
        first = self.filters[0]
        return first.bitshuffled is not None or first.zstandard is not None

    def encode(self, ChunkBuffer chunk not None):
        """Encode a chunk in place of its contents.

        Parameters
        ----------
        chunk : ChunkBuffer
            Whole chunk, native byte order. Its memory is replaced; it must have no views.

        Returns
        -------
        data : ChunkBuffer
            The encoded bytes: the same `chunk`, or another one where zlib made them.
        filter_mask : int
            HDF5's filter mask: bit i is set where optional filter i was skipped.

        Raises
        ------
        FilterError
            A filter failed that is not optional.
        BufferError
            The chunk has views, or is being encoded already.
        """
        chunk.seize()
        try:
            return self.encode_seized(chunk)
        finally:
            chunk.release()

    cdef tuple encode_seized(self, ChunkBuffer chunk):
        cdef Filter stage
        cdef ChunkBuffer encoded
        cdef unsigned int mask = 0
        cdef size_t i
        for i, stage in enumerate(self.filters):
            encoded = stage.encode(chunk)
            if encoded is not None:
                chunk = encoded
            elif stage.optional:
                mask |= 1U << i
            else:
                raise FilterError(f"filter {stage.filter_id} failed on a chunk of {chunk.nbytes} bytes")
        return chunk, mask

    def decode(self, data, unsigned int filter_mask, size_t nbytes, bint use_up=False, part=None):
        """Decode a chunk.

        Parameters
        ----------
        data : buffer
            The encoded bytes, contiguous.
        filter_mask : int
            HDF5's filter mask: filter i was skipped where bit i is set.
        nbytes : int
            Size of the decoded chunk.
        use_up : bool
            Whether the encoded bytes are a ChunkBuffer that is left empty; they stay as they are otherwise.
        part : slice, optional
            Which of the decoded bytes are wanted; the others may then be anything. All by default.

        Returns
        -------
        ChunkBuffer
            Exactly `nbytes` bytes.

        Raises
        ------
        FilterError
            A filter cannot decode the bytes, or they decode to another size.
        BufferError
            The bytes are to be used up, and have views.
        """
        cdef size_t start = 0, stop = PY_SSIZE_T_MAX
        if part is not None:
            start, stop = part.start, part.stop
        return self.decoded(data, filter_mask, nbytes, use_up, start, stop, Destination(None))

    def decode_into(self, place, data, unsigned int filter_mask, bint use_up=False):
        """Decode a chunk to memory that is there.

        Parameters
        ----------
        place : buffer
            Contiguous, of the decoded chunk's size. Where an error is raised, its bytes may be anything.
        data : buffer
            See `decode`, as for the other parameters and errors.
        """
        cdef Destination destination = Destination(place)
        cdef Py_buffer view
        current = self.decoded(data, filter_mask, len(destination), use_up, 0, PY_SSIZE_T_MAX, destination)
        if current is destination:
            return
        PyObject_GetBuffer(current, &view, PyBUF_C_CONTIGUOUS)
        with nogil:
            memcpy(destination.view.buf, view.buf, view.len)
        PyBuffer_Release(&view)

    cdef object decoded(self, data, unsigned int filter_mask, size_t nbytes, bint use_up, size_t start, size_t stop,
                        Destination place):
        """Return a chunk, the place that was filled with one, or the data where there is no filter; of `nbytes` bytes."""
        cdef Filter stage
        cdef object current = (<ChunkBuffer?> data).taken() if use_up else data
        cdef size_t most
        cdef list active = [stage for i, stage in enumerate(self.filters) if not filter_mask >> i & 1]
        if nbytes > PY_SSIZE_T_MAX // 4:
            raise MemoryError(f"no memory for a chunk of {nbytes} bytes")
        for i, stage in reversed(list(enumerate(active))):
            if i == 0:  # what the first filter was given is the chunk itself
                current = stage.decode(current, nbytes, current is not data, start, stop, place)
            else:
                most = 2 * nbytes + SPARE_BYTES
                current = stage.decode(current, most, current is not data, 0, PY_SSIZE_T_MAX, Destination(None))
        if current is data and not place.is_given:
            current = copied(data)
        found = memoryview(data).nbytes if current is data else len(current)
        if <size_t> found != nbytes:
            raise FilterError(f"the chunk decodes to {found} bytes, expected {nbytes}")
        return current
