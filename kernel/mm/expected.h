/*
 * Which pages of the root image a program touches: the next one that runs it brings those in when it maps the files,
 * many at a time, rather than by a fault each with whatever lies around. Only a guess: a program's memory is the same
 * without.
 *
 * Members note from a program's start to its end, and the init enclave remembers by program (kernel/remote/programs.h).
 * In the init enclave it is the host that remembers (abi/start.h), and what is noted is its own first seconds.
 */
#ifndef COFRE_KERNEL_MM_EXPECTED_H
#define COFRE_KERNEL_MM_EXPECTED_H

#include "abi/boot.h"
#include "kernel/lib/types.h"

struct vma;

#define EXPECTED_MAX 256

/* What is recalled is in order, each place once. */
struct expected {
    uint32_t count;
    uint64_t places[EXPECTED_MAX]; /* abi/start.h */
};

/* In the init enclave, at boot: what the host remembers is expected, as far as it makes sense, and it is told the rest.
 */
void expected_init(const struct boot_blob *area);
/* A program begins: its faults are noted. */
void expected_start(void);
/* A fault at `page` of vma. */
void expected_note(const struct vma *vma, uaddr_t page);
/* What was noted, each place told once. */
void expected_take(struct expected *ret);

/* What the next program, or the one that begins, is expected to touch. */
void expected_set(const struct expected *expected);
void expected_forget(void);
void expected_get(struct expected *ret);
/* vma is new: what is expected of it comes now. */
void expected_bring_in(struct vma *vma);

#endif
