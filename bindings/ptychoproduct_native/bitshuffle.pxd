cdef extern from "bitshuffle.h" nogil:
    ctypedef void (*pp_bitshuffle_function)(unsigned char *dst, const unsigned char *src, size_t n, size_t itemsize)
    ctypedef struct pp_bitshuffle_kernel:
        const char *name
        pp_bitshuffle_function shuffle
        pp_bitshuffle_function unshuffle
    const pp_bitshuffle_kernel *pp_bitshuffle_kernel_at(size_t number)
    bint pp_bitshuffle_has(size_t itemsize)
