/* Making, changing and dropping mappings. */
#include <asm-generic/errno.h>
#include <linux/fcntl.h>
#include <linux/mman.h>
#include <linux/resource.h>
#include <linux/stat.h>

#include "kernel/arch/rewrite.h"
#include "kernel/boot/boot.h"
#include "kernel/fs/file.h"
#include "kernel/fs/vfs.h"
#include "kernel/lib/printk.h"
#include "kernel/lib/random.h"
#include "kernel/lib/string.h"
#include "kernel/mm/debugger.h"
#include "kernel/mm/expected.h"
#include "kernel/mm/pages.h"
#include "kernel/mm/shared.h"
#include "kernel/mm/touched.h"
#include "kernel/mm/vma.h"
#include "kernel/process/process.h"

#define STACK_RANDOM_PAGES 0x4000 /* 64 MiB */
#define MMAP_RANDOM_PAGES 0x40000 /* 1 GiB */
#define STACK_ROOM (256UL << 20)  /* between the top of the stack and that of mappings */
#define LEGACY_FLAGS                                                                                                   \
    (MAP_SHARED | MAP_PRIVATE | MAP_FIXED | MAP_ANONYMOUS | MAP_DENYWRITE | MAP_EXECUTABLE | MAP_UNINITIALIZED |       \
     MAP_GROWSDOWN | MAP_LOCKED | MAP_NORESERVE | MAP_POPULATE | MAP_NONBLOCK | MAP_STACK | MAP_HUGETLB | MAP_32BIT)
/* What a VMA remembers of the flags. */
#define KEPT_FLAGS (MAP_TYPE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_GROWSDOWN | MAP_STACK)

static struct mm the_mm;
static bool keep_layout;
static uint64_t elrange_size;
static uaddr_t low_end; /* of application memory below the kernel */

struct mm *mm_self(void)
{
    return &the_mm;
}

void mm_keep_layout(void)
{
    keep_layout = true;
}

uint64_t mm_layout_random(enum mm_layout what)
{
    static uint64_t drawn[MM_LAYOUT_COUNT];

    if (!drawn[what] || !keep_layout)
        drawn[what] = random_u64() | 1ULL << 63;
    return drawn[what];
}

static void choose_layout(void)
{
    uaddr_t top = MIN(low_end, pages_backed_end());
    bool roomy = top >= 8UL << 30;

    if (pages_edmm() && roomy)
        top -= mm_layout_random(MM_LAYOUT_STACK) % STACK_RANDOM_PAGES * PAGE_SIZE;
    the_mm.stack_top = top;
    top -= roomy ? STACK_ROOM : MIN(16UL << 20, top / 8);
    if (pages_edmm() && roomy)
        top -= mm_layout_random(MM_LAYOUT_MAPPINGS) % MMAP_RANDOM_PAGES * PAGE_SIZE;
    the_mm.mmap_top = ALIGN_DOWN(top, PAGE_SIZE);
}

void mm_init(void)
{
    elrange_size = policy()->elrange_size;
    low_end = MIN(KERNEL_BASE, elrange_size);
    RB_INIT(&the_mm.vmas);
    pages_init(elrange_size, policy_allows(POLICY_EDMM), policy()->memory_size);
    choose_layout();
}

bool mm_range_ok(uaddr_t addr, size_t size)
{
    if (addr >= USER_BASE && addr <= low_end && size <= low_end - addr)
        return true;
    return addr >= KERNEL_END && addr <= elrange_size && size <= elrange_size - addr;
}

uint64_t mm_free_bytes(void)
{
    return pages_available() * PAGE_SIZE;
}

uint64_t mm_resource_limit(int resource)
{
    return process_self()->limits[resource].rlim_cur;
}

uint64_t mm_mapped_bytes(void)
{
    uint64_t total = 0;

    for (struct vma *vma = vma_first(); vma; vma = vma_next(vma))
        total += vma->end - vma->start;
    return total;
}

int mm_may_map(size_t size)
{
    uint64_t limit = mm_resource_limit(RLIMIT_AS);

    if (the_mm.vma_count >= VMA_COUNT_MAX)
        return -ENOMEM;
    if (limit != RLIM64_INFINITY && mm_mapped_bytes() + size > limit)
        return -ENOMEM;
    return 0;
}

uaddr_t mm_find_place(size_t size, int prot, int flags)
{
    uaddr_t high = MIN(the_mm.mmap_top, pages_backed_end()), place = 0;

    if (flags & MAP_32BIT) {
        place = vma_find_gap(1UL << 30, MIN(1UL << 31, pages_backed_end()), size);
        return place || pages_edmm() ? place : vma_find_gap(USER_BASE, MIN(1UL << 31, pages_backed_end()), size);
    }
    /*
     * Without EDMM only part of the address space can ever hold pages. A reservation goes there, since it may be made
     * accessible piece by piece, unless it would leave hardly any room for others.
     */
    if (pages_edmm() || prot != PROT_NONE || vma_find_gap(USER_BASE, high, size + pages_backed_end() / 8))
        place = vma_find_gap(USER_BASE, high, size);
    if (!place && pages_edmm())
        place = vma_find_gap(USER_BASE, low_end, size);
    if (!place && !pages_edmm() && prot == PROT_NONE)
        place = vma_find_gap(pages_backed_end(), low_end, size);
    if (!place && elrange_size > KERNEL_END && (pages_edmm() || prot == PROT_NONE))
        place = vma_find_gap(KERNEL_END, elrange_size, size);
    return place;
}

/* MAP_FIXED may not take what the kernel keeps for itself. */
static bool range_pinned(uaddr_t start, uaddr_t end)
{
    for (const struct vma *vma = mm_find_vma_above(start); vma && vma->start < end; vma = vma_next((struct vma *)vma))
        if (vma->extra & VMA_PINNED)
            return true;
    return false;
}

static int64_t choose_place(uaddr_t addr, size_t size, int prot, int flags)
{
    uaddr_t place;

    if (flags & (MAP_FIXED | MAP_FIXED_NOREPLACE)) {
        if (addr & (PAGE_SIZE - 1))
            return -EINVAL;
        if (addr < USER_BASE)
            return -EPERM;
        if (!mm_range_ok(addr, size) || (prot != PROT_NONE && addr + size > pages_backed_end()))
            return -ENOMEM;
        if ((flags & MAP_FIXED_NOREPLACE) && !vma_range_free(addr, addr + size))
            return -EEXIST;
        return range_pinned(addr, addr + size) ? -ENOMEM : (int64_t)addr;
    }
    addr = ALIGN_DOWN(addr, PAGE_SIZE);
    if (addr >= USER_BASE && mm_range_ok(addr, size) && vma_range_free(addr, addr + size) &&
        (prot == PROT_NONE || addr + size <= pages_backed_end()))
        return (int64_t)addr;
    place = mm_find_place(size, prot, flags);
    return place ? (int64_t)place : -ENOMEM;
}

static int check_flags(int flags, const struct file *file)
{
    switch (flags & MAP_TYPE) {
    case MAP_SHARED_VALIDATE:
        if (flags & ~(LEGACY_FLAGS | MAP_SHARED_VALIDATE | MAP_FIXED_NOREPLACE))
            return -EOPNOTSUPP;
        break;
    case MAP_SHARED:
    case MAP_PRIVATE:
        break;
    default:
        return -EINVAL;
    }
    /* There are no huge pages to have, as on a machine with vm.nr_hugepages = 0. */
    if (flags & MAP_HUGETLB)
        return file ? -EINVAL : -ENOMEM;
    return 0;
}

static int check_file(const struct file *file, int prot, int flags)
{
    if (!file_readable(file))
        return -EACCES;
    if ((flags & MAP_TYPE) != MAP_PRIVATE && (prot & PROT_WRITE) && !file_writable(file))
        return -EACCES;
    if ((flags & MAP_TYPE) != MAP_PRIVATE && (prot & PROT_WRITE) && inode_write_sealed(file->inode))
        return -EPERM;
    if (flags & MAP_GROWSDOWN)
        return -EINVAL;
    if (!(file->ops && file->ops->mmap) && !(file->inode->ops && file->inode->ops->read_page))
        return -ENODEV;
    if ((flags & MAP_TYPE) != MAP_PRIVATE && (prot & PROT_WRITE) && !(file->ops && file->ops->mmap) &&
        !file->inode->ops->write_page)
        return -ENODEV;
    return 0;
}

static int64_t insert_mapping(struct vma *template)
{
    struct vma *vma = vma_insert(template);
    int r = 0;

    if (!vma)
        return -ENOMEM;
    if (vma->file && vma->file->ops && vma->file->ops->mmap)
        r = vma->file->ops->mmap(vma->file, vma);
    /* A device may have made it anonymous memory. */
    if (r == 0 && vma->file && !vma->ops)
        r = shared_attach(vma);
    if (r < 0) {
        vma_delete(vma);
        return r;
    }
    return 0;
}

int64_t mm_map(uaddr_t addr, size_t size, int prot, int flags, struct file *file, file_off_t offset)
{
    struct vma template = {.prot = prot, .file = file, .offset = offset};
    int64_t place, r;

    if (size == 0)
        return -EINVAL;
    size = ALIGN_UP(size, PAGE_SIZE);
    if (size == 0 || size > elrange_size)
        return -ENOMEM;
    r = check_flags(flags, file);
    if (r < 0)
        return r;
    if (file && (uint64_t)offset + size < (uint64_t)offset)
        return -EOVERFLOW;
    r = mm_may_map(size);
    if (r < 0)
        return r;
    place = choose_place(addr, size, prot, flags);
    if (place < 0)
        return place;
    r = file ? check_file(file, prot, flags) : 0;
    if (r < 0)
        return r;
    if (flags & MAP_FIXED) {
        r = mm_unmap((uaddr_t)place, size);
        if (r < 0)
            return r;
    }
    template.start = (uaddr_t)place;
    template.end = template.start + size;
    template.flags = (flags & KEPT_FLAGS & ~MAP_TYPE) | ((flags & MAP_TYPE) == MAP_PRIVATE ? MAP_PRIVATE : MAP_SHARED);
    if (flags & MAP_LOCKED)
        template.extra |= VMA_LOCKED;
    r = insert_mapping(&template);
    if (r < 0)
        return r;
    if (!pages_edmm() || (flags & (MAP_POPULATE | MAP_LOCKED))) {
        struct vma *vma = mm_find_vma(template.start);

        r = prot == PROT_NONE ? 0 : vma_populate(vma, vma->start, vma->end, 0);
        if (r < 0 && !pages_edmm()) {
            mm_unmap(template.start, size);
            return r;
        }
    }
    if (file)
        expected_bring_in(mm_find_vma(template.start));
    if (prot & PROT_EXEC)
        debugger_map(mm_find_vma(template.start));
    vma_merge_range(template.start, template.end);
    return place;
}

int mm_unmap(uaddr_t addr, size_t size)
{
    uaddr_t end;
    struct vma *vma;
    int r;

    if ((addr & (PAGE_SIZE - 1)) || size == 0 || size > elrange_size)
        return -EINVAL;
    size = ALIGN_UP(size, PAGE_SIZE);
    end = addr + size;
    /* Elsewhere nothing can be mapped, so there is nothing to do: as Linux. */
    if (addr < USER_BASE || end < addr || end > elrange_size)
        return end < addr ? -EINVAL : 0;
    r = vma_isolate(addr, end);
    if (r < 0)
        return r;
    vma = mm_find_vma_above(addr);
    while (vma && vma->start < end) {
        struct vma *next = vma_next(vma);

        if (!(vma->extra & VMA_PINNED)) {
            vma_zap(vma, vma->start, vma->end);
            if (vma->file && !vma->ops)
                shared_detach(vma);
            if (vma->extra & VMA_LOCKED)
                the_mm.locked_pages -= MIN(the_mm.locked_pages, (vma->end - vma->start) / PAGE_SIZE);
            vma_delete(vma);
        }
        vma = next;
    }
    return 0;
}

static int protect_vma(struct vma *vma, int prot)
{
    unsigned rights = vma_rights(prot);
    int r;

    if (vma->extra & VMA_PINNED)
        return -EACCES;
    if (vma->file && (vma->flags & MAP_SHARED) && (prot & PROT_WRITE) && !file_writable(vma->file))
        return -EACCES;
    if (rights && vma->end > pages_backed_end())
        return -ENOMEM;
    if ((prot & PROT_EXEC) && !(vma->prot & PROT_EXEC))
        vma_rewrite(vma, vma->start, vma->end);
    vma->prot = prot;
    if (shared_coherent(vma))
        shared_set_rights(vma, rights);
    else
        pages_set_rights(vma->start, vma->end, rights);
    if (!pages_edmm() && rights) {
        r = vma_populate(vma, vma->start, vma->end, 0);
        if (r < 0)
            return r;
    }
    if (prot & PROT_EXEC)
        debugger_map(vma);
    return 0;
}

int mm_protect(uaddr_t addr, size_t size, int prot)
{
    uaddr_t end = addr + ALIGN_UP(size, PAGE_SIZE), done = addr;
    struct vma *vma;
    int r;

    if ((addr & (PAGE_SIZE - 1)) || (prot & ~(PROT_READ | PROT_WRITE | PROT_EXEC)))
        return -EINVAL;
    if (size == 0)
        return 0;
    if (end <= addr)
        return -ENOMEM;
    if (!mm_find_vma(addr))
        return -ENOMEM;
    r = vma_isolate(addr, end);
    for (vma = mm_find_vma(addr); r == 0 && vma && vma->start == done && done < end; vma = vma_next(vma)) {
        if (vma->prot != prot)
            r = protect_vma(vma, prot);
        if (r == 0)
            done = vma->end;
    }
    vma_merge_range(addr, end);
    if (r < 0)
        return r;
    return done < end ? -ENOMEM : 0;
}

void mm_reset(void)
{
    struct vma *vma, *next;

    rewrite_forget(USER_BASE, KERNEL_BASE - USER_BASE);
    pages_age_idle();
    for (vma = vma_first(); vma; vma = next) {
        next = vma_next(vma);
        vma_zap(vma, vma->start, vma->end);
        if (vma->file && !vma->ops)
            shared_detach(vma);
        vma_delete(vma);
    }
    the_mm.brk_start = the_mm.brk = 0;
    the_mm.vdso = 0;
    the_mm.arg_start = the_mm.arg_end = the_mm.env_start = the_mm.env_end = 0;
    the_mm.locked_pages = 0;
    touched_stop();
    touched_forget();
    expected_start();
    choose_layout();
}

void mm_renew(void)
{
    pages_leave_open();
    mm_reset();
    the_mm.committed_pages_max = the_mm.committed_pages;
    the_mm.auxv_count = 0;
    the_mm.start_stack = 0;
}

void mm_set_brk(uaddr_t start)
{
    the_mm.brk_start = the_mm.brk = ALIGN_UP(start, PAGE_SIZE);
}

void mm_name(uaddr_t start, const char *name)
{
    struct vma *vma = mm_find_vma(start);

    if (vma)
        vma->name = name;
}

#define STUB_AREA_SIZE 0x4000UL
#define STUB_REACH (1UL << 30)

uaddr_t mm_stub_area(uaddr_t near, size_t *ret_size)
{
    uaddr_t low = near > STUB_REACH ? near - STUB_REACH : USER_BASE;
    uaddr_t limit = MIN(low_end, pages_backed_end()), high = MIN(near + STUB_REACH, limit);
    /* Below first: the heap grows above a program. */
    uaddr_t place = vma_find_gap(MAX(low, USER_BASE), MIN(near, high), STUB_AREA_SIZE);
    struct vma template = {.prot = PROT_READ | PROT_EXEC, .flags = MAP_PRIVATE | MAP_ANONYMOUS, .extra = VMA_PINNED};

    if (!place && near < high)
        place = vma_find_gap(near, high, STUB_AREA_SIZE);
    if (!place)
        return 0;
    template.start = place;
    template.end = place + STUB_AREA_SIZE;
    template.name = "[stubs]";
    /* The kernel writes here for ever, and there is one set of rights: those of both. */
    if (pages_commit_all_rights(place, STUB_AREA_SIZE / PAGE_SIZE) < 0)
        return 0;
    if (!vma_insert(&template)) {
        pages_decommit(place, place + STUB_AREA_SIZE);
        return 0;
    }
    *ret_size = STUB_AREA_SIZE;
    return place;
}
