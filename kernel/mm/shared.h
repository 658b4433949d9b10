/*
 * Shared mappings of files that can be written (tmpfs, memfd).
 *
 * A page has one home in an enclave. While a page of such a file is touched through a mapping, its contents live at the
 * address where it was touched last (its home), and the file's own storage is behind. A second mapping of the same page
 * takes it over when touched. When the mapping goes, the page goes back to the file through write_page.
 *
 * A file system with a write_page operation calls, only if inode->mappings is not NULL:
 *   - before it reads page `index` of its own storage: shared_page_pull(), which refreshes the storage;
 *   - after it wrote to page `index`: shared_page_push() (so a partial write is pull, change, push);
 *   - when the file is cut to `size`: shared_truncate(), before it drops its own pages.
 */
#ifndef COFRE_KERNEL_MM_SHARED_H
#define COFRE_KERNEL_MM_SHARED_H

#include "kernel/lib/types.h"

struct inode;
struct vma;

/* Whether any page of the file lives in a mapping; if not, its own storage is all there is to read. */
bool shared_any(const struct inode *inode);
/* If the page lives in a mapping, copy it to page (4096 bytes) and return true. */
bool shared_page_pull(struct inode *inode, uint64_t index, void *page);
/* If the page lives in a mapping, replace it by page. */
void shared_page_push(struct inode *inode, uint64_t index, const void *page);
/* The first page at or after *index that lives in a mapping which can write it: true, and *index says which. */
bool shared_next_writable(const struct inode *inode, uint64_t *index);
/* Pages wholly beyond size vanish from mappings (touching them is SIGBUS from now on); the rest of the last one is
 * zero.
 */
void shared_truncate(struct inode *inode, file_off_t size);

/* For kernel/mm/: a VMA of a file comes, goes. shared_detach() after its pages are gone. */
must_check int shared_attach(struct vma *vma);
void shared_detach(struct vma *vma);
/* Bring in [start, start + count pages); pages at home elsewhere only if they are `must`. 0, -EIO or -ENOMEM. */
must_check int shared_commit(struct vma *vma, uaddr_t start, size_t count, uaddr_t must);
/* Pages of [start, end) go back to the file; they stay committed and have no home any more. */
void shared_writeback(struct vma *vma, uaddr_t start, uaddr_t end);

#endif
