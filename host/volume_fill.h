/*
 * Writing the blocks of a volume's file before they are needed. A block that the host's file system has allocated but
 * never written costs its journal a commit at its first write, which doubles the time of an fsync. So a thread writes
 * zeros where nothing was ever written, some way ahead of where the volume writes: a new volume is there at once,
 * whatever its size, and only what it comes to use is written twice.
 *
 * Nothing but holes is ever written to: whoever writes blocks does so between volume_fill_pause() and
 * volume_fill_resume().
 */
#ifndef COFRE_HOST_VOLUME_FILL_H
#define COFRE_HOST_VOLUME_FILL_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#define VOLUME_FILL_PIECE (256U << 10)
#define VOLUME_FILL_AHEAD (64ULL << 20)
#define VOLUME_FILL_REST_NS 20000000ULL /* after a part of a stream */

struct volume_fill {
    int fd;
    uint64_t size; /* of the file */
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wanted;
    /* under the lock */
    uint64_t target;        /* to be filled up to here */
    uint64_t rest_until_ns; /* of CLOCK_MONOTONIC */
    bool stopping;
};

/* fd stays open while the thread lives. 0, or what pthread_create() says. */
int volume_fill_start(struct volume_fill *fill, int fd, uint64_t size);
void volume_fill_stop(struct volume_fill *fill);
void volume_fill_pause(struct volume_fill *fill);
/* Something was written up to this offset. */
void volume_fill_resume(struct volume_fill *fill, uint64_t end);
/* The same for part of a stream, which would have to share the disk and wants no room ahead: nothing is filled for a
 * while. */
void volume_fill_rest(struct volume_fill *fill);
/* Zeros into the holes of [start, end). False if that is not possible here: no such holes are known, or no room. */
bool volume_fill_holes(int fd, uint64_t start, uint64_t end, bool *ret_written);

#endif
