/*
 * A simulated disk: what was written since the last flush may be lost, torn and reordered by a crash. Everything comes
 * from one seed. It is also the volume's source of random numbers and of time.
 */
#ifndef COFRE_TESTS_VOLUME_DISK_H
#define COFRE_TESTS_VOLUME_DISK_H

#include "kernel/volume/volume.h"

struct disk_write {
    uint64_t block, count;
    uint8_t *old; /* what was there before, count blocks */
};

struct disk {
    struct volume_io io;
    uint64_t block_count;
    uint8_t *data;             /* as reads see it */
    struct disk_write *writes; /* not flushed, oldest first */
    size_t write_count, write_room;
    uint64_t events, write_events, flushes, blocks_written, read_events; /* since disk_new */
    uint64_t fail_at; /* the event with this number (1 = the first) and all after it fail; 0 = none */
    int fail_error;
    uint64_t fail_read_at;        /* the read with this number fails, once; 0 = none */
    bool lose_flushes;            /* a flush says yes and does nothing */
    void (*hook)(struct disk *d); /* after each write and flush */
    void *hook_arg;
};

struct disk *disk_new(uint64_t block_count);
void disk_free(struct disk *d);
struct disk *disk_clone(const struct disk *d); /* same contents, all durable, no hook */

/* What a crash may leave of the writes since the last flush. */
enum disk_crash { CRASH_NONE, CRASH_ALL, CRASH_LAST_LOST, CRASH_LAST_ONLY, CRASH_RANDOM, CRASH_TORN, CRASH_COUNT };
struct disk *disk_crash(const struct disk *d, enum disk_crash how);
/* All of these but write number `write`, or nothing but that; or all, and of the last write the first sectors only. */
enum disk_crash_one { CRASH_ONE_LOST, CRASH_ONE_ONLY, CRASH_CUT };
#define DISK_SECTOR 512
struct disk *disk_crash_one(const struct disk *d, enum disk_crash_one how, size_t number);

/* The test's random numbers; never those of any other call in this process. */
void disk_seed(uint64_t seed);
uint64_t disk_random(void);

/* A key for unlock: 32 bytes of it. */
int disk_unlock(void *key, const struct volume_key_slot *slot, uint8_t ret_key[32]);
extern uint8_t disk_key[32];
/* A fresh volume on a fresh disk. */
struct disk *disk_formatted(uint64_t block_count);
struct volume *disk_mount(struct disk *d, const struct volume_options *options, int *ret_error);

/* The n-th allocation from now on fails, once (1 = the next); 0 = none. */
void disk_fail_alloc(unsigned long n);
bool disk_alloc_failed(void);
long disk_alloc_live(void);

/* Of the nonce oracle: seals seen so far. Aborts on a repeated (key, nonce) over different plaintext. */
uint64_t disk_seal_count(void);

#endif
