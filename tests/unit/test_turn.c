/*
 * Turns alone (kernel/remote/turn.c): who has one, when it ends, who is next, what is brought along. Time is told by
 * the test, and what a turn asks of the directory is noted.
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
#include "kernel/remote/turn.h"
#include "kernel/sched/sched.h"
#include "kernel/sched/time.h"
#include "kernel/sched/wait.h"

#define US 1000ULL
#define MS 1000000ULL
/* What turn.c promises: the least and the most silence, all of a turn, and the host's part. */
#define QUIET_MIN (300 * US)
#define QUIET_MAX (5 * MS)
#define LONGEST (65 * MS)
#define BLOCKED (400 * US)
#define UNREACHED (100 * MS)

static uint64_t now = 1;
static long allocations;
static struct turn turn;

static struct {
    unsigned takes, expected, recalled;
    uint64_t take_index[64], expected_index[256], recalled_index[512];
    uint32_t take_of[64], expected_for;
    bool reached;
    int held;
} seen;

uint64_t time_monotonic_ns(void)
{
    return now;
}

void *kmalloc(size_t size)
{
    allocations++;
    return malloc(size);
}

void *kzalloc(size_t size)
{
    allocations++;
    return calloc(1, size);
}

void kfree(void *p)
{
    allocations -= p != NULL;
    free(p);
}

static void take(struct turn *t, uint64_t index, uint32_t holder, bool to_read)
{
    assert_true(seen.takes < 64);
    seen.take_of[seen.takes] = holder;
    seen.take_index[seen.takes++] = index;
}

static void expect(struct turn *t, uint32_t enclave, int pid, uint64_t handle, uint64_t index, bool write)
{
    assert_true(seen.held > 0 && pid == (int)enclave && handle == 7);
    seen.expected_for = enclave;
    seen.expected_index[seen.expected++] = index;
}

static void recall(struct turn *t, uint32_t enclave, uint64_t index)
{
    seen.recalled_index[seen.recalled++] = index;
}

static bool reached(struct turn *t, uint32_t enclave)
{
    return seen.reached;
}

static void hold(struct turn *t)
{
    seen.held++;
}

static void release(struct turn *t)
{
    seen.held--;
}

static void pass(uint64_t ns)
{
    for (uint64_t end = now + ns, next; now < end;) {
        next = timers_next_ns();
        now = MIN(end, MAX(next, now + 1));
        timers_run(now);
    }
}

static void forget_seen(void)
{
    memset(&seen, 0, sizeof(seen));
    seen.reached = true;
}

static int setup(void **state)
{
    static const struct turn_ops ops = {
        .take = take, .expect = expect, .reached = reached, .recall = recall, .hold = hold, .release = release};
    static bool started;
    if (!started)
        turn_start(&ops);
    started = true;
    forget_seen();
    turn_init(&turn);
    return 0;
}

static int teardown(void **state)
{
    turn_deinit(&turn);
    assert_int_equal(timers_next_ns(), NO_DEADLINE);
    return allocations == 0 ? 0 : -1;
}

/* The enclave wants a page that another one has: true if it has to wait for its turn. */
static bool wants(uint32_t enclave, uint64_t index, uint32_t holder)
{
    turn_asks(&turn, enclave, (int)enclave, 7);
    bool put_off = turn_put_off(&turn, index, holder, enclave, false);
    turn_waits(&turn, enclave, index);
    return put_off;
}

static void gets(uint32_t enclave, uint64_t index)
{
    turn_granted(&turn, enclave, index, true, false);
}

static void test_first_come(void **state)
{
    assert_false(wants(1, 10, 2));
    assert_true(turn_is_of(&turn, 1));
    gets(1, 10);
    assert_true(wants(2, 10, 1));
    assert_true(wants(3, 11, 1));
    assert_int_equal(seen.takes, 0);
    /* The home never waits. */
    assert_false(turn_put_off(&turn, 12, 1, 0, false));
    pass(QUIET_MIN);
    assert_true(turn.holder == 2);
    assert_int_equal(seen.takes, 1);
    assert_true(seen.take_of[0] == 1 && seen.take_index[0] == 10);
    assert_true(seen.recalled >= 1 && seen.recalled_index[0] == 10);
    pass(QUIET_MAX);
    assert_true(turn.holder == 3 && seen.take_index[1] == 11);
}

static void test_without_waiters(void **state)
{
    assert_false(wants(1, 10, 2));
    gets(1, 10);
    pass(1000 * MS);
    assert_int_equal(seen.recalled, 0);
    assert_false(wants(2, 10, 1));
    assert_true(turn_is_of(&turn, 2));
}

static void test_sleep_ends_it(void **state)
{
    assert_false(wants(1, 10, 2));
    gets(1, 10);
    assert_true(wants(2, 10, 1));
    turn_heard(3, TURN_SLEEPS); /* somebody else */
    assert_true(turn.holder == 1);
    turn_heard(1, TURN_SLEEPS);
    assert_true(turn.holder == 2);
}

/* What it costs to begin is what a turn is measured by: calls end it when it has had enough, and nothing prolongs it.
 */
static void test_length(void **state)
{
    for (uint64_t cost = 400 * US; cost <= 1600 * US; cost *= 2) {
        uint64_t began = now;
        assert_false(wants(1, 10, 2));
        pass(cost);
        gets(1, 10);
        assert_true(wants(2, 10, 1));
        while (turn.holder == 1 && now - began < LONGEST) {
            pass(50 * US);
            turn_heard(1, TURN_CALLED);
            turn_heard(1, TURN_ANSWERED);
        }
        assert_true(turn.holder == 2);
        assert_in_range(now - began, 13 * cost, 14 * cost);
        turn_heard(2, TURN_SLEEPS);
        turn_deinit(&turn);
        turn_init(&turn);
    }
}

static void answered_calls(uint32_t enclave, uint64_t ns)
{
    for (uint64_t end = now + ns; now < end && turn.holder == enclave; pass(50 * US)) {
        turn_heard(enclave, TURN_CALLED);
        turn_heard(enclave, TURN_ANSWERED);
    }
}

/* A call that is not answered is short silence, however much the turn cost; one that is is not. */
static void test_blocked(void **state)
{
    assert_false(wants(1, 10, 2));
    pass(4 * MS);
    gets(1, 10);
    assert_true(wants(2, 10, 1));
    turn_heard(1, TURN_CALLED);
    turn_heard(1, TURN_ANSWERED);
    pass(3 * MS);
    turn_heard(1, TURN_WAKES);
    pass(3 * MS);
    assert_true(turn.holder == 1);
    turn_heard(1, TURN_CALLED);
    pass(BLOCKED - 50 * US);
    assert_true(turn.holder == 1);
    pass(100 * US);
    assert_true(turn.holder == 2);
}

/* Who was cut short goes on when the next one comes to sleep; but not if that one was cut short too. */
static void test_cut_short(void **state)
{
    assert_false(wants(1, 10, 4));
    gets(1, 10);
    assert_true(wants(2, 10, 1) && wants(3, 10, 1));
    answered_calls(1, LONGEST);
    assert_true(turn.holder == 2);
    assert_true(wants(1, 10, 2));
    turn_heard(2, TURN_SLEEPS);
    assert_true(turn.holder == 1);
    gets(1, 10);
    assert_true(wants(2, 10, 1));
    answered_calls(1, LONGEST);
    assert_true(turn.holder == 3);
    gets(3, 10);
    assert_true(wants(1, 10, 3));
    answered_calls(3, LONGEST);
    assert_true(turn.holder == 2);
}

static void test_longest(void **state)
{
    uint64_t began = now;
    assert_false(wants(1, 10, 2));
    assert_true(wants(2, 10, 1));
    pass(4 * MS);
    gets(1, 10);
    for (uint64_t i = 11; turn.holder == 1; i++) {
        assert_true(now - began <= LONGEST + MS);
        pass(900 * US);
        (void)wants(1, i, 2);
        gets(1, i);
    }
}

/* Who could not have heard is waited for, but not for ever. */
static void test_unreached(void **state)
{
    uint64_t began = now;
    assert_false(wants(1, 10, 2));
    gets(1, 10);
    assert_true(wants(2, 10, 1));
    seen.reached = false;
    pass(50 * MS);
    assert_true(turn.holder == 1);
    assert_true(wants(3, 10, 1));
    seen.reached = true;
    pass(QUIET_MAX);
    assert_true(turn.holder == 2 && now - began < UNREACHED);
    assert_true(wants(1, 10, 2));
    seen.reached = false;
    for (began = now; turn.holder == 2; pass(MS))
        assert_true(now - began < UNREACHED + 2 * QUIET_MAX);
    assert_true(turn.holder == 3);
    /* Sleeping is not being unreached. */
    turn_heard(3, TURN_SLEEPS);
    assert_true(turn.holder == 1);
}

static bool is_expected(uint64_t index)
{
    for (unsigned i = 0; i < seen.expected; i++)
        if (seen.expected_index[i] == index)
            return true;
    return false;
}

/* A turn of enclave 1, which gets what is expected and asks for what else it needs; 2 has it before and after. */
static void one_turn(const uint64_t *needs, unsigned count, bool changes)
{
    forget_seen();
    if (turn.holder != 2)
        (void)wants(2, 999, 1);
    (void)wants(1, needs[0], 2);
    turn_heard(2, TURN_SLEEPS);
    assert_true(turn.holder == 1);
    for (unsigned i = 0; i < seen.expected; i++)
        turn_granted(&turn, 1, seen.expected_index[i], true, true);
    for (unsigned i = 0; i < count; i++) {
        if (is_expected(needs[i]))
            continue;
        (void)wants(1, needs[i], 2);
        gets(1, needs[i]);
    }
    (void)wants(2, 999, 1);
    turn_heard(1, TURN_SLEEPS);
    for (unsigned i = 0; i < seen.expected; i++) {
        bool needed = false;
        for (unsigned n = 0; n < count; n++)
            needed |= needs[n] == seen.expected_index[i];
        turn_returned(&turn, 1, seen.expected_index[i], needed && changes);
    }
}

static void test_brings_along(void **state)
{
    static const uint64_t both[] = {10, 11}, one[] = {10};
    one_turn(both, 2, true);
    one_turn(both, 2, true); /* once could be for once */
    assert_false(is_expected(11));
    for (unsigned i = 0; i < 50; i++) {
        one_turn(both, 2, true);
        assert_true(is_expected(10) && is_expected(11));
    }
    /* What is not used any more is brought a few times, and no more. */
    unsigned brought = 0;
    for (unsigned i = 0; i < 50; i++) {
        one_turn(one, 1, true);
        assert_true(is_expected(10));
        brought += is_expected(11);
    }
    assert_in_range(brought, 1, 8);
}

/* What is used but comes back unchanged is left out now and then, ever more rarely. */
static void test_trusts(void **state)
{
    static const uint64_t pages[] = {10, 11};
    unsigned missed[2] = {0};
    one_turn(pages, 2, false);
    for (unsigned i = 0; i < 400; i++) {
        one_turn(pages, 2, false);
        missed[i / 200] += !is_expected(11);
    }
    assert_in_range(missed[0], 2, 15);
    assert_in_range(missed[1], 1, 6);
}

static void asks_for_all(uint64_t first, uint64_t end)
{
    for (uint64_t i = first; i < end; i++) {
        (void)wants(1, i, 2);
        gets(1, i);
    }
}

static void next_turn(void)
{
    forget_seen();
    assert_true(wants(2, 5, 1));
    turn_heard(1, TURN_SLEEPS);
    assert_true(wants(1, 5, 2));
    turn_heard(2, TURN_SLEEPS);
    assert_true(turn.holder == 1);
}

/* Many that are needed once do not take the place of those that are needed each time. */
static void test_many_pages(void **state)
{
    assert_false(wants(1, 0, 2));
    asks_for_all(0, 200);
    next_turn();
    asks_for_all(0, 200);
    next_turn();
    assert_int_equal(seen.expected, 200);
    asks_for_all(1000, 3000);
    next_turn();
    assert_in_range(seen.expected, 200, 256);
}

/* At the end of a turn all that was written in it is called home, also what it will not bring along; once. */
static void test_calls_home(void **state)
{
    assert_false(wants(1, 0, 2));
    asks_for_all(0, 400);
    next_turn();
    assert_int_equal(seen.recalled, 400);
    for (uint64_t i = 0; i < 400; i++)
        assert_int_equal(seen.recalled_index[i], i);
    asks_for_all(1000, 1010);
    next_turn();
    assert_int_equal(seen.recalled, 10);
}

static void test_lost(void **state)
{
    assert_false(wants(1, 10, 4));
    gets(1, 10);
    assert_true(wants(2, 10, 1));
    assert_true(wants(3, 11, 2));
    turn_lost(&turn, 2); /* has 11, and waits */
    turn_lost(&turn, 1); /* has the turn */
    assert_true(TAILQ_EMPTY(&turn.waits));
    assert_false(wants(3, 12, 4));
    assert_true(turn.holder == 3);
    assert_true(wants(5, 13, 4));
    assert_true(wants(6, 13, 4));
    turn_lost(&turn, 3);
    pass(1);
    assert_true(turn.holder == 5);
}

/*
 * Whatever the others do, who waits has its turn after at most some of the others. Each waits for a page of its own,
 * but who has the turn uses those as well; the page is then with that one, and the take is put off anew.
 */
static void test_nobody_starves(void **state)
{
    enum { ENCLAVES = 5, STEPS = 100000 };
    uint64_t seed = 1, longest = 0, waits_since[ENCLAVES + 1] = {0};
    unsigned turns[ENCLAVES + 1] = {0};
    uint32_t before = TURN_NOBODY;
    for (unsigned i = 0; i < STEPS; i++) {
        seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
        uint32_t enclave = 1 + (uint32_t)(seed >> 33) % ENCLAVES, other = 1 + (uint32_t)(seed >> 40) % ENCLAVES;
        forget_seen();
        seen.reached = (seed >> 50) % 8 != 0;
        if (turn.holder == enclave) {
            (void)wants(enclave, other, 0);
            gets(enclave, other);
            turn_heard(enclave, (seed >> 55) % 32 ? TURN_CALLED : TURN_SLEEPS);
        } else if (!waits_since[enclave] && wants(enclave, enclave, turn.holder ? turn.holder : other)) {
            waits_since[enclave] = now;
        }
        pass((seed >> 45) % 200 * US);
        for (uint32_t e = 1; e <= ENCLAVES; e++) {
            if (turn.holder == e)
                waits_since[e] = 0;
            for (unsigned t = 0; waits_since[e] && t < seen.takes; t++)
                if (seen.take_index[t] == e && !turn_put_off(&turn, e, turn.holder, e, false))
                    waits_since[e] = 0;
            longest = MAX(longest, waits_since[e] ? now - waits_since[e] : 0);
        }
        if (turn.holder != before && turn.holder)
            turns[turn.holder]++;
        before = turn.holder;
    }
    for (uint32_t e = 1; e <= ENCLAVES; e++)
        assert_true(turns[e] > turns[1] / 2);
    assert_true(longest < 2 * ENCLAVES * (UNREACHED + LONGEST)); /* who was cut short may come in between */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_first_come, setup, teardown),
        cmocka_unit_test_setup_teardown(test_without_waiters, setup, teardown),
        cmocka_unit_test_setup_teardown(test_sleep_ends_it, setup, teardown),
        cmocka_unit_test_setup_teardown(test_length, setup, teardown),
        cmocka_unit_test_setup_teardown(test_blocked, setup, teardown),
        cmocka_unit_test_setup_teardown(test_cut_short, setup, teardown),
        cmocka_unit_test_setup_teardown(test_longest, setup, teardown),
        cmocka_unit_test_setup_teardown(test_unreached, setup, teardown),
        cmocka_unit_test_setup_teardown(test_brings_along, setup, teardown),
        cmocka_unit_test_setup_teardown(test_trusts, setup, teardown),
        cmocka_unit_test_setup_teardown(test_many_pages, setup, teardown),
        cmocka_unit_test_setup_teardown(test_calls_home, setup, teardown),
        cmocka_unit_test_setup_teardown(test_lost, setup, teardown),
        cmocka_unit_test_setup_teardown(test_nobody_starves, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
