/* The kernel's heap and pages (contract in hosted_heap.h). */
#include "hosted_heap.h"

#include "hosted_libc.h"
#include "kernel/lib/string.h"
#include "kernel/mm/kmalloc.h"

static unsigned long fail_at;
static bool failed;
static long live;

void hosted_fail_alloc(unsigned long n)
{
    fail_at = n;
    failed = false;
}

bool hosted_alloc_failed(void)
{
    return failed;
}

long hosted_alloc_live(void)
{
    return live;
}

static bool fails(void)
{
    if (fail_at == 0 || --fail_at > 0)
        return false;
    failed = true;
    return true;
}

static void *counted(void *p)
{
    if (p)
        live++;
    return p;
}

void *kmalloc(size_t size)
{
    return fails() ? NULL : counted(hosted_malloc(size));
}

void *kzalloc(size_t size)
{
    void *p = kmalloc(size);
    return p ? memset(p, 0, size) : NULL;
}

void *krealloc(void *p, size_t size)
{
    if (!p)
        return kmalloc(size);
    return fails() ? NULL : hosted_realloc(p, size);
}

void kfree(void *p)
{
    if (p)
        live--;
    hosted_free(p);
}

char *kstrdup(const char *s)
{
    size_t size = strlen(s) + 1;
    char *p = kmalloc(size);
    return p ? memcpy(p, s, size) : NULL;
}

void *page_alloc_many(size_t count)
{
    void *p = fails() ? NULL : counted(hosted_page_alloc(count * PAGE_SIZE));
    return p ? memset(p, 0xa5, count * PAGE_SIZE) : NULL; /* not cleared, and to be seen as such */
}

void *page_alloc(void)
{
    return page_alloc_many(1);
}

void page_free(void *page)
{
    kfree(page);
}

void page_free_many(void *first, size_t count)
{
    kfree(first);
}

uint64_t kmalloc_bytes_used(void)
{
    return 0;
}

void *kmalloc_transient(size_t size)
{
    return kmalloc(size);
}

uint64_t hosted_room_for_files = UINT64_MAX;

uint64_t kmalloc_room_for_files(void)
{
    return hosted_room_for_files;
}
