/*
 * The memory of a process as a stream of bytes, for fork: mappings, the contents of committed pages, the stubs of
 * rewritten text. What comes out at the other end is the same address space but for what Linux's fork leaves out
 * (MADV_DONTFORK; MADV_WIPEONFORK is empty; locks) and for memory that both would have to share: where a mapping shares
 * what can be written, the copy has one that nobody can touch (SIGBUS).
 *
 * The stream comes from a kernel of the same measurement over an authenticated link; its records are checked all the
 * same, as far as memory safety goes.
 */
#ifndef COFRE_KERNEL_MM_IMAGE_H
#define COFRE_KERNEL_MM_IMAGE_H

#include "kernel/lib/types.h"

struct file;
struct stream;

#define IMAGE_FILE_MAX 4608 /* bytes that describe one file */

/* The files of mappings, as bytes. */
struct image_files {
    /*
     * Bytes now in buf, or -errno. *ret_own: the other enclave reads this file's pages for itself, so that those that
     * are as in the file need not be sent.
     */
    ssize_t (*describe)(struct image_files *files, struct file *file, void *buf, bool *ret_own);
    /* A reference. 0 or -errno. */
    int (*open)(struct image_files *files, const void *buf, size_t size, struct file **ret_file);
};

/* Sleeps; mappings do not change meanwhile (mm_freeze), their contents may, as other threads go on. 0 or -errno. */
must_check int image_save(struct stream *stream, struct image_files *files);
/* Into an address space without mappings; on an error it is left half made. 0 or -errno. */
must_check int image_load(struct stream *stream, struct image_files *files);

#endif
