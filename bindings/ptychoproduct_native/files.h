/* Files by descriptor, with 64-bit offsets, where POSIX and Windows differ. */
#ifndef PTYCHOPRODUCT_FILES_H
#define PTYCHOPRODUCT_FILES_H

#ifdef _WIN32
#include <io.h>
typedef __int64 pp_offset;
#define pp_seek _lseeki64
#define pp_truncate _chsize_s
/* Windows takes an unsigned int of bytes at a time. */
#define pp_read(fd, data, nbytes) _read((fd), (data), (unsigned)((nbytes) < 0x40000000 ? (nbytes) : 0x40000000))
#define pp_write(fd, data, nbytes) _write((fd), (data), (unsigned)((nbytes) < 0x40000000 ? (nbytes) : 0x40000000))
#else
#include <sys/types.h>
#include <unistd.h>
typedef off_t pp_offset;
#define pp_seek lseek
#define pp_truncate ftruncate
#define pp_read read
#define pp_write write
#endif

#endif
