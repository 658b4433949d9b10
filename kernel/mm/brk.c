/* mmap, munmap, mprotect, brk: the system calls over map.c. */
#include <asm-generic/errno.h>
#include <linux/mman.h>
#include <linux/resource.h>

#include "kernel/fs/file.h"
#include "kernel/lib/printk.h"
#include "kernel/mm/pages.h"
#include "kernel/mm/shared.h"
#include "kernel/mm/vma.h"
#include "kernel/process/remote_ops.h"
#include "kernel/syscalls/syscall.h"

/* In a member it is a stand-in that can show and share pages, and no more. */
static int get_file(int fd, struct file **ret_file)
{
    if (!member_ops) {
        *ret_file = fd_get(fd);
        return *ret_file ? 0 : -EBADF;
    }
    return member_ops->file_get(fd, ret_file);
}

SYSCALL_DEFINE6(mmap, uaddr_t, addr, size_t, size, int, prot, int, flags, int, fd, file_off_t, offset)
{
    struct file *file = NULL;
    int64_t r;

    if (offset & (file_off_t)(PAGE_SIZE - 1))
        return -EINVAL;
    if (!(flags & MAP_ANONYMOUS)) {
        r = get_file(fd, &file);
        if (r < 0)
            return r;
    } else if ((flags & (MAP_TYPE | MAP_HUGETLB)) == MAP_SHARED && size > 0) {
        r = shared_anonymous(size, &file);
        if (r < 0)
            return r;
        offset = 0;
    }
    mm_wait_thaw();
    r = mm_map(addr, size, prot & (PROT_READ | PROT_WRITE | PROT_EXEC), flags, file, file ? offset : 0);
    if (file)
        file_put(file);
    return r;
}

SYSCALL_DEFINE2(munmap, uaddr_t, addr, size_t, size)
{
    int r;

    if (!(addr & (PAGE_SIZE - 1)) && addr + size > addr)
        shared_give_all(addr, ALIGN_UP(addr + size, PAGE_SIZE));
    mm_wait_thaw();
    r = mm_unmap(addr, size);
    if (r == 0)
        vma_merge_range(addr, addr + size);
    return r;
}

SYSCALL_DEFINE3(mprotect, uaddr_t, addr, size_t, size, int, prot)
{
    int grows = prot & (PROT_GROWSDOWN | PROT_GROWSUP);

    prot &= ~(PROT_GROWSDOWN | PROT_GROWSUP);
    mm_wait_thaw();
    if (grows == (PROT_GROWSDOWN | PROT_GROWSUP) || grows == PROT_GROWSUP)
        return -EINVAL;
    if (grows) {
        const struct vma *vma = mm_find_vma(addr);

        if (!vma || !(vma->flags & MAP_GROWSDOWN))
            return vma ? -EINVAL : -ENOMEM;
        size = ALIGN_UP(addr + size, PAGE_SIZE) - vma->start;
        addr = vma->start;
    }
    return mm_protect(addr, size, prot);
}

/* The break may go up to `end` as far as limits and neighbours are concerned. */
static bool brk_allowed(const struct mm *mm, uaddr_t end)
{
    uint64_t limit = mm_resource_limit(RLIMIT_DATA);
    const struct vma *above;

    if (limit != RLIM64_INFINITY && end - mm->brk_start > limit)
        return false;
    if (!mm_range_ok(mm->brk_start, end - mm->brk_start))
        return false;
    above = mm_find_vma_above(ALIGN_UP(mm->brk, PAGE_SIZE));
    return !above || ALIGN_UP(end, PAGE_SIZE) + PAGE_SIZE <= above->start ||
           (above->start < ALIGN_UP(mm->brk, PAGE_SIZE) && !vma_next((struct vma *)above));
}

SYSCALL_DEFINE1(brk, uaddr_t, end)
{
    struct mm *mm = mm_self();
    uaddr_t old_page = ALIGN_UP(mm->brk, PAGE_SIZE), new_page = ALIGN_UP(end, PAGE_SIZE);
    int64_t r;

    mm_wait_thaw();
    if (end < mm->brk_start || mm->brk_start == 0 || new_page < end)
        return (int64_t)mm->brk;
    if (new_page < old_page) {
        if (mm_unmap(new_page, old_page - new_page) < 0)
            return (int64_t)mm->brk;
    } else if (new_page > old_page) {
        if (!brk_allowed(mm, end))
            return (int64_t)mm->brk;
        r = mm_map(old_page, new_page - old_page, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, NULL, 0);
        if (r < 0)
            return (int64_t)mm->brk;
        mm_name(old_page, "[heap]");
        vma_merge_range(old_page, new_page);
    }
    mm->brk = end;
    return (int64_t)end;
}
