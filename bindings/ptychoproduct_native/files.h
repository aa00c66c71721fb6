/* Files by descriptor, with 64-bit offsets, where POSIX and Windows differ. */
#ifndef PTYCHOPRODUCT_FILES_H
#define PTYCHOPRODUCT_FILES_H

#ifdef _WIN32
#include <windows.h>
#include <errno.h>
#include <io.h>
#include <stddef.h>
typedef __int64 pp_offset;
#define pp_seek _lseeki64
#define pp_truncate _chsize_s
/* Windows takes an unsigned int of bytes at a time. Unlike POSIX's, this read moves the file's position. */
static inline ptrdiff_t pp_pread(int fd, void *data, size_t nbytes, pp_offset offset)
{
    OVERLAPPED position = {0};
    DWORD count = 0;
    position.Offset = (DWORD)offset;
    position.OffsetHigh = (DWORD)((unsigned long long)offset >> 32);
    if (!ReadFile((HANDLE)_get_osfhandle(fd), data, (DWORD)(nbytes < 0x40000000 ? nbytes : 0x40000000), &count,
                  &position)) {
        if (GetLastError() == ERROR_HANDLE_EOF) {
            return 0;
        }
        errno = EIO;
        return -1;
    }
    return (ptrdiff_t)count;
}
#define pp_read(fd, data, nbytes) _read((fd), (data), (unsigned)((nbytes) < 0x40000000 ? (nbytes) : 0x40000000))
/* Never called there: what HDF5 writes is written at once. */
#define pp_pwrite(fd, data, nbytes, offset) ((void)(fd), (void)(data), (void)(nbytes), (void)(offset), errno = ENOSYS, -1)
#define pp_write(fd, data, nbytes) _write((fd), (data), (unsigned)((nbytes) < 0x40000000 ? (nbytes) : 0x40000000))
#else
#include <sys/types.h>
#include <unistd.h>
typedef off_t pp_offset;
#define pp_seek lseek
#define pp_truncate ftruncate
#define pp_pread pread
#define pp_pwrite pwrite
#define pp_read read
#define pp_write write
#endif

/* Ask the kernel to begin to write part of a file to the disk, without waiting for it. */
#if defined(__linux__) && defined(__LP64__)
#include <sys/syscall.h>
long syscall(long number, ...); /* which strict C11 does not declare */
static inline void pp_start_writing(int fd, pp_offset offset, pp_offset nbytes)
{
    const unsigned int write = 2; /* SYNC_FILE_RANGE_WRITE */
    syscall(SYS_sync_file_range, fd, offset, nbytes, write);
}
#else
static inline void pp_start_writing(int fd, pp_offset offset, pp_offset nbytes)
{
    (void)fd;
    (void)offset;
    (void)nbytes;
}
#endif

#endif
