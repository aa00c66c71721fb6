/* A thread that ends the process at the second Ctrl-C, whatever the others do: it needs no interpreter. */
#ifndef PTYCHOPRODUCT_ENDING_H
#define PTYCHOPRODUCT_ENDING_H

#ifdef _WIN32

static inline int pp_claim_last_line(void) { return 1; }
static inline int pp_end_at_second_interrupt(int descriptor, const char *line) { (void)descriptor; (void)line; return 0; }

#else

#include "background_thread.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#define PP_GRACE_S 2 /* for what Python does at the second one: it removes what is unfinished */

enum { PP_UNCLAIMED, PP_BY_PYTHON, PP_BY_WATCH };

static int pp_last_line_is_claimed = PP_UNCLAIMED;
static int pp_wakeups = -1;
static const char *pp_last_line = "";

/* Whether the process's last line is Python's to print. */
static inline int pp_claim_last_line(void)
{
    return __sync_val_compare_and_swap(&pp_last_line_is_claimed, PP_UNCLAIMED, PP_BY_PYTHON) != PP_BY_WATCH;
}

static inline void *pp_watch(void *unused)
{
    unsigned char number;
    int interrupts = 0;
    while (interrupts < 2) {
        ssize_t count = read(pp_wakeups, &number, 1);
        if (count < 0 && errno == EINTR)
            continue;
        if (count <= 0)
            return unused;
        interrupts += number == SIGINT;
    }
    sleep(PP_GRACE_S);
    if (__sync_bool_compare_and_swap(&pp_last_line_is_claimed, PP_UNCLAIMED, PP_BY_WATCH)
        && write(2, pp_last_line, strlen(pp_last_line)) < 0)
        _exit(128 + SIGINT); /* nobody reads it */
    _exit(128 + SIGINT);
}

/* Returns an error number. `descriptor` gives a byte for each signal, its number; `line` must stay. */
static inline int pp_end_at_second_interrupt(int descriptor, const char *line)
{
    pp_wakeups = descriptor;
    pp_last_line = line;
    return pp_start_thread(pp_watch);
}

#endif
#endif
