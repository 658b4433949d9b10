/* A member's side of pages that enclaves share. */
#ifndef COFRE_KERNEL_REMOTE_SHARED_MEMBER_H
#define COFRE_KERNEL_REMOTE_SHARED_MEMBER_H

/* Boot. */
void shared_member_init(void);
/* The process has ended, and the init enclave knows: what it asked for will not come any more. */
void shared_member_reset(void);

#endif
