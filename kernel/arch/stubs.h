/* The stubs that rewritten system call sites jump to: fixed-size slots in areas near the text. */
#ifndef COFRE_KERNEL_ARCH_STUBS_H
#define COFRE_KERNEL_ARCH_STUBS_H

#include "kernel/lib/types.h"

#define STUB_SIZE 32
#define STUB_BEFORE_MAX 16

struct stub_request {
    uaddr_t site;
    size_t site_size;    /* bytes displaced there */
    uaddr_t return_addr; /* where the application goes on after the site */
    const uint8_t *before, *after;
    size_t before_size, after_size; /* at most STUB_BEFORE_MAX and 6; not both */
    size_t relative;                /* offset in before of a RIP-relative displacement as at the site; 0 = none */
    bool syscall_kept;              /* the site's own syscall still stands before return_addr */
};

enum stub_progress { STUB_BEFORE_CALL, STUB_AFTER_CALL, STUB_DONE };

struct stub_place {
    uaddr_t site;
    size_t site_size;
    enum stub_progress progress;
    uaddr_t resume;   /* STUB_BEFORE_CALL: where the application's own code does the rest */
    uint8_t after[8]; /* the displaced instruction, when progress is STUB_AFTER_CALL */
};

/* A new stub's address, within reach of a jump from site; 0 if there is no room or no memory. */
uaddr_t stub_new(const struct stub_request *request);
/* What is at addr, if it lies in a stub that is in use. */
bool stub_find(uaddr_t addr, struct stub_place *ret_place);
void stubs_forget(uaddr_t start, size_t size);
void stubs_forget_if(bool (*gone)(uaddr_t site));
/* Whether the bytes displaced at a site may lie on both sides of this page boundary: if one does, always. */
bool stubs_straddle(uaddr_t boundary);

struct stream;
must_check int stubs_save(struct stream *stream, bool any);
must_check int stubs_load(struct stream *stream);

#endif
