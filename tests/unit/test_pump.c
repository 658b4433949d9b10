/* The pump against a fake kernel and real clients, with either backend (first argument: uring or epoll). */
#include "host/clock.h"
#include "host/pump/internal.h"
#include "tests/unit/fake_kernel.h"
#include "tests/unit/pump_test.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define MANY 1000
#define BULK_SIZE (100u << 20)

struct conn {
    uint64_t received;
    uint32_t held; /* bytes in buf not yet written back */
    uint8_t buf[65536];
};

/* An echo server on the fake kernel's channels. */
struct server {
    uint32_t listener;
    uint16_t port;
    bool discard, source; /* instead of echoing: count what comes; send `total` bytes */
    uint64_t total, received, accepted, ended, resets;
    atomic_int clients_done;
    int clients;
};

static int setup(void **state)
{
    struct pump_config config = {.no_console = true, .cpu_count = 2};

    *state = fake_kernel_new(&config);
    return 0;
}

static int teardown(void **state)
{
    fake_kernel_free(*state);
    return 0;
}

static void serve_conn(struct fake_kernel *k, struct server *s, uint32_t c)
{
    struct conn *conn = k->fake[c].data;
    uint32_t events = fake_events(k, c), n;

    if (events & CHAN_EV_ERROR) {
        s->resets++;
        free(conn);
        fake_close(k, c, false);
        return;
    }
    for (;;) {
        if (conn->held > 0) {
            n = fake_write(k, c, conn->buf, conn->held);
            memmove(conn->buf, conn->buf + n, conn->held - n);
            conn->held -= n;
            fake_want_room(k, c, conn->held > 0);
            if (conn->held > 0)
                return;
        }
        n = fake_read(k, c, conn->buf, sizeof(conn->buf));
        if (n == 0)
            break;
        for (uint32_t i = 0; s->discard && i < n; i += 997)
            assert_int_equal(conn->buf[i], pattern(conn->received + i));
        conn->received += n;
        s->received += n;
        conn->held = s->discard ? 0 : n;
    }
    if ((events & CHAN_EV_EOF) && fake_rx_used(k, c) == 0) {
        s->ended++;
        free(conn);
        fake_close(k, c, false);
    }
}

static void source_conn(struct fake_kernel *k, struct server *s, uint32_t c)
{
    struct conn *conn = k->fake[c].data;

    while (conn->received < s->total) {
        uint32_t size = sizeof(conn->buf), n;

        if (size > s->total - conn->received)
            size = (uint32_t)(s->total - conn->received);
        for (uint32_t i = 0; i < size; i++)
            conn->buf[i] = pattern(conn->received + i);
        n = fake_write(k, c, conn->buf, size);
        conn->received += n;
        if (n < size) {
            fake_want_room(k, c, true);
            return;
        }
    }
    s->ended++;
    free(conn);
    fake_close(k, c, false);
}

static void server_ready(struct fake_kernel *k, uint32_t c, void *arg)
{
    struct server *s = arg;
    struct ring_accept record;
    uint32_t fresh;

    if (!k->fake[c].open)
        return;
    if (k->fake[c].listening) {
        while ((fresh = fake_accept(k, c, &record))) {
            k->fake[fresh].data = calloc(1, sizeof(struct conn));
            s->accepted++;
            server_ready(k, fresh, s);
        }
        return;
    }
    if (!k->fake[c].data)
        return;
    if (s->source)
        source_conn(k, s, c);
    else
        serve_conn(k, s, c);
}

static void server_open(struct fake_kernel *k, struct server *s)
{
    s->listener = fake_socket(k, AF_INET, SOCK_STREAM);
    assert_int_not_equal(s->listener, 0);
    s->port = fake_listen(k, s->listener, 0, 1024);
    assert_int_not_equal(s->port, 0);
}

struct client {
    struct server *server;
    int (*run)(struct client *client);
    int result;
    unsigned count;
    struct fake_kernel *kernel;
};

static void *client_main(void *arg)
{
    struct client *client = arg;

    client->result = client->run(client);
    atomic_fetch_add(&client->server->clients_done, 1);
    atomic_store(&client->kernel->kicked, 1);
    pump_wake(client->kernel->pump);
    return NULL;
}

/* Run one client thread against the server until both are through. */
static void run_client(struct fake_kernel *k, struct server *s, int (*run)(struct client *), unsigned count,
                       uint64_t ends)
{
    struct client client = {.server = s, .run = run, .count = count, .kernel = k};
    pthread_t thread;

    atomic_store(&s->clients_done, 0);
    pthread_create(&thread, NULL, client_main, &client);
    for (int i = 0; i < 2000000 && (!atomic_load(&s->clients_done) || s->ended + s->resets < ends); i++)
        fake_kernel_park(k, 5000 * MS, server_ready, s);
    pthread_join(thread, NULL);
    assert_int_equal(client.result, 0);
    assert_int_equal(s->ended + s->resets, ends);
}

static int client_echo(struct client *client)
{
    int fd = dial(client->server->port), ret = 0;
    char out[300], in[300];

    for (unsigned i = 0; i < client->count && ret == 0; i++) {
        size_t size = 1 + i % sizeof(out);

        memset(out, (int)('a' + i % 26), size);
        ret = write(fd, out, size) == (ssize_t)size && read_all(fd, in, size) == 0 && memcmp(in, out, size) == 0
                  ? 0
                  : i + 1;
    }
    close(fd);
    return ret;
}

static void test_echo(void **state)
{
    struct server s = {0};

    server_open(*state, &s);
    run_client(*state, &s, client_echo, 5000, 1);
}

static int client_half_close(struct client *client)
{
    int fd = dial(client->server->port);
    char text[20] = "", rest;
    bool ok = write(fd, "last words", 10) == 10 && shutdown(fd, SHUT_WR) == 0 && read_all(fd, text, 10) == 0 &&
              memcmp(text, "last words", 10) == 0 && read(fd, &rest, 1) == 0;

    close(fd);
    return ok ? 0 : 1;
}

static void test_half_close(void **state)
{
    struct server s = {0};

    server_open(*state, &s);
    for (uint64_t i = 1; i <= 20; i++)
        run_client(*state, &s, client_half_close, 0, i);
}

static int client_reset(struct client *client)
{
    int fd = dial(client->server->port);
    struct linger now = {.l_onoff = 1};
    char byte;
    bool ok = write(fd, "x", 1) == 1 && read_all(fd, &byte, 1) == 0;

    setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    close(fd);
    return ok ? 0 : 1;
}

static void test_reset_by_peer(void **state)
{
    struct server s = {0};

    server_open(*state, &s);
    run_client(*state, &s, client_reset, 0, 1);
    assert_int_equal(s.resets, 1);
}

static void test_reset_to_peer(void **state)
{
    struct fake_kernel *k = *state;
    struct server s = {0};
    struct ring_accept record;
    uint32_t c = 0;
    char byte;
    int fd;

    server_open(k, &s);
    fd = dial(s.port);
    for (int i = 0; i < 50 && !c; i++) {
        fake_kernel_park(k, 100 * MS, nothing, NULL);
        c = fake_accept(k, s.listener, &record);
    }
    assert_int_not_equal(c, 0);
    assert_int_equal(record.addr_size, sizeof(struct sockaddr_in));
    fake_close(k, c, true);
    fake_kernel_park(k, 0, nothing, NULL);
    assert_int_equal(read(fd, &byte, 1), -1);
    assert_int_equal(errno, ECONNRESET);
    close(fd);
}

static int client_upload(struct client *client)
{
    int fd = dial(client->server->port);
    static uint8_t buf[1 << 16];

    for (uint64_t done = 0; done < BULK_SIZE; done += sizeof(buf)) {
        for (size_t i = 0; i < sizeof(buf); i += 1)
            buf[i] = pattern(done + i);
        for (size_t n = 0; n < sizeof(buf);) {
            ssize_t w = write(fd, buf + n, sizeof(buf) - n);

            if (w <= 0)
                return 1;
            n += (size_t)w;
        }
    }
    close(fd);
    return 0;
}

static void test_upload(void **state)
{
    struct server s = {.discard = true};

    server_open(*state, &s);
    run_client(*state, &s, client_upload, 0, 1);
    assert_int_equal(s.received, BULK_SIZE);
}

static int client_download(struct client *client)
{
    int fd = dial(client->server->port);
    static uint8_t buf[1 << 16];
    uint64_t done = 0;
    ssize_t n;

    while ((n = read(fd, buf, sizeof(buf))) > 0) {
        for (ssize_t i = 0; i < n; i += 997)
            if (buf[i] != pattern(done + (uint64_t)i))
                return 2;
        done += (uint64_t)n;
    }
    close(fd);
    return done == BULK_SIZE ? 0 : 1;
}

static void test_download(void **state)
{
    struct server s = {.source = true, .total = BULK_SIZE};

    server_open(*state, &s);
    run_client(*state, &s, client_download, 0, 1);
}

static int client_bulk_echo(struct client *client)
{
    int fd = dial(client->server->port), status;
    uint64_t size = 32u << 20;
    static uint8_t buf[1 << 16];
    pid_t pid = fork();

    if (pid == 0) {
        for (uint64_t done = 0; done < size; done += sizeof(buf)) {
            for (size_t i = 0; i < sizeof(buf); i++)
                buf[i] = pattern(done + i);
            for (size_t n = 0; n < sizeof(buf);) {
                ssize_t w = write(fd, buf + n, sizeof(buf) - n);

                if (w <= 0)
                    _exit(1);
                n += (size_t)w;
            }
        }
        shutdown(fd, SHUT_WR);
        _exit(0);
    }
    for (uint64_t done = 0; done < size;) {
        ssize_t n = read(fd, buf, sizeof(buf));

        if (n <= 0)
            return 1;
        for (ssize_t i = 0; i < n; i++)
            if (buf[i] != pattern(done + (uint64_t)i))
                return 2;
        done += (uint64_t)n;
    }
    waitpid(pid, &status, 0);
    close(fd);
    return status;
}

static void test_bulk_echo(void **state)
{
    struct server s = {0};

    server_open(*state, &s);
    run_client(*state, &s, client_bulk_echo, 0, 1);
}

static int client_many(struct client *client)
{
    static int fds[MANY];
    char out[64], in[64];
    int ret = 0;

    for (unsigned i = 0; i < MANY; i++)
        if ((fds[i] = dial(client->server->port)) < 0)
            return 1;
    for (unsigned round = 0; round < client->count; round++) {
        for (unsigned i = 0; i < MANY; i++) {
            snprintf(out, sizeof(out), "%060u", i + round);
            ret |= write(fds[i], out, 60) != 60;
        }
        for (unsigned i = 0; i < MANY; i++) {
            snprintf(out, sizeof(out), "%060u", i + round);
            ret |= read_all(fds[i], in, 60) != 0 || memcmp(in, out, 60) != 0 ? 2 : 0;
        }
    }
    for (unsigned i = 0; i < MANY; i++)
        close(fds[i]);
    return ret;
}

static void test_many_connections(void **state)
{
    struct server s = {0};

    server_open(*state, &s);
    run_client(*state, &s, client_many, 10, MANY);
    assert_int_equal(s.accepted, MANY);
}

static int client_short_lived(struct client *client)
{
    char in[4];

    for (unsigned i = 0; i < client->count; i++) {
        int fd = dial(client->server->port);

        if (fd < 0 || write(fd, "ping", 4) != 4 || read_all(fd, in, 4) != 0)
            return 1;
        close(fd);
    }
    return 0;
}

static void test_short_connections_reuse_channels(void **state)
{
    struct fake_kernel *k = *state;
    struct server s = {0};

    server_open(k, &s);
    run_client(k, &s, client_short_lived, 2000, 2000);
    for (uint32_t c = 201; c < k->header->channel_count; c += 2)
        assert_int_equal(k->channels[c].ready_queued | k->fake[c].rx_tail, 0);
}

static void test_connect(void **state)
{
    struct fake_kernel *k = *state;
    int listener = socket(AF_INET, SOCK_STREAM, 0), fd;
    struct sockaddr_in in = {.sin_family = AF_INET};
    socklen_t size = sizeof(in);
    uint32_t c = fake_socket(k, AF_INET, SOCK_STREAM);
    char text[8] = "";

    in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(bind(listener, (struct sockaddr *)&in, sizeof(in)), 0);
    assert_int_equal(listen(listener, 1), 0);
    getsockname(listener, (struct sockaddr *)&in, &size);
    assert_int_equal(fake_connect(k, c, ntohs(in.sin_port)), -EINPROGRESS);
    fake_write(k, c, "early", 5);
    await_event(k, c, CHAN_EV_CONNECTED);
    fd = accept(listener, NULL, NULL);
    fake_kernel_park(k, 0, nothing, NULL);
    assert_int_equal(read_all(fd, text, 5), 0);
    assert_string_equal(text, "early");
    assert_int_equal(write(fd, "late", 4), 4);
    close(fd);
    await_event(k, c, CHAN_EV_EOF);
    assert_int_equal(fake_read(k, c, text, sizeof(text)), 4);
    fake_close(k, c, false);
    await_event(k, c, CHAN_EV_CLOSED);
    close(listener);

    c = fake_socket(k, AF_INET, SOCK_STREAM);
    assert_int_equal(fake_connect(k, c, ntohs(in.sin_port)), -EINPROGRESS);
    await_event(k, c, CHAN_EV_ERROR);
    assert_int_equal(k->channels[c].host_error, ECONNREFUSED);
    fake_close(k, c, false);
    await_event(k, c, CHAN_EV_CLOSED);
}

static void test_close_sends_what_is_queued(void **state)
{
    struct fake_kernel *k = *state;
    struct server s = {0};
    struct ring_accept record;
    uint32_t c = 0, sent = 0;
    static uint8_t bytes[200000], got[200000];
    char byte;
    int fd;

    server_open(k, &s);
    fd = dial(s.port);
    for (int i = 0; i < 50 && !c; i++) {
        fake_kernel_park(k, 100 * MS, nothing, NULL);
        c = fake_accept(k, s.listener, &record);
    }
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = pattern(i);
    sent = fake_write(k, c, bytes, sizeof(bytes));
    assert_int_equal(sent, sizeof(bytes));
    fake_close(k, c, false);
    fake_kernel_park(k, 10 * MS, nothing, NULL);
    assert_int_equal(read_all(fd, got, sizeof(got)), 0);
    assert_memory_equal(got, bytes, sizeof(got));
    fake_kernel_park(k, 10 * MS, nothing, NULL);
    assert_int_equal(read(fd, &byte, 1), 0);
    close(fd);
}

static uint32_t accept_one(struct fake_kernel *k, struct server *s, int *ret_fd)
{
    struct ring_accept record;
    uint32_t c = 0;

    *ret_fd = dial(s->port);
    for (int i = 0; i < 50 && !c; i++) {
        fake_kernel_park(k, 100 * MS, nothing, NULL);
        c = fake_accept(k, s->listener, &record);
    }
    assert_int_not_equal(c, 0);
    return c;
}

static void test_ending_by_flags(void **state)
{
    struct fake_kernel *k = *state;
    struct server s = {0};
    char text[8];
    uint32_t c;
    int fd;

    server_open(k, &s);
    for (int round = 0; round < 20; round++) {
        c = accept_one(k, &s, &fd);
        fake_write(k, c, "bye", 3);
        fake_end(k, c, CHAN_K_SHUT_WR);
        fake_kernel_park(k, 0, nothing, NULL);
        assert_int_equal(read_all(fd, text, 3), 0);
        assert_int_equal(read(fd, text, 1), 0);
        assert_int_equal(write(fd, "still", 5), 5);
        for (int i = 0; i < 50 && fake_rx_used(k, c) < 5; i++)
            fake_kernel_park(k, 100 * MS, nothing, NULL);
        assert_int_equal(fake_read(k, c, text, 5), 5);
        fake_end(k, c, CHAN_K_SHUT_WR | CHAN_K_CLOSE);
        fake_kernel_park(k, MS, nothing, NULL);
        close(fd);

        c = accept_one(k, &s, &fd);
        fake_write(k, c, "more", 4);
        fake_end(k, c, CHAN_K_CLOSE);
        fake_kernel_park(k, MS, nothing, NULL);
        assert_int_equal(read_all(fd, text, 4), 0);
        assert_int_equal(read(fd, text, 1), 0);
        close(fd);

        c = accept_one(k, &s, &fd);
        fake_end(k, c, CHAN_K_CLOSE | CHAN_K_RESET);
        fake_kernel_park(k, MS, nothing, NULL);
        assert_int_equal(read(fd, text, 1), -1);
        assert_int_equal(errno, ECONNRESET);
        close(fd);
    }
}

static void test_udp(void **state)
{
    struct fake_kernel *k = *state;
    uint32_t c = fake_socket(k, AF_INET, SOCK_DGRAM);
    uint16_t port = fake_listen(k, c, 0, 0);
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(port)};
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    static uint8_t packet[60000];
    static struct {
        struct ring_datagram header;
        uint8_t bytes[60008];
    } record;

    in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    for (unsigned i = 0; i < 200; i++) {
        uint32_t size = i % 2 ? 60000 - i : i;

        memset(packet, (int)i, sizeof(packet));
        assert_int_equal(sendto(fd, packet, size, 0, (struct sockaddr *)&in, sizeof(in)), size);
        for (int n = 0; n < 50 && fake_rx_used(k, c) == 0; n++)
            fake_kernel_park(k, 100 * MS, nothing, NULL);
        assert_int_equal(fake_read(k, c, &record.header, sizeof(record.header)), sizeof(record.header));
        assert_int_equal(record.header.size, size);
        assert_int_equal(record.header.addr_size, sizeof(in));
        fake_read(k, c, record.bytes, (size + 7) & ~7u);
        assert_memory_equal(record.bytes, packet, size);
        uint32_t whole = sizeof(record.header) + ((size + 7) & ~7u);
        assert_int_equal(fake_write(k, c, &record, whole), whole);
        fake_kernel_park(k, 0, nothing, NULL);
        assert_int_equal(recv(fd, packet, sizeof(packet), MSG_DONTWAIT), size);
    }
    fake_close(k, c, false);
    await_event(k, c, CHAN_EV_CLOSED);
    close(fd);
}

static void test_published_port(void **state)
{
    struct port_mapping ports[] = {{.port = 6379, .host_port = 0, .protocol = IPPROTO_TCP}};
    struct pump_config config = {.no_console = true, .ports = ports, .port_count = 1, .cpu_count = 2};
    struct hostcall_socket op = {.op = SOCKET_GETNAME};
    struct sockaddr_in in = {.sin_family = AF_INET};
    socklen_t size = sizeof(in);
    struct fake_kernel *k;
    struct ring_accept record;
    uint32_t c, accepted = 0;
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    assert_int_equal(bind(fd, (struct sockaddr *)&in, sizeof(in)), 0); /* a port that is free */
    getsockname(fd, (struct sockaddr *)&in, &size);
    close(fd);
    ports[0].host_port = ntohs(in.sin_port);
    k = fake_kernel_new(&config);
    c = fake_socket(k, AF_INET, SOCK_STREAM);
    assert_int_equal(fake_listen(k, c, 6379, 5), 6379);
    op.channel = c;
    assert_int_equal(fake_op(k, &op), 0);
    memcpy(&in, op.addr, sizeof(in));
    assert_int_equal(ntohs(in.sin_port), 6379);
    fd = dial(ports[0].host_port);
    assert_true(fd >= 0);
    for (int i = 0; i < 50 && !accepted; i++) {
        fake_kernel_park(k, 100 * MS, nothing, NULL);
        accepted = fake_accept(k, c, &record);
    }
    memcpy(&in, record.local, sizeof(in));
    assert_int_equal(ntohs(in.sin_port), 6379);
    close(fd);
    fake_kernel_free(k);
}

static void *kick_main(void *arg)
{
    struct fake_kernel *k = arg;

    usleep(20000);
    atomic_store(&k->kicked, 1);
    pump_wake(k->pump);
    return NULL;
}

static void test_kick_and_deadline(void **state)
{
    struct fake_kernel *k = *state;
    struct timespec a, b;
    pthread_t thread;

    clock_gettime(CLOCK_MONOTONIC, &a);
    fake_kernel_park(k, 30 * MS, nothing, NULL);
    clock_gettime(CLOCK_MONOTONIC, &b);
    assert_in_range((b.tv_sec - a.tv_sec) * 1000 + (b.tv_nsec - a.tv_nsec) / 1000000, 29, 2000);
    for (int i = 0; i < 3; i++) {
        pthread_create(&thread, NULL, kick_main, k);
        fake_kernel_park(k, 20000 * MS, nothing, NULL);
        pthread_join(thread, NULL);
    }
    clock_gettime(CLOCK_MONOTONIC, &a);
    assert_in_range(a.tv_sec - b.tv_sec, 0, 10);
}

static void kick(struct kicks *kicks)
{
    pump_wake(kicks->kernel->pump);
}

static void spinning_pays(struct fake_kernel *k)
{
    k->pump->gap_ns = 30000;
    k->pump->no_spin_until_ns = 0;
}

/* A kick counts whenever it comes, also while the pump submits what it will wait for. */
static void test_kick_at_any_time(void **state)
{
    struct kicks kicks = {.kernel = *state, .rounds = 20000, .kick = kick, .before_round = spinning_pays};

    kicks_all_count(&kicks);
}

static void input_gathers(struct fake_kernel *k)
{
    k->pump->arrivals_last = k->pump->active_last = 64;
    k->pump->epoch_start_ns = clock_monotonic_ns();
}

/* Also while input is to gather. */
static void test_kick_while_input_gathers(void **state)
{
    struct kicks kicks = {.kernel = *state, .rounds = 5000, .kick = kick, .before_round = input_gathers};

    kicks_all_count(&kicks);
}

/* Who is kicked already does not wait, but takes what is there. */
static void test_kicked_takes_input(void **state)
{
    struct fake_kernel *k = *state;
    uint32_t c = fake_socket(k, AF_INET, SOCK_STREAM), accepted = 0;
    int fd = dial(fake_listen(k, c, 0, 5));
    struct ring_accept record;

    for (int i = 0; i < 50 && !accepted; i++) {
        fake_kernel_park(k, 100 * MS, nothing, NULL);
        accepted = fake_accept(k, c, &record);
    }
    assert_int_not_equal(accepted, 0);
    fake_kernel_park(k, 0, nothing, NULL);
    assert_int_equal(write(fd, "x", 1), 1);
    usleep(20000);
    atomic_store(&k->kicked, 1);
    fake_kernel_park(k, 20000 * MS, nothing, NULL);
    assert_int_equal(fake_rx_used(k, accepted), 1);
    close(fd);
}

static void test_coalesce(void **state)
{
    struct pump *p = calloc(1, sizeof(*p));
    uint64_t ns = 1;

    (void)state;
    p->arrivals_last = p->active_last = 39; /* few */
    assert_int_equal(pump_coalesce(p, &ns), 1);
    assert_int_equal(ns, 0);
    p->arrivals_last = 100000;
    p->active_last = 7; /* few have any */
    assert_int_equal(pump_coalesce(p, &ns), 1);
    assert_int_equal(ns, 0);
    p->arrivals_last = p->active_last = 40;
    assert_int_equal(pump_coalesce(p, &ns), 10);
    assert_int_equal(ns, 200000);
    p->arrivals_last = 400; /* each has one in 200 us */
    assert_int_equal(pump_coalesce(p, &ns), 10);
    assert_int_equal(ns, 20000);
    p->arrivals_last = 100000; /* no time at all */
    assert_int_equal(pump_coalesce(p, &ns), 1);
    assert_int_equal(ns, 0);
    p->arrivals_last = p->active_last = 2000;
    assert_int_equal(pump_coalesce(p, &ns), 32);
    assert_int_equal(ns, 200000);
    free(p);
}

/* Spins that pay go on; those in vain, or that lose the CPU, are followed by longer and longer rests. */
static void test_spin_rests(void **state)
{
    struct pump *p = calloc(1, sizeof(*p)); /* too large for the stack */
    struct spin spin;

    (void)state;
    p->config.cpu_count = 2;
    assert_false(pump_may_spin(p)); /* nothing is known of the waits yet */
    p->gap_ns = 40000;
    assert_true(pump_may_spin(p));
    p->config.cpu_count = 1;
    assert_false(pump_may_spin(p));
    p->config.cpu_count = 2;
    for (int i = 0; i < 64; i++)
        pump_waited(p, MS);
    assert_false(pump_may_spin(p));
    for (int i = 0; i < 64; i++)
        pump_waited(p, 40000);
    assert_true(pump_may_spin(p));

    spin_begin(&spin);
    while (spin_goes_on(p, &spin))
        ;
    assert_true(spin.last_ns - spin.start_ns >= MS / 20);
    spin_end(p, &spin, false);
    assert_int_equal(p->rest_ns, MS);
    p->epoch_start_ns = spin.last_ns;
    assert_false(pump_may_spin(p));
    p->epoch_start_ns += MS;
    assert_true(pump_may_spin(p));
    for (int i = 0; i < 20; i++)
        spin_end(p, &spin, false);
    assert_int_equal(p->rest_ns, 64 * MS);
    spin.lost = false;
    for (int i = 0; i < 200; i++)
        spin_end(p, &spin, true);
    assert_true(p->rest_ns < MS);

    spin.lost = true; /* what came does not make good that somebody else had to wait */
    p->no_spin_until_ns = 0;
    spin_end(p, &spin, true);
    assert_true(p->no_spin_until_ns > spin.last_ns);
    free(p);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_echo, setup, teardown),
        cmocka_unit_test_setup_teardown(test_half_close, setup, teardown),
        cmocka_unit_test_setup_teardown(test_reset_by_peer, setup, teardown),
        cmocka_unit_test_setup_teardown(test_reset_to_peer, setup, teardown),
        cmocka_unit_test_setup_teardown(test_upload, setup, teardown),
        cmocka_unit_test_setup_teardown(test_download, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bulk_echo, setup, teardown),
        cmocka_unit_test_setup_teardown(test_many_connections, setup, teardown),
        cmocka_unit_test_setup_teardown(test_short_connections_reuse_channels, setup, teardown),
        cmocka_unit_test_setup_teardown(test_connect, setup, teardown),
        cmocka_unit_test_setup_teardown(test_close_sends_what_is_queued, setup, teardown),
        cmocka_unit_test_setup_teardown(test_ending_by_flags, setup, teardown),
        cmocka_unit_test_setup_teardown(test_udp, setup, teardown),
        cmocka_unit_test(test_published_port),
        cmocka_unit_test_setup_teardown(test_kick_at_any_time, setup, teardown),
        cmocka_unit_test_setup_teardown(test_kick_while_input_gathers, setup, teardown),
        cmocka_unit_test_setup_teardown(test_kicked_takes_input, setup, teardown),
        cmocka_unit_test(test_coalesce),
        cmocka_unit_test(test_spin_rests),
        cmocka_unit_test_setup_teardown(test_kick_and_deadline, setup, teardown),
    };

    if (argc > 1)
        setenv("COFRE_PUMP", argv[1], 1);
    if (argc > 2)
        cmocka_set_test_filter(argv[2]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
