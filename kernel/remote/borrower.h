/*
 * A member's side of loan_message.h: connections that its process has borrowed. They are the only files that the table
 * process->files of a member has, at the same descriptors as in the init enclave.
 */
#ifndef COFRE_KERNEL_REMOTE_BORROWER_H
#define COFRE_KERNEL_REMOTE_BORROWER_H

#include "kernel/lib/types.h"

struct file;
struct process;
struct tcp_socket;

void borrower_init(void);
/* How often something went back to the init enclave. */
extern uint64_t borrower_returns;

/*
 * A connection that was accepted here gets the descriptor fd, the next one (descriptors.h). The init enclave does not
 * hear of it, until borrower_tell_begun(): before anything that may look at descriptors there. 0 or -errno; then it is
 * closed.
 */
must_check int borrower_begin(struct tcp_socket *accepted, int fd, unsigned flags);
void borrower_tell_begun(void);
/* The borrowed connection at a descriptor of the current process: *ret_file is it, referenced; or NULL. */
struct tcp_socket *borrower_find(int fd, struct file **ret_file);
/* A call that used t is over: give it back if that was asked for meanwhile. True: it is gone, or will be. */
bool borrower_settle(struct tcp_socket *t);
/* The file's status flags have changed. */
void borrower_flags_changed(struct tcp_socket *t);
/* Give it back and close its descriptor there. False: it is in use, and that must be done there. */
bool borrower_close(struct tcp_socket *t);
/* Say which channels the host is to look at, before something else is sent; without a ring. */
void borrower_tell_dirty(void);
/* All goes back, but what is being used by a call, whose number is returned: that goes back at the call's end. */
size_t borrower_end(struct process *process);

#endif
