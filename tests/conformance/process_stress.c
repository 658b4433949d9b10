/* Threads that make children at the same time, each with its own, while signals come; nothing is lost or left over. */
#include "child.h"

#include <pthread.h>
#include <stdatomic.h>

#define THREADS 6
#define ROUNDS 120

static _Atomic long sum;
static _Atomic int done, chld, failures;

static int exits(void *arg)
{
    raw_exit((int)(long)arg & 0x7f);
}

static int loops(void *arg)
{
    for (;;)
        ;
}

static void *maker(void *arg)
{
    char *stack = (char *)new_stack(), *other = (char *)new_stack();
    for (int i = 0; i < ROUNDS; i++) {
        int status, pid;
        if (i % 3 == 2) { /* one that runs until it is killed, stopped in between */
            pid = clone(loops, other, CLONE_VM | SIGCHLD, NULL);
            kill(pid, SIGSTOP);
            while (waitpid(pid, &status, WUNTRACED) < 0 && errno == EINTR)
                ;
            failures += !WIFSTOPPED(status);
            kill(pid, SIGKILL);
        } else {
            pid = clone(exits, stack, CLONE_VM | CLONE_VFORK | SIGCHLD, (void *)(long)i);
        }
        int r;
        while ((r = waitpid(pid, &status, 0)) < 0 && errno == EINTR)
            ;
        failures += r != pid;
        sum += WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status);
    }
    done++;
    return NULL;
}

static void on_child(int signal)
{
    chld++;
}

static void on_signal(int signal)
{
}

int main(void)
{
    struct sigaction action = {.sa_handler = on_child, .sa_flags = SA_RESTART | SA_NOCLDSTOP};
    sigaction(SIGCHLD, &action, NULL);
    action.sa_handler = on_signal;
    sigaction(SIGUSR1, &action, NULL);
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, maker, NULL);
    for (int i = 0; done < THREADS; i++) {
        if (done == 0)
            pthread_kill(threads[i % THREADS], SIGUSR1);
        raw_sleep_ms(1);
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    printf("sum %ld, failures %d, some SIGCHLD %d\n", (long)sum, failures, chld > 0);
    show_wait("nobody left", -1, __WALL);
    return 0;
}
