/* Messages of exec: apart from process_message.h, since they know the ELF parser. */
#ifndef COFRE_KERNEL_REMOTE_EXEC_MESSAGE_H
#define COFRE_KERNEL_REMOTE_EXEC_MESSAGE_H

#include "kernel/mm/expected.h"
#include "kernel/process/elf.h"
#include "kernel/process/itimer.h"
#include "kernel/remote/process_message.h"

#define EXEC_PATH_MAX 4096

struct exec_open_message {
    struct message message;
    int32_t dfd;
    uint32_t lookup_flags;
    char path[EXEC_PATH_MAX];      /* as the caller gave it */
    char name[EXEC_PATH_MAX + 32]; /* what AT_EXECFN is to be */
};

struct exec_answer {
    struct message message;
    int64_t result;
    struct file_info file, interp_file;
    struct elf_image image, interp;
    uint32_t has_interp;
    uint32_t set_mode, set_uid, set_gid;
    uint32_t unreadable;
    struct expected expected;               /* of the program */
    uint32_t argument_count, argument_size; /* what stands for the first argument now; 0: itself */
    char arguments[4 * EXEC_PATH_MAX];
};
_Static_assert(sizeof(struct exec_answer) <= LINK_MESSAGE_MAX, "one message");

/* What an exec brings to another enclave: this, strings, then its first thread starts. */
struct exec_image {
    uint64_t argv_size, argv_count, envp_size, envp_count, name_size;
    struct file_info file, interp_file;
    struct elf_image image, interp;
    struct expected expected;
    uint32_t has_interp;
    uint32_t set_mode, set_uid, set_gid;
    uint32_t unreadable;
    uint64_t blocked, ignored; /* signals */
    uint64_t timer_slack_ns;
    uint64_t affinity_mask;
    struct itimer_times timers;
    char comm[16];
};

#endif
