/* The rest of the kernel, as far as file systems and the like need it (contract in hosted.h). */
#include "hosted.h"

#include <cpuid.h>
#include <linux/errno.h>

#include "kernel/arch/trap.h"
#include "kernel/arch/untrusted.h"
#include "kernel/fs/pipe.h"
#include "kernel/fs/poll.h"
#include "kernel/fs/vfs.h"
#include "kernel/lib/printk.h"
#include "kernel/lib/random.h"
#include "kernel/lib/string.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/mm/shared.h"
#include "kernel/mm/uaccess.h"
#include "kernel/process/signal.h"
#include "kernel/process/table.h"
#include "kernel/sched/lock.h"
#include "kernel/sched/task.h"
#include "kernel/sched/time.h"
#include "kernel/sched/wait.h"

struct process hosted_process;
struct policy hosted_policy;
struct boot_params hosted_boot_params;
char hosted_message[512];
unsigned hosted_message_count;

static bool process_exists;

/* ---- messages and ends ---- */

void printk(enum log_level level, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(hosted_message, sizeof(hosted_message), format, args);
    va_end(args);
    hosted_message_count++;
}

void panic_at(const char *file, int line, const char *format, ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    hosted_abort(text);
    __builtin_unreachable();
}

void (*hosted_on_lie)(const char *what);

void host_lied(const char *what)
{
    if (hosted_on_lie)
        hosted_on_lie(what);
    hosted_abort(what);
    __builtin_unreachable();
}

size_t string_copy(char *dst, const char *src, size_t size)
{
    size_t length = strlen(src);
    if (size > 0) {
        size_t n = MIN(length, size - 1);
        memcpy(dst, src, n);
        dst[n] = 0;
    }
    return length;
}

/* ---- the process ---- */

struct task *task_current(void)
{
    static struct task task;
    return &task;
}

struct process *process_self(void)
{
    return process_exists ? &hosted_process : NULL;
}

struct process *process_of(int id)
{
    return id == hosted_process.pid ? &hosted_process : NULL;
}

bool group_exists(int pgid, int *ret_sid)
{
    return false;
}

bool credentials_in_group(const struct credentials *c, uint32_t gid)
{
    for (size_t i = 0; i < c->group_count; i++)
        if (c->groups[i] == gid)
            return true;
    return false;
}

bool process_capable(int capability)
{
    return hosted_process.credentials.cap_effective >> capability & 1;
}

int signal_send_process(struct process *process, const struct signal_source *source)
{
    return 0;
}

void hosted_set_user(uint32_t uid, uint32_t gid)
{
    struct credentials *c = &hosted_process.credentials;
    c->uid = c->euid = c->suid = c->fsuid = uid;
    c->gid = c->egid = c->sgid = c->fsgid = gid;
    c->cap_effective = c->cap_permitted = uid == 0 ? ~0ULL : 0;
}

void hosted_init(void)
{
    memset(&hosted_process, 0, sizeof(hosted_process));
    hosted_process.pid = 1;
    for (size_t i = 0; i < ARRAY_COUNT(hosted_process.limits); i++)
        hosted_process.limits[i] = (struct rlimit64){RLIM64_INFINITY, RLIM64_INFINITY};
    hosted_process.limits[RLIMIT_NOFILE] = (struct rlimit64){1024, 1024};
    hosted_set_user(0, 0);
    hosted_process.files = fd_table_new();
    process_exists = true;
}

/* ---- boot ---- */

const struct policy *policy(void)
{
    return &hosted_policy;
}

const char *policy_string_at(uint32_t offset)
{
    return offset ? (const char *)&hosted_policy + offset : "";
}

const struct boot_params *boot_params(void)
{
    return &hosted_boot_params;
}

char *boot_blob_copy(const struct boot_blob *blob, size_t max, size_t *ret_size)
{
    size_t size = blob->size <= max ? blob->size : 0;
    char *p = kmalloc(size + 1);
    *ret_size = p ? size : 0;
    if (!p)
        return NULL;
    memcpy(p, (const void *)blob->addr, size);
    p[size] = 0;
    return p;
}

void cpuid_query(uint32_t leaf, uint32_t subleaf, uint32_t ret_regs[4])
{
    __cpuid_count(leaf, subleaf, ret_regs[0], ret_regs[1], ret_regs[2], ret_regs[3]);
}

void hosted_set_image(const struct hosted_image *image)
{
    hosted_boot_params.root = (struct boot_blob){(uint64_t)image->data, image->size};
    hosted_policy.root_size = image->data_size;
    hosted_policy.root_hash_offset = image->hash_offset;
    memcpy(hosted_policy.root_hash, image->root_hash, 32);
    memcpy(hosted_policy.root_salt, image->salt, 32);
}

/* ---- time, chance, vector state, the lock ---- */

uint64_t time_realtime_ns(void)
{
    return hosted_realtime_ns();
}

uint64_t random_u64(void)
{
    static uint64_t state = 88172645463325252ULL;
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

void random_bytes(void *buf, size_t size)
{
    for (size_t i = 0; i < size; i++)
        ((uint8_t *)buf)[i] = (uint8_t)random_u64();
}

void kernel_vector_begin(void)
{
}

void kernel_vector_begin_wide(void)
{
    kernel_vector_begin();
}

void kernel_vector_end(void)
{
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

/* ---- untrusted and application memory: both are the program's own ---- */

static unsigned long spoil_at;
static bool spoiled;

void hosted_spoil_copy(unsigned long n)
{
    spoil_at = n;
    spoiled = false;
}

bool hosted_copy_spoiled(void)
{
    return spoiled;
}

void untrusted_copy_in(void *dst, host_ptr src, size_t size)
{
    memcpy(dst, (const void *)src.addr, size);
    if (spoil_at > 0 && --spoil_at == 0 && size > 0) {
        ((uint8_t *)dst)[size / 3] ^= 0x40;
        spoiled = true;
    }
}

void untrusted_copy_out(host_ptr dst, const void *src, size_t size)
{
    memcpy((void *)dst.addr, src, size);
}

void untrusted_copy_out_own(host_ptr dst, const void *src, size_t size)
{
    untrusted_copy_out(dst, src, size);
}

/* The first page is nobody's, as everywhere. */
static bool accessible(uaddr_t addr)
{
    return addr >= PAGE_SIZE;
}

size_t user_prepare(uaddr_t addr, size_t size, bool write)
{
    return accessible(addr) ? size : 0;
}

size_t copy_from_user_partial(void *dst, uaddr_t src, size_t size)
{
    if (!accessible(src))
        return 0;
    memcpy(dst, (const void *)src, size);
    return size;
}

size_t copy_to_user_partial(uaddr_t dst, const void *src, size_t size)
{
    if (!accessible(dst))
        return 0;
    memcpy((void *)dst, src, size);
    return size;
}

size_t clear_user_partial(uaddr_t dst, size_t size)
{
    if (!accessible(dst))
        return 0;
    memset((void *)dst, 0, size);
    return size;
}

int copy_from_user(void *dst, uaddr_t src, size_t size)
{
    return size == 0 || copy_from_user_partial(dst, src, size) == size ? 0 : -EFAULT;
}

int copy_to_user(uaddr_t dst, const void *src, size_t size)
{
    return size == 0 || copy_to_user_partial(dst, src, size) == size ? 0 : -EFAULT;
}

int clear_user(uaddr_t dst, size_t size)
{
    return clear_user_partial(dst, size) == size ? 0 : -EFAULT;
}

ssize_t strncpy_from_user(char *dst, uaddr_t src, size_t size)
{
    if (!accessible(src))
        return -EFAULT;
    size_t length = strnlen((const char *)src, size);
    memcpy(dst, (const void *)src, MIN(length + 1, size));
    return length < size ? (ssize_t)length : -ENAMETOOLONG;
}

int get_user32(uint32_t *dst, uaddr_t src)
{
    return copy_from_user(dst, src, sizeof(*dst));
}

int get_user64(uint64_t *dst, uaddr_t src)
{
    return copy_from_user(dst, src, sizeof(*dst));
}

int put_user32(uaddr_t dst, uint32_t value)
{
    return copy_to_user(dst, &value, sizeof(value));
}

int put_user64(uaddr_t dst, uint64_t value)
{
    return copy_to_user(dst, &value, sizeof(value));
}

/* ---- sleeping: there is nobody else, so nothing can come true ---- */

void wait_queue_init(struct wait_queue *queue)
{
    TAILQ_INIT(&queue->entries);
}

void wait_entry_init(struct wait_entry *entry, struct task *task)
{
    memset(entry, 0, sizeof(*entry));
}

void wait_queue_add(struct wait_queue *queue, struct wait_entry *entry)
{
    entry->queue = queue;
    TAILQ_INSERT_TAIL(&queue->entries, entry, link);
}

void wait_queue_remove(struct wait_entry *entry)
{
    if (entry->queue)
        TAILQ_REMOVE(&entry->queue->entries, entry, link);
    entry->queue = NULL;
}

void wake_up_all(struct wait_queue *queue, uint32_t events)
{
}

void task_prepare_sleep(bool interruptible)
{
}

int task_sleep(uint64_t deadline_ns)
{
    return -EINTR;
}

void task_cancel_sleep(void)
{
}

/* ---- parts of the kernel that are not there ---- */

void epoll_file_released(struct file *file)
{
}

void fsnotify(struct inode *inode, uint32_t mask, const char *name, struct inode *child, uint32_t cookie)
{
}

int shared_acquire(struct inode *inode, uint64_t index, bool write)
{
    return 0;
}

int shared_withdraw(struct inode *inode, uint64_t first)
{
    return 0;
}

void shared_evict(struct inode *inode)
{
}

bool shared_readable(const struct inode *inode, uint64_t index)
{
    return true;
}

bool shared_any(const struct inode *inode)
{
    return false;
}

bool shared_page_pull(struct inode *inode, uint64_t index, void *page)
{
    return false;
}

void shared_page_push(struct inode *inode, uint64_t index, const void *page)
{
}

void shared_page_patch(struct inode *inode, uint64_t index, size_t offset, const void *src, size_t size)
{
}

void shared_truncate(struct inode *inode, file_off_t size)
{
}

const struct file_ops fifo_file_ops;

int64_t pipe_set_size(struct file *file, uint64_t size)
{
    return -EBADF;
}

int64_t pipe_get_size(struct file *file)
{
    return -EBADF;
}
