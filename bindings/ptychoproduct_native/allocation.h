/* What the C library's allocator does with memory that is free. */
#ifndef PTYCHOPRODUCT_ALLOCATION_H
#define PTYCHOPRODUCT_ALLOCATION_H

#include <stdlib.h>

#ifdef __GLIBC__
#include <malloc.h>

static inline void pp_keep_freed_memory(void)
{
    enum { MEBIBYTE = 1024 * 1024 };
    mallopt(M_MMAP_THRESHOLD, 32 * MEBIBYTE); /* the most that glibc allows */
    mallopt(M_TRIM_THRESHOLD, 256 * MEBIBYTE);
    mallopt(M_TOP_PAD, 16 * MEBIBYTE);
}
#else
static inline void pp_keep_freed_memory(void) {}
#endif

#endif
