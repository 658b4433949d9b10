/* A progress line on stderr for steps that take long: only on a terminal, only after half a second. */
#ifndef COFRE_IMAGE_PROGRESS_H
#define COFRE_IMAGE_PROGRESS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/*
 * One long job seen from outside. Every loop that may run long calls progress_add(), which also says whether to stop.
 * progress_add() may be called from any thread; the others from one.
 */
struct progress {
    bool show;                       /* set by the owner: draw on stderr */
    const volatile int *interrupted; /* NULL, or becomes non-zero (in a signal handler) when the job must stop */
    const char *step;
    uint64_t total; /* bytes; 0 = unknown */
    atomic_uint_fast64_t done;
    atomic_flag drawing;
    int64_t started_ms;
    atomic_int_fast64_t drawn_ms;
};

/* interrupted may be NULL. */
void progress_init(struct progress *progress, bool show, const volatile int *interrupted);
void progress_step(struct progress *progress, const char *step, uint64_t total);

/* Counts bytes; false when the job was interrupted. progress may be NULL. */
bool progress_add(struct progress *progress, uint64_t bytes);
void progress_end(struct progress *progress); /* clears the line */

#endif
