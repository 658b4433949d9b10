/*
 * The init enclave's side of pages that enclaves share: a directory for each file that members map (directory.h), whose
 * home is the file system here. docs/PROCESSES.md has the protocol.
 */
#ifndef COFRE_KERNEL_REMOTE_SHARED_HOME_H
#define COFRE_KERNEL_REMOTE_SHARED_HOME_H

#include "kernel/lib/types.h"

struct inode;

/* Boot, if there are members at all. */
void shared_home_init(void);
/* What members call the file, so that they can share its pages; 0: they cannot. */
uint64_t shared_home_name(struct inode *inode);
/* An enclave is gone. What only it had of a page is lost: the page is what it was when it went out. */
void shared_home_lost(uint32_t member);

#endif
