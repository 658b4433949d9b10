/*
 * Reading ELF programs. The file is hostile input: this parser copies in what it needs, checks all of it, and depends
 * on nothing but a read function, so that it can be fuzzed as it is.
 */
#ifndef COFRE_KERNEL_PROCESS_ELF_H
#define COFRE_KERNEL_PROCESS_ELF_H

#include "kernel/lib/types.h"

#define ELF_SEGMENTS_MAX 64
#define ELF_INTERP_MAX 4096 /* PATH_MAX, NUL included */

struct elf_segment {
    uint64_t vaddr;
    uint64_t offset;      /* in the file */
    uint64_t file_size;   /* bytes from the file, <= memory_size */
    uint64_t memory_size; /* the rest is zero */
    int prot;             /* PROT_* */
};

struct elf_image {
    bool dynamic; /* ET_DYN: may be put anywhere */
    bool executable_stack;
    uint64_t entry;
    uint64_t phdr_vaddr; /* where the program headers are once loaded; 0 if they are not */
    uint16_t phdr_count;
    uint64_t align;     /* of a dynamic image's base; a page or more */
    uint64_t low, high; /* page-aligned span of all segments, high exclusive */
    size_t segment_count;
    struct elf_segment segments[ELF_SEGMENTS_MAX];
    bool has_interp;
    char interp[ELF_INTERP_MAX];
};

struct elf_reader {
    /* Bytes read at pos (short only at the end), or -errno. */
    ssize_t (*read)(void *context, void *buf, size_t size, file_off_t pos);
    void *context;
};

/*
 * 0; -ENOEXEC (not an x86-64 program, or malformed), -EINVAL (segments no mapping could satisfy), -EIO (shorter than a
 * header, or than the interpreter's name), -ENOMEM, or the reader's error. Segments are in file order, do not wrap, end
 * below 2^47, and file_size <= memory_size.
 */
must_check int elf_parse(const struct elf_reader *reader, struct elf_image *ret_image);

#endif
