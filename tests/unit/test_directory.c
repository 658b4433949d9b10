/*
 * The directory of shared pages under a seeded scheduler: three enclaves and the home, messages in order on each link
 * but otherwise whenever it pleases, copies that are given up unasked, enclaves that vanish. The oracle is one word
 * that everybody reads and writes: a read must give what was written last, wherever that was.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "kernel/lib/printk.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/remote/directory.h"

#define MEMBERS 3
#define QUEUE 64
#define STEPS 4000
#define SEEDS 300

enum kind { GET_READ, GET_WRITE, BACK, GRANT, TAKE };

struct parcel {
    enum kind kind;
    bool write, contents, asked, to_read, nothing, reads;
    uint64_t value;
};

struct channel {
    struct parcel parcels[QUEUE];
    size_t count;
};

struct member {
    struct channel to, from;
    bool here, exclusive, asks; /* asks: a GET is out */
    uint64_t value;
    bool deferred, deferred_read; /* a TAKE it has not answered: the page is held */
};

static struct directory directory;
static struct member members[MEMBERS + 1];
static uint64_t stored, last;
static bool home_waits, home_granted;
static struct directory_request *home_request;
static unsigned long seed, reads, writes, moves;

static unsigned random_below(unsigned n)
{
    seed = seed * 6364136223846793005UL + 1442695040888963407UL;
    return (unsigned)(seed >> 33) % n;
}

static void put(struct channel *c, struct parcel parcel)
{
    assert_true(c->count < QUEUE);
    c->parcels[c->count++] = parcel;
}

static struct parcel get(struct channel *c)
{
    struct parcel parcel = c->parcels[0];
    memmove(c->parcels, c->parcels + 1, --c->count * sizeof(parcel));
    moves++;
    return parcel;
}

void *kzalloc(size_t size)
{
    return calloc(1, size);
}

void kfree(void *p)
{
    free(p);
}

noreturn_fn void panic_at(const char *file, int line, const char *format, ...)
{
    fprintf(stderr, "%s:%d: %s\n", file, line, format);
    abort();
}

/* ---- the home ---- */

static void on_take(struct directory *d, struct directory_page *page, uint32_t holder, bool to_read)
{
    put(&members[holder].to, (struct parcel){.kind = TAKE, .to_read = to_read});
}

static void on_grant(struct directory *d, struct directory_page *page, struct directory_request *request, bool had)
{
    if (request->holder == 0) {
        home_granted = true;
        return;
    }
    put(&members[request->holder].to,
        (struct parcel){.kind = GRANT, .write = request->write, .contents = !had, .value = stored});
    kfree(request);
}

static const struct directory_ops ops = {on_take, on_grant};

static void home_receive(uint32_t number)
{
    struct parcel p = get(&members[number].from);
    if (p.kind != BACK) {
        struct directory_request *request = kzalloc(sizeof(*request));
        *request = (struct directory_request){.holder = number,
                                              .write = p.kind == GET_WRITE,
                                              .first = random_below(4) == 0,
                                              .may_write = random_below(2)};
        assert_int_equal(directory_request(&directory, 0, request), 0);
        return;
    }
    if (p.contents) {
        assert_true(directory_owns(&directory, 0, number));
        stored = p.value;
    }
    assert_true(directory_answered(&directory, 0, number,
                                   p.nothing ? ANSWER_NOTHING
                                   : p.reads ? ANSWER_READS
                                             : ANSWER_GAVE,
                                   p.asked));
}

static void home_use(bool write)
{
    if (!directory_home_may(&directory, 0, write))
        return;
    assert_int_equal(stored, last);
    reads++;
    if (write) {
        stored = ++last;
        writes++;
    }
}

static void home_acts(void)
{
    if (home_granted) {
        home_use(home_request->write);
        assert_true(directory_home_may(&directory, 0, home_request->write));
        home_granted = home_waits = false;
        kfree(home_request);
        directory_release(&directory, 0);
    } else if (!home_waits) {
        home_request = kzalloc(sizeof(*home_request));
        home_request->write = random_below(2);
        home_waits = true;
        assert_int_equal(directory_request(&directory, 0, home_request), 0);
    }
}

/* ---- members ---- */

static void answer(struct member *m, bool to_read)
{
    struct parcel p = {.kind = BACK, .asked = true, .nothing = !m->here, .reads = m->here && to_read};
    if (m->here && m->exclusive) {
        p.contents = true;
        p.value = m->value;
    }
    m->exclusive = false;
    m->here &= to_read;
    m->deferred = false;
    put(&m->from, p);
}

static void member_receive(struct member *m)
{
    struct parcel p = get(&m->to);
    if (p.kind == TAKE) {
        assert_false(m->deferred); /* asked once */
        if (m->here && random_below(2)) {
            m->deferred = true;
            m->deferred_read = p.to_read;
        } else {
            answer(m, p.to_read);
        }
        return;
    }
    m->asks = false;
    if (p.contents) {
        assert_false(m->here);
        m->here = true;
        m->exclusive = p.write;
        m->value = p.value;
    } else if (!m->here) {
        put(&m->from, (struct parcel){.kind = BACK});
    } else {
        m->exclusive |= p.write;
    }
}

static void give(struct member *m)
{
    if (!m->here)
        return;
    put(&m->from, (struct parcel){.kind = BACK, .contents = m->exclusive, .value = m->value, .asked = m->deferred});
    m->here = m->exclusive = m->deferred = false;
}

static void member_acts(struct member *m)
{
    if (m->here) {
        assert_int_equal(m->value, last);
        reads++;
    }
    if (m->exclusive) {
        m->value = ++last;
        writes++;
    }
    if (!m->asks && !m->exclusive) {
        m->asks = true;
        put(&m->from, (struct parcel){.kind = m->here || random_below(2) ? GET_WRITE : GET_READ});
    }
}

static void drop(struct directory_request *request)
{
    kfree(request);
}

/* What only it had is lost: the word is what it was. */
static void vanish(uint32_t number)
{
    struct member *m = &members[number];
    memset(m, 0, sizeof(*m));
    if (directory_owns(&directory, 0, number))
        last = stored;
    directory_lost(&directory, number, drop);
}

static void one_writer(void)
{
    unsigned owners = 0, copies = 0;
    for (uint32_t i = 1; i <= MEMBERS; i++) {
        owners += members[i].here && members[i].exclusive;
        copies += members[i].here;
    }
    assert_true(owners == 0 || (owners == 1 && copies == 1));
}

static void step(void)
{
    uint32_t number = 1 + random_below(MEMBERS);
    struct member *m = &members[number];
    switch (random_below(8)) {
    case 0:
    case 1:
        if (m->to.count)
            member_receive(m);
        break;
    case 2:
    case 3:
        if (m->from.count)
            home_receive(number);
        break;
    case 4:
        member_acts(m);
        break;
    case 5:
        if (m->deferred)
            answer(m, m->deferred_read);
        break;
    case 6:
        if (random_below(4) == 0)
            give(m);
        else if (random_below(200) == 0)
            vanish(number);
        else if (random_below(4) == 0)
            directory_recall(&directory, 0, number, random_below(2));
        break;
    default:
        home_acts();
    }
    one_writer();
}

/* Whoever asked is served, if messages go on. */
static void settle(void)
{
    for (bool busy = true; busy;) {
        busy = false;
        for (uint32_t i = 1; i <= MEMBERS; i++) {
            while (members[i].to.count || members[i].from.count || members[i].deferred) {
                busy = true;
                if (members[i].deferred)
                    answer(&members[i], members[i].deferred_read);
                if (members[i].to.count)
                    member_receive(&members[i]);
                if (members[i].from.count)
                    home_receive(i);
            }
        }
        if (home_granted) {
            busy = true;
            home_acts();
        }
    }
    assert_false(home_waits);
    for (uint32_t i = 1; i <= MEMBERS; i++)
        assert_false(members[i].asks);
}

static void test_order(void **state)
{
    for (unsigned long s = 1; s <= SEEDS; s++) {
        seed = s;
        memset(members, 0, sizeof(members));
        stored = last = 0;
        directory_init(&directory, &ops);
        for (unsigned i = 0; i < STEPS; i++)
            step();
        settle();
        for (uint32_t i = 1; i <= MEMBERS; i++)
            give(&members[i]);
        settle();
        assert_int_equal(stored, last);
        assert_int_equal(directory.page_count, 0);
        directory_deinit(&directory);
    }
    print_message("%lu reads, %lu writes, %lu messages\n", reads, writes, moves);
    assert_true(reads > 10000 && writes > 10000);
}

/* A holder that says what cannot be. */
static void test_lies(void **state)
{
    struct directory_request *request = kzalloc(sizeof(*request));
    directory_init(&directory, &ops);
    memset(members, 0, sizeof(members));
    assert_false(directory_answered(&directory, 0, 1, ANSWER_GAVE, true));
    request->holder = 1;
    request->write = true;
    assert_int_equal(directory_request(&directory, 0, request), 0);
    assert_true(directory_owns(&directory, 0, 1));
    assert_false(directory_owns(&directory, 0, 2));
    assert_false(directory_answered(&directory, 0, 1, ANSWER_READS, false));
    assert_false(directory_answered(&directory, 0, 1, ANSWER_GAVE, true));
    assert_false(directory_answered(&directory, 0, 2, ANSWER_GAVE, true));
    assert_true(directory_answered(&directory, 0, 2, ANSWER_GAVE, false)); /* means nothing */
    assert_true(directory_owns(&directory, 0, 1));
    directory_lost(&directory, 1, drop);
    assert_int_equal(directory.page_count, 0);
    directory_deinit(&directory);
}

static struct directory_request *ask(uint32_t holder, bool write, bool first)
{
    struct directory_request *request = kzalloc(sizeof(*request));
    *request = (struct directory_request){.holder = holder, .write = write, .first = first};
    assert_int_equal(directory_request(&directory, 0, request), 0);
    return request;
}

/* While it is closed the home has what it wants, before all others, who have it when it is opened. */
static void test_closed(void **state)
{
    directory_init(&directory, &ops);
    memset(members, 0, sizeof(members));
    home_granted = false;
    (void)ask(1, true, false);
    directory_close(&directory);
    (void)ask(2, true, false);
    (void)ask(3, false, true);
    struct directory_request *home = ask(0, true, false);
    (void)ask(3, true, true);
    assert_true(directory_lent(&directory, 0));
    assert_int_equal(members[1].to.count, 2); /* what it asked for, and that it is wanted back */
    assert_false(home_granted);
    assert_true(directory_answered(&directory, 0, 1, ANSWER_GAVE, true));
    assert_true(home_granted);
    assert_true(directory_home_may(&directory, 0, true));
    free(home);
    directory_release(&directory, 0);
    assert_int_equal(members[2].to.count + members[3].to.count, 0);
    directory_close(&directory); /* twice */
    directory_open(&directory);
    assert_int_equal(members[2].to.count + members[3].to.count, 0);
    directory_open(&directory);
    assert_int_equal(members[2].to.count, 2);
    for (uint32_t i = 1; i <= MEMBERS; i++)
        directory_lost(&directory, i, drop);
    assert_false(directory_lent(&directory, 0));
    assert_int_equal(directory.page_count, 0);
    home_granted = false;
    directory_deinit(&directory);
}

static void ask_for(uint64_t index, uint32_t holder, bool write)
{
    struct directory_request *request = kzalloc(sizeof(*request));
    *request = (struct directory_request){.holder = holder, .write = write, .may_write = true};
    assert_int_equal(directory_request(&directory, index, request), 0);
    memset(members, 0, sizeof(members));
}

static void give_back(uint64_t index, uint32_t holder, bool asked)
{
    assert_true(directory_answered(&directory, index, holder, ANSWER_GAVE, asked));
    memset(members, 0, sizeof(members));
}

/* Pages of one part of the file, each read, perhaps written to and given back: how often they were asked for. */
static unsigned use_pages(uint64_t first, unsigned count, bool write)
{
    unsigned asked = 0;
    for (uint64_t i = 0; i < count; i++) {
        uint64_t index = first + i % 64;
        ask_for(index, 1, false);
        asked++;
        if (write && !directory_owns(&directory, index, 1)) {
            ask_for(index, 1, true);
            asked++;
        }
        give_back(index, 1, false);
        if (directory_find(&directory, index)) /* it had a grant without contents, which may have crossed this */
            assert_true(directory_answered(&directory, index, 1, ANSWER_NOTHING, true));
    }
    return asked;
}

/* Where who reads a page mostly writes to it next it is granted for that at once; only there, and no longer. */
static void test_writes_next(void **state)
{
    enum { MANY = 640 };
    directory_init(&directory, &ops);
    assert_in_range(use_pages(0, 64, true), 64 + 5, 64 + 16);
    assert_in_range(use_pages(0, MANY, true), MANY + 1, MANY + MANY / 8);
    unsigned guesses = directory.use.guesses;
    (void)use_pages(64, MANY, false);
    assert_int_equal(directory.use.guesses, guesses);
    (void)use_pages(0, 8 * MANY, false);
    guesses = directory.use.guesses;
    (void)use_pages(0, MANY, false);
    assert_int_equal(directory.use.guesses, guesses);
    assert_int_equal(directory.page_count, 0);
    directory_deinit(&directory);
}

static void all_read(void)
{
    for (uint64_t i = 0; i < 64; i++)
        for (uint32_t holder = 1; holder <= MEMBERS; holder++)
            ask_for(i, holder, false);
}

/* Where writers soon want pages back none is worth giving unasked. */
static void test_neighbours_stay(void **state)
{
    directory_init(&directory, &ops);
    all_read();
    assert_true(page_use_neighbours_stay(&directory.use, 0));
    for (uint64_t i = 0; i < 64; i++) {
        struct directory_request home = {.write = true};
        assert_int_equal(directory_request(&directory, i, &home), 0);
        for (uint32_t holder = 1; holder <= MEMBERS; holder++)
            give_back(i, holder, true);
        directory_release(&directory, i);
    }
    assert_false(page_use_neighbours_stay(&directory.use, 0));
    assert_false(page_use_neighbours_stay(&directory.use, 63));
    assert_true(page_use_neighbours_stay(&directory.use, 64));
    for (unsigned round = 0; round < 8; round++) {
        all_read();
        for (uint64_t i = 0; i < 64; i++)
            for (uint32_t holder = 1; holder <= MEMBERS; holder++)
                give_back(i, holder, false);
    }
    assert_true(page_use_neighbours_stay(&directory.use, 0));
    assert_int_equal(directory.page_count, 0);
    directory_deinit(&directory);
    home_granted = false;
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_order), cmocka_unit_test(test_lies),
                                       cmocka_unit_test(test_closed), cmocka_unit_test(test_writes_next),
                                       cmocka_unit_test(test_neighbours_stay)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
