/*
 * The directory of a shared file: which enclaves have copies of a page, and who waits for it. Only the state machine;
 * what taking and granting mean is its user's affair (shared_home.c, tests/unit/test_directory.c).
 *
 * Holders are numbers: 0 is the home itself, the others are enclaves. Invariants, for each page:
 *
 *   1. There is one owner, who may write, and no reader; or there are readers, and nobody may write; or nobody but the
 *      home has it. The home may read unless there is an owner, and write if there are no readers either.
 *   2. Requests are served in order of arrival, `first` ones before others. The first is granted when all holders in
 *      its way have answered a "take"; nobody is asked twice.
 *   3. A holder that still owes an answer gets nothing: so its next answer is to that question.
 *   4. Who gives a copy up, to which a grant without contents may be on its way, is asked in any case: so that its
 *      refusal is not taken for what becomes of a later grant.
 *   5. While the home holds a page (directory_hold()), what was granted to it is not asked for.
 *   6. While the directory is closed, only the home is granted anything, and what it asks for comes first.
 *
 * A page that nobody else has, and nobody waits for, has no entry.
 */
#ifndef COFRE_KERNEL_REMOTE_DIRECTORY_H
#define COFRE_KERNEL_REMOTE_DIRECTORY_H

#include "kernel/fs/page_map.h"
#include "kernel/lib/list.h"
#include "kernel/lib/types.h"
#include "kernel/remote/page_use.h"

#define DIRECTORY_HOLDERS 1088 /* numbers below this */
#define DIRECTORY_NOBODY 0

struct directory;
struct directory_page;

struct directory_request {
    TAILQ_ENTRY(directory_request) entry;
    uint32_t holder;
    bool write;
    bool first;     /* before those that wait already */
    bool may_write; /* a grant for writing will do as well, if that is what mostly comes next */
};

struct holder_set {
    uint64_t bits[DIRECTORY_HOLDERS / 64];
    uint32_t count;
};

struct directory_page {
    uint64_t index;
    uint32_t owner;                   /* DIRECTORY_NOBODY: the home's copy counts */
    struct holder_set readers, asked; /* asked: were told to give it up and have not answered */
    struct holder_set promoted;       /* were last sent a grant without contents, and may have to refuse it */
    TAILQ_HEAD(, directory_request) requests;
    bool held; /* by the home */
    bool stepping;
};

struct directory_ops {
    /* Ask a holder to give the page up, or (to_read) to keep it only for reading: directory_answered() follows. */
    void (*take)(struct directory *directory, struct directory_page *page, uint32_t holder, bool to_read);
    /* The request, which is off the list, is fulfilled; had: the holder has the contents already. Must not sleep. */
    void (*grant)(struct directory *directory, struct directory_page *page, struct directory_request *request,
                  bool had);
    /* The page is not lent (directory_lent()), perhaps not any more. Must not sleep. May be NULL. */
    void (*settled)(struct directory *directory, uint64_t index);
};

struct directory {
    const struct directory_ops *ops;
    struct page_map pages;
    size_t page_count;
    struct page_use use;
    unsigned closed;
    bool behind; /* somebody waits for it to be opened */
};

void directory_init(struct directory *directory, const struct directory_ops *ops);
/* All pages must be free of requests; entries are dropped. */
void directory_deinit(struct directory *directory);

struct directory_page *directory_find(const struct directory *directory, uint64_t index); /* NULL: only the home */
/* May the home read, or write, now? */
bool directory_home_may(const struct directory *directory, uint64_t index, bool write);
/* Has it an owner, or does somebody wait for it? */
bool directory_lent(const struct directory *directory, uint64_t index);
bool directory_has(const struct directory_page *page, uint32_t holder);
/* And nobody asked for it. */
bool directory_keeps(const struct directory_page *page, uint32_t holder, bool write);
/* Others read it, this one does not, and nobody is in the way. */
bool directory_readable(const struct directory_page *page, uint32_t holder);

/* Queue a request; it may be granted before this returns. 0 or -ENOMEM. */
must_check int directory_request(struct directory *directory, uint64_t index, struct directory_request *request);
/* The request is dropped, if it still waits. */
void directory_forget(struct directory *directory, uint64_t index, struct directory_request *request);

enum directory_answer { ANSWER_NOTHING = 0, ANSWER_GAVE, ANSWER_READS };
/*
 * A holder answered a take, or (asked = false) gave a page back on its own. False: that cannot be, it lies. The caller
 * has stored the contents that came along.
 */
must_check bool directory_answered(struct directory *directory, uint64_t index, uint32_t holder,
                                   enum directory_answer answer, bool asked);
/* The home wants back what the holder owns, though nobody asked for it; to_read: but the holder may go on reading it.
 */
void directory_recall(struct directory *directory, uint64_t index, uint32_t holder, bool to_read);
/* Would contents from this holder count? */
bool directory_owns(const struct directory *directory, uint64_t index, uint32_t holder);

/* The home uses the page until directory_release(). */
void directory_hold(struct directory_page *page);
void directory_release(struct directory *directory, uint64_t index);
/* Nobody but the home is granted anything before directory_open(), which is called as often. */
void directory_close(struct directory *directory);
void directory_open(struct directory *directory);
/* A holder is gone: it has nothing, asks for nothing (dropped requests are passed to drop), owes no answer. */
void directory_lost(struct directory *directory, uint32_t holder, void (*drop)(struct directory_request *request));

#endif
