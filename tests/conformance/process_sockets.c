/* Sockets of processes in enclaves of their own, many at once: datagrams between them, streams with half-closes that
 * are read and written in pieces of any size, descriptors passed round. Every byte is looked at. */
#include "show.h"

#include <arpa/inet.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#define ROUNDS 40
#define PATH "/tmp/process_sockets"
#define CHECK(condition)                                                                                               \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            printf("line %d: %s: %s\n", __LINE__, #condition, strerror(errno));                                        \
            fflush(stdout);                                                                                            \
            _exit(1);                                                                                                  \
        }                                                                                                              \
    } while (0)

static unsigned seed;

static unsigned any(unsigned limit)
{
    seed = seed * 1664525 + 1013904223;
    return (seed >> 8) % limit;
}

static void fill(char *bytes, int size, unsigned what)
{
    for (int i = 0; i < size; i++)
        bytes[i] = (char)(what * 31 + i * 7);
}

/* fn in a process of its own. */
static int start(void (*fn)(int), int arg)
{
    int pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        seed = arg + 1;
        fn(arg);
        _exit(0);
    }
    return pid;
}

static void ended_well(int pid)
{
    int status;
    CHECK(waitpid(pid, &status, 0) == pid && status == 0);
}

/* ---- UDP: two processes answer on one socket ---- */

static int udp, udp_port;

static void answer(int arg)
{
    char bytes[2048];
    struct sockaddr_in from;
    for (;;) {
        socklen_t size = sizeof from;
        int n = recvfrom(udp, bytes, sizeof bytes, 0, (struct sockaddr *)&from, &size);
        if (n >= 0)
            sendto(udp, bytes, n, 0, (struct sockaddr *)&from, size);
    }
}

static void ask(int number)
{
    struct sockaddr_in to = {AF_INET, htons(udp_port), {htonl(INADDR_LOOPBACK)}};
    int s = socket(AF_INET, SOCK_DGRAM, 0);
    char out[1500], in[1500];
    CHECK(connect(s, (struct sockaddr *)&to, sizeof to) == 0);
    for (int i = 0; i < ROUNDS * 4; i++) {
        int size = 4 + any(1400);
        struct pollfd p = {s, POLLIN};
        fill(out, size, number * 1000 + i);
        CHECK(send(s, out, size, 0) == size);
        CHECK(poll(&p, 1, 20000) == 1);
        CHECK(recv(s, in, sizeof in, 0) == size && memcmp(in, out, size) == 0);
    }
}

/* ---- streams: a process for each connection, which sends back what comes ---- */

static int listener;

static void send_all(int s, const char *bytes, int size, unsigned piece)
{
    for (int done = 0; done < size;) {
        int n = send(s, bytes + done, piece ? 1 + any(piece) % (size - done) : size - done, MSG_NOSIGNAL);
        CHECK(n > 0);
        done += n;
    }
}

static void echo(int s)
{
    static char bytes[70000];
    int n;
    while ((n = recv(s, bytes, 1 + any(sizeof bytes), 0)) > 0)
        send_all(s, bytes, n, 0);
    CHECK(n == 0);
}

static void serve(int arg)
{
    signal(SIGCHLD, SIG_IGN);
    for (;;) {
        int s = accept(listener, NULL, NULL);
        CHECK(s >= 0);
        start(echo, s);
        close(s);
    }
}

static char *sent;
static int sent_size;

static void give(int s)
{
    send_all(s, sent, sent_size, 50000);
    shutdown(s, SHUT_WR);
}

static void talk(int number)
{
    struct sockaddr_un to = {AF_UNIX, PATH};
    for (int i = 0; i < ROUNDS / 10; i++) {
        int s = socket(AF_UNIX, SOCK_STREAM, 0), got = 0, n;
        CHECK(connect(s, (struct sockaddr *)&to, sizeof to) == 0);
        sent_size = 1 + any(300000);
        sent = malloc(sent_size);
        fill(sent, sent_size, number * 7 + i);
        char *back = malloc(sent_size);
        int giver = start(give, s);
        while ((n = recv(s, back + got, sent_size - got, 0)) > 0)
            got += n;
        CHECK(got == sent_size && memcmp(sent, back, got) == 0);
        ended_well(giver);
        close(s);
        free(sent);
        free(back);
    }
}

/* ---- a pipe's end goes round, and who has it writes to it ---- */

#define RING 4
static int ring[RING][2];

static int pass(int s, int *fd, int receive)
{
    char byte = 'x', control[CMSG_SPACE(sizeof(int))] __attribute__((aligned(8))) = "";
    struct iovec iov = {&byte, 1};
    struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);
    if (receive) {
        int n = recvmsg(s, &m, 0);
        memcpy(fd, CMSG_DATA(c), sizeof *fd);
        return n;
    }
    *c = (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof *fd), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
    memcpy(CMSG_DATA(c), fd, sizeof *fd);
    return sendmsg(s, &m, 0);
}

static void one_of_ring(int number)
{
    for (int i = 0; i < ROUNDS; i++) {
        char digit = (char)('0' + number);
        int fd;
        CHECK(pass(ring[number][1], &fd, 1) == 1);
        CHECK(write(fd, &digit, 1) == 1);
        if (number < RING - 1 || i < ROUNDS - 1)
            CHECK(pass(ring[(number + 1) % RING][0], &fd, 0) == 1);
        close(fd);
    }
}

static void go_round(int arg)
{
    int ends[2], pids[RING], size = 0, n;
    char text[RING * ROUNDS + 1];
    for (int i = 0; i < RING; i++)
        CHECK(socketpair(AF_UNIX, i & 1 ? SOCK_SEQPACKET : SOCK_DGRAM, 0, ring[i]) == 0);
    for (int i = 0; i < RING; i++)
        pids[i] = start(one_of_ring, i);
    CHECK(pipe(ends) == 0);
    CHECK(pass(ring[0][0], &ends[1], 0) == 1);
    close(ends[1]);
    while ((n = read(ends[0], text + size, sizeof text - size)) > 0)
        size += n;
    CHECK(size == RING * ROUNDS);
    for (int i = 0; i < size; i++)
        CHECK(text[i] == '0' + i % RING);
    for (int i = 0; i < RING; i++)
        ended_well(pids[i]);
}

/* ---- many send to one: whole, in order, none lost ---- */

#define SENDERS 6
static int pair[2];

static void tell(int number)
{
    int message[64] = {number};
    for (message[1] = 0; message[1] < ROUNDS * 4; message[1]++)
        CHECK(send(pair[0], message, 8 + message[1] * 13 % 240, 0) == 8 + message[1] * 13 % 240);
}

static void hear_all(int arg)
{
    int pids[SENDERS], next[SENDERS] = {0}, message[64];
    CHECK(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair) == 0);
    for (int i = 0; i < SENDERS; i++)
        pids[i] = start(tell, i);
    for (int i = 0; i < SENDERS * ROUNDS * 4; i++) {
        int n = recv(pair[1], message, sizeof message, 0);
        CHECK(n >= 8 && message[1] == next[message[0]]++ && n == 8 + message[1] * 13 % 240);
    }
    for (int i = 0; i < SENDERS; i++)
        ended_well(pids[i]);
}

static void all(int arg)
{
    struct sockaddr_in in = {AF_INET, 0, {htonl(INADDR_LOOPBACK)}};
    struct sockaddr_un un = {AF_UNIX, PATH};
    socklen_t size = sizeof in;
    int servers[3], clients[10], count = 0;
    udp = socket(AF_INET, SOCK_DGRAM, 0);
    CHECK(bind(udp, (struct sockaddr *)&in, size) == 0 && getsockname(udp, (struct sockaddr *)&in, &size) == 0);
    udp_port = ntohs(in.sin_port);
    unlink(PATH);
    listener = socket(AF_UNIX, SOCK_STREAM, 0);
    CHECK(bind(listener, (struct sockaddr *)&un, sizeof un) == 0 && listen(listener, 100) == 0);
    servers[0] = start(answer, 0);
    servers[1] = start(answer, 1);
    servers[2] = start(serve, 2);
    for (int i = 0; i < 4; i++) {
        clients[count++] = start(ask, i);
        clients[count++] = start(talk, i);
    }
    clients[count++] = start(go_round, 0);
    clients[count++] = start(hear_all, 0);
    for (int i = 0; i < count; i++)
        ended_well(clients[i]);
    for (int i = 0; i < 3; i++)
        kill(servers[i], SIGKILL);
    puts("all bytes are right");
    fflush(stdout);
}

int main(void)
{
    ended_well(start(all, 0));
    return 0;
}
