/* The memory that a call will touch, gathered before it is sent: the member's side of struct window. */
#ifndef COFRE_KERNEL_REMOTE_WINDOWS_H
#define COFRE_KERNEL_REMOTE_WINDOWS_H

#include "kernel/remote/calls.h"
#include "kernel/remote/message.h"

#define WINDOWS_FAST 8

struct sealed_page;

struct gathered {
    struct window window;
    const void *kernel;               /* input that is the kernel's own rather than at window.addr; or NULL */
    const struct sealed_page *sealed; /* of its first pages, as many as the flags say */
};

struct windows {
    struct gathered *list;
    size_t count, capacity;
    size_t in_bytes, out_bytes; /* at most CALL_DATA_MAX each */
    struct gathered fast[WINDOWS_FAST];
};

void windows_init(struct windows *w);
void windows_free(struct windows *w);
/* A range that is read, or written. Ranges beyond what one call may move are there, but fault. 0 or -ENOMEM. */
must_check int windows_in(struct windows *w, uint64_t addr, uint64_t size);
must_check int windows_in_kernel(struct windows *w, uint64_t addr, const void *data, size_t size);
must_check int windows_out_kernel(struct windows *w, uint64_t addr, size_t size); /* addr stands for the kernel's */
must_check int windows_out(struct windows *w, uint64_t addr, uint64_t size);
/* All that `call` says of these arguments. It may lower an argument (messages of sendmmsg). 0 or -ENOMEM. Sleeps. */
must_check int windows_gather(struct windows *w, const struct call *call, uint64_t args[6]);

#endif
