/*
 * A volume and its model, with a crash at each write and flush: what is on the disk then must be a state that was
 * durable, or was about to become so. Each crash is also survived in the middle of recovering from it.
 */
#ifndef COFRE_TESTS_VOLUME_CRASH_H
#define COFRE_TESTS_VOLUME_CRASH_H

#include "disk.h"
#include "model.h"

struct crash {
    char *allowed[8]; /* texts of states */
    unsigned allowed_count;
    unsigned recovery_every; /* crash during each so many-th recovery, too; 0 = never */
    unsigned deep_every;     /* of the mounts of those, crash during each so many-th, too; 0 = never */
    unsigned each_every;     /* at each so many-th event also each write lost, or alone, and the last one cut after each
                                sector */
    uint64_t images, events, mounts, recoveries, deep_recoveries;
};

struct crash_run {
    struct model m;
    struct crash crash;
    struct disk *disk;
    struct volume *v;
    char *durable;
};

/* On a formatted disk, which the run frees. */
void crash_run_start(struct crash_run *r, struct disk *disk, const struct volume_options *options);
void crash_run_end(struct crash_run *r);
/* From now on each event is a crash (and the present state is what is durable). */
void crash_run_watch(struct crash_run *r);
/* A sync of a node (-1: of everything), and a change, random or given: with all crashes in it. */
void crash_run_sync(struct crash_run *r, int node);
void crash_run_change(struct crash_run *r, const struct model_step *step);

/* Both fail the test. */
void crash_assert_clean(struct volume *v);
struct volume *crash_mount(struct disk *d, const struct volume_options *options);

#endif
