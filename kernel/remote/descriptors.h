/*
 * In a member: which descriptor the next open would return. The table is the init enclave's, but only the process's own
 * calls change it, and what they do is plain to see: what an open returned had nothing free below it.
 */
#ifndef COFRE_KERNEL_REMOTE_DESCRIPTORS_H
#define COFRE_KERNEL_REMOTE_DESCRIPTORS_H

#include "kernel/lib/types.h"

enum descriptor_use {
    DESCRIPTORS_CHANGED, /* anything; also what is not known */
    DESCRIPTORS_IGNORED, /* looks at no descriptor but its first argument, and changes none */
    DESCRIPTORS_SEEN,    /* may look at any, also by a path of /proc */
    DESCRIPTORS_ADDED,   /* returns a new one, the lowest free */
    DESCRIPTORS_CLOSED,  /* close: looks at no other */
};

/* What a system call does to the process's descriptors. */
enum descriptor_use descriptors_use(uint64_t nr, const uint64_t args[6]);

/* Around each call that is not IGNORED or SEEN. Between, the table may change. */
void descriptors_begin(enum descriptor_use use);
void descriptors_end(enum descriptor_use use, const uint64_t args[6], int64_t result);
/* The init enclave's word with the result of the call that has begun: all from fd on are free. */
void descriptors_free_from(unsigned fd);
bool descriptors_changing(void); /* may a call that has begun give one another meaning? */
/* It has changed, nobody knows how. */
void descriptors_forget(void);
/* The process has ended, maybe in the middle of calls. */
void descriptors_reset(void);

/* The next one, if that is known: true. */
bool descriptors_next(int *ret_fd);
/* That one was opened, or this one closed, without a call. */
void descriptors_opened(int fd);
void descriptors_closed(int fd);

#endif
