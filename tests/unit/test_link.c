/*
 * Links over memory that a hostile host owns: records arrive whole, once, in order, or the link dies with a reason;
 * never a wrong byte. COFRE_HOSTILE_STEPS and COFRE_HOSTILE_SEED as for the network.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <asm/errno.h>
#include <stdio.h>
#include <string.h>

#include "input.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/remote/area.h"
#include "remote_threads.h"
#include "remote_world.h"

#define NUMBER 2

static struct link parent, child;
static const uint8_t key[LINK_KEY_SIZE] = "a key that both were told";
static uint8_t message[LINK_MESSAGE_MAX];

static uint64_t state;

static uint32_t choose(uint32_t limit)
{
    return random_choose(&state, limit);
}

static int setup(void **unused)
{
    world_begin();
    return 0;
}

static int teardown(void **unused)
{
    link_close(&parent);
    link_close(&child);
    world_end();
    assert_int_equal(hosted_alloc_live(), 0);
    return 0;
}

static void connect_both(void)
{
    link_reset(NUMBER);
    link_open(&parent, NUMBER, 0, 1, key);
    link_open(&child, NUMBER, 1, 2, key);
    link_poll(&parent);
    assert_int_equal(parent.state, LINK_OPEN);
    assert_int_equal(child.state, LINK_OPEN);
}

static void fill(size_t size, uint8_t seed)
{
    for (size_t i = 0; i < size; i++)
        message[i] = (uint8_t)(seed + i * 7);
}

static void expect(struct link *link, size_t size, uint8_t seed)
{
    struct record *record;
    fill(size, seed);
    assert_int_equal(link_receive(link, &record), 0);
    assert_int_equal(record->size, size);
    assert_memory_equal(record->data, message, size);
    kfree(record);
}

static void test_both_ways(void **unused)
{
    struct record *record;
    connect_both();
    for (size_t size = 1; size <= LINK_MESSAGE_MAX; size = size * 3 + 1) {
        fill(size, (uint8_t)size);
        assert_int_equal(link_send(&parent, message, size), 0);
        assert_int_equal(link_send(&child, message, size), 0);
        expect(&child, size, (uint8_t)size);
        expect(&parent, size, (uint8_t)size);
    }
    assert_int_equal(link_receive(&child, &record), -EAGAIN);
    fill(LINK_MESSAGE_MAX, 3);
    assert_int_equal(link_send(&parent, message, LINK_MESSAGE_MAX), 0);
    expect(&child, LINK_MESSAGE_MAX, 3);
}

static void test_messages_before_the_handshake_wait(void **unused)
{
    link_reset(NUMBER);
    link_open(&parent, NUMBER, 0, 1, key);
    fill(100, 1);
    assert_int_equal(link_send(&parent, message, 100), 0);
    fill(200, 2);
    assert_int_equal(link_send(&parent, message, 200), 0);
    assert_true(link_backlogged(&parent));
    link_open(&child, NUMBER, 1, 2, key);
    link_poll(&parent);
    assert_false(link_backlogged(&parent));
    expect(&child, 100, 1);
    expect(&child, 200, 2);
}

static void test_full_ring_queues_and_goes_on(void **unused)
{
    connect_both();
    for (unsigned i = 0; i < 20; i++) {
        fill(30000, (uint8_t)i);
        assert_int_equal(link_send(&parent, message, 30000), 0);
    }
    assert_true(link_backlogged(&parent));
    doorbell_take();
    for (unsigned i = 0; i < 20; i++) {
        expect(&child, 30000, (uint8_t)i);
        link_poll(&parent);
    }
    assert_false(link_backlogged(&parent));
    assert_true(doorbell_rung()); /* peer 1 is this process here: the parent was told that there is room */
}

/* Two processes, as in earnest: whoever found the ring full hears of it when there is room, every time. */
#define MANY 20000UL

static uint32_t many_size(uint64_t i)
{
    return (uint32_t)(i * 2654435761U % 3 == 0 ? 60000 : 1 + i * 40503 % 3000);
}

static int receive_many(void)
{
    struct record *record;
    if (link_area_init((host_ptr){(uint64_t)world_area()}, world_area_size(), 2))
        return 1;
    link_open(&child, NUMBER, 1, 1, key);
    for (uint64_t i = 0; i < MANY;) {
        link_poll(&child);
        int r = link_receive(&child, &record);
        if (r == -EAGAIN) {
            thread_sleep_us(1);
            continue;
        }
        if (r < 0 || record->size != many_size(i))
            return 2;
        kfree(record);
        i++;
    }
    return 0;
}

static bool wait_for_bell(void)
{
    for (unsigned i = 0; i < 100000; i++) {
        if (doorbell_take())
            return true;
        thread_sleep_us(20);
    }
    return false;
}

static void test_full_ring_is_heard_of_in_another_process(void **unused)
{
    link_reset(NUMBER);
    int pid = process_start(receive_many);
    link_open(&parent, NUMBER, 0, 2, key);
    for (uint64_t i = 0; i < MANY; i++) {
        assert_int_equal(link_send(&parent, message, many_size(i)), 0);
        while (link_backlogged(&parent)) {
            if (!wait_for_bell())
                fail_msg("message %llu waits for ever", (unsigned long long)i);
            link_poll(&parent);
        }
    }
    assert_int_equal(process_wait(pid), 0);
}

static struct member_shared *shared_of(uint32_t number)
{
    return (struct member_shared *)((char *)world_area() + world_area()->members_offset) + number;
}

static unsigned clock_reads;

static void count_reads(void)
{
    clock_reads++;
}

static void init_looks_out(void)
{
    if (++clock_reads == 2)
        shared_of(0)->polling = 1;
}

static void init_has_looked(void)
{
    if (++clock_reads == 2)
        shared_of(0)->attention = 0;
}

/* Who rings the init enclave; how it takes notice. Returns whether that was without a kick. */
static bool ring_init(void (*clock)(void))
{
    clock_reads = world_kicks = 0;
    shared_of(0)->attention = shared_of(0)->polling = 0;
    world_clock_read = clock;
    bool awake = doorbell_ring(0);
    world_clock_read = NULL;
    assert_int_equal(world_kicks, !awake);
    return awake;
}

/* The init enclave that runs is not interrupted if it looks soon; if it never does, that is not waited for for ever. */
static void test_doorbell_of_init(void **unused)
{
    assert_false(ring_init(count_reads)); /* nobody is there */
    assert_int_equal(clock_reads, 0);
    shared_of(0)->host_tid[0] = shared_of(0)->host_tid[1] = 1;
    shared_of(0)->parked[0] = shared_of(0)->parked[1] = 1;
    assert_false(ring_init(count_reads)); /* it sleeps */
    assert_int_equal(clock_reads, 0);
    shared_of(0)->parked[1] = 0;
    for (int i = 0; i < 20; i++) {
        assert_true(ring_init(init_looks_out));
        assert_true(ring_init(init_has_looked));
    }
    int waited = 0;
    for (int i = 0; i < 100; i++) {
        assert_false(ring_init(count_reads));
        waited += clock_reads > 0;
    }
    assert_in_range(waited, 5, 12);
    /* and it is noticed when that pays again */
    for (int i = 0; i < 16; i++)
        (void)ring_init(init_has_looked);
    for (int i = 0; i < 20; i++)
        assert_true(ring_init(init_looks_out));
    memset(shared_of(0), 0, sizeof(*shared_of(0)));
}

static void test_doorbell(void **unused)
{
    doorbell_take();
    world_kicks = 0;
    doorbell_ring(3);
    assert_int_equal(world_kicks, 1);
    doorbell_ring(3); /* it knows */
    assert_int_equal(world_kicks, 1);
    assert_false(doorbell_rung());
    doorbell_set_polling(true);
    doorbell_ring(WORLD_MEMBER);
    assert_int_equal(world_kicks, 1);
    doorbell_set_polling(false);
    assert_true(doorbell_rung()); /* and so it does not sleep */
    assert_true(doorbell_take());
    assert_false(doorbell_take());
    doorbell_ring(WORLD_MEMBER);
    assert_int_equal(world_kicks, 2);
}

/* A sender finds out that the link is dead: whoever looks after links must look, as nothing may come any more. */
static void test_a_dead_link_rings(void **unused)
{
    connect_both();
    parent.peer = 2; /* not this process, so that nothing else rings here */
    doorbell_take();
    world_link_shared(NUMBER)->ring[0].tail += 1U << 31;
    fill(100, 1);
    assert_int_equal(link_send(&parent, message, 100), -EPIPE);
    assert_int_equal(parent.state, LINK_DEAD);
    assert_true(doorbell_rung());
}

static void test_another_key_opens_nothing(void **unused)
{
    static const uint8_t other[LINK_KEY_SIZE] = "another";
    struct record *record;
    link_reset(NUMBER);
    link_open(&parent, NUMBER, 0, 1, key);
    link_open(&child, NUMBER, 1, 2, other);
    fill(10, 0);
    assert_int_equal(link_send(&child, message, 10), 0);
    link_poll(&parent);
    assert_int_equal(link_receive(&parent, &record), -EBADMSG);
    assert_non_null(parent.failure);
    assert_int_equal(link_receive(&parent, &record), -EPIPE);
    assert_int_equal(link_send(&parent, message, 10), -EPIPE);
}

static void test_a_replayed_life_opens_nothing(void **unused)
{
    static struct link_shared old_shared;
    static uint8_t old_ring[WORLD_RING];
    struct record *record;
    connect_both();
    fill(1000, 9);
    assert_int_equal(link_send(&child, message, 1000), 0);
    memcpy(&old_shared, world_link_shared(NUMBER), sizeof(old_shared));
    memcpy(old_ring, world_ring(NUMBER, 1), WORLD_RING);
    link_close(&parent);
    link_close(&child);
    /* the host plays the old child to a new parent */
    link_reset(NUMBER);
    link_open(&parent, NUMBER, 0, 1, key);
    struct link_shared *shared = world_link_shared(NUMBER);
    memcpy(shared->nonce[1], old_shared.nonce[1], 32);
    shared->nonce_ready[1] = 1;
    shared->ring[1] = old_shared.ring[1];
    memcpy(world_ring(NUMBER, 1), old_ring, WORLD_RING);
    link_poll(&parent);
    assert_int_equal(link_receive(&parent, &record), -EBADMSG);
}

static void test_own_records_reflected_open_nothing(void **unused)
{
    struct record *record;
    connect_both();
    fill(500, 4);
    assert_int_equal(link_send(&parent, message, 500), 0);
    memcpy(world_ring(NUMBER, 1), world_ring(NUMBER, 0), WORLD_RING);
    world_link_shared(NUMBER)->ring[1].head = world_link_shared(NUMBER)->ring[0].head;
    assert_int_equal(link_receive(&parent, &record), -EBADMSG);
}

static void test_out_of_memory_leaves_the_record(void **unused)
{
    struct record *record;
    connect_both();
    fill(500, 4);
    assert_int_equal(link_send(&parent, message, 500), 0);
    hosted_fail_alloc(1);
    assert_int_equal(link_receive(&child, &record), -ENOMEM);
    expect(&child, 500, 4);
}

static void test_area_header(void **unused)
{
    host_ptr base = {(uint64_t)world_area()};
    uint64_t size = world_area_size();
    struct link_area good = *world_area();
    const struct link_area zero = {0};
    assert_null(link_area_init(base, size, 0));
    assert_non_null(link_area_init(base, size - 1, 0));
    assert_non_null(link_area_init(base, size, good.member_max + 1));
    assert_non_null(link_area_init((host_ptr){PAGE_SIZE}, size, 0));
#define REFUSED(field, value)                                                                                          \
    *world_area() = good;                                                                                              \
    world_area()->field = (value);                                                                                     \
    assert_non_null(link_area_init(base, size, 0))
    REFUSED(magic, 1);
    REFUSED(ring_size, 0x30000);
    REFUSED(ring_size, 0x1000);
    REFUSED(member_max, UINT32_MAX);
    REFUSED(link_count, UINT32_MAX);
    REFUSED(members_offset, UINT64_MAX - 63);
    REFUSED(links_offset, 8);
    REFUSED(rings_offset, good.rings_offset + 64);
    *world_area() = zero;
    assert_non_null(link_area_init(base, size, 0));
    *world_area() = good;
    assert_null(link_area_init(base, size, WORLD_MEMBER));
}

/* ---- a hostile host, by chance ---- */

struct tally {
    uint64_t steps, messages, deaths;
};

static void tamper(unsigned side)
{
    struct link_shared *shared = world_link_shared(NUMBER);
    uint8_t *ring = world_ring(NUMBER, side);
    uint32_t position = choose(WORLD_RING), size = choose(600);
    switch (choose(8)) {
    case 0:
        ring[position] ^= (uint8_t)(1 << choose(8));
        break;
    case 1:
        shared->ring[side].head += choose(2) ? choose(64) * 8 : choose(UINT32_MAX);
        break;
    case 2:
        shared->ring[side].head -= choose(64) * 8;
        break;
    case 3:
        shared->ring[side].tail += choose(UINT32_MAX);
        break;
    case 4: /* replay or reorder */
        memmove(ring + position, ring + choose(WORLD_RING - 600), size < WORLD_RING - position ? size : 0);
        break;
    case 5: /* a record of the other direction */
        memcpy(ring + position, world_ring(NUMBER, !side) + position, size < WORLD_RING - position ? size : 0);
        break;
    case 6: /* the place where the consumer will look */
        ring[(shared->ring[side].tail + choose(40)) & (WORLD_RING - 1)] = (uint8_t)choose(256);
        break;
    default:
        shared->nonce[side][choose(32)] ^= 1;
    }
}

static void check_received(struct link *link, uint64_t *expected, struct tally *tally)
{
    struct record *record;
    int r;
    while ((r = link_receive(link, &record)) == 0) {
        uint64_t number;
        assert_true(record->size >= 8);
        memcpy(&number, record->data, 8);
        assert_int_equal(number, *expected);
        (*expected)++;
        for (size_t i = 8; i < record->size; i++)
            assert_int_equal(record->data[i], (uint8_t)(number * 31 + i));
        kfree(record);
        tally->messages++;
    }
}

static void send_numbered(struct link *link, uint64_t *number)
{
    size_t size = 8 + (choose(8) == 0 ? choose(LINK_MESSAGE_MAX - 8) : choose(300));
    memcpy(message, number, 8);
    for (size_t i = 8; i < size; i++)
        message[i] = (uint8_t)(*number * 31 + i);
    if (link->queue_bytes < 500000 && link_send(link, message, size) == 0)
        (*number)++;
}

/* One life of a link: until it dies, or long enough. lies: one step in so many is one. */
static void life(uint32_t lies, struct tally *tally)
{
    uint64_t sent[2] = {0, 0}, received[2] = {0, 0};
    struct link *links[2] = {&parent, &child};
    connect_both();
    for (unsigned i = 0; i < 3000 && parent.state != LINK_DEAD && child.state != LINK_DEAD; i++, tally->steps++) {
        unsigned side = choose(2);
        if (lies && choose(lies) == 0)
            tamper(side);
        else if (choose(2))
            send_numbered(links[side], &sent[side]);
        else
            check_received(links[side], &received[!side], tally);
        link_poll(links[side]);
    }
    for (unsigned i = 0; !lies && i < 200; i++) {
        unsigned side = i & 1;
        check_received(links[side], &received[!side], tally);
        link_poll(links[side]);
        link_poll(links[!side]);
    }
    if (!lies) {
        assert_int_equal(received[0], sent[0]);
        assert_int_equal(received[1], sent[1]);
    }
    tally->deaths += parent.state == LINK_DEAD || child.state == LINK_DEAD;
    link_close(&parent);
    link_close(&child);
}

static void test_hostile(void **unused)
{
    uint64_t wanted = environment_number("COFRE_HOSTILE_STEPS", 60000);
    struct tally tally = {0};
    state = environment_number("COFRE_HOSTILE_SEED", 20261);
    print_message("seed %llu\n", (unsigned long long)state);
    life(0, &tally);
    assert_int_equal(tally.deaths, 0);
    while (tally.steps < wanted)
        life(1 + choose(200), &tally);
    print_message("%llu steps, %llu messages, %llu links died\n", (unsigned long long)tally.steps,
                  (unsigned long long)tally.messages, (unsigned long long)tally.deaths);
    assert_true(tally.messages > 1000 && tally.deaths > 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_both_ways, setup, teardown),
        cmocka_unit_test_setup_teardown(test_messages_before_the_handshake_wait, setup, teardown),
        cmocka_unit_test_setup_teardown(test_full_ring_queues_and_goes_on, setup, teardown),
        cmocka_unit_test_setup_teardown(test_full_ring_is_heard_of_in_another_process, setup, teardown),
        cmocka_unit_test_setup_teardown(test_doorbell, setup, teardown),
        cmocka_unit_test_setup_teardown(test_doorbell_of_init, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_dead_link_rings, setup, teardown),
        cmocka_unit_test_setup_teardown(test_another_key_opens_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_replayed_life_opens_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(test_own_records_reflected_open_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(test_out_of_memory_leaves_the_record, setup, teardown),
        cmocka_unit_test_setup_teardown(test_area_header, setup, teardown),
        cmocka_unit_test_setup_teardown(test_hostile, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
