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
#include "kernel/remote/lender.h"
#include "kernel/remote/loan_message.h"
#include "kernel/remote/server.h"
#include "kernel/remote/spawn.h"
#include "kernel/remote/work.h"
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
    } loans[16]; /* that it was told of, not answered yet */
};
static struct remote_member members[MEMBERS];
static struct remote_process the_remote;

/* ---- the input ---- */

static struct input in;

static uint32_t choose(uint32_t limit)
{
    return input_choose(&in, limit);
}

static uint32_t word(void)
{
    switch (choose(5)) {
    case 0:
        return UINT32_MAX - choose(3);
    case 1:
        return 1U << choose(32);
    case 2:
        return choose(65536) << 16 | choose(65536);
    default:
        return choose(130);
    }
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

/* Its host process is gone. Another one is started in its place. */
static void lose(struct remote_member *member)
{
    count(lost);
    lender_member_lost(member);
    if (member->references != (unsigned)(the_remote.member == member))
        FAIL("somebody still knows a member that is lost");
    memset(member->loans, 0, sizeof(member->loans));
    member->killed = false;
}

/* As it should, how far it came being a little of what there is. */
static void give_back(struct remote_member *member, size_t i)
{
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
    deliver(member, &m, LOAN_RETURN_SIZE(m.watch_count));
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
    switch (choose(10)) {
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
