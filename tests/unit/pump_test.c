/* What the tests of the pump have in common (contract in pump_test.h). */
#include "tests/unit/pump_test.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

int dial(uint16_t port)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct timeval limit = {.tv_sec = 20};
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    if (connect(fd, (struct sockaddr *)&in, sizeof(in)) < 0) {
        close(fd);
        return -1;
    }
    return fd;
}

int read_all(int fd, void *buf, size_t size)
{
    for (size_t done = 0; done < size;) {
        ssize_t n = read(fd, (uint8_t *)buf + done, size - done);

        if (n <= 0)
            return -1;
        done += (size_t)n;
    }
    return 0;
}

uint8_t pattern(uint64_t at)
{
    return (uint8_t)(at * 2654435761u >> 13);
}

void nothing(struct fake_kernel *k, uint32_t c, void *arg)
{
}

void await_event(struct fake_kernel *k, uint32_t c, uint32_t event)
{
    for (int i = 0; i < 50 && !(fake_events(k, c) & event); i++)
        fake_kernel_park(k, 100 * MS, nothing, NULL);
    assert_true(fake_events(k, c) & event);
}

static void *kicks_main(void *arg)
{
    struct kicks *s = arg;

    for (int i = 1; i <= s->rounds; i++) {
        while (atomic_load(&s->round) < i)
            ;
        for (int pause = i * 7 % 400; pause > 0; pause--)
            __builtin_ia32_pause();
        atomic_store(&s->kicked, i); /* who is not parked now has no need of the kick */
        atomic_store(&s->kernel->kicked, 1);
        s->kick(s);
    }
    return NULL;
}

void kicks_all_count(struct kicks *s)
{
    struct timespec a, b;
    pthread_t thread;

    s->parked = pthread_self();
    pthread_create(&thread, NULL, kicks_main, s);
    for (int i = 1; i <= s->rounds; i++) {
        if (s->before_round)
            s->before_round(s->kernel);
        clock_gettime(CLOCK_MONOTONIC, &a);
        atomic_store(&s->round, i);
        while (atomic_load(&s->kicked) < i) {
            fake_kernel_park(s->kernel, 20000 * MS, nothing, NULL);
            clock_gettime(CLOCK_MONOTONIC, &b);
            assert_in_range(b.tv_sec - a.tv_sec, 0, 15);
        }
    }
    pthread_join(thread, NULL);
}
