/*
 * The process table where tasks are in other enclaves: signals forwarded, agents, ends reported from outside. (What
 * runs in one enclave is compared with Linux by tests/conformance/process_*.c.) The world around it is small: one task
 * at a time is current, and sleeping runs a function.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <linux/errno.h>
#include <linux/sched.h>
#include <linux/signal.h>
#include <linux/wait.h>

#include "hosted_libc.h"
#include "kernel/arch/hostcall.h"
#include "kernel/boot/boot.h"
#include "kernel/fs/vfs.h"
#include "kernel/lib/printk.h"
#include "kernel/lib/string.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/mm/mm.h"
#include "kernel/mm/shared.h"
#include "kernel/mm/uaccess.h"
#include "kernel/process/remote_ops.h"
#include "kernel/process/siginfo.h"
#include "kernel/process/table.h"
#include "kernel/sched/time.h"

/* ---- the world ---- */

int64_t sys_wait4(struct trap_frame *frame);
int64_t sys_kill(struct trap_frame *frame);
int64_t sys_tgkill(struct trap_frame *frame);

struct fd_table {
    unsigned refcount;
};

static struct task main_task, *current = &main_task;
static struct policy the_policy = {.process_max = 8};
static struct mm the_mm;
static size_t allocations, tables;
static void (*on_sleep)(void);

const struct remote_ops *remote_ops;
const struct member_ops *member_ops;

struct task *task_current(void)
{
    return current;
}

void *kmalloc(size_t size)
{
    allocations++;
    return hosted_malloc(size);
}

void *kzalloc(size_t size)
{
    return memset(kmalloc(size), 0, size);
}

void kfree(void *p)
{
    allocations -= p != NULL;
    hosted_free(p);
}

char *kstrdup(const char *s)
{
    return memcpy(kmalloc(strlen(s) + 1), s, strlen(s) + 1);
}

struct fd_table *fd_table_copy(struct fd_table *table)
{
    struct fd_table *copy = kzalloc(sizeof *copy);
    copy->refcount = 1;
    tables++;
    return copy;
}

struct fd_table *fd_table_get(struct fd_table *table)
{
    table->refcount++;
    return table;
}

void fd_table_put(struct fd_table *table)
{
    if (!table || --table->refcount)
        return;
    tables--;
    kfree(table);
}

struct file *file_get(struct file *file)
{
    return file;
}

void file_put(struct file *file)
{
}

void shared_give_all(uaddr_t start, uaddr_t end)
{
}

const struct policy *policy(void)
{
    return &the_policy;
}

struct mm *mm_self(void)
{
    return &the_mm;
}

uint64_t time_monotonic_ns(void)
{
    return 1;
}

int copy_to_user(uaddr_t to, const void *from, size_t size)
{
    memcpy((void *)to, from, size);
    return 0;
}

int copy_from_user(void *to, uaddr_t from, size_t size)
{
    memcpy(to, (const void *)from, size);
    return 0;
}

int put_user32(uaddr_t to, uint32_t value)
{
    return copy_to_user(to, &value, sizeof value);
}

int get_user32(uint32_t *ret_value, uaddr_t from)
{
    return copy_from_user(ret_value, from, sizeof *ret_value);
}

void task_prepare_sleep(bool interruptible)
{
}

void task_cancel_sleep(void)
{
}

int task_sleep(uint64_t deadline_ns)
{
    if (signal_pending(current))
        return -EINTR;
    assert_non_null(on_sleep);
    void (*now)(void) = on_sleep;
    on_sleep = NULL;
    now();
    return signal_pending(current) ? -EINTR : 0;
}

void task_wake(struct task *task)
{
}

void task_notify(struct task *task)
{
}

noreturn_fn void task_exit(void)
{
    hosted_abort("the end");
    __builtin_unreachable();
}

bool volumes_unmount(void)
{
    return true;
}

noreturn_fn void hostcall_exit(int status)
{
    hosted_abort("the end");
    __builtin_unreachable();
}

noreturn_fn void panic_at(const char *file, int line, const char *format, ...)
{
    print_error("%s:%d: %s\n", file, line, format);
    hosted_abort("the end");
    __builtin_unreachable();
}

/* ---- another enclave ---- */

static struct {
    struct process *process;
    int tid, signal, code, count, released;
    bool thread_gone;
} sent;

static int remote_signal(struct process *process, int tid, const struct signal_source *source)
{
    sent.process = process;
    sent.tid = tid;
    sent.signal = source->signal;
    sent.code = source->code;
    sent.count++;
    return sent.thread_gone ? -ESRCH : 0;
}

static void remote_usage(const struct process *process, struct process_usage *ret)
{
    *ret = (struct process_usage){5, 6, 7};
}

static void remote_release(struct process *process)
{
    sent.released++;
}

static const struct remote_ops fake_ops = {.signal = remote_signal, .usage = remote_usage, .release = remote_release};

static struct process *init;
static struct task init_thread, agents[3];
static struct agent *const some_agent = (struct agent *)&agents;

static int setup(void **state)
{
    static bool done;
    memset(&sent, 0, sizeof sent);
    current = &main_task;
    remote_ops = &fake_ops;
    init = process_first();
    if (!done) {
        static struct fd_table table = {1};
        process_struct_init(init);
        process_table_add(init, tid_alloc());
        init->pgid = init->sid = init->pid;
        init->files = &table;
        init->unkillable = true;
        init_thread.tid = 1;
        pending_signals_init(&init_thread.signals.pending);
        thread_add(init, &init_thread);
        for (int i = 0; i < RLIM_NLIMITS; i++)
            init->limits[i] = (struct rlimit64){100, 100};
        done = true;
    }
    memset(init->actions, 0, sizeof init->actions);
    memset(&init->children_usage, 0, sizeof init->children_usage);
    assert_int_equal(process_count(), 1);
    assert_int_equal(allocations, 0);
    return 0;
}

static struct process *remote_child(struct process *parent)
{
    struct process *child = NULL;
    assert_int_equal(process_new_child(parent, parent->pid, 0, SIGCHLD, 0, &child), 0);
    child->remote = (struct remote_process *)&sent;
    return child;
}

static int64_t call(int64_t (*fn)(struct trap_frame *), int64_t a, int64_t b, int64_t c)
{
    struct trap_frame frame = {.rdi = (uint64_t)a, .rsi = (uint64_t)b, .rdx = (uint64_t)c};
    return fn(&frame);
}

static void ends(struct process *process, int status)
{
    process_exited(process, status, &(struct process_usage){10, 20, 30});
}

/* ---- tests ---- */

static void signals_go_to_where_the_tasks_are(void **state)
{
    current = &init_thread;
    struct process *child = remote_child(init);
    assert_int_equal(call(sys_kill, child->pid, SIGTERM, 0), 0);
    assert_ptr_equal(sent.process, child);
    assert_int_equal(sent.tid, 0);
    assert_int_equal(sent.signal, SIGTERM);
    assert_int_equal(call(sys_kill, child->pid, 0, 0), 0);
    assert_int_equal(sent.count, 1);

    int tid = tid_reserve(child);
    assert_int_equal(call(sys_tgkill, child->pid, tid, SIGUSR1), 0);
    assert_int_equal(sent.tid, tid);
    assert_int_equal(call(sys_tgkill, init->pid, tid, SIGUSR1), -ESRCH);
    sent.thread_gone = true;
    assert_int_equal(call(sys_tgkill, child->pid, tid, SIGUSR1), -ESRCH);
    tid_release(init, tid); /* not its own */
    assert_ptr_equal(process_of(tid), child);
    tid_release(child, child->pid); /* not a thread's */
    tid_release(child, tid);
    assert_null(process_of(tid));

    process_kill(child, 0);
    assert_int_equal(sent.signal, SIGKILL);
    ends(child, SIGKILL);
    assert_int_equal(call(sys_kill, child->pid, SIGTERM, 0), 0); /* a zombie takes anything */
    int count = sent.count;
    process_reap(child);
    assert_int_equal(sent.count, count);
    assert_int_equal(sent.released, 1);
}

static struct process *waited;

static void child_ends(void)
{
    ends(waited, 3 << 8);
}

static void waiting_for_a_process_elsewhere(void **state)
{
    int status = 0;
    current = &init_thread;
    waited = remote_child(init);
    int pid = waited->pid, tid = tid_reserve(waited);
    on_sleep = child_ends;
    assert_int_equal(call(sys_wait4, -1, (int64_t)&status, 0), pid);
    assert_int_equal(status, 3 << 8);
    assert_int_equal(init->children_usage.user_ns, 10);
    assert_int_equal(init->children_usage.resident_max, 30);
    assert_null(process_of(tid)); /* went with it */
    assert_int_equal(call(sys_wait4, -1, 0, 0), -ECHILD);
    assert_int_equal(sent.released, 1);
}

static void stops_are_reported(void **state)
{
    int status = 0;
    current = &init_thread;
    struct process *child = remote_child(init);
    int pid = child->pid;
    process_stopped(child, SIGTSTP);
    assert_int_equal(call(sys_wait4, pid, (int64_t)&status, WUNTRACED | WNOHANG), pid);
    assert_int_equal(status, SIGTSTP << 8 | 0x7f);
    process_continued(child);
    assert_int_equal(call(sys_wait4, pid, (int64_t)&status, WUNTRACED | WNOHANG), 0);
    assert_int_equal(call(sys_wait4, pid, (int64_t)&status, WCONTINUED | WNOHANG), pid);
    assert_int_equal(status, 0xffff);
    init->actions[SIGCHLD - 1].handler = (uint64_t)SIG_IGN;
    ends(child, 0);
    assert_null(process_find(pid));
}

static void become_agent(struct task *task, struct process *process, int tid)
{
    current = task;
    assert_true(agent_enter(process, tid, SIGNAL_BIT(SIGUSR1), some_agent));
}

static void agents_act_for_a_process(void **state)
{
    struct process *child = remote_child(init), *grandchild = remote_child(child);
    become_agent(&agents[0], child, child->pid);
    assert_ptr_equal(process_self(), child);
    assert_int_equal(task_current()->tid, child->pid);
    assert_int_equal(child->thread_count, 0);
    /* Its own thread is signalled where it is. */
    assert_int_equal(signal_send_task(current, &(struct signal_source){.signal = SIGPIPE}), 0);
    assert_ptr_equal(sent.process, child);
    assert_int_equal(sent.tid, child->pid);
    /* It waits as the process would. */
    waited = grandchild;
    on_sleep = child_ends;
    assert_int_equal(call(sys_wait4, grandchild->pid, 0, 0), waited->pid);
    assert_false(signal_pending(current));
    agent_leave();
    assert_ptr_equal(process_self(), init);
    ends(child, 0);
    process_reap(child);
}

static void cancel_the_current(void)
{
    agent_cancel(current);
}

static void cancelled_agents_wake(void **state)
{
    struct process *child = remote_child(init), *grandchild = remote_child(child);
    become_agent(&agents[0], child, child->pid);
    on_sleep = cancel_the_current;
    assert_int_equal(call(sys_wait4, -1, 0, 0), -512 /* ERESTARTSYS */);
    agent_leave();
    become_agent(&agents[0], child, child->pid);
    assert_false(signal_pending(current));
    agent_leave();
    ends(grandchild, 0);
    process_reap(grandchild);
    ends(child, 0);
    process_reap(child);
}

static void an_end_waits_for_agents(void **state)
{
    struct process *child = remote_child(init);
    assert_int_equal(tables, 1);
    become_agent(&agents[0], child, child->pid);
    become_agent(&agents[1], child, child->pid);
    current = &main_task;
    ends(child, 9);
    assert_true(agents[0].agent_cancelled && agents[1].agent_cancelled);
    assert_false(child->zombie);
    assert_int_equal(tables, 1);
    current = &agents[2];
    assert_false(agent_enter(child, child->pid, 0, some_agent));
    current = &agents[0];
    agent_leave();
    assert_false(child->zombie);
    current = &agents[1];
    agent_leave();
    assert_true(child->zombie);
    assert_int_equal(tables, 0);
    process_reap(child);
}

static void orphans_find_a_parent(void **state)
{
    struct process *a = remote_child(init), *b = remote_child(a), *c = remote_child(b), *d = remote_child(c);
    a->child_subreaper = true;
    d->pdeath_signal = SIGUSR2;
    ends(c, 0);
    assert_ptr_equal(d->parent, a);
    assert_int_equal(d->ppid, a->pid);
    assert_int_equal(sent.signal, SIGCHLD); /* to b, after d heard of it */
    assert_int_equal(sent.count, 2);
    ends(b, 0); /* c's zombie goes on to a */
    assert_ptr_equal(c->parent, a);
    ends(a, 0);
    assert_ptr_equal(d->parent, init);
    assert_ptr_equal(b->parent, init);
    ends(d, 0);
    while (!TAILQ_EMPTY(&init->children))
        process_reap(TAILQ_FIRST(&init->children));
}

static void limits_hold(void **state)
{
    struct process *child;
    for (size_t i = process_count(); i < the_policy.process_max; i++)
        remote_child(init);
    assert_int_equal(process_new_child(init, 1, 0, SIGCHLD, 0, &child), -EAGAIN);
    while ((child = TAILQ_FIRST(&init->children)) != NULL)
        process_discard(child);
    init->credentials.uid = 1000;
    init->limits[RLIMIT_NPROC].rlim_cur = 2;
    struct process *first = remote_child(init);
    assert_int_equal(process_new_child(init, 1, 0, SIGCHLD, 0, &child), -EAGAIN);
    init->credentials.cap_effective = 1ULL << 24; /* CAP_SYS_RESOURCE */
    process_discard(remote_child(init));
    process_discard(first);
    init->credentials = (struct credentials){0};
    assert_int_equal(process_new_child(init, 1, CLONE_PARENT, SIGCHLD, 0, &child), -EINVAL);
}

static void ids_are_not_used_twice(void **state)
{
    struct process *child = remote_child(init);
    int group = child->pid;
    struct process *other = remote_child(init);
    child->pgid = other->pgid = group;
    ends(child, 0);
    process_reap(child);
    /* All the way round: whatever has an id, or names a group by it, keeps it. */
    int seen = 0, next;
    do {
        next = tid_alloc();
        assert_int_not_equal(next, group);
        assert_int_not_equal(next, other->pid);
        assert_int_not_equal(next, 1);
    } while (next > seen && (seen = next));
    process_discard(other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(signals_go_to_where_the_tasks_are, setup),
        cmocka_unit_test_setup(waiting_for_a_process_elsewhere, setup),
        cmocka_unit_test_setup(stops_are_reported, setup),
        cmocka_unit_test_setup(agents_act_for_a_process, setup),
        cmocka_unit_test_setup(cancelled_agents_wake, setup),
        cmocka_unit_test_setup(an_end_waits_for_agents, setup),
        cmocka_unit_test_setup(orphans_find_a_parent, setup),
        cmocka_unit_test_setup(limits_hold, setup),
        cmocka_unit_test_setup(ids_are_not_used_twice, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
