/* Borrowed connections among liars (contract in borrower_world.h). */
#include "borrower_world.h"

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

#include "hosted_libc.h"
#include "input.h"
#include "kernel/fs/file.h"
#include "kernel/fs/poll.h"
#include "kernel/fs/vfs.h"
#include "kernel/lib/list.h"
#include "kernel/lib/string.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/mm/uaccess.h"
#include "kernel/net/net.h"
#include "kernel/net/socket_types.h"
#include "kernel/process/process.h"
#include "kernel/process/table.h"
#include "kernel/remote/accepting.h"
#include "kernel/remote/assured.h"
#include "kernel/remote/borrower.h"
#include "kernel/remote/client.h"
#include "kernel/remote/descriptors.h"
#include "kernel/remote/leased.h"
#include "kernel/remote/loan_message.h"
#include "kernel/remote/local.h"
#include "kernel/remote/local_epoll.h"
#include "kernel/remote/member.h"
#include "kernel/remote/mixed.h"
#include "kernel/remote/posted.h"
#include "kernel/remote/waiting.h"
#include "kernel/sched/task.h"
#include "net_world.h"

#define FAIL(text) hosted_abort("borrowed connections: " text)
#define CONNECTIONS 12U
#define LENT 6U     /* of them, at the beginning; the others begin here */
#define LISTENER 6U /* the init enclave's channel */
#define LISTENER_FD 3
#define FIRST_FD 10
#define SETS 3U
#define FIRST_SET 100
#define FIRST_FILE 1000
#define DATA_THERE (1ULL << 60) /* of what is in the init enclave's part of a set */

struct borrower_world_counts *borrower_world_counts;
#define count(what) (borrower_world_counts->what++)

static enum { HONEST, INIT_LIES, HOST_LIES } who;

/* A connection as the init enclave, the host's peer and the program know it. */
static struct connection {
    struct tcp_loan state;  /* as it came back last */
    uint64_t id;            /* of the loan; 0: it is not lent, or nobody was told of it */
    uint32_t channel;       /* 0: none, and its descriptor is free */
    bool own;               /* the member's own pump has it */
    bool cloexec, nonblock; /* as it was accepted */
    unsigned busy;          /* calls of the program that go on */
    bool recalled, news, closed;
    bool to_check;                    /* it came back: when the call is over, that must be how far the program came */
    uint32_t put, taken;              /* by the peer, into and out of the rings */
    uint32_t read, written;           /* by the program */
    uint32_t read_then, written_then; /* when no call was running last */
    bool begun;                       /* the init enclave was told of it meanwhile: so far */
    uint32_t begun_read, begun_written;
    struct {
        bool set, there; /* in that set; in the init enclave's part */
        uint64_t data;
    } watches[SETS];
} connections[CONNECTIONS];

static struct {
    uint64_t id;
    bool armed;
} sets[SETS];

static unsigned changes[SETS]; /* of what they watch */
static uint64_t last_loan, last_begun;
static unsigned in_call; /* of the program */

/* The listening socket of the init enclave's that the member has one of its own of. */
static struct {
    struct file *file; /* NULL: it has none */
    uint32_t channel;
} sharing;
static uint32_t just_accepted; /* by the host, for the member: the channel */

/* ---- the input ---- */

static struct input in;

static uint32_t choose(uint32_t limit)
{
    return input_choose(&in, limit);
}

static uint32_t word(void)
{
    switch (choose(6)) {
    case 0:
        return UINT32_MAX - choose(3);
    case 1:
        return 1U << choose(32);
    case 2:
        return WORLD_RING + choose(3) - 1;
    case 3:
        return choose(65536) << 16 | choose(65536);
    default:
        return choose(130);
    }
}

/* ---- what connections carry ---- */

static int fd_of(const struct connection *c)
{
    return FIRST_FD + (int)(c - connections);
}

static struct connection *connection_of_fd(int fd)
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

/* And no set watches it any more. */
static void closes(struct connection *c)
{
    c->closed = true;
    for (size_t s = 0; s < SETS; s++)
        changes[s] += c->watches[s].set;
    memset(c->watches, 0, sizeof(c->watches));
    ends(c);
}

/* Nobody but the program and its host knows of it. */
static bool is_untold(const struct connection *c)
{
    return c && who == HONEST && c->own && !c->id && !c->closed;
}

/* As one is that has begun. */
static struct tcp_loan a_connection(uint32_t channel)
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

static void fill(const struct connection *c, uint8_t *bytes, size_t size, uint32_t at, bool sent)
{
    for (size_t i = 0; i < size; i++)
        bytes[i] = pattern(c, at + (uint32_t)i, sent);
}

static void check(const struct connection *c, const uint8_t *bytes, size_t size, uint32_t at, bool sent)
{
    for (size_t i = 0; who == HONEST && i < size; i++)
        if (bytes[i] != pattern(c, at + (uint32_t)i, sent))
            FAIL("bytes that were not sent");
}

/* ---- the peer and the host ---- */

static void lie_in_channel(uint32_t n)
{
    struct channel *s = &world.channels[n];
    switch (choose(8)) {
    case 0:
        s->rx_head = choose(2) ? word() : s->rx_head + choose(200);
        break;
    case 1:
        s->tx_tail = choose(2) ? word() : s->tx_tail + choose(200);
        break;
    case 2:
        s->host_events = choose(2) ? word() : 1U << choose(8);
        break;
    case 3:
        s->host_error = (int32_t)word();
        break;
    case 4:
        s->rx_base = word();
        break;
    case 5: /* the kernel's own words */
        ((uint32_t *)s)[16 + choose(16)] = word();
        break;
    default:
        s->ready_queued = choose(2);
    }
}

static void lie_in_queue(void)
{
    struct arena_queue *q = choose(2) ? world.own_ready : world.own_dirty;
    if (!q)
        return;
    switch (choose(8)) {
    case 0:
        q->head += choose(4);
        break;
    case 1:
        q->head = word();
        break;
    case 2:
        q->tail = choose(4) ? q->tail + choose(4) : word();
        break;
    default:
        q->entries[choose(WORLD_CHANNELS)] = choose(4) ? choose(WORLD_CHANNELS) : word();
    }
}

/* What its pump does by itself: of the member's, too. */
static void host_pumps(void)
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
        lie_in_channel(choose(16) ? n : sharing.channel);
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

static void lend(struct connection *c)
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

/* Now, or at the end of the call that moves bytes. */
static void recall(struct connection *c)
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

/* ---- the rest of a member ---- */

static void another_thread_acts(void);

static void meanwhile(void)
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

void remote_poll(void); /* its header has another struct linger than sockets */
void remote_poll(void)
{
    meanwhile();
}

void task_yield(void)
{
    FAIL("somebody else uses it");
}

static struct fd_table {
    int unused;
} the_table;

struct fd_table *fd_table_new(void)
{
    return &the_table;
}

static bool cloexec_of[WORLD_FDS];

int fd_table_set(struct fd_table *table, int fd, struct file *file, bool cloexec)
{
    (void)table;
    int r = world_fd_set(fd, file);
    if (r == 0)
        cloexec_of[fd] = cloexec;
    return r;
}

struct file *fd_table_file(struct fd_table *table, int fd, bool *ret_cloexec)
{
    struct file *file = fd_get(fd);
    (void)table;
    if (file && ret_cloexec)
        *ret_cloexec = cloexec_of[fd];
    return file;
}

int fd_table_close(struct fd_table *table, int fd)
{
    (void)table;
    return fd_close(fd);
}

int fd_for_each(struct fd_table *table, int (*fn)(int fd, struct file *file, void *arg), void *arg)
{
    int r = 0;
    (void)table;
    for (int fd = 0; r == 0 && fd < WORLD_FDS; fd++) {
        struct file *file = fd_get(fd);
        if (!file)
            continue;
        r = fn(fd, file, arg);
        file_put(file);
    }
    return r;
}

int fd_set_flags(int fd, unsigned flags)
{
    (void)fd, (void)flags;
    return 0;
}

struct process *process_first(void)
{
    return process_self();
}

struct process *process_find(int pid)
{
    return pid == process_self()->pid ? process_self() : NULL;
}

int get_user64(uint64_t *dst, uaddr_t src)
{
    return copy_from_user(dst, src, 8);
}

static int64_t local_fcntl(int fd, unsigned command, uint64_t arg)
{
    struct file *file = fd_get(fd);
    if (!file)
        return -EBADF;
    if (command == F_SETFL)
        file->flags = (file->flags & ~(unsigned)(O_NONBLOCK | O_APPEND)) | ((unsigned)arg & (O_NONBLOCK | O_APPEND));
    int64_t r = command == F_GETFL ? file->flags : 0;
    file_put(file);
    return r;
}

int64_t remote_local(uint64_t nr, struct trap_frame *frame)
{
    int fd = (int)frame->rdi;
    switch (nr) {
    case __NR_read:
        return world_read(fd, (void *)frame->rsi, frame->rdx);
    case __NR_write:
        return world_write(fd, (const void *)frame->rsi, frame->rdx);
    case __NR_ioctl:
        return (unsigned)frame->rsi == FIONBIO ? local_fcntl(fd, F_SETFL, *(const int *)frame->rdx ? O_NONBLOCK : 0)
                                               : world_ioctl(fd, (unsigned)frame->rsi, (void *)frame->rdx);
    case __NR_fcntl:
        return local_fcntl(fd, (unsigned)frame->rsi, frame->rdx);
#define LOCAL(name)                                                                                                    \
    case __NR_##name: {                                                                                                \
        SYSCALL_PROLOGUE_(name)                                                                                        \
        return sys_##name(frame);                                                                                      \
    }
        LOCAL(recvfrom)
        LOCAL(sendto)
        LOCAL(recvmsg)
        LOCAL(sendmsg)
        LOCAL(getsockname)
        LOCAL(getpeername)
        LOCAL(shutdown)
        LOCAL(getsockopt)
        LOCAL(setsockopt)
        LOCAL(poll)
        LOCAL(ppoll)
    default:
        FAIL("a call that is not for here");
        return -ENOSYS;
    }
}

/* A call that the init enclave runs; what happens while it does so. */
int64_t remote_call(uint64_t nr, const uint64_t args[6])
{
    meanwhile();
    if (nr != __NR_epoll_ctl)
        FAIL("a call that is not for there");
    if (is_untold(connection_of_fd((int)args[2])))
        FAIL("a call there of what nobody knows of there");
    if (who == INIT_LIES && choose(4) == 0)
        return -(int64_t)choose(134);
    return -ENOENT;
}

int64_t remote_call_into(uint64_t nr, const uint64_t args[6], unsigned arg, void *buf, size_t size)
{
    size_t unit = nr == __NR_epoll_wait ? sizeof(struct epoll_event) : 1;
    size_t n = choose(4) ? 0 : MIN((size_t)choose(nr == __NR_epoll_wait ? 4 : 3000), size / unit);
    if (arg != 1 || (nr == __NR_epoll_wait ? args[2] * unit : args[2]) > size)
        FAIL("where an answer goes");
    meanwhile();
    for (size_t i = 0; nr == __NR_epoll_wait && i < n; i++)
        ((struct epoll_event *)buf)[i] = (struct epoll_event){.events = EPOLLIN, .data = DATA_THERE};
    if (nr == __NR_pread64) {
        struct connection *c = connection_of_fd((int)args[0] - FIRST_FILE + FIRST_FD);
        fill(c, buf, n, (uint32_t)args[3], true);
    }
    if (who == INIT_LIES && choose(6) == 0)
        return choose(2) ? (int64_t)word() : -(int64_t)choose(134);
    return (int64_t)n;
}

int64_t remote_mixed(uint64_t nr, struct trap_frame *frame, const uint64_t args[6])
{
    (void)nr, (void)frame, (void)args;
    meanwhile();
    return 0;
}

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
    if (unrung)
        FAIL("something to tell, and nothing tells it");
    return here;
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

static void end_sharing(void)
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

/* While a call of the first one sleeps. */
static void another_thread_acts(void)
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

static void program_acts(void)
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
    if (fd_for_each(&the_table, is_left, NULL) || hosted_alloc_live() != allocations)
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

/* Nothing but epoll sets is watched here. */
bool waiting_fired(const struct watch_message *m)
{
    (void)m;
    return false;
}
