/*
 * The anchor of a volume as a counter elsewhere (docs/volumes.md, "Freshness"), of our own protocol or MarbleRun's: the
 * host carries what the two say to each other, and can only keep it from arriving.
 */
#ifndef COFRE_KERNEL_FS_VOLUME_COUNTER_H
#define COFRE_KERNEL_FS_VOLUME_COUNTER_H

#include "kernel/fs/volume_disk.h"
#include "kernel/volume/counter.h"
#include "kernel/volume/marble.h"

struct volume_remote_anchor {
    struct volume_anchor anchor; /* for struct volume_options. One request at a time; they sleep */
    struct counter_client client;
    struct marble_counter *marble; /* instead; NULL: it is not MarbleRun's */
    struct volume_disk *disk;
    const char *address;  /* of the policy, for messages */
    uint64_t timeout_ns;  /* how long one request may take */
    uint64_t deadline_ns; /* of the one that is under way */
    bool complained;
};

/*
 * counter_public is the counter's pinned key. raise() tries again until timeout_ns are over, and then fails with
 * -EHOSTUNREACH; -EACCES when the counter refuses.
 */
void volume_remote_anchor_init(struct volume_remote_anchor *anchor, struct volume_disk *disk, const char *address,
                               const uint8_t counter_public[X25519_SIZE], uint64_t timeout_ns);

/* The same with MarbleRun's counter: marble has its peer's point, identity and host; the rest of it is filled in. */
void volume_marble_anchor_init(struct volume_remote_anchor *anchor, struct volume_disk *disk, const char *address,
                               struct marble_counter *marble, uint64_t timeout_ns);

#endif
