/* Looking a function's name up (contract in symbol.h). */
#include "kernel/process/symbol.h"

#include <asm-generic/errno.h>
#include <linux/elf.h>

#include "kernel/lib/string.h"

#define SECTIONS_MAX 4096
#define SYMBOLS_MAX 1000000
#define CHUNK 32
#define SHT_SYMTAB 2
#define SHT_DYNSYM 11
#define STT_FUNC 2
#define STT_GNU_IFUNC 10

static bool read_at(const struct elf_reader *reader, void *buf, size_t size, uint64_t pos)
{
    return pos < INT64_MAX - size && reader->read(reader->context, buf, size, (file_off_t)pos) == (ssize_t)size;
}

static bool section_read(const struct elf_reader *reader, const Elf64_Ehdr *head, unsigned index,
                         Elf64_Shdr *ret_section)
{
    return index < head->e_shnum && head->e_shoff <= INT64_MAX / 2 &&
           read_at(reader, ret_section, sizeof *ret_section, head->e_shoff + index * sizeof *ret_section);
}

static bool covers(const Elf64_Sym *symbol, uint64_t vaddr)
{
    unsigned type = symbol->st_info & 0xf;
    return (type == STT_FUNC || type == STT_GNU_IFUNC) && symbol->st_shndx != SHN_UNDEF && vaddr >= symbol->st_value &&
           vaddr - symbol->st_value < symbol->st_size;
}

static void name_read(const struct elf_reader *reader, const Elf64_Shdr *strings, uint32_t at, char *ret_name,
                      size_t size)
{
    size_t n = 0;
    char c;
    while (n + 1 < size && at + n < strings->sh_size && strings->sh_offset <= INT64_MAX / 2 &&
           read_at(reader, &c, 1, strings->sh_offset + at + n) && c != 0)
        ret_name[n++] = c > ' ' && c < 127 ? c : '?';
    ret_name[n] = 0;
}

static int search(const struct elf_reader *reader, const Elf64_Ehdr *head, const Elf64_Shdr *section, uint64_t vaddr,
                  char *ret_name, size_t size, uint64_t *ret_offset)
{
    Elf64_Sym symbols[CHUNK];
    Elf64_Shdr strings;
    uint64_t count = MIN(section->sh_size / sizeof(Elf64_Sym), (uint64_t)SYMBOLS_MAX);
    if (section->sh_entsize != sizeof(Elf64_Sym) || section->sh_offset > INT64_MAX / 2 ||
        !section_read(reader, head, section->sh_link, &strings))
        return -ENOENT;
    for (uint64_t i = 0; i < count; i += CHUNK) {
        uint64_t part = MIN(count - i, (uint64_t)CHUNK);
        if (!read_at(reader, symbols, part * sizeof *symbols, section->sh_offset + i * sizeof *symbols))
            return -ENOENT;
        for (uint64_t n = 0; n < part; n++) {
            if (!covers(&symbols[n], vaddr))
                continue;
            name_read(reader, &strings, symbols[n].st_name, ret_name, size);
            *ret_offset = vaddr - symbols[n].st_value;
            return 0;
        }
    }
    return -ENOENT;
}

int symbol_find(const struct elf_reader *reader, uint64_t vaddr, char *ret_name, size_t size, uint64_t *ret_offset)
{
    Elf64_Ehdr head;
    Elf64_Shdr section;
    if (!read_at(reader, &head, sizeof head, 0) || memcmp(head.e_ident, ELFMAG, SELFMAG) != 0 ||
        head.e_shentsize != sizeof section || head.e_shnum > SECTIONS_MAX)
        return -ENOENT;
    for (unsigned type = SHT_SYMTAB;; type = SHT_DYNSYM) {
        for (unsigned i = 0; i < head.e_shnum; i++) {
            if (!section_read(reader, &head, i, &section))
                return -ENOENT;
            if (section.sh_type == type && search(reader, &head, &section, vaddr, ret_name, size, ret_offset) == 0)
                return 0;
        }
        if (type == SHT_DYNSYM)
            return -ENOENT;
    }
}
