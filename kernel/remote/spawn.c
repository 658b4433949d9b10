/*
 * The pool of member enclaves (contract in spawn.h).
 *
 *   free --start--> STARTING --HELLO--> WARM --spawn_take()--> TAKEN
 *                       |              ^                        |
 *                       |              HELLO -- RENEWING --RENEW--
 *                       \________________\______________________/
 *                        lost: its processes are killed --> ENDING --host process gone, SPAWN_RELEASE--> free
 */
#include "kernel/remote/spawn.h"

#include <linux/errno.h>
#include <linux/signal.h>

#include "abi/link.h"
#include "kernel/arch/hostcall.h"
#include "kernel/lib/list.h"
#include "kernel/lib/printk.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/process/remote_ops.h"
#include "kernel/process/table.h"
#include "kernel/remote/area.h"
#include "kernel/remote/frames.h"
#include "kernel/remote/leases.h"
#include "kernel/remote/lender.h"
#include "kernel/remote/pipe_lender.h"
#include "kernel/remote/posts.h"
#include "kernel/remote/process_link.h"
#include "kernel/remote/server.h"
#include "kernel/remote/shared_home.h"
#include "kernel/remote/stream.h"
#include "kernel/sched/output.h"
#include "kernel/sched/task.h"

#define WARM_WANTED 2   /* are made */
#define WARM_MAX 4      /* stay */
#define STILLBORN_MAX 3 /* enclaves that end before they are up, while somebody waits for one */

enum enclave_state { STARTING, WARM, TAKEN, RENEWING, ENDING };

struct enclave {
    TAILQ_ENTRY(enclave) entry;
    struct remote_member *member; /* referenced */
    uint32_t number;
    enum enclave_state state;
    bool settling; /* taken, but no process is there yet */
};

static TAILQ_HEAD(, enclave) enclaves = TAILQ_HEAD_INITIALIZER(enclaves);
static unsigned stillborn;
static struct wait_queue change = {TAILQ_HEAD_INITIALIZER(change.entries)};

bool spawn_possible(void)
{
    return link_area_present();
}

static struct enclave *enclave_of(const struct remote_member *member)
{
    struct enclave *e;
    TAILQ_FOREACH (e, &enclaves, entry)
        if (e->member == member)
            return e;
    return NULL;
}

static struct enclave *enclave_in(enum enclave_state state)
{
    struct enclave *e;
    TAILQ_FOREACH (e, &enclaves, entry)
        if (e->state == state)
            return e;
    return NULL;
}

static size_t count_in(enum enclave_state state)
{
    const struct enclave *e;
    size_t count = 0;
    TAILQ_FOREACH (e, &enclaves, entry)
        count += e->state == state;
    return count;
}

/* The lowest number whose last life is over here as well as at the host. */
static uint32_t free_number(void)
{
    for (uint32_t n = 1; n <= link_area_member_max(); n++) {
        const struct enclave *e;
        TAILQ_FOREACH (e, &enclaves, entry)
            if (e->number == n)
                break;
        if (!e && !remote_member_find(n))
            return n;
    }
    return 0;
}

static int start(void)
{
    spawn_poll();
    uint32_t number = free_number();
    struct enclave *e = number ? kzalloc(sizeof(*e)) : NULL;
    if (!e)
        return -EAGAIN;
    *e = (struct enclave){.number = number, .state = STARTING, .member = remote_member_new(number)};
    if (!e->member) {
        kfree(e);
        return -EAGAIN;
    }
    if (hostcall_spawn(SPAWN_START, number) < 0) {
        remote_member_end(e->member);
        remote_member_put(e->member);
        kfree(e);
        return -EAGAIN;
    }
    TAILQ_INSERT_TAIL(&enclaves, e, entry);
    return 0;
}

/* Those that are nobody, or will be soon. */
static size_t ready_count(void)
{
    return count_in(STARTING) + count_in(WARM) + count_in(RENEWING);
}

static void keep_warm(void)
{
    while (ready_count() < WARM_WANTED && start() == 0)
        ;
}

/* One that is ready and, as far as the host says, lives. */
static struct enclave *warm_enclave(void)
{
    struct enclave *e;
    while ((e = enclave_in(WARM)) != NULL && link_area_member_state(e->number) == MEMBER_ENDED)
        spawn_kill(e->member);
    return e;
}

/* It is ready; or, where that makes one too many because another was not needed after all, it ends. */
static void made_warm(struct enclave *e)
{
    e->state = WARM;
    if (count_in(WARM) > WARM_MAX)
        spawn_kill(e->member);
    else
        wake_up(&change, 0);
}

int spawn_take(struct remote_member **ret_member)
{
    struct wait_entry entry;
    struct enclave *e;
    unsigned before = stillborn;
    int r = 0;
    wait_entry_init(&entry, NULL);
    wait_queue_add_exclusive(&change, &entry);
    for (;;) {
        task_prepare_sleep_killable();
        if (stillborn - before >= STILLBORN_MAX)
            r = -EAGAIN;
        if ((e = warm_enclave()) != NULL || r < 0)
            break;
        if (!enclave_in(STARTING) && !enclave_in(RENEWING) && (r = start()) < 0)
            break;
        r = task_sleep(NO_DEADLINE);
    }
    task_cancel_sleep();
    wait_queue_remove(&entry);
    if (!e)
        return r;
    e->state = TAKEN;
    e->settling = true;
    r = output_settle(); /* from now on there is a kernel that sends what this one does not see */
    e->settling = false;
    if (r == 0 && e->state != TAKEN)
        r = -EAGAIN;
    if (r < 0) {
        if (e->state == TAKEN)
            made_warm(e);
        return r;
    }
    *ret_member = remote_member_get(e->member);
    if (!enclave_in(WARM))
        keep_warm();
    return 0;
}

void spawn_refill(void)
{
    if (spawn_any_taken())
        keep_warm();
}

bool spawn_any_taken(void)
{
    return enclave_in(TAKEN) || enclave_in(RENEWING) || enclave_in(ENDING);
}

void spawn_give_back(struct remote_member *member)
{
    struct enclave *e = enclave_of(member);
    if (e && e->state == TAKEN)
        made_warm(e);
    remote_member_put(member);
}

/* What the init enclave had for the processes that ran there. */
static void forget_life(const struct enclave *e)
{
    lender_member_lost(e->member);
    pipe_lender_member_lost(e->member);
    leases_member_lost(e->member);
    posts_member_lost(e->member);
    stream_numbers_release(e->number);
    frames_release(e->number);
}

void spawn_ready(struct remote_member *member)
{
    struct enclave *e = enclave_of(member);
    if (!e || (e->state != STARTING && e->state != RENEWING))
        return;
    if (e->state == RENEWING)
        forget_life(e);
    made_warm(e);
}

static void host_kill(const struct enclave *e)
{
    /* An error says that it is gone already. */
    if (link_area_member_state(e->number) != MEMBER_ENDED && hostcall_spawn(SPAWN_KILL, e->number) < 0)
        printk(LOG_DEBUG, "member %u is gone already\n", e->number);
}

/* The next process that runs in the member, or NULL. */
static struct process *process_in(const struct remote_member *member)
{
    struct process *process;
    TAILQ_FOREACH (process, &process_list, table_link)
        if (process->remote && process->remote->member == member && !process->ended && !process->end_reported)
            return process;
    return NULL;
}

/* One whose beginning the enclave was sending, and will not finish. */
static struct process *process_awaiting(uint32_t number)
{
    struct process *process;
    TAILQ_FOREACH (process, &process_list, table_link)
        if (process->remote && process->remote->stream && process->remote->stream_from == number &&
            !process->remote->sent && !process->ended && !process->end_reported)
            return process;
    return NULL;
}

bool spawn_renew(struct remote_member *member)
{
    struct enclave *e = enclave_of(member);
    if (!e || e->state != TAKEN || e->settling || ready_count() >= WARM_MAX || process_in(member) ||
        process_awaiting(e->number) || remote_member_busy(member))
        return false;
    e->state = RENEWING;
    /* It has given its pages back, but may have asked for some: what is sent no more needs no answer in its next life.
     */
    shared_home_lost(e->number);
    return true;
}

bool spawn_renewing(const struct remote_member *member)
{
    const struct enclave *e = enclave_of(member);
    return e && e->state == RENEWING;
}

/* What ends with it may end others: none of them is freed before spawn_poll(). */
void spawn_lost(struct remote_member *member, const char *lie)
{
    struct enclave *e = enclave_of(member);
    struct process *process;
    (void)lie; /* server.c has said it */
    if (!e || e->state == ENDING)
        return;
    stillborn += e->state == STARTING;
    e->state = ENDING;
    host_kill(e);
    shared_home_lost(e->number);
    lender_member_lost(member);
    pipe_lender_member_lost(member);
    leases_member_lost(member);
    posts_member_lost(member);
    while ((process = process_in(member)) != NULL)
        remote_process_exited(process, SIGKILL, &(struct process_usage){0});
    while ((process = process_awaiting(e->number)) != NULL)
        spawn_kill(process->remote->member);
    wake_up_all(&change, 0);
}

void spawn_kill(struct remote_member *member)
{
    remote_member_end(member);
    spawn_lost(member, NULL);
}

void spawn_poll(void)
{
    struct enclave *e, *next;
    TAILQ_FOREACH_SAFE (e, &enclaves, entry, next) {
        if (e->state != ENDING || e->settling || link_area_member_state(e->number) != MEMBER_ENDED)
            continue;
        if (hostcall_spawn(SPAWN_RELEASE, e->number) < 0)
            continue;
        stream_numbers_release(e->number);
        frames_release(e->number);
        TAILQ_REMOVE(&enclaves, e, entry);
        remote_member_put(e->member);
        kfree(e);
    }
}
