# cython: language_level=3, boundscheck=False, wraparound=False
"""zstd and LZ4, as hdf5plugin's own libraries have them, called directly.

The filter functions of the plugins make and free zstd's state for each block, which costs a tenth of the time at low
levels, and give no parameters but the level. On Linux the libraries export zstd and LZ4 themselves.
"""

import ctypes

from libc.limits cimport INT_MAX
from libc.stdint cimport uintptr_t


# ZSTD_cParameter of zstd.h.
cdef enum:
    LEVEL = 100
    HASH_LOG = 102
    CHAIN_LOG = 103
    SEARCH_LOG = 104
    MIN_MATCH = 105
    STRATEGY = 107

# Strategies of zstd.h.
cdef enum:
    FAST = 1
    LAZY2 = 5

ZSTD_SETTINGS = {"fast7": 117, "lazy7": 157}
"""Numbers that are given as levels, 100 + 10 x strategy + least match: what no level has, for bitshuffled counts. Runs of
few bits are there in plenty; only matches of seven bytes are worth a search. zstd takes such a number for its last level."""

_PARAMETERS = {
    117: ((LEVEL, 1), (STRATEGY, FAST), (MIN_MATCH, 7), (HASH_LOG, 11), (CHAIN_LOG, 11)),
    157: ((LEVEL, 1), (STRATEGY, LAZY2), (MIN_MATCH, 7), (SEARCH_LOG, 3), (HASH_LOG, 14), (CHAIN_LOG, 15)),
}
_NEAREST_LEVEL = {117: 1, 157: 15}


def zstd_parameters(int level):
    """Parameters of a level, or of one of `ZSTD_SETTINGS`."""
    return _PARAMETERS.get(level, ((LEVEL, level),))


def plain_level(unsigned int stored=0):
    """Parameters of a level as filter 32015 stores it: a negative one as a very large number, 0 for the default."""
    return ((LEVEL, <int> stored),)


def nearest_level(int level):
    """The level, or that which compresses most like one of `ZSTD_SETTINGS`."""
    return _NEAREST_LEVEL.get(level, level)


cdef class Context:
    """The state of zstd between calls, for one call at a time."""

    def __dealloc__(self):
        if self.encoder != NULL:
            self.zstd.free(self.encoder)
        if self.decoder != NULL:
            self.zstd.free_decoder(self.decoder)


cdef class Compressor:
    """A compressor in a shared library.

    Parameters
    ----------
    library : ctypes.CDLL
    name : {"zstd", "lz4"}
    parameters : sequence of (int, int)
        Of zstd: numbers of ``ZSTD_cParameter``, and their values.

    Raises
    ------
    AttributeError
        The library does not export the functions.

    Notes
    -----
    Any number of threads may use one compressor at once.
    """

    def __cinit__(self, library, str name, parameters=()):
        self.library = library
        self.is_zstd = name == "zstd"
        self.parameters = tuple(parameters)
        self.idle = []
        if self.is_zstd:
            self.zstd.create = <create_function> address(library, "ZSTD_createCCtx")
            self.zstd.free = <free_function> address(library, "ZSTD_freeCCtx")
            self.zstd.set_parameter = <parameter_function> address(library, "ZSTD_CCtx_setParameter")
            self.zstd.compress = <zstd_function> address(library, "ZSTD_compress2")
            self.zstd.create_decoder = <create_function> address(library, "ZSTD_createDCtx")
            self.zstd.free_decoder = <free_function> address(library, "ZSTD_freeDCtx")
            self.zstd.decompress = <zstd_function> address(library, "ZSTD_decompressDCtx")
            self.zstd.begin_decoding = <context_function> address(library, "ZSTD_decompressBegin")
            self.zstd.next_size = <context_function> address(library, "ZSTD_nextSrcSizeToDecompress")
            self.zstd.decode_next = <zstd_function> address(library, "ZSTD_decompressContinue")
            self.zstd.content_size = <content_function> address(library, "ZSTD_getFrameContentSize")
            self.zstd.bound = <zstd_bound_function> address(library, "ZSTD_compressBound")
            self.zstd.is_error = <error_function> address(library, "ZSTD_isError")
        else:
            self.lz4.compress = <lz4_function> address(library, "LZ4_compress_default")
            self.lz4.decompress = <lz4_function> address(library, "LZ4_decompress_safe")
            self.lz4.bound = <lz4_bound_function> address(library, "LZ4_compressBound")

    cdef Context take(self, bint encodes):
        """Return a state that no other call uses; MemoryError without memory for one."""
        cdef Context context
        try:
            context = self.idle.pop()
        except IndexError:
            context = Context()
            context.zstd = &self.zstd
        if not self.is_zstd:
            return context
        if encodes and context.encoder == NULL:
            context.encoder = self.zstd.create()
            if context.encoder == NULL:
                raise MemoryError("zstd")
            for parameter, value in self.parameters:
                if self.zstd.is_error(self.zstd.set_parameter(context.encoder, parameter, value)):
                    raise ValueError(f"zstd has no parameter {parameter} of value {value}")
        if not encodes and context.decoder == NULL:
            context.decoder = self.zstd.create_decoder()
            if context.decoder == NULL:
                raise MemoryError("zstd")
        return context

    cdef void give(self, Context context):
        """Keep a state for the next call."""
        self.idle.append(context)

    cdef size_t bound(self, size_t nbytes) noexcept nogil:
        """Return the most that `nbytes`, at most 1 GiB, compress to."""
        return self.zstd.bound(nbytes) if self.is_zstd else <size_t> self.lz4.bound(<int> nbytes)

    cdef size_t compress(self, Context context, unsigned char *dst, size_t capacity,
                         const unsigned char *src, size_t nbytes) noexcept nogil:
        """Compress, and return the size; 0 where that fails."""
        cdef size_t done
        cdef int lz4_done
        if self.is_zstd:
            done = self.zstd.compress(context.encoder, dst, capacity, src, nbytes)
            return 0 if self.zstd.is_error(done) else done
        if nbytes > INT_MAX:
            return 0
        capacity = min(capacity, <size_t> INT_MAX)
        lz4_done = self.lz4.compress(<const char *> src, <char *> dst, <int> nbytes, <int> capacity)
        return <size_t> lz4_done if lz4_done > 0 else 0

    cdef bint decompress(self, Context context, unsigned char *dst, size_t expected,
                         const unsigned char *src, size_t nbytes) noexcept nogil:
        """Decompress exactly `expected` bytes; False where there are others."""
        if self.is_zstd:
            return self.zstd.decompress(context.decoder, dst, expected, src, nbytes) == expected
        if nbytes > INT_MAX or expected > INT_MAX:
            return False
        return self.lz4.decompress(<const char *> src, <char *> dst, <int> nbytes, <int> expected) == <int> expected

    cdef bint decompress_first(self, Context context, unsigned char *dst, size_t expected, size_t wanted,
                               const unsigned char *src, size_t nbytes) noexcept nogil:
        """Decompress a frame of zstd block by block, until so many of its `expected` bytes are there; False where that fails.

        What is behind them in `dst` may be anything.
        """
        cdef size_t size, done = 0
        if self.zstd.is_error(self.zstd.begin_decoding(context.decoder)):
            return False
        while done < wanted:
            size = self.zstd.next_size(context.decoder)
            if size == 0 or size > nbytes:
                return False
            done += self.zstd.decode_next(context.decoder, dst + done, expected - done, src, size)
            if done > expected:  # an error is a very large number
                return False
            src += size
            nbytes -= size
        return True


cdef void *address(library, str name) except NULL:
    """Return where a function of a shared library is."""
    return <void *> <uintptr_t> ctypes.cast(getattr(library, name), ctypes.c_void_p).value
