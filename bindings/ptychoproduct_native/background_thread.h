/* A thread beside the interpreter's: signals go to the others, so that they interrupt what waits for something. */
#ifndef PTYCHOPRODUCT_BACKGROUND_THREAD_H
#define PTYCHOPRODUCT_BACKGROUND_THREAD_H

#ifndef _WIN32

#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* for threads and signals in strict C11 */
#endif

#include <pthread.h>
#include <signal.h>
#include <stddef.h>

/* Returns an error number. */
static inline int pp_start_thread(void *(*work)(void *))
{
    pthread_t thread;
    sigset_t all, before;
    int error;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    error = pthread_create(&thread, NULL, work, NULL);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return error ? error : pthread_detach(thread);
}

#endif
#endif
