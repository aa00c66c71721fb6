/*
 * A thread that ends the process where a library holds the interpreter and does not come back: it computes without
 * reading or writing, or takes memory for sizes that no file has. It needs no interpreter itself. Time is CPU time:
 * disks in a network may be slow.
 */
#ifndef PTYCHOPRODUCT_WATCHDOG_H
#define PTYCHOPRODUCT_WATCHDOG_H

#if defined __linux__ && !defined _GNU_SOURCE
#define _GNU_SOURCE /* for clocks, threads and signals in strict C11 */
#endif

static volatile unsigned long pp_beats = 0; /* counted while the interpreter runs */

#ifndef __linux__

static inline int pp_start_watchdog(const char *line, double seconds, long long bytes)
{
    (void)line, (void)seconds, (void)bytes;
    return 0;
}

#else

#include "background_thread.h"

#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define PP_WATCH_NS 50000000L
#define PP_QUIET 6 /* looks without a beat before memory counts */
#define PP_BYTES_FOR_EACH_READ 100

struct pp_state {
    double cpu_s;
    long long resident, transferred;
};

static struct {
    const char *line;
    double seconds;
    long long bytes;
} pp_watched;

static inline struct pp_state pp_look(void)
{
    struct pp_state state = {0, 0, 0};
    struct timespec cpu;
    long long read_bytes = 0, written_bytes = 0, pages = 0;
    FILE *file;
    if (clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu) == 0)
        state.cpu_s = (double)cpu.tv_sec + (double)cpu.tv_nsec * 1e-9;
    if ((file = fopen("/proc/self/io", "r")) != NULL) {
        if (fscanf(file, "rchar: %lld wchar: %lld", &read_bytes, &written_bytes) == 2)
            state.transferred = read_bytes + written_bytes;
        fclose(file);
    }
    if ((file = fopen("/proc/self/statm", "r")) != NULL) {
        if (fscanf(file, "%*d %lld", &pages) == 1)
            state.resident = pages * sysconf(_SC_PAGESIZE);
        fclose(file);
    }
    return state;
}

/* Remove the outputs that this process has open and that have not got their names yet. */
static inline void pp_remove_parts(void)
{
    char link[64], path[4096];
    struct dirent *entry;
    DIR *folder = opendir("/proc/self/fd");
    while (folder != NULL && (entry = readdir(folder)) != NULL) {
        if (strlen(entry->d_name) > 20)
            continue;
        snprintf(link, sizeof link, "/proc/self/fd/%.20s", entry->d_name);
        const ssize_t length = readlink(link, path, sizeof path - 1);
        if (length < 5)
            continue;
        path[length] = 0;
        const char *name = strrchr(path, '/');
        if (name != NULL && strncmp(name, "/.ptychoproduct-", 16) == 0 && strcmp(path + length - 5, ".part") == 0)
            unlink(path);
    }
}

static inline void *pp_watch_work(void *unused)
{
    const struct timespec pause = {0, PP_WATCH_NS};
    unsigned long beats = pp_beats;
    long quiet = 0;
    struct pp_state before = pp_look(), now;
    long long own = 0; /* what these looks read themselves, which is counted as well */
    for (;;) {
        nanosleep(&pause, NULL);
        if (pp_beats != beats) {
            beats = pp_beats;
            quiet = 0;
            continue;
        }
        now = pp_look();
        if (quiet++ == 0) {
            before = now;
            own = 0;
            continue;
        }
        own += 1024;
        const long long transferred = now.transferred - before.transferred - own;
        const long long grown = now.resident - before.resident;
        if (transferred > 0 && grown <= pp_watched.bytes) {
            before.cpu_s = now.cpu_s; /* it goes on */
        }
        if (now.cpu_s - before.cpu_s < pp_watched.seconds
            && (quiet < PP_QUIET || grown <= pp_watched.bytes
                || (transferred > 0 && grown / PP_BYTES_FOR_EACH_READ < transferred)))
            continue;
        pp_remove_parts();
        if (write(2, pp_watched.line, strlen(pp_watched.line)) < 0)
            _exit(2); /* nobody reads it */
        _exit(2);
    }
    return unused;
}

/* Returns an error number; `line` must stay. */
static inline int pp_start_watchdog(const char *line, double seconds, long long bytes)
{
    pp_watched.line = line;
    pp_watched.seconds = seconds;
    pp_watched.bytes = bytes;
    return pp_start_thread(pp_watch_work);
}

#endif
#endif
