/* Long reads of a volume's file past the host's page cache (contract in volume_direct.h). */
#include "host/volume_direct.h"

#include "abi/layout.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23 /* Linux 5.14 */
#endif
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25 /* Linux 6.1 */
#endif
#define HUGE_PAGE (2UL << 20)
#define REGIONS_AHEAD 16

char *volume_direct_area(size_t size, size_t more)
{
    size_t kept = size + more, room = kept + HUGE_PAGE, before;
    char *p = mmap(NULL, room, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (p == MAP_FAILED)
        return NULL;
    before = -(uintptr_t)p % HUGE_PAGE;
    if (before > 0)
        munmap(p, before);
    munmap(p + before + kept, HUGE_PAGE - before);
    (void)madvise(p + before, size, MADV_HUGEPAGE); /* area_is_huge() sees what came of it */
    return p + before;
}

void volume_direct_init(struct volume_direct *d, int fd, int cached_fd, uint64_t size, char *area, size_t area_size)
{
    *d = (struct volume_direct){
        .fd = fd, .cached_fd = cached_fd, .size = size / PAGE_SIZE * PAGE_SIZE, .area = area, .area_size = area_size};
    d->wanted = calloc(size / VOLUME_DIRECT_REGION + 1, sizeof(*d->wanted));
    d->file = mmap(NULL, size, PROT_NONE, MAP_SHARED, cached_fd, 0);
}

/* Asked once. Who reads meanwhile does so through the page cache. */
static bool area_is_huge(struct volume_direct *d)
{
    if (!atomic_exchange(&d->asked, true))
        atomic_store(&d->huge, madvise(d->area, d->area_size, MADV_POPULATE_WRITE) == 0 &&
                                   madvise(d->area, d->area_size, MADV_COLLAPSE) == 0);
    return atomic_load(&d->huge);
}

static uint64_t last_page(const struct volume_direct *d, uint64_t region)
{
    uint64_t end = (region + 1) * VOLUME_DIRECT_REGION;

    return (end < d->size ? end : d->size) - PAGE_SIZE;
}

/* Of a file that is not ours to write to, Linux says so of every page. */
static bool page_is_cached(const struct volume_direct *d, uint64_t offset)
{
    unsigned char cached;

    return mincore((char *)d->file + offset, PAGE_SIZE, &cached) < 0 || (cached & 1);
}

/* Of the region the page cache has the last page, and not because it read all of it. */
static bool is_marked(const struct volume_direct *d, uint64_t region)
{
    uint64_t last = last_page(d, region);

    return last % VOLUME_DIRECT_REGION > 0 && page_is_cached(d, last) && !page_is_cached(d, last - PAGE_SIZE);
}

/*
 * The page cache is to get regions that are marked: this one and, since it reads ahead, those behind. Not with the mark
 * in its way: what it has some of it reads in small pages.
 */
static void want_regions(struct volume_direct *d, uint64_t region)
{
    for (uint64_t end = region + REGIONS_AHEAD; region < end && region * VOLUME_DIRECT_REGION < d->size; region++)
        if (is_marked(d, region)) {
            atomic_store(&d->wanted[region], true);
            (void)posix_fadvise(d->cached_fd, (off_t)last_page(d, region), PAGE_SIZE, POSIX_FADV_DONTNEED);
        }
}

/* `ends`: what is to be read ends the region. */
static bool cache_is_of_use(struct volume_direct *d, uint64_t region, bool ends)
{
    if (!atomic_load(&d->wanted[region])) {
        if (!page_is_cached(d, last_page(d, region)))
            return false;
        if (!is_marked(d, region))
            return true;
        want_regions(d, region);
    }
    if (ends) {
        atomic_store(&d->wanted[region], false);
        want_regions(d, region + 1);
    }
    return true;
}

bool volume_direct_read(struct volume_direct *d, uint64_t offset, char *to, size_t size)
{
    uint64_t region = offset / VOLUME_DIRECT_REGION;
    bool ends;

    if (d->fd < 0 || d->file == MAP_FAILED || !d->wanted || offset >= d->size)
        return false;
    ends = offset + size > last_page(d, region);
    if (cache_is_of_use(d, region, ends) || !area_is_huge(d) || pread(d->fd, to, size, (off_t)offset) != (ssize_t)size)
        return false;
    if (ends)
        (void)posix_fadvise(d->cached_fd, (off_t)last_page(d, region), PAGE_SIZE, POSIX_FADV_WILLNEED);
    return true;
}
