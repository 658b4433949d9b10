/*
 * The init enclave's kernel with members that say anything, on a host that lies: its process table, agents and messages
 * are the real ones (kernel/process, kernel/remote), files and system calls small inventions. What happens is a
 * sequence of bytes, so that a seeded test and a fuzzer can write it.
 */
#ifndef COFRE_TESTS_MEMBERS_WORLD_H
#define COFRE_TESTS_MEMBERS_WORLD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Parts of it, for a test that wants to see what happened. */
struct members_world_counts {
    unsigned long messages, adopted, ended, reaped, cut, lost, refused, renewed;
};
extern struct members_world_counts members_world_counts;

/*
 * Do what the bytes say, then let all members end. Aborts (with a message) if a process that nobody may harm was
 * harmed, anything is left behind, somebody sleeps for ever, or the kernel panics.
 */
void members_world_run(const uint8_t *data, size_t size);

#endif
