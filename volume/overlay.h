/*
 * A volume may be opened for writing on it, its log applied and a checkpoint made, and nothing reaches the file: for
 * commands that only read, yet need everything to have its place.
 */
#ifndef COFRE_VOLUME_OVERLAY_H
#define COFRE_VOLUME_OVERLAY_H

#include "kernel/volume/volume.h"

#define OVERLAY_BUCKETS 16384

struct overlay_block;
struct overlay {
    struct volume_io io;
    const struct volume_io *lower; /* stays */
    struct overlay_block *buckets[OVERLAY_BUCKETS];
};

void overlay_init(struct overlay *o, const struct volume_io *lower);
void overlay_deinit(struct overlay *o); /* the volume on it is closed */

#endif
