/*
 * A fork's copy of an address space, as it comes by a stream: the input is the stream. Nothing outside application
 * memory is touched, neither by loading it nor by what the process does with it afterwards.
 *
 * fuzz-sources: tests/unit/mm_machine.c tests/unit/mm_memory.c kernel/mm/brk.c kernel/mm/commit.c kernel/mm/fault.c
 * fuzz-sources: kernel/mm/image.c kernel/mm/madvise.c kernel/mm/map.c kernel/mm/mremap.c kernel/mm/page_state.c
 * fuzz-sources: kernel/mm/shared.c kernel/mm/vma.c kernel/mm/debugger.c kernel/mm/expected.c kernel/mm/touched.c
 * fuzz-flags: -DCOFRE_HOSTED -Wno-unused-parameter
 */
#include <linux/errno.h>
#include <linux/mman.h>

#include "kernel/fs/file.h"
#include "kernel/lib/stream.h"
#include "kernel/lib/string.h"
#include "kernel/mm/image.h"
#include "kernel/mm/vma.h"
#include "kernel/syscalls/syscall.h"
#include "tests/unit/mm_machine.h"

SYSCALL_PROLOGUE_(brk)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const uint8_t *at;
static size_t left;

/* Pages are given by their first bytes, so that an input of some lines can be an address space. */
static int take(struct stream *stream, void *data, size_t size)
{
    size_t n = MIN(size, left), first = size >= PAGE_SIZE ? MIN(n, 8UL) : n;

    if (left == 0 || (size < PAGE_SIZE && n < size))
        return -EPIPE;
    memset(data, 0, size);
    memcpy(data, at, first);
    at += first;
    left -= first;
    return 0;
}

static struct stream stream = {.read = take};

static int read_page(struct inode *inode, uint64_t index, void *page)
{
    memset(page, (int)index, PAGE_SIZE);
    return 0;
}

static const struct inode_ops inode_ops = {.read_page = read_page};
static struct inode inode = {.ops = &inode_ops, .size = 1 << 20, .mode = 0100644, .refcount = 1};
static struct file file = {.inode = &inode, .refcount = 1};

static int open_file(struct image_files *files, const void *buf, size_t size, struct file **ret_file)
{
    *ret_file = file_get(&file);
    return size % 2 ? -EPROTO : 0;
}

static struct image_files files = {.open = open_file};

static void check_new_mapping(size_t size)
{
    int64_t place = mm_map(0, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, NULL, 0);

    if (place > 0 && (!mm_range_ok((uaddr_t)place, size) || machine_touch((uaddr_t)place, true, &(uint8_t){1}) != 0))
        __builtin_trap();
}

static void check_break(void)
{
    struct trap_frame frame = {.rdi = mm_self()->brk + PAGE_SIZE};

    if (sys_brk(&frame) == (int64_t)frame.rdi && machine_touch(frame.rdi - 1, true, &(uint8_t){1}) != 0)
        __builtin_trap();
    frame.rdi = mm_self()->brk_start;
    sys_brk(&frame);
}

/* Every page that is mapped does as its rights say, or is a signal. */
static void touch_all(void)
{
    unsigned count = 0;

    for (struct vma *vma = vma_first(), *next; vma && count < 64; vma = next, count++) {
        uint8_t value;

        next = vma_next(vma);
        machine_touch(vma->start, false, &value);
        machine_touch(vma->end - 1, true, &value);
    }
}

static void run(void)
{
    if (image_load(&stream, &files) == 0) {
        check_new_mapping(PAGE_SIZE);
        check_new_mapping(64 * PAGE_SIZE);
        check_break();
        touch_all();
    }
    mm_reset();
    file.refcount = inode.refcount = 1;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool done;

    if (!done)
        machine_init(true, 64UL << 20);
    done = true;
    at = data;
    left = size;
    if (machine_dies(run))
        __builtin_trap();
    return 0;
}
