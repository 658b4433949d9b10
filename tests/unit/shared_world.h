/*
 * The init enclave's side of pages that enclaves share (kernel/remote/shared_home.c, directory.c, turn.c) among members
 * that keep to the protocol and members that say anything. Links, processes and files are the least that will do. What
 * happens, and what liars say, are bytes of the input.
 *
 * Held against it: who keeps to the protocol reads what was written last, is never killed, and one of them writes at a
 * time; nobody gets a page of a file it has no handle for, nor changes one it may not write; nothing is left.
 */
#ifndef COFRE_TESTS_SHARED_WORLD_H
#define COFRE_TESTS_SHARED_WORLD_H

#include <stddef.h>
#include <stdint.h>

struct shared_world_counts {
    unsigned long messages, reads, writes, killed, unasked, home, changes;
};
extern struct shared_world_counts shared_world_counts;

/* Aborts if one of these does not hold. */
void shared_world_run(const uint8_t *data, size_t size);

#endif
