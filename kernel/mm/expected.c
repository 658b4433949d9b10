/* Pages that a program will touch (contract in expected.h). */
#include "kernel/mm/expected.h"

#include <linux/mman.h>

#include "abi/start.h"
#include "kernel/arch/untrusted.h"
#include "kernel/fs/file.h"
#include "kernel/lib/string.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/mm/pages.h"
#include "kernel/mm/shared.h"
#include "kernel/mm/vma.h"
#include "kernel/sched/time.h"

/*
 * Where programs follow one another in an enclave, pages of the last one are kept, and each piece of them that is not
 * used again takes a call of the host (pages_close_idle()): what lies between, a page or two, comes along.
 */
#define GAP_MEMBER 2

#define START_NS 2000000000ULL /* what is touched later is not part of the start */

static bool noting;
static struct expected noted;

static struct expected given;
static const uint64_t *next = given.places; /* in order */
static size_t next_count;
static unsigned gap; /* pages between two that come along */

static host_ptr told; /* struct start_area */
static uint32_t told_count = START_PLACES_MAX;
static uint64_t told_until_ns;

/* Only of the root image: other files' pages come one by one, or are changed by others. */
static bool place_of(const struct vma *vma, uaddr_t page, uint64_t *ret)
{
    struct inode *inode = vma->file && !vma->ops ? vma->file->inode : NULL;
    int64_t first, block;

    if (!inode || !inode->ops || !inode->ops->root_block || (vma->flags & MAP_SHARED) || shared_any(inode) ||
        inode->shared)
        return false;
    first = inode->ops->root_block(inode, vma_page_index(vma, vma->start));
    block = inode->ops->root_block(inode, vma_page_index(vma, page));
    if (first < 0 || block < 0 || first >= (int64_t)PLACE_FIRST_MAX || block >= (int64_t)PLACE_BLOCK_MAX)
        return false;
    *ret = place_make((uint64_t)first, vma_rights(vma->prot), (uint64_t)block);
    return true;
}

/* ---- noting ---- */

static void tell(uint64_t place)
{
    if (told_count == START_PLACES_MAX || time_monotonic_ns() > told_until_ns)
        return;
    untrusted_store64(host_ptr_add(told, offsetof(struct start_area, noted) + told_count * sizeof place), place);
    untrusted_store32(host_ptr_add(told, offsetof(struct start_area, noted_count)), ++told_count);
}

void expected_start(void)
{
    noting = true;
    noted.count = 0;
}

void expected_note(const struct vma *vma, uaddr_t page)
{
    uint64_t place;

    if (!place_of(vma, page, &place))
        return;
    if (noting && noted.count < EXPECTED_MAX)
        noted.places[noted.count++] = place;
    tell(place);
}

static void copy(struct expected *to, const uint64_t *places, size_t count)
{
    to->count = (uint32_t)MIN(count, (size_t)EXPECTED_MAX);
    memcpy(to->places, places, to->count * sizeof *places);
}

void expected_take(struct expected *ret)
{
    copy(ret, noted.places, noted.count);
    noted.count = 0;
}

/* ---- what is known ---- */

static bool in_order(const uint64_t *places, size_t count)
{
    for (size_t i = 1; i < count; i++)
        if (places[i - 1] >= places[i])
            return false;
    return true;
}

/* What the host remembers, copied in; NULL if there is nothing, or no sense in it. */
static uint64_t *copy_known(host_ptr area, uint32_t *ret_count)
{
    uint32_t count = untrusted_load32(host_ptr_add(area, offsetof(struct start_area, known_count)));
    uint64_t *places = count > 0 && count <= START_PLACES_MAX ? kmalloc(count * sizeof *places) : NULL;

    *ret_count = count;
    if (!places)
        return NULL;
    untrusted_copy_in(places, host_ptr_add(area, offsetof(struct start_area, known)), count * sizeof *places);
    if (in_order(places, count))
        return places;
    kfree(places);
    return NULL;
}

void expected_init(const struct boot_blob *area)
{
    static uint64_t *known;
    uint32_t count = 0;

    kfree(known);
    known = NULL;
    told_count = START_PLACES_MAX;
    if (area->size == sizeof(struct start_area)) {
        told = (host_ptr){area->addr};
        told_count = 0;
        told_until_ns = time_monotonic_ns() + START_NS;
        known = copy_known(told, &count);
    }
    next = known;
    next_count = known ? count : 0;
    gap = 0;
}

void expected_set(const struct expected *expected)
{
    copy(&given, expected->places, expected->count);
    next = given.places;
    next_count = given.count;
    gap = GAP_MEMBER;
}

void expected_forget(void)
{
    noting = false;
    noted.count = 0;
    next_count = 0;
}

void expected_get(struct expected *ret)
{
    copy(ret, next, next_count);
}

/* ---- bringing in ---- */

#define BATCH 16 /* pages that are read and hashed at a time */

/* The page of vma that is at `place`, if its mapping is like `whole`; else 0. */
static uaddr_t page_at(const struct vma *vma, uint64_t whole, uint64_t place)
{
    uint64_t index = place_block(place) - place_block(whole), found;
    uaddr_t page = vma->start + index * PAGE_SIZE;

    return index < (vma->end - vma->start) / PAGE_SIZE && place_of(vma, page, &found) && found == place ? page : 0;
}

struct batch {
    uaddr_t pages[BATCH];
    uint64_t blocks[BATCH];
    size_t count;
};

static void add(struct batch *batch, struct vma *vma, uaddr_t page)
{
    uint64_t place;

    if ((page_state(page) & PAGE_COMMITTED) || !place_of(vma, page, &place))
        return;
    batch->pages[batch->count] = page;
    batch->blocks[batch->count++] = place_block(place);
    if (batch->count == BATCH) {
        vma_bring_in(vma, batch->pages, batch->blocks, batch->count);
        batch->count = 0;
    }
}

void expected_bring_in(struct vma *vma)
{
    struct batch batch = {.count = 0};
    uaddr_t last = 0;
    uint64_t whole;

    if (next_count == 0 || !pages_edmm() || !place_of(vma, vma->start, &whole))
        return;
    for (size_t i = LOWER_BOUND(next, next_count, whole); i < next_count && (next[i] ^ whole) < PLACE_BLOCK_MAX; i++) {
        uaddr_t page = page_at(vma, whole, next[i]), from = page;

        if (!page)
            continue;
        if (pages_available() / 4 < BATCH)
            break;
        if (last && page > last && page - last <= (gap + 1) * PAGE_SIZE)
            from = last + PAGE_SIZE;
        for (; from <= page; from += PAGE_SIZE)
            add(&batch, vma, from);
        last = page;
    }
    if (batch.count > 0)
        vma_bring_in(vma, batch.pages, batch.blocks, batch.count);
}
