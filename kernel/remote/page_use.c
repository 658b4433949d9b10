/* What is mostly done with pages (contract in page_use.h). */
#include "kernel/remote/page_use.h"

#include "kernel/mm/kmalloc.h"

#define PARTS 1024
#define PART_PAGES 64
#define REMEMBERED 128 /* then older ones count half */
#define FEW 4          /* not enough to learn from */
#define LOOK_AGAIN 16

static struct page_use_part *part_of(const struct page_use *use, uint64_t index)
{
    return use->parts ? &use->parts[index / PART_PAGES % PARTS] : NULL;
}

static struct page_use_part *part_made(struct page_use *use, uint64_t index)
{
    if (!use->parts)
        use->parts = kzalloc(PARTS * sizeof(*use->parts));
    return part_of(use, index);
}

void page_use_deinit(struct page_use *use)
{
    kfree(use->parts);
    use->parts = NULL;
}

/* One more of `all`; `some` are those of them that went otherwise. */
static void count(uint8_t *all, uint8_t *some)
{
    if (++*all < REMEMBERED)
        return;
    *all /= 2;
    *some /= 2;
}

static void add(uint8_t *some)
{
    if (*some < REMEMBERED)
        ++*some;
}

void page_use_copied(struct page_use *use, uint64_t index, bool asked)
{
    struct page_use_part *part = part_made(use, index);
    if (!part)
        return;
    count(&part->copies, &part->withdrawn);
    if (asked)
        count(&part->asked, &part->written);
}

void page_use_written(struct page_use *use, uint64_t index)
{
    struct page_use_part *part = part_of(use, index);
    if (part)
        add(&part->written);
}

void page_use_withdrawn(struct page_use *use, uint64_t index)
{
    struct page_use_part *part = part_of(use, index);
    if (part)
        add(&part->withdrawn);
}

bool page_use_guess_write(struct page_use *use, uint64_t index)
{
    const struct page_use_part *part = part_of(use, index);
    return part && part->written > FEW + part->asked / 2 && ++use->guesses % LOOK_AGAIN != 0;
}

bool page_use_neighbours_stay(const struct page_use *use, uint64_t index)
{
    const struct page_use_part *part = part_of(use, index);
    return !part || (part->withdrawn <= FEW + part->copies / 4 && part->written <= FEW + part->asked / 4);
}
