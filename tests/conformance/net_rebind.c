/* A port is free as soon as its socket is closed, whatever other threads do: for sockets that the outside can reach. */
#include "show.h"
#include <netinet/in.h>
#include <pthread.h>
#include <sys/socket.h>

enum { BOUND, LISTENING, DATAGRAM, REFUSED };

static volatile int stop;

static void *compute(void *arg)
{
    while (!stop)
        ;
    return NULL;
}

static int tell(int s)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(1), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    return connect(s, (struct sockaddr *)&to, sizeof(to));
}

/* How often a port could not be bound again. */
static int taken(int kind, int times)
{
    int bad = 0, type = kind == DATAGRAM ? SOCK_DGRAM : SOCK_STREAM;
    for (int i = 0; i < times; i++) {
        struct sockaddr_in a = {.sin_family = AF_INET};
        socklen_t size = sizeof(a);
        int s = socket(AF_INET, type, 0);
        bind(s, (struct sockaddr *)&a, sizeof(a));
        getsockname(s, (struct sockaddr *)&a, &size);
        if (kind == LISTENING)
            listen(s, 5);
        if (kind == REFUSED)
            tell(s);
        close(s);
        s = socket(AF_INET, type, 0);
        bad += bind(s, (struct sockaddr *)&a, sizeof(a)) != 0;
        close(s);
    }
    return bad;
}

static void *test(void *arg)
{
    SHOW(taken(BOUND, 20));
    SHOW(taken(LISTENING, 20));
    SHOW(taken(DATAGRAM, 20));
    SHOW(taken(REFUSED, 20));
    stop = 1;
    return NULL;
}

int main(void)
{
    pthread_t thread;
    alarm(30);
    pthread_create(&thread, NULL, test, NULL);
    compute(NULL);
    pthread_join(thread, NULL);
    struct sockaddr_in a = {.sin_family = AF_INET};
    socklen_t size = sizeof(a);
    int s = socket(AF_INET, SOCK_STREAM, 0), t = socket(AF_INET, SOCK_STREAM, 0);
    SHOW(bind(s, (struct sockaddr *)&a, sizeof(a)));
    getsockname(s, (struct sockaddr *)&a, &size);
    SHOW(bind(t, (struct sockaddr *)&a, sizeof(a)));
    return 0;
}
