/*
 * Shared mappings of files that can be written (tmpfs, memfd).
 *
 * A page has one home in an enclave. While a page of such a file is touched through a mapping, its contents live at the
 * address where it was touched last (its home), and the file's own storage is behind. A second mapping of the same page
 * takes it over when touched. When the mapping goes, the page goes back to the file through write_page.
 *
 * A file system with a write_page operation calls, only if inode->mappings is not NULL:
 *   - before it reads page `index` of its own storage: shared_page_pull(), which refreshes the storage;
 *   - after it wrote to page `index`: shared_page_push() (so a partial write is pull, change, push), or patch;
 *   - when the file is cut to `size`: shared_truncate(), before it drops its own pages.
 *
 * Where enclaves share files, each page is besides in one of these states here, as kernel/remote says by struct
 * shared_ops and docs/PROCESSES.md explains: not to be had, to be read, to be written. The file system calls
 * shared_acquire() before the above, and shared_withdraw() before shared_truncate(). A file system that sleeps while it
 * changes a page has shared_close() keep others from getting it meanwhile, and has hold_page.
 */
#ifndef COFRE_KERNEL_MM_SHARED_H
#define COFRE_KERNEL_MM_SHARED_H

#include "kernel/lib/types.h"

struct file;
struct inode;
struct vma;

/* How pages come from, and go to, other enclaves. */
struct shared_ops {
    bool member; /* pages are copies of the init enclave's: what is not in a mapping here is there */
    bool (*coherent)(const struct inode *inode);
    /* Not for members. May this enclave read, or write, the page now? */
    bool (*may)(const struct inode *inode, uint64_t index, bool write);
    /*
     * See to it that it may; a member's page is then at `page`, if a mapping of the file is still there. What was got
     * may be gone again when the caller looks. Sleeps. 0, -EIO (SIGBUS), -ENOMEM, -EINTR if the process is to end.
     */
    int (*acquire)(struct file *file, uint64_t index, uaddr_t page, bool write);
    /* Not for members. The first page at or after index that another enclave has; false: none. */
    bool (*next)(const struct inode *inode, uint64_t index, uint64_t *ret_index);
    /* Not for members. Who may write the page is asked for what it wrote. Does not sleep. */
    void (*call)(struct inode *inode, uint64_t index);
    /* Not for members. Another enclave may write the page, or somebody waits for it. */
    bool (*lent)(const struct inode *inode, uint64_t index);
    /* Not for members. From close to open no other enclave gets a page; false: there was nobody to keep from it. */
    bool (*close)(struct inode *inode);
    void (*open)(struct inode *inode);
    void (*evict)(struct inode *inode);
    /* What was acquired is in use and should stay for a moment; in a member: and is wanted back then. */
    void (*used)(struct inode *inode, uint64_t index);
    /* Members only. The page goes back; contents NULL: as it came. asked: that is the answer to a take. */
    void (*give)(struct inode *inode, uint64_t index, const void *contents, bool asked);
    /* Wait until not too much that was given waits to be sent. May be NULL. Sleeps. */
    void (*wait)(void);
    /* A nameless file of zeroes for MAP_SHARED | MAP_ANONYMOUS. Sleeps. 0 or -errno; -ENOSYS: nobody to share with. */
    int (*anonymous)(size_t size, struct file **ret_file);
    /* What futexes call the file; 0: it is this enclave's alone. */
    uint64_t (*name)(struct inode *inode);
};
/* Boot. */
void shared_ops_set(const struct shared_ops *ops);

/* Whether any page of the file lives in a mapping; if not, its own storage is all there is to read. */
bool shared_any(const struct inode *inode);
/* If the page lives in a mapping, copy it to page (4096 bytes) and return true. */
bool shared_page_pull(struct inode *inode, uint64_t index, void *page);
/* If the page lives in a mapping, replace it by page. */
void shared_page_push(struct inode *inode, uint64_t index, const void *page);
/* The first page at or after *index that lives in a mapping which can write it: true, and *index says which. */
bool shared_next_writable(const struct inode *inode, uint64_t *index);
/* The same for a part of it: what other threads write around it stays. */
void shared_page_patch(struct inode *inode, uint64_t index, size_t offset, const void *src, size_t size);
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

/* ---- with other enclaves ---- */

/* Pages of vma may be in other enclaves. */
bool shared_coherent(const struct vma *vma);
/* A fault on a page of such a VMA: 0 done, 1 bring it in as any other page, -EAGAIN look again (it slept), -errno. */
must_check int shared_fault(struct vma *vma, uaddr_t page, bool write);
/* Is the page, for a private copy of it, to be had from this kernel's file system? If not: -EAGAIN, or -errno. */
bool shared_readable(const struct inode *inode, uint64_t index);
must_check int shared_make_readable(struct vma *vma, uaddr_t page);
/* The rights of the committed pages of vma: `rights`, as far as other enclaves' copies allow. */
void shared_set_rights(struct vma *vma, unsigned rights);
/* File for an anonymous shared mapping: *ret_file NULL if memory of this enclave alone will do. 0 or -errno. */
must_check int shared_anonymous(size_t size, struct file **ret_file);
/* Which file and which place in it a futex at addr is: false if it is this enclave's alone. */
bool shared_futex_key(uaddr_t addr, uint64_t *ret_file, uint64_t *ret_offset);
/* Member: all pages that are copies go back. Sleeps. */
void shared_give_all(uaddr_t start, uaddr_t end);

/* For file systems (not in members): may read, or write, the page until the next sleep. Sleeps. 0 or -errno. */
must_check int shared_acquire(struct inode *inode, uint64_t index, bool write);
/* No other enclave has page `first`, or one beyond; those beyond are past the file's end. Sleeps. 0 or -errno. */
must_check int shared_withdraw(struct inode *inode, uint64_t first);
/* No other enclave has pages of [first, end), if none gets them meanwhile. Sleeps. 0 or -errno. */
must_check int shared_take_back(struct inode *inode, uint64_t first, uint64_t end);
/*
 * What other enclaves wrote to the next `count` of their pages, from *index on, is given back, if none writes on
 * meanwhile: they may go on reading. *index is where to go on, *ret_more whether there are more. Sleeps. 0 or -errno.
 */
must_check int shared_call_back(struct inode *inode, uint64_t *index, size_t count, bool *ret_more);
/* Other enclaves have pages of the file, or wait for some. */
bool shared_spread(const struct inode *inode);
/* Another enclave may write the page, or somebody waits for it: its place is kept (inode_ops.hold_page). */
bool shared_lent(const struct inode *inode, uint64_t index);
/* No other enclave gets a page until shared_open(), which follows if this is true. */
must_check bool shared_close(struct inode *inode);
void shared_open(struct inode *inode);
/* The inode goes; nobody maps it. */
void shared_evict(struct inode *inode);

/* For kernel/remote in the init enclave: the page of a mapping here, if any, leaves it, or may only be read from now
 * on; buf gets the contents. 0 or -errno. */
must_check int shared_page_yield(struct inode *inode, uint64_t index, bool to_read, void *buf);

/* For kernel/remote in a member. */
enum shared_take { SHARED_NOT_HERE, SHARED_LATER, SHARED_TAKEN };
#define SHARED_TAKE_MAX 16
/* Where a mapping has the page, whether it is there or not; 0: nowhere. */
uaddr_t shared_place_of(const struct inode *inode, uint64_t index);
/*
 * A page came for `page`: 0, -ENOMEM, or -ENOENT: no mapping there, or one has it already. awaited: by a thread, for
 * which it is to stay for a moment.
 */
must_check int shared_page_install(struct inode *inode, uint64_t index, uaddr_t page, const void *contents, bool write,
                                   bool awaited);
bool shared_page_here(const struct inode *inode, uint64_t index);
/* The copy may be written from now on. */
void shared_page_promote(struct inode *inode, uint64_t index, bool awaited);
/*
 * The init enclave wants back the `count` pages from index on, at most SHARED_TAKE_MAX. As many of them as lie one
 * after the other here, and go the same way, go at once: how many (at least 1) is returned, and what becomes of them.
 * SHARED_TAKEN: they are gone (or read-only), bit i of *ret_dirty says that buf has the contents of the i-th one.
 * SHARED_LATER: not before *ret_later; a page that goes on its own before that answers by give(asked).
 */
size_t shared_pages_take(struct inode *inode, uint64_t index, size_t count, bool to_read, void *buf,
                         enum shared_take *ret_take, uint32_t *ret_dirty, uint64_t *ret_later);
/* The next page that was SHARED_LATER and is due; false: none, *ret_later is when there will be one (or NO_DEADLINE).
 */
bool shared_page_due(struct inode **ret_inode, uint64_t *ret_index, bool *ret_to_read, uint64_t *ret_later);

#endif
