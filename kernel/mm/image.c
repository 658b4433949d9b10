/* fork's copy of an address space. Format and reader stand together: both ends are this file. */
#include "kernel/mm/image.h"

#include <asm-generic/errno.h>
#include <linux/mman.h>

#include "kernel/arch/rewrite.h"
#include "kernel/fs/file.h"
#include "kernel/lib/printk.h"
#include "kernel/lib/stream.h"
#include "kernel/lib/string.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/mm/pages.h"
#include "kernel/mm/shared.h"
#include "kernel/mm/touched.h"
#include "kernel/mm/vma.h"

#define RUN_MAX 512    /* pages of one record, which does not cross a multiple: the host may have large pages */
#define CHUNK_PAGES 16 /* that go through a buffer at a time */
#define FILES_MAX 65536
#define NO_FILE (~0U)

enum record_kind { RECORD_FILE = 1, RECORD_VMA, RECORD_PAGES, RECORD_END };

struct record {
    uint32_t kind;
    uint32_t size; /* RECORD_FILE: bytes that follow; RECORD_PAGES: pages that follow */
    union {
        struct {
            uint64_t start, end;
            int64_t offset;
            int32_t prot, flags;
            uint32_t extra, file, name, lost;
        } vma;
        struct {
            uint64_t start;
            uint64_t state;
        } pages;
        struct {
            uint64_t brk_start, brk, mmap_top, stack_top, vdso;
            uint64_t arg_start, arg_end, env_start, env_end, start_stack;
            uint64_t auxv_count;
        } mm; /* RECORD_END; auxv follows */
    };
};

static const char *const names[] = {NULL, "[stack]", "[heap]", "[vdso]", "[stubs]"};

static uint32_t name_number(const char *name)
{
    for (uint32_t i = 1; name && i < ARRAY_COUNT(names); i++)
        if (strcmp(name, names[i]) == 0)
            return i;
    return 0;
}

/* ---- memory that processes would have to share ---- */

static int lost_fault(struct vma *vma, uaddr_t page, bool write)
{
    (void)vma;
    (void)page;
    (void)write;
    return -EIO;
}

static const struct vma_ops lost_ops = {.fault = lost_fault};

/* A mapping of a device, or one that writes what others see. */
static bool is_lost(const struct vma *vma)
{
    if (vma->ops)
        return true;
    return (vma->flags & MAP_SHARED) && !shared_coherent(vma) && (!vma->file || (vma->prot & PROT_WRITE));
}

/* ---- save ---- */

struct known_file {
    struct file *file; /* not referenced: mappings do not change */
    bool own;          /* the reader has its pages */
};

struct saver {
    struct stream *stream;
    struct image_files *files;
    struct known_file *known; /* by number */
    uint32_t count, capacity;
    bool rewritten; /* rewritten text was sent, which needs its stubs */
    uint8_t *buf;   /* CHUNK_PAGES */
};

static int save_file(struct saver *s, struct file *file, uint32_t *ret_number)
{
    struct record record = {.kind = RECORD_FILE};
    bool own = false;
    ssize_t size;
    int r;

    for (uint32_t i = s->count; i-- > 0;) /* the newest is the likeliest */
        if (s->known[i].file == file) {
            *ret_number = i;
            return 0;
        }
    if (s->count == s->capacity) {
        uint32_t capacity = s->capacity ? 2 * s->capacity : 64;
        struct known_file *known = krealloc(s->known, capacity * sizeof(struct known_file));

        if (!known || s->count == FILES_MAX)
            return -ENOMEM;
        s->known = known;
        s->capacity = capacity;
    }
    size = s->files->describe(s->files, file, s->buf, &own);
    if (size < 0)
        return (int)size;
    record.size = (uint32_t)size;
    r = stream_write(s->stream, &record, sizeof record);
    if (r == 0)
        r = stream_write(s->stream, s->buf, (size_t)size);
    s->known[s->count] = (struct known_file){file, own};
    *ret_number = s->count++;
    return r;
}

static bool page_is_zero(uaddr_t page)
{
    const uint64_t *words = (const uint64_t *)page;

    for (size_t i = 0; i < PAGE_SIZE / sizeof *words; i += 4)
        if (words[i] | words[i + 1] | words[i + 2] | words[i + 3])
            return false;
    return true;
}

/* A call site across two pages is rewritten in both: one of them alone is of no use. */
static bool stands_alone(uaddr_t page)
{
    return !(page_state(page) & PAGE_REWRITTEN) || !(rewrite_straddles(page) || rewrite_straddles(page + PAGE_SIZE));
}

/*
 * Nothing to send: it would be made zero when touched, or read from its file, which costs the reader more than it takes
 * to send what it will touch. Without EDMM nothing comes by faults.
 */
static bool skip_page(const struct vma *vma, uaddr_t page, bool own)
{
    if (vma->file)
        return own && (page_state(page) & PAGE_CLEAN) && pages_edmm() && !(touched_wanted(page) && stands_alone(page));
    return (page_state(page) & PAGE_R) && page_is_zero(page);
}

static int send_pages(struct saver *s, uaddr_t start, uaddr_t end, uint8_t state)
{
    struct record record = {
        .kind = RECORD_PAGES, .size = (uint32_t)((end - start) / PAGE_SIZE), .pages = {.start = start, .state = state}};
    int r = stream_write(s->stream, &record, sizeof record);

    if (r < 0 || (state & PAGE_R))
        return r < 0 ? r : stream_write(s->stream, (const void *)start, end - start);
    /* PROT_NONE: readable for a moment, in which nobody else runs. */
    for (uaddr_t page = start; page < end && r == 0; page += PAGE_SIZE) {
        pages_set_rights(page, page + PAGE_SIZE, PAGE_R);
        memcpy(s->buf, (const void *)page, PAGE_SIZE);
        pages_set_rights(page, page + PAGE_SIZE, 0);
        r = stream_write(s->stream, s->buf, PAGE_SIZE);
    }
    return r;
}

#define SENT_STATE (PAGE_COMMITTED | PAGE_RIGHTS | PAGE_REWRITTEN | PAGE_CLEAN)

static int save_pages(struct saver *s, const struct vma *vma, uaddr_t start, uaddr_t end, bool own)
{
    uaddr_t run, next;
    int r = 0;

    for (run = pages_next_committed(start, end); run < end && r == 0; run = pages_next_committed(next, end)) {
        uint8_t state = page_state(run) & SENT_STATE;

        next = run + PAGE_SIZE;
        if (skip_page(vma, run, own))
            continue;
        while (next < end && next % (RUN_MAX * PAGE_SIZE) != 0 && (page_state(next) & SENT_STATE) == state &&
               !skip_page(vma, next, own))
            next += PAGE_SIZE;
        s->rewritten |= (state & PAGE_REWRITTEN) != 0;
        r = send_pages(s, run, next, state);
    }
    return r;
}

static int save_vma(struct saver *s, const struct vma *vma)
{
    bool lost = is_lost(vma), shared = vma->flags & MAP_SHARED;
    struct record record = {.kind = RECORD_VMA,
                            .vma = {.start = vma->start,
                                    .end = vma->end,
                                    .offset = vma->offset,
                                    .prot = vma->prot,
                                    .flags = vma->flags,
                                    .extra = vma->extra & ~(unsigned)VMA_LOCKED,
                                    .file = NO_FILE,
                                    .name = name_number(vma->name),
                                    .lost = lost}};
    int r = 0;

    if (vma->file && !lost)
        r = save_file(s, vma->file, &record.vma.file);
    if (r == 0)
        r = stream_write(s->stream, &record, sizeof record);
    /* What is shared is read from its file again. A stack may have grown since. */
    if (r == 0 && !lost && !shared && !(vma->extra & VMA_WIPEONFORK))
        r = save_pages(s, vma, record.vma.start, record.vma.end,
                       record.vma.file != NO_FILE && s->known[record.vma.file].own);
    return r;
}

/* Faults of other threads add stubs while this sleeps, never text that was already sent: so stubs come last. */
static int save_vmas(struct saver *s, bool pinned)
{
    struct vma *vma;
    uaddr_t at = 0;
    int r = 0;

    while (r == 0 && (vma = mm_find_vma_above(at)) != NULL) {
        at = vma->end;
        if (!(vma->extra & VMA_DONTFORK) && !(vma->extra & VMA_PINNED) == !pinned)
            r = save_vma(s, vma);
    }
    return r;
}

static int save_end(struct saver *s)
{
    const struct mm *mm = mm_self();
    struct record record = {.kind = RECORD_END,
                            .mm = {mm->brk_start, mm->brk, mm->mmap_top, mm->stack_top, mm->vdso, mm->arg_start,
                                   mm->arg_end, mm->env_start, mm->env_end, mm->start_stack, mm->auxv_count}};
    int r = stream_write(s->stream, &record, sizeof record);

    return r < 0 ? r : stream_write(s->stream, mm->auxv, sizeof mm->auxv);
}

int image_save(struct stream *stream, struct image_files *files)
{
    struct saver s = {.stream = stream, .files = files, .buf = page_alloc_many(CHUNK_PAGES)};
    int r = s.buf ? 0 : -ENOMEM;

    mm_freeze();
    if (r == 0)
        r = save_vmas(&s, false);
    if (r == 0 && s.rewritten)
        r = save_vmas(&s, true);
    if (r == 0)
        r = save_end(&s);
    if (r == 0)
        r = rewrite_save(stream, s.rewritten);
    mm_thaw();
    touched_age();
    kfree(s.known);
    if (s.buf)
        page_free_many(s.buf, CHUNK_PAGES);
    return r;
}

/* ---- load ---- */

struct loader {
    struct stream *stream;
    struct image_files *files;
    struct file **known; /* by number; referenced */
    uint32_t count, capacity;
    uint8_t *buf; /* CHUNK_PAGES */
};

static int load_file(struct loader *l, const struct record *record)
{
    int r;

    if (record->size > IMAGE_FILE_MAX || l->count == FILES_MAX)
        return -EPROTO;
    if (l->count == l->capacity) {
        uint32_t capacity = l->capacity ? 2 * l->capacity : 64;
        struct file **known = krealloc(l->known, capacity * sizeof(struct file *));

        if (!known)
            return -ENOMEM;
        l->known = known;
        l->capacity = capacity;
    }
    r = stream_read(l->stream, l->buf, record->size);
    if (r == 0)
        r = l->files->open(l->files, l->buf, record->size, &l->known[l->count]);
    if (r == 0)
        l->count++;
    return r;
}

static int load_vma(struct loader *l, const struct record *record)
{
    struct vma template = {.start = record->vma.start,
                           .end = record->vma.end,
                           .prot = record->vma.prot,
                           .flags = record->vma.flags,
                           .offset = record->vma.offset,
                           .extra = record->vma.extra,
                           .ops = record->vma.lost ? &lost_ops : NULL};
    struct vma *vma;

    if (((template.start | template.end) & (PAGE_SIZE - 1)) || template.start >= template.end ||
        !mm_range_ok(template.start, template.end - template.start) ||
        (template.prot & ~(PROT_READ | PROT_WRITE | PROT_EXEC)) || template.offset < 0 ||
        template.offset > INT64_MAX - (int64_t)(template.end - template.start) ||
        (template.offset & (file_off_t)(PAGE_SIZE - 1)) || !vma_range_free(template.start, template.end) ||
        record->vma.name >= ARRAY_COUNT(names) || mm_self()->vma_count >= VMA_COUNT_MAX ||
        (record->vma.file != NO_FILE && record->vma.file >= l->count))
        return -EPROTO;
    template.name = names[record->vma.name];
    if (record->vma.file != NO_FILE)
        template.file = l->known[record->vma.file];
    if (template.file && (template.flags & MAP_SHARED) && (template.prot & PROT_WRITE) &&
        (!file_writable(template.file) || !shared_coherent(&template)))
        return -EPROTO;
    vma = vma_insert(&template);
    if (!vma)
        return -ENOMEM;
    return vma->file ? shared_attach(vma) : 0;
}

/* Writable pages are read straight into place; others get there whole, with their final rights. */
static int load_chunk(struct loader *l, uaddr_t start, size_t count, unsigned rights)
{
    size_t size = count * PAGE_SIZE;
    int r;

    if (rights & PAGE_W) {
        r = rights & PAGE_X ? pages_commit_all_rights(start, count) : pages_commit(start, count);
        if (r == 0)
            r = stream_read(l->stream, (void *)start, size);
        if (r == 0 && rights != (PAGE_R | PAGE_W))
            pages_set_rights(start, start + size, rights);
        return r;
    }
    r = stream_read(l->stream, l->buf, size);
    if (r == 0)
        r = pages_commit_copy(start, count, l->buf, rights | PAGE_R);
    if (r == 0 && !(rights & PAGE_R))
        pages_set_rights(start, start + size, rights);
    return r;
}

static int load_pages(struct loader *l, const struct record *record)
{
    uaddr_t start = record->pages.start, end = start + (uint64_t)record->size * PAGE_SIZE;
    unsigned rights = record->pages.state & PAGE_RIGHTS;
    uint8_t flags = record->pages.state & (rights & PAGE_W ? PAGE_REWRITTEN : PAGE_REWRITTEN | PAGE_CLEAN);
    const struct vma *vma;
    int r = 0;

    if ((start & (PAGE_SIZE - 1)) || record->size == 0 || record->size > RUN_MAX || end > pages_backed_end())
        return -EPROTO;
    vma = mm_find_vma(start);
    if (!vma || end > vma->end || pages_next_committed(start, end) != end)
        return -EPROTO;
    while (start < end && r == 0) {
        size_t count = MIN((end - start) / PAGE_SIZE, (size_t)(rights & PAGE_W ? RUN_MAX : CHUNK_PAGES));

        r = load_chunk(l, start, count, rights);
        for (size_t i = 0; r == 0 && flags && i < count; i++)
            page_state_set(start + i * PAGE_SIZE, flags);
        start += count * PAGE_SIZE;
    }
    return r;
}

/* Where the kernel itself will put or unmap something; the others are only shown. */
static bool end_ok(const struct record *record)
{
    return record->mm.auxv_count <= MM_AUXV_MAX && record->mm.brk_start <= record->mm.brk &&
           (record->mm.brk_start == 0 || mm_range_ok(record->mm.brk_start, record->mm.brk - record->mm.brk_start)) &&
           mm_range_ok(record->mm.mmap_top, 0) && record->mm.mmap_top % PAGE_SIZE == 0;
}

static int load_end(struct loader *l, const struct record *record)
{
    struct mm *mm = mm_self();

    if (!end_ok(record))
        return -EPROTO;
    mm->brk_start = record->mm.brk_start;
    mm->brk = record->mm.brk;
    mm->mmap_top = record->mm.mmap_top;
    mm->stack_top = record->mm.stack_top;
    mm->vdso = record->mm.vdso;
    mm->arg_start = record->mm.arg_start;
    mm->arg_end = record->mm.arg_end;
    mm->env_start = record->mm.env_start;
    mm->env_end = record->mm.env_end;
    mm->start_stack = record->mm.start_stack;
    mm->auxv_count = record->mm.auxv_count;
    return stream_read(l->stream, mm->auxv, sizeof mm->auxv);
}

static int load_records(struct loader *l)
{
    struct record record;
    int r;

    for (;;) {
        r = stream_read(l->stream, &record, sizeof record);
        if (r < 0)
            return r;
        switch (record.kind) {
        case RECORD_FILE:
            r = load_file(l, &record);
            break;
        case RECORD_VMA:
            r = load_vma(l, &record);
            break;
        case RECORD_PAGES:
            r = load_pages(l, &record);
            break;
        case RECORD_END:
            return load_end(l, &record);
        default:
            return -EPROTO;
        }
        if (r < 0)
            return r;
    }
}

/* Text that was not sent is rewritten when it is read, with new stubs. */
static bool is_absent(uaddr_t site)
{
    return !(page_state(site) & PAGE_COMMITTED);
}

int image_load(struct stream *stream, struct image_files *files)
{
    struct loader l = {.stream = stream, .files = files, .buf = page_alloc_many(CHUNK_PAGES)};
    int r = l.buf ? load_records(&l) : -ENOMEM;

    if (r == 0)
        r = rewrite_load(stream);
    if (r == 0)
        rewrite_forget_if(is_absent);
    for (uint32_t i = 0; i < l.count; i++)
        file_put(l.known[i]);
    kfree(l.known);
    if (l.buf)
        page_free_many(l.buf, CHUNK_PAGES);
    return r;
}
