/*
 * Leases and posts with both their sides: the init enclave's and a member's are the real ones (kernel/remote/leases.c,
 * posts.c; leased.c, assured.c, posted.c, descriptors.c), files, descriptor tables and the link small inventions, and
 * small the limits of what is leased. Another member says anything. What happens is a sequence of bytes, so that a
 * seeded test and a fuzzer can write it.
 */
#ifndef COFRE_TESTS_LEASE_WORLD_H
#define COFRE_TESTS_LEASE_WORLD_H

#include <stddef.h>
#include <stdint.h>

struct lease_world_counts {
    unsigned long opened_here, opened_there, told, breaks, changes, posted, killed, refused, more, dropped, assured,
        syncs;
    unsigned long accepted, asked; /* by the member itself; not */
};
extern struct lease_world_counts lease_world_counts;

/*
 * Do what the bytes say. Aborts if the member reads anything but what is in a file at that moment, a descriptor is not
 * the lowest free one or is not where it has to be, PID 1 sees another mode than was set last, output is lost or out of
 * order, or memory is left.
 */
void lease_world_run(const uint8_t *data, size_t size);
/* The same where the init enclave tells the member anything. */
void lease_world_run_hostile(const uint8_t *data, size_t size);
/* A lease whose contents come in pieces, and between them one of another's, which is none of it. Aborts as above. */
void lease_world_run_mixed(void);
/* Listening sockets that a member accepts from, and each way in which that ends. Aborts if it goes on. */
void lease_world_run_listener(void);

#endif
