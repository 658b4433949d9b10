/*
 * Folders of the host: the input chooses what the program in the container does with files and what the host answers,
 * true or not (tests/unit/hostfs_hostile.h). The kernel goes on or says what the host lied about.
 *
 * fuzz-sources: kernel/fs/attr.c kernel/fs/context.c kernel/fs/dentry.c kernel/fs/fcntl.c kernel/fs/fd.c
 * fuzz-sources: kernel/fs/file.c kernel/fs/inode.c kernel/fs/ioctl.c kernel/fs/locks.c kernel/fs/mount.c
 * fuzz-sources: kernel/fs/names.c kernel/fs/notify.c kernel/fs/open.c kernel/fs/page_map.c kernel/fs/readdir.c
 * fuzz-sources: kernel/fs/rw.c kernel/fs/stat.c kernel/fs/sync.c kernel/fs/tmpfs.c kernel/fs/tmpfs_data.c
 * fuzz-sources: kernel/fs/tmpfs_dir.c kernel/fs/tmpfs_xattr.c kernel/fs/walk.c kernel/fs/xattr.c kernel/mm/uio.c
 * fuzz-sources: kernel/fs/hostfs.c kernel/fs/hostfs_client.c kernel/fs/hostfs_data.c kernel/fs/hostfs_dir.c
 * fuzz-sources: kernel/fs/hostfs_window.c
 * fuzz-sources: tests/unit/no_agents.c tests/unit/hosted.c tests/unit/hostfs_hostile.c
 * fuzz-flags: -DCOFRE_HOSTED -include fuzz/kernel_state.h -Itests/unit -w
 */
#pragma clang section bss = "" data = ""

#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hosted_libc.h"
#include "hostfs_hostile.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

extern uint8_t __start_kernel_bss[], __stop_kernel_bss[], __start_kernel_data[], __stop_kernel_data[];

/* The kernel's memory: forgotten as a whole after each run. */
struct block {
    struct block *next;
    void *start; /* what to free */
};
static struct block *blocks;
static void *large[8]; /* the shared area and buffers: big, and used again */
static size_t large_count, large_sizes[8], large_next;
static jmp_buf lied;

static void *block_new(size_t size, size_t align)
{
    size_t head = align > sizeof(struct block) ? align : sizeof(struct block);
    uint8_t *p = aligned_alloc(align, (head + size + align - 1) / align * align);
    if (!p)
        abort();
    struct block *b = (struct block *)(p + head) - 1;
    *b = (struct block){blocks, p};
    blocks = b;
    return b + 1;
}

void *hosted_malloc(size_t size)
{
    return block_new(size, 16);
}

void hosted_free(void *p)
{
    struct block **at = &blocks;
    while (p && *at && (void *)(*at + 1) != p)
        at = &(*at)->next;
    if (p && *at) {
        struct block *b = *at;
        *at = b->next;
        free(b->start);
    }
}

void *hosted_realloc(void *p, size_t size)
{
    (void)p;
    (void)size;
    abort(); /* nothing here needs it */
}

void *hosted_page_alloc(size_t size)
{
    if (size <= 100000)
        return block_new(size, 4096);
    if (large_next == large_count) {
        large[large_count] = aligned_alloc(4096, (size + 4095) / 4096 * 4096);
        large_sizes[large_count++] = size;
    }
    if (large_sizes[large_next] != size)
        abort();
    return large[large_next++];
}

void hosted_abort(const char *message)
{
    fprintf(stderr, "%s\n", message);
    abort();
}

uint64_t hosted_realtime_ns(void)
{
    return 1000000000000000000ULL;
}

static void on_lie(const char *what)
{
    (void)what;
    longjmp(lied, 1);
}

static const uint8_t *input;
static size_t left;

/* Past its end the input is all zeros. */
static uint32_t choose(uint32_t limit)
{
    uint32_t value = 0;
    for (uint32_t span = limit - 1; span > 0; span >>= 8) {
        value = value << 8 | (left ? *input : 0);
        if (left) {
            input++;
            left--;
        }
    }
    return value % limit;
}

/* Over the sanitizer's red zones between variables, too. */
__attribute__((no_sanitize("address"))) static void copy_all(void *dst, const void *src, size_t size)
{
    __asm__ volatile("rep movsb" : "+D"(dst), "+S"(src), "+c"(size) : : "memory");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t *fresh, *zeros;
    size_t bss = (size_t)(__stop_kernel_bss - __start_kernel_bss);
    size_t initialised = (size_t)(__stop_kernel_data - __start_kernel_data);
    if (!fresh) {
        fresh = malloc(initialised);
        zeros = calloc(1, bss);
        copy_all(fresh, __start_kernel_data, initialised);
    }
    copy_all(__start_kernel_bss, zeros, bss);
    copy_all(__start_kernel_data, fresh, initialised);
    input = data;
    left = size;
    large_next = 0;
    if (!setjmp(lied)) {
        hostile_init(choose, on_lie);
        for (int i = 0; i < 500 && left > 0; i++)
            hostile_step(300);
    }
    while (blocks) {
        struct block *b = blocks;
        blocks = b->next;
        free(b->start);
    }
    return 0;
}
