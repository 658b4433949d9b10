/*
 * Members' pumps beside the init process's, which has either backend (first argument: uring or epoll): accepting on
 * demand, sharing listening sockets, handing connections over, and the end of a member.
 */
#include "host/clock.h"
#include "host/pump/internal.h"
#include "tests/unit/fake_kernel.h"
#include "tests/unit/pump_test.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define MEMBER 7

struct fixture {
    struct fake_kernel *init, *member;
    uint32_t listener, shared; /* the same socket in both */
    uint16_t port;
};

static void demand(struct fake_kernel *k, uint32_t listener, int on)
{
    struct hostcall_socket op = {.op = SOCKET_DEMAND, .channel = listener, .value = on};

    assert_int_equal(fake_op(k, &op), 0);
}

static int setup(void **state)
{
    struct pump_config config = {.no_console = true, .cpu_count = 2};
    struct fixture *f = calloc(1, sizeof(*f));

    f->init = fake_kernel_new(&config);
    f->listener = fake_socket(f->init, AF_INET, SOCK_STREAM);
    f->port = fake_listen(f->init, f->listener, 0, 64);
    assert_int_not_equal(f->port, 0);
    f->member = fake_member_new(f->init, MEMBER);
    *state = f;
    return 0;
}

static int setup_shared(void **state)
{
    struct fixture *f;

    setup(state);
    f = *state;
    assert_int_equal(fake_share(f->member, f->listener, &f->shared), -EINVAL); /* not on demand */
    demand(f->init, f->listener, 1);
    assert_int_equal(fake_share(f->member, f->listener + 2, &f->shared), -EBADF);
    assert_int_equal(fake_share(f->member, f->listener, &f->shared), 0);
    assert_int_equal(f->shared & 1, 1);
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    if (f->member)
        fake_kernel_free(f->member);
    fake_kernel_free(f->init);
    free(f);
    return 0;
}

static void await_bytes(struct fake_kernel *k, uint32_t c, const char *bytes)
{
    char text[64] = "";

    for (int i = 0; i < 50 && fake_rx_used(k, c) < strlen(bytes); i++)
        fake_kernel_park(k, 100 * MS, nothing, NULL);
    fake_read(k, c, text, sizeof(text) - 1);
    assert_string_equal(text, bytes);
}

static void expect(int fd, const char *bytes)
{
    char text[64] = "";

    assert_int_equal(read_all(fd, text, strlen(bytes)), 0);
    assert_string_equal(text, bytes);
}

static void test_init_accepts_on_demand(void **state)
{
    struct fixture *f = *state;
    struct ring_accept record;
    struct sockaddr_in in;
    int fd[3];

    fake_kernel_park(f->init, 0, nothing, NULL); /* it accepts ahead */
    demand(f->init, f->listener, 1);
    fake_kernel_park(f->init, 0, nothing, NULL);
    assert_int_equal(fake_accept_now(f->init, f->listener, &record), -EAGAIN);
    fd[0] = dial(f->port);
    fd[1] = dial(f->port);
    assert_int_equal(write(fd[0], "hello", 5), 5);
    fake_kernel_park(f->init, 30 * MS, nothing, NULL);
    assert_int_equal(fake_accept(f->init, f->listener, &record), 0);
    assert_false(fake_events(f->init, f->listener) & CHAN_EV_ACCEPTABLE);

    assert_int_equal(fake_accept_now(f->init, f->listener, &record), 0);
    assert_int_equal(fake_rx_used(f->init, record.channel), 5);
    memcpy(&in, record.local, sizeof(in));
    assert_int_equal(ntohs(in.sin_port), f->port);
    assert_int_equal(record.addr_size, sizeof(in));
    await_bytes(f->init, record.channel, "hello");
    fake_write(f->init, record.channel, "world", 5);
    fake_end(f->init, record.channel, CHAN_K_CLOSE);
    fake_want_accept(f->init, f->listener);
    await_event(f->init, f->listener, CHAN_EV_ACCEPTABLE);
    expect(fd[0], "world");
    assert_int_equal(fake_accept_now(f->init, f->listener, &record), 0);
    fake_close(f->init, record.channel, false);
    assert_int_equal(fake_accept_now(f->init, f->listener, &record), -EAGAIN);

    fake_want_accept(f->init, f->listener); /* nobody comes; then it is not wanted any more */
    fake_kernel_park(f->init, 20 * MS, nothing, NULL);
    assert_false(fake_events(f->init, f->listener) & CHAN_EV_ACCEPTABLE);
    demand(f->init, f->listener, 0);
    fd[2] = dial(f->port);
    for (int i = 0; i < 50 && !fake_accept(f->init, f->listener, &record); i++)
        fake_kernel_park(f->init, 100 * MS, nothing, NULL);
    assert_int_equal(write(fd[2], "ahead", 5), 5);
    await_bytes(f->init, record.channel, "ahead");
    fake_close(f->init, record.channel, false);
    for (int i = 0; i < 3; i++)
        close(fd[i]);
}

static int is_ready(struct fake_kernel *k, uint32_t listener)
{
    struct hostcall_socket op = {.op = SOCKET_READY, .channel = listener, .value = 7};
    int64_t ret = fake_op(k, &op);

    return ret == 0 ? op.value : (int)ret;
}

/* Who connects waits for all that share the socket; the first that accepts has it, and the others are told so. */
static void test_ready(void **state)
{
    struct fixture *f = *state;
    struct ring_accept record;
    int fd[2];

    assert_int_equal(is_ready(f->init, f->listener), -EINVAL); /* not on demand */
    demand(f->init, f->listener, 1);
    assert_int_equal(fake_share(f->member, f->listener, &f->shared), 0);
    assert_int_equal(is_ready(f->init, f->listener), 0);
    assert_int_equal(is_ready(f->member, f->shared), 0);
    assert_int_equal(is_ready(f->init, f->listener + 2), -EBADF);
    assert_int_equal(is_ready(f->member, f->listener), -EBADF); /* the other pump's */

    fd[0] = dial(f->port);
    fd[1] = dial(f->port);
    assert_int_equal(is_ready(f->init, f->listener), 1);
    assert_int_equal(is_ready(f->member, f->shared), 1);
    assert_int_equal(is_ready(f->member, f->shared), 1); /* asking takes nothing */
    assert_int_equal(fake_accept_now(f->member, f->shared, &record), 0);
    assert_int_equal(is_ready(f->member, record.channel), -EINVAL); /* it does not listen */
    assert_int_equal(is_ready(f->init, f->listener), 1);
    assert_int_equal(fake_accept_now(f->member, f->shared, &record), 0);
    assert_int_equal(is_ready(f->init, f->listener), 0);
    assert_int_equal(is_ready(f->member, f->shared), 0);

    /* The init process was told of somebody whom the member then accepted. */
    fake_want_accept(f->init, f->listener);
    close(fd[0]);
    fd[0] = dial(f->port);
    await_event(f->init, f->listener, CHAN_EV_ACCEPTABLE);
    assert_int_equal(fake_accept_now(f->member, f->shared, &record), 0);
    assert_int_equal(is_ready(f->init, f->listener), 0);
    assert_int_equal(fake_accept_now(f->init, f->listener, &record), -EAGAIN);
    demand(f->init, f->listener, 0);
    assert_int_equal(is_ready(f->init, f->listener), -EINVAL);
    close(fd[0]);
    close(fd[1]);
}

/* A request takes the system calls that it takes natively, and one for the accept that finds nothing more. */
static void test_request_without_epoll(void **state)
{
    struct fixture *f = *state;
    struct ring_accept record;
    char byte;

    for (int round = 0; round < 300; round++) {
        uint64_t before = f->member->pump->stats.syscalls;
        int fd = dial(f->port);

        assert_int_equal(write(fd, "request", 7), 7);
        assert_int_equal(fake_accept_now(f->member, f->shared, &record), 0);
        await_bytes(f->member, record.channel, "request");
        fake_write(f->member, record.channel, "answer", 6);
        fake_end(f->member, record.channel, CHAN_K_SHUT_WR | CHAN_K_CLOSE);
        assert_int_equal(fake_accept_now(f->member, f->shared, &record), -EAGAIN);
        assert_int_equal(f->member->pump->stats.syscalls - before, 4);
        expect(fd, "answer");
        assert_int_equal(read(fd, &byte, 1), 0);
        close(fd);
    }
    assert_true(f->member->pump->chans_end < 10);
    assert_int_equal(f->member->pump->stats.accepted, 300);
}

struct clients {
    uint16_t port;
    unsigned count;
    int result;
};

static void *clients_main(void *arg)
{
    struct clients *s = arg;
    char in[8];

    for (unsigned i = 0; i < s->count && s->result == 0; i++) {
        int fd = dial(s->port);

        if (i % 3 == 0)
            usleep(200); /* the server sleeps meanwhile */
        if (write(fd, "ping", 4) != 4 || read_all(fd, in, 4) != 0 || memcmp(in, "ping", 4) != 0 || read(fd, in, 1) != 0)
            s->result = (int)i + 1;
        close(fd);
    }
    return NULL;
}

/* What a member does that waits for connections and answers each: as many as asked for. */
static void serve(struct fake_kernel *k, uint32_t listener, unsigned count)
{
    struct ring_accept record;
    char text[8];

    for (unsigned served = 0; served < count;) {
        int64_t ret = fake_accept_now(k, listener, &record);

        if (ret == -EAGAIN) {
            fake_want_accept(k, listener);
            await_event(k, listener, CHAN_EV_ACCEPTABLE);
            continue;
        }
        assert_int_equal(ret, 0);
        for (int i = 0; i < 50 && fake_rx_used(k, record.channel) < 4; i++)
            fake_kernel_park(k, 100 * MS, nothing, NULL);
        assert_int_equal(fake_read(k, record.channel, text, 4), 4);
        fake_write(k, record.channel, text, 4);
        fake_end(k, record.channel, CHAN_K_CLOSE);
        served++;
    }
    fake_kernel_park(k, 0, nothing, NULL);
}

static void test_waiting_for_connections(void **state)
{
    struct fixture *f = *state;
    struct clients clients = {.port = f->port, .count = 500};
    pthread_t thread;

    pthread_create(&thread, NULL, clients_main, &clients);
    serve(f->member, f->shared, clients.count);
    pthread_join(thread, NULL);
    assert_int_equal(clients.result, 0);
}

static uint32_t member_accept(struct fixture *f, int *ret_fd)
{
    struct ring_accept record;

    *ret_fd = dial(f->port);
    assert_int_equal(fake_accept_now(f->member, f->shared, &record), 0);
    return record.channel;
}

static void test_give_in_the_middle(void **state)
{
    struct fixture *f = *state;
    struct hostcall_socket name = {.op = SOCKET_GETNAME};
    char byte;
    uint32_t c;
    int fd;

    for (int round = 0; round < 20; round++) {
        c = member_accept(f, &fd);
        assert_int_equal(write(fd, "first", 5), 5);
        await_bytes(f->member, c, "first");
        assert_int_equal(write(fd, "unread", 6), 6);
        for (int i = 0; i < 50 && fake_rx_used(f->member, c) < 6; i++)
            fake_kernel_park(f->member, 100 * MS, nothing, NULL);
        fake_write(f->member, c, "one ", 4);
        fake_kernel_park(f->member, 0, nothing, NULL);
        fake_write(f->member, c, "two ", 4);
        if (round % 2) /* its end has been seen before */
            assert_int_equal(shutdown(fd, SHUT_WR), 0);
        if (round % 4 == 1)
            await_event(f->member, c, CHAN_EV_EOF);
        assert_int_equal(fake_give(f->member, f->init, c), 0);
        name.channel = c;
        assert_int_equal(fake_op(f->init, &name), 0);
        assert_int_equal(fake_op(f->member, &name), -EBADF);
        await_bytes(f->init, c, "unread");
        fake_write(f->init, c, "three", 5);
        fake_kernel_park(f->init, 0, nothing, NULL);
        expect(fd, "one two three");
        if (round % 2) {
            await_event(f->init, c, CHAN_EV_EOF);
        } else {
            assert_int_equal(write(fd, "last", 4), 4);
            await_bytes(f->init, c, "last");
        }
        if (round % 3 == 0) {
            fake_end(f->init, c, CHAN_K_CLOSE | CHAN_K_RESET);
            fake_kernel_park(f->init, MS, nothing, NULL);
            assert_int_equal(read(fd, &byte, 1), -1);
            assert_int_equal(errno, ECONNRESET);
        } else {
            fake_close(f->init, c, false);
            fake_kernel_park(f->init, MS, nothing, NULL);
            assert_int_equal(read(fd, &byte, 1), 0);
        }
        close(fd);
    }
}

static void test_give_all(void **state)
{
    struct fixture *f = *state;
    struct hostcall_socket all = {.op = SOCKET_GIVE, .channel = GIVE_ALL};
    struct hostcall_socket close_it = {.op = SOCKET_CLOSE, .channel = f->shared};
    static uint8_t bytes[65536];
    uint64_t sent = 0, got = 0;
    ssize_t n;
    int slow, open, fd;
    uint32_t c, kept;

    c = member_accept(f, &slow);
    kept = member_accept(f, &open);
    for (;;) { /* until the socket's buffer and the ring are full */
        uint32_t size = sizeof(bytes), took;

        for (uint32_t i = 0; i < size; i++)
            bytes[i] = pattern(sent + i);
        took = fake_write(f->member, c, bytes, size);
        sent += took;
        fake_kernel_park(f->member, 0, nothing, NULL);
        if (took < size && fake_tx_room(f->member, c) == 0)
            break;
    }
    fake_end(f->member, c, CHAN_K_CLOSE);
    assert_int_equal(fake_op(f->member, &all), 0);
    f->init->fake[kept] = f->member->fake[kept];
    for (uint32_t i = CHANNEL_FIRST_SOCKET; i < f->member->pump->chans_end; i++)
        assert_int_equal(f->member->pump->chans[i].kind, CHAN_FREE);
    fake_kernel_free(f->member);
    f->member = NULL;
    fake_write(f->init, kept, "kept", 4);
    fake_kernel_park(f->init, 0, nothing, NULL);
    expect(open, "kept");
    while ((n = recv(slow, bytes, sizeof(bytes), MSG_DONTWAIT)) != 0) {
        for (ssize_t i = 0; i < n; i++)
            assert_int_equal(bytes[i], pattern(got + (uint64_t)i));
        got += n > 0 ? (uint64_t)n : 0;
        assert_true(n > 0 || errno == EAGAIN);
        if (n < 0)
            fake_kernel_park(f->init, 2 * MS, nothing, NULL);
    }
    assert_int_equal(got, sent);
    pump_member_ended(f->init->pump, MEMBER);
    close_it.channel = f->listener;
    assert_int_equal(fake_op(f->init, &close_it), 0);
    fake_kernel_park(f->init, 0, nothing, NULL);
    fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(f->port)};
    in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(connect(fd, (struct sockaddr *)&in, sizeof(in)), -1); /* nobody has it any more */
    close(fd);
    close(slow);
    close(open);
}

static void test_end_of_a_member(void **state)
{
    struct fixture *f = *state;
    struct hostcall_socket name = {.op = SOCKET_GETNAME};
    struct ring_accept record;
    uint32_t c, given, shared = f->shared;
    char byte;
    int fd, fd2;

    c = member_accept(f, &fd);
    given = member_accept(f, &fd2);
    assert_int_equal(fake_give(f->member, f->init, given), 0);
    pump_member_ended(f->init->pump, MEMBER);
    assert_int_equal(write(fd2, "alive", 5), 5); /* sent before it ended */
    await_bytes(f->init, given, "alive");

    assert_int_equal(fake_give(f->member, f->init, c), 0); /* sent after: impossible, so not believed */
    assert_int_equal(read(fd, &byte, 1), 0);
    name.channel = c;
    assert_int_equal(fake_op(f->init, &name), -EBADF);
    close(fd);

    fake_kernel_free(f->member);
    f->member = fake_member_new(f->init, MEMBER + 1);
    assert_int_equal(fake_share(f->member, f->listener, &f->shared), 0);
    assert_int_equal(f->shared, shared < c ? shared : c);
    fd = dial(f->port);
    assert_int_equal(fake_accept_now(f->member, f->shared, &record), 0);
    assert_true(record.channel != given && record.channel <= c + 2);
    assert_int_equal(write(fd, "anew", 4), 4);
    await_bytes(f->member, record.channel, "anew");
    close(fd);
    close(fd2);
}

/* The init process can have no more descriptors: the connection is lost, and says so. */
static void test_give_without_descriptors(void **state)
{
    struct fixture *f = *state;
    struct rlimit before, none;
    char byte;
    int fd;
    uint32_t c = member_accept(f, &fd);

    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    none = (struct rlimit){3, before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    assert_int_equal(fake_give(f->member, f->init, c), 0);
    handover_take(f->init->pump);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    await_event(f->init, c, CHAN_EV_ERROR);
    assert_int_equal(f->init->channels[c].host_error, ECONNRESET);
    fake_close(f->init, c, false);
    fake_kernel_park(f->init, 0, nothing, NULL);
    assert_int_equal(f->init->pump->chans[c].kind, CHAN_FREE);
    assert_int_equal(read(fd, &byte, 1), 0);
    close(fd);
}

/* Numbers go round between pumps, however many connections are given away. */
static void test_numbers_last(void **state)
{
    struct fixture *f = *state;
    uint32_t highest = 0;

    for (int i = 0; i < 1000; i++) {
        int fd;
        uint32_t c = member_accept(f, &fd);

        highest = c > highest ? c : highest;
        assert_int_equal(fake_give(f->member, f->init, c), 0);
        fake_close(f->init, c, true);
        fake_kernel_park(f->init, 0, nothing, NULL);
        close(fd);
    }
    assert_true(highest < 300);
}

static void on_wake(int signum)
{
}

static void wake(struct kicks *kicks)
{
    pthread_kill(kicks->parked, PUMP_WAKE_SIGNAL);
}

static void input_gathers(struct fake_kernel *k)
{
    k->pump->arrivals_last = k->pump->active_last = k->parks % 2 ? 64 : 0;
    k->pump->epoch_start_ns = clock_monotonic_ns();
}

/* As from another process: no wake-up is lost, whenever it comes, also while input is to gather. */
static void test_wake_by_signal(void **state)
{
    struct fixture *f = *state;
    struct kicks kicks = {.kernel = f->member, .rounds = 6000, .kick = wake, .before_round = input_gathers};
    struct sigaction action = {.sa_handler = on_wake};
    sigset_t set;

    sigaction(PUMP_WAKE_SIGNAL, &action, NULL);
    sigemptyset(&set);
    sigaddset(&set, PUMP_WAKE_SIGNAL);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    kicks_all_count(&kicks);
}

static void *accept_later(void *arg)
{
    struct fixture *f = arg;
    struct ring_accept record;
    int fd;

    usleep(20000);
    fd = dial(f->port);
    if (fake_accept_now(f->member, f->shared, &record) < 0)
        return NULL;
    usleep(20000);
    return write(fd, "late", 4) == 4 ? (void *)(uintptr_t)record.channel : NULL;
}

/* Another thread accepts while vCPU 0 sleeps: what comes then wakes it. */
static void test_accept_beside_a_wait(void **state)
{
    struct fixture *f = *state;
    struct timespec a, b;
    pthread_t thread;
    void *channel;

    clock_gettime(CLOCK_MONOTONIC, &a);
    pthread_create(&thread, NULL, accept_later, f);
    while (f->member->pump->stats.rx_bytes < 4) {
        fake_kernel_park(f->member, 10000 * MS, nothing, NULL);
        clock_gettime(CLOCK_MONOTONIC, &b);
        assert_in_range(b.tv_sec - a.tv_sec, 0, 5);
    }
    pthread_join(thread, &channel);
    assert_non_null(channel);
    await_bytes(f->member, (uint32_t)(uintptr_t)channel, "late");
}

static _Noreturn void member_process(struct fixture *f, int said)
{
    uint32_t c;
    int fd;

    f->member = fake_member_new(f->init, MEMBER + 2);
    if (fake_share(f->member, f->listener, &f->shared) < 0)
        _exit(1);
    serve(f->member, f->shared, 200);
    c = member_accept(f, &fd);
    if (write(fd, "moving", 6) != 6)
        _exit(1);
    await_bytes(f->member, c, "moving");
    fake_write(f->member, c, "answer", 6);
    if (fake_give(f->member, f->init, c) < 0)
        _exit(1);
    if (write(said, &c, sizeof(c)) != sizeof(c) || write(said, &f->member->fake[c], sizeof(f->member->fake[c])) < 0)
        _exit(1);
    expect(fd, "answer and more");
    c = member_accept(f, &fd);
    (void)c;
    if (write(said, &c, sizeof(c)) != sizeof(c))
        _exit(1);
    for (;;)
        pause(); /* to be killed */
}

static void test_another_process(void **state)
{
    struct fixture *f = *state;
    struct clients clients = {.port = f->port, .count = 200};
    pthread_t thread;
    int said[2];
    uint32_t c, lost, again;
    pid_t pid;

    assert_int_equal(pipe(said), 0);
    pid = fork();
    if (pid == 0)
        member_process(f, said[1]);
    pthread_create(&thread, NULL, clients_main, &clients);
    pthread_join(thread, NULL);
    assert_int_equal(clients.result, 0);
    assert_int_equal(read_all(said[0], &c, sizeof(c)), 0);
    assert_int_equal(read_all(said[0], &f->init->fake[c], sizeof(f->init->fake[c])), 0);
    fake_write(f->init, c, " and more", 9);
    fake_kernel_park(f->init, MS, nothing, NULL);
    assert_int_equal(read_all(said[0], &lost, sizeof(lost)), 0);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    await_event(f->init, c, CHAN_EV_EOF); /* that client was in the process */
    pump_member_ended(f->init->pump, MEMBER + 2);
    assert_false(number_is_of(f->init->pump, lost, MEMBER + 2));
    assert_int_equal(fake_share(f->member, f->listener, &again), 0);
    assert_true(again <= lost);
    close(said[0]);
    close(said[1]);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_init_accepts_on_demand, setup, teardown),
        cmocka_unit_test_setup_teardown(test_ready, setup, teardown),
        cmocka_unit_test_setup_teardown(test_request_without_epoll, setup_shared, teardown),
        cmocka_unit_test_setup_teardown(test_waiting_for_connections, setup_shared, teardown),
        cmocka_unit_test_setup_teardown(test_give_in_the_middle, setup_shared, teardown),
        cmocka_unit_test_setup_teardown(test_give_all, setup_shared, teardown),
        cmocka_unit_test_setup_teardown(test_end_of_a_member, setup_shared, teardown),
        cmocka_unit_test_setup_teardown(test_give_without_descriptors, setup_shared, teardown),
        cmocka_unit_test_setup_teardown(test_numbers_last, setup_shared, teardown),
        cmocka_unit_test_setup_teardown(test_wake_by_signal, setup_shared, teardown),
        cmocka_unit_test_setup_teardown(test_accept_beside_a_wait, setup_shared, teardown),
        cmocka_unit_test_setup_teardown(test_another_process, setup_shared, teardown),
    };

    if (argc > 1)
        setenv("COFRE_PUMP", argv[1], 1);
    if (argc > 2)
        cmocka_set_test_filter(argv[2]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
