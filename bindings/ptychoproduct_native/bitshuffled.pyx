# cython: language_level=3, boundscheck=False, wraparound=False
"""Filter 32008, bitshuffle with a compressor, by our own kernels: the bytes are those of the plugin.

https://github.com/kiyo-masui/bitshuffle#the-hdf5-filter describes them: the decoded size in eight bytes and the size of a
block in four; blocks, each after its compressed size in four bytes; the elements that are left over from eights.
"""

from cpython.buffer cimport PyBUF_C_CONTIGUOUS, PyBuffer_Release, PyObject_GetBuffer
from libc.stdint cimport uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy

from ptychoproduct_native.bitshuffle cimport pp_bitshuffle_has, pp_bitshuffle_kernel, pp_bitshuffle_kernel_at
from ptychoproduct_native.buffers cimport ChunkBuffer, Destination
from ptychoproduct_native.compressors cimport Compressor, Context

cdef enum:
    HEADER_BYTES = 12
    SIZE_BYTES = 4
    GROUP = 8  # elements that are shuffled together
    MOST_BLOCK_BYTES = 1 << 30

cdef const pp_bitshuffle_kernel *kernel = pp_bitshuffle_kernel_at(0)


def bitshuffle_kernels():
    """Names of the kernels that this processor can run, the fastest first."""
    names = []
    while pp_bitshuffle_kernel_at(len(names)) != NULL:
        names.append(pp_bitshuffle_kernel_at(len(names)).name.decode())
    return names


def use_bitshuffle_kernel(str name):
    """Use another kernel than the fastest, for tests: all give the same bytes."""
    global kernel
    kernel = pp_bitshuffle_kernel_at(bitshuffle_kernels().index(name))


cdef class Bitshuffled:
    """The blocks of a chunk.

    Parameters
    ----------
    compressor : Compressor
    itemsize : int
        Bytes of an element.
    block : int
        Elements of a block, a multiple of 8; of encoded chunks, what they say counts.

    Raises
    ------
    ValueError
        The kernels have no such elements, or a block is too large.
    """

    def __cinit__(self, Compressor compressor not None, size_t itemsize, size_t block):
        if not pp_bitshuffle_has(itemsize) or block == 0 or block % GROUP or block > MOST_BLOCK_BYTES // itemsize:
            raise ValueError(f"no blocks of {block} elements of {itemsize} bytes")
        self.compressor = compressor
        self.itemsize = itemsize
        self.block = block

    cdef bint encode(self, ChunkBuffer chunk) except -1:
        """Encode a chunk in place of its contents; False, with the chunk unchanged, where that fails."""
        cdef Context context
        cdef bint done
        if chunk.nbytes % self.itemsize:
            return False
        context = self.compressor.take(True)
        with nogil:
            done = self.encode_blocks(chunk, context)
        self.compressor.give(context)
        return done

    cdef bint encode_blocks(self, ChunkBuffer chunk, Context context) noexcept nogil:
        cdef size_t n = chunk.nbytes // self.itemsize
        cdef size_t bound = self.compressor.bound(min(self.block, n) * self.itemsize) + SIZE_BYTES
        cdef size_t capacity = HEADER_BYTES + (n // self.block + 1) * bound + GROUP * self.itemsize
        cdef size_t first = 0, position = HEADER_BYTES, count, size, rest
        cdef unsigned char *encoded = <unsigned char *> malloc(capacity)
        cdef unsigned char *shuffled = <unsigned char *> malloc(min(self.block, n) * self.itemsize + 1)
        if encoded != NULL and shuffled != NULL:
            write_size(encoded, chunk.nbytes, 8)
            write_size(encoded + 8, self.block * self.itemsize, SIZE_BYTES)
            while n - first >= GROUP:
                count = min(self.block, (n - first) // GROUP * GROUP)
                kernel.shuffle(shuffled, chunk.data + first * self.itemsize, count, self.itemsize)
                size = self.compressor.compress(context, encoded + position + SIZE_BYTES,
                                                capacity - position - SIZE_BYTES, shuffled, count * self.itemsize)
                if size == 0:
                    break
                write_size(encoded + position, size, SIZE_BYTES)
                position += SIZE_BYTES + size
                first += count
        free(shuffled)
        if encoded == NULL or shuffled == NULL or n - first >= GROUP:
            free(encoded)
            return False
        rest = (n - first) * self.itemsize
        memcpy(encoded + position, chunk.data + first * self.itemsize, rest)
        free(chunk.data)
        chunk.data = encoded
        chunk.nbytes = position + rest
        chunk.capacity = capacity
        return True

    cdef object decode(self, data, size_t most, size_t start, size_t stop, Destination place):
        """Return the place filled with decoded bytes; None where they are not those of a chunk of at most `most` bytes.

        Blocks that have none of the bytes from `start` to `stop` are not decoded: theirs are not initialised.
        """
        cdef Py_buffer view
        cdef const unsigned char *encoded
        cdef unsigned char *room
        cdef Context context
        cdef uint64_t decoded
        cdef bint done
        PyObject_GetBuffer(data, &view, PyBUF_C_CONTIGUOUS)
        try:
            encoded = <const unsigned char *> view.buf
            if view.len < HEADER_BYTES:
                return None
            decoded = read_size(encoded, 8)
            if decoded > most or decoded % self.itemsize:
                return None
            room = place.room(decoded)
            if room == NULL:
                return None
            context = self.compressor.take(False)
            with nogil:
                done = self.decode_blocks(room, decoded, encoded, view.len, start, stop, context)
            self.compressor.give(context)
        finally:
            PyBuffer_Release(&view)
        return place.filled() if done else None

    cdef bint decode_blocks(self, unsigned char *decoded, size_t decoded_bytes, const unsigned char *encoded, size_t nbytes,
                            size_t start, size_t stop, Context context) noexcept nogil:
        cdef size_t n = decoded_bytes // self.itemsize
        cdef size_t block = read_size(encoded + 8, SIZE_BYTES) // self.itemsize
        cdef size_t first = 0, position = HEADER_BYTES, count, size
        cdef unsigned char *shuffled
        if block == 0 or block % GROUP:
            return False
        shuffled = <unsigned char *> malloc(min(block, n) * self.itemsize + 1)
        if shuffled == NULL:
            return False
        while n - first >= GROUP and nbytes - position >= SIZE_BYTES:
            count = min(block, (n - first) // GROUP * GROUP)
            size = read_size(encoded + position, SIZE_BYTES)
            position += SIZE_BYTES
            if size > nbytes - position:
                break
            if first * self.itemsize < stop and (first + count) * self.itemsize > start:
                if not self.compressor.decompress(context, shuffled, count * self.itemsize, encoded + position, size):
                    break
                kernel.unshuffle(decoded + first * self.itemsize, shuffled, count, self.itemsize)
            position += size
            first += count
        free(shuffled)
        if n - first >= GROUP or (n - first) * self.itemsize > nbytes - position:
            return False
        memcpy(decoded + first * self.itemsize, encoded + position, (n - first) * self.itemsize)
        return True


cdef size_t default_block(size_t itemsize) noexcept:
    """Return the elements of a block where no number is given: bitshuffle's own rule, about 8 KiB."""
    return max(<size_t> 8192 // itemsize // GROUP * GROUP, <size_t> 128)


cdef void write_size(unsigned char *to, uint64_t size, int nbytes) noexcept nogil:
    """Write a number, highest byte first."""
    cdef int i
    for i in range(nbytes):
        to[i] = size >> 8 * (nbytes - 1 - i) & 0xFF


cdef uint64_t read_size(const unsigned char *data, int nbytes) noexcept nogil:
    """Read a number, highest byte first."""
    cdef uint64_t size = 0
    cdef int i
    for i in range(nbytes):
        size = size << 8 | data[i]
    return size
