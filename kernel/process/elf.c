/* The ELF parser: header, program headers, interpreter. Limits and order of checks as in Linux's binfmt_elf. */
#include "kernel/process/elf.h"

#include <asm-generic/errno.h>
#include <asm-generic/mman-common.h>
#include <linux/elf-em.h>
#include <linux/elf.h>

#include "kernel/lib/string.h"

#define TASK_SIZE (1ULL << 47)
#define PHDRS_PER_READ 8

static int read_exact(const struct elf_reader *reader, void *buf, size_t size, uint64_t pos)
{
    if (pos > INT64_MAX - size)
        return -EIO;
    ssize_t n = reader->read(reader->context, buf, size, (file_off_t)pos);
    if (n < 0)
        return (int)n;
    return (size_t)n == size ? 0 : -EIO;
}

static int header_check(const Elf64_Ehdr *h)
{
    if (memcmp(h->e_ident, ELFMAG, SELFMAG) != 0 || h->e_ident[EI_CLASS] != ELFCLASS64 ||
        h->e_ident[EI_DATA] != ELFDATA2LSB)
        return -ENOEXEC;
    if ((h->e_type != ET_EXEC && h->e_type != ET_DYN) || h->e_machine != EM_X86_64)
        return -ENOEXEC;
    if (h->e_phentsize != sizeof(Elf64_Phdr) || h->e_phnum < 1 || h->e_phnum > 65536 / sizeof(Elf64_Phdr))
        return -ENOEXEC;
    return 0;
}

static int prot_of(uint32_t flags)
{
    return (flags & PF_R ? PROT_READ : 0) | (flags & PF_W ? PROT_WRITE : 0) | (flags & PF_X ? PROT_EXEC : 0);
}

static int segment_add(struct elf_image *image, const Elf64_Phdr *p)
{
    if (p->p_memsz == 0)
        return 0;
    if (image->segment_count == ELF_SEGMENTS_MAX)
        return -ENOEXEC;
    if (p->p_filesz > p->p_memsz || p->p_memsz > TASK_SIZE || p->p_vaddr > TASK_SIZE - p->p_memsz)
        return -EINVAL;
    if (p->p_offset > (uint64_t)INT64_MAX - p->p_memsz)
        return -EINVAL;
    if (p->p_filesz && (p->p_vaddr ^ p->p_offset) % PAGE_SIZE)
        return -EINVAL;
    image->segments[image->segment_count++] = (struct elf_segment){
        .vaddr = p->p_vaddr,
        .offset = p->p_offset,
        .file_size = p->p_filesz,
        .memory_size = p->p_memsz,
        .prot = prot_of(p->p_flags),
    };
    image->low = MIN(image->low, ALIGN_DOWN((uint64_t)p->p_vaddr, PAGE_SIZE));
    image->high = MAX(image->high, ALIGN_UP((uint64_t)(p->p_vaddr + p->p_memsz), PAGE_SIZE));
    /* A bad alignment is ignored, as Linux does. */
    if (p->p_align > image->align && (p->p_align & (p->p_align - 1)) == 0 && p->p_align < TASK_SIZE)
        image->align = p->p_align;
    return 0;
}

static int interp_read(const struct elf_reader *reader, struct elf_image *image, const Elf64_Phdr *p)
{
    if (image->has_interp)
        return 0; /* the first one counts */
    if (p->p_filesz < 2 || p->p_filesz > ELF_INTERP_MAX)
        return -ENOEXEC;
    int r = read_exact(reader, image->interp, p->p_filesz, p->p_offset);
    if (r < 0)
        return r;
    if (image->interp[p->p_filesz - 1] != '\0')
        return -ENOEXEC;
    image->has_interp = true;
    return 0;
}

static int program_header(const struct elf_reader *reader, struct elf_image *image, const Elf64_Phdr *p)
{
    switch (p->p_type) {
    case PT_LOAD:
        return segment_add(image, p);
    case PT_INTERP:
        return interp_read(reader, image, p);
    case PT_GNU_STACK:
        image->executable_stack = p->p_flags & PF_X;
        return 0;
    case PT_PHDR:
        image->phdr_vaddr = p->p_vaddr;
        return 0;
    default:
        return 0;
    }
}

/* Without PT_PHDR, the segment that the program headers are in says where they are loaded. */
static void find_phdrs(struct elf_image *image, const Elf64_Ehdr *h)
{
    if (image->phdr_vaddr)
        return;
    for (size_t i = 0; i < image->segment_count; i++) {
        const struct elf_segment *s = &image->segments[i];
        if (h->e_phoff >= s->offset && h->e_phoff - s->offset < s->file_size) {
            image->phdr_vaddr = h->e_phoff - s->offset + s->vaddr;
            return;
        }
    }
}

int elf_parse(const struct elf_reader *reader, struct elf_image *image)
{
    Elf64_Ehdr h;
    int r = read_exact(reader, &h, sizeof h, 0);
    if (r == 0)
        r = header_check(&h);
    if (r < 0)
        return r;

    memset(image, 0, sizeof *image);
    image->dynamic = h.e_type == ET_DYN;
    image->entry = h.e_entry;
    image->phdr_count = h.e_phnum;
    image->low = UINT64_MAX;
    image->align = PAGE_SIZE;
    for (unsigned i = 0; i < h.e_phnum; i += PHDRS_PER_READ) {
        Elf64_Phdr p[PHDRS_PER_READ];
        unsigned count = MIN(h.e_phnum - i, (unsigned)PHDRS_PER_READ);
        if (h.e_phoff > INT64_MAX - 65536)
            return -ENOEXEC;
        r = read_exact(reader, p, count * sizeof p[0], h.e_phoff + i * sizeof p[0]);
        if (r == -EIO)
            r = -ENOEXEC;
        for (unsigned j = 0; r == 0 && j < count; j++)
            r = program_header(reader, image, &p[j]);
        if (r < 0)
            return r;
    }
    if (image->segment_count == 0)
        return -ENOEXEC;
    find_phdrs(image, &h);
    return 0;
}
