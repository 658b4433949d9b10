/*
 * kmalloc: size classes carved out of slabs, whole pages for the rest.
 *
 * A slab is a run of heap pages with a struct slab at its start. Free objects hold a link and a mark derived from their
 * own address: a second kfree() of the same object, or a write to a freed one, is found and stops the kernel.
 */
#include "kernel/mm/kmalloc.h"

#include "kernel/lib/list.h"
#include "kernel/lib/printk.h"
#include "kernel/lib/string.h"
#include "kernel/mm/heap.h"

struct free_object {
    struct free_object *next;
    uint64_t mark;
};

struct slab {
    LIST_ENTRY(slab) link; /* on its class's list while it has room */
    struct free_object *free;
    uint32_t used, capacity;
    uint32_t carved; /* objects handed out at least once; those beyond are untouched memory */
    uint32_t size_class;
    uint64_t pad;
};
_Static_assert(sizeof(struct slab) % 16 == 0, "objects stay 16-byte aligned");

LIST_HEAD(slab_list, slab);

static const struct {
    uint16_t size, pages;
} classes[] = {
    {16, 1},  {32, 1},  {48, 1},  {64, 1},   {80, 1},   {96, 1},   {112, 1},  {128, 1},
    {160, 1}, {192, 1}, {224, 1}, {256, 2},  {320, 2},  {384, 2},  {448, 2},  {512, 4},
    {640, 4}, {768, 4}, {896, 4}, {1024, 4}, {1280, 4}, {1536, 8}, {1792, 8}, {2048, 8},
};
#define CLASS_COUNT ARRAY_COUNT(classes)
#define SLAB_SIZE_MAX 2048

static struct slab_list partial[CLASS_COUNT];
static uint8_t class_of_size[SLAB_SIZE_MAX / 16 + 1]; /* by size in 16-byte units, rounded up */
static uint64_t slab_bytes;

#define FREE_MARK 0x9d5f3c6eb1a27048ULL

static uint64_t mark_of(const void *object)
{
    return (uint64_t)object ^ FREE_MARK;
}

static void slab_tables_init(void)
{
    unsigned class = 0;

    for (unsigned units = 0; units < ARRAY_COUNT(class_of_size); units++) {
        if (units * 16 > classes[class].size)
            class ++;
        class_of_size[units] = (uint8_t) class;
    }
    for (class = 0; class < CLASS_COUNT; class ++)
        LIST_INIT(&partial[class]);
}

#ifndef COFRE_HOSTED
void kmalloc_init(uint64_t heap_size, bool edmm)
{
    heap_commit_init(edmm);
    heap_init(KHEAP_BASE, MIN(heap_size, KHEAP_END - KHEAP_BASE));
    slab_tables_init();
}
#else
void kmalloc_init_at(uint64_t base, uint64_t heap_size);
void kmalloc_init_at(uint64_t base, uint64_t heap_size)
{
    heap_init(base, heap_size);
    slab_tables_init();
}
#endif

static struct slab *slab_new(unsigned class)
{
    struct slab *slab = heap_alloc(classes[class].pages);
    uint32_t head;

    if (!slab)
        return NULL;
    head = heap_page_number(slab);
    for (unsigned i = 0; i < classes[class].pages; i++) {
        struct heap_page *page = heap_page_at(head + i);

        page->kind = HEAP_SLAB;
        page->head = head;
        page->size_class = (uint8_t) class;
    }
    *slab = (struct slab){
        .capacity = (uint32_t)((classes[class].pages * PAGE_SIZE - sizeof *slab) / classes[class].size),
        .size_class = class,
    };
    LIST_INSERT_HEAD(&partial[class], slab, link);
    return slab;
}

static void slab_free(struct slab *slab)
{
    unsigned pages = classes[slab->size_class].pages;
    uint32_t head = heap_page_number(slab);

    for (unsigned i = 0; i < pages; i++)
        heap_page_at(head + i)->kind = HEAP_TAIL;
    heap_page_at(head)->kind = HEAP_PAGES;
    heap_page_at(head)->count = pages;
    heap_free(slab, pages);
}

static void *slab_take(unsigned class)
{
    struct slab *slab = LIST_FIRST(&partial[class]);
    struct free_object *object;

    if (!slab) {
        slab = slab_new(class);
        if (!slab)
            return NULL;
    }
    object = slab->free;
    if (object) {
        if (object->mark != mark_of(object))
            panic("kmalloc: write to freed memory of size class %u", classes[class].size);
        slab->free = object->next;
        object->mark = 0;
    } else {
        object = (struct free_object *)((char *)(slab + 1) + (size_t)slab->carved * classes[class].size);
        slab->carved++;
    }
    if (++slab->used == slab->capacity)
        LIST_REMOVE(slab, link);
    slab_bytes += classes[class].size;
    return object;
}

static void slab_give(struct slab *slab, void *p)
{
    struct free_object *object = p;
    unsigned class = slab->size_class;
    size_t offset = (size_t)((char *)p - (char *)(slab + 1));

    if ((char *)p < (char *)(slab + 1) || offset % classes[class].size || offset / classes[class].size >= slab->carved)
        panic("kfree: %p is not an object", p);
    if (object->mark == mark_of(object)) {
        for (const struct free_object *other = slab->free; other; other = other->next)
            if (other == object)
                panic("kfree: %p freed twice", p);
    }
    slab_bytes -= classes[class].size;
    if (slab->used-- == slab->capacity)
        LIST_INSERT_HEAD(&partial[class], slab, link);
    if (slab->used == 0 && LIST_FIRST(&partial[class]) != slab) {
        LIST_REMOVE(slab, link);
        slab_free(slab);
        return;
    }
#ifdef COFRE_HOSTED
    memset(p, 0x5a, classes[class].size);
#endif
    object->next = slab->free;
    object->mark = mark_of(object);
    slab->free = object;
}

/* Bytes that may be used at p. */
static size_t allocation_size(const void *p, const struct heap_page *page)
{
    return page->kind == HEAP_SLAB ? classes[page->size_class].size : page->count * PAGE_SIZE;
}

static struct heap_page *allocation_page(const void *p)
{
    struct heap_page *page = heap_page_of(p);

    if (!page || (page->kind != HEAP_SLAB && page->kind != HEAP_PAGES))
        panic("kfree: %p was not allocated", p);
    return page;
}

void *kmalloc(size_t size)
{
    if (size <= SLAB_SIZE_MAX)
        return slab_take(class_of_size[(size + 15) / 16]);
    if (size > UINT64_MAX - PAGE_SIZE)
        return NULL;
    return heap_alloc((size + PAGE_SIZE - 1) / PAGE_SIZE);
}

void *kmalloc_transient(size_t size)
{
    size_t pages = 1;

    if (size <= SLAB_SIZE_MAX)
        return kmalloc(size);
    while (pages * PAGE_SIZE < size && pages < heap_pages_limit())
        pages *= 2;
    return pages * PAGE_SIZE < size ? NULL : heap_alloc(pages);
}

void *kzalloc(size_t size)
{
    void *p = kmalloc(size);

    return p ? memset(p, 0, size) : NULL;
}

void kfree(void *p)
{
    struct heap_page *page;

    if (!p)
        return;
    page = allocation_page(p);
    if (page->kind == HEAP_SLAB)
        slab_give(heap_page_address(page->head), p);
    else
        heap_free(p, page->count);
}

void *krealloc(void *p, size_t size)
{
    size_t old;
    void *q;

    if (!p)
        return kmalloc(size);
    old = allocation_size(p, allocation_page(p));
    if (size <= old && (size > old / 2 || old <= 64))
        return p;
    q = kmalloc(size);
    if (!q)
        return size <= old ? p : NULL;
    memcpy(q, p, MIN(old, size));
    kfree(p);
    return q;
}

char *kstrdup(const char *s)
{
    size_t size = strlen(s) + 1;
    char *copy = kmalloc(size);

    return copy ? memcpy(copy, s, size) : NULL;
}

void *page_alloc(void)
{
    return heap_alloc(1);
}

void *page_alloc_many(size_t count)
{
    return heap_alloc(count);
}

void page_free(void *page)
{
    if (page)
        heap_free(page, 1);
}

void page_free_many(void *first, size_t count)
{
    heap_free(first, count);
}

uint64_t kmalloc_bytes_used(void)
{
    return heap_pages_used() * PAGE_SIZE;
}

uint64_t kmalloc_room_for_files(void)
{
    uint64_t kept = MIN(heap_pages_limit() / 16, (16UL << 20) / PAGE_SIZE), left = heap_pages_left();

    return left > kept ? (left - kept) * PAGE_SIZE : 0;
}
