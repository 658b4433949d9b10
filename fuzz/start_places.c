/*
 * What the host remembers of a start (abi/start.h): the input is where a file is mapped, and how, and then the area.
 * Whatever it says, the mapping has its file's pages, those that come early are within it, and it can be used.
 *
 * fuzz-sources: tests/unit/mm_machine.c tests/unit/mm_memory.c kernel/mm/brk.c kernel/mm/commit.c kernel/mm/fault.c
 * fuzz-sources: kernel/mm/image.c kernel/mm/madvise.c kernel/mm/map.c kernel/mm/mremap.c kernel/mm/page_state.c
 * fuzz-sources: kernel/mm/shared.c kernel/mm/vma.c kernel/mm/debugger.c kernel/mm/expected.c kernel/mm/touched.c
 * fuzz-flags: -DCOFRE_HOSTED -Wno-unused-parameter
 */
#include <linux/mman.h>

#include "abi/start.h"
#include "kernel/fs/file.h"
#include "kernel/lib/string.h"
#include "kernel/mm/expected.h"
#include "kernel/mm/mm.h"
#include "tests/unit/mm_machine.h"

#define PAGES_MAX 64
#define AT 0x4000000UL

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct start_area area;
static uint8_t where, pages, prot;

/* Runs of 32 pages change places; what is at the end is nowhere by itself. */
static int64_t root_block(struct inode *inode, uint64_t index)
{
    return index < 192 ? (int64_t)(index ^ 32) : -1;
}

static int read_page(struct inode *inode, uint64_t index, void *page)
{
    memset(page, (int)(index % 16), PAGE_SIZE);
    return 0;
}

static const struct inode_ops inode_ops = {.read_page = read_page, .root_block = root_block};
static struct inode inode = {.ops = &inode_ops, .size = 256 * PAGE_SIZE, .mode = 0100644, .refcount = 1};
static struct file file = {.inode = &inode, .refcount = 1};

static void run(void)
{
    uint64_t count = 1 + pages % PAGES_MAX, index = where;
    uint8_t value;

    expected_init(&(struct boot_blob){(uint64_t)&area, sizeof area});
    if (mm_map(AT, count * PAGE_SIZE, PROT_READ | prot % 8, MAP_PRIVATE | MAP_FIXED, &file,
               (file_off_t)(index * PAGE_SIZE)) != AT)
        __builtin_trap();
    if (pages_count_committed(AT, AT + count * PAGE_SIZE) != mm_self()->committed_pages)
        __builtin_trap();
    for (uint64_t i = 0; i < count && index + i < 256; i++)
        if (machine_touch(AT + i * PAGE_SIZE, false, &value) != 0 || value != (index + i) % 16)
            __builtin_trap();
    expected_init(&(struct boot_blob){0, 0});
    mm_reset();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool done;

    if (!done)
        machine_init(true, 64UL << 20);
    done = true;
    if (size < 3)
        return 0;
    where = data[0];
    pages = data[1];
    prot = data[2];
    memset(&area, 0, sizeof area);
    memcpy(&area, data + 3, MIN(size - 3, sizeof area));
    if (machine_dies(run))
        __builtin_trap();
    return 0;
}
