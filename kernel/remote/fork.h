/*
 * What travels by a stream when a process begins in another enclave: its first thread and its memory (fork), or its
 * program (exec). Both directions stand together: fork.c sends, adopt.c receives.
 */
#ifndef COFRE_KERNEL_REMOTE_FORK_H
#define COFRE_KERNEL_REMOTE_FORK_H

#include "kernel/arch/trap.h"
#include "kernel/remote/exec_message.h"

/* The first thread of a fork's child. vector_size bytes of XSAVE image follow, then the memory (kernel/mm/image.h). */
struct thread_image {
    struct trap_frame frame;
    uint64_t fs_base;
    uint64_t blocked;
    uint64_t altstack_base, altstack_size;
    int32_t altstack_flags;
    int32_t policy;
    uint64_t clear_child_tid, set_child_tid; /* 0: none */
    uint64_t timer_slack_ns, affinity_mask;
    uint64_t vector_size;
    char comm[16];
};

/* MESSAGE_ADOPT came. Takes the record over. */
void adopt(struct record *record);

#endif
