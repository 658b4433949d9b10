/* A volume's line to its counter (contract in anchor_line.h). */
#include "host/anchor_line.h"

#include "host/error.h"
#include "host/line.h"

#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

struct anchor_line {
    const char *volume, *address;
    struct line line;
    struct volume_shared *shared;
    void (*answered)(void *arg);
    void *arg;
    pthread_t thread;
    bool complained;
    /* what is to be done */
    atomic_uint wanted; /* futex: exchanges so far */
    uint32_t sequence, size;
    uint64_t flags; /* enum volume_anchor_flags */
};

/* Bytes of the answer, now in the shared page. */
static int64_t exchange(struct anchor_line *line)
{
    uint8_t message[VOLUME_ANCHOR_MESSAGE];

    memcpy(message, line->shared->anchor_message, line->size);
    bool fresh = line->flags & VOLUME_ANCHOR_FRESH;
    int64_t size = line->flags & VOLUME_ANCHOR_STREAM
                       ? line_stream(&line->line, fresh, message, line->size, message,
                                     line->flags & VOLUME_ANCHOR_SEND ? 0 : sizeof(message))
                       : line_exchange(&line->line, fresh, message, line->size, message, sizeof(message));
    if (size > 0)
        memcpy(line->shared->anchor_message, message, (size_t)size);
    return size;
}

static void *thread_main(void *arg)
{
    struct anchor_line *line = arg;

    for (unsigned seen = 0;; seen++) {
        while (atomic_load(&line->wanted) == seen)
            syscall(SYS_futex, &line->wanted, FUTEX_WAIT_PRIVATE, seen, NULL, NULL, 0);
        uint32_t sequence = line->sequence;
        bool fresh = line->flags & VOLUME_ANCHOR_FRESH;
        int64_t result = exchange(line);
        if (result < 0 && fresh && !line->complained)
            complain("the anchor %s of the volume %s: %s", line->address, line->volume, strerror((int)-result));
        line->complained = fresh ? result < 0 : line->complained;
        __atomic_store_n(&line->shared->anchor_result, result, __ATOMIC_RELAXED);
        __atomic_store_n(&line->shared->anchor_done, sequence + 1, __ATOMIC_RELEASE);
        line->answered(line->arg);
    }
    return NULL;
}

int anchor_line_exchange(struct anchor_line *line, uint64_t size, uint64_t flags)
{
    if (size > VOLUME_ANCHOR_MESSAGE)
        return -EINVAL;
    line->sequence = __atomic_load_n(&line->shared->anchor_sequence, __ATOMIC_RELAXED);
    line->size = (uint32_t)size;
    line->flags = flags;
    atomic_fetch_add(&line->wanted, 1);
    syscall(SYS_futex, &line->wanted, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
    return 0;
}

struct anchor_line *anchor_line_start(const char *volume, const char *address, unsigned timeout_ms,
                                      struct volume_shared *shared, void (*answered)(void *arg), void *arg)
{
    struct anchor_line *line = calloc(1, sizeof(*line));

    if (!line)
        return NULL;
    *line =
        (struct anchor_line){.volume = volume, .address = address, .shared = shared, .answered = answered, .arg = arg};
    if (line_init(&line->line, address, timeout_ms) && pthread_create(&line->thread, NULL, thread_main, line) == 0)
        return line;
    free(line);
    return NULL;
}
