/*
 * A pipe between two members, lent to them and called back again and again while it is written and read: what comes out
 * is what went in, nobody sleeps for what is there, and with a member or a host that says anything the init enclave has
 * the pipe back in the end.
 */
#ifndef COFRE_TESTS_LENT_WORLD_H
#define COFRE_TESTS_LENT_WORLD_H

#include <stddef.h>
#include <stdint.h>

struct lent_world_counts {
    unsigned long loans, recalls, bytes, bytes_there, slept, killed, lost, ended, broken;
};
/* The caller's, filled by what follows. */
extern struct lent_world_counts *lent_world_counts;

/* The input chooses what happens. Once in a process, or with the kernel's variables made new. */
void lent_world_run(const uint8_t *data, size_t size);

#endif
