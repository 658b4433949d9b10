/* The directory of a shared file's pages (contract and invariants in directory.h). */
#include "kernel/remote/directory.h"

#include <linux/errno.h>

#include "kernel/lib/printk.h"
#include "kernel/mm/kmalloc.h"

/* ---- sets of holders ---- */

static bool set_has(const struct holder_set *set, uint32_t holder)
{
    return set->bits[holder / 64] >> holder % 64 & 1;
}

static void set_add(struct holder_set *set, uint32_t holder)
{
    set->count += !set_has(set, holder);
    set->bits[holder / 64] |= 1ULL << holder % 64;
}

static void set_remove(struct holder_set *set, uint32_t holder)
{
    set->count -= set_has(set, holder);
    set->bits[holder / 64] &= ~(1ULL << holder % 64);
}

/* The first member of set at or after holder; DIRECTORY_HOLDERS: none. */
static uint32_t set_next(const struct holder_set *set, uint32_t holder)
{
    while (holder < DIRECTORY_HOLDERS) {
        uint64_t bits = set->bits[holder / 64] >> holder % 64;
        if (bits)
            return holder + (uint32_t)__builtin_ctzll(bits);
        holder = (holder / 64 + 1) * 64;
    }
    return DIRECTORY_HOLDERS;
}

/* ---- entries ---- */

void directory_init(struct directory *directory, const struct directory_ops *ops)
{
    *directory = (struct directory){.ops = ops};
}

void directory_deinit(struct directory *directory)
{
    struct directory_page *page;
    uint64_t index;
    while ((page = page_map_next(&directory->pages, 0, &index)) != NULL) {
        page_map_remove(&directory->pages, index);
        kfree(page);
    }
    page_map_deinit(&directory->pages);
    page_use_deinit(&directory->use);
    directory->page_count = 0;
}

struct directory_page *directory_find(const struct directory *directory, uint64_t index)
{
    return page_map_get(&directory->pages, index);
}

static struct directory_page *find_or_make(struct directory *directory, uint64_t index)
{
    struct directory_page *page = directory_find(directory, index);
    if (page)
        return page;
    page = kzalloc(sizeof(*page));
    if (!page)
        return NULL;
    page->index = index;
    TAILQ_INIT(&page->requests);
    if (page_map_set(&directory->pages, index, page) < 0) {
        kfree(page);
        return NULL;
    }
    directory->page_count++;
    return page;
}

static void drop_if_unused(struct directory *directory, struct directory_page *page)
{
    if (page->owner || page->readers.count || page->asked.count || page->held || page->stepping ||
        !TAILQ_EMPTY(&page->requests))
        return;
    page_map_remove(&directory->pages, page->index);
    directory->page_count--;
    kfree(page);
}

bool directory_home_may(const struct directory *directory, uint64_t index, bool write)
{
    const struct directory_page *page = directory_find(directory, index);
    return !page || (page->owner == DIRECTORY_NOBODY && !(write && page->readers.count));
}

static bool is_lent(const struct directory_page *page)
{
    return page->owner != DIRECTORY_NOBODY || !TAILQ_EMPTY(&page->requests);
}

bool directory_lent(const struct directory *directory, uint64_t index)
{
    const struct directory_page *page = directory_find(directory, index);
    return page && is_lent(page);
}

bool directory_has(const struct directory_page *page, uint32_t holder)
{
    return holder != 0 && (page->owner == holder || set_has(&page->readers, holder));
}

bool directory_owns(const struct directory *directory, uint64_t index, uint32_t holder)
{
    const struct directory_page *page = directory_find(directory, index);
    return page && holder != 0 && page->owner == holder;
}

/* ---- the state machine ---- */

static void ask(struct directory *directory, struct directory_page *page, uint32_t holder, bool to_read)
{
    if (set_has(&page->asked, holder))
        return;
    set_add(&page->asked, holder);
    directory->ops->take(directory, page, holder, to_read);
}

/* Ask whoever is in the way; true if nobody is. */
static bool make_way(struct directory *directory, struct directory_page *page, const struct directory_request *request)
{
    bool clear = !set_has(&page->asked, request->holder);
    if (page->owner && page->owner != request->holder) {
        ask(directory, page, page->owner, !request->write);
        clear = false;
    }
    if (!request->write)
        return clear;
    for (uint32_t h = set_next(&page->readers, 1); h < DIRECTORY_HOLDERS; h = set_next(&page->readers, h + 1)) {
        if (h == request->holder)
            continue;
        if (!set_has(&page->asked, h))
            page_use_withdrawn(&directory->use, page->index);
        ask(directory, page, h, false);
        clear = false;
    }
    return clear;
}

/* What became of copies for reading. */
static void learn(struct directory *directory, const struct directory_page *page,
                  const struct directory_request *request)
{
    if (request->holder == 0)
        return;
    if (!request->write)
        page_use_copied(&directory->use, page->index, request->may_write);
    else if (set_has(&page->readers, request->holder))
        page_use_written(&directory->use, page->index);
}

static void grant(struct directory *directory, struct directory_page *page, struct directory_request *request)
{
    bool had = directory_has(page, request->holder);
    TAILQ_REMOVE(&page->requests, request, entry);
    learn(directory, page, request);
    if (request->write) {
        set_remove(&page->readers, request->holder);
        page->owner = request->holder; /* the home: nobody */
    } else if (request->holder != 0 && page->owner != request->holder) {
        set_add(&page->readers, request->holder);
    }
    if (request->holder == 0)
        page->held = true;
    else if (had)
        set_add(&page->promoted, request->holder);
    else
        set_remove(&page->promoted, request->holder);
    directory->ops->grant(directory, page, request, had);
}

static struct directory_request *next_request(struct directory *directory, struct directory_page *page)
{
    struct directory_request *request = TAILQ_FIRST(&page->requests);
    if (!request || request->holder == 0 || directory->closed == 0)
        return request;
    directory->behind = true;
    return NULL;
}

static void step(struct directory *directory, struct directory_page *page)
{
    struct directory_request *request;
    uint64_t index = page->index;
    if (page->stepping)
        return; /* the loop below sees what has changed */
    page->stepping = true;
    while (!page->held && (request = next_request(directory, page)) != NULL && make_way(directory, page, request))
        grant(directory, page, request);
    page->stepping = false;
    bool lent = is_lent(page);
    drop_if_unused(directory, page);
    if (!lent && directory->ops->settled)
        directory->ops->settled(directory, index);
}

int directory_request(struct directory *directory, uint64_t index, struct directory_request *request)
{
    struct directory_page *page = find_or_make(directory, index);
    if (!page)
        return -ENOMEM;
    if (!request->write && request->may_write && page->readers.count == 0)
        request->write = page_use_guess_write(&directory->use, index);
    if (directory->closed ? request->holder == 0 : request->first)
        TAILQ_INSERT_HEAD(&page->requests, request, entry);
    else
        TAILQ_INSERT_TAIL(&page->requests, request, entry);
    step(directory, page);
    return 0;
}

void directory_forget(struct directory *directory, uint64_t index, struct directory_request *request)
{
    struct directory_page *page = directory_find(directory, index);
    struct directory_request *r;
    if (!page)
        return;
    TAILQ_FOREACH (r, &page->requests, entry) {
        if (r == request) {
            TAILQ_REMOVE(&page->requests, request, entry);
            step(directory, page);
            return;
        }
    }
}

bool directory_answered(struct directory *directory, uint64_t index, uint32_t holder, enum directory_answer answer,
                        bool asked)
{
    struct directory_page *page = directory_find(directory, index);
    bool has = page && directory_has(page, holder);
    if (!asked && !has)
        return true; /* given back twice: it crossed with a grant */
    if (!page || (asked && !set_has(&page->asked, holder)))
        return false;
    if (has != (answer != ANSWER_NOTHING) || (answer == ANSWER_READS && !asked))
        return false;
    if (asked) {
        set_remove(&page->asked, holder);
        set_remove(&page->promoted, holder);
    }
    if (page->owner == holder && has)
        page->owner = DIRECTORY_NOBODY;
    if (answer == ANSWER_READS)
        set_add(&page->readers, holder);
    else
        set_remove(&page->readers, holder);
    if (set_has(&page->promoted, holder) && answer != ANSWER_READS)
        ask(directory, page, holder, false);
    step(directory, page);
    return true;
}

void directory_recall(struct directory *directory, uint64_t index, uint32_t holder, bool to_read)
{
    struct directory_page *page = directory_find(directory, index);
    if (page && directory_owns(directory, index, holder))
        ask(directory, page, holder, to_read);
}

bool directory_keeps(const struct directory_page *page, uint32_t holder, bool write)
{
    return (write ? page->owner == holder : directory_has(page, holder)) && !set_has(&page->asked, holder);
}

bool directory_readable(const struct directory_page *page, uint32_t holder)
{
    return page->owner == DIRECTORY_NOBODY && page->readers.count > 0 && page->asked.count == 0 && !page->held &&
           TAILQ_EMPTY(&page->requests) && !set_has(&page->readers, holder);
}

void directory_hold(struct directory_page *page)
{
    page->held = true;
}

void directory_release(struct directory *directory, uint64_t index)
{
    struct directory_page *page = directory_find(directory, index);
    if (!page || !page->held)
        return;
    page->held = false;
    step(directory, page);
}

void directory_close(struct directory *directory)
{
    directory->closed++;
}

void directory_open(struct directory *directory)
{
    struct directory_page *page;
    uint64_t index = 0;
    ASSERT(directory->closed > 0);
    if (--directory->closed > 0 || !directory->behind)
        return;
    directory->behind = false;
    while ((page = page_map_next(&directory->pages, index, &index)) != NULL) {
        step(directory, page);
        index++;
    }
}

static void lose(struct directory *directory, struct directory_page *page, uint32_t holder,
                 void (*drop)(struct directory_request *request))
{
    struct directory_request *request, *next;
    TAILQ_FOREACH_SAFE (request, &page->requests, entry, next) {
        if (request->holder != holder)
            continue;
        TAILQ_REMOVE(&page->requests, request, entry);
        drop(request);
    }
    if (page->owner == holder)
        page->owner = DIRECTORY_NOBODY;
    set_remove(&page->readers, holder);
    set_remove(&page->asked, holder);
    set_remove(&page->promoted, holder);
    step(directory, page);
}

void directory_lost(struct directory *directory, uint32_t holder, void (*drop)(struct directory_request *request))
{
    struct directory_page *page;
    uint64_t index = 0;
    ASSERT(holder != 0);
    while ((page = page_map_next(&directory->pages, index, &index)) != NULL) {
        lose(directory, page, holder, drop);
        index++;
    }
}
