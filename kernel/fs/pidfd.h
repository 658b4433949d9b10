/* pidfds: descriptors that name a process. */
#ifndef COFRE_KERNEL_FS_PIDFD_H
#define COFRE_KERNEL_FS_PIDFD_H

struct file;
struct process;

/* A new descriptor (close-on-exec) in the current process for `process`; flags: 0 or O_NONBLOCK. */
int pidfd_install(struct process *process, unsigned flags);
/* The process that pidfd `fd` names, referenced, or NULL; *ret_flags: of its file. */
struct process *pidfd_process(int fd, unsigned *ret_flags);

#endif
