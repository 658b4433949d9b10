/* Every futex operation by system call: values, counts, errors. */
#include "show.h"
#include <linux/futex.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <time.h>

static _Atomic uint32_t words[4];
static _Atomic int started, woken[4];

static long futex(void *addr, int op, uint32_t value, const void *timeout, void *addr2, uint32_t value3)
{
    return syscall(SYS_futex, addr, op, value, timeout, addr2, value3);
}

static void settle(void)
{
    struct timespec ts = {0, 20000000};
    nanosleep(&ts, NULL);
}

struct arg {
    int word;
    uint32_t bitset;
};

static void *waiter(void *p)
{
    struct arg *a = p;
    started++;
    long r = futex(&words[a->word], FUTEX_WAIT_BITSET_PRIVATE, 0, NULL, NULL, a->bitset);
    if (r == 0)
        woken[a->word]++;
    return NULL;
}

static pthread_t threads[8];
static struct arg args[8];

static void start(int count, int word, uint32_t bitset)
{
    int before = started;
    for (int i = before; i < before + count; i++) {
        args[i % 8] = (struct arg){word, bitset};
        pthread_create(&threads[i % 8], NULL, waiter, &args[i % 8]);
    }
    while (started < before + count)
        settle();
    settle();
    settle();
}

static void finish(int count)
{
    for (int i = started - count; i < started; i++)
        pthread_join(threads[i % 8], NULL);
}

int main(void)
{
    struct timespec soon = {0, 10000000}, bad = {0, 2000000000}, past = {0, 1};
    SHOW(futex(&words[0], FUTEX_WAIT, 1, NULL, NULL, 0));
    SHOW(futex(&words[0], FUTEX_WAIT, 0, &soon, NULL, 0));
    SHOW(futex(&words[0], FUTEX_WAIT, 0, &bad, NULL, 0));
    SHOW(futex(&words[0], FUTEX_WAIT_BITSET, 0, &past, NULL, ~0u));
    SHOW(futex(&words[0], FUTEX_WAIT_BITSET | FUTEX_CLOCK_REALTIME, 0, &past, NULL, ~0u));
    SHOW(futex(&words[0], FUTEX_WAIT_BITSET, 0, &past, NULL, 0));
    SHOW(futex((char *)&words[0] + 1, FUTEX_WAIT, 0, NULL, NULL, 0));
    SHOW(futex((char *)&words[0] + 1, FUTEX_WAKE, 1, NULL, NULL, 0));
    SHOW(futex((void *)16, FUTEX_WAIT, 0, NULL, NULL, 0));
    SHOW(futex((void *)0xffff800000000000, FUTEX_WAKE, 1, NULL, NULL, 0));
    SHOW(futex(&words[0], 99, 0, NULL, NULL, 0));
    SHOW(futex(&words[0], FUTEX_WAKE | FUTEX_CLOCK_REALTIME, 1, NULL, NULL, 0));
    SHOW(futex(&words[0], FUTEX_WAKE, 1, NULL, NULL, 0));
    SHOW(futex(&words[0], FUTEX_WAKE_BITSET, 1, NULL, NULL, 0));

    start(4, 0, ~0u);
    SHOW(futex(&words[0], FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0));
    SHOW(futex(&words[0], FUTEX_WAKE_PRIVATE, 2, NULL, NULL, 0));
    SHOW(futex(&words[0], FUTEX_WAKE_PRIVATE, 100, NULL, NULL, 0));
    SHOW(futex(&words[0], FUTEX_WAKE_PRIVATE, 100, NULL, NULL, 0));
    finish(4);
    SHOW(woken[0]);

    start(2, 1, 0x1);
    start(2, 1, 0x2);
    SHOW(futex(&words[1], FUTEX_WAKE_BITSET_PRIVATE, 100, NULL, NULL, 0x4));
    SHOW(futex(&words[1], FUTEX_WAKE_BITSET_PRIVATE, 100, NULL, NULL, 0x2));
    SHOW(futex(&words[1], FUTEX_WAKE_BITSET_PRIVATE, 100, NULL, NULL, 0x3));
    finish(4);

    start(4, 2, ~0u);
    SHOW(futex(&words[2], FUTEX_CMP_REQUEUE_PRIVATE, 1, (void *)2, &words[3], 7));
    SHOW(futex(&words[2], FUTEX_CMP_REQUEUE_PRIVATE, 1, (void *)2, &words[3], 0));
    SHOW(futex(&words[3], FUTEX_WAKE_PRIVATE, 100, NULL, NULL, 0));
    SHOW(futex(&words[2], FUTEX_WAKE_PRIVATE, 100, NULL, NULL, 0));
    finish(4);
    start(3, 2, ~0u);
    SHOW(futex(&words[2], FUTEX_REQUEUE_PRIVATE, 0, (void *)100, &words[3], 0));
    SHOW(futex(&words[3], FUTEX_WAKE_PRIVATE, 100, NULL, NULL, 0));
    finish(3);
    SHOW(futex(&words[2], FUTEX_CMP_REQUEUE_PRIVATE, -1, (void *)2, &words[3], 0));

    start(1, 0, ~0u);
    start(1, 1, ~0u);
    words[1] = 5;
    SHOW(futex(&words[0], FUTEX_WAKE_OP_PRIVATE, 1, (void *)1, &words[1],
               FUTEX_OP(FUTEX_OP_ADD, 3, FUTEX_OP_CMP_EQ, 5)));
    SHOW(words[1]);
    finish(2);
    SHOW(futex(&words[0], FUTEX_WAKE_OP_PRIVATE, 1, (void *)1, &words[1],
               FUTEX_OP(FUTEX_OP_SET, 0xff0, FUTEX_OP_CMP_LT, 0)));
    SHOW(words[1]);
    SHOW(futex(&words[0], FUTEX_WAKE_OP_PRIVATE, 1, (void *)1, &words[1],
               FUTEX_OP(FUTEX_OP_ANDN | FUTEX_OP_OPARG_SHIFT, 4, FUTEX_OP_CMP_GE, 9)));
    SHOW(words[1]);
    SHOW(futex(&words[0], FUTEX_WAKE_OP_PRIVATE, 1, (void *)1, &words[1], FUTEX_OP(7, 4, FUTEX_OP_CMP_GE, 9)));
    SHOW(futex(&words[0], FUTEX_WAKE_OP_PRIVATE, 1, (void *)1, &words[1], FUTEX_OP(FUTEX_OP_XOR, 1, 9, 9)));

    struct futex_waitv v[3] = {
        {.uaddr = (uintptr_t)&words[0], .val = 0, .flags = FUTEX_32 | FUTEX_PRIVATE_FLAG},
        {.uaddr = (uintptr_t)&words[2], .val = 0, .flags = FUTEX_32 | FUTEX_PRIVATE_FLAG},
    };
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    SHOW(syscall(SYS_futex_waitv, v, 2, 0, &now, CLOCK_MONOTONIC));
    v[1].val = 1;
    SHOW(syscall(SYS_futex_waitv, v, 2, 0, NULL, 0));
    SHOW(syscall(SYS_futex_waitv, v, 0, 0, NULL, 0));
    SHOW(syscall(SYS_futex_waitv, v, 129, 0, NULL, 0));
    SHOW(syscall(SYS_futex_waitv, v, 3, 0, NULL, 0));
    v[1].val = 0;
    v[1].flags = 0;
    SHOW(syscall(SYS_futex_waitv, v, 2, 0, NULL, 0));
    return 0;
}
