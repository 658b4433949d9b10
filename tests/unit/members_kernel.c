/* The rest of the kernel (contract in members_kernel.h). */
#include "members_kernel.h"

#include <asm/unistd_64.h>
#include <linux/errno.h>
#include <linux/sched.h>
#include <linux/signal.h>

#include "coroutines.h"
#include "hosted_heap.h"
#include "kernel/arch/hostcall.h"
#include "kernel/boot/boot.h"
#include "kernel/boot/image_key.h"
#include "kernel/fs/pidfd.h"
#include "kernel/fs/pseudofs.h"
#include "kernel/fs/tmpfs.h"
#include "kernel/fs/vfs.h"
#include "kernel/ipc/ipc.h"
#include "kernel/lib/printk.h"
#include "kernel/lib/random.h"
#include "kernel/lib/string.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/mm/mm.h"
#include "kernel/mm/shared.h"
#include "kernel/mm/uaccess.h"
#include "kernel/process/credentials.h"
#include "kernel/process/exec.h"
#include "kernel/process/remote_ops.h"
#include "kernel/process/siginfo.h"
#include "kernel/process/signal.h"
#include "kernel/process/table.h"
#include "kernel/remote/agent.h"
#include "kernel/remote/calls.h"
#include "kernel/remote/exec_message.h"
#include "kernel/remote/remote.h"
#include "kernel/remote/shared_home.h"
#include "kernel/sched/lock.h"
#include "kernel/sched/sched.h"
#include "kernel/sched/task.h"
#include "kernel/sched/time.h"
#include "kernel/syscalls/table.h"

const uint8_t *image_key_released(void)
{
    static const uint8_t key[IMAGE_KEY_SIZE] = "a key";
    return key;
}

/* ---- ends, chance, time ---- */

size_t string_copy(char *dst, const char *src, size_t size)
{
    size_t length = strlen(src), n = MIN(length, size - 1);
    memcpy(dst, src, n);
    dst[n] = '\0';
    return length;
}

void printk(enum log_level level, const char *format, ...)
{
}

noreturn_fn void panic_at(const char *file, int line, const char *format, ...)
{
    hosted_abort(file);
    hosted_abort(format);
    __builtin_unreachable();
}

void host_lied(const char *what)
{
    hosted_abort(what);
    __builtin_unreachable();
}

void random_bytes(void *buf, size_t size)
{
    static uint8_t n;
    memset(buf, ++n, size);
}

uint64_t time_monotonic_ns(void)
{
    static uint64_t now;
    return now += 1000;
}

void kernel_lock(void)
{
}

void kernel_unlock(void)
{
}

bool kernel_lock_held(void)
{
    return true;
}

void remote_base_key(uint8_t ret_key[LINK_KEY_SIZE])
{
    memset(ret_key, 0x5a, LINK_KEY_SIZE);
}

/* The driver polls, between tasks. */
void remote_poll(void)
{
}

bool remote_look_out(bool (*there)(const void *arg), const void *arg)
{
    return there(arg);
}

/* Nobody lingers. */
bool remote_linger_begin(struct linger *linger)
{
    return false;
}

void remote_linger_end(void)
{
}

bool sched_linger(struct linger *linger, bool awake)
{
    return false;
}

/* ---- tasks ---- */

struct world_task {
    struct task task;
    TAILQ_ENTRY(world_task) entry;
    struct coroutine *coroutine;
    void (*fn)(void *arg);
    void *arg;
    bool agent, dead;
};

static TAILQ_HEAD(, world_task) tasks = TAILQ_HEAD_INITIALIZER(tasks);
static struct task main_task, *current = &main_task;

struct task *task_current(void)
{
    return current;
}

void task_prepare_sleep(bool interruptible)
{
    current->interruptible = interruptible;
    current->killable = false;
    current->woken = false;
    current->state = TASK_SLEEPING;
}

void task_prepare_sleep_killable(void)
{
    task_prepare_sleep(true);
    current->killable = true;
}

void task_cancel_sleep(void)
{
    current->state = TASK_RUNNING;
}

static bool interrupted(const struct task *task)
{
    return task->interruptible && (task->killable ? signal_fatal_pending(task) : signal_pending(task));
}

int task_sleep(uint64_t deadline_ns)
{
    struct task *task = current;
    if (task == &main_task)
        FAIL("the test itself sleeps");
    while (!task->woken && !interrupted(task))
        coroutine_leave();
    task->state = TASK_RUNNING;
    return task->woken ? 0 : -EINTR;
}

void task_wake(struct task *task)
{
    task->woken = true;
}

void task_notify(struct task *task)
{
}

void task_yield(void)
{
    coroutine_leave();
}

noreturn_fn void task_exit(void)
{
    container_of(current, struct world_task, task)->dead = true;
    coroutine_leave();
    __builtin_unreachable();
}

static void task_main(void *arg)
{
    struct world_task *t = arg;
    t->fn(t->arg);
    t->dead = true;
}

static struct world_task *task_make(void (*fn)(void *), void *arg)
{
    struct world_task *t = hosted_malloc(sizeof(*t));
    memset(t, 0, sizeof(*t));
    t->fn = fn;
    t->arg = arg;
    pending_signals_init(&t->task.signals.pending);
    t->coroutine = coroutine_new(task_main, t);
    TAILQ_INSERT_TAIL(&tasks, t, entry);
    return t;
}

struct task *kernel_thread_start(const char *name, void (*fn)(void *), void *arg)
{
    struct world_task *t = task_make(fn, arg);
    t->agent = strcmp(name, "agent") == 0;
    return &t->task;
}

static bool runnable(const struct world_task *t)
{
    return t->task.state != TASK_SLEEPING || t->task.woken || interrupted(&t->task);
}

void kernel_task(void (*fn)(void *arg), void *arg)
{
    (void)task_make(fn, arg);
}

/* Somebody who always has something to do is caught by the limit. */
void kernel_run(void)
{
    struct world_task *t, *next;
    bool again = true;
    for (unsigned turns = 0; again; turns++) {
        if (turns == 10000)
            FAIL("a task never rests");
        again = false;
        TAILQ_FOREACH_SAFE (t, &tasks, entry, next) {
            if (!runnable(t))
                continue;
            current = &t->task;
            coroutine_enter(t->coroutine);
            current = &main_task;
            again = true;
            next = TAILQ_NEXT(t, entry); /* it may have started others */
            if (!t->dead)
                continue;
            TAILQ_REMOVE(&tasks, t, entry);
            coroutine_free(t->coroutine);
            hosted_free(t);
        }
    }
}

/* ---- the rest of the kernel ---- */

struct fd_table {
    unsigned refcount;
};

int kernel_silent_pids[2];
static struct policy the_policy = {.process_max = CONTAINER_PROCESSES};
static struct mm the_mm;
static struct file files[4];
static struct inode inodes[4];

const struct remote_ops *remote_ops;
const struct member_ops *member_ops;
uint32_t xsave_size = 832;
uint64_t xfrm = 7;

void remote_ops_set(const struct remote_ops *ops)
{
    remote_ops = ops;
}

struct fd_table *fd_table_copy(struct fd_table *table)
{
    struct fd_table *copy = kzalloc(sizeof *copy);
    copy->refcount = 1;
    return copy;
}

struct fd_table *fd_table_get(struct fd_table *table)
{
    table->refcount++;
    return table;
}

void fd_table_put(struct fd_table *table)
{
    if (table && --table->refcount == 0)
        kfree(table);
}

struct file *file_get(struct file *file)
{
    file->refcount++;
    return file;
}

void file_put(struct file *file)
{
    ASSERT(file->refcount > 1);
    file->refcount--;
}

struct file *fd_table_file(struct fd_table *table, int fd, bool *ret_cloexec)
{
    ASSERT(table->refcount > 0);
    return fd >= 0 && (size_t)fd < ARRAY_COUNT(files) ? file_get(&files[fd]) : NULL;
}

struct file *fd_get(int fd)
{
    return fd_table_file(process_self()->files, fd, NULL);
}

int fd_get_flags(int fd)
{
    return fd >= 0 && (size_t)fd < ARRAY_COUNT(files) ? 0 : -EBADF;
}

int fd_unshare(void)
{
    return 0;
}

uint64_t overlay_unchanged(struct inode *inode)
{
    return inode->ino % 2;
}

const char *dentry_name(const struct dentry *dentry)
{
    return "name";
}

void seq_write(struct seq *seq, const void *bytes, size_t size)
{
    (void)bytes;
    seq->used += size;
}

char *file_path(struct file *file, char *buf, size_t size)
{
    if (file->inode->ino % 3 == 0)
        return NULL;
    memcpy(buf + 1, "/a/name", sizeof("/a/name"));
    return buf + 1;
}

struct super_block *dentry_super(const struct dentry *dentry)
{
    return NULL;
}

int inode_permission(struct inode *inode, unsigned mask)
{
    return 0;
}

static int read_page(struct inode *inode, uint64_t index, void *page)
{
    if (index > (uint64_t)inode->size >> PAGE_SHIFT)
        FAIL("a page beyond the end is read");
    memset(page, (int)index, PAGE_SIZE);
    return 0;
}

static const struct inode_ops file_inode_ops = {.read_page = read_page}, no_inode_ops;

int pidfd_install(struct process *process, unsigned flags)
{
    return process->pid % 5 == 0 ? -EMFILE : 9;
}

const struct policy *policy(void)
{
    return &the_policy;
}

struct mm *mm_self(void)
{
    return &the_mm;
}

bool user_range_ok(uaddr_t addr, size_t size)
{
    return addr >= USER_BASE && addr < KERNEL_BASE;
}

int copy_to_user(uaddr_t to, const void *from, size_t size)
{
    return size > 0 && to == 0 ? -EFAULT : (memcpy((void *)to, from, size), 0);
}

int copy_from_user(void *to, uaddr_t from, size_t size)
{
    return -EFAULT;
}

ssize_t strncpy_from_user(char *dst, uaddr_t src, size_t size)
{
    return -EFAULT;
}

int put_user32(uaddr_t to, uint32_t value)
{
    return copy_to_user(to, &value, sizeof value);
}

int get_user32(uint32_t *ret_value, uaddr_t from)
{
    return -EFAULT;
}

int get_user64(uint64_t *ret_value, uaddr_t from)
{
    return -EFAULT;
}

void credentials_exec(struct credentials *c, uint32_t mode, uint32_t owner, uint32_t group, bool no_new_privs,
                      bool *ret_secure)
{
}

/* Reads as much of it as the real one does. */
void process_did_exec(struct process *process, struct file *program, const char *comm, const char *command_line,
                      size_t size)
{
    string_copy(process->comm, comm, sizeof process->comm);
    kfree(process->command_line);
    process->command_line = kmalloc(size + 1);
    process->command_line_size = size;
    memcpy(process->command_line, command_line, size);
}

int exec_open(struct exec *exec, int dfd, const char *path, unsigned lookup_flags)
{
    if (strlen(path) + strlen(exec->name) > 2 * EXEC_PATH_MAX + 32)
        FAIL("a path without an end");
    if (path[0] != '/')
        return -ENOENT;
    exec->file = file_get(&files[1]);
    exec->image = kzalloc(sizeof(*exec->image));
    return path[1] == '#' ? exec_prepend(exec, &exec->argv, path) : 0;
}

void exec_free(struct exec *exec)
{
    if (exec->file)
        file_put(exec->file);
    kfree(exec->image);
    kfree(exec->name);
    kfree(exec->argv.text);
}

bool volumes_unmount(void)
{
    return true;
}

noreturn_fn void hostcall_exit(int status)
{
    FAIL("the container ended");
    __builtin_unreachable();
}

/* What members may ask for: some sleep, until they are cancelled. */
int64_t syscall_call(struct trap_frame *frame, uint64_t nr, bool slow)
{
    struct process *process = process_self();
    if (!remote_call_describe(nr) || !process->files)
        FAIL("a call that is none");
    if (process->pid == kernel_silent_pids[0] || process->pid == kernel_silent_pids[1])
        FAIL("a call in the name of another enclave's process");
    while (frame->rdi & 1) {
        task_prepare_sleep(true);
        if (signal_pending(current)) {
            task_cancel_sleep();
            return -EINTR;
        }
        (void)!task_sleep(NO_DEADLINE);
    }
    return (int64_t)frame->rsi % 4096;
}

/* ---- its life ---- */

void kernel_begin(void)
{
    static struct fd_table table = {1};
    static struct task thread = {.tid = 1};
    static bool done;
    if (done)
        return;
    done = true;
    for (size_t i = 0; i < ARRAY_COUNT(files); i++) {
        inodes[i] = (struct inode){.ops = i == 3 ? &no_inode_ops : &file_inode_ops, .size = 1 << 16, .ino = i};
        inodes[i].mode = i == 2 ? 0010644 : 0100755;
        files[i] = (struct file){.inode = &inodes[i], .refcount = 1};
    }
    process_struct_init(process_first());
    process_table_add(process_first(), tid_alloc());
    process_first()->pgid = process_first()->sid = 1;
    process_first()->files = &table;
    process_first()->unkillable = true;
    pending_signals_init(&thread.signals.pending);
    thread_add(process_first(), &thread);
    for (int i = 0; i < RLIM_NLIMITS; i++)
        process_first()->limits[i] = (struct rlimit64){1000, 1000};
}

void kernel_check_clean(long known)
{
    long idle = 0;
    const struct world_task *t;
    TAILQ_FOREACH (t, &tasks, entry) {
        if (!t->agent || ((const struct agent *)t->arg)->member)
            FAIL("somebody sleeps for ever");
        idle++;
    }
    for (size_t i = 0; i < ARRAY_COUNT(files); i++)
        if (files[i].refcount != 1)
            FAIL("a file is left open");
    signal_flush(process_first(), &process_first()->pending, ~0ULL);
    if (hosted_alloc_live() != idle + known)
        FAIL("memory is left");
}

/* ---- nobody shares memory in this world ---- */

int shared_acquire(struct inode *inode, uint64_t index, bool write)
{
    return 0;
}

bool shared_readable(const struct inode *inode, uint64_t index)
{
    return true;
}

struct inode *inode_get(struct inode *inode)
{
    return inode;
}

void inode_put(struct inode *inode)
{
}

void shm_detached(const struct inode *inode, int pid)
{
}

void shared_give_all(uaddr_t start, uaddr_t end)
{
}

uint64_t shared_home_name(struct inode *inode)
{
    return 0;
}

void shared_home_init(void)
{
}

void shared_home_lost(uint32_t member)
{
}
