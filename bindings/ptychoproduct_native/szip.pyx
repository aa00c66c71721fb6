# cython: language_level=3, boundscheck=False, wraparound=False
"""Filter 4, szip: extended Rice coding, by libaec out of the HDF5 that is at hand; the bytes are those of HDF5.

A chunk is its decoded size in four bytes, lowest first, and a stream of CCSDS 121.0-B-2. HDF5 calls libaec through the
functions of the older library szip, which say of a stream that is cut off that it is complete, and give what was in
memory. So what these do is done here: elements of 4 and 8 bytes are coded byte by byte, all first bytes first, and lines
of samples are filled up to whole blocks: https://github.com/MathisRosenhauer/libaec.
"""

import ctypes

from cpython.buffer cimport PyBUF_C_CONTIGUOUS, PyBuffer_Release, PyObject_GetBuffer
from libc.stdint cimport UINT32_MAX, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memmove

from ptychoproduct_native.buffers cimport ChunkBuffer
from ptychoproduct_native.compressors cimport address

cdef extern from "kernels.h" nogil:
    void pp_shuffle(unsigned char *dst, const unsigned char *src, size_t n, size_t itemsize)
    void pp_unshuffle(unsigned char *dst, const unsigned char *src, size_t n, size_t itemsize)

# Of the filter's first parameter: H5Ppublic.h.
cdef enum:
    OPTION_MSB = 16
    OPTION_NN = 32

# Of aec_stream's flags: libaec.h.
cdef enum:
    DATA_MSB = 4
    DATA_PREPROCESS = 8
    NOT_ENFORCE = 64

cdef enum:
    SIZE_BYTES = 4
    MOST_BLOCK = 32
    MOST_BLOCKS_OF_A_LINE = 128


def has_szip(library):
    """Whether libaec is in a shared library, or in one that it needs.

    Parameters
    ----------
    library : str
        Its path.
    """
    try:
        loaded = ctypes.CDLL(library)
    except OSError:
        return False
    return hasattr(loaded, "aec_buffer_encode") and hasattr(loaded, "aec_buffer_decode")


cdef class Szip:
    """The coding of a dataset's chunks.

    Parameters
    ----------
    library : str
        Path of a shared library, see `has_szip`.
    cd_values : sequence of int
        The filter's parameters, after HDF5's ``set_local``: options, samples of a block, bits of a sample, samples of a line.

    Raises
    ------
    OSError, AttributeError
        libaec is not there.
    ValueError
        HDF5 never stores such parameters.
    """

    def __cinit__(self, str library not None, cd_values):
        options, block, bits, line = cd_values
        if not (0 < block <= MOST_BLOCK and block % 2 == 0 and block <= line <= MOST_BLOCKS_OF_A_LINE * block):
            raise ValueError(f"no lines of {line} samples in blocks of {block}")
        if not (0 < bits <= 24 or bits in (32, 64)):
            raise ValueError(f"no samples of {bits} bits")
        self.library = ctypes.CDLL(library)
        self.compress = <aec_function> address(self.library, "aec_buffer_encode")
        self.decompress = <aec_function> address(self.library, "aec_buffer_decode")
        self.predicts = bool(options & OPTION_NN)
        self.planes = bits // 8 if bits > 24 else 1
        self.settings.bits_per_sample = 8 if bits > 24 else bits
        self.settings.block_size = block
        self.settings.rsi = -(-line // block)
        self.settings.flags = (DATA_MSB if options & OPTION_MSB else 0) | (DATA_PREPROCESS if self.predicts else 0)
        self.sample_bytes = 1 if bits <= 8 or bits > 24 else 2 if bits <= 16 else 4
        self.line_bytes = line * self.sample_bytes
        self.padded_bytes = self.settings.rsi * block * self.sample_bytes

    cdef bint encode(self, ChunkBuffer chunk) noexcept nogil:
        """Encode a chunk in place of its contents; False, with the chunk unchanged, where it does not become smaller."""
        cdef aec_stream stream = self.settings
        cdef size_t n = chunk.nbytes, i
        cdef unsigned char *encoded
        cdef unsigned char *planes = NULL
        cdef unsigned char *padded = NULL
        cdef const unsigned char *samples = chunk.data
        cdef bint done
        if n == 0 or n > UINT32_MAX or not self.holds_whole_elements(n):
            return False
        encoded = <unsigned char *> malloc(n + SIZE_BYTES)
        done = encoded != NULL
        if done and self.planes > 1:
            planes = <unsigned char *> malloc(n)
            done = planes != NULL
            if done:
                pp_shuffle(planes, chunk.data, n // self.planes, self.planes)
                samples = planes
        stream.avail_in = n
        if done and (n % self.line_bytes or self.line_bytes != self.padded_bytes):
            padded = self.padded(samples, n)
            done = padded != NULL
            samples = padded
            stream.avail_in = self.lines_of(n) * self.padded_bytes
        if done:
            stream.flags |= NOT_ENFORCE
            stream.next_in = samples
            stream.next_out = encoded + SIZE_BYTES
            stream.avail_out = n
            done = self.compress(&stream) == 0
        free(planes)
        free(padded)
        if not done:
            free(encoded)
            return False
        for i in range(<size_t> SIZE_BYTES):
            encoded[i] = n >> 8 * i & 0xFF
        free(chunk.data)
        chunk.data = encoded
        chunk.nbytes = stream.total_out + SIZE_BYTES
        chunk.capacity = n + SIZE_BYTES
        return True

    cdef ChunkBuffer decode(self, data, size_t most):
        """Return the decoded bytes; None where they are not those of a chunk of at most `most` bytes."""
        cdef Py_buffer view
        cdef const unsigned char *encoded
        cdef ChunkBuffer chunk
        cdef uint64_t size = 0
        cdef size_t i
        cdef bint done
        PyObject_GetBuffer(data, &view, PyBUF_C_CONTIGUOUS)
        try:
            encoded = <const unsigned char *> view.buf
            if view.len < SIZE_BYTES:
                return None
            for i in range(<size_t> SIZE_BYTES):
                size |= <uint64_t> encoded[i] << 8 * i
            if size == 0 or size > most or not self.holds_whole_elements(size):
                return None
            chunk = ChunkBuffer(size)
            with nogil:
                done = self.decode_into(chunk.data, size, encoded + SIZE_BYTES, view.len - SIZE_BYTES)
        finally:
            PyBuffer_Release(&view)
        return chunk if done else None

    cdef bint decode_into(self, unsigned char *decoded, size_t size, const unsigned char *data, size_t n) noexcept nogil:
        cdef aec_stream stream = self.settings
        cdef bint is_padded = self.line_bytes != self.padded_bytes
        cdef size_t lines = self.lines_of(size), expected = lines * self.padded_bytes if is_padded else size
        cdef size_t first, i
        cdef unsigned char *samples = decoded
        cdef bint done
        if is_padded or self.planes > 1:
            samples = <unsigned char *> malloc(expected)
            if samples == NULL:
                return False
        stream.next_in = data
        stream.avail_in = n
        stream.next_out = samples
        stream.avail_out = expected
        done = self.decompress(&stream) == 0 and stream.total_out == expected
        if done and is_padded:
            for i in range(lines):
                first = i * self.line_bytes
                # Where planes follow, within the same memory.
                memmove((samples if self.planes > 1 else decoded) + first, samples + i * self.padded_bytes,
                        min(self.line_bytes, size - first))
        if done and self.planes > 1:
            pp_unshuffle(decoded, samples, size // self.planes, self.planes)
        if samples != decoded:
            free(samples)
        return done

    cdef bint holds_whole_elements(self, uint64_t nbytes) noexcept nogil:
        return nbytes % (self.planes * self.sample_bytes) == 0

    cdef size_t lines_of(self, size_t nbytes) noexcept nogil:
        return (nbytes + self.line_bytes - 1) // self.line_bytes

    cdef unsigned char *padded(self, const unsigned char *samples, size_t nbytes) noexcept nogil:
        """Return lines that are filled up to whole blocks, with their last sample or with zeros; NULL without memory."""
        cdef size_t lines = self.lines_of(nbytes), line, length, i
        cdef unsigned char *padded = <unsigned char *> malloc(lines * self.padded_bytes)
        cdef unsigned char *to = padded
        if padded == NULL:
            return NULL
        for line in range(lines):
            length = min(self.line_bytes, nbytes - line * self.line_bytes)
            memcpy(to, samples + line * self.line_bytes, length)
            for i in range(length, self.padded_bytes):
                to[i] = to[i - self.sample_bytes] if self.predicts else 0
            to += self.padded_bytes
        return padded
