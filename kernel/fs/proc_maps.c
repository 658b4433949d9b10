/* /proc/PID/maps and smaps. */
#include <asm-generic/errno.h>
#include <linux/mman.h>

#include "kernel/fs/proc.h"
#include "kernel/lib/string.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/mm/pages.h"
#include "kernel/mm/vma.h"

#define NAME_COLUMN 73

/* One line of maps; smaps' begin with it too. */
static void show_vma(struct seq *seq, const struct vma *vma, char *path)
{
    const struct inode *inode = vma->file ? vma->file->inode : NULL;
    uint64_t dev = inode ? inode->sb->dev : 0;
    const char *name = vma->name;
    size_t start = seq->used;

    seq_printf(seq, "%08lx-%08lx %c%c%c%c %08lx %02x:%02x %lu ", (unsigned long)vma->start, (unsigned long)vma->end,
               vma->prot & PROT_READ ? 'r' : '-', vma->prot & PROT_WRITE ? 'w' : '-', vma->prot & PROT_EXEC ? 'x' : '-',
               vma->flags & MAP_SHARED ? 's' : 'p', vma->file ? (unsigned long)vma->offset : 0UL,
               (unsigned)(dev >> 8 & 0xfff), (unsigned)((dev & 0xff) | (dev >> 12 & 0xfff00)),
               inode ? (unsigned long)inode->ino : 0UL);
    if (!name && vma->file)
        name = file_path(vma->file, path, PAGE_SIZE);
    if (name) {
        while (!seq->failed && seq->used - start < NAME_COLUMN)
            seq_printf(seq, " ");
        /* A newline in a name would forge a line. */
        for (const char *c = name; *c; c++) {
            if (*c == '\n')
                seq_printf(seq, "\\012");
            else
                seq_write(seq, c, 1);
        }
    }
    seq_printf(seq, "\n");
}

static int show_each(struct seq *seq, void (*more)(struct seq *seq, const struct vma *vma))
{
    char *path = page_alloc();

    if (!path)
        return -12 /* ENOMEM */;
    for (struct vma *vma = vma_first(); vma; vma = vma_next(vma)) {
        show_vma(seq, vma, path);
        if (more)
            more(seq, vma);
    }
    page_free(path);
    return 0;
}

/* 1: it is here, go on. */
static int reach(struct seq *seq, const struct pseudo_ctx *ctx, const char *name, struct process **ret_process)
{
    int r = proc_inspect(ctx, ret_process);

    /* Who has the same memory needs no leave to look at it. */
    if (r != -ESRCH && proc_memory_here(*ret_process))
        return 1;
    return r < 0 ? r : proc_show_elsewhere(*ret_process, ctx, name, seq);
}

int proc_show_maps(struct seq *seq, const struct pseudo_ctx *ctx)
{
    struct process *process;
    int r = reach(seq, ctx, "maps", &process);

    if (r <= 0)
        return r;
    return show_each(seq, NULL);
}

static void show_sizes(struct seq *seq, unsigned long resident_kib, unsigned long anonymous_kib,
                       unsigned long locked_kib)
{
    const struct {
        const char *name;
        unsigned long kib;
    } rows[] = {
        {"Rss:", resident_kib},
        {"Pss:", resident_kib},
        {"Pss_Dirty:", anonymous_kib},
        {"Shared_Clean:", 0},
        {"Shared_Dirty:", 0},
        {"Private_Clean:", resident_kib - anonymous_kib},
        {"Private_Dirty:", anonymous_kib},
        {"Referenced:", resident_kib},
        {"Anonymous:", anonymous_kib},
        {"LazyFree:", 0},
        {"AnonHugePages:", 0},
        {"ShmemPmdMapped:", 0},
        {"FilePmdMapped:", 0},
        {"Shared_Hugetlb:", 0},
        {"Private_Hugetlb:", 0},
        {"Swap:", 0},
        {"SwapPss:", 0},
        {"Locked:", locked_kib},
    };

    for (size_t i = 0; i < ARRAY_COUNT(rows); i++)
        seq_printf(seq, "%-16s%8lu kB\n", rows[i].name, rows[i].kib);
}

static void show_vma_sizes(struct seq *seq, const struct vma *vma)
{
    unsigned long resident = pages_count_committed(vma->start, vma->end) * 4;

    seq_printf(seq, "%-16s%8lu kB\n%-16s%8lu kB\n%-16s%8lu kB\n", "Size:", (unsigned long)(vma->end - vma->start) >> 10,
               "KernelPageSize:", 4UL, "MMUPageSize:", 4UL);
    show_sizes(seq, resident, vma->file ? 0 : resident, vma->extra & VMA_LOCKED ? resident : 0);
    seq_printf(seq, "THPeligible:    0\nVmFlags:%s%s%s mr mw me%s%s%s\n", vma->prot & PROT_READ ? " rd" : "",
               vma->prot & PROT_WRITE ? " wr" : "", vma->prot & PROT_EXEC ? " ex" : "",
               vma->flags & MAP_GROWSDOWN ? " gd" : "", vma->extra & VMA_LOCKED ? " lo" : "",
               vma->extra & VMA_DONTFORK ? " dc" : "");
}

int proc_show_smaps(struct seq *seq, const struct pseudo_ctx *ctx)
{
    struct process *process;
    int r = reach(seq, ctx, "smaps", &process);

    return r <= 0 ? r : show_each(seq, show_vma_sizes);
}

int proc_show_smaps_rollup(struct seq *seq, const struct pseudo_ctx *ctx)
{
    struct vma *first = vma_first(), *last = RB_MAX(vma_tree, &mm_self()->vmas);
    struct proc_figures figures;
    struct process *process;
    int r = reach(seq, ctx, "smaps_rollup", &process);

    if (r <= 0 || !first)
        return r < 0 ? r : 0;
    r = proc_figures(process, 0, &figures);
    if (r < 0)
        return r;
    const struct proc_memory *memory = &figures.memory;
    seq_printf(seq, "%08lx-%08lx ---p 00000000 00:00 0 %*s[rollup]\n", (unsigned long)first->start,
               (unsigned long)last->end, 23, "");
    show_sizes(seq, memory->resident * 4, memory->anonymous * 4, memory->locked * 4);
    return 0;
}
