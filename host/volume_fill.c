/* Writing the blocks of a volume's file before they are needed (contract in volume_fill.h). */
#include "host/volume_fill.h"

#include "host/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <time.h>
#include <unistd.h>

static bool write_zeros(int fd, uint64_t start, uint64_t end)
{
    static const char zeros[VOLUME_FILL_PIECE];

    while (start < end) {
        ssize_t n = pwrite(fd, zeros, end - start < sizeof(zeros) ? end - start : sizeof(zeros), (off_t)start);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        start += (uint64_t)n;
    }
    return true;
}

bool volume_fill_holes(int fd, uint64_t start, uint64_t end, bool *ret_written)
{
    *ret_written = false;
    while (start < end) {
        off_t hole = lseek(fd, (off_t)start, SEEK_HOLE), data;

        if (hole < 0)
            return false; /* a block device, or an end that moved */
        if ((uint64_t)hole >= end)
            return true;
        data = lseek(fd, hole, SEEK_DATA);
        if (data < 0 && errno != ENXIO)
            return false;
        start = data < 0 || (uint64_t)data > end ? end : (uint64_t)data;
        if (!write_zeros(fd, (uint64_t)hole, start))
            return false;
        *ret_written = true;
    }
    return true;
}

/* Under the lock. False: not yet. */
static bool rested(struct volume_fill *f)
{
    struct timespec until = {.tv_sec = (time_t)(f->rest_until_ns / 1000000000ULL),
                             .tv_nsec = (long)(f->rest_until_ns % 1000000000ULL)};

    if (clock_monotonic_ns() >= f->rest_until_ns)
        return true;
    (void)pthread_cond_clockwait(&f->wanted, &f->lock, CLOCK_MONOTONIC, &until);
    return false;
}

static void *thread_main(void *arg)
{
    struct volume_fill *f = arg;
    bool good = true;

    pthread_mutex_lock(&f->lock);
    for (uint64_t done = 0; good && !f->stopping;) {
        uint64_t start = done, end = done + VOLUME_FILL_PIECE < f->size ? done + VOLUME_FILL_PIECE : f->size;
        bool written;

        if (done >= f->target) {
            pthread_cond_wait(&f->wanted, &f->lock);
            continue;
        }
        if (!rested(f))
            continue;
        good = volume_fill_holes(f->fd, start, end, &written);
        done = end;
        pthread_mutex_unlock(&f->lock);
        if (written) /* no faster than the disk, so that what waits for it waits for a piece at most */
            (void)sync_file_range(f->fd, (off_t)start, (off_t)(end - start),
                                  SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER);
        pthread_mutex_lock(&f->lock);
    }
    pthread_mutex_unlock(&f->lock);
    return NULL;
}

int volume_fill_start(struct volume_fill *f, int fd, uint64_t size)
{
    *f = (struct volume_fill){.fd = fd, .size = size, .target = size < VOLUME_FILL_AHEAD ? size : VOLUME_FILL_AHEAD};
    pthread_mutex_init(&f->lock, NULL);
    pthread_cond_init(&f->wanted, NULL);
    return pthread_create(&f->thread, NULL, thread_main, f);
}

void volume_fill_stop(struct volume_fill *f)
{
    pthread_mutex_lock(&f->lock);
    f->stopping = true;
    pthread_cond_signal(&f->wanted);
    pthread_mutex_unlock(&f->lock);
    pthread_join(f->thread, NULL);
}

void volume_fill_pause(struct volume_fill *f)
{
    pthread_mutex_lock(&f->lock);
}

void volume_fill_resume(struct volume_fill *f, uint64_t end)
{
    uint64_t target = end + VOLUME_FILL_AHEAD < f->size ? end + VOLUME_FILL_AHEAD : f->size;

    /* In steps, so that a volume that is written in order does not wake the thread each time. */
    if (target > f->target + VOLUME_FILL_AHEAD / 8 || (target == f->size && target > f->target)) {
        f->target = target;
        pthread_cond_signal(&f->wanted);
    }
    pthread_mutex_unlock(&f->lock);
}

void volume_fill_rest(struct volume_fill *f)
{
    f->rest_until_ns = clock_monotonic_ns() + VOLUME_FILL_REST_NS;
    pthread_mutex_unlock(&f->lock);
}
