/* A member's side of pages that enclaves share. */
#ifndef COFRE_KERNEL_REMOTE_SHARED_MEMBER_H
#define COFRE_KERNEL_REMOTE_SHARED_MEMBER_H

/* Boot. */
void shared_member_init(void);

#endif
