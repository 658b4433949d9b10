/*
 * Messages to the host about its folders (abi/hostfs.h), and the numbers of its files. A request sleeps until it is
 * answered; only what ends the process interrupts that. What comes back is checked here as far as one message can tell:
 * its slot, its result's range, the sizes of what it brings; the rest is the file system's (kernel/fs/hostfs.h).
 */
#ifndef COFRE_KERNEL_FS_HOSTFS_CLIENT_H
#define COFRE_KERNEL_FS_HOSTFS_CLIENT_H

#include "abi/hostfs.h"
#include "kernel/lib/types.h"

struct boot_blob;

/* The shared memory, checked; false if the host gave none. */
bool hostfs_client_init(const struct boot_blob *blob);
/* Which folders it has: copied in once. */
unsigned hostfs_folder_count(void);
const struct boot_folder *hostfs_folder(unsigned number);

/* A number for a file to come, or -ENFILE. */
must_check int hostfs_node_alloc(uint32_t *ret_node);
/* The host may forget it. Does not sleep. */
void hostfs_node_free(uint32_t node);
/* The host may close what OPEN opened. Does not sleep. */
void hostfs_node_release(uint32_t node);

/*
 * One slot, for a request and what belongs to it. Sleeps. -EINTR. nested: while another slot is held (a page of a
 * mapping is read while something is copied to it): some are kept for those.
 */
must_check int hostfs_slot_get(bool nested, unsigned *ret_slot);
/* The same without sleeping, and only if many are free: for reading ahead. */
must_check bool hostfs_slot_try(unsigned *ret_slot);
void hostfs_slot_put(unsigned slot); /* not under way */
/* The same of one whose answer, if it is still to come, nobody wants. */
void hostfs_slot_abandon(unsigned slot);
host_ptr hostfs_slot_data(unsigned slot);

/* Hand the request to the host. */
void hostfs_submit(unsigned slot, const struct hostfs_request *request);
bool hostfs_answered(unsigned slot);
/*
 * Sleep until the answer is there: its result, range-checked, with the rest in *ret_reply. -EINTR: the process ends;
 * the slot is no longer the caller's (nor is request.result_node).
 */
must_check int64_t hostfs_wait(unsigned slot, struct hostfs_reply *ret_reply);

/* Get, submit and wait, for requests whose data are names only. -EINTR, -ENOMEM or the host's result. Afterwards the
 * slot is put, unless ret_slot is wanted for the data of the answer (only if the result is >= 0). */
must_check int64_t hostfs_call(struct hostfs_request *request, const char *name, const char *second,
                               struct hostfs_reply *ret_reply, unsigned *ret_slot);

/* Who can give up a slot that holds nothing but what was read ahead; set once. */
void hostfs_set_reclaim(bool (*reclaim)(void));

/* Look for answers and wake who waits for them: by the idle loop and ticks. */
void hostfs_poll(void);

#endif
