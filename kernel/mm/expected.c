/* Pages that a program will touch (contract in expected.h). */
#include "kernel/mm/expected.h"

#include <linux/mman.h>

#include "kernel/fs/file.h"
#include "kernel/lib/string.h"
#include "kernel/mm/pages.h"
#include "kernel/mm/vma.h"

static bool noting;
static struct expected noted, next;

/* Files whose pages come many at a time; others have nothing to gain. */
static bool place_of(const struct vma *vma, uaddr_t page, struct file_place *ret)
{
    const struct inode_ops *ops = vma->file && !vma->ops ? vma->file->inode->ops : NULL;

    if (!ops || !ops->read_pages || (vma->flags & MAP_SHARED))
        return false;
    *ret = (struct file_place){.file = (uint32_t)vma->file->inode->ino,
                               .page = (uint32_t)vma_page_index(vma, page),
                               .first = (uint32_t)vma_page_index(vma, vma->start),
                               .rights = vma_rights(vma->prot)};
    return true;
}

void expected_start(void)
{
    noting = true;
    noted.count = 0;
}

void expected_note(const struct vma *vma, uaddr_t page)
{
    struct file_place place;

    if (noting && noted.count < EXPECTED_MAX && place_of(vma, page, &place))
        noted.places[noted.count++] = place;
}

static void copy(struct expected *to, const struct expected *from)
{
    to->count = MIN(from->count, (uint32_t)EXPECTED_MAX);
    memcpy(to->places, from->places, to->count * sizeof from->places[0]);
}

void expected_take(struct expected *ret)
{
    copy(ret, &noted);
    noted.count = 0;
}

void expected_set(const struct expected *expected)
{
    copy(&next, expected);
}

void expected_forget(void)
{
    noting = false;
    noted.count = next.count = 0;
}

void expected_get(struct expected *ret)
{
    copy(ret, &next);
}

/* Runs that a page or two part come in one piece. */
#define GAP_MAX 2

/* The first expected page of vma from `page` on, or its end. Places are in order of file, mapping and page. */
static uaddr_t next_expected(const struct vma *vma, const struct file_place *whole, uaddr_t page)
{
    uint32_t index = (uint32_t)vma_page_index(vma, page);

    for (uint32_t i = 0; i < next.count; i++) {
        const struct file_place *p = &next.places[i];

        if (p->file == whole->file && p->first == whole->first && p->rights == whole->rights && p->page >= index)
            return MIN(vma->end, page + (uint64_t)(p->page - index) * PAGE_SIZE);
    }
    return vma->end;
}

void expected_bring_in(struct vma *vma)
{
    struct file_place whole;
    uaddr_t start, end, following;

    if (next.count == 0 || !pages_edmm() || !place_of(vma, vma->start, &whole))
        return;
    for (start = next_expected(vma, &whole, vma->start); start < vma->end; start = following) {
        end = start + PAGE_SIZE;
        while ((following = next_expected(vma, &whole, end)) < vma->end && following <= end + GAP_MAX * PAGE_SIZE)
            end = following + PAGE_SIZE;
        (void)!vma_populate(vma, start, end, 0);
    }
}
