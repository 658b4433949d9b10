/* The kernel heap's pages: a buddy allocator whose descriptors and pages are committed as the heap grows. */
#include "kernel/mm/heap.h"

#include "kernel/lib/printk.h"
#include "kernel/lib/string.h"

#define MAX_ORDER 10 /* blocks of 4 MiB: what the heap grows by */
#define BLOCK_PAGES (1u << MAX_ORDER)
#define COMMIT_WINDOW 16 /* pages that are committed together */

static struct {
    uint64_t base;            /* of the pages; the descriptors lie before it */
    struct heap_page *pages;  /* one for each page below `top`, committed that far */
    uint64_t pages_committed; /* address up to which descriptors are committed */
    uint32_t top, limit;      /* pages put into the free lists so far; pages there may be. Multiples of BLOCK_PAGES */
    uint32_t free_head[MAX_ORDER + 1];
    uint64_t used;
} heap;

void heap_init(uint64_t base, uint64_t size)
{
    uint64_t page_count = size / PAGE_SIZE;
    uint64_t descriptors = ALIGN_UP(page_count * sizeof(struct heap_page), PAGE_SIZE);

    memset(&heap, 0, sizeof heap);
    ASSERT(page_count < UINT32_MAX && size > descriptors + BLOCK_PAGES * PAGE_SIZE);
    heap.pages = (struct heap_page *)base;
    heap.pages_committed = base;
    heap.base = ALIGN_UP(base + descriptors, PAGE_SIZE);
    heap.limit = ALIGN_DOWN((size - descriptors) / PAGE_SIZE, BLOCK_PAGES);
}

struct heap_page *heap_page_at(uint32_t number)
{
    return &heap.pages[number];
}

void *heap_page_address(uint32_t number)
{
    return (void *)(heap.base + (uint64_t)number * PAGE_SIZE);
}

uint32_t heap_page_number(const void *p)
{
    return (uint32_t)(((uint64_t)p - heap.base) / PAGE_SIZE);
}

struct heap_page *heap_page_of(const void *p)
{
    if ((uint64_t)p < heap.base || heap_page_number(p) >= heap.top)
        return NULL;
    return heap_page_at(heap_page_number(p));
}

uint64_t heap_pages_used(void)
{
    return heap.used + (heap.pages_committed - (uint64_t)heap.pages) / PAGE_SIZE;
}

uint64_t heap_pages_limit(void)
{
    return heap.limit;
}

uint64_t heap_pages_left(void)
{
    return heap.limit - heap.used;
}

static void free_list_push(uint32_t number, unsigned order)
{
    struct heap_page *page = heap_page_at(number);

    page->kind = HEAP_FREE;
    page->order = (uint8_t)order;
    page->prev = 0;
    page->next = heap.free_head[order];
    if (page->next)
        heap_page_at(page->next - 1)->prev = number + 1;
    heap.free_head[order] = number + 1;
}

static void free_list_remove(uint32_t number)
{
    struct heap_page *page = heap_page_at(number);

    if (page->prev)
        heap_page_at(page->prev - 1)->next = page->next;
    else
        heap.free_head[page->order] = page->next;
    if (page->next)
        heap_page_at(page->next - 1)->prev = page->prev;
    page->kind = HEAP_TAIL;
}

/* Let `blocks` more of the largest blocks exist at the top. Their first page number, not on a free list yet. */
static bool heap_grow(uint32_t blocks, uint32_t *ret_number)
{
    uint64_t end;

    if (blocks > (heap.limit - heap.top) / BLOCK_PAGES)
        return false;
    *ret_number = heap.top;
    heap.top += blocks * BLOCK_PAGES;
    end = ALIGN_UP((uint64_t)&heap.pages[heap.top], PAGE_SIZE);
    if (end > heap.pages_committed) {
        heap_commit(heap.pages_committed, (end - heap.pages_committed) / PAGE_SIZE);
        heap.pages_committed = end;
    }
    return true;
}

/* Free a run of any length and alignment: as the largest aligned blocks it is made of, each merged with its buddies. */
static void free_run(uint32_t number, uint32_t count)
{
    while (count) {
        unsigned order = 0;
        uint32_t block = number;

        while (order < MAX_ORDER && !(number & (1u << order)) && (2u << order) <= count)
            order++;
        number += 1u << order;
        count -= 1u << order;
        while (order < MAX_ORDER) {
            uint32_t buddy = block ^ (1u << order);

            if (heap_page_at(buddy)->kind != HEAP_FREE || heap_page_at(buddy)->order != order)
                break;
            free_list_remove(buddy);
            block &= ~(1u << order);
            order++;
        }
        free_list_push(block, order);
    }
}

static bool take_block(unsigned order, uint32_t *ret_number)
{
    unsigned have = order;
    uint32_t number;

    while (have <= MAX_ORDER && !heap.free_head[have])
        have++;
    if (have <= MAX_ORDER) {
        number = heap.free_head[have] - 1;
        free_list_remove(number);
    } else {
        if (!heap_grow(1, &number))
            return false;
        have = MAX_ORDER;
    }
    while (have > order) {
        have--;
        free_list_push(number + (1u << have), have);
    }
    *ret_number = number;
    return true;
}

static void take_free_blocks(uint32_t number, uint32_t blocks)
{
    for (uint32_t i = 0; i < blocks; i++)
        free_list_remove(number + i * BLOCK_PAGES);
}

/* More than the largest block: neighbouring free ones, if need be with new ones at the top. */
static bool take_blocks(uint32_t blocks, uint32_t *ret_number)
{
    uint32_t run = 0, number, more;

    for (number = 0; number < heap.top && run < blocks; number += BLOCK_PAGES) {
        const struct heap_page *page = heap_page_at(number);

        run = page->kind == HEAP_FREE && page->order == MAX_ORDER ? run + 1 : 0;
    }
    if (run < blocks && !heap_grow(blocks - run, &more))
        return false;
    *ret_number = number - run * BLOCK_PAGES;
    take_free_blocks(*ret_number, run);
    return true;
}

static void commit_run(uint32_t number, uint32_t count)
{
    uint32_t end = number + count;

    while (number < end) {
        uint32_t first;

        if (heap_page_at(number)->committed) {
            number++;
            continue;
        }
        first = ALIGN_DOWN(number, COMMIT_WINDOW);
        while (heap_page_at(first)->committed)
            first++;
        number = first;
        while ((number < end || number % COMMIT_WINDOW) && !heap_page_at(number)->committed) {
            heap_page_at(number)->committed = 1;
            number++;
        }
        heap_commit((uint64_t)heap_page_address(first), number - first);
    }
}

void *heap_alloc(size_t count)
{
    unsigned order = 0;
    uint32_t number, taken;

    if (count == 0 || count > heap.limit)
        return NULL;
    while (order < MAX_ORDER && (1u << order) < count)
        order++;
    if (count > BLOCK_PAGES) {
        uint32_t blocks = (uint32_t)(ALIGN_UP(count, BLOCK_PAGES) / BLOCK_PAGES);

        if (!take_blocks(blocks, &number))
            return NULL;
        taken = blocks * BLOCK_PAGES;
    } else {
        if (!take_block(order, &number))
            return NULL;
        taken = 1u << order;
    }
    heap_page_at(number)->kind = HEAP_PAGES;
    heap_page_at(number)->count = (uint32_t)count;
    heap.used += count;
    commit_run(number, (uint32_t)count);
    if (taken > count)
        free_run(number + (uint32_t)count, taken - (uint32_t)count);
    return heap_page_address(number);
}

void heap_free(void *first, size_t count)
{
    struct heap_page *page = heap_page_of(first);

    ASSERT(page && ((uint64_t)first & (PAGE_SIZE - 1)) == 0 && page->kind == HEAP_PAGES && page->count == count);
    page->kind = HEAP_TAIL;
    heap.used -= count;
    free_run(heap_page_number(first), (uint32_t)count);
}
