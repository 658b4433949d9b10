/* One byte for each page of application memory, in chunks that are made when first needed. */
#include "kernel/mm/page_state.h"
#include "kernel/lib/printk.h"
#include "kernel/lib/string.h"
#include "kernel/mm/kmalloc.h"

#define CHUNK_SHIFT 12 /* pages that one chunk describes: 16 MiB of memory in one page of state */
#define CHUNK_PAGES (1UL << CHUNK_SHIFT)

struct chunk {
    uint8_t *state; /* NULL while nothing was ever committed there */
    uint32_t committed, idle;
};

static struct chunk *chunks;
static uint64_t chunk_count;

void page_state_init(uint64_t elrange_size)
{
    chunk_count = elrange_size >> (PAGE_SHIFT + CHUNK_SHIFT);
    chunks = kzalloc(chunk_count * sizeof *chunks);
    if (!chunks)
        panic("no memory for page states");
}

static struct chunk *chunk_of(uaddr_t page)
{
    uint64_t i = page >> (PAGE_SHIFT + CHUNK_SHIFT);

    ASSERT(i < chunk_count);
    return &chunks[i];
}

static uint8_t *state_of(const struct chunk *chunk, uaddr_t page)
{
    return &chunk->state[(page >> PAGE_SHIFT) & (CHUNK_PAGES - 1)];
}

uint8_t page_state(uaddr_t page)
{
    const struct chunk *chunk = chunk_of(page);

    return chunk->state ? *state_of(chunk, page) : 0;
}

bool page_state_reserve(uaddr_t start, uaddr_t end)
{
    for (uaddr_t page = start; page < end; page = ALIGN_DOWN(page, CHUNK_PAGES * PAGE_SIZE) + CHUNK_PAGES * PAGE_SIZE) {
        struct chunk *chunk = chunk_of(page);

        if (chunk->state)
            continue;
        chunk->state = page_alloc();
        if (!chunk->state)
            return false;
        memset(chunk->state, 0, PAGE_SIZE);
    }
    return true;
}

void page_state_replace(uaddr_t page, uint8_t state)
{
    struct chunk *chunk = chunk_of(page);
    uint8_t *byte;

    if (!chunk->state && !state)
        return;
    byte = state_of(chunk, page);
    if ((state ^ *byte) & PAGE_COMMITTED)
        chunk->committed += state & PAGE_COMMITTED ? 1 : -1;
    if ((state ^ *byte) & PAGE_IDLE)
        chunk->idle += state & PAGE_IDLE ? 1 : -1;
    *byte = state;
}

void page_state_set(uaddr_t page, uint8_t flags)
{
    ASSERT(!(flags & PAGE_COMMITTED));
    page_state_replace(page, page_state(page) | flags);
}

void page_state_clear(uaddr_t page, uint8_t flags)
{
    ASSERT(!(flags & PAGE_COMMITTED));
    page_state_replace(page, page_state(page) & ~flags);
}

/* Thread stacks are mostly untouched and looked through whole at each thread's end: eight pages at a time. */
static uaddr_t next_in_chunk(const struct chunk *chunk, uaddr_t page, uaddr_t end, uint8_t flag)
{
    while (page < end) {
        const uint8_t *state = state_of(chunk, page);
        uint64_t eight;

        if ((uint64_t)state % sizeof eight == 0) {
            memcpy(&eight, state, sizeof eight);
            if (!(eight & (0x0101010101010101ULL * flag))) {
                page += sizeof eight * PAGE_SIZE;
                continue;
            }
        }
        if (*state & flag)
            return page;
        page += PAGE_SIZE;
    }
    return end;
}

static uaddr_t next_in_state(uaddr_t start, uaddr_t end, uint8_t flag)
{
    uaddr_t page = start;

    while (page < end) {
        const struct chunk *chunk = chunk_of(page);
        uaddr_t chunk_end = ALIGN_DOWN(page, CHUNK_PAGES * PAGE_SIZE) + CHUNK_PAGES * PAGE_SIZE;

        if ((flag == PAGE_COMMITTED ? chunk->committed : chunk->idle) == 0) {
            page = chunk_end;
            continue;
        }
        page = next_in_chunk(chunk, page, MIN(chunk_end, end), flag);
        if (page < MIN(chunk_end, end))
            return page;
    }
    return end;
}

uaddr_t pages_next_committed(uaddr_t start, uaddr_t end)
{
    return next_in_state(start, end, PAGE_COMMITTED);
}

uaddr_t pages_next_idle(uaddr_t start, uaddr_t end)
{
    return next_in_state(start, end, PAGE_IDLE);
}

size_t pages_count_committed(uaddr_t start, uaddr_t end)
{
    size_t count = 0;

    for (uaddr_t page = start; (page = pages_next_committed(page, end)) < end; page += PAGE_SIZE)
        count++;
    return count;
}
