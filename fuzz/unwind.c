/*
 * The report of a crash reads the program's own unwind tables and its file's symbols: both are here the fuzzer's. The
 * first byte chooses.
 *
 * fuzz-sources: kernel/process/unwind.c kernel/process/unwind_expression.c kernel/process/unwind_table.c
 *
 * fuzz-sources: kernel/process/symbol.c
 *
 * fuzz-flags: -DCOFRE_HOSTED -Wno-unused-parameter
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "kernel/process/symbol.h"
#include "kernel/process/unwind.h"

#define BASE 0x10000ULL /* where the bytes lie */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct bytes {
    const uint8_t *data;
    size_t size;
    unsigned reads;
};

static bool space_read(void *context, uint64_t addr, void *buf, size_t size)
{
    struct bytes *b = context;
    b->reads++;
    if (addr < BASE || addr - BASE > b->size || size > b->size - (addr - BASE))
        return false;
    memcpy(buf, b->data + (addr - BASE), size);
    return true;
}

static bool space_find(void *context, uint64_t pc, uint64_t *ret_eh_frame_hdr)
{
    const struct bytes *b = context;
    *ret_eh_frame_hdr = BASE;
    return pc >= BASE && pc - BASE < b->size;
}

static void fuzz_unwind(const uint8_t *data, size_t size)
{
    struct unwind u = {.known = (1U << UNWIND_REGISTERS) - 1};
    struct bytes bytes = {data, size, 0};
    struct unwind_space space = {space_read, space_find, &bytes};
    for (unsigned i = 0; i < UNWIND_REGISTERS; i++)
        u.registers[i] = BASE + (i < size ? data[size - 1 - i] * 8U : 0);
    for (unsigned i = 0; i < 40 && unwind_step(&space, &u); i++)
        if (!(u.known & 1U << UNWIND_RIP) || u.registers[UNWIND_RIP] == 0)
            abort();
    if (bytes.reads > 40U * 200000)
        abort(); /* bounded */
}

static ssize_t read_bytes(void *context, void *buf, size_t size, file_off_t pos)
{
    const struct bytes *b = context;
    if (pos < 0)
        abort();
    if ((uint64_t)pos >= b->size)
        return 0;
    size_t n = size < b->size - (size_t)pos ? size : b->size - (size_t)pos;
    memcpy(buf, b->data + pos, n);
    return (ssize_t)n;
}

static void fuzz_symbol(const uint8_t *data, size_t size)
{
    struct bytes bytes = {data, size, 0};
    struct elf_reader reader = {read_bytes, &bytes};
    char name[24];
    uint64_t offset;
    for (uint64_t vaddr = 0; vaddr < 0x8000; vaddr += 0x1010)
        if (symbol_find(&reader, vaddr, name, sizeof name, &offset) == 0 && strlen(name) >= sizeof name)
            abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    if (data[0] == 's')
        fuzz_symbol(data + 1, size - 1);
    else
        fuzz_unwind(data + 1, size - 1);
    return 0;
}
