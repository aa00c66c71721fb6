# cython: language_level=3, boundscheck=False, wraparound=False
"""HDF5 filter pipelines run on buffers, outside HDF5 and its locks.

The compiled filters of hdf5plugin are plain functions on malloc'd memory. HDF5 calls them under its library-wide
lock; called directly they run on every core at once. The two filters that HDF5 builds in are done here: shuffle by
our kernel, deflate by zlib, which releases the GIL for large inputs.
"""

import ctypes
import zlib
from cpython.buffer cimport PyBUF_READ
from cpython.memoryview cimport PyMemoryView_FromMemory
from libc.stdint cimport uintptr_t
from libc.stdlib cimport free, malloc

from ptychoproduct_native.buffers cimport ChunkBuffer

DEFLATE_ID = 1
SHUFFLE_ID = 2
BITSHUFFLE_ID = 32008

cdef extern from "kernels.h" nogil:
    void pp_shuffle(unsigned char *dst, const unsigned char *src, size_t n, size_t itemsize)

# H5Z_func_t and H5Z_class2_t of HDF5's H5Zdevelop.h, spelled out so that HDF5's headers are not needed to build.
ctypedef size_t (*filter_function)(unsigned int flags, size_t cd_nelmts, const unsigned int *cd_values,
                                   size_t nbytes, size_t *buf_size, void **buf) noexcept nogil

cdef struct filter_class:
    int version
    int id
    unsigned int encoder_present
    unsigned int decoder_present
    const char *name
    void *can_apply
    void *set_local
    filter_function filter

cdef enum:
    H5Z_FLAG_OPTIONAL = 0x0001
    H5Z_CLASS_T_VERS = 1
    MAX_CD_VALUES = 32


class FilterError(Exception):
    """A filter could not be loaded, or failed on a chunk."""


cdef class Filter:
    """One stage of a pipeline: an HDF5 filter with the parameters stored in a dataset.

    Parameters
    ----------
    filter_id : int
        The filter's registered number.
    flags : int
        Its H5Z flags in the dataset; an optional filter that fails on a chunk is skipped and recorded.
    cd_values : sequence of int
        All its parameters, after HDF5's ``set_local``.
    library : str or None
        The plugin's shared library; None for shuffle and deflate.
    """

    cdef readonly int filter_id
    cdef bint optional
    cdef size_t cd_nelmts
    cdef unsigned int cd_values[MAX_CD_VALUES]
    cdef filter_function function
    cdef object library  # keeps the shared library loaded while its function may be called

    def __cinit__(self, int filter_id, unsigned int flags, cd_values, library=None):
        cdef filter_class *plugin
        if len(cd_values) > MAX_CD_VALUES:
            raise FilterError(f"filter {filter_id} has {len(cd_values)} parameters, expected at most {MAX_CD_VALUES}")
        self.filter_id = filter_id
        self.optional = flags & H5Z_FLAG_OPTIONAL
        self.cd_nelmts = len(cd_values)
        for i, value in enumerate(cd_values):
            self.cd_values[i] = value
        self.function = NULL
        self.check_values(cd_values)
        if filter_id == SHUFFLE_ID or filter_id == DEFLATE_ID:
            return
        if library is None:
            raise FilterError(f"no library is known for filter {filter_id}")
        try:
            self.library = ctypes.CDLL(library)
            self.library.H5PLget_plugin_info.restype = ctypes.c_void_p
        except (OSError, AttributeError) as error:
            raise FilterError(f"{library} is no HDF5 filter: {error}") from error
        plugin = <filter_class *> <uintptr_t> (self.library.H5PLget_plugin_info() or 0)
        if plugin == NULL or plugin.version != H5Z_CLASS_T_VERS or plugin.filter == NULL:
            raise FilterError(f"{library} does not describe an HDF5 filter")
        if plugin.id != filter_id:
            raise FilterError(f"{library} holds filter {plugin.id}, expected {filter_id}")
        if not plugin.encoder_present:
            raise FilterError(f"{library} cannot encode filter {filter_id}")
        self.function = plugin.filter

    cdef int check_values(self, cd_values) except -1:
        """Refuse parameters that HDF5 never stores, and on which the filters would divide by zero."""
        cdef dict allowed = {SHUFFLE_ID: (0, 1, None), DEFLATE_ID: (0, 0, 9), BITSHUFFLE_ID: (2, 1, None)}
        if self.filter_id not in allowed:
            return 0
        position, least, most = allowed[self.filter_id]
        value = cd_values[position] if len(cd_values) > position else -1
        if value < least or (most is not None and value > most):
            raise FilterError(f"filter {self.filter_id} has parameters {tuple(cd_values)}, outside of its range")
        return 0

    cdef bint call(self, ChunkBuffer chunk) noexcept nogil:
        """Run the plugin on the chunk's memory; False, with the chunk unchanged, where the plugin fails."""
        cdef void *data = chunk.data
        cdef size_t capacity = chunk.capacity
        cdef size_t nbytes = self.function(0, self.cd_nelmts, self.cd_values, chunk.nbytes, &capacity, &data)
        chunk.data = <unsigned char *> data
        if nbytes == 0:
            return False
        chunk.capacity = capacity
        chunk.nbytes = nbytes
        return True

    cdef bint shuffle(self, ChunkBuffer chunk) noexcept nogil:
        """Shuffle the chunk's bytes; False, with the chunk unchanged, without memory for the result."""
        cdef size_t itemsize = self.cd_values[0]
        cdef size_t n = chunk.nbytes // itemsize
        cdef size_t i
        cdef unsigned char *shuffled
        if itemsize == 1 or n < 2:
            return True
        shuffled = <unsigned char *> malloc(chunk.capacity)
        if shuffled == NULL:
            return False
        pp_shuffle(shuffled, chunk.data, n, itemsize)
        for i in range(n * itemsize, chunk.nbytes):
            shuffled[i] = chunk.data[i]
        free(chunk.data)
        chunk.data = shuffled
        return True


cdef class FilterPipeline:
    """The filters of one dataset, in order.

    Parameters
    ----------
    filters : sequence of Filter

    Notes
    -----
    A pipeline holds no state of a chunk: any number of threads may encode with one pipeline at once.
    """

    cdef tuple filters

    def __cinit__(self, filters):
        self.filters = tuple(filters)
        for stage in self.filters:
            if not isinstance(stage, Filter):
                raise TypeError(f"expected Filter, found {type(stage).__name__}")

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
        cdef bint done
        cdef unsigned int mask = 0
        cdef size_t i
        for i, stage in enumerate(self.filters):
            if stage.filter_id == DEFLATE_ID:
                chunk = deflated(chunk, stage.cd_values[0])
                continue
            with nogil:
                done = stage.shuffle(chunk) if stage.function == NULL else stage.call(chunk)
            if not done:
                if not stage.optional:
                    raise FilterError(f"filter {stage.filter_id} failed on a chunk of {chunk.nbytes} bytes")
                mask |= 1U << i
        return chunk, mask


cdef ChunkBuffer deflated(ChunkBuffer chunk, int level):
    """Compress with zlib, as HDF5 does; zlib releases the GIL."""
    data = zlib.compress(PyMemoryView_FromMemory(<char *> chunk.data, <Py_ssize_t> chunk.nbytes, PyBUF_READ), level)
    compressed = ChunkBuffer(len(data))
    memoryview(compressed)[:] = data
    return compressed
