/* A member's side of sealed pages (sealed.h, frames.h): to send them with a write, to open those that a read brings. */
#ifndef COFRE_KERNEL_REMOTE_SEALED_MEMBER_H
#define COFRE_KERNEL_REMOTE_SEALED_MEMBER_H

#include "kernel/remote/sealed.h"
#include "kernel/remote/windows.h"

void sealed_member_init(void);
/*
 * A write of this process to fd is about to be sent: seal the first pages of its only window, as far as there are
 * frames for what is written there and `pages` has room. How many: g->window says so then. What cannot be read is left
 * as it is.
 */
size_t sealed_window(struct gathered *g, int fd, struct sealed_page *pages, size_t max);
/* Open a page that came into application memory; false if that cannot be written. Its frame is done with. */
bool sealed_deliver(const struct sealed_page *page, uint64_t addr);
/* Tell the init enclave, before the next call, which frames are done with. */
void sealed_tell_read(void);
/* The process has ended, and the init enclave takes all frames back. */
void sealed_reset(void);

#endif
