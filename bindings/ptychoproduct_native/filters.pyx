# cython: language_level=3, boundscheck=False, wraparound=False
"""HDF5 filters, called on buffers outside HDF5 and its locks.

The compiled filters of hdf5plugin are plain functions on malloc'd memory. HDF5 calls them under its library-wide
lock; called directly they run on every core at once. Three filters that HDF5 builds in are done here: shuffle and
the checksum by our kernels, deflate by isal or zlib, inflate by isal; these release the GIL. So does szip, by the
libaec that HDF5 has.
"""

import bz2
import ctypes
import zlib
from cpython.buffer cimport PyBUF_C_CONTIGUOUS, PyBUF_READ, PyBuffer_Release, PyObject_GetBuffer
from cpython.memoryview cimport PyMemoryView_FromMemory
from libc.stdint cimport uint32_t, uintptr_t
from libc.stdlib cimport free, malloc, realloc
from libc.string cimport memcpy

from isal import isal_zlib

from ptychoproduct_native.bitshuffled cimport Bitshuffled, default_block
from ptychoproduct_native.buffers cimport ChunkBuffer, Destination
from ptychoproduct_native.compressors cimport Compressor
from ptychoproduct_native.szip cimport Szip
from ptychoproduct_native.zstandard cimport Zstandard

from ptychoproduct_native.compressors import nearest_level, plain_level, zstd_parameters

cdef enum:
    DEFLATE = 1
    SHUFFLE = 2
    FLETCHER32 = 3
    SZIP = 4
    BZIP2 = 307
    BLOSC = 32001
    BLOSC2 = 32026
    LZ4 = 32004
    BITSHUFFLE = 32008
    ZSTD = 32015

DEFLATE_ID = DEFLATE
SHUFFLE_ID = SHUFFLE
FLETCHER32_ID = FLETCHER32
SZIP_ID = SZIP
BUILT_IN_IDS = frozenset({DEFLATE_ID, SHUFFLE_ID, FLETCHER32_ID})

cdef extern from "kernels.h" nogil:
    void pp_shuffle(unsigned char *dst, const unsigned char *src, size_t n, size_t itemsize)
    void pp_unshuffle(unsigned char *dst, const unsigned char *src, size_t n, size_t itemsize)
    uint32_t pp_fletcher32(const unsigned char *data, size_t nbytes)

cdef extern from "vectors.h" nogil:
    void pp_clear_vectors()

cdef extern from "Python.h":
    size_t PY_SSIZE_T_MAX

cdef extern from "encoded.h" nogil:
    bint pp_bitshuffle_fits(const unsigned char *data, size_t nbytes, size_t itemsize, size_t most)
    bint pp_lz4_fits(const unsigned char *data, size_t nbytes, size_t most)
    bint pp_zstd_fits(const unsigned char *data, size_t nbytes, size_t most)
    bint pp_blosc_fits(const unsigned char *data, size_t nbytes, size_t most)
    bint pp_blosc2_fits(const unsigned char *data, size_t nbytes, size_t most)

# H5Z_class2_t of HDF5's H5Zdevelop.h, written out so that HDF5's headers are not needed to build.
cdef struct filter_class:
    int version
    int id
    unsigned int encoder_present
    unsigned int decoder_present
    const char *name
    void *can_apply
    void *set_local
    filter_function filter

# Bitshuffle's numbers of its compressors.
cdef enum:
    BITSHUFFLE_LZ4 = 2
    BITSHUFFLE_ZSTD = 3

cdef enum:
    H5Z_FLAG_OPTIONAL = 0x0001
    H5Z_FLAG_REVERSE = 0x0100
    H5Z_CLASS_T_VERS = 1
    CHECKSUM_BYTES = 4

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
        The plugin's shared library, and for szip one with libaec; None for the filters of `BUILT_IN_IDS`.
    """

    def __cinit__(self, int filter_id, unsigned int flags, cd_values, library=None):
        cdef filter_class *plugin
        if len(cd_values) > MAX_CD_VALUES:
            raise FilterError(f"filter {filter_id} has {len(cd_values)} parameters; at most {MAX_CD_VALUES} can be run")
        self.filter_id = filter_id
        self.optional = flags & H5Z_FLAG_OPTIONAL
        self.cd_nelmts = len(cd_values)
        for i, value in enumerate(cd_values):
            self.cd_values[i] = value
        self.function = NULL
        self.encodes = True
        self.decodes = True
        self.check_values(cd_values)
        if filter_id in BUILT_IN_IDS:
            return
        if library is None:
            raise FilterError(f"no library is known for filter {filter_id}")
        if filter_id == SZIP:
            self.szip = szip(library, cd_values)
            return
        try:
            self.library = ctypes.CDLL(library)
            self.library.H5PLget_plugin_info.restype = ctypes.c_void_p
        except (OSError, AttributeError) as error:
            raise FilterError(f"{library} is not an HDF5 filter: {error}") from error
        plugin = <filter_class *> <uintptr_t> (self.library.H5PLget_plugin_info() or 0)
        if plugin == NULL or plugin.version != H5Z_CLASS_T_VERS or plugin.filter == NULL:
            raise FilterError(f"{library} does not describe an HDF5 filter")
        if plugin.id != filter_id:
            raise FilterError(f"{library} is filter {plugin.id}, not filter {filter_id}")
        self.encodes = plugin.encoder_present
        self.decodes = plugin.decoder_present
        self.function = plugin.filter
        if filter_id == ZSTD:
            self.zstandard = zstandard(self.library, cd_values)
        if filter_id == BITSHUFFLE:
            self.bitshuffled = bitshuffled(self.library, cd_values)
            self.cd_values[5] = nearest_level(self.cd_values[5])  # the plugin knows no settings

    cdef int check_values(self, cd_values) except -1:
        """Refuse parameters that HDF5 never stores, and on which the filters would divide by zero."""
        cdef dict allowed = {SHUFFLE: (0, 1, None), DEFLATE: (0, 0, 9), BITSHUFFLE: (2, 1, None)}
        if self.filter_id not in allowed:
            return 0
        position, least, most = allowed[self.filter_id]
        value = cd_values[position] if len(cd_values) > position else -1
        if value < least or (most is not None and value > most):
            raise FilterError(f"filter {self.filter_id} cannot have the parameters {tuple(cd_values)}")
        return 0

    cdef Outcome call(self, unsigned int flags, ChunkBuffer chunk) noexcept nogil:
        """Run the plugin on the chunk's memory; where it fails, the chunk is unchanged, or lost."""
        cdef void *data = chunk.data
        cdef size_t capacity = chunk.capacity
        cdef size_t nbytes
        pp_clear_vectors()
        nbytes = self.function(flags, self.cd_nelmts, self.cd_values, chunk.nbytes, &capacity, &data)
        chunk.data = <unsigned char *> data
        if nbytes == 0:
            return UNCHANGED
        if nbytes > <size_t> PY_SSIZE_T_MAX:  # the zstd plugin returns zstd's error code as a size
            chunk.capacity = chunk.nbytes = 0
            return LOST
        # Not all plugins report the capacity of what they have allocated: some report less, or that of before.
        chunk.capacity = chunk.nbytes = nbytes
        return DONE

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

    cdef ChunkBuffer encode(self, ChunkBuffer chunk):
        """Return the encoded bytes, in the same chunk or another; None, with the chunk unchanged, where that fails."""
        cdef Outcome outcome
        if not self.encodes:
            raise FilterError(f"filter {self.filter_id} cannot encode")
        if self.filter_id == DEFLATE:
            return deflated(chunk, self.cd_values[0])
        if self.bitshuffled is not None:
            return chunk if self.bitshuffled.encode(chunk) else None
        if self.zstandard is not None:
            return chunk if self.zstandard.encode(chunk) else None
        with nogil:
            if self.szip is not None:
                outcome = DONE if self.szip.encode(chunk) else UNCHANGED
            elif self.filter_id == SHUFFLE:
                outcome = DONE if self.shuffle(chunk) else UNCHANGED
            elif self.filter_id == FLETCHER32:
                outcome = DONE if append_checksum(chunk) else LOST
            else:
                outcome = self.call(0, chunk)
        if outcome == LOST:
            raise MemoryError(f"filter {self.filter_id}")
        return chunk if outcome == DONE else None

    cdef object decode(self, object data, size_t most, bint is_free, size_t start, size_t stop, Destination place):
        """Return the decoded bytes, of which only those from `start` to `stop` have to be right.

        `is_free` says that `data` is a ChunkBuffer whose memory may be taken. Filters that can write anywhere fill the
        place and return it; others return what they have.
        """
        cdef ChunkBuffer chunk
        cdef object decoded
        cdef bint done
        if not self.decodes:
            raise FilterError(f"filter {self.filter_id} cannot decode")
        if self.filter_id == SHUFFLE:
            return self.unshuffled(data, place)
        if self.filter_id == DEFLATE:
            return decompressed(isal_zlib.decompressobj(), DEFLATE, data, most)
        if self.filter_id == BZIP2:  # the plugin never ends on truncated data
            return decompressed(bz2.BZ2Decompressor(), BZIP2, data, most)
        if self.bitshuffled is not None or self.zstandard is not None or self.szip is not None:
            if self.bitshuffled is not None:
                decoded = self.bitshuffled.decode(data, most, start, stop, place)
            elif self.zstandard is not None:
                decoded = self.zstandard.decode(data, most, start, stop, place)
            else:
                decoded = self.szip.decode(data, most)
            if decoded is None:
                raise FilterError(f"filter {self.filter_id} cannot decode the chunk's bytes")
            return decoded
        chunk = data if is_free else copied(data)
        with nogil:
            if self.function == NULL:
                done = verify_checksum(chunk)
            else:
                done = self.fits(chunk, most) and self.call(H5Z_FLAG_REVERSE, chunk) == DONE and chunk.nbytes <= most
        if not done:
            chunk.nbytes = 0  # a plugin that failed may have set it to anything
            if self.filter_id == FLETCHER32:
                raise FilterError("its checksum is not that of its bytes")
            raise FilterError(f"filter {self.filter_id} cannot decode the chunk's bytes")
        return chunk

    cdef bint fits(self, ChunkBuffer chunk, size_t most) noexcept nogil:
        """Whether the sizes stated in encoded bytes are possible; true where the plugin checks them itself."""
        if self.filter_id == BITSHUFFLE:
            # Without a compressor there are no sizes.
            return (self.cd_nelmts < 5 or self.cd_values[4] == 0
                    or pp_bitshuffle_fits(chunk.data, chunk.nbytes, self.cd_values[2], most))
        if self.filter_id == LZ4:
            return pp_lz4_fits(chunk.data, chunk.nbytes, most)
        if self.filter_id == ZSTD:
            return pp_zstd_fits(chunk.data, chunk.nbytes, most)
        if self.filter_id == BLOSC:
            return pp_blosc_fits(chunk.data, chunk.nbytes, most)
        if self.filter_id == BLOSC2:
            return pp_blosc2_fits(chunk.data, chunk.nbytes, most)
        return True

    cdef object unshuffled(self, object data, Destination place):
        cdef Py_buffer view
        cdef unsigned char *room
        cdef size_t itemsize = self.cd_values[0]
        cdef size_t whole
        PyObject_GetBuffer(data, &view, PyBUF_C_CONTIGUOUS)
        try:
            room = place.room(view.len)
            if room == NULL:
                raise FilterError(f"the chunk decodes to {view.len} bytes, expected {len(place)}")
            whole = view.len // itemsize * itemsize
            with nogil:
                pp_unshuffle(room, <const unsigned char *> view.buf, whole // itemsize, itemsize)
                memcpy(room + whole, <const unsigned char *> view.buf + whole, view.len - whole)
        finally:
            PyBuffer_Release(&view)
        return place.filled()


cdef Bitshuffled bitshuffled(library, cd_values):
    """Return our own bitshuffle; None where the plugin's function has to do."""
    itemsize, block, number, level = (*cd_values[2:], 0, 0, 0)[:4]
    try:
        if number == BITSHUFFLE_LZ4:
            compressor = Compressor(library, "lz4")
        elif number == BITSHUFFLE_ZSTD:
            compressor = Compressor(library, "zstd", zstd_parameters(level))
        else:
            return None
        return Bitshuffled(compressor, itemsize, block or default_block(itemsize))
    except (AttributeError, ValueError):  # the library does not export what is needed, or such blocks are unusual
        return None


cdef Zstandard zstandard(library, cd_values):
    """Return zstd itself; None where the library does not export it, and the plugin's function has to do."""
    try:
        return Zstandard(Compressor(library, "zstd", plain_level(*cd_values[:1])))
    except AttributeError:
        return None


cdef Szip szip(library, cd_values):
    try:
        return Szip(library, cd_values)
    except (OSError, AttributeError) as error:
        raise FilterError(f"{library} has no szip: {error}") from error
    except ValueError as error:
        raise FilterError(f"filter {SZIP} cannot have the parameters {tuple(cd_values)}: {error}") from error


cdef ChunkBuffer copied(data):
    """Copy bytes into memory that a filter may replace."""
    cdef Py_buffer view
    cdef ChunkBuffer chunk
    PyObject_GetBuffer(data, &view, PyBUF_C_CONTIGUOUS)
    try:
        chunk = ChunkBuffer(view.len)
        with nogil:
            memcpy(chunk.data, view.buf, view.len)
    finally:
        PyBuffer_Release(&view)
    return chunk


cdef bint append_checksum(ChunkBuffer chunk) noexcept nogil:
    """Append the checksum to the chunk's bytes, lowest byte first; False, unchanged, without memory for it."""
    cdef uint32_t checksum = pp_fletcher32(chunk.data, chunk.nbytes)
    cdef unsigned char *end
    cdef unsigned char *grown = <unsigned char *> realloc(chunk.data, chunk.nbytes + CHECKSUM_BYTES)
    if grown == NULL:
        return False
    end = grown + chunk.nbytes
    end[0] = checksum & 0xFF
    end[1] = checksum >> 8 & 0xFF
    end[2] = checksum >> 16 & 0xFF
    end[3] = checksum >> 24
    chunk.data = grown
    chunk.nbytes += CHECKSUM_BYTES
    chunk.capacity = chunk.nbytes
    return True


cdef bint verify_checksum(ChunkBuffer chunk) noexcept nogil:
    """Cut the checksum off the chunk's end; False where it is wrong.

    HDF5 before 1.6.3 stored both halves of it with their bytes swapped, and newer ones accept that.
    """
    cdef uint32_t stored, computed
    cdef const unsigned char *end
    if chunk.nbytes < CHECKSUM_BYTES:
        return False
    chunk.nbytes -= CHECKSUM_BYTES
    end = chunk.data + chunk.nbytes
    stored = end[0] | <uint32_t> end[1] << 8 | <uint32_t> end[2] << 16 | <uint32_t> end[3] << 24
    computed = pp_fletcher32(chunk.data, chunk.nbytes)
    return stored == computed or stored == ((computed & 0x00FF00FF) << 8 | (computed >> 8 & 0x00FF00FF))


cdef ChunkBuffer decompressed(stream, int filter_id, data, size_t most):
    """Decompress with one of Python's streams, at most to a given size."""
    try:
        decoded = stream.decompress(data, most + 1)  # one byte more, so that it reaches the end of the stream
    except (OSError, isal_zlib.error) as error:
        raise FilterError(f"filter {filter_id} cannot decode the chunk's bytes: {error}") from error
    if not stream.eof or <size_t> len(decoded) > most:
        raise FilterError(f"filter {filter_id} cannot decode the chunk's bytes: they are cut off, or too long")
    return copied(decoded)


cdef ChunkBuffer deflated(ChunkBuffer chunk, int level):
    """Compress to a zlib stream. Levels 1 to 3 are isal's: several times as fast as zlib's, and about as small."""
    compress = isal_zlib.compress if 1 <= level <= isal_zlib.ISAL_BEST_COMPRESSION else zlib.compress
    pp_clear_vectors()
    data = compress(PyMemoryView_FromMemory(<char *> chunk.data, <Py_ssize_t> chunk.nbytes, PyBUF_READ), level)
    return copied(data)
