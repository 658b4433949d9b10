/*
 * Host calls of a host that answers anything: what the kernel gets is what abi/hostcall.h promises, or the container
 * ends with the lie named. Seeded; a vCPU is a page that GS points to.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <linux/errno.h>

#include "abi/key_release.h"
#include "abi/volume.h"
#include "hosted_libc.h"
#include "kernel/arch/hostcall.h"
#include "kernel/arch/vcpu.h"
#include "kernel/boot/stats.h"
#include "kernel/lib/printk.h"
#include "kernel/lib/string.h"
#include "kernel/sched/lock.h"
#include "kernel/sched/task.h"
#include "kernel/sched/time.h"

#define ROUNDS 200000
#define ERRNO_LAST 4095

static struct vcpu_shared shared;
static struct vcpu the_vcpu __attribute__((aligned(PAGE_SIZE)));
static uint64_t state = 1;
static uint64_t tsc;
static jmp_buf lie;
static unsigned lies, answers;

/* ---- the rest of the kernel ---- */

void host_lied(const char *what)
{
    assert_true(what && what[0]);
    longjmp(lie, 1);
}

noreturn_fn void panic_at(const char *file, int line, const char *format, ...)
{
    hostcall_kick(0);
    hosted_abort(format);
    __builtin_unreachable();
}

void kernel_lock(void)
{
}

void kernel_unlock(void)
{
}

void vector_state_save(void *buf)
{
}

void vector_state_load(const void *buf)
{
}

void vector_state_reset(void)
{
}

uint64_t tsc_read(void)
{
    return tsc;
}

void stats_publish(void)
{
}

noreturn_fn void vcpu_die(void)
{
    longjmp(lie, 2);
}

/* ---- the host ---- */

static uint64_t random_number(void)
{
    state = state * 6364136223846793005ULL + 1442695040888963407ULL;
    return state >> 32 | state << 32;
}

static int64_t some_result(void)
{
    static const int64_t edges[] = {
        0,     1,         -1,        -EAGAIN,   -ERRNO_LAST, -ERRNO_LAST - 1,        4096,         16384,
        16385, INT32_MAX, INT32_MIN, INT64_MAX, INT64_MIN,   (int64_t)INT32_MAX + 1, -(1LL << 32), 432,
        2048,  2049};
    uint64_t r = random_number();
    return r % 3 == 0 ? (int64_t)random_number() : edges[r / 3 % ARRAY_COUNT(edges)];
}

/* Its clocks, and how it tells them. */
static struct hostcall_clock host_clock;
static enum { CLOCK_ANYTHING, CLOCK_LIES, CLOCK_HONEST } clock_how;

static uint64_t about(uint64_t value)
{
    uint64_t off = random_number() >> random_number() % 64;
    return random_number() % 3 == 0 ? value : random_number() % 2 ? value + off : value - off;
}

static void tell_clock(void)
{
    struct hostcall_clock *c = (struct hostcall_clock *)shared.data;
    *c = host_clock;
    c->tsc = tsc;
    tsc += random_number() % 5000;
    if (clock_how == CLOCK_HONEST)
        return;
    c->tsc = random_number() % 4 ? c->tsc : about(c->tsc);
    c->monotonic_ns = about(c->monotonic_ns);
    c->realtime_ns = about(c->realtime_ns);
    c->tsc_hz = about(c->tsc_hz);
}

void hostcall_exit_enter(void)
{
    assert_true(shared.nr < HOSTCALL_COUNT);
    if (shared.nr == HOSTCALL_CLOCK && clock_how != CLOCK_ANYTHING) {
        tell_clock();
        return;
    }
    shared.result = some_result();
    for (unsigned n = random_number() % 4; n > 0; n--)
        ((uint32_t *)shared.data)[random_number() % 12] = (uint32_t)(random_number() % 3 ? random_number() : 1);
    if (random_number() % 2)
        shared.data[random_number() % sizeof(shared.data)] = (uint8_t)random_number();
    shared.kick = shared.parked = shared.signals = (uint32_t)random_number();
}

/* ---- what the kernel is told ---- */

static void check_errno_or_0(int result)
{
    assert_true(result <= 0 && result >= -ERRNO_LAST);
}

static void ask_socket(void)
{
    struct hostcall_socket op = {
        .op = (uint32_t)(random_number() % 9), .channel = (uint32_t)(random_number() % 100), .addr_size = 16};
    const struct hostcall_socket asked = op;
    int result = hostcall_socket(&op);
    assert_true(result >= -ERRNO_LAST);
    assert_true(op.op == asked.op && op.channel == asked.channel);
    assert_true(op.addr_size <= sizeof(op.addr) && op.optlen <= sizeof(op.optval));
}

static void ask_quote(void)
{
    size_t max = random_number() % 4096;
    uint64_t offset = random_number() % 3 ? random_number() % 20000 : 0;
    static uint8_t data[4096 + 1];
    memset(data, 0x5a, sizeof(data));
    int result = hostcall_quote_read(offset, data, max);
    assert_true(result <= (int)QUOTE_SIZE_MAX && result >= -ERRNO_LAST);
    for (size_t i = MIN(max, (size_t)HOSTCALL_DATA_SIZE); i < sizeof(data); i++)
        assert_int_equal(data[i], 0x5a);
}

static void ask_key(void)
{
    static uint8_t data[2 * KEY_ANSWER_MAX];
    size_t max = random_number() % KEY_ANSWER_MAX;
    check_errno_or_0(hostcall_key_put(random_number(), data, random_number() % sizeof(data)));
    check_errno_or_0(hostcall_key_send(random_number(), random_number() % 2));
    memset(data, 0x5a, sizeof(data));
    int result = hostcall_key_read(data, max);
    assert_true(result <= (int)KEY_ANSWER_MAX && result >= -ERRNO_LAST);
    for (size_t i = max; i < sizeof(data); i++)
        assert_int_equal(data[i], 0x5a);
}

static void ask(void)
{
    uint8_t report[432] = {0};
    switch (random_number() % 11) {
    case 0:
        check_errno_or_0(hostcall_spawn((enum spawn_op)(random_number() % 3), (unsigned)(random_number() % 9)));
        break;
    case 1:
        check_errno_or_0(hostcall_edmm((enum edmm_op)(random_number() % 5), PAGE_SIZE, PAGE_SIZE, 0));
        break;
    case 2:
        check_errno_or_0(hostcall_quote_begin(QUOTE_MAKE, report, sizeof(report)));
        break;
    case 3:
        ask_quote();
        break;
    case 4:
        hostcall_park(random_number(), random_number() % 2);
        hostcall_kick(random_number());
        break;
    case 10:
        ask_key();
        break;
    case 9:
        check_errno_or_0(hostcall_volume(random_number() % 4 | (random_number() % 2 ? VOLUME_OP_LATER : 0),
                                         VOLUME_FILE(random_number() % VOLUME_MAX, 0), random_number(), 1));
        break;
    case 5: {
        char text[5000];
        memset(text, 'x', sizeof(text));
        hostcall_log(text, random_number() % sizeof(text));
        hostcall_trace(text, random_number() % sizeof(text));
        break;
    }
    default:
        ask_socket();
    }
}

static void ask_once(void)
{
    if (setjmp(lie) != 0) {
        lies++;
        return;
    }
    ask();
    answers++;
}

static void test_lying_host(void **unused)
{
    for (unsigned i = 0; i < ROUNDS; i++)
        ask_once();
    print_message("%u answers believed, %u lies named\n", answers, lies);
    assert_true(answers > ROUNDS / 10 && lies > ROUNDS / 10);
}

/* The clock that the host calibrates: refused, or one that never steps back, whatever the host said. */
static void set_clock_once(void)
{
    static const uint64_t edges[] = {0,           1,          100000000,        2500000000,
                                     20000000000, 1ULL << 62, (1ULL << 62) + 1, UINT64_MAX};
    uint64_t values[4];
    for (size_t i = 0; i < ARRAY_COUNT(values); i++)
        values[i] =
            random_number() % 2 ? edges[random_number() % ARRAY_COUNT(edges)] : random_number() >> random_number() % 64;
    if (setjmp(lie) != 0) {
        lies++;
        return;
    }
    tsc = random_number() >> 2;
    time_init(values[0], values[1], values[2], values[3]);
    clock_how = random_number() % 3 ? CLOCK_LIES : CLOCK_ANYTHING;
    uint64_t before = time_monotonic_ns(), real = time_realtime_ns(), followed = before;
    for (int i = 0; i < 20; i++) {
        tsc += random_number() % 4 ? random_number() % 1000 : random_number() >> 20;
        assert_true(time_monotonic_ns() >= before && time_realtime_ns() >= real);
        if (random_number() % 4 == 0) {
            host_clock = (struct hostcall_clock){0, time_monotonic_ns(), time_realtime_ns(), values[0]};
            before = time_monotonic_ns();
            real = time_realtime_ns();
            time_follow_host();
            uint64_t now = time_monotonic_ns();
            assert_true(now >= before && time_realtime_ns() >= real);
            assert_true(now - before <= 10100000 + (now - followed) / 99);
            followed = now;
        }
        before = time_monotonic_ns();
        real = time_realtime_ns();
    }
    answers++;
}

static void test_clock_never_steps_back(void **unused)
{
    answers = lies = 0;
    for (unsigned i = 0; i < ROUNDS; i++)
        set_clock_once();
    clock_how = CLOCK_ANYTHING;
    assert_true(answers > ROUNDS / 100 && lies > ROUNDS / 10);
}

/* A second of a host whose TSC runs at `hz`; the kernel looks as often as it wants to. */
static void second_passes(uint64_t hz)
{
    tsc += hz;
    host_clock.monotonic_ns += 1000000000;
    host_clock.realtime_ns += 1000000000;
    if (time_follow_due(time_monotonic_ns()))
        time_follow_host();
}

static int64_t ahead_of_host(void)
{
    return (int64_t)(time_monotonic_ns() - host_clock.monotonic_ns);
}

/* The rate that was measured in milliseconds is wrong by some millionths: over weeks that would be seconds. */
static void follow_one(uint64_t told_hz, uint64_t hz)
{
    tsc = 1ULL << 40;
    clock_how = CLOCK_HONEST;
    host_clock = (struct hostcall_clock){0, 5000000000, 1700000000000000000, hz};
    time_init(told_hz, tsc, host_clock.monotonic_ns, host_clock.realtime_ns);
    for (int i = 0; i < 10; i++)
        second_passes(hz);
    for (int i = 0; i < 100000; i++) {
        second_passes(hz);
        assert_in_range(ahead_of_host() + 10000, 0, 20000);
    }
    host_clock.realtime_ns += 3600000000000; /* somebody sets the wall clock */
    for (int i = 0; i < 70; i++)
        second_passes(hz);
    assert_in_range(time_realtime_ns() - host_clock.realtime_ns + 10000, 0, 20000);
    host_clock.realtime_ns -= 60000000000;
    for (int i = 0; i < 128 * 60 + 70; i++) {
        uint64_t before = time_realtime_ns();
        second_passes(hz);
        assert_true(time_realtime_ns() - before > 990000000);
        assert_in_range(ahead_of_host() + 10000, 0, 20000);
    }
    assert_in_range(time_realtime_ns() - host_clock.realtime_ns + 10000, 0, 20000);
    clock_how = CLOCK_ANYTHING;
}

static void test_clock_follows_host(void **unused)
{
    follow_one(2500000000, 2500000000);
    follow_one(2500000000, 2500100000);
    follow_one(2500000000, 2499900000);
    follow_one(3000000000, 2990000000);
}

/* EXIT does not return, whatever the host does. */
static void test_exit_is_the_end(void **unused)
{
    int how = setjmp(lie);
    if (how == 0)
        hostcall_exit(0);
    assert_int_equal(how, 2);
    assert_int_equal(shared.nr, HOSTCALL_EXIT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_lying_host), cmocka_unit_test(test_clock_never_steps_back),
                                       cmocka_unit_test(test_clock_follows_host),
                                       cmocka_unit_test(test_exit_is_the_end)};
    the_vcpu.self = &the_vcpu;
    the_vcpu.shared = (host_ptr){(uint64_t)&shared};
    __asm__ volatile("wrgsbase %0" : : "r"(&the_vcpu));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
