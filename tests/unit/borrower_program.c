/* The program of borrower_world.h: its calls on connections that were lent and that began here, and what they must do.
 */
#include <asm/errno.h>
#include <asm/fcntl.h>
#include <asm/ioctls.h>
#include <asm/poll.h>
#include <asm/socket.h>
#include <asm/unistd_64.h>
#include <linux/eventpoll.h>
#include <linux/in.h>
#include <linux/sockios.h>
#include <linux/tcp.h>

#include "borrower_parts.h"
#include "kernel/fs/file.h"
#include "kernel/lib/string.h"
#include "kernel/net/net.h"
#include "kernel/net/socket_types.h"
#include "kernel/process/process.h"
#include "kernel/remote/accepting.h"
#include "kernel/remote/borrower.h"
#include "kernel/remote/client.h"
#include "kernel/remote/descriptors.h"
#include "kernel/remote/leased.h"
#include "kernel/remote/local.h"
#include "kernel/remote/local_epoll.h"

/* ---- the program ---- */

static uint8_t buffer[2 * WORLD_RING];

/* As client.c does it. False: it is the init enclave's to run. */
static bool call(uint64_t nr, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e, int64_t *ret_result)
{
    const uint64_t args[6] = {a, b, c, d, e};
    struct trap_frame frame = {.rdi = a, .rsi = b, .rdx = c, .r10 = d, .r8 = e};
    enum descriptor_use use = descriptors_use(nr, args);
    bool is_tracked = use != DESCRIPTORS_IGNORED && use != DESCRIPTORS_SEEN;
    if (use != DESCRIPTORS_IGNORED && use != DESCRIPTORS_CLOSED && !(use == DESCRIPTORS_SEEN && local_is(nr, args)))
        borrower_tell_begun();
    if (is_tracked)
        descriptors_begin(use);
    in_call++;
    bool here = local_call(nr, &frame, args, ret_result);
    in_call--;
    if (!here && nr == __NR_sendfile)
        borrower_tell_begun();
    if (is_tracked)
        descriptors_end(use, args, here ? *ret_result : 0);
    net_flush();
    if (client_unrung())
        FAIL("something to tell, and nothing tells it");
    return here;
}

/* The init enclave runs it, and calls back what it touches. */
static void delegated(struct connection *c)
{
    if (is_untold(c))
        FAIL("a call of what nobody knows of there");
    recall(c);
}

static void program_reads(struct connection *c)
{
    static const unsigned flags[] = {0, MSG_PEEK, MSG_WAITALL, MSG_DONTWAIT};
    unsigned f = flags[choose(4)];
    size_t size = choose(choose(3) ? 400 : sizeof(buffer));
    bool plain = choose(3) == 0;
    int64_t n = -1;
    bool here = plain ? call(__NR_read, (uint64_t)fd_of(c), (uint64_t)buffer, size, 0, 0, &n)
                      : call(__NR_recvfrom, (uint64_t)fd_of(c), (uint64_t)buffer, size, f, 0, &n);
    if (!here)
        delegated(c);
    if (!here || n <= 0)
        return;
    if ((size_t)n > size)
        FAIL("more was read than there was room for");
    check(c, buffer, (size_t)n, c->read, false);
    c->read += plain || f != MSG_PEEK ? (uint32_t)n : 0;
    count(read);
}

static void program_writes(struct connection *c)
{
    size_t size = choose(choose(3) ? 400 : sizeof(buffer));
    int64_t n = -1;
    fill(c, buffer, size, c->written, true);
    bool here = choose(2) ? call(__NR_write, (uint64_t)fd_of(c), (uint64_t)buffer, size, 0, 0, &n)
                          : call(__NR_sendto, (uint64_t)fd_of(c), (uint64_t)buffer, size,
                                 MSG_NOSIGNAL | (choose(2) ? MSG_DONTWAIT : 0), 0, &n);
    if (!here)
        delegated(c);
    if (!here || n <= 0)
        return;
    if ((size_t)n > size)
        FAIL("more was written than there was");
    c->written += (uint32_t)n;
    count(written);
}

/* The file that is to be sent, if it is leased; what it contains is what the connection is to carry. */
static struct {
    struct file file;
    const struct connection *connection;
    bool is_leased;
    uint64_t ends, offset_set;
} leased;

struct file *leased_at(uint64_t fd)
{
    return leased.is_leased ? file_get(&leased.file) : NULL;
}

/* The lease may end whenever something sleeps; then it stays so. */
bool leased_is_at(const struct file *file, uint64_t fd)
{
    if (file != &leased.file)
        FAIL("a file that is not leased");
    return leased.is_leased = leased.is_leased && choose(8) > 0;
}

const void *leased_bytes(const struct file *file, uint64_t pos, size_t *ret_size)
{
    static uint8_t bytes[0x10000];
    if (!leased.is_leased)
        FAIL("bytes of a lease that has ended");
    *ret_size = pos < leased.ends ? leased.ends - pos : 0;
    fill(leased.connection, bytes, MIN(*ret_size, sizeof(bytes)), (uint32_t)pos, true);
    return bytes;
}

void leased_set_offset(struct file *file, uint64_t fd, uint64_t pos)
{
    leased.offset_set = pos;
}

static void program_sends_file(struct connection *c)
{
    uint64_t pos = c->written, size = choose(choose(16) ? 4000 : 140000);
    int64_t n = -1;
    bool with_offset = choose(2);
    memset(&leased, 0, sizeof(leased));
    leased.connection = c;
    leased.is_leased = choose(2);
    leased.ends = pos + choose(2) * choose(200000);
    leased.offset_set = pos;
    leased.file.refcount = 1;
    leased.file.pos = (file_off_t)pos;
    bool was_leased = leased.is_leased;
    bool here = call(__NR_sendfile, (uint64_t)fd_of(c), (uint64_t)fd_of(c) - FIRST_FD + FIRST_FILE,
                     with_offset ? (uint64_t)&pos : 0, size, 0, &n);
    if (leased.file.refcount != 1)
        FAIL("a leased file is kept");
    if (here && !with_offset) {
        if (!was_leased)
            FAIL("the offset of a file of the init enclave");
        pos = leased.offset_set;
    }
    if (!here)
        delegated(c);
    else if (n > (int64_t)size || pos != c->written + (n > 0 ? (uint64_t)n : 0))
        FAIL("how much of a file was sent");
    else if (n > 0)
        c->written += (uint32_t)n;
}

static void program_sets(struct connection *c)
{
    static const uint16_t names[] = {SO_RCVLOWAT, SO_RCVBUF, SO_LINGER, SO_KEEPALIVE, SO_RCVTIMEO_OLD, SO_ERROR};
    uint64_t fd = (uint64_t)fd_of(c), value[2] = {choose(3), 1}, size = sizeof(value);
    uint16_t name = names[choose(6)];
    uint8_t address[128];
    int64_t n = 0;
    bool here;
    bool nonblock = choose(2);
    switch (choose(8)) {
    case 0:
        here = call(__NR_fcntl, fd, F_SETFL, nonblock ? O_NONBLOCK : 0, 0, 0, &n);
        if (here && n == 0)
            c->nonblock = nonblock;
        break;
    case 1:
        here = call(__NR_ioctl, fd, FIONBIO, (uint64_t)value, 0, 0, &n);
        if (here && n == 0)
            c->nonblock = (int)value[0];
        break;
    case 6:
        here = call(__NR_fcntl, fd, F_SETFD, choose(2), 0, 0, &n);
        break;
    case 2:
        here = call(__NR_setsockopt, fd, SOL_SOCKET, name, (uint64_t)value, name == SO_LINGER ? 8 : 4, &n);
        break;
    case 3:
        here = call(__NR_getsockopt, fd, choose(2) ? SOL_SOCKET : SOL_TCP, choose(30), (uint64_t)address,
                    (uint64_t)&size, &n);
        break;
    case 4:
        here = call(__NR_getpeername, fd, (uint64_t)address, (uint64_t)&size, 0, 0, &n);
        break;
    case 5:
        here = call(__NR_ioctl, fd, choose(2) ? SIOCINQ : SIOCOUTQ, (uint64_t)value, 0, 0, &n);
        break;
    default:
        here = choose(8) || call(__NR_shutdown, fd, choose(3), 0, 0, 0, &n);
    }
    if (!here)
        delegated(c);
}

static void program_polls(void)
{
    struct pollfd fds[4];
    uint64_t timeout[2] = {0, choose(2)};
    uint32_t wanted = 1 + choose(4);
    int64_t n = 0;
    for (uint32_t i = 0; i < wanted; i++)
        fds[i] =
            (struct pollfd){.fd = FIRST_FD + (int)choose(CONNECTIONS), .events = POLLIN | (choose(2) ? POLLOUT : 0)};
    bool here = choose(2) ? call(__NR_poll, (uint64_t)fds, wanted, choose(2), 0, 0, &n)
                          : call(__NR_ppoll, (uint64_t)fds, wanted, (uint64_t)timeout, 0, 8, &n);
    if (here && n > (int64_t)wanted)
        FAIL("more descriptors than were asked for");
    for (uint32_t i = 0; !here && i < wanted; i++)
        delegated(connection_of_fd(fds[i].fd));
}

static void program_controls_set(struct connection *c)
{
    static uint64_t last_data;
    static const uint32_t kinds[] = {EPOLLIN, EPOLLIN | EPOLLOUT, EPOLLIN | EPOLLET, EPOLLIN | EPOLLONESHOT, 1U << 28};
    uint32_t s = choose(SETS), op = 1 + choose(3);
    struct epoll_event event = {.events = kinds[choose(5)], .data = ++last_data};
    int64_t n = 0;
    if (c->closed)
        return;
    bool here = call(__NR_epoll_ctl, FIRST_SET + s, op, (uint64_t)fd_of(c), (uint64_t)&event, 0, &n);
    if (!here) {
        delegated(c);
        if (c->id) /* another thread uses it: the init enclave waits for that, and so does this call */
            return;
        n = op == EPOLL_CTL_ADD ? (c->watches[s].set ? -EEXIST : 0) : c->watches[s].set ? 0 : -ENOENT;
    }
    if (n != 0)
        return;
    changes[s]++;
    c->watches[s].set = op != EPOLL_CTL_DEL;
    c->watches[s].there = !here;
    c->watches[s].data = event.data;
}

/* What one thread collected before another one changed the set is as it was then, as on Linux. */
static void program_waits(void)
{
    static struct epoll_event events[80];
    uint32_t s = choose(SETS), max = choose(4) ? 1 + choose(8) : sizeof(events) / sizeof(events[0]);
    unsigned before = changes[s];
    int64_t n = 0;
    if (!call(__NR_epoll_wait, FIRST_SET + s, (uint64_t)events, max, choose(2), 0, &n))
        return;
    if (n > (int64_t)max)
        FAIL("more events than there was room for");
    for (int64_t i = 0; who == HONEST && changes[s] == before && i < n; i++) {
        bool known = events[i].data == DATA_THERE;
        for (size_t k = 0; k < CONNECTIONS && !known; k++)
            known = connections[k].watches[s].set && connections[k].watches[s].data == events[i].data;
        if (!known)
            FAIL("an event of nothing");
    }
}

/* Nobody hears of it but the host: what was written is sent, and it ends. */
static void closed_untold(struct connection *c)
{
    static uint8_t bytes[WORLD_RING];
    uint32_t n = c->channel, flags = world.channels[n].kernel_flags;
    if (who == HONEST) {
        size_t size = host_take(n, bytes, sizeof(bytes));
        check(c, bytes, size, c->taken, true);
        if (!(flags & CHAN_K_CLOSE) || (c->put != c->read && !c->busy && !(flags & CHAN_K_RESET)))
            FAIL("how a connection was closed");
        if (!c->busy && c->taken + size != c->written)
            FAIL("bytes that were lost");
        if (!host_chans[n].closed)
            host_pumps();
        if (!host_chans[n].closed)
            FAIL("a connection that is closed is not");
    }
    count(closed_untold);
    c->own = false;
    closes(c);
}

static void program_closes(struct connection *c)
{
    int64_t n = 0;
    if (c->closed)
        return;
    if (!call(__NR_close, (uint64_t)fd_of(c), 0, 0, 0, 0, &n)) {
        delegated(c);
        closes(c);
    } else if (c->own) {
        closed_untold(c);
    }
    if (c->channel || c->busy) /* it still is somebody's */
        descriptors_forget();
}

/* ---- connections that begin here ---- */

static void begin_at(int fd, uint32_t channel, bool own, unsigned flags)
{
    struct connection *c = connection_of_fd(fd);
    if (who == HONEST && (!c || !c->closed || c->channel || c->id || c->busy))
        FAIL("the descriptor of a connection");
    if (!c)
        return;
    *c = (struct connection){.state = a_connection(channel),
                             .channel = channel,
                             .own = own,
                             .busy = c->busy,
                             .cloexec = flags & SOCK_CLOEXEC,
                             .nonblock = flags & SOCK_NONBLOCK};
    c->state.file_flags |= flags & SOCK_NONBLOCK ? O_NONBLOCK : 0;
}

/* The init enclave does it. */
static void init_accepts(void)
{
    struct hostcall_socket op = {.op = SOCKET_ACCEPT, .channel = LISTENER};
    struct ring_accept record;
    struct connection *c = connections;
    borrower_tell_begun();
    while (c < connections + CONNECTIONS && (!c->closed || c->channel || c->busy))
        c++;
    if (c == connections + CONNECTIONS || host_socket(&op) < 0)
        return;
    memcpy(&record, op.optval, sizeof(record));
    descriptors_begin(DESCRIPTORS_ADDED);
    descriptors_end(DESCRIPTORS_ADDED, NULL, fd_of(c));
    begin_at(fd_of(c), record.channel, false, 0);
    if (choose(2))
        lend(c);
}

void end_sharing(void)
{
    uint32_t channel = sharing.channel;
    tcp_share_close(sharing.file);
    sharing.file = NULL;
    if (who == HONEST && !in_call && !host_chans[channel].closed)
        FAIL("a listening socket that is left");
}

static bool share(void)
{
    struct tcp_loan loan = a_connection(LISTENER);
    loan.peer_port = 0;
    loan.file_flags |= choose(2) ? O_NONBLOCK : 0;
    if (who == INIT_LIES && choose(4) == 0)
        ((uint32_t *)&loan)[choose(sizeof(loan) / 4)] = word();
    int r = tcp_share_begin(&loan, &sharing.file);
    if (r == 0) {
        net_pump_begin();
        count(shared);
        return true;
    }
    if (who == HONEST)
        FAIL("a listening socket that cannot be shared");
    sharing.file = NULL;
    return false;
}

/* It was accepted, and what the program passed for the address is none. */
static void check_dropped(uint32_t channel)
{
    if (!(world.channels[channel].kernel_flags & CHAN_K_CLOSE))
        FAIL("a connection that is nobody's");
    host_pumps();
    if (!host_chans[channel].closed)
        FAIL("a connection that stays open");
    count(dropped);
}

static void program_accepts(void)
{
    struct sockaddr_in peer = {.sin_family = 0};
    uint32_t size = choose(8) ? sizeof(peer) : choose(2) ? choose(sizeof(peer)) : UINT32_MAX, room = size;
    uint64_t to = choose(8) ? (uint64_t)&peer : choose(2) * 8;
    unsigned flags = (choose(2) ? SOCK_CLOEXEC : 0) | (choose(2) ? SOCK_NONBLOCK : 0) | (choose(20) == 1);
    bool plain = choose(3) == 0;
    const uint64_t args[6] = {LISTENER_FD, to, (uint64_t)&size, flags};
    int64_t n = 0;
    if (!sharing.file && !share())
        return;
    struct file *listener = file_get(sharing.file);
    in_call++;
    just_accepted = 0;
    bool here = accepting_call(listener, plain ? __NR_accept : __NR_accept4, args, &n);
    in_call--;
    file_put(listener);
    if (!here) {
        init_accepts();
        return;
    }
    if (n >= 0) {
        begin_at((int)n, just_accepted, true, plain ? 0 : flags);
        count(accepted);
        if (who == HONEST && to == (uint64_t)&peer && room >= sizeof(peer) &&
            (size != sizeof(peer) || peer.sin_port != 0x3930 || peer.sin_addr.s_addr != 0x077100cb))
            FAIL("the address of who connected");
    } else if (who == HONEST && just_accepted) {
        if (n != -EFAULT && n != -EINVAL && n != -ECONNABORTED)
            FAIL("why a connection is dropped");
        check_dropped(just_accepted);
    }
    just_accepted = 0;
}

/* Rather one that nobody was told of. */
static struct connection *any_connection(void)
{
    struct connection *c = &connections[choose(CONNECTIONS)];
    for (size_t i = 0; choose(2) && i < CONNECTIONS && !(c->own && !c->id); i++)
        c = c + 1 < connections + CONNECTIONS ? c + 1 : connections;
    return c;
}

void another_thread_acts(void)
{
    static bool acting;
    struct connection *c = any_connection();
    if (acting)
        return;
    acting = true;
    switch (choose(7)) {
    case 0:
        program_closes(c);
        break;
    case 2:
        if (sharing.file && choose(2))
            end_sharing();
        break;
    case 3:
        program_accepts();
        break;
    case 1:
        program_controls_set(c);
        break;
    case 4:
    case 5: /* as when epoll sets of two parts are to be whole */
        c = connections;
        while (c < connections + CONNECTIONS - 1 && !c->busy)
            c++;
        (void)borrower_end(process_self());
        program_closes(c);
        break;
    default:
        program_sets(c);
    }
    acting = false;
}

static void program_ends_something(void)
{
    uint32_t s = choose(SETS);
    int64_t n = 0;
    switch (choose(5)) {
    case 0:
        program_closes(&connections[choose(CONNECTIONS)]);
        break;
    case 4:
        if (sharing.file)
            end_sharing();
        break;
    case 1:                                                                      /* a set: made anew at once */
        if (call(__NR_close, FIRST_SET + s, 0, 0, 0, 0, &n) && who != INIT_LIES) /* which may lend there, too */
            FAIL("a set that is closed here");
        for (size_t i = 0; i < CONNECTIONS; i++)
            connections[i].watches[s].set = false;
        changes[s]++;
        break;
    case 2: /* as exec */
        local_epoll_end();
        break;
    default: /* a set in a set, or duplicated */
        if (choose(8) == 0)
            call(__NR_dup, FIRST_SET + s, 0, 0, 0, 0, &n);
    }
}

void program_acts(void)
{
    struct connection *c = any_connection();
    if (choose(7) == 0) {
        program_accepts();
        return;
    }
    if (choose(c->own ? 12 : 60) == 0) {
        program_closes(c);
        return;
    }
    if (c->closed) { /* meanwhile there shall be no other at that descriptor */
        if (choose(16))
            return;
        descriptors_forget();
    }
    c->busy++;
    switch (choose(16)) {
    case 0:
        program_polls();
        break;
    case 1:
    case 2:
        program_controls_set(c);
        break;
    case 3:
    case 4:
        program_waits();
        break;
    case 5:
        program_sets(c);
        break;
    case 6:
        program_sends_file(c);
        break;
    case 7:
        if (choose(8) == 0)
            program_ends_something();
        break;
    case 8:
    case 9:
    case 10:
    case 11:
        program_writes(c);
        break;
    default:
        program_reads(c);
    }
    c->busy--;
}
