/*
 * The address space of this enclave's process: VMAs over [USER_BASE, KERNEL_BASE) and [KERNEL_END, ELRANGE size), and
 * the pages committed in them. One enclave is one process, so there is one `struct mm`. All under the kernel lock.
 */
#ifndef COFRE_KERNEL_MM_MM_H
#define COFRE_KERNEL_MM_MM_H

#include "kernel/lib/list.h"
#include "kernel/lib/types.h"

struct file;

/* prot and flags are Linux's PROT_* and MAP_*. */
struct vma {
    RB_ENTRY(vma) node;
    uaddr_t start, end; /* page aligned, end exclusive */
    int prot;
    int flags;         /* MAP_PRIVATE or MAP_SHARED, MAP_ANONYMOUS, MAP_NORESERVE, MAP_GROWSDOWN, MAP_STACK */
    struct file *file; /* referenced; NULL for anonymous memory */
    file_off_t offset; /* of start in file */
    const char *name;  /* "[stack]", "[heap]", "[vdso]" or NULL; static storage */
    const struct vma_ops *ops;
    void *private;
    unsigned extra;     /* enum vma_extra */
    uaddr_t fault_next; /* where the next fault is if memory is touched in order; */
    size_t fault_pages; /* how many pages that would bring in */
};

enum vma_extra {
    VMA_LOCKED = 1,   /* mlock */
    VMA_DONTFORK = 2, /* madvise */
    VMA_PINNED = 4,   /* the kernel's own (stubs): the application cannot unmap, protect or map over it */
    VMA_WIPEONFORK = 8,
    VMA_DONTDUMP = 16,
    VMA_SHM = 32, /* attached by shmat */
};

/* For mappings that are not plain file pages (devices, rings). Any member may be NULL. */
struct vma_ops {
    int (*fault)(struct vma *vma, uaddr_t page, bool write); /* commit and fill one page: 0, -EFAULT, -EIO (SIGBUS) */
    void (*unmap)(struct vma *vma, uaddr_t start, uaddr_t end);
};

#define MM_AUXV_MAX 64

struct mm {
    RB_HEAD(vma_tree, vma) vmas;
    size_t vma_count;
    uaddr_t brk_start, brk;
    uaddr_t mmap_top; /* new mappings go below, top down */
    uaddr_t stack_top;
    uaddr_t vdso;
    uaddr_t arg_start, arg_end, env_start, env_end, start_stack; /* by exec */
    uint64_t auxv[MM_AUXV_MAX];                                  /* by exec; pairs */
    size_t auxv_count;                                           /* words */
    uint64_t committed_pages, committed_pages_max, limit_pages;
    uint64_t commits, decommits; /* pages, since boot */
    uint64_t locked_pages;
    unsigned frozen; /* mm_freeze() */
};

struct mm *mm_self(void);
/* At boot, after kmalloc_init() and the policy. */
void mm_init(void);
/* True if [addr, addr + size) is application memory (not the kernel's, not beyond the enclave). */
bool mm_range_ok(uaddr_t addr, size_t size);

/* As mmap(2), munmap(2), mprotect(2), with a file already looked up (a reference is taken). Return address or -errno.
 */
int64_t mm_map(uaddr_t addr, size_t size, int prot, int flags, struct file *file, file_off_t offset);
int mm_unmap(uaddr_t addr, size_t size);
int mm_protect(uaddr_t addr, size_t size, int prot);
/*
 * Pages of files in [start, end) that will all be used soon come now, as far as that is cheaper than by faults: where a
 * file's pages are read many at a time. Failures show when the pages are touched.
 */
void mm_read_ahead(uaddr_t start, uaddr_t end);
/*
 * For exec: drop every mapping and committed page; afterwards brk, arguments and vdso are unset, and stack_top (where
 * the main stack should end) and mmap_top are chosen anew.
 */
void mm_reset(void);
/*
 * Where a program's parts go is chosen at random, anew for each. In an enclave where programs follow one another
 * (mm_keep_layout()) the draw is its first one's for all, so that pages that were kept are found where they are needed.
 */
enum mm_layout { MM_LAYOUT_PROGRAM, MM_LAYOUT_BRK, MM_LAYOUT_STACK, MM_LAYOUT_MAPPINGS, MM_LAYOUT_COUNT };
void mm_keep_layout(void);
/* A random number for that. */
uint64_t mm_layout_random(enum mm_layout what);
/* After the last process of this enclave, for the next one: as new. pages_close_idle() is still to come. */
void mm_renew(void);
/* What membarrier(2) registered and set_mempolicy(2) set is forgotten. */
void membarrier_reset(void);
void mempolicy_reset(void);
/* Where exec says the break starts (page aligned upwards); room for it is not reserved. */
void mm_set_brk(uaddr_t start);
/* Name a mapping that was just made ("[stack]", "[vdso]"...; static storage). */
void mm_name(uaddr_t start, const char *name);
struct vma *mm_find_vma(uaddr_t addr);       /* the VMA containing addr, or NULL */
struct vma *mm_find_vma_above(uaddr_t addr); /* the first VMA with end > addr, or NULL */

/*
 * Resolve a page fault at addr (error: enum page_fault_error). 0, -EFAULT (SIGSEGV; *ret_code = SEGV_MAPERR or
 * SEGV_ACCERR), -EIO (SIGBUS BUS_ADRERR), or -ENOMEM: the memory limit is reached and SIGKILL has been sent, or
 * -EINTR: it was before; there is nothing more to do than go back through the way that delivers signals. May sleep.
 */
int mm_fault(uaddr_t addr, uint64_t error, int *ret_code);

/* A fault of the kernel's own access to a page that is there with the rights needed: a stale TLB, or the host's page
 * tables. True: try again. */
bool mm_fault_spurious(uaddr_t addr, uint64_t error);

/* 64 KiB-ish of executable memory within +-1 GiB of `near` for the rewriter; writable by the kernel for ever. 0 if
 * none. */
uaddr_t mm_stub_area(uaddr_t near, size_t *ret_size);

/*
 * While an image of the address space is made, which sleeps: no mapping changes but by stacks that grow and stub areas
 * that are added, and no page is given back. System calls that would do so call mm_wait_thaw() first.
 */
void mm_freeze(void);
void mm_thaw(void);
void mm_wait_thaw(void);

/* Room that is not committed yet, for sysinfo and /proc/meminfo; bytes. */
uint64_t mm_free_bytes(void);

#endif
