/*
 * The init enclave lends connections to members that say anything of them, or nothing at all: it goes on, what one
 * member has another cannot speak of, and nothing is left when members are gone and descriptors closed.
 */
#ifndef COFRE_TESTS_LENDER_WORLD_H
#define COFRE_TESTS_LENDER_WORLD_H

#include <stddef.h>
#include <stdint.h>

struct lender_world_counts {
    unsigned long loans, returned, lost, killed, recalls, news, fired, lied;
    unsigned long begun, begun_returned, wrong; /* connections of members, and what cannot be such */
};
/* The caller's, filled by what follows. */
extern struct lender_world_counts *lender_world_counts;

/* The input chooses what happens. Once in a process, or with the kernel's variables made new. */
void lender_world_run(const uint8_t *data, size_t size);

#endif
