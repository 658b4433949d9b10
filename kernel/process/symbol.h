/* Names of functions in ELF files, for reports. The file is hostile input; the reader is elf.h's, so that it can be
 * fuzzed. */
#ifndef COFRE_KERNEL_PROCESS_SYMBOL_H
#define COFRE_KERNEL_PROCESS_SYMBOL_H

#include "kernel/process/elf.h"

/*
 * The function that has the address vaddr (as the file counts addresses): its name, cut to size - 1 bytes and with
 * unprintable ones replaced, and how far vaddr is from its start. -ENOENT if no symbol covers it.
 */
must_check int symbol_find(const struct elf_reader *reader, uint64_t vaddr, char *ret_name, size_t size,
                           uint64_t *ret_offset);

#endif
