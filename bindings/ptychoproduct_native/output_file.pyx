# cython: language_level=3, boundscheck=False, wraparound=False
"""A file for HDF5 that reports no failed writes to it.

HDF5 cannot leave a file whose last writes fail: closing a dataset fails without a word, and closing the file ends the
process with a segmentation fault (seen with HDF5 2.0). So what fails is remembered here, all that follows is dropped,
and Python asks afterwards. No bytecode runs in these methods: a signal is not answered in the middle of HDF5's work.
"""

import os

from cpython.buffer cimport PyBUF_C_CONTIGUOUS, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from libc.errno cimport EINTR, EIO, ENOSPC, errno
from libc.stdio cimport SEEK_CUR, SEEK_END, SEEK_SET

cdef extern from "files.h" nogil:
    ctypedef long long pp_offset
    pp_offset pp_seek(int descriptor, pp_offset offset, int whence)
    int pp_truncate(int descriptor, pp_offset size)
    Py_ssize_t pp_read(int descriptor, void *data, size_t nbytes)
    Py_ssize_t pp_write(int descriptor, const void *data, size_t nbytes)
    Py_ssize_t pp_pwrite(int descriptor, const void *data, size_t nbytes, pp_offset offset)
    void pp_start_writing(int descriptor, pp_offset offset, pp_offset nbytes)

cdef enum:
    WRITE_BACK_BYTES = 32 * 1024 * 1024  # after which the kernel is asked to write to the disk


cdef class OutputFile:
    """A file by its descriptor, as h5py wants files.

    Parameters
    ----------
    descriptor : int
        Open for reading and writing; it stays the caller's to close.
    """

    cdef int descriptor
    cdef int failure
    cdef const void *left_out
    cdef pp_offset left_at
    cdef bint keeps_rest
    cdef pp_offset end
    cdef pp_offset unwritten  # bytes that the kernel has, and was not asked to write

    def __cinit__(self, int descriptor):
        self.descriptor = descriptor
        self.failure = 0
        self.left_out = NULL
        self.left_at = -1
        self.keeps_rest = False
        self.end = 0
        self.unwritten = 0

    def give_up(self):
        """Write nothing more: what HDF5 writes when it closes an unfinished file would be in the way of the next run."""
        if not self.failure:
            self.failure = EIO

    def keep_rest(self, bint keeps):
        """Set whether what the file had before stays; HDF5 sees an empty file, and writes over it.

        Once it stays no more, all that HDF5 has not seen is cut off.
        """
        if self.keeps_rest and not keeps and not self.failure and pp_truncate(self.descriptor, self.end):
            self.failure = errno
        self.keeps_rest = keeps

    def leave_out(self, data):
        """Leave out the next write of this very buffer: the file has the bytes already."""
        cdef Py_buffer view
        PyObject_GetBuffer(data, &view, PyBUF_C_CONTIGUOUS)
        self.left_out = view.buf
        self.left_at = -1
        PyBuffer_Release(&view)

    def place_left_out(self):
        """Return where the write that was left out would have been, -1 if there was none; no more is left out."""
        self.left_out = NULL
        return self.left_at

    def check(self):
        """Raise OSError if a write or a read has failed."""
        if self.failure:
            raise OSError(self.failure, os.strerror(self.failure))

    def seek(self, pp_offset offset, int whence=SEEK_SET):
        """Set the position, and return it."""
        if self.keeps_rest and whence == SEEK_END:
            return pp_seek(self.descriptor, self.end + offset, SEEK_SET)
        return pp_seek(self.descriptor, offset, whence)

    def tell(self):
        """Return the position."""
        return pp_seek(self.descriptor, 0, SEEK_CUR)

    def read(self, Py_ssize_t nbytes=-1):
        """Refuse: h5py only checks that this exists, and reads by `readinto`."""
        raise NotImplementedError("use readinto")

    def readinto(self, data):
        """Fill a buffer from the position on, and return the number of bytes read."""
        cdef Py_buffer view
        cdef Py_ssize_t count, done = 0
        PyObject_GetBuffer(data, &view, PyBUF_C_CONTIGUOUS | PyBUF_WRITABLE)
        with nogil:
            while done < view.len:
                count = pp_read(self.descriptor, <char *> view.buf + done, view.len - done)
                if count < 0 and errno == EINTR:
                    continue
                if count < 0 and not self.failure:
                    self.failure = errno  # HDF5 would take what it has for the file's
                if count <= 0:
                    break
                done += count
        PyBuffer_Release(&view)
        return done

    def write(self, data):
        """Write a whole buffer; nothing after a write has failed."""
        cdef Py_buffer view
        cdef Py_ssize_t nbytes
        PyObject_GetBuffer(data, &view, PyBUF_C_CONTIGUOUS)
        nbytes = view.len
        if view.buf == self.left_out and nbytes:
            self.left_at = pp_seek(self.descriptor, nbytes, SEEK_CUR) - nbytes
        else:
            with nogil:
                self.write_all(<const char *> view.buf, nbytes)
            self.unwritten += nbytes
            if self.unwritten >= WRITE_BACK_BYTES:
                self.start_writing(pp_seek(self.descriptor, 0, SEEK_CUR))
        PyBuffer_Release(&view)
        if self.keeps_rest:
            self.end = max(self.end, pp_seek(self.descriptor, 0, SEEK_CUR))
        return nbytes

    def write_at(self, data, pp_offset place):
        """Write a buffer whose write was left out to its place, on any thread; nothing after a write has failed."""
        cdef Py_buffer view
        cdef Py_ssize_t count, done = 0
        PyObject_GetBuffer(data, &view, PyBUF_C_CONTIGUOUS)
        with nogil:
            while done < view.len and not self.failure:
                count = pp_pwrite(self.descriptor, <const char *> view.buf + done, view.len - done, place + done)
                done += self.written(count)
        PyBuffer_Release(&view)
        self.unwritten += done
        if self.unwritten >= WRITE_BACK_BYTES:
            self.start_writing(place + done)

    def truncate(self, pp_offset size):
        """Set the file's size."""
        if self.keeps_rest:
            self.end = size
        elif not self.failure and pp_truncate(self.descriptor, size):
            self.failure = errno
        return size

    def flush(self):
        """Do nothing: there is no buffer."""

    cdef void write_all(self, const char *data, Py_ssize_t nbytes) noexcept nogil:
        cdef Py_ssize_t count, done = 0
        while done < nbytes and not self.failure:
            count = pp_write(self.descriptor, data + done, nbytes - done)
            done += self.written(count)

    cdef Py_ssize_t written(self, Py_ssize_t count) noexcept nogil:
        """Return how many bytes a call has written, and remember that it has failed."""
        if count > 0:
            return count
        if count == 0:
            self.failure = ENOSPC
        elif errno != EINTR:
            self.failure = errno
        return 0

    cdef void start_writing(self, pp_offset end):
        """Have the kernel write to the disk what it has got last, so that the flush at the end finds little to do."""
        cdef pp_offset first = max(0, end - self.unwritten)
        self.unwritten = 0
        with nogil:
            pp_start_writing(self.descriptor, first, end - first)
