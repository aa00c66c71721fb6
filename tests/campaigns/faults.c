/* Preloaded into the campaign's process: counts the calls that touch files below FAULT_ROOT, lets the N-th one fail or
   kills the process at it, and logs what reaches the files. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum { WRITE = 1, SYNC = 2, NAME = 4, READ = 8, SIZE = 16, CREATE = 32, MEMORY = 64 };
enum { FAIL_ONCE, FAIL_FROM, SHORT, KILL, TEAR };

struct state {
    int calls, action, error, log;
    long at, count, fired;
};

static struct state *state; /* shared with the children, so that the parent sees what they have met */
static char root[4096];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

__attribute__((constructor)) static void begin(void)
{
    const char *given = getenv("FAULT_ROOT");
    snprintf(root, sizeof root, "%s/", given ? given : "/nowhere");
    state = mmap(NULL, sizeof *state, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    state->log = -1;
}

void faults_set(int calls, long at, int action, int error, int log)
{
    *state = (struct state){calls, action, error, log, at, 0, 0};
}

long faults_fired(void) { return state->fired; }
long faults_count(void) { return state->count; }

static int is_path_ours(const char *path) { return path && !strncmp(path, root, strlen(root)); }

static int is_ours(int fd)
{
    char name[64], path[4096];
    if (!state || fd < 0 || fd == state->log || (!state->calls && state->log < 0))
        return 0;
    snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
    ssize_t size = readlink(name, path, sizeof path - 1);
    if (size <= 0)
        return 0;
    path[size] = 0;
    strcat(path, "/");
    return is_path_ours(path);
}

/* Whether the call is to fail; TEAR and SHORT say that half of it is to be done. */
enum { GO, STOP, HALF };
static int strike(int call)
{
    if (!(state->calls & call))
        return GO;
    long number = __atomic_add_fetch(&state->count, 1, __ATOMIC_SEQ_CST);
    if (number != state->at && !(state->action == FAIL_FROM && number > state->at))
        return GO;
    state->fired = 1;
    if (state->action == SHORT || state->action == TEAR)
        return HALF;
    if (state->action == KILL)
        for (;;)
            syscall(SYS_kill, getpid(), SIGKILL);
    errno = state->error;
    return STOP;
}

static void torn(void)
{
    if (state->action == TEAR)
        for (;;)
            syscall(SYS_kill, getpid(), SIGKILL);
}

static void put(const void *data, size_t size)
{
    for (const char *next = data; size;) {
        ssize_t done = syscall(SYS_write, state->log, next, size);
        if (done <= 0)
            return;
        next += done;
        size -= done;
    }
}

static void note(const char *data, size_t size, const char *format, ...)
{
    char line[9000];
    va_list arguments;
    int before = errno;
    if (state->log < 0)
        return;
    va_start(arguments, format);
    int length = vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    pthread_mutex_lock(&lock);
    put(line, length);
    put(data, size);
    pthread_mutex_unlock(&lock);
    errno = before;
}

static unsigned long inode(int fd)
{
    struct stat found;
    return fstat(fd, &found) ? 0 : found.st_ino;
}

#define REAL(name) \
    static __typeof__(name) *real; \
    if (!real) \
        real = (__typeof__(name) *)dlsym(RTLD_NEXT, #name)

#define WRITES(name, parameters, arguments, half, offset) \
    ssize_t name parameters \
    { \
        REAL(name); \
        if (!is_ours(fd)) \
            return real arguments; \
        off64_t start = offset; \
        int verdict = strike(WRITE); \
        if (verdict == STOP) \
            return -1; \
        if (verdict == HALF && size > 1) \
            size = half; \
        ssize_t done = real arguments; \
        if (done > 0) \
            note(data, done, "W %lu %lld %zd\n", inode(fd), (long long)start, done); \
        if (verdict == HALF) \
            torn(); \
        return done; \
    }

WRITES(write, (int fd, const void *data, size_t size), (fd, data, size), size / 2, lseek64(fd, 0, SEEK_CUR))
WRITES(pwrite, (int fd, const void *data, size_t size, off_t at), (fd, data, size, at), size / 2, at)
WRITES(pwrite64, (int fd, const void *data, size_t size, off64_t at), (fd, data, size, at), size / 2, at)

#define READS(name, parameters, arguments, half) \
    ssize_t name parameters \
    { \
        REAL(name); \
        if (!is_ours(fd)) \
            return real arguments; \
        int verdict = strike(READ); \
        if (verdict == STOP) \
            return -1; \
        if (verdict == HALF && size > 1) \
            size = half; \
        return real arguments; \
    }

READS(read, (int fd, void *data, size_t size), (fd, data, size), size / 2)
READS(pread, (int fd, void *data, size_t size, off_t at), (fd, data, size, at), size / 2)
READS(pread64, (int fd, void *data, size_t size, off64_t at), (fd, data, size, at), size / 2)
READS(preadv, (int fd, const struct iovec *data, int size, off_t at), (fd, data, size, at), size)
READS(preadv64, (int fd, const struct iovec *data, int size, off64_t at), (fd, data, size, at), size)

#define ON_DESCRIPTOR(name, parameters, arguments, call, format, ...) \
    int name parameters \
    { \
        REAL(name); \
        if (!is_ours(fd)) \
            return real arguments; \
        int verdict = strike(call); \
        if (verdict == STOP) \
            return -1; \
        torn_if(verdict); \
        int result = real arguments; \
        if (!result) \
            note("", 0, format, inode(fd), ##__VA_ARGS__); \
        return result; \
    }
#define torn_if(verdict) do { if (verdict == HALF) torn(); } while (0)

ON_DESCRIPTOR(fsync, (int fd), (fd), SYNC, "S %lu\n")
ON_DESCRIPTOR(fdatasync, (int fd), (fd), SYNC, "S %lu\n")
ON_DESCRIPTOR(ftruncate, (int fd, off_t size), (fd, size), SIZE, "T %lu %lld\n", (long long)size)
ON_DESCRIPTOR(ftruncate64, (int fd, off64_t size), (fd, size), SIZE, "T %lu %lld\n", (long long)size)

#define ON_PATHS(name, parameters, arguments, path, letter, other) \
    int name parameters \
    { \
        REAL(name); \
        if (!is_path_ours(path) || (!state->calls && state->log < 0)) \
            return real arguments; \
        int verdict = strike(NAME); \
        if (verdict == STOP) \
            return -1; \
        torn_if(verdict); \
        int result = real arguments; \
        if (!result) \
            note("", 0, letter " %s\t%s\n", path, other); \
        return result; \
    }

ON_PATHS(rename, (const char *from, const char *to), (from, to), from, "R", to)
ON_PATHS(renameat, (int a, const char *from, int b, const char *to), (a, from, b, to), from, "R", to)
ON_PATHS(link, (const char *from, const char *to), (from, to), from, "L", to)
ON_PATHS(linkat, (int a, const char *from, int b, const char *to, int flags), (a, from, b, to, flags), from, "L", to)
ON_PATHS(unlink, (const char *path), (path), path, "U", "")
ON_PATHS(mkdir, (const char *path, mode_t mode), (path, mode), path, "M", "")
ON_PATHS(rmdir, (const char *path), (path), path, "D", "")

#define OPENS(name, parameters, arguments) \
    int name parameters \
    { \
        REAL(name); \
        va_list rest; \
        va_start(rest, flags); \
        mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0; \
        va_end(rest); \
        if (!is_path_ours(path) || !(flags & (O_CREAT | O_TRUNC)) || (!state->calls && state->log < 0)) \
            return real arguments; \
        int verdict = strike(CREATE); \
        if (verdict == STOP) \
            return -1; \
        torn_if(verdict); \
        int fd = real arguments; \
        if (fd >= 0) \
            note("", 0, "%c %lu %s\n", flags & O_TRUNC ? 'E' : 'C', inode(fd), path); \
        return fd; \
    }

OPENS(open, (const char *path, int flags, ...), (path, flags, mode))
OPENS(open64, (const char *path, int flags, ...), (path, flags, mode))
OPENS(openat, (int at, const char *path, int flags, ...), (at, path, flags, mode))
OPENS(openat64, (int at, const char *path, int flags, ...), (at, path, flags, mode))

/* Small ones are too many, and nobody survives the lack of them. */
#define LEAST_MEMORY 16384
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *before, size_t size);
void *__libc_memalign(size_t alignment, size_t size);

static int is_short(size_t size)
{
    return size >= LEAST_MEMORY && state && state->calls & MEMORY && strike(MEMORY) != GO;
}

void *malloc(size_t size) { return is_short(size) ? NULL : __libc_malloc(size); }
void *calloc(size_t count, size_t size) { return is_short(count * size) ? NULL : __libc_calloc(count, size); }
void *realloc(void *before, size_t size) { return is_short(size) ? NULL : __libc_realloc(before, size); }
void *aligned_alloc(size_t alignment, size_t size) { return is_short(size) ? NULL : __libc_memalign(alignment, size); }

int posix_memalign(void **result, size_t alignment, size_t size)
{
    void *found = is_short(size) ? NULL : __libc_memalign(alignment, size);
    if (!found)
        return ENOMEM;
    *result = found;
    return 0;
}
