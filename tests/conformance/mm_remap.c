/* mremap, brk, madvise, mincore, mlock, msync. */
#include "show.h"

#include <stdint.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#define P 4096UL

static char *map(size_t pages, int extra)
{
    return mmap(NULL, pages * P, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | extra, -1, 0);
}

static void fill(char *p, size_t pages)
{
    for (size_t i = 0; i < pages; i++)
        p[i * P] = (char)(i + 1);
}

static int filled(const char *p, size_t pages)
{
    for (size_t i = 0; i < pages; i++)
        if (p[i * P] != (char)(i + 1))
            return 0;
    return 1;
}

static void remap(void)
{
    char *area = map(64, 0), *p = area + 16 * P, *q;

    munmap(area, 16 * P);
    munmap(area + 32 * P, 32 * P);
    fill(p, 16);
    q = mremap(p, 16 * P, 24 * P, 0);
    printf("grown in place: %d %d %d\n", q == p, filled(q, 16), q[20 * P]);
    q = mremap(p, 24 * P, 8 * P, 0);
    printf("shrunk: %d %d\n", q == p, filled(q, 8));
    mmap(p + 8 * P, P, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    SHOW(mremap(p, 8 * P, 16 * P, 0));
    q = mremap(p, 8 * P, 600 * P, MREMAP_MAYMOVE);
    printf("moved: %d %d %d\n", q != p, filled(q, 8), q[599 * P]);
    SHOW(mincore(p, P, (unsigned char[1]){0}));
    fill(q, 600);
    p = map(700, 0);
    q = mremap(q, 600 * P, 600 * P, MREMAP_MAYMOVE | MREMAP_FIXED, p + 50 * P);
    printf("fixed: %d %d\n", q == p + 50 * P, filled(q, 600));
    SHOW(mremap(q, P, 2 * P, MREMAP_FIXED, p));
    SHOW(mremap(q + 1, P, 2 * P, MREMAP_MAYMOVE));
    SHOW(mremap(q, P, 0, MREMAP_MAYMOVE));
    SHOW(mremap(q, 4 * P, 4 * P, MREMAP_MAYMOVE | MREMAP_FIXED, q + 2 * P));
    SHOW(mremap(q, P, P, 0x100));
}

static void advise(void)
{
    char *p = map(400, 0);

    fill(p, 400);
    SHOW(madvise(p, 10 * P, MADV_DONTNEED));
    printf("few: %d %d\n", p[0], p[10 * P]);
    SHOW(madvise(p, 300 * P, MADV_DONTNEED));
    printf("many: %d %d %d\n", p[11 * P], p[299 * P], p[300 * P] != 0);
    fill(p, 400);
    SHOW(madvise(p, 400 * P, MADV_NORMAL));
    SHOW(madvise(p, 400 * P, MADV_HUGEPAGE));
    SHOW(madvise(p, 400 * P, MADV_WILLNEED));
    SHOW(madvise(p, 400 * P, MADV_FREE));
    SHOW(madvise(p + 1, P, MADV_DONTNEED));
    SHOW(madvise(p, P, 12345));
    SHOW(madvise(p, 0, MADV_DONTNEED));
    munmap(p + 8 * P, P);
    fill(p, 8);
    SHOW(madvise(p, 16 * P, MADV_DONTNEED));
    printf("around the hole: %d %d\n", p[0], p[9 * P]);
    SHOW(madvise(p, 4 * P, MADV_POPULATE_WRITE));
    SHOW(madvise(p + 6 * P, 8 * P, MADV_POPULATE_READ));
    SHOW(madvise(p, 4 * P, MADV_DONTFORK));
    SHOW(madvise(p, 4 * P, MADV_DOFORK));
    SHOW(madvise(p, 4 * P, MADV_DONTDUMP));
    SHOW(mprotect(p, 4 * P, PROT_READ));
    SHOW(madvise(p, 4 * P, MADV_POPULATE_WRITE));
}

static void residency(void)
{
    unsigned char vec[64];
    char *p = map(64, MAP_POPULATE);
    int count = 0;

    SHOW(mincore(p, 64 * P, vec));
    for (int i = 0; i < 64; i++)
        count += vec[i] & 1;
    printf("populated: %d\n", count);
    SHOW(mincore(p + 1, P, vec));
    SHOW(mincore(p, 64 * P, NULL));
    munmap(p + P, P);
    SHOW(mincore(p, 3 * P, vec));
    SHOW(mlock(p + 2 * P, 8 * P));
    SHOW(madvise(p + 2 * P, 2 * P, MADV_DONTNEED));
    SHOW(munlock(p + 2 * P, 8 * P));
    SHOW(mlock(p, 3 * P));
    SHOW(msync(p + 2 * P, 4 * P, MS_SYNC));
    SHOW(msync(p, 4 * P, MS_ASYNC));
    SHOW(msync(p + 2 * P, P, MS_ASYNC | MS_SYNC));
    SHOW(mlockall(0));
    SHOW(munlockall());
}

static void program_break(void)
{
    char *start = sbrk(0), *p;

    SHOW(sbrk(10 * P) == start);
    memset(start, 1, 10 * P);
    SHOW(brk(start + 2 * P));
    SHOW(brk(start + 10 * P));
    p = start + 4 * P;
    printf("fresh: %d kept: %d\n", p[0], start[P]);
    SHOW(brk(start));
    SHOW(sbrk(0) == start);
    SHOW(brk((void *)1));
}

static void limits(void)
{
    struct rlimit limit = {256 << 20, RLIM_INFINITY};

    SHOW(setrlimit(RLIMIT_AS, &limit));
    SHOW(mmap(NULL, 1UL << 30, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    limit.rlim_cur = RLIM_INFINITY;
    SHOW(setrlimit(RLIMIT_AS, &limit));
}

int main(void)
{
    remap();
    advise();
    residency();
    program_break();
    limits();
    return 0;
}
