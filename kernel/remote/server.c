/*
 * Members and agents (contracts in server.h and agent.h).
 *
 * server_poll() runs in the idle loop and at ticks: it takes records off the links and never sleeps. A CALL wakes an
 * agent, which runs the system call as a task like any other. An agent belongs to its member's list from its first DATA
 * or CALL to its REPLY.
 */
#include "kernel/remote/server.h"

#include <linux/errno.h>
#include <linux/stat.h>

#include "abi/link.h"
#include "abi/stats.h"
#include "kernel/crypto/secret.h"
#include "kernel/fs/vfs.h"
#include "kernel/lib/printk.h"
#include "kernel/lib/string.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/net/loan.h"
#include "kernel/process/remote_ops.h"
#include "kernel/process/table.h"
#include "kernel/remote/agent.h"
#include "kernel/remote/area.h"
#include "kernel/remote/calls.h"
#include "kernel/remote/descriptors.h"
#include "kernel/remote/frames.h"
#include "kernel/remote/leases.h"
#include "kernel/remote/lender.h"
#include "kernel/remote/pipe_lender.h"
#include "kernel/remote/posts.h"
#include "kernel/remote/remote.h"
#include "kernel/sched/sched.h"
#include "kernel/sched/task.h"
#include "kernel/syscalls/table.h"

#define AGENTS_IDLE_MAX 8

struct remote_member {
    TAILQ_ENTRY(remote_member) entry;
    unsigned refcount;
    uint32_t number;
    struct member_frames frames;
    bool proved, ended;
    struct link link;
    TAILQ_HEAD(member_agents, agent) agents; /* with a request, in order of arrival */
};

static TAILQ_HEAD(, remote_member) members = TAILQ_HEAD_INITIALIZER(members);
static TAILQ_HEAD(, agent) idle_agents = TAILQ_HEAD_INITIALIZER(idle_agents);
static size_t idle_count;
static struct linger next_calls[STATS_SYSCALL_MAX]; /* by the system call that was answered */

static void (*on_lost)(struct remote_member *member, const char *lie);
static void (*on_heard)(uint32_t member, uint32_t type);
static void (*handlers[MESSAGE_TYPE_MAX])(struct remote_member *member, struct record *record);

/* ---- members ---- */

struct remote_member *remote_member_new(uint32_t number)
{
    uint8_t key[LINK_KEY_SIZE];
    struct remote_member *member = kzalloc(sizeof(*member));
    if (!member)
        return NULL;
    ASSERT(number > 0 && number <= link_area_member_max() && !remote_member_find(number));
    member->refcount = 1;
    member->number = number;
    TAILQ_INIT(&member->agents);
    remote_base_key(key);
    link_reset(number);
    link_open(&member->link, number, 0, number, key);
    memory_wipe(key, sizeof(key));
    TAILQ_INSERT_TAIL(&members, member, entry);
    return member;
}

struct remote_member *remote_member_get(struct remote_member *member)
{
    member->refcount++;
    return member;
}

void remote_member_put(struct remote_member *member)
{
    ASSERT(member->refcount > 0);
    if (--member->refcount > 0)
        return;
    ASSERT(TAILQ_EMPTY(&member->agents));
    TAILQ_REMOVE(&members, member, entry);
    link_close(&member->link);
    kfree(member);
}

static void cancel(struct agent *agent)
{
    agent->cancelled = true;
    if (agent->entered)
        agent_cancel(agent->task);
}

static void agent_release(struct agent *agent);

void remote_member_end(struct remote_member *member)
{
    struct agent *agent, *next;
    if (member->ended)
        return;
    member->ended = true;
    link_kill(&member->link, "the other enclave has ended");
    remote_member_get(member);
    TAILQ_FOREACH_SAFE (agent, &member->agents, entry, next) {
        cancel(agent);
        if (agent->call)
            task_wake(agent->task); /* it may wait for a FETCHED */
        else
            agent_release(agent);
    }
    remote_member_put(member);
}

uint32_t remote_member_number(const struct remote_member *member)
{
    return member->number;
}

struct link *remote_member_link(struct remote_member *member)
{
    return &member->link;
}

struct member_frames *remote_member_frames(struct remote_member *member)
{
    return &member->frames;
}

bool remote_member_proved(const struct remote_member *member)
{
    return member->proved;
}

bool remote_member_busy(const struct remote_member *member)
{
    return !TAILQ_EMPTY(&member->agents);
}

struct remote_member *remote_member_find(uint32_t number)
{
    struct remote_member *member;
    TAILQ_FOREACH (member, &members, entry)
        if (member->number == number)
            return member;
    return NULL;
}

void remote_member_on_lost(void (*fn)(struct remote_member *member, const char *lie))
{
    on_lost = fn;
}

void remote_member_on_heard(void (*fn)(uint32_t member, uint32_t type))
{
    on_heard = fn;
}

void remote_member_on_message(uint32_t type, void (*fn)(struct remote_member *member, struct record *record))
{
    ASSERT(type >= MESSAGE_HANDLED && type < MESSAGE_TYPE_MAX);
    handlers[type] = fn;
}

/* lie: what the host lied about; NULL if its process just ended. */
static void lost(struct remote_member *member, const char *lie)
{
    if (lie)
        printk(LOG_WARNING, "process %u of the container is lost: the host lied about %s\n", member->number, lie);
    remote_member_end(member);
    if (on_lost)
        on_lost(member, lie);
}

/* ---- agents ---- */

/* A longer read or write of this file goes on where a part was moved, rather than return. */
static bool goes_on(uint64_t nr, const uint64_t args[6])
{
    struct file *file = fd_get((int)args[0]);
    if (!file)
        return false;
    uint32_t type = file->inode->mode & S_IFMT;
    bool memory_device = type == S_IFCHR && (file->inode->rdev >> 8 & 0xfff) == 1; /* zero, urandom */
    bool result = remote_call_reads(nr) ? type == S_IFREG || type == S_IFBLK || memory_device : !file->messages;
    file_put(file);
    return result;
}

/* Dispositions are the member's affair, but for what terminals do to a process in the background. */
static void note_ignored(struct process *process, sigset64_t ignored)
{
    for (int signal = SIGTTIN; signal <= SIGTTOU; signal++)
        process->actions[signal - 1].handler = (uint64_t)(ignored & SIGNAL_BIT(signal) ? SIG_IGN : SIG_DFL);
}

static void serve(struct agent *agent, struct process *process)
{
    const struct call_head *head = agent->head;
    struct trap_frame frame = {.rdi = head->args[0],
                               .rsi = head->args[1],
                               .rdx = head->args[2],
                               .r10 = head->args[3],
                               .r8 = head->args[4],
                               .r9 = head->args[5],
                               .rax = head->nr,
                               .orig_rax = (int64_t)head->nr,
                               .vector = TRAP_SYSCALL};
    if (!agent_enter(process, agent->tid, head->blocked, agent)) {
        agent_reply(agent, (struct reply_head){.result = -EINTR});
        return;
    }
    agent->entered = true;
    agent->task->signals.pending.set = head->pending;
    note_ignored(process, head->ignored);
    if (agent->cancelled)
        agent_cancel(agent->task);
    agent->linger = &next_calls[head->nr % STATS_SYSCALL_MAX];
    uint64_t changes = leases_changes();
    int64_t result = -ERECALLED;
    if (!pipe_lender_crossed(agent->member, process, head->nr, head->args[0]))
        result = syscall_call(&frame, head->nr, false);
    struct reply_head reply = {.result = result == -ERESTART_RESTARTBLOCK ? -EINTR : result};
    if (result > 0 && (remote_call_moves(head->nr) || remote_call_streams(head->nr, head->args)) &&
        goes_on(head->nr, head->args))
        reply.flags |= REPLY_CONTINUE;
    if (result >= 0 && descriptors_use(head->nr, head->args) == DESCRIPTORS_ADDED && process->files &&
        !fd_table_shared(process->files))
        reply.free_from = fd_table_end(process->files);
    lender_offer(agent->member, process, head->nr, head->args[0], result);
    if (!pipe_lender_offer(agent->member, process, head->nr, head->args[0], result))
        frames_offer(agent->member, process, head->nr, head->args[0], result);
    leases_offer(agent->member, process, head, result, changes);
    posts_offer(agent->member, process, head, result);
    (void)remote_linger_begin(agent->linger);
    agent_reply(agent, reply);
    if (on_heard)
        on_heard(agent->member->number, MESSAGE_REPLY);
    agent->entered = false;
    agent_leave();
}

static void agent_run(struct agent *agent)
{
    struct process *process = process_find(agent->pid);
    int r = agent_decode(agent);
    if (r == 0 && !remote_call_allowed(agent->head->nr))
        r = -ENOSYS;
    if (r == 0 && (!process || !process->remote || process->remote->member != agent->member))
        r = -ESRCH;
    if (r < 0)
        agent_reply(agent, (struct reply_head){.result = r});
    else
        serve(agent, process);
}

/* The request is over: back to the pool. */
static void agent_release(struct agent *agent)
{
    struct remote_member *member = agent->member;
    agent_memory_free(agent);
    TAILQ_REMOVE(&member->agents, agent, entry);
    agent->member = NULL;
    agent->cancelled = false;
    TAILQ_INSERT_HEAD(&idle_agents, agent, entry); /* the one whose stack is warm first */
    idle_count++;
    remote_member_put(member);
}

static void agent_main(void *arg)
{
    struct agent *agent = arg;
    bool awake = true;
    for (;;) {
        while (!agent->call && sched_linger(agent->linger, awake))
            ;
        task_prepare_sleep(false);
        if (agent->member && agent->call) {
            task_cancel_sleep();
            agent_run(agent);
            awake = agent->link->peer_awake;
            agent_release(agent);
            if (idle_count > AGENTS_IDLE_MAX)
                break;
        } else {
            (void)!task_sleep(NO_DEADLINE);
        }
    }
    TAILQ_REMOVE(&idle_agents, agent, entry);
    idle_count--;
    kfree(agent);
}

static struct agent *agent_new(void)
{
    struct agent *agent = kzalloc(sizeof(*agent));
    if (!agent)
        return NULL;
    TAILQ_INIT(&agent->data);
    agent->linger = &next_calls[0];
    agent->task = kernel_thread_start("agent", agent_main, agent);
    if (agent->task)
        return agent;
    kfree(agent);
    return NULL;
}

static struct agent *agent_find(struct remote_member *member, uint32_t request)
{
    struct agent *agent;
    TAILQ_FOREACH (agent, &member->agents, entry)
        if (agent->request == request)
            return agent;
    return NULL;
}

/* An agent for a new request; NULL when out of memory. */
static struct agent *agent_take(struct remote_member *member, const struct message *message)
{
    struct agent *agent = TAILQ_FIRST(&idle_agents);
    if (agent) {
        TAILQ_REMOVE(&idle_agents, agent, entry);
        idle_count--;
    } else if (!(agent = agent_new())) {
        return NULL;
    }
    agent->member = remote_member_get(member);
    agent->link = &member->link;
    agent->request = message->request;
    agent->pid = message->pid;
    agent->tid = message->tid;
    TAILQ_INSERT_TAIL(&member->agents, agent, entry);
    return agent;
}

/* ---- messages ---- */

static void refuse(struct remote_member *member, const struct message *message, int error)
{
    struct {
        struct message message;
        struct reply_head head;
    } reply = {{MESSAGE_REPLY, message->request, message->pid, message->tid}, {.result = error}};
    if (link_send(&member->link, &reply, sizeof(reply)) == -ENOMEM)
        link_kill(&member->link, "nothing, but there is no memory to answer it");
}

static void handle_call(struct remote_member *member, struct record *record)
{
    const struct message *message = (const struct message *)record->data;
    struct agent *agent = agent_find(member, message->request);
    if (!agent)
        agent = agent_take(member, message);
    if (!agent || agent->call) {
        refuse(member, message, agent ? -EPROTO : -ENOMEM);
        kfree(record);
        return;
    }
    agent->call = record;
    task_wake(agent->task);
}

/* What a CALL will need. If there is no memory for an agent, the CALL finds its data missing and fails. */
static void handle_data(struct remote_member *member, struct record *record)
{
    const struct message *message = (const struct message *)record->data;
    struct agent *agent = agent_find(member, message->request);
    if (!agent)
        agent = agent_take(member, message);
    if (!agent || agent->call || agent->data_bytes + record->size > 2 * CALL_DATA_MAX) {
        kfree(record);
        return;
    }
    TAILQ_INSERT_TAIL(&agent->data, record, entry);
    agent->data_count++;
    agent->data_bytes += record->size;
}

static void handle_fetched(struct remote_member *member, struct record *record)
{
    const struct message *message = (const struct message *)record->data;
    struct agent *agent = agent_find(member, message->request);
    if (agent)
        agent_fetched(agent, record);
    else
        kfree(record);
}

static void handle_cancel(struct remote_member *member, struct record *record)
{
    const struct message *message = (const struct message *)record->data;
    struct agent *agent = agent_find(member, message->request);
    if (agent)
        cancel(agent);
    kfree(record);
}

static void dispatch(struct remote_member *member, struct record *record)
{
    const struct message *message = (const struct message *)record->data;
    uint32_t type = record->size >= sizeof(*message) ? message->type : MESSAGE_NONE;
    if (on_heard)
        on_heard(member->number, type);
    switch (type) {
    case MESSAGE_CALL:
        handle_call(member, record);
        return;
    case MESSAGE_DATA:
        handle_data(member, record);
        return;
    case MESSAGE_FETCHED:
        handle_fetched(member, record);
        return;
    case MESSAGE_CANCEL:
        handle_cancel(member, record);
        return;
    default:
        if (type >= MESSAGE_HANDLED && type < MESSAGE_TYPE_MAX && handlers[type])
            handlers[type](member, record);
        else
            kfree(record);
    }
}

/* False if something had to stay in the ring for want of memory. */
static bool member_poll(struct remote_member *member)
{
    struct record *record;
    int r = 0;
    if (member->ended)
        return true;
    bool gone = link_area_member_state(member->number) == MEMBER_ENDED; /* then its last records are in the ring */
    link_poll(&member->link);
    while (!member->ended && (r = link_receive(&member->link, &record)) == 0) {
        member->proved = true;
        dispatch(member, record);
    }
    if (member->ended)
        return true;
    if (member->link.state == LINK_DEAD)
        lost(member, member->link.failure);
    else if (gone && r != -ENOMEM)
        lost(member, NULL);
    return r != -ENOMEM;
}

bool server_poll(void)
{
    struct remote_member *member, *next;
    bool again = false;
    link_cork();
    for (member = TAILQ_FIRST(&members); member; member = next) {
        remote_member_get(member); /* what comes may end it, and others */
        again |= !member_poll(member);
        next = TAILQ_NEXT(member, entry);
        remote_member_put(member);
    }
    link_uncork();
    return lender_poll() && !again;
}
