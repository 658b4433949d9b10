/*
 * Volumes of a container (abi/volume.h): named folders of this machine, each with the files `volume` and `anchor`, and
 * the host call that moves blocks in and out of them.
 *
 * They live in $COFRE_VOLUMES, else for root in /var/lib/cofre/volumes, else in $XDG_DATA_HOME (or ~/.local/share)
 * /cofre/volumes. A volume's file is locked as long as a container has it.
 */
#ifndef COFRE_HOST_VOLUMES_H
#define COFRE_HOST_VOLUMES_H

#include "abi/boot.h"
#include "abi/volume.h"

struct runtime;

/* What the options ask for is opened and locked, made if it is new and the policy says so. 0 or negative errno. After
 * the zygote was forked, so that members do not hold the locks. */
int volumes_open(struct runtime *runtime, char **ret_error);
struct boot_blob volumes_blob(void);
/* Host call VOLUME. Any vCPU thread. */
int64_t volumes_call(struct runtime *runtime, const uint64_t args[6]);

/* What was asked of the host's files so far and done. A durable write is a write and a flush. */
struct volume_counts {
    uint64_t reads, writes, flushes;
    uint64_t read_bytes, written_bytes;
};
void volumes_count(struct volume_counts *ret_counts);

#endif
