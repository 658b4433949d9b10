/*
 * Long reads of a volume's file past the host's page cache. Linux reads a file ahead in windows that grow with what is
 * read in order; where the run goes on elsewhere in the file they begin small again, behind what was read ahead in
 * vain. The kernel of a volume knows what it will read, and keeps the disk busier without.
 *
 * On two conditions. The memory that is read into is of huge pages: a virtual disk takes requests of single pages at a
 * third of the rate. And the page cache would have been of no use: of each VOLUME_DIRECT_REGION of the file that is
 * read past it, it gets the last page, the mark. If it still has that one when the region is read again, it would have
 * had the region, too, and gets it now.
 */
#ifndef COFRE_HOST_VOLUME_DIRECT_H
#define COFRE_HOST_VOLUME_DIRECT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define VOLUME_DIRECT_REGION (1UL << 20)

struct volume_direct {
    int fd;              /* O_DIRECT; -1: the file system cannot */
    int cached_fd;       /* the same file through the page cache */
    void *file;          /* mapped, to ask what of it is in memory; MAP_FAILED: it cannot be asked */
    uint64_t size;       /* whole pages */
    atomic_bool *wanted; /* of each region: the page cache is getting it; NULL: no memory */
    char *area;          /* that is read into */
    size_t area_size;
    atomic_bool asked, huge; /* whether the area is of huge pages; it is */
};

/* Memory of size bytes that can be of huge pages, and of `more` behind it that is of its own. NULL: there is none. */
char *volume_direct_area(size_t size, size_t more);
/* The files stay open, the area stays. */
void volume_direct_init(struct volume_direct *d, int fd, int cached_fd, uint64_t size, char *area, size_t area_size);
/* Pages of the file into the area. False: they are better read through the page cache, or cannot be read here; `to` may
 * have changed. */
bool volume_direct_read(struct volume_direct *d, uint64_t offset, char *to, size_t size);

#endif
