/* Members that say anything (contract in members_world.h). */
#include "members_world.h"

#include <linux/errno.h>
#include <linux/sched.h>
#include <linux/signal.h>
#include <linux/wait.h>

#include "abi/link.h"
#include "input.h"
#include "kernel/arch/hostcall.h"
#include "kernel/fs/pseudofs.h"
#include "kernel/lib/printk.h"
#include "kernel/lib/string.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/process/exec.h"
#include "kernel/process/remote_ops.h"
#include "kernel/process/table.h"
#include "kernel/remote/agent.h"
#include "kernel/remote/area.h"
#include "kernel/remote/calls.h"
#include "kernel/remote/check.h"
#include "kernel/remote/process_link.h"
#include "kernel/remote/remote.h"
#include "kernel/remote/show.h"
#include "kernel/remote/spawn.h"
#include "kernel/remote/stream.h"
#include "kernel/sched/task.h"
#include "members_kernel.h"

int64_t sys_wait4(struct trap_frame *frame);

#define MEMBERS 8U
#define LINKS 20U
#define RING 0x20000U

struct members_world_counts members_world_counts;

/* ---- the link area ---- */

static struct world_area {
    struct link_area header;
    struct member_shared members[MEMBERS + 1] __attribute__((aligned(64)));
    struct link_shared links[LINKS] __attribute__((aligned(64)));
    uint8_t rings[LINKS][2][RING] __attribute__((aligned(64)));
} area __attribute__((aligned(4096)));

/* ---- the members' own side ---- */

struct fake_member {
    struct link link, stream;
    bool asked, up, stream_open;
    int pids[4]; /* it was told to be, or has made */
    struct stream_place place;
};

static struct fake_member fakes[MEMBERS + 1];
static bool host_refuses;
static bool watching; /* what comes answers what was just said */
static int good_pid;  /* of the process in the member that keeps to the rules; 0: none yet */
static uint32_t good_member;
static int good_child; /* that it forks, which never gets to run */
static uint32_t child_member;

void hostcall_kick_member(unsigned number, uint64_t vcpu_mask)
{
}

int hostcall_spawn(enum spawn_op op, uint32_t member)
{
    if (member < 1 || member > MEMBERS)
        FAIL("a member that there is not");
    if (host_refuses)
        return -EAGAIN;
    if (op == SPAWN_START) {
        area.members[member].state = MEMBER_STARTING;
        fakes[member].asked = true;
    } else if (op == SPAWN_KILL) {
        area.members[member].state = MEMBER_ENDED;
    } else {
        memset(&area.members[member], 0, sizeof(area.members[member]));
    }
    return 0;
}

static void remember(struct fake_member *fake, int pid)
{
    memmove(fake->pids + 1, fake->pids, sizeof(fake->pids) - sizeof(fake->pids[0]));
    fake->pids[0] = pid;
}

static void member_close(struct fake_member *fake)
{
    if (fake->up)
        link_close(&fake->link);
    if (fake->stream_open)
        link_close(&fake->stream);
    memset(fake, 0, sizeof(*fake));
}

static void member_send(struct fake_member *fake, void *message, size_t size)
{
    if (fake->up)
        (void)!link_send(&fake->link, message, size);
    members_world_counts.messages++;
}

static void member_begin(uint32_t number)
{
    struct fake_member *fake = &fakes[number];
    struct message hello = {.type = MESSAGE_HELLO};
    uint8_t key[LINK_KEY_SIZE];
    if (!fake->asked || fake->up)
        return;
    remote_base_key(key);
    area.members[number].state = MEMBER_RUNNING;
    fake->up = true;
    link_open(&fake->link, number, 1, 0, key);
    member_send(fake, &hello, sizeof(hello));
}

/* It will be nobody again: whatever it said, no process is there. */
static void member_renewed(uint32_t number)
{
    struct fake_member *fake = &fakes[number];
    const struct process *process;
    TAILQ_FOREACH (process, &process_list, table_link)
        if (watching && process->remote && remote_member_number(process->remote->member) == number && !process->ended)
            FAIL("an enclave is renewed while a process is there");
    if (fake->stream_open)
        link_close(&fake->stream);
    fake->stream_open = false;
    memset(&fake->place, 0, sizeof(fake->place));
    members_world_counts.renewed++;
}

/* What the init enclave says must be well formed: members trust it further than it trusts them. */
static void member_receive(uint32_t number)
{
    struct fake_member *fake = &fakes[number];
    struct record *record;
    if (!fake->up)
        return;
    link_poll(&fake->link);
    while (link_receive(&fake->link, &record) == 0) {
        const struct message *m = (const struct message *)record->data;
        const struct adopt_message *adopt = (const struct adopt_message *)m;
        if (m->type == MESSAGE_ADOPT) {
            if (fake->place.number)
                FAIL("two processes for one enclave");
            if (record->size != sizeof(*adopt) || !adopt_message_ok(adopt))
                FAIL("what is to be adopted");
            members_world_counts.adopted++;
            remember(fake, m->pid);
            fake->place = adopt->stream;
        } else if (m->type == MESSAGE_NEW_CHILD || m->type == MESSAGE_FORK) {
            const struct fork_answer *answer = (const struct fork_answer *)m;
            if (record->size == sizeof(*answer) && answer->result > 0)
                remember(fake, answer->result);
            members_world_counts.refused += record->size != sizeof(*answer) || answer->result < 0;
        } else if (m->type == MESSAGE_RENEW) {
            if (record->size != sizeof(struct number_message))
                FAIL("an answer to RENEW");
            if (((const struct number_message *)m)->number)
                member_renewed(number);
        } else if (m->type == MESSAGE_SIGNAL && !signal_source_ok(&((const struct signal_message *)m)->source)) {
            FAIL("a signal");
        }
        members_world_counts.cut += m->type == MESSAGE_CUT;
        kfree(record);
    }
}

static void poll_all(void)
{
    server_poll();
    stream_poll();
    spawn_poll();
    kernel_run();
}

/* ---- what happens ---- */

static struct process *first(void)
{
    return process_first();
}

static void fork_from_init(void *arg)
{
    static const struct signal_action actions[64];
    struct process *child;
    struct stream_place place;
    (void)arg;
    int r = remote_fork(first(), 1, 0, CLONE_PIDFD, SIGCHLD, actions, &child, &place);
    if (r < 0) {
        members_world_counts.refused++;
        return;
    }
    struct link_stream *s = link_stream_open(&place, 0);
    ASSERT(s);
    uint8_t image[6000] = {0};
    r = stream_write(link_stream_bytes(s), image, sizeof(image));
    if (r == 0)
        r = link_stream_flush(s);
    link_stream_close(s);
    if (r < 0 && child->remote && !child->ended)
        spawn_kill(child->remote->member);
    process_put(child);
}

/* As process_exec_elsewhere(): a vfork child of the init enclave goes to a member. */
static void exec_from_init(void *arg)
{
    struct process *child;
    struct stream_place place;
    if (process_new_child(first(), 1, 0, SIGCHLD, 0, &child) < 0)
        return;
    task_current()->tid = child->pid;
    thread_add(child, task_current());
    int r = remote_exec_away(child, 0, &place);
    if (r < 0)
        thread_exit(1);
    struct link_stream *s = link_stream_open(&place, 0);
    r = s ? link_stream_flush(s) : -ENOMEM;
    link_stream_close(s);
    if (r < 0)
        spawn_kill(child->remote->member);
    remote_start_wait(child);
    thread_left();
}

static void member_reads_stream(struct fake_member *fake)
{
    struct record *record;
    if (!fake->place.number)
        return;
    if (!fake->stream_open) {
        link_open(&fake->stream, fake->place.number, 1, fake->place.peer, fake->place.key);
        fake->stream_open = true;
    }
    link_poll(&fake->stream);
    while (link_receive(&fake->stream, &record) == 0)
        kfree(record);
}

/* Any process there is, or one that this member was told of, or none. */
static int some_pid(struct input *in, const struct fake_member *fake)
{
    uint64_t n = input_number(in, 1);
    if (n < 160)
        return fake->pids[n % ARRAY_COUNT(fake->pids)] ? fake->pids[n % ARRAY_COUNT(fake->pids)] : fake->pids[0];
    if (n < 240) {
        struct process *process = first();
        for (n %= 16; n > 0 && process; n--)
            process = process_next(process->pid);
        return process ? process->pid : 0;
    }
    return (int)input_number(in, 4);
}

/* Sizes are right now and then; what is in it is partly sense. */
static void say_anything(struct input *in, struct fake_member *fake)
{
    static union {
        struct message message;
        struct number_message number;
        struct exited_message exited;
        struct fork_message fork;
        struct handle_message handle;
        struct exec_open_message open;
        struct execed_message execed;
        struct signal_taken_message taken;
        struct {
            struct message message;
            struct call_head head;
        } call;
        uint8_t bytes[10000];
    } m;
    static const uint16_t sizes[MESSAGE_TYPE_MAX] = {
        [MESSAGE_CALL] = sizeof(m.call),          [MESSAGE_EXITED] = sizeof(m.exited),
        [MESSAGE_FORK] = sizeof(m.fork),          [MESSAGE_NEW_CHILD] = sizeof(m.fork),
        [MESSAGE_HANDLE_PUT] = sizeof(m.handle),  [MESSAGE_HANDLE_READ] = sizeof(m.handle),
        [MESSAGE_EXEC_OPEN] = sizeof(m.open),     [MESSAGE_EXECED] = sizeof(m.execed) + 8,
        [MESSAGE_SIGNAL_TAKEN] = sizeof(m.taken), [MESSAGE_HANDLE_SYNC] = sizeof(m.handle),
    };
    uint32_t type = (uint32_t)input_number(in, 1) % 35;
    memset(&m, (int)input_number(in, 1), sizeof(m));
    m.message = (struct message){.type = type <= MESSAGE_CANCEL ? type : MESSAGE_HELLO + type - MESSAGE_CANCEL - 1};
    if (type == 31)
        m.message.type = MESSAGE_IMAGE_KEY;
    if (type > 31)
        m.message.type = type == 34 ? MESSAGE_HANDLE_SYNC : MESSAGE_RENEW;
    m.message.request = (uint32_t)input_number(in, 1) % 4;
    m.message.pid = some_pid(in, fake);
    m.message.tid = some_pid(in, fake);
    for (uint64_t n = input_number(in, 1) % 8; n > 0; n--) {
        size_t at = sizeof(m.message) + input_number(in, 1) * 4;
        uint32_t value = (uint32_t)input_number(in, 1);
        memcpy(m.bytes + at, &value, sizeof(value));
    }
    size_t size = sizes[m.message.type] ? sizes[m.message.type] : sizeof(m.number);
    switch (m.message.type) {
    case MESSAGE_FORK:
    case MESSAGE_NEW_CHILD:
        m.fork.exit_signal = (int)input_number(in, 1) % 70;
        m.fork.flags = input_number(in, 1) % 4 ? 0 : input_number(in, 4);
        break;
    case MESSAGE_STOPPED:
        m.number.number = input_number(in, 1) % 4 ? SIGSTOP : (int64_t)input_number(in, 1);
        break;
    case MESSAGE_DROP_CHILD:
    case MESSAGE_ABANDON:
    case MESSAGE_SENT:
    case MESSAGE_START_WAIT:
        m.number.number = some_pid(in, fake);
        break;
    case MESSAGE_EXITED:
        m.exited.wait_status = (int64_t)input_number(in, 2);
        break;
    case MESSAGE_EXEC_OPEN:
        m.open.dfd = (int)input_number(in, 1);
        m.open.lookup_flags = (uint32_t)input_number(in, 1) & 7;
        m.open.path[0] = '/';
        m.open.path[1] = input_number(in, 1) % 2 ? '#' : 'a';
        if (input_number(in, 1) % 4)
            m.open.path[input_number(in, 1)] = '\0';
        if (input_number(in, 1) % 4)
            m.open.name[input_number(in, 1)] = '\0';
        break;
    case MESSAGE_HANDLE_GET:
        m.number.number = (int64_t)input_number(in, 1) % 5;
        break;
    case MESSAGE_TID_PUT:
        m.number.number = good_pid + (int64_t)input_number(in, 1) % 64;
        break;
    case MESSAGE_EXECED:
        if (input_number(in, 1) % 2)
            m.execed.comm[3] = '\0';
        m.execed.program = input_number(in, 1) % 4;
        m.execed.size = (uint32_t)input_number(in, 1);
        break;
    case MESSAGE_CALL:
        m.call.head = (struct call_head){.nr = input_number(in, 1), .args = {input_number(in, 1), input_number(in, 2)}};
        break;
    case MESSAGE_HANDLE_READ:
    case MESSAGE_HANDLE_SYNC:
    case MESSAGE_HANDLE_PUT:
        m.handle.handle = input_number(in, 1) % 4;
        m.handle.count = (uint32_t)input_number(in, 1);
        m.handle.index = input_number(in, 1) << (input_number(in, 1) % 64);
        break;
    default:
        break;
    }
    if (input_number(in, 1) % 8 == 7)
        size = 1 + input_number(in, 2) % (input_number(in, 1) % 2 ? sizeof(m) : 64);
    member_send(fake, &m, size);
}

/* All its processes end, and it becomes nobody again, if it may. */
static void says_it_ended(struct input *in, uint32_t number_of_it)
{
    struct fake_member *fake = &fakes[number_of_it];
    struct message renew = {.type = MESSAGE_RENEW, .request = 5}, hello = {.type = MESSAGE_HELLO};
    uint64_t how = input_number(in, 1);
    for (size_t i = 0; i < ARRAY_COUNT(fake->pids); i++) {
        struct exited_message exited = {.message = {MESSAGE_EXITED, 0, fake->pids[i], fake->pids[i]}};
        if (fake->pids[i] && how % 8)
            member_send(fake, &exited, sizeof(exited));
    }
    poll_all();
    member_receive(number_of_it);
    member_send(fake, &renew, sizeof(renew));
    if (how & 32)
        member_send(fake, &renew, sizeof(renew));
    poll_all();
    watching = true;
    if (how & 64)
        member_receive(number_of_it);
    watching = false;
    member_send(fake, &hello, sizeof(hello));
    if (how & 128)
        member_send(fake, &hello, sizeof(hello));
}

static void lie_in_area(struct input *in, uint32_t member)
{
    struct member_shared *shared = &area.members[member];
    uint64_t what = input_number(in, 1), where = input_number(in, 2);
    uint8_t value = (uint8_t)input_number(in, 1);
    switch (what % 6) {
    case 0:
        shared->state = value % 5;
        break;
    case 1:
        shared->attention = value;
        shared->polling = value >> 1;
        shared->parked[where % MEMBER_VCPU_MAX] = value;
        shared->host_tid[where % MEMBER_VCPU_MAX] = value;
        break;
    case 2:
        ((uint8_t *)&area.links[member])[where % sizeof(area.links[0])] = value;
        break;
    case 3:
        area.rings[member][what & 8 ? 1 : 0][where % 2048] ^= value;
        break;
    case 4: /* a stream's */
        if (fakes[member].place.number)
            ((uint8_t *)&area.links[fakes[member].place.number])[where % sizeof(area.links[0])] = value;
        break;
    default: /* another member's words */
        if (1 + where % MEMBERS != good_member && 1 + where % MEMBERS != child_member)
            area.links[member] = area.links[1 + where % MEMBERS];
    }
}

static void member_ends(uint32_t member)
{
    if (fakes[member].asked)
        area.members[member].state = MEMBER_ENDED;
}

/* Whatever members say, a parent sees what Linux could show. */
static void wait_for_children(void *arg)
{
    int status = 0;
    const uint64_t options = WNOHANG | WUNTRACED | WCONTINUED | 0x40000000 /* __WALL */;
    struct trap_frame frame = {.rdi = (uint64_t)-1, .rsi = (uint64_t)&status, .rdx = options};
    (void)arg;
    while (sys_wait4(&frame) > 0) {
        bool stopped = (status & 0xff) == 0x7f && stop_signal_ok(status >> 8);
        if (!stopped && status != 0xffff /* continued */ && !wait_status_ok(status))
            FAIL("a wait status that there is not");
        members_world_counts.reaped += !stopped && status != 0xffff;
        frame = (struct trap_frame){.rdi = (uint64_t)-1, .rsi = (uint64_t)&status, .rdx = options};
    }
}

/* Text of /proc/PID/maps of whoever is there, which its member tells. */
static void show_some(void *arg)
{
    struct process *process = first();
    struct seq seq = {0};
    for (size_t n = (size_t)arg % 8; n > 0 && process; n--)
        process = process_next(process->pid);
    if (process && process->remote && !process->ended)
        (void)!remote_show(process, 0, "maps", &seq);
}

static void step(struct input *in)
{
    uint32_t op = (uint32_t)input_number(in, 1), member = 1 + op / 16 % MEMBERS;
    struct fake_member *fake = &fakes[member];
    bool good = member == good_member || member == child_member;
    struct signal_source source = {.signal = 1 + (int)(op / 16), .code = SI_USER};
    switch (op % 16) {
    case 0:
        kernel_task(fork_from_init, NULL);
        break;
    case 1:
        kernel_task(exec_from_init, NULL);
        break;
    case 2:
        member_begin(member);
        break;
    case 3:
        for (uint32_t n = 1; n <= MEMBERS; n++) {
            member_begin(n);
            poll_all();
            member_receive(n);
        }
        break;
    case 4:
        member_receive(member);
        break;
    case 5:
        if (!good && input_number(in, 1) % 8 == 0)
            lie_in_area(in, member);
        break;
    case 6:
        if (!good && input_number(in, 1) % 8 == 0)
            member_ends(member);
        break;
    case 7: {
        int pid = some_pid(in, fake);
        struct process *process = process_find(pid);
        if (process && process != first())
            signal_send_process(process, &source);
        break;
    }
    case 8:
        kernel_task(wait_for_children, NULL);
        break;
    case 9:
        kernel_task(show_some, (void *)(uintptr_t)(op / 16));
        host_refuses = !host_refuses && op / 16 % 4 == 0;
        break;
    case 10:
        member_reads_stream(fake);
        member_receive(member);
        break;
    case 11:
        if (!good)
            says_it_ended(in, member);
        break;
    default:
        if (!good)
            say_anything(in, fake);
    }
    poll_all();
    for (uint32_t n = 1; n <= MEMBERS; n++) /* its last life is over, here as at the host */
        if (area.members[n].state == MEMBER_FREE && fakes[n].asked && !remote_member_find(n))
            member_close(&fakes[n]);
}

/* ---- the one that keeps to the rules ---- */

static void good_begins(void)
{
    kernel_task(fork_from_init, NULL);
    poll_all();
    for (uint32_t n = 1; n <= MEMBERS && !good_pid; n++) {
        member_begin(n);
        poll_all();
        member_receive(n);
        if (!fakes[n].pids[0])
            continue;
        good_member = n;
        good_pid = fakes[n].pids[0];
        member_reads_stream(&fakes[n]);
        poll_all();
        member_reads_stream(&fakes[n]);
        struct message started = {MESSAGE_STARTED, 0, good_pid, good_pid};
        struct number_message get = {{MESSAGE_HANDLE_GET, 1, good_pid, good_pid}, 2};
        member_send(&fakes[n], &started, sizeof(started));
        member_send(&fakes[n], &get, sizeof(get));
        poll_all();
    }
    if (!good_pid)
        FAIL("nobody could be started");
}

/* Forks: the child is there, its image is not. */
static void good_forks(void)
{
    struct message tids = {MESSAGE_TIDS_GET, 2, good_pid, good_pid};
    struct fork_message fork = {.message = {MESSAGE_FORK, 3, good_pid, good_pid}, .exit_signal = SIGCHLD};
    member_send(&fakes[good_member], &tids, sizeof(tids));
    member_send(&fakes[good_member], &fork, sizeof(fork));
    poll_all();
    for (uint32_t n = 1; n <= MEMBERS && !good_child; n++) {
        member_begin(n);
        poll_all();
        member_receive(n);
        if (n == good_member || !fakes[n].pids[0])
            continue;
        child_member = n;
        good_child = fakes[n].pids[0];
    }
    member_receive(good_member);
    if (!good_child || fakes[good_member].pids[0] != good_child)
        FAIL("nobody could be forked");
}

static void good_is_unharmed(void)
{
    const struct process *process = process_find(good_pid), *child = process_find(good_child);
    if (!child || child->ended || child->parent != process || !child->remote->stream || child->remote->waiter ||
        remote_member_number(child->remote->member) != child_member)
        FAIL("the child of a process that nobody may harm");
    if (!process || process->ended || process->stopped || process->parent != first() || !process->remote ||
        process->remote->stream || remote_member_number(process->remote->member) != good_member ||
        !handle_file(&process->remote->handles, 1) || process->command_line || !process->files ||
        process->reserved_tids != TIDS_BLOCK || fakes[good_member].link.state != LINK_OPEN)
        FAIL("a process that nobody may harm");
}

/* ---- a world ---- */

static void begin(void)
{
    memset(&area, 0, offsetof(struct world_area, rings));
    area.header = (struct link_area){.magic = LINK_MAGIC,
                                     .member_max = MEMBERS,
                                     .link_count = LINKS,
                                     .ring_size = RING,
                                     .members_offset = offsetof(struct world_area, members),
                                     .links_offset = offsetof(struct world_area, links),
                                     .rings_offset = offsetof(struct world_area, rings)};
    if (link_area_init((host_ptr){(uint64_t)&area}, sizeof(area), 0))
        FAIL("the link area");
    static bool done;
    if (!done)
        process_link_init();
    done = true;
    kernel_begin();
    host_refuses = false;
    good_pid = good_child = 0;
    good_member = child_member = 0;
}

/* The host ends everybody. Then all processes are gone, nobody sleeps, nothing is left. */
static void end(void)
{
    host_refuses = false;
    for (unsigned i = 0; i < 8; i++) {
        for (uint32_t n = 1; n <= MEMBERS; n++)
            member_ends(n);
        kernel_task(wait_for_children, NULL);
        poll_all();
    }
    for (uint32_t n = 1; n <= MEMBERS; n++) {
        member_close(&fakes[n]);
        if (remote_member_find(n))
            FAIL("an enclave is left");
    }
    if (process_count() != 1)
        FAIL("a process is left");
    kernel_check_clean(1 /* the numbers of streams */);
}

void members_world_run(const uint8_t *data, size_t size)
{
    struct input in = {data, size};
    begin();
    good_begins();
    good_forks();
    kernel_silent_pids[0] = good_pid;
    kernel_silent_pids[1] = good_child;
    while (in.left > 0)
        step(&in);
    good_is_unharmed();
    end();
}
