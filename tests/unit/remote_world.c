/* The rest of two kernels (contract in remote_world.h). */
#include "remote_world.h"

#include <asm/errno.h>
#include <linux/mman.h>

#include "hosted_libc.h"
#include "kernel/arch/hostcall.h"
#include "kernel/arch/uaccess.h"
#include "kernel/crypto/crypto.h"
#include "kernel/fs/file.h"
#include "kernel/lib/printk.h"
#include "kernel/lib/random.h"
#include "kernel/lib/string.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/mm/mm.h"
#include "kernel/mm/pages.h"
#include "kernel/process/remote_ops.h"
#include "kernel/process/signal.h"
#include "kernel/process/table.h"
#include "kernel/remote/area.h"
#include "kernel/remote/client.h"
#include "kernel/remote/mixed.h"
#include "kernel/remote/remote.h"
#include "kernel/remote/server.h"
#include "kernel/remote/stream.h"
#include "kernel/sched/lock.h"
#include "kernel/sched/sched.h"
#include "kernel/sched/time.h"
#include "kernel/syscalls/table.h"
#include "remote_threads.h"

/* A task is a thread; it sleeps on its condition. */
struct world_task {
    struct task task;
    struct thread *thread;
    bool signalled;
    void (*fn)(void *arg);
    void *arg;
};

static __thread struct world_task *current;
static struct process member_process, process_there;
static struct remote_process remote;
static struct remote_member *member;
static struct thread *poller;
static volatile bool polling;
static void *area_memory;
static size_t area_size;
static uint8_t page_kinds[WORLD_USER_PAGES];

uint8_t *world_user;
syscall_fn world_syscalls[512];
unsigned world_file_mode;
unsigned world_kicks;
void (*world_clock_read)(void);

/* ---- ends, chance, time, the lock ---- */

void printk(enum log_level level, const char *format, ...)
{
    (void)level, (void)format;
}

void host_lied(const char *what)
{
    hosted_abort(what);
    __builtin_unreachable();
}

void random_bytes(void *buf, size_t size)
{
    static uint64_t state = 88172645463325252ULL;
    for (size_t i = 0; i < size; i++) {
        state = state * 6364136223846793005ULL + 1442695040888963407ULL;
        ((uint8_t *)buf)[i] = (uint8_t)(state >> 56);
    }
}

uint64_t time_monotonic_ns(void)
{
    if (world_clock_read)
        world_clock_read();
    return hosted_realtime_ns();
}

void kernel_lock(void)
{
    thread_lock();
}

void kernel_unlock(void)
{
    thread_unlock();
}

bool kernel_lock_held(void)
{
    return true;
}

void remote_base_key(uint8_t ret_key[LINK_KEY_SIZE])
{
    memset(ret_key, 0x5a, LINK_KEY_SIZE);
}

/* Nobody lingers. */
bool remote_linger_begin(struct linger *linger)
{
    return false;
}

void remote_linger_end(void)
{
}

bool remote_linger(struct linger *linger, bool awake)
{
    return false;
}

bool sched_linger(struct linger *linger, bool awake)
{
    return false;
}

void hostcall_kick_member(unsigned number, uint64_t vcpu_mask)
{
    world_kicks++;
}

/* ---- tasks ---- */

struct task *task_current(void)
{
    return &current->task;
}

struct process *process_first(void)
{
    return process_self();
}

struct process *process_self(void)
{
    return current->task.process;
}

bool signal_pending(const struct task *task)
{
    return task->agent ? task->agent_cancelled : container_of(task, struct world_task, task)->signalled;
}

void task_prepare_sleep(bool interruptible)
{
    current->task.interruptible = interruptible;
    current->task.woken = false;
    current->task.state = TASK_SLEEPING;
}

void task_cancel_sleep(void)
{
    current->task.state = TASK_RUNNING;
}

int task_sleep(uint64_t deadline_ns)
{
    struct task *task = &current->task;
    if (deadline_ns != NO_DEADLINE)
        hosted_abort("a deadline");
    while (!task->woken && !(task->interruptible && signal_pending(task)))
        thread_wait(current->thread);
    task->state = TASK_RUNNING;
    return task->woken ? 0 : -EINTR;
}

void task_wake(struct task *task)
{
    task->woken = true;
    thread_wake(container_of(task, struct world_task, task)->thread);
}

void task_notify(struct task *task)
{
    thread_wake(container_of(task, struct world_task, task)->thread);
}

void task_yield(void)
{
    world_sleep_ms(1);
}

void world_sleep_ms(unsigned ms)
{
    kernel_unlock();
    thread_sleep_us(ms * 1000);
    kernel_lock();
}

void world_signal(struct task *task, bool pending)
{
    container_of(task, struct world_task, task)->signalled = pending;
    task_notify(task);
}

static struct world_task *task_make(void (*fn)(void *), void *arg)
{
    struct world_task *t = hosted_malloc(sizeof(*t));
    memset(t, 0, sizeof(*t));
    t->fn = fn;
    t->arg = arg;
    return t;
}

static void task_main(void *arg)
{
    kernel_lock(); /* thus after ->thread was set */
    current = arg;
    current->fn(current->arg);
    kernel_unlock();
}

static void kernel_thread_main(void *arg)
{
    struct world_task *t = arg;
    task_main(t);
    thread_free(t->thread);
    hosted_free(t);
}

/* With the lock. */
struct task *kernel_thread_start(const char *name, void (*fn)(void *), void *arg)
{
    struct world_task *t = task_make(fn, arg);
    t->thread = thread_new(kernel_thread_main, t);
    return &t->task;
}

struct task *world_task(int tid, void (*fn)(void *arg), void *arg)
{
    struct world_task *t = task_make(fn, arg);
    t->task.tid = tid;
    t->task.process = &member_process;
    t->thread = thread_new(task_main, t);
    return &t->task;
}

void world_join(struct task *task)
{
    struct world_task *t = container_of(task, struct world_task, task);
    kernel_unlock();
    thread_join(t->thread);
    kernel_lock();
    hosted_free(t);
}

/* Its memory stays: it is on the other side's list of those who wait. */
void world_abandon(struct task *task)
{
    thread_free(container_of(task, struct world_task, task)->thread);
}

/* ---- the process table: as kernel/process ---- */

struct process *process_find(int pid)
{
    return pid == WORLD_PID ? &process_there : NULL;
}

bool agent_enter(struct process *process, int tid, sigset64_t blocked, struct agent *agent)
{
    struct task *task = task_current();
    task->process = process;
    task->tid = tid;
    task->agent = agent;
    task->agent_cancelled = false;
    task->signals.blocked = blocked;
    return true;
}

void agent_leave(void)
{
    struct task *task = task_current();
    task->process = NULL;
    task->agent = NULL;
    task->agent_cancelled = false;
}

void agent_cancel(struct task *task)
{
    task->agent_cancelled = true;
    task_notify(task);
}

/* ---- system calls ---- */

int64_t syscall_call(struct trap_frame *frame, uint64_t nr, bool slow)
{
    return world_syscalls[nr] ? world_syscalls[nr](frame) : -ENOSYS;
}

struct file *fd_get(int fd)
{
    static struct inode inode;
    static struct file file = {.inode = &inode};
    inode.mode = world_file_mode;
    return fd >= 0 ? &file : NULL;
}

void file_put(struct file *file)
{
}

void mixed_init(void)
{
}

int64_t remote_mixed(uint64_t nr, struct trap_frame *frame, const uint64_t args[6])
{
    return remote_call(nr, args);
}

int64_t remote_local(uint64_t nr, struct trap_frame *frame)
{
    return 0;
}

/* ---- the member's application memory, for the real kernel/mm/uaccess.c ---- */

static size_t page_index(uint64_t addr)
{
    return (addr - (uint64_t)world_user) / PAGE_SIZE;
}

bool world_is_user(uint64_t addr)
{
    return addr - (uint64_t)world_user < WORLD_USER_PAGES * PAGE_SIZE;
}

void world_page(size_t index, enum world_page kind)
{
    page_kinds[index] = (uint8_t)kind;
}

bool mm_range_ok(uaddr_t addr, size_t size)
{
    return addr >= PAGE_SIZE && addr + size >= addr && addr + size < 1UL << 47;
}

uint8_t page_state(uaddr_t page)
{
    if (current->task.agent)
        hosted_abort("the init side touches application memory");
    if (!world_is_user(page) || page_kinds[page_index(page)] == WORLD_PAGE_NONE)
        return 0;
    return PAGE_COMMITTED | PAGE_R | (page_kinds[page_index(page)] == WORLD_PAGE_WRITE ? PAGE_W : 0);
}

struct vma *mm_find_vma(uaddr_t addr)
{
    return NULL;
}

int mm_fault(uaddr_t addr, uint64_t error, int *ret_code)
{
    return -EFAULT;
}

size_t raw_copy_user(void *dst, const void *src, size_t size)
{
    if (size > 0)
        memcpy(dst, src, size);
    return 0;
}

size_t raw_clear_user(void *dst, size_t size)
{
    memset(dst, 0, size);
    return 0;
}

int raw_get_user32(uint32_t *dst, const uint32_t *src)
{
    memcpy(dst, src, sizeof(*dst));
    return 0;
}

int raw_get_user64(uint64_t *dst, const uint64_t *src)
{
    memcpy(dst, src, sizeof(*dst));
    return 0;
}

int raw_put_user32(uint32_t *dst, uint32_t value)
{
    memcpy(dst, &value, sizeof(value));
    return 0;
}

int raw_put_user64(uint64_t *dst, uint64_t value)
{
    memcpy(dst, &value, sizeof(value));
    return 0;
}

int raw_cmpxchg_user32(uint32_t *p, uint32_t expected, uint32_t desired, uint32_t *ret_old)
{
    return -EFAULT;
}

/* Links above the members', whose rings are frames. */
uint32_t stream_number_new(void)
{
    static uint32_t last = 3;
    return last < 7 ? ++last : 0;
}

void stream_number_free(uint32_t number)
{
    (void)number;
}

/* ---- the world ---- */

struct link_area *world_area(void)
{
    return area_memory;
}

size_t world_area_size(void)
{
    return area_size;
}

struct link_shared *world_link_shared(uint32_t number)
{
    return (struct link_shared *)((uint8_t *)area_memory + world_area()->links_offset) + number;
}

uint8_t *world_ring(uint32_t number, unsigned side)
{
    return (uint8_t *)area_memory + world_area()->rings_offset + (2UL * number + side) * WORLD_RING;
}

static void area_make(void)
{
    struct link_area header = {.magic = LINK_MAGIC, .member_max = 3, .link_count = 8, .ring_size = WORLD_RING};
    header.members_offset = PAGE_SIZE;
    header.links_offset = header.members_offset + 2 * PAGE_SIZE;
    header.rings_offset = header.links_offset + PAGE_SIZE;
    area_size = header.rings_offset + 2UL * header.link_count * WORLD_RING;
    area_memory = shared_memory_new(area_size);
    *world_area() = header;
}

void world_begin(void)
{
    crypto_init();
    area_make();
    current = task_make(NULL, NULL);
    current->thread = thread_new(NULL, NULL);
    current->task.tid = WORLD_PID;
    current->task.process = &member_process;
    member_process.pid = process_there.pid = WORLD_PID;
    world_user = hosted_page_alloc(WORLD_USER_PAGES * PAGE_SIZE);
    memset(page_kinds, WORLD_PAGE_WRITE, sizeof(page_kinds));
    memset(world_syscalls, 0, sizeof(world_syscalls));
    world_file_mode = WORLD_REGULAR;
    kernel_lock();
    const char *bad = link_area_init((host_ptr){(uint64_t)area_memory}, area_size, WORLD_MEMBER);
    if (bad)
        hosted_abort(bad);
}

static void poll_main(void *arg)
{
    static struct world_task idle;
    current = &idle;
    while (polling) {
        kernel_lock();
        server_poll();
        client_poll();
        kernel_unlock();
        thread_sleep_us(1);
    }
}

void world_connect(void)
{
    member = remote_member_new(WORLD_MEMBER);
    remote.member = member;
    process_there.remote = &remote;
    client_init();
    frames_init();
    polling = true;
    poller = thread_new(poll_main, NULL);
}

void world_end(void)
{
    if (polling) {
        polling = false;
        kernel_unlock();
        thread_join(poller);
        kernel_lock();
        remote_member_end(member);
        remote_member_put(member);
    }
    kernel_unlock();
    shared_memory_free(area_memory, area_size);
    hosted_free(world_user);
    thread_free(current->thread);
    hosted_free(current);
}
