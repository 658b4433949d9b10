/*
 * Which pages of its files a program touches, from its start to its end: the next one that runs it brings those in
 * when it maps the files, many at a time, rather than by a fault each with whatever lies around. Members note, the init
 * enclave remembers by program (kernel/remote/programs.h). Only a guess: a program's memory is the same without.
 */
#ifndef COFRE_KERNEL_MM_EXPECTED_H
#define COFRE_KERNEL_MM_EXPECTED_H

#include "kernel/lib/types.h"

struct vma;

#define EXPECTED_MAX 256

/* A page of a file, and the kind of mapping it was touched in: a loader maps all of a file first, and then over it. */
struct file_place {
    uint32_t file;   /* inode number */
    uint32_t page;   /* index in the file */
    uint32_t first;  /* that of the mapping's first page */
    uint32_t rights; /* PAGE_* */
};

/* What is recalled is in order of file, first, rights and page. */
struct expected {
    uint32_t count;
    struct file_place places[EXPECTED_MAX];
};

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
