/* kernel/remote/waiting.c: pselect6 of a member for a listening socket that it shares, and descriptors that are watched
 * elsewhere. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <asm/errno.h>
#include <asm/fcntl.h>
#include <asm/unistd_64.h>
#include <linux/in.h>
#include <linux/time_types.h>

#include "kernel/fs/file.h"
#include "kernel/lib/string.h"
#include "kernel/net/loan.h"
#include "kernel/net/net.h"
#include "kernel/net/socket_types.h"
#include "kernel/process/process.h"
#include "kernel/process/table.h"
#include "kernel/remote/assured.h"
#include "kernel/remote/borrower.h"
#include "kernel/remote/client.h"
#include "kernel/remote/loan_message.h"
#include "kernel/remote/local_epoll.h"
#include "kernel/remote/member.h"
#include "kernel/remote/waiting.h"
#include "net_world.h"

#define LISTENER 6U /* the init enclave's channel */
#define LISTENER_FD 3
#define PIPE_FD 7
#define CONNECTION_FD 70
#define SET_FD 71

static struct file *listener;
static struct watch_message said; /* the last */
static unsigned said_count;

/* ---- the rest of a member ---- */

struct process *process_first(void)
{
    return process_self();
}

int client_post_quietly(struct message *message, size_t size)
{
    assert_int_equal(size, sizeof(said));
    memcpy(&said, message, size);
    said_count++;
    return 0;
}

noreturn_fn void member_end(const char *why)
{
    fail_msg("%s", why);
    __builtin_unreachable();
}

struct file *assured_listener(int fd)
{
    return fd == LISTENER_FD && listener ? file_get(listener) : NULL;
}

struct tcp_socket *borrower_find(int fd, struct file **ret_file)
{
    *ret_file = fd == CONNECTION_FD ? file_get(listener) : NULL;
    return *ret_file ? tcp_of_file(listener) : NULL;
}

bool local_epoll_has(int epfd)
{
    return epfd == SET_FD;
}

/* ---- */

static uint64_t set[2];
static struct __kernel_timespec timeout;

static void want(int fd)
{
    set[fd / 64] |= 1ULL << (fd % 64);
}

/* For input from the listening socket and the pipe, or what was set. True: it was run here. */
static bool waits(int64_t *ret_result, bool timed)
{
    const uint64_t args[6] = {128, (uint64_t)(uintptr_t)set, 0, 0, timed ? (uint64_t)(uintptr_t)&timeout : 0, 0};
    *ret_result = -1;
    return waiting_call(__NR_pselect6, args, ret_result);
}

static void want_both(void)
{
    memset(set, 0, sizeof(set));
    want(LISTENER_FD);
    want(PIPE_FD);
}

static bool waits_for_both(int64_t *ret_result, bool timed)
{
    want_both();
    return waits(ret_result, timed);
}

/* The first is the init enclave's, which is told to watch the pipe; from its answer on none is. */
static void be_watched(void)
{
    int64_t result;
    unsigned before = said_count;
    timeout = (struct __kernel_timespec){.tv_nsec = 1};
    assert_false(waits_for_both(&result, true));
    assert_int_equal(said_count, before + 1);
    assert_int_equal(said.message.type, MESSAGE_WATCH);
    assert_int_equal(said.fd, PIPE_FD);
    assert_int_equal(said.on, 1);
    assert_false(waits_for_both(&result, true)); /* nothing was answered yet */
    assert_int_equal(said_count, before + 1);
    waiting_answered();
}

static void fire(void)
{
    struct watch_message m = said;
    m.message.type = MESSAGE_WATCH_FIRED;
    m.id++;
    assert_false(waiting_fired(&m));
    m.id--;
    assert_true(waiting_fired(&m));
    assert_false(waiting_fired(&m));
}

static void client_comes(void)
{
    host_client(tcp_channel(tcp_of_file(listener)));
    host_pump();
}

static void waits_here(void **state)
{
    int64_t result;
    struct tcp_socket *accepted;
    be_watched();
    timeout = (struct __kernel_timespec){0};
    assert_true(waits_for_both(&result, true));
    assert_int_equal(result, 0);
    assert_int_equal(set[0], 0);
    /* a connection that is there, and one that comes */
    host_client(tcp_channel(tcp_of_file(listener)));
    assert_true(waits_for_both(&result, false));
    assert_int_equal(result, 1);
    assert_int_equal(set[0], 1ULL << LISTENER_FD);
    assert_int_equal(tcp_share_accept(listener, &accepted), 0);
    tcp_drop(accepted);
    world.idle = client_comes;
    assert_true(waits_for_both(&result, false));
    assert_int_equal(result, 1);
    assert_int_equal(tcp_share_accept(listener, &accepted), 0);
    tcp_drop(accepted);
    /* a signal: the sets stay */
    world.idle = NULL;
    assert_true(waits_for_both(&result, false));
    assert_int_equal(result, -514); /* ERESTARTNOHAND */
    assert_int_equal(set[0], 1ULL << LISTENER_FD | 1ULL << PIPE_FD);
    waiting_forget();
}

static void time_passes(void)
{
    world.now_ns += 400000000;
    fire();
}

static void asks_when_something_was_said(void **state)
{
    int64_t result;
    be_watched();
    fire();
    be_watched();
    /* while it sleeps; the time left is told */
    timeout = (struct __kernel_timespec){.tv_sec = 1};
    world.idle = time_passes;
    assert_false(waits_for_both(&result, true));
    world.idle = NULL;
    assert_int_equal(timeout.tv_sec, 0);
    assert_in_range(timeout.tv_nsec, 599900000, 600000000);
    assert_int_equal(set[0], 1ULL << LISTENER_FD | 1ULL << PIPE_FD);
    /* a descriptor that is closed means nothing any more */
    be_watched();
    waiting_closed(PIPE_FD + 1);
    assert_int_equal(said.on, 1);
    waiting_closed(PIPE_FD);
    assert_int_equal(said.on, 0);
    be_watched();
    waiting_forget();
    assert_int_equal(said.on, 0);
    assert_int_equal(said.fd, PIPE_FD);
}

static void asks_for_what_is_not_its_own(void **state)
{
    int64_t result;
    uint64_t out[2] = {0};
    const int others[] = {CONNECTION_FD, SET_FD};
    unsigned before = said_count;
    for (size_t i = 0; i < 2; i++) {
        want_both();
        want(others[i]);
        assert_false(waits(&result, false));
    }
    for (int fd = 20; fd < 29; fd++) /* more than are watched */
        want(fd);
    assert_false(waits(&result, false));
    memset(set, 0, sizeof(set));
    want(PIPE_FD);
    assert_false(waits(&result, false));
    want_both();
    const uint64_t write_too[6] = {128, (uint64_t)(uintptr_t)set, (uint64_t)(uintptr_t)out, 0, 0, 0};
    assert_false(waiting_call(__NR_pselect6, write_too, &result));
    const uint64_t too_many[6] = {1024, (uint64_t)(uintptr_t)set, 0, 0, 0, 0};
    assert_false(waiting_call(__NR_pselect6, too_many, &result));
    const uint64_t poll[6] = {128, (uint64_t)(uintptr_t)set, 0, 0, 0, 0};
    assert_false(waiting_call(__NR_poll, poll, &result));
    uint64_t mask = 0, masked[2] = {(uint64_t)(uintptr_t)&mask, 8};
    const uint64_t with_mask[6] = {128, (uint64_t)(uintptr_t)set, 0, 0, 0, (uint64_t)(uintptr_t)masked};
    assert_false(waiting_call(__NR_pselect6, with_mask, &result));
    timeout = (struct __kernel_timespec){.tv_nsec = -1};
    assert_false(waits_for_both(&result, true));
    assert_int_equal(said_count, before);
}

static void ends_with_the_sharing(void **state)
{
    int64_t result;
    be_watched();
    struct file *held = file_get(listener);
    tcp_share_close(listener);
    timeout = (struct __kernel_timespec){.tv_sec = 1};
    assert_false(waits_for_both(&result, true));
    listener = NULL;
    assert_false(waits_for_both(&result, true));
    file_put(held);
    waiting_reset();
}

static int begin(void **state)
{
    const struct tcp_loan loan = {.chan.number = LISTENER,
                                  .family = AF_INET,
                                  .chan_family = AF_INET,
                                  .local_ip = {[10] = 0xff, 0xff, 172, 17, 0, 5},
                                  .local_port = 80,
                                  .rcvlowat = 1,
                                  .rcvbuf = 131072,
                                  .sndbuf = 16384,
                                  .peek_off = -1,
                                  .file_flags = O_RDWR | O_NONBLOCK};
    struct hostcall_socket op = {.channel = LISTENER, .family = AF_INET, .type = SOCK_STREAM};
    world_init_borrower(true);
    net_init_borrower();
    op.op = SOCKET_CREATE;
    host_socket(&op);
    op.op = SOCKET_LISTEN;
    host_socket(&op);
    op.op = SOCKET_DEMAND;
    op.value = 1;
    host_socket(&op);
    return tcp_share_begin(&loan, &listener);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(waits_here),
        cmocka_unit_test(asks_when_something_was_said),
        cmocka_unit_test(asks_for_what_is_not_its_own),
        cmocka_unit_test(ends_with_the_sharing),
    };
    return cmocka_run_group_tests(tests, begin, NULL);
}
