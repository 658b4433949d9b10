/* Deep recursion, large frames, mapped stacks that grow, and threads' stacks. */
#include "show.h"

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/resource.h>

#define P 4096UL

static __attribute__((noinline)) unsigned long deep(unsigned depth)
{
    volatile char frame[1000];

    memset((char *)frame, (int)depth, sizeof frame);
    return depth ? deep(depth - 1) + (unsigned char)frame[500] : 0;
}

static __attribute__((noinline)) int large(void)
{
    volatile char frame[3 << 20];

    frame[0] = 1;
    frame[sizeof frame - 1] = 2;
    return frame[0] + frame[sizeof frame - 1];
}

static void *on_thread(void *arg)
{
    return (void *)deep(2000);
}

static sigjmp_buf jump;
static void on_overflow(int signal)
{
    siglongjmp(jump, signal);
}

static __attribute__((noinline)) int forever(int n)
{
    volatile char frame[4096];

    frame[n & 4095] = (char)n;
    return forever(n + 1) + frame[(n + 7) & 4095];
}

int main(void)
{
    pthread_t threads[8];
    void *result;
    stack_t alternate = {.ss_sp = malloc(65536), .ss_size = 65536};
    struct sigaction action = {.sa_handler = on_overflow, .sa_flags = SA_ONSTACK};
    char *area, *stack;

    printf("%lu\n", deep(5000));
    printf("%d\n", large());
    for (int i = 0; i < 8; i++)
        pthread_create(&threads[i], NULL, on_thread, NULL);
    for (int i = 0; i < 8; i++) {
        pthread_join(threads[i], &result);
        printf("thread %lu\n", (unsigned long)result);
    }
    area = mmap(NULL, 1024 * P, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    munmap(area, 1024 * P);
    stack = mmap(area + 1000 * P, P, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_GROWSDOWN | MAP_FIXED,
                 -1, 0);
    stack[0] = 1;
    for (int i = 1; i < 20; i++)
        stack[-i * (long)P] = (char)i;
    printf("grown: %d %d\n", stack[-19 * (long)P], stack[-19 * (long)P + 1]);
    sigaltstack(&alternate, NULL);
    sigaction(SIGSEGV, &action, NULL);
    if (sigsetjmp(jump, 1) == 0)
        forever(0);
    else
        printf("overflow is a signal\n");
    return 0;
}
