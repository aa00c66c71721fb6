# cython: language_level=3, boundscheck=False, wraparound=False
"""Filter 32015, one frame of zstd a chunk, by zstd itself: the bytes are those of the plugin.

The plugin makes zstd's state anew for each chunk, and decodes whole chunks into memory of its own only.
"""

from cpython.buffer cimport PyBUF_C_CONTIGUOUS, PyBuffer_Release, PyObject_GetBuffer
from libc.stdlib cimport free, malloc

from ptychoproduct_native.buffers cimport ChunkBuffer, Destination
from ptychoproduct_native.compressors cimport Compressor, Context

cdef extern from "vectors.h" nogil:
    void pp_clear_vectors()

cdef enum:
    MOST_BYTES = 1 << 30  # of a chunk that is compressed here


cdef class Zstandard:
    """The frame of a chunk.

    Parameters
    ----------
    compressor : Compressor
        Of zstd.
    """

    def __cinit__(self, Compressor compressor not None):
        self.compressor = compressor

    cdef bint encode(self, ChunkBuffer chunk) except -1:
        """Encode a chunk in place of its contents; False, with the chunk unchanged, where that fails."""
        cdef Context context
        cdef size_t capacity, size
        cdef unsigned char *encoded
        if chunk.nbytes > MOST_BYTES:
            return False
        capacity = self.compressor.bound(chunk.nbytes)
        encoded = <unsigned char *> malloc(capacity)
        if encoded == NULL:
            return False
        context = self.compressor.take(True)
        with nogil:
            pp_clear_vectors()
            size = self.compressor.compress(context, encoded, capacity, chunk.data, chunk.nbytes)
        self.compressor.give(context)
        if size == 0:
            free(encoded)
            return False
        free(chunk.data)
        chunk.data = encoded
        chunk.nbytes = size
        chunk.capacity = capacity
        return True

    cdef object decode(self, data, size_t most, size_t start, size_t stop, Destination place):
        """Return the place filled with decoded bytes; None where they are not those of a chunk of at most `most` bytes.

        Blocks from byte `stop` on are not decoded: theirs may be anything. Those before `start` are needed for others.
        """
        cdef Py_buffer view
        cdef const unsigned char *encoded
        cdef unsigned char *room
        cdef Context context
        cdef unsigned long long decoded
        cdef bint done
        PyObject_GetBuffer(data, &view, PyBUF_C_CONTIGUOUS)
        try:
            encoded = <const unsigned char *> view.buf
            decoded = self.compressor.zstd.content_size(encoded, view.len)
            if decoded > most:  # two very large numbers say that there is no size, or no frame
                return None
            room = place.room(decoded)
            if room == NULL:
                return None
            context = self.compressor.take(False)
            with nogil:
                pp_clear_vectors()
                if stop >= decoded:
                    done = self.compressor.decompress(context, room, decoded, encoded, view.len)
                else:
                    done = self.compressor.decompress_first(context, room, decoded, stop, encoded, view.len)
            self.compressor.give(context)
        finally:
            PyBuffer_Release(&view)
        return place.filled() if done else None
