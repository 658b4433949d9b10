/*
 * The pages of application memory over a simulated enclave where text is kept (kernel/mm/pages.h): a long random series
 * of all that pages.h offers is compared with a model of each page.
 *   test-pages [SEED]
 */
#include <linux/errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "kernel/lib/string.h"
#include "mm_machine.h"

#define ARENA 0x4000000UL
#define PAGES 64
#define STEPS 30000
#define LIMIT (160UL << 20)
#define RX (PAGE_R | PAGE_X)
#define RW (PAGE_R | PAGE_W)
#define RWX (PAGE_R | PAGE_W | PAGE_X)
#define IDLE_PIECES 256 /* as in kernel/mm/commit.c */

static bool open_phase;

static struct {
    bool committed;
    unsigned rights;
    uint8_t value; /* of all its bytes */
} model[PAGES];

static uaddr_t at(size_t i)
{
    return ARENA + i * PAGE_SIZE;
}

static bool is_filled(uaddr_t page, uint8_t value)
{
    const uint8_t *p = (const uint8_t *)page;

    return p[0] == value && memcmp(p, p + 1, PAGE_SIZE - 1) == 0;
}

/* ---- the model ---- */

static void check_idle(uaddr_t page, uint8_t state)
{
    if (!open_phase) {
        assert_int_equal(state & PAGE_OPEN, 0);
        assert_int_equal(machine_rights(page), 0);
    }
    assert_int_equal(state & PAGE_COMMITTED, 0);
    if (!(state & PAGE_R) || (state & PAGE_W))
        assert_true(is_filled(page, 0));
}

static void check_all(void)
{
    size_t committed = 0;

    for (size_t i = 0; i < PAGES; i++) {
        uint8_t state = page_state(at(i));

        committed += model[i].committed;
        if (model[i].committed) {
            assert_int_equal(state & (PAGE_COMMITTED | PAGE_IDLE | PAGE_RIGHTS), PAGE_COMMITTED | model[i].rights);
            assert_int_equal(machine_rights(at(i)), model[i].rights);
            assert_true(is_filled(at(i), model[i].value));
        } else if (state & PAGE_IDLE) {
            check_idle(at(i), state);
        } else {
            assert_int_equal(state, 0);
            assert_int_equal(machine_rights(at(i)), 0);
        }
    }
    assert_int_equal(mm_self()->committed_pages, committed);
}

static size_t free_run(size_t first, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (model[first + i].committed)
            return i;
    return count;
}

/* As a fault does, for what is in a file. */
static void mark_clean(uaddr_t page, size_t count)
{
    for (size_t i = 0; i < count; i++)
        page_state_set(page + i * PAGE_SIZE, PAGE_CLEAN);
}

static void now(size_t first, size_t count, int r, unsigned rights, const uint8_t *contents)
{
    assert_true(r == 0 || (r == -ENOMEM && machine_pages_left == 0));
    for (size_t i = 0; i < count && r == 0; i++) {
        model[first + i].committed = true;
        model[first + i].rights = rights;
        model[first + i].value = contents ? contents[i * PAGE_SIZE] : 0;
    }
}

/* ---- steps ---- */

static void step_commit(size_t first, size_t count)
{
    if ((count = free_run(first, count)) > 0)
        now(first, count, pages_commit(at(first), count), RW, NULL);
}

static void step_commit_all(size_t first, size_t count)
{
    if ((count = free_run(first, count)) > 0)
        now(first, count, pages_commit_all_rights(at(first), count), RWX, NULL);
}

/* Few contents, so that some are there already. */
static void step_copy(size_t first, size_t count)
{
    static const unsigned rights[] = {PAGE_R, RX, RX, RW, RWX};
    static uint8_t src[PAGES * PAGE_SIZE] __attribute__((aligned(4096)));
    unsigned r = rights[machine_pick(5)];

    count = free_run(first, count);
    for (size_t i = 0; i < count; i++)
        memset(src + i * PAGE_SIZE, machine_pick(4) ? (int)(first + i) % 7 + 1 : (int)machine_pick(200), PAGE_SIZE);
    if (count == 0)
        return;
    now(first, count, pages_commit_copy(at(first), count, src, r), r, src);
    if (model[first].committed && !(r & PAGE_W) && machine_pick(2))
        mark_clean(at(first), count);
}

static void step_rights(size_t first, size_t count)
{
    static const unsigned rights[] = {0, PAGE_R, PAGE_R, RX, RX, RW, RWX};
    unsigned r = rights[machine_pick(7)];

    pages_set_rights(at(first), at(first + count), r);
    for (size_t i = first; i < first + count; i++)
        model[i].rights = r;
}

static void step_write(size_t first, size_t count)
{
    for (size_t i = first; i < first + count; i++) {
        if (!model[i].committed || !(model[i].rights & PAGE_W) || (open_phase && !machine_alone))
            continue;
        model[i].value = (uint8_t)(i % 7 + 1);
        memset((void *)at(i), model[i].value, PAGE_SIZE);
    }
}

static void step_release(size_t first, size_t count)
{
    pages_release(at(first), at(first + count));
    for (size_t i = first; i < first + count; i++)
        model[i].committed = false;
}

static void step_decommit(size_t first, size_t count)
{
    pages_decommit(at(first), at(first + count));
    for (size_t i = first; i < first + count; i++)
        model[i].committed = false;
}

static void step_open(size_t first, size_t count)
{
    if (machine_alone && machine_pick(4) == 0) {
        open_phase = true;
        pages_leave_open();
    }
}

static void step_close(size_t first, size_t count)
{
    pages_close_idle();
    open_phase = false;
}

static void step_tasks(size_t first, size_t count)
{
    if (!open_phase)
        machine_alone = machine_pick(2);
}

static void step_memory(size_t first, size_t count)
{
    machine_pages_left = machine_pick(6) == 0 ? machine_pick(5) : UINT64_MAX;
}

static void begin_anew(void)
{
    machine_pages_left = UINT64_MAX;
    machine_alone = true;
    step_decommit(0, PAGES);
    step_close(0, 0);
    /* What is idle goes. */
    assert_int_equal(pages_commit(at(0), PAGES), 0);
    pages_decommit(at(0), at(PAGES));
    for (size_t i = 0; i < PAGES; i++)
        assert_int_equal(page_state(at(i)), 0);
}

static void test_random(void **state)
{
    static void (*const steps[])(size_t, size_t) = {
        step_commit,   step_commit, step_commit_all, step_copy,    step_copy,    step_copy,
        step_rights,   step_rights, step_write,      step_release, step_release, step_release,
        step_decommit, step_open,   step_close,      step_tasks,   step_memory};

    for (unsigned n = 0; n < STEPS; n++) {
        size_t first = machine_pick(PAGES), count = 1 + machine_pick(machine_pick(4) ? 6 : PAGES);

        steps[machine_pick(ARRAY_COUNT(steps))](first, MIN(count, PAGES - first));
        check_all();
    }
    begin_anew();
}

/* ---- one by one ---- */

static uint8_t text[4 * PAGE_SIZE] __attribute__((aligned(4096)));

static void make_text(unsigned rights)
{
    for (size_t i = 0; i < 4; i++)
        memset(text + i * PAGE_SIZE, (int)(0x11 * (i + 1)), PAGE_SIZE);
    assert_int_equal(pages_commit_copy(at(0), 4, text, rights), 0);
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(machine_rights(at(i)), rights);
    if (!(rights & PAGE_W))
        mark_clean(at(0), 4);
}

static void release_text(unsigned rights)
{
    pages_release(at(0), at(4));
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(page_state(at(i)), PAGE_IDLE | (rights == RW ? 0 : rights));
        assert_int_equal(machine_rights(at(i)), 0);
        assert_true(is_filled(at(i), rights & PAGE_W ? 0 : text[i * PAGE_SIZE]));
    }
}

static void test_text_again(void **state)
{
    static const unsigned all[] = {PAGE_R, RX, RW, RWX};
    unsigned long before;

    for (size_t i = 0; i < 4; i++) {
        make_text(all[i]);
        release_text(all[i]);
        before = machine_copies;
        make_text(all[i]);
        assert_int_equal(machine_copies, before);
        assert_true(memcmp((const void *)at(0), text, sizeof text) == 0);
        begin_anew();
    }
}

static void test_other_text(void **state)
{
    unsigned long before;

    make_text(RX);
    release_text(RX);
    before = machine_copies;
    memset(text + PAGE_SIZE, 0x77, 1);
    assert_int_equal(pages_commit_copy(at(0), 4, text, RX), 0);
    assert_int_equal(machine_copies, before + 1);
    assert_true(memcmp((const void *)at(0), text, sizeof text) == 0);
    begin_anew();
}

static void test_other_rights(void **state)
{
    static const unsigned all[] = {PAGE_R, RX, RW, RWX};

    for (size_t from = 0; from < 4; from++) {
        for (size_t to = 0; to < 4; to++) {
            make_text(all[from]);
            release_text(all[from]);
            make_text(all[to]);
            assert_true(memcmp((const void *)at(0), text, sizeof text) == 0);
            begin_anew();
        }
    }
}

static void test_fresh(void **state)
{
    static const unsigned all[] = {PAGE_R, RX, RW, RWX};

    for (size_t i = 0; i < 16; i++) {
        machine_alone = i < 8;
        make_text(all[i % 4]);
        release_text(all[i % 4]);
        assert_int_equal(i / 4 % 2 ? pages_commit(at(0), 4) : pages_commit_all_rights(at(0), 4), 0);
        for (size_t p = 0; p < 4; p++) {
            assert_int_equal(machine_rights(at(p)), i / 4 % 2 ? RW : RWX);
            assert_true(is_filled(at(p), 0));
        }
        begin_anew();
    }
}

/* Written, and not writable any more: that is nobody else's business. */
static void test_written(void **state)
{
    static const unsigned all[] = {PAGE_R, RX};

    for (size_t i = 0; i < 4; i++) {
        make_text(RW);
        pages_set_rights(at(0), at(4), all[i % 2]);
        pages_release(at(0), at(4));
        for (size_t p = 0; p < 4; p++) {
            assert_true(page_state(at(p)) & PAGE_IDLE);
            assert_int_equal(machine_rights(at(p)), 0);
            assert_true(is_filled(at(p), 0));
        }
        if (i < 2)
            make_text(all[i % 2]);
        else
            assert_int_equal(pages_commit(at(0), 4), 0);
        for (size_t p = 0; p < 4; p++)
            assert_true(is_filled(at(p), i < 2 ? text[p * PAGE_SIZE] : 0));
        begin_anew();
    }
}

/* Another thread writes after the page was zeroed and before it is out of reach. */
static void test_written_late(void **state)
{
    assert_int_equal(pages_commit(at(0), 4), 0);
    pages_release(at(0), at(4));
    *(uint8_t *)(at(2) + 5) = 1;
    assert_int_equal(pages_commit(at(0), 4), 0);
    for (size_t p = 0; p < 4; p++)
        assert_true(is_filled(at(p), 0));
    begin_anew();
}

/* What idle pages contain is cleared only where nobody else can have them already; the next program never sees it. */
static void test_written_before(void **state)
{
    for (int alone = 0; alone < 2; alone++) {
        machine_alone = alone;
        for (int aged = 0; aged < 2; aged++) {
            assert_int_equal(pages_commit(at(0), 4), 0);
            pages_release(at(0), at(4));
            *(uint8_t *)(at(2) + 5) = 1;
            if (aged)
                pages_age_idle();
            assert_int_equal(page_state(at(2)), PAGE_IDLE | (aged ? PAGE_OLD : 0));
            assert_int_equal(pages_commit(at(0), 4), 0);
            assert_int_equal(*(uint8_t *)(at(2) + 5), !alone && !aged);
            assert_int_equal(page_state(at(2)), PAGE_COMMITTED | PAGE_R | PAGE_W);
            *(uint8_t *)(at(2) + 5) = 0;
            for (size_t p = 0; p < 4; p++)
                assert_true(is_filled(at(p), 0));
            pages_decommit(at(0), at(4));
        }
    }
    machine_alone = true;
    begin_anew();
}

static void test_open(void **state)
{
    unsigned long before;

    make_text(RX);
    assert_int_equal(pages_commit(at(8), 4), 0);
    pages_release(at(10), at(12)); /* before: it is closed */
    pages_leave_open();
    before = machine_hostcalls;
    pages_release(at(0), at(10));
    assert_int_equal(machine_hostcalls, before);
    assert_int_equal(page_state(at(0)), PAGE_IDLE | PAGE_OPEN | RX);
    assert_int_equal(page_state(at(8)), PAGE_IDLE | PAGE_OPEN);
    assert_int_equal(page_state(at(10)), PAGE_IDLE);
    assert_int_equal(pages_commit_copy(at(0), 2, text, RX), 0);
    assert_int_equal(machine_hostcalls, before);
    pages_close_idle();
    assert_int_equal(machine_hostcalls, before + 2); /* 2 and 3; 8 and 9 */
    assert_int_equal(machine_rights(at(1)), RX);
    for (size_t i = 2; i < 12; i++)
        assert_int_equal(machine_rights(at(i)), 0);
    assert_int_equal(page_state(at(2)), PAGE_IDLE | RX);
    pages_close_idle();
    assert_int_equal(machine_hostcalls, before + 2);
    begin_anew();
}

/* The host has no more memory in the middle: nothing has happened. */
/* Pages on the shelf are no idle pages' neighbours: they are passed over. */
static void test_open_beside_shelf(void **state)
{
    (void)state;
    assert_int_equal(pages_commit(at(0), 4), 0);
    pages_shelve(at(1), at(2));
    pages_shelve(at(3), at(4));
    pages_leave_open();
    pages_release(at(0), at(4));
    pages_close_idle();
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(page_state(at(i)), i % 2 ? PAGE_IDLE | PAGE_SHARED : PAGE_IDLE);
        assert_int_equal(machine_rights(at(i)), 0);
    }
    begin_anew();
}

static void test_no_memory(void **state)
{
    make_text(RX);
    pages_decommit(at(1), at(2));
    pages_release(at(0), at(4));
    machine_pages_left = 0;
    assert_int_equal(pages_commit_copy(at(0), 4, text, RX), -ENOMEM);
    machine_pages_left = UINT64_MAX;
    check_all(); /* by the model, which has not heard of any */
    begin_anew();
}

/* Memory that is discarded leaves in runs, whatever rights it has: each exit is for many pages. */
static void test_discard(void **state)
{
    make_text(RX);
    unsigned long before = machine_hostcalls;
    pages_discard(at(0), at(4));
    assert_int_equal(pages_count_committed(at(0), at(4)), 0);
    assert_int_equal(machine_hostcalls, before + 2); /* trimmed, removed */
    begin_anew();
}

/* After all that, the count of pieces is still right: exactly so many are kept. */
static void test_pieces(void **state)
{
    const uaddr_t start = ARENA + PAGES * PAGE_SIZE;
    size_t idle = 0;

    assert_int_equal(pages_commit(start, 2 * IDLE_PIECES + 20), 0);
    for (size_t i = 0; i < IDLE_PIECES + 10; i++)
        pages_release(start + 2 * i * PAGE_SIZE, start + (2 * i + 1) * PAGE_SIZE);
    for (size_t i = 0; i < 2 * IDLE_PIECES + 20; i++)
        idle += (page_state(start + i * PAGE_SIZE) & PAGE_IDLE) != 0;
    assert_int_equal(idle, IDLE_PIECES);
    pages_decommit(start, start + (2 * IDLE_PIECES + 20) * PAGE_SIZE);
    for (size_t i = 0; i < IDLE_PIECES; i++)
        assert_int_equal(pages_commit(start + 2 * i * PAGE_SIZE, 1), 0);
    pages_decommit(start, start + (2 * IDLE_PIECES + 20) * PAGE_SIZE);
    begin_anew();
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text_again),   cmocka_unit_test(test_other_text),
        cmocka_unit_test(test_other_rights), cmocka_unit_test(test_fresh),
        cmocka_unit_test(test_open),         cmocka_unit_test(test_no_memory),
        cmocka_unit_test(test_discard),      cmocka_unit_test(test_open_beside_shelf),
        cmocka_unit_test(test_pieces),       cmocka_unit_test(test_written),
        cmocka_unit_test(test_written_late), cmocka_unit_test(test_written_before),
        cmocka_unit_test(test_random),       cmocka_unit_test(test_pieces),
    };

    if (argc > 1)
        sscanf(argv[1], "%u", &machine_seed);
    machine_init(true, LIMIT);
    pages_keep_text();
    return cmocka_run_group_tests_name("pages", tests, NULL, NULL);
}
