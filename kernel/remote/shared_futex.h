/* Futexes in memory that enclaves share: members have the init enclave queue and wake their waiters. */
#ifndef COFRE_KERNEL_REMOTE_SHARED_FUTEX_H
#define COFRE_KERNEL_REMOTE_SHARED_FUTEX_H

#include "kernel/lib/types.h"

/* Boot. */
void futex_home_init(void);
void futex_member_init(void);
/* In the init enclave: an enclave is gone, and its waiters with it. */
void futex_home_lost(uint32_t member);

#endif
