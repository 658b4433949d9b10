/*
 * A member whose last process has ended becomes nobody again, for the next process, if the init enclave wants it: what
 * it has read of the root image, its kernel's memory and its host process are there already. Nothing of the old process
 * is left but guesses and pages without contents (kernel/mm/pages.h). An enclave has so many lives that what a kernel
 * gathers over time stays little.
 *
 *   member: EXITED of the last process, RENEW -> init: all that concerned it is sent -> member: forgets it, HELLO
 *
 * By the order of the link, when the answer to RENEW comes everything that was sent for the old process has come, and
 * when HELLO comes everything that answers it.
 */
#ifndef COFRE_KERNEL_REMOTE_RENEW_H
#define COFRE_KERNEL_REMOTE_RENEW_H

/* From a kernel thread, when the last process has ended: nobody again, or the enclave ends. Sleeps. */
void member_renew(void);

#endif
