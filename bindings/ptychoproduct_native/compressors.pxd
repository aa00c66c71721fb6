ctypedef void *(*create_function)() noexcept nogil
ctypedef size_t (*free_function)(void *context) noexcept nogil
ctypedef size_t (*parameter_function)(void *context, int parameter, int value) noexcept nogil
ctypedef size_t (*zstd_function)(void *context, void *dst, size_t capacity, const void *src, size_t nbytes) noexcept nogil
ctypedef size_t (*zstd_bound_function)(size_t nbytes) noexcept nogil
ctypedef unsigned int (*error_function)(size_t result) noexcept nogil
ctypedef size_t (*context_function)(void *context) noexcept nogil
ctypedef unsigned long long (*content_function)(const void *src, size_t nbytes) noexcept nogil
ctypedef int (*lz4_function)(const char *src, char *dst, int nbytes, int capacity) noexcept nogil
ctypedef int (*lz4_bound_function)(int nbytes) noexcept nogil

cdef struct zstd_functions:
    create_function create
    free_function free
    parameter_function set_parameter
    zstd_function compress
    create_function create_decoder
    free_function free_decoder
    zstd_function decompress
    context_function begin_decoding
    context_function next_size
    zstd_function decode_next
    content_function content_size
    zstd_bound_function bound
    error_function is_error

cdef struct lz4_functions:
    lz4_function compress
    lz4_function decompress
    lz4_bound_function bound


cdef class Context:
    cdef void *encoder
    cdef void *decoder
    cdef const zstd_functions *zstd


cdef class Compressor:
    cdef object library  # keeps the shared library loaded while its functions may be called
    cdef bint is_zstd
    cdef zstd_functions zstd
    cdef lz4_functions lz4
    cdef tuple parameters
    cdef list idle

    cdef Context take(self, bint encodes)
    cdef void give(self, Context context)
    cdef size_t bound(self, size_t nbytes) noexcept nogil
    cdef size_t compress(self, Context context, unsigned char *dst, size_t capacity,
                         const unsigned char *src, size_t nbytes) noexcept nogil
    cdef bint decompress(self, Context context, unsigned char *dst, size_t expected,
                         const unsigned char *src, size_t nbytes) noexcept nogil
    cdef bint decompress_first(self, Context context, unsigned char *dst, size_t expected, size_t wanted,
                               const unsigned char *src, size_t nbytes) noexcept nogil

cdef void *address(library, str name) except NULL
