/* The first thread ends first: the process lives on until the last one, and reports that one's status. */
#include "show.h"
#include <pthread.h>
#include <sys/syscall.h>
#include <time.h>

static void *later(void *arg)
{
    struct timespec ts = {0, 50000000};
    nanosleep(&ts, NULL);
    printf("still here, pid %d\n", getpid());
    fflush(stdout);
    syscall(SYS_exit, 9);
    return NULL;
}

int main(void)
{
    pthread_t thread;
    pthread_create(&thread, NULL, later, NULL);
    printf("first thread ends\n");
    fflush(stdout);
    syscall(SYS_exit, 3);
}
