/* membarrier: the store-buffer litmus test, with the barrier on one side only. */
#include "show.h"

#include <linux/membarrier.h>
#include <pthread.h>
#include <sys/syscall.h>

static volatile int x, y, r1, round_number, answered;

static void *light(void *arg)
{
    for (int i = 1; i <= 300; i++) {
        while (round_number != i)
            ;
        x = 1;
        __asm__ volatile("" ::: "memory");
        r1 = y;
        __asm__ volatile("" ::: "memory");
        answered = i;
    }
    return NULL;
}

static long membarrier(int command)
{
    return syscall(SYS_membarrier, command, 0, 0);
}

int main(void)
{
    pthread_t thread;
    int both_zero = 0;

    printf("private expedited known: %d\n", (membarrier(MEMBARRIER_CMD_QUERY) & MEMBARRIER_CMD_PRIVATE_EXPEDITED) != 0);
    SHOW(membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED));
    SHOW(membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED));
    SHOW(membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED));
    SHOW(syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 99, 0));
    SHOW(membarrier(1 << 30));
    pthread_create(&thread, NULL, light, NULL);
    for (int i = 1; i <= 300; i++) {
        int r2;

        x = y = r1 = 0;
        __sync_synchronize();
        round_number = i;
        y = 1;
        membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED);
        r2 = x;
        while (answered != i)
            ;
        both_zero += r1 == 0 && r2 == 0;
    }
    pthread_join(thread, NULL);
    printf("reordered: %d\n", both_zero);
    return 0;
}
