/*
 * A member that borrows connections: its kernel's own borrower, epoll sets, sockets and rings; a program that uses
 * them; and around it an init enclave and a host that are honest, or of which one says anything. Honest, every byte of
 * every connection arrives once and in order, through however many loans, and what comes back is what happened.
 */
#ifndef COFRE_TESTS_BORROWER_WORLD_H
#define COFRE_TESTS_BORROWER_WORLD_H

#include <stddef.h>
#include <stdint.h>

struct borrower_world_counts {
    unsigned long loans, refused, returned, recalls, in_use, news, read, written, watched, fired, closed, ended, lied;
    unsigned long shared, accepted, begun, given, closed_untold, dropped;
};
/* The caller's, filled by what follows. */
extern struct borrower_world_counts *borrower_world_counts;

/* The input chooses who lies and what happens. Once in a process, or with the kernel's variables made new. */
void borrower_world_run(const uint8_t *data, size_t size);

#endif
