/* What is known of descriptors (contract in assured.h). */
#include "kernel/remote/assured.h"

#include <asm/unistd_64.h>
#include <linux/eventpoll.h>

#include "kernel/fs/file.h"
#include "kernel/lib/printk.h"
#include "kernel/lib/string.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/net/loan.h"
#include "kernel/net/net.h"
#include "kernel/process/process.h"
#include "kernel/process/table.h"
#include "kernel/remote/accepting.h"
#include "kernel/remote/client.h"
#include "kernel/remote/descriptors.h"
#include "kernel/remote/lease_message.h"
#include "kernel/remote/leased.h"
#include "kernel/remote/member.h"
#include "kernel/sched/task.h"
#include "kernel/sched/time.h"

#define PLACES 8
#define ASK_AFTER 3  /* calls in a row of a descriptor */
#define ASK_AGAIN 16 /* if nothing was said; of a listening socket with each call: connections come in bursts */

struct place {
    int fd;
    uint32_t kind; /* enum assurance; 0: the place is free */
    int calls;
    uint64_t id; /* 0: nothing was said of it */
    uint32_t size;
    uint8_t name[ASSURANCE_NAME_MAX];
    struct tcp_loan *loan; /* of a listening socket, until there is one here */
    struct file *listener; /* that */
    bool untold;           /* a mode, which was set then */
    uint32_t mode;
    uint64_t set_ns;
};

static struct place places[PLACES];
static unsigned next_place;
static const struct task *asker;

static uint32_t kind_of(uint64_t nr)
{
    switch (nr) {
    case __NR_getsockname:
        return ASSURANCE_NAME;
    case __NR_fchmod:
        return ASSURANCE_MODE;
    case __NR_accept:
    case __NR_accept4:
        return ASSURANCE_ACCEPT;
    default:
        return 0;
    }
}

static struct place *find(int fd, uint32_t kind)
{
    for (size_t i = 0; i < PLACES; i++)
        if (places[i].kind == kind && places[i].fd == fd)
            return &places[i];
    return NULL;
}

static void tell(void *message, size_t size)
{
    if (client_post_quietly(message, size) < 0)
        member_end("no memory to tell the init enclave of a file");
}

static void tell_mode(struct place *place)
{
    struct lease_mode_message m = {.message = {MESSAGE_LEASE_MODE, 0, process_first()->pid, 0},
                                   .id = place->id,
                                   .age_ns = time_monotonic_ns() - place->set_ns,
                                   .mode = place->mode};
    place->untold = false;
    tell(&m, sizeof(m));
}

void assured_tell(void)
{
    for (size_t i = 0; i < PLACES; i++)
        if (places[i].untold)
            tell_mode(&places[i]);
}

static void clear(struct place *place)
{
    if (place->untold)
        tell_mode(place);
    kfree(place->loan);
    if (place->listener)
        tcp_share_close(place->listener);
    *place = (struct place){.kind = 0};
}

static void end(struct place *place)
{
    struct lease_number_message m = {{.type = MESSAGE_LEASE_DROP}, .number = place->id};
    clear(place); /* a mode is told before */
    if (m.number)
        tell(&m, sizeof(m));
}

void assured_closed(int fd)
{
    for (size_t i = 0; i < PLACES; i++)
        if (places[i].kind && places[i].fd == fd)
            end(&places[i]);
}

void assured_forget(void)
{
    for (size_t i = 0; i < PLACES; i++)
        end(&places[i]);
}

bool assured_clear(void)
{
    bool any = false;
    for (size_t i = 0; i < PLACES; i++) {
        any |= places[i].id != 0;
        clear(&places[i]);
    }
    asker = NULL;
    return any;
}

static bool is_alone(void)
{
    return process_self() == process_first() && process_count() == 1;
}

bool assured_ask(uint64_t nr, const uint64_t args[6])
{
    if (nr == __NR_epoll_ctl)
        return args[1] == EPOLL_CTL_ADD && is_alone();
    bool asks = asker == task_current();
    if (asks)
        asker = NULL;
    return asks;
}

static struct place *find_or_make(int fd, uint32_t kind)
{
    struct place *place = find(fd, kind);
    if (!place) {
        place = &places[next_place++ % PLACES];
        end(place);
        *place = (struct place){.fd = fd, .kind = kind};
    }
    return place;
}

static void count(int fd, uint32_t kind)
{
    struct place *place = find_or_make(fd, kind);
    if (++place->calls < ASK_AFTER)
        return;
    place->calls = ASK_AFTER - (kind == ASSURANCE_ACCEPT ? 1 : ASK_AGAIN);
    asker = task_current();
}

/* What was said of it; if nothing was, it is counted. */
static struct place *assured(int fd, uint32_t kind)
{
    if (!is_alone())
        return NULL;
    struct place *place = find(fd, kind);
    if (place && place->id)
        return place;
    count(fd, kind);
    return NULL;
}

/* It is made when it is first used. */
static struct file *listener_of(struct place *place)
{
    if (place->loan) {
        int r = tcp_share_begin(place->loan, &place->listener);
        kfree(place->loan);
        place->loan = NULL;
        if (r < 0) {
            place->listener = NULL;
            end(place);
            return NULL;
        }
        net_pump_begin();
    }
    return file_get(place->listener); /* which may end while the call sleeps */
}

struct file *assured_listener(int fd)
{
    struct place *place = is_alone() ? find(fd, ASSURANCE_ACCEPT) : NULL;
    return place && place->id ? listener_of(place) : NULL;
}

bool assured_accept(uint64_t nr, const uint64_t args[6], int64_t *ret_result)
{
    struct place *place = kind_of(nr) == ASSURANCE_ACCEPT ? assured((int)args[0], ASSURANCE_ACCEPT) : NULL;
    struct file *listener = place ? listener_of(place) : NULL;
    bool done = listener && accepting_call(listener, nr, args, ret_result);
    if (listener)
        file_put(listener);
    return done;
}

bool assured_call(uint64_t nr, const uint64_t args[6], int64_t *ret_result)
{
    uint32_t kind = kind_of(nr);
    struct place *place = kind && kind != ASSURANCE_ACCEPT ? assured((int)args[0], kind) : NULL;
    if (!place)
        return false;
    if (kind == ASSURANCE_NAME) {
        const struct place known = *place; /* the copy may sleep */
        *ret_result = address_to_user(known.name, known.size, args[1], args[2]);
        return true;
    }
    if ((uint32_t)args[1] & ~ASSURANCE_MODE_BITS)
        return false;
    place->untold = true;
    place->mode = (uint32_t)args[1];
    place->set_ns = time_monotonic_ns();
    *ret_result = 0;
    return true;
}

static void receive_assurance(struct record *record)
{
    const struct lease_assurance_message *m = (const struct lease_assurance_message *)record->data;
    if (record->size != sizeof(*m) || m->id == 0 || m->size > sizeof(m->name) || m->kind == ASSURANCE_ACCEPT)
        panic("an assurance of the init enclave");
    const struct process *process = process_first();
    bool wanted = process && process->pid == m->message.pid && leased_era() == m->era && !descriptors_changing();
    struct place *place = wanted ? find(m->fd, m->kind) : NULL;
    if (place && !place->id) {
        place->id = m->id;
        place->size = m->size;
        memcpy(place->name, m->name, m->size);
    } else {
        struct lease_number_message drop = {{.type = MESSAGE_LEASE_DROP}, .number = m->id};
        tell(&drop, sizeof(drop));
    }
    kfree(record);
}

static void receive_listener(struct record *record)
{
    const struct lease_listener_message *m = (const struct lease_listener_message *)record->data;
    if (record->size != sizeof(*m) || m->id == 0)
        panic("a listening socket of the init enclave");
    const struct process *process = process_first();
    bool wanted = process && process->pid == m->message.pid && leased_era() == m->era && !descriptors_changing();
    struct place *place = wanted ? find_or_make(m->fd, ASSURANCE_ACCEPT) : NULL;
    struct tcp_loan *loan = place && !place->id ? kmalloc(sizeof(*loan)) : NULL;
    if (loan) {
        *loan = m->loan;
        place->id = m->id;
        place->loan = loan;
    } else {
        struct lease_number_message drop = {{.type = MESSAGE_LEASE_DROP}, .number = m->id};
        tell(&drop, sizeof(drop));
    }
    kfree(record);
}

/* All that was told goes before it. */
static void receive_sync(struct record *record)
{
    const struct lease_number_message *m = (const struct lease_number_message *)record->data;
    if (record->size != sizeof(*m))
        panic("a question of the init enclave about modes");
    assured_tell();
    struct lease_number_message answer = {{.type = MESSAGE_LEASE_SYNCED}, .number = m->number};
    if (client_post(&answer.message, sizeof(answer)) < 0)
        member_end("no memory to tell the init enclave of modes");
    kfree(record);
}

void assured_init(void)
{
    client_on_message(MESSAGE_LEASE_LISTENER, receive_listener);
    client_on_message(MESSAGE_LEASE_SYNC, receive_sync);
    client_on_message(MESSAGE_LEASE_ASSURANCE, receive_assurance);
}
