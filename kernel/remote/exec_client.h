/* exec in a member: the program is found by the init enclave and started here. */
#ifndef COFRE_KERNEL_REMOTE_EXEC_CLIENT_H
#define COFRE_KERNEL_REMOTE_EXEC_CLIENT_H

#include "kernel/remote/exec_message.h"

struct exec;

struct exec_rights {
    uint32_t mode, uid, gid;
    bool unreadable;
};

/* As exec_open(). */
must_check int remote_exec_open(struct exec *exec, int dfd, const char *path, unsigned lookup_flags);
/* The program is mapped and will start: what the init enclave has of the process changes with it. 0 or -errno. */
must_check int remote_execed(const struct exec *exec);

/* Fill in what exec_open() finds, from what the init enclave found. interp_file NULL: none. */
must_check int exec_program_set(struct exec *exec, const struct file_info *file, const struct file_info *interp_file,
                                const struct elf_image *image, const struct elf_image *interp,
                                const struct exec_rights *rights);

#endif
