/* A few programs and what they touch (contract in programs.h). */
#include "kernel/remote/programs.h"

#include "kernel/fs/vfs.h"
#include "kernel/lib/string.h"
#include "kernel/mm/kmalloc.h"

#define PROGRAMS 16 /* 2 KiB each */
#define RUNS_MAX 64 /* after so many runs all is learnt anew, so that what is no longer touched is forgotten */

struct program {
    uint64_t dev, ino;
    uint64_t used; /* the time of its last run, in runs */
    unsigned runs;
    struct expected touched;
};

static struct program *programs; /* [PROGRAMS] */
static uint64_t now;

static uint64_t dev_of(const struct inode *inode)
{
    return inode->sb ? inode->sb->dev : 0;
}

static struct program *find(const struct inode *inode)
{
    for (size_t i = 0; programs && i < PROGRAMS; i++)
        if (programs[i].used && programs[i].ino == inode->ino && programs[i].dev == dev_of(inode))
            return &programs[i];
    return NULL;
}

static struct program *oldest(void)
{
    struct program *p = programs;
    for (size_t i = 1; i < PROGRAMS; i++)
        if (programs[i].used < p->used)
            p = &programs[i];
    return p;
}

/* Adds what is not there yet, as far as there is room. */
static void merge(struct expected *to, const struct expected *from)
{
    uint32_t count = MIN(from->count, (uint32_t)EXPECTED_MAX);
    for (uint32_t i = 0; i < count && to->count < EXPECTED_MAX; i++) {
        uint32_t at = 0;
        while (at < to->count && to->places[at] < from->places[i])
            at++;
        if (at < to->count && to->places[at] == from->places[i])
            continue;
        memmove(&to->places[at + 1], &to->places[at], (to->count - at) * sizeof(to->places[0]));
        to->places[at] = from->places[i];
        to->count++;
    }
}

void programs_learn(const struct inode *inode, const struct expected *touched)
{
    struct program *p = find(inode);
    if (!programs && !(programs = kzalloc(PROGRAMS * sizeof(*programs))))
        return;
    if (!p) {
        p = oldest();
        *p = (struct program){.dev = dev_of(inode), .ino = inode->ino, .used = ++now};
    }
    merge(&p->touched, touched);
}

void programs_recall(const struct inode *inode, struct expected *ret)
{
    struct program *p = find(inode);
    ret->count = 0;
    if (!p)
        return;
    p->used = ++now;
    memcpy(ret, &p->touched, sizeof(*ret));
    if (++p->runs % RUNS_MAX == 0)
        p->touched.count = 0;
}
