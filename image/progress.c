/* The progress line. */
#include "image/progress.h"

#include <stdio.h>
#include <time.h>

#define PROGRESS_PATIENCE_MS 500
#define PROGRESS_INTERVAL_MS 100
#define PROGRESS_WIDTH 24

static int64_t progress_now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void progress_init(struct progress *progress, bool show, const volatile int *interrupted)
{
    *progress = (struct progress){.show = show, .interrupted = interrupted, .drawing = ATOMIC_FLAG_INIT};
}

void progress_step(struct progress *progress, const char *step, uint64_t total)
{
    if (!progress)
        return;
    progress_end(progress);
    progress->step = step;
    progress->total = total;
    progress->started_ms = progress_now_ms();
    atomic_store(&progress->done, 0);
}

static void progress_draw(struct progress *progress, uint64_t done)
{
    int64_t now = progress_now_ms();
    char bar[PROGRESS_WIDTH + 1];

    if (now - progress->started_ms < PROGRESS_PATIENCE_MS ||
        now - atomic_load(&progress->drawn_ms) < PROGRESS_INTERVAL_MS || atomic_flag_test_and_set(&progress->drawing))
        return;
    atomic_store(&progress->drawn_ms, now);
    if (progress->total) {
        uint64_t shown = done < progress->total ? done : progress->total;
        int filled = (int)(shown * PROGRESS_WIDTH / progress->total);
        for (int i = 0; i < PROGRESS_WIDTH; i++)
            bar[i] = i < filled ? '#' : '.';
        bar[PROGRESS_WIDTH] = 0;
        fprintf(stderr, "\r\033[K%-18s [%s] %3d%%  %.0f MB", progress->step, bar, (int)(shown * 100 / progress->total),
                (double)done / 1e6);
    } else {
        fprintf(stderr, "\r\033[K%-18s %.0f MB", progress->step, (double)done / 1e6);
    }
    fflush(stderr);
    atomic_flag_clear(&progress->drawing);
}

bool progress_add(struct progress *progress, uint64_t bytes)
{
    if (!progress)
        return true;
    uint64_t done = atomic_fetch_add(&progress->done, bytes) + bytes;
    if (progress->show)
        progress_draw(progress, done);
    return !progress->interrupted || !*progress->interrupted;
}

void progress_end(struct progress *progress)
{
    if (!progress || !progress->step)
        return;
    if (progress->show && atomic_exchange(&progress->drawn_ms, 0)) {
        fputs("\r\033[K", stderr);
        fflush(stderr);
    }
    progress->step = NULL;
}
