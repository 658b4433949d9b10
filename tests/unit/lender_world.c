/* Connections lent to members that say anything (contract in lender_world.h). */
#include "lender_world.h"

#include <asm/errno.h>
#include <asm/poll.h>
#include <asm/unistd_64.h>
#include <linux/eventpoll.h>
#include <linux/in.h>

#include "hosted_libc.h"
#include "input.h"
#include "kernel/fs/file.h"
#include "kernel/lib/string.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/net/loan.h"
#include "kernel/net/net.h"
#include "kernel/net/socket_types.h"
#include "kernel/process/process.h"
#include "kernel/remote/leases.h"
#include "kernel/remote/lender.h"
#include "kernel/remote/loan_message.h"
#include "kernel/remote/server.h"
#include "kernel/remote/spawn.h"
#include "kernel/remote/work.h"
#include "kernel/sched/output.h"
#include "net_world.h"

#define FAIL(text) hosted_abort("lent connections: " text)
#define MEMBERS 2U
#define SET_FD 5 /* an epoll set of the process; 4 is the listener */

struct lender_world_counts *lender_world_counts;
#define count(what) (lender_world_counts->what++)

struct remote_member {
    unsigned references;
    bool killed;
    struct {
        uint64_t id;
        int fd;
        bool recalled;
        struct tcp_loan loan;
    } loans[16]; /* that it was told of or has told of, not answered yet */
};
static struct remote_member members[MEMBERS];
static bool says_truth;
static uint64_t last_begun;
static uint64_t cloexec_set; /* descriptors */
static struct remote_process the_remote;

/* ---- the input ---- */

static struct input in;

static uint32_t choose(uint32_t limit)
{
    return input_choose(&in, limit);
}

static uint32_t word(void)
{
    return input_word(&in, WORLD_RING);
}

/* ---- the rest of the init enclave ---- */

static void (*handlers[MESSAGE_TYPE_MAX])(struct remote_member *member, struct record *record);

void remote_member_on_message(uint32_t type, void (*fn)(struct remote_member *member, struct record *record))
{
    handlers[type] = fn;
}

struct remote_member *remote_member_get(struct remote_member *member)
{
    member->references++;
    return member;
}

void remote_member_put(struct remote_member *member)
{
    if (member->references-- == 0)
        FAIL("a reference too many given back");
}

struct link *remote_member_link(struct remote_member *member)
{
    return (struct link *)member;
}

void spawn_kill(struct remote_member *member)
{
    if (says_truth)
        FAIL("an honest member is killed");
    member->killed = true;
    count(killed);
}

struct process *remote_process_of(const struct remote_member *member, const struct message *message)
{
    struct process *process = process_self();
    return message->pid == process->pid && process->remote->member == member ? process : NULL;
}

int link_send(struct link *link, const void *message, size_t size)
{
    struct remote_member *member = (struct remote_member *)link;
    const struct loan_message *loan = message;
    const struct loan_id_message *id = message;
    if (member->killed)
        return -EPIPE;
    if (choose(60) == 1)
        return -ENOMEM; /* tried again, or not done */
    switch (loan->message.type) {
    case MESSAGE_LOAN:
        for (size_t i = 0; i < ARRAY_COUNT(member->loans); i++) {
            if (member->loans[i].id)
                continue;
            member->loans[i].id = loan->id;
            member->loans[i].fd = loan->fd;
            member->loans[i].recalled = false;
            member->loans[i].loan = loan->loan;
            count(loans);
            return size == sizeof(*loan) ? 0 : -EPIPE;
        }
        return -ENOMEM;
    case MESSAGE_LOAN_RECALL:
        count(recalls);
        for (size_t i = 0; i < ARRAY_COUNT(member->loans); i++)
            if (member->loans[i].id == id->id)
                member->loans[i].recalled = true;
        return 0;
    case MESSAGE_LOAN_NEWS:
        count(news);
        return 0;
    case MESSAGE_WATCH_FIRED:
        count(fired);
        return 0;
    default:
        FAIL("a message of no kind");
        return 0;
    }
}

/* The process's table is that of net_world.c. */
static struct fd_table {
    int unused;
} the_table;

struct file *fd_table_file(struct fd_table *table, int fd, bool *ret_cloexec)
{
    (void)table;
    if (ret_cloexec)
        *ret_cloexec = false;
    return fd_get(fd);
}

static struct file *fd_get_quietly(int fd)
{
    struct file *file = fd_get(fd);
    if (file)
        file_put(file);
    return file;
}

int fd_table_set(struct fd_table *table, int fd, struct file *file, bool cloexec)
{
    (void)table;
    if (fd_get_quietly(fd))
        FAIL("a descriptor that is in use is another's now");
    int r = world_fd_set(fd, file);
    if (r == 0 && fd < 64)
        cloexec_set = (cloexec_set & ~(1ULL << fd)) | (uint64_t)cloexec << fd;
    return r;
}

void leases_end_soon(void)
{
}

bool output_may_be_held(void)
{
    return false;
}

int fd_table_close(struct fd_table *table, int fd)
{
    (void)table;
    return fd_close(fd);
}

bool fd_table_shared(const struct fd_table *table)
{
    (void)table;
    return false;
}

/* ---- members ---- */

static void deliver(struct remote_member *member, const void *message, size_t size)
{
    struct record *record = kmalloc(sizeof(*record) + size);
    memset(record, 0, sizeof(*record));
    record->size = size;
    memcpy(record->data, message, size);
    handlers[((const struct message *)message)->type](member, record);
}

static bool losing;

/* For a connection that began in a member that is gone there is nothing to ask a host for. */
static int on_socket(struct hostcall_socket *op)
{
    if (losing && host_chans[op->channel % WORLD_CHANNELS].own)
        FAIL("a call for a channel that nobody has");
    return host_socket(op);
}

/* Its host process is gone. Another one is started in its place. */
static void lose(struct remote_member *member)
{
    count(lost);
    losing = true;
    lender_member_lost(member);
    losing = false;
    for (size_t i = 0; i < ARRAY_COUNT(member->loans); i++) {
        uint32_t n = member->loans[i].loan.chan.number;
        if (!(member->loans[i].id & LOAN_BEGUN_ID))
            continue;
        if (tcp_lent(n))
            FAIL("a connection of a member that is lost is still away");
        if (host_chans[n].own) /* its host process, too */
            host_chans[n].open = host_chans[n].own = false;
    }
    if (member->references != (unsigned)(the_remote.member == member))
        FAIL("somebody still knows a member that is lost");
    memset(member->loans, 0, sizeof(member->loans));
    member->killed = false;
}

/* As it should, how far it came being a little of what there is. */
static void give_back(struct remote_member *member, size_t i)
{
    bool is_foreign = member->loans[i].id & LOAN_BEGUN_ID;
    uint32_t channel = member->loans[i].loan.chan.number;
    struct loan_return_message m = {.message = {MESSAGE_LOAN_RETURN, 0, process_self()->pid, 0},
                                    .id = member->loans[i].id,
                                    .close_fd = choose(8) ? -1 : member->loans[i].fd,
                                    .loan = member->loans[i].loan};
    uint32_t n = choose(3);
    for (; n > 0; n--)
        m.watches[m.watch_count++] = (struct loan_watch){
            .epfd = SET_FD, .fd = member->loans[i].fd, .data = choose(9), .events = 1U << choose(32)};
    if (choose(6) == 0)
        m.loan.error = (int)choose(130);
    member->loans[i].id = 0;
    count(returned);
    if (is_foreign)
        host_chans[channel].own = false; /* SOCKET_GIVE */
    deliver(member, &m, LOAN_RETURN_SIZE(m.watch_count));
    if (tcp_lent(channel))
        FAIL("a connection that came back is still away");
    lender_world_counts->begun_returned += is_foreign;
}

/*
 * The member's own host process has accepted one, which has carried something already: the descriptor is there, and the
 * member has it.
 */
static void begin_one(struct remote_member *member)
{
    struct loan_message m = {.message = {MESSAGE_LOAN_BEGUN, 0, process_self()->pid, 0},
                             .id = LOAN_BEGUN_ID | ++last_begun,
                             .fd = 6 + (int)choose(12),
                             .cloexec = choose(2)};
    uint32_t n = CHANNEL_FIRST_SOCKET | 1, got = choose(500), sent = choose(500);
    size_t i = 0;
    while (n < WORLD_CHANNELS && host_chans[n].open)
        n += 2;
    while (i < ARRAY_COUNT(member->loans) && member->loans[i].id)
        i++;
    if (n >= WORLD_CHANNELS || i == ARRAY_COUNT(member->loans) || member->killed || fd_get_quietly(m.fd) ||
        the_remote.member != member)
        return;
    host_chans[n] = (struct host_chan){.open = true, .own = true, .connected = true, .type = SOCK_STREAM};
    host_chans[n].rx_head = got;
    host_chans[n].tx_tail = sent;
    memset(&world.channels[n], 0, sizeof(world.channels[n]));
    world.channels[n].host_events = CHAN_EV_CONNECTED;
    world.channels[n].rx_head = world.channels[n].rx_tail = got;
    world.channels[n].tx_head = world.channels[n].tx_tail = sent;
    m.loan = (struct tcp_loan){.chan = {.number = n, .rx_tail = got, .rx_head = got, .tx_head = sent, .tx_tail = sent},
                               .family = AF_INET,
                               .chan_family = AF_INET,
                               .local_ip = {[10] = 0xff, 0xff, 172, 17, 0, 5},
                               .peer_ip = {[10] = 0xff, 0xff, 203, 0, 113, 7},
                               .local_port = 80,
                               .peer_port = 4000,
                               .rx_bytes = got,
                               .tx_bytes = sent,
                               .rcvlowat = 1,
                               .rcvbuf = 131072,
                               .sndbuf = 16384,
                               .peek_off = -1,
                               .file_flags = choose(2) ? O_RDWR | O_NONBLOCK : O_RDWR};
    says_truth = true;
    deliver(member, &m, sizeof(m));
    says_truth = false;
    const struct file *file = fd_get_quietly(m.fd);
    if (!file || !tcp_lent(n) || tcp_file(tcp_lent(n)) != file || (unsigned)m.loan.file_flags != file->flags)
        FAIL("a connection that began is not there");
    if ((cloexec_set >> m.fd & 1) != m.cloexec)
        FAIL("close-on-exec of a connection that began");
    member->loans[i].id = m.id;
    member->loans[i].fd = m.fd;
    member->loans[i].recalled = false;
    member->loans[i].loan = m.loan;
    count(begun);
}

/* Of what no member may say: it is killed, and nothing else happens. */
static void begin_wrongly(struct remote_member *member)
{
    const struct remote_member *of = &members[choose(MEMBERS)];
    struct loan_message m = {.message = {MESSAGE_LOAN_BEGUN, 0, process_self()->pid, 0},
                             .id = LOAN_BEGUN_ID | ++last_begun,
                             .fd = 6 + (int)choose(12)};
    m.loan =
        (struct tcp_loan){.chan.number = CHANNEL_FIRST_SOCKET | 1, .family = AF_INET, .rcvlowat = 1, .peek_off = -1};
    while (m.loan.chan.number + 2 < WORLD_CHANNELS && host_chans[m.loan.chan.number].open)
        m.loan.chan.number += 2;
    while (m.fd < WORLD_FDS && fd_get_quietly(m.fd))
        m.fd++;
    size_t size = sizeof(m);
    if (member->killed || the_remote.member != member)
        return;
    switch (choose(9)) {
    case 0:
        m.fd = choose(2) ? SET_FD : -1 - (int)choose(3);
        break;
    case 1:
        m.fd = choose(2) ? WORLD_FDS + (int)choose(9) : INT32_MAX;
        break;
    case 2:
        m.id &= ~LOAN_BEGUN_ID;
        break;
    case 3: /* even, or the console's, or none */
        m.loan.chan.number = choose(2)   ? choose(CHANNEL_FIRST_SOCKET)
                             : choose(2) ? 4 + 2 * choose(9)
                                         : WORLD_CHANNELS + choose(9);
        break;
    case 4: /* one that is lent */
        m.loan.chan.number = of->loans[choose(4)].loan.chan.number;
        if (!tcp_lent(m.loan.chan.number))
            return;
        break;
    case 5:
        m.loan.chan.rx_head = m.loan.chan.rx_tail + WORLD_RING + 1 + choose(9);
        break;
    case 6:
        m.loan.chan.tx_tail = m.loan.chan.tx_head + 1 + choose(9);
        break;
    case 7:
        size = sizeof(struct message) + choose(sizeof(m) - sizeof(struct message));
        break;
    default:
        m.message.pid++;
    }
    bool was_lent = tcp_lent(m.loan.chan.number);
    const struct file *before = fd_get_quietly(m.fd);
    long live = hosted_alloc_live();
    deliver(member, &m, size);
    if (!member->killed)
        FAIL("a member that said what cannot be is not killed");
    if (fd_get_quietly(m.fd) != before)
        FAIL("what a member said that cannot be has happened");
    lose(member);
    if ((tcp_lent(m.loan.chan.number) && !was_lent) || hosted_alloc_live() > live)
        FAIL("something is left of what cannot be");
    count(wrong);
}

/* What the member said has ended loans of its own at most. */
static void forget_returned(const struct remote_member *member)
{
    for (struct remote_member *m = members; m < members + MEMBERS; m++) {
        for (size_t i = 0; i < ARRAY_COUNT(m->loans); i++) {
            if (!m->loans[i].id || tcp_lent(m->loans[i].loan.chan.number))
                continue;
            if (m != member)
                FAIL("a member spoke for another");
            m->loans[i].id = 0;
        }
    }
}

static void say_anything(struct remote_member *member)
{
    static const uint32_t types[] = {MESSAGE_LOAN_RETURN, MESSAGE_LOAN_RETURN, MESSAGE_LOAN_FLAGS, MESSAGE_LOAN_DIRTY,
                                     MESSAGE_WATCH};
    static union {
        struct message message;
        struct loan_return_message back;
        struct loan_id_message id;
        struct loan_channels_message channels;
        struct watch_message watch;
        uint8_t bytes[sizeof(struct loan_return_message)];
    } m;
    const struct remote_member *of = &members[choose(MEMBERS)]; /* perhaps the other's */
    size_t i = choose(4), size;
    for (size_t k = 0; k < ARRAY_COUNT(of->loans) && !of->loans[i].id; k++)
        i = k;
    memset(&m, 0, sizeof(m));
    m.message = (struct message){types[choose(5)], 0, process_self()->pid + (choose(8) == 0), 0};
    switch (m.message.type) {
    case MESSAGE_LOAN_RETURN:
        m.back.id = choose(4) ? of->loans[i].id : word();
        m.back.loan = of->loans[i].loan;
        m.back.close_fd = choose(2) ? -1 : (int)choose(20);
        m.back.watch_count = choose(20) ? choose(5) : word();
        for (uint32_t k = 0; k < 4; k++)
            m.back.watches[k] =
                (struct loan_watch){.epfd = (int)choose(20), .fd = (int)choose(20), .data = word(), .events = word()};
        size = LOAN_RETURN_SIZE(MIN(m.back.watch_count, (uint32_t)LOAN_WATCHES_MAX));
        break;
    case MESSAGE_LOAN_FLAGS:
        m.id.id = choose(4) ? of->loans[i].id : word();
        m.id.channel = choose(4) ? of->loans[i].loan.chan.number : word();
        m.id.flags = word();
        size = sizeof(m.id);
        break;
    case MESSAGE_LOAN_DIRTY:
        m.channels.count = word();
        for (uint32_t k = 0; k < 8; k++)
            m.channels.channels[k] = choose(2) ? of->loans[k].loan.chan.number : word();
        size = sizeof(m.channels);
        break;
    default:
        m.watch.id = word();
        m.watch.fd = choose(4) ? SET_FD : (int)choose(30) - 2;
        m.watch.on = choose(3);
        size = sizeof(m.watch);
    }
    for (uint32_t n = choose(3); n > 0 && choose(2); n--)
        memcpy(m.bytes + sizeof(struct message) + choose((uint32_t)(size - sizeof(struct message)) / 4) * 4,
               &(uint32_t){word()}, 4);
    if (choose(40) == 0)
        size = sizeof(struct message) + choose((uint32_t)(size - sizeof(struct message)));
    deliver(member, &m, size);
    forget_returned(member);
}

static void member_acts(bool must)
{
    struct remote_member *member = &members[choose(MEMBERS)];
    for (size_t m = 0; m < MEMBERS; m++)
        if (members[m].killed)
            lose(&members[m]);
    for (size_t i = 0; i < ARRAY_COUNT(member->loans); i++) {
        if (!member->loans[i].id || !(member->loans[i].recalled || choose(30) == 1))
            continue;
        if (choose(4))
            give_back(member, i);
        return;
    }
    if (must || choose(40) == 1)
        lose(member);
    else if (choose(3) == 0)
        begin_one(member);
    else if (choose(6) == 0)
        begin_wrongly(member);
    else
        say_anything(member);
}

/* A host that is honest, and whoever sleeps for a connection gets it, or its member is lost at last. */
static void idle(void)
{
    static uint8_t bytes[200];
    static unsigned slept;
    uint32_t n = CHANNEL_FIRST_SOCKET + choose(16);
    if (host_chans[n].open && host_chans[n].connected && choose(2))
        host_put(n, bytes, choose(sizeof(bytes)));
    (void)!lender_poll();
    member_acts(false);
    if (++slept % 3 == 0)
        for (size_t m = 0; m < MEMBERS; m++)
            lose(&members[m]);
}

/* ---- its processes ---- */

/* Of a process in a member, or of another one, when nothing is said of it afterwards. */
static void program_acts(void)
{
    static uint8_t bytes[300];
    int fd = 6 + (int)choose(12);
    struct remote_member *member = &members[choose(MEMBERS)];
    struct epoll_event event = {.events = EPOLLIN}, events[4];
    struct pollfd p = {fd, POLLIN | POLLOUT, 0};
    uint64_t nr = __NR_read;
    int64_t r = 0;
    switch (choose(12)) {
    case 0:
    case 1:
    case 2:
        for (uint32_t n = CHANNEL_FIRST_SOCKET; n < WORLD_CHANNELS; n++)
            if (host_chans[n].open && host_chans[n].listening && choose(2))
                host_accept(n);
        nr = __NR_accept4;
        r = CALL4(accept4, 4, 0, 0, SOCK_NONBLOCK);
        break;
    case 3:
    case 4:
        r = CALL6(recvfrom, fd, bytes, choose(sizeof(bytes)), MSG_DONTWAIT, 0, 0);
        nr = __NR_recvfrom;
        break;
    case 5:
        r = CALL6(sendto, fd, bytes, choose(sizeof(bytes)), MSG_DONTWAIT | MSG_NOSIGNAL, 0, 0);
        nr = __NR_sendto;
        break;
    case 6:
        r = CALL3(poll, &p, 1, choose(2));
        break;
    case 7:
        r = CALL4(epoll_ctl, SET_FD, 1 + choose(3), fd, &event);
        break;
    case 8:
        r = CALL4(epoll_wait, SET_FD, events, 4, 0);
        break;
    case 9: { /* as fork: somebody else has it, too */
        struct file *file = choose(3) == 0 ? fd_get(fd) : NULL;
        if (file && fd_install(file, 6, false) < 0)
            file_put(file);
        break;
    }
    default:
        world_close(fd);
    }
    if (nr == __NR_read || choose(4) == 0)
        return;
    remote_member_put(the_remote.member); /* the process is where its call came from */
    the_remote.member = remote_member_get(member);
    lender_offer(member, process_self(), nr, (uint64_t)fd, r);
}

static void begin(void)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = 0x5000};
    struct process *process = process_self();
    world_init();
    lender_init();
    world.idle = idle;
    world.socket = on_socket;
    process->files = &the_table;
    process->remote = &the_remote;
    the_remote.member = remote_member_get(&members[0]);
    int fd = (int)CALL3(socket, AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    CALL3(bind, fd, &a, sizeof(a));
    CALL2(listen, fd, 8);
    for (; fd < 4; fd++)
        (void)!fd_install(file_get(fd_get(0)), fd + 1, false); /* the listener is 4 */
    if (CALL1(epoll_create1, 0) != SET_FD)
        FAIL("where a set is");
    for (int i = 0; i < WORLD_CHANNELS / 2; i++) { /* what is made when a channel is first used stays */
        for (uint32_t n = CHANNEL_FIRST_SOCKET; n < WORLD_CHANNELS; n++)
            if (host_chans[n].open && host_chans[n].listening)
                host_accept(n);
        world_close((int)CALL4(accept4, 4, 0, 0, 0));
        host_pump();
    }
}

void lender_world_run(const uint8_t *data, size_t size)
{
    in = (struct input){data, size};
    if (setjmp(world.lie)) { /* what was given back contradicts the host: the container ends */
        count(lied);
        return;
    }
    begin();
    world.lie_armed = true;
    long allocations = hosted_alloc_live();
    while (in.left > 0) {
        switch (choose(3)) {
        case 0:
            member_acts(false);
            break;
        case 1:
            net_poll_ready();
            host_pump();
            (void)!lender_poll();
            break;
        default:
            program_acts();
        }
    }
    for (size_t m = 0; m < MEMBERS; m++)
        lose(&members[m]);
    for (int fd = 6; fd < WORLD_FDS; fd++)
        world_close(fd);
    if (hosted_alloc_live() != allocations)
        FAIL("something is left");
}
