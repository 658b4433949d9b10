/* This container as a marble: what it shows a MarbleRun coordinator whose counters its volumes are anchored at. */
#ifndef COFRE_KERNEL_FS_VOLUME_MARBLE_H
#define COFRE_KERNEL_FS_VOLUME_MARBLE_H

#include "kernel/volume/marble.h"

/*
 * A counter of the coordinator that the policy names, at that address, which stays; for volume_marble_anchor_init().
 * The marble's key is asked for when this is first called. NULL: no memory; without a certificate or its key the
 * container ends.
 */
struct marble_counter *volume_marble_new(const char *address);

#endif
