/* Borrowed connections among liars (contract in borrower_world.h): who lends them, the host, and what there is. */
#include "borrower_world.h"

#include <asm/errno.h>
#include <asm/fcntl.h>
#include <asm/socket.h>
#include <linux/in.h>

#include "borrower_parts.h"
#include "input.h"
#include "kernel/fs/file.h"
#include "kernel/lib/string.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/net/net.h"
#include "kernel/net/socket_types.h"
#include "kernel/process/process.h"
#include "kernel/remote/borrower.h"
#include "kernel/remote/client.h"
#include "kernel/remote/descriptors.h"
#include "kernel/remote/loan_message.h"
#include "kernel/remote/local_epoll.h"
#include "kernel/remote/member.h"
#include "kernel/sched/task.h"
#include "net_hostile.h"

struct borrower_world_counts *borrower_world_counts;

enum borrower_liar who;
struct connection connections[CONNECTIONS];
unsigned changes[SETS];
unsigned in_call;
struct sharing sharing;
uint32_t just_accepted;

static struct {
    uint64_t id;
    bool armed;
} sets[SETS];

static uint64_t last_loan, last_begun;

/* ---- the input ---- */

static struct input in;

uint32_t choose(uint32_t limit)
{
    return input_choose(&in, limit);
}

uint32_t word(void)
{
    return input_word(&in, WORLD_RING);
}

/* ---- what connections carry ---- */

int fd_of(const struct connection *c)
{
    return FIRST_FD + (int)(c - connections);
}

struct connection *connection_of_fd(int fd)
{
    return fd >= FIRST_FD && fd < FIRST_FD + (int)CONNECTIONS ? &connections[fd - FIRST_FD] : NULL;
}

static struct connection *connection_of_channel(uint32_t channel)
{
    for (size_t i = 0; i < CONNECTIONS; i++)
        if (channel && connections[i].channel == channel)
            return &connections[i];
    return NULL;
}

/* Closed, and here again: its channel is free, and so is its descriptor. */
static void ends(struct connection *c)
{
    if (!c->closed || c->id || c->own)
        return;
    host_chans[c->channel].open = false;
    c->channel = 0;
}

void closes(struct connection *c)
{
    c->closed = true;
    for (size_t s = 0; s < SETS; s++)
        changes[s] += c->watches[s].set;
    memset(c->watches, 0, sizeof(c->watches));
    ends(c);
}

bool is_untold(const struct connection *c)
{
    return c && who == HONEST && c->own && !c->id && !c->closed;
}

struct tcp_loan a_connection(uint32_t channel)
{
    return (struct tcp_loan){.chan.number = channel,
                             .family = AF_INET,
                             .chan_family = AF_INET,
                             .local_ip = {[10] = 0xff, 0xff, 172, 17, 0, 5},
                             .peer_ip = {[10] = 0xff, 0xff, 203, 0, 113, 7},
                             .local_port = 80,
                             .peer_port = 4000,
                             .rcvlowat = 1,
                             .rcvbuf = 131072,
                             .sndbuf = 16384,
                             .peek_off = -1,
                             .file_flags = O_RDWR};
}

static uint8_t pattern(const struct connection *c, uint32_t at, bool sent)
{
    return (uint8_t)((at * 7 + (at >> 8) * 3 + (uint32_t)(c - connections) * 31) ^ (sent ? 0x5a : 0));
}

void fill(const struct connection *c, uint8_t *bytes, size_t size, uint32_t at, bool sent)
{
    for (size_t i = 0; i < size; i++)
        bytes[i] = pattern(c, at + (uint32_t)i, sent);
}

void check(const struct connection *c, const uint8_t *bytes, size_t size, uint32_t at, bool sent)
{
    for (size_t i = 0; who == HONEST && i < size; i++)
        if (bytes[i] != pattern(c, at + (uint32_t)i, sent))
            FAIL("bytes that were not sent");
}

/* ---- the peer and the host ---- */

static void lie_in_queue(void)
{
    struct arena_queue *q = choose(2) ? world.own_ready : world.own_dirty;
    if (q)
        hostile_queue(q, choose, word);
}

void host_pumps(void)
{
    host_pump();
    if (world.dirty->head != 0 && who != HOST_LIES)
        FAIL("a member writes into the queue of the init enclave");
}

static void host_acts(void)
{
    static uint8_t bytes[WORLD_RING];
    struct connection *c = &connections[choose(CONNECTIONS)];
    uint32_t n = c->channel;
    if (who == HOST_LIES && choose(16) == 0)
        lie_in_queue();
    if (who == HOST_LIES && choose(4) == 0)
        hostile_channel(&world.channels[choose(16) ? n : sharing.channel], choose, word);
    if (choose(6) == 0) {
        host_pumps();
        n = choose(4) ? sharing.channel : LISTENER;
        if (n && host_chans[n].clients < 4)
            host_client(n);
        return;
    }
    if (n == 0)
        return;
    switch (choose(5)) {
    case 0:
    case 1: {
        size_t size = choose(choose(3) ? 300 : WORLD_RING);
        fill(c, bytes, size, c->put, false);
        c->put += (uint32_t)host_put(n, bytes, size);
        break;
    }
    case 2:
    case 3: {
        size_t size = who == HOST_LIES ? 0 : host_take(n, bytes, choose(WORLD_RING));
        check(c, bytes, size, c->taken, true);
        c->taken += (uint32_t)size;
        break;
    }
    default:
        if (choose(20) == 0)
            host_event(n, CHAN_EV_EOF, world.channels[n].host_error);
    }
    c->news = true;
}

/* The record of an accepted connection, or the number of a listening channel, is what the host says. */
static int lie_in_answer(struct hostcall_socket *op, int r)
{
    switch (choose(6)) {
    case 0:
        return choose(4) ? -(int)choose(134) : (int)choose(4000);
    case 1:
        op->optlen = choose(2) ? word() : op->optlen + choose(3) - 1;
        break;
    case 2:
        op->value = choose(2) ? word() : choose(WORLD_CHANNELS);
        break;
    default:
        if (choose(2))
            ((struct ring_accept *)op->optval)->channel = choose(2) ? word() : choose(WORLD_CHANNELS);
        else
            ((uint32_t *)op->optval)[choose(sizeof(struct ring_accept) / 4)] = word();
    }
    return r;
}

static int host_answers(struct hostcall_socket *op)
{
    struct connection *c = op->op == SOCKET_GIVE ? connection_of_channel(op->channel) : NULL;
    if (op->op == SOCKET_GIVE && op->channel != GIVE_ALL) {
        if (who == HONEST && (!c || !c->own))
            FAIL("what is given away is not the member's");
        if (is_untold(c))
            FAIL("a connection is given away that nobody knows of");
        count(given);
    }
    if (op->op == SOCKET_ACCEPT && choose(20) == 1)
        return -EMFILE;
    int r = who == HOST_LIES && op->op == SOCKET_GIVE && choose(4) == 0 ? -(int)choose(134) : host_socket(op);
    if (c)
        c->own = false;
    if (op->op == SOCKET_ACCEPT && r == 0) {
        just_accepted = ((const struct ring_accept *)op->optval)->channel;
        if (choose(16) == 1) /* who connected has reset it since */
            host_event(just_accepted, CHAN_EV_ERROR | CHAN_EV_TX_CLOSED, ECONNRESET);
    }
    if (op->op == SOCKET_SHARE && r == 0)
        sharing.channel = (uint32_t)op->value;
    return who == HOST_LIES && (op->op == SOCKET_ACCEPT || op->op == SOCKET_SHARE) && choose(8) == 0
               ? lie_in_answer(op, r)
               : r;
}

/* ---- the init enclave ---- */

static void (*handlers[MESSAGE_TYPE_MAX])(struct record *record);

void client_on_message(uint32_t type, void (*fn)(struct record *record))
{
    handlers[type] = fn;
}

noreturn_fn void member_end(const char *why)
{
    (void)why;
    if (who != INIT_LIES)
        FAIL("an end without a lie");
    count(ended);
    longjmp(world.lie, 1);
}

static void deliver(const void *message, size_t size)
{
    struct record *record = kmalloc(sizeof(*record) + size);
    memset(record, 0, sizeof(*record));
    record->size = size;
    memcpy(record->data, message, size);
    handlers[((const struct message *)message)->type](record);
}

static bool is_watched_there(const struct connection *c)
{
    for (size_t s = 0; s < SETS; s++)
        if (c->watches[s].set && c->watches[s].there)
            return true;
    return false;
}

void lend(struct connection *c)
{
    struct loan_message m = {.message = {MESSAGE_LOAN, 0, process_self()->pid, 0}};
    if (c->closed || c->id || c->own || is_watched_there(c))
        return;
    c->id = ++last_loan;
    c->recalled = false;
    m.id = c->id;
    m.fd = fd_of(c);
    m.cloexec = choose(2);
    m.loan = c->state;
    count(loans);
    deliver(&m, sizeof(m));
}

void recall(struct connection *c)
{
    const struct tcp_socket *t = tcp_borrowed_channel(c->channel);
    if (!c->id || c->recalled)
        return;
    struct loan_id_message m = {
        .message = {MESSAGE_LOAN_RECALL, 0, process_self()->pid, 0}, .id = c->id, .channel = c->channel};
    bool in_use = t && tcp_in_use(t);
    c->recalled = true;
    count(recalls);
    borrower_world_counts->in_use += in_use;
    deliver(&m, sizeof(m));
    if (who == HONEST && !in_use && c->id)
        FAIL("a connection that was called back is kept");
}

static void send_news(void)
{
    struct loan_channels_message m = {.message = {MESSAGE_LOAN_NEWS, 0, process_self()->pid, 0}};
    for (size_t i = 0; i < CONNECTIONS; i++) {
        if (connections[i].news && connections[i].id && !connections[i].own)
            m.channels[m.count++] = connections[i].channel;
        connections[i].news = false;
    }
    if (m.count == 0)
        return;
    count(news);
    deliver(&m, sizeof(m));
}

static void fire(void)
{
    size_t s = choose(SETS);
    struct watch_message m = {.message = {MESSAGE_WATCH_FIRED, 0, process_self()->pid, 0},
                              .id = sets[s].id,
                              .fd = FIRST_SET + (int)s,
                              .on = 1};
    if (!sets[s].armed)
        return;
    sets[s].armed = false;
    count(fired);
    deliver(&m, sizeof(m));
}

/* Anything: what there is, changed in places, or cut short. */
static void say_anything(void)
{
    static const uint32_t types[] = {MESSAGE_LOAN, MESSAGE_LOAN, MESSAGE_LOAN_RECALL, MESSAGE_LOAN_NEWS,
                                     MESSAGE_WATCH_FIRED};
    const struct connection *c = &connections[choose(CONNECTIONS)];
    union {
        struct loan_message loan;
        struct loan_id_message id;
        struct loan_channels_message channels;
        struct watch_message watch;
        uint8_t bytes[sizeof(struct loan_message)];
    } m;
    size_t size;
    memset(&m, 0, sizeof(m));
    m.loan.message = (struct message){types[choose(5)], 0, process_self()->pid + (choose(10) == 0), (int)choose(3)};
    switch (m.loan.message.type) {
    case MESSAGE_LOAN:
        size = sizeof(m.loan);
        m.loan.loan = c->state;
        m.loan.id = choose(4) ? ++last_loan : choose(8);
        m.loan.fd = choose(4) ? fd_of(c) : (int)word();
        m.loan.cloexec = word();
        break;
    case MESSAGE_LOAN_RECALL:
        size = sizeof(m.id);
        m.id.id = choose(3)   ? c->id
                  : choose(3) ? LOAN_BEGUN_ID | (last_begun + choose(4))
                  : choose(2) ? last_loan - choose(8)
                              : word();
        m.id.channel = choose(4) ? c->channel : choose(2) ? sharing.channel : word();
        break;
    case MESSAGE_LOAN_NEWS:
        size = sizeof(m.channels);
        m.channels.count = word();
        for (size_t i = 0; i < 8; i++)
            m.channels.channels[i] = choose(3) ? connections[choose(CONNECTIONS)].channel : word();
        break;
    default:
        size = sizeof(m.watch);
        m.watch.fd = FIRST_SET + (int)choose(SETS + 1);
        m.watch.id = choose(2) ? sets[choose(SETS)].id : word();
        m.watch.on = word();
    }
    for (uint32_t n = choose(4); n > 0 && choose(2); n--)
        memcpy(m.bytes + sizeof(struct message) + choose((uint32_t)(size - sizeof(struct message)) / 4) * 4,
               &(uint32_t){word()}, 4);
    if (choose(100) == 0)
        size = sizeof(struct message) + choose((uint32_t)(size - sizeof(struct message)));
    deliver(&m, size);
}

static void init_acts(void)
{
    if (who == INIT_LIES && choose(3) == 0) {
        say_anything();
        return;
    }
    switch (choose(6)) {
    case 0:
        recall(&connections[choose(CONNECTIONS)]);
        break;
    case 1:
        lend(&connections[choose(CONNECTIONS)]);
        break;
    case 2:
        fire();
        break;
    default:
        send_news();
    }
}

/* ---- what the member says ---- */

static void expect_watches(struct connection *c, const struct loan_return_message *m)
{
    size_t wanted = 0;
    if (c->closed) /* meanwhile: the init enclave sees that they are not for that file */
        return;
    for (size_t s = 0; s < SETS; s++)
        wanted += c->watches[s].set;
    if (m->watch_count != wanted)
        FAIL("sets that a connection is in");
    for (uint32_t i = 0; i < m->watch_count; i++) {
        uint32_t s = (uint32_t)(m->watches[i].epfd - FIRST_SET);
        if (s >= SETS || !c->watches[s].set || c->watches[s].data != m->watches[i].data || m->watches[i].fd != fd_of(c))
            FAIL("what is said in a set");
        c->watches[s].there = true;
        count(watched);
    }
}

static void hear_return(const struct loan_return_message *m, size_t size)
{
    struct connection *c = connection_of_channel(m->loan.chan.number);
    if (m->watch_count > LOAN_WATCHES_MAX || size != LOAN_RETURN_SIZE(m->watch_count))
        FAIL("the size of what comes back");
    count(returned);
    if (who == HONEST && c && c->own)
        FAIL("a connection comes back that this pump has");
    if (!c || c->id == 0 || c->id != m->id) {
        count(refused);
        if (who == HONEST)
            FAIL("a connection that was not lent");
        return;
    }
    c->id = 0;
    if (who == HONEST) {
        c->to_check = true;
        expect_watches(c, m);
    }
    if (tcp_loan_ok(&m->loan))
        c->state = m->loan;
    else if (who == HONEST)
        FAIL("a state that cannot be");
    if (m->close_fd >= 0) {
        if (who == HONEST && m->close_fd != fd_of(c))
            FAIL("the descriptor that is closed");
        closes(c);
        count(closed);
    }
    ends(c);
}

static void hear_begun(const struct loan_message *m, size_t size)
{
    static bool heard[4096];
    struct connection *c = connection_of_fd(m->fd);
    const struct tcp_loan *loan = &m->loan;
    uint64_t number = m->id & ~LOAN_BEGUN_ID;
    if (size != sizeof(*m) || number == m->id || number >= ARRAY_COUNT(heard) || heard[number])
        FAIL("the number of a connection that began");
    heard[number] = true;
    last_begun = MAX(last_begun, number);
    count(begun);
    if (!c)
        return;
    if (who == HONEST &&
        (!is_untold(c) || loan->chan.number != c->channel || !tcp_loan_ok(loan) || !m->cloexec != !c->cloexec))
        FAIL("what is told of a connection that began");
    if (who == HONEST && (loan->local_port != 80 || loan->peer_port != 12345 || loan->peer_ip[12] != 203 ||
                          loan->sndbuf != 16384 || loan->peek_off != -1 || loan->family != AF_INET))
        FAIL("what a connection has from the listening socket");
    if (who == HONEST && !in_call &&
        (loan->chan.rx_tail != c->read || loan->chan.tx_head != c->written ||
         !(loan->file_flags & O_NONBLOCK) != !c->nonblock))
        FAIL("how far a connection is said to be");
    if (who == HONEST && (loan->rx_bytes != loan->chan.rx_tail || loan->tx_bytes != loan->chan.tx_head ||
                          loan->chan.rx_tail < c->read_then || loan->chan.tx_head < c->written_then))
        FAIL("how far a connection that began came");
    c->begun = true;
    c->begun_read = loan->chan.rx_tail;
    c->begun_written = loan->chan.tx_head;
    c->id = m->id;
    c->recalled = false;
    if (tcp_loan_ok(loan))
        c->state = *loan;
}

static void hear_watch(const struct watch_message *m)
{
    uint32_t s = (uint32_t)(m->fd - FIRST_SET);
    if (s >= SETS)
        FAIL("a set that there is not");
    sets[s].armed = m->on;
    sets[s].id = m->id;
}

static bool unrung;

bool client_unrung(void)
{
    return unrung;
}

void client_ring(void)
{
    if (!unrung)
        FAIL("a ring for nothing");
    unrung = false;
}

static int hear(struct message *message, size_t size)
{
    const struct loan_channels_message *channels = (const struct loan_channels_message *)message;
    switch (message->type) {
    case MESSAGE_LOAN_RETURN:
        hear_return((const struct loan_return_message *)message, size);
        break;
    case MESSAGE_LOAN_DIRTY:
        if (size != sizeof(*channels) || channels->count == 0 || channels->count > LOAN_CHANNELS_MAX)
            FAIL("dirty channels");
        for (uint32_t i = 0; i < channels->count; i++)
            if (who == HONEST &&
                (!connection_of_channel(channels->channels[i]) || connection_of_channel(channels->channels[i])->own))
                FAIL("a dirty channel that was not lent");
        break;
    case MESSAGE_LOAN_BEGUN:
        hear_begun((const struct loan_message *)message, size);
        break;
    case MESSAGE_LOAN_FLAGS:
        if (size != sizeof(struct loan_id_message))
            FAIL("flags");
        break;
    case MESSAGE_WATCH:
        hear_watch((const struct watch_message *)message);
        break;
    default:
        FAIL("a message of no kind");
    }
    return who == INIT_LIES && choose(2000) == 1 ? -EPIPE : 0; /* no memory is as that */
}

/* By the order of the link it makes no difference when the other side is rung. */
int client_post_quietly(struct message *message, size_t size)
{
    unrung = true;
    return hear(message, size);
}

int client_post(struct message *message, size_t size)
{
    if (message->type == MESSAGE_LOAN_RETURN && ((struct loan_return_message *)message)->close_fd >= 0)
        FAIL("a close that is in a hurry");
    unrung = false;
    return hear(message, size);
}

void meanwhile(void)
{
    for (uint32_t n = choose(3); n > 0; n--) {
        switch (choose(8)) {
        case 0:
            if (choose(3) == 0)
                another_thread_acts();
            break;
        case 1:
        case 2:
        case 3:
            init_acts();
            break;
        default:
            host_acts();
        }
    }
}

/* No call is running: what was called back is back, and says how far the program came. */
static void settle(void)
{
    for (size_t i = 0; i < CONNECTIONS; i++) {
        struct connection *c = &connections[i];
        const struct tcp_loan *state = &c->state;
        if (who == HONEST && c->id && c->recalled)
            FAIL("a connection that was called back during a call is kept");
        if (c->to_check && (state->chan.rx_tail != c->read || state->chan.tx_head != c->written ||
                            state->rx_bytes != c->read || state->tx_bytes != c->written))
            FAIL("how far a connection came");
        c->to_check = false;
        if (who == HONEST && c->begun && (c->begun_read > c->read || c->begun_written > c->written))
            FAIL("a connection began further than it came");
        c->begun = false;
        c->read_then = c->read;
        c->written_then = c->written;
    }
}

/* ---- */

static void begin(void)
{
    struct hostcall_socket listener = {.channel = LISTENER, .family = AF_INET, .type = SOCK_STREAM};
    world_init_borrower(who != HOST_LIES || choose(8));
    process_self()->leader = task_current();
    borrower_init();
    world.idle = meanwhile;
    world.socket = host_answers;
    listener.op = SOCKET_CREATE;
    host_socket(&listener);
    listener.op = SOCKET_LISTEN;
    host_socket(&listener);
    listener.op = SOCKET_DEMAND;
    listener.value = 1;
    host_socket(&listener);
    for (size_t i = CONNECTIONS; i-- > LENT;) {
        connections[i].closed = true;
        descriptors_closed(FIRST_FD + (int)i);
    }
    for (size_t i = 0; i < LENT; i++) {
        struct connection *c = &connections[i];
        c->channel = CHANNEL_FIRST_SOCKET + 1 + (uint32_t)i * 21; /* odd and even, in both chunks */
        struct hostcall_socket op = {
            .op = SOCKET_CREATE, .channel = c->channel, .family = AF_INET, .type = SOCK_STREAM};
        if (host_socket(&op) < 0)
            FAIL("no channel");
        host_chans[c->channel].connected = true;
        world.channels[c->channel].host_events = CHAN_EV_CONNECTED;
        c->state = a_connection(c->channel);
        c->nonblock = choose(2);
        c->state.file_flags |= c->nonblock ? O_NONBLOCK : 0;
        /* Once there and back: what is made for the first time stays. */
        lend(c);
        recall(c);
    }
}

/* All goes back, and nothing is left of it. */
static int is_left(int fd, struct file *file, void *arg)
{
    (void)fd, (void)file, (void)arg;
    return 1;
}

static void finish(long allocations)
{
    if (sharing.file)
        end_sharing();
    local_epoll_end();
    net_pump_end();
    settle();
    if (fd_for_each(fd_table_new(), is_left, NULL) || hosted_alloc_live() != allocations)
        FAIL("something is left");
    for (size_t i = 0; i < CONNECTIONS; i++)
        if (who == HONEST && (connections[i].id || connections[i].own))
            FAIL("a connection is kept");
}

void borrower_world_run(const uint8_t *data, size_t size)
{
    in = (struct input){data, size};
    who = choose(3);
    if (setjmp(world.lie)) {
        borrower_world_counts->lied += world.lie_text != NULL;
        return;
    }
    world.lie_armed = who != HONEST;
    begin();
    settle();
    long allocations = hosted_alloc_live();
    for (size_t i = 0; i < CONNECTIONS; i++)
        lend(&connections[i]);
    while (in.left > 0) {
        switch (choose(4)) {
        case 0:
            host_acts();
            break;
        case 1:
            init_acts();
            break;
        default:
            program_acts();
        }
        settle();
    }
    finish(allocations);
}
