/* Functions that are part of each kernel that calls them, and so are compiled for its processor. */
#ifndef PTYCHOPRODUCT_INLINE_H
#define PTYCHOPRODUCT_INLINE_H

#if defined(__GNUC__)
#define INLINE static inline __attribute__((always_inline))
#elif defined(_MSC_VER)
#define INLINE static __forceinline
#else
#define INLINE static inline
#endif

#endif
