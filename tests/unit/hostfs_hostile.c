/* A program, and a host that may lie (contract in hostfs_hostile.h). */
#include "hostfs_hostile.h"

#include "hosted.h"

#include <linux/errno.h>
#include <linux/fcntl.h>
#include <linux/fs.h>
#include <linux/stat.h>

#include "abi/hostfs.h"
#include "kernel/arch/hostcall.h"
#include "kernel/arch/untrusted.h"
#include "kernel/fs/fs_context.h"
#include "kernel/fs/hostfs.h"
#include "kernel/fs/tmpfs.h"
#include "kernel/lib/printk.h"
#include "kernel/lib/string.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/mm/shared.h"
#include "kernel/process/table.h"
#include "kernel/sched/output.h"
#include "kernel/sched/run_queue.h"
#include "kernel/sched/time.h"

/* Nothing is held back here. */
bool output_held;
int output_wait(void)
{
    return 0;
}

#define FILE_SIZE 300000U

static uint8_t *area;
static hostile_choose_fn choose;
static uint32_t rate;    /* lies in 1000 answers */
static uint32_t delayed; /* answers that come when the next request does */
static uint64_t now_ns;

static struct hostfs_shared *shared(void)
{
    return (struct hostfs_shared *)area;
}

/* ---- the rest of the kernel ---- */

struct run_queue run_queue;

uint32_t untrusted_load32(host_ptr p)
{
    return *(uint32_t *)p.addr;
}

void untrusted_store32(host_ptr p, uint32_t value)
{
    *(uint32_t *)p.addr = value;
}

uint32_t untrusted_exchange32(host_ptr p, uint32_t value)
{
    uint32_t before = *(uint32_t *)p.addr;
    *(uint32_t *)p.addr = value;
    return before;
}

uint32_t untrusted_or32(host_ptr p, uint32_t bits)
{
    return *(uint32_t *)p.addr |= bits;
}

uint64_t untrusted_load64(host_ptr p)
{
    return *(uint64_t *)p.addr;
}

bool untrusted_range_ok(host_ptr p, uint64_t size)
{
    return true;
}

uint64_t time_monotonic_ns(void)
{
    return now_ns += 1000;
}

void mutex_init(struct mutex *mutex)
{
}

void mutex_lock(struct mutex *mutex)
{
    mutex->depth++;
}

void mutex_unlock(struct mutex *mutex)
{
    ASSERT(mutex->depth-- > 0);
}

void wake_up(struct wait_queue *queue, uint32_t events)
{
}

void task_prepare_sleep_killable(void)
{
}

void task_wake(struct task *task)
{
}

struct task *kernel_thread_start(const char *name, void (*fn)(void *), void *arg)
{
    return task_current();
}

struct process *process_find(int pid)
{
    return &hosted_process;
}

bool shared_next_writable(const struct inode *inode, uint64_t *index)
{
    return false;
}

/* ---- the host ---- */

static uint64_t name_ino(const uint8_t *name, uint32_t size)
{
    uint64_t ino = 7;
    for (uint32_t i = 0; i < size; i++)
        ino = ino * 31 + name[i];
    return ino;
}

/* What a name stands for, by its first letter. */
static uint32_t name_mode(uint8_t first)
{
    return first == 'd' ? S_IFDIR | 0755 : first == 'l' ? S_IFLNK | 0777 : first == 'f' ? S_IFREG | 0644 : 0;
}

static void give_attr(struct hostfs_reply *reply, uint64_t ino, uint32_t mode)
{
    reply->flags |= HOSTFS_REPLY_ATTR;
    reply->attr = (struct hostfs_attr){.ino = ino, .mode = mode, .nlink = 1, .size = FILE_SIZE, .blocks = 600};
}

/* Which file a node is; the kernel's numbers are good for that much. */
static struct {
    uint64_t ino;
    uint32_t mode;
} nodes[HOSTFS_NODES];

static void make_node(const struct hostfs_request *r, struct hostfs_reply *reply, uint64_t ino, uint32_t mode)
{
    ASSERT(r->result_node >= HOSTFS_FOLDERS && r->result_node < HOSTFS_NODES);
    nodes[r->result_node].ino = ino;
    nodes[r->result_node].mode = mode;
    give_attr(reply, ino, mode);
}

static void answer_lookup(const struct hostfs_request *r, struct hostfs_reply *reply, const uint8_t *data)
{
    uint64_t ino = name_ino(data, r->name_size);
    uint32_t mode = name_mode(data[0]);
    if (mode == 0) {
        reply->result = -ENOENT;
    } else if (r->ino == ino && r->mode == (mode & S_IFMT)) {
        reply->flags |= HOSTFS_REPLY_SAME;
        give_attr(reply, ino, mode);
    } else {
        make_node(r, reply, ino, mode);
    }
}

static void answer_readdir(const struct hostfs_request *r, struct hostfs_reply *reply, uint8_t *data)
{
    uint8_t *at = data;
    for (uint64_t i = r->offset; i < 300 && at - data < 2000; i++) {
        struct hostfs_entry e = {.ino = 100 + i, .cookie = i + 1, .type = 8, .name_size = 4};
        char name[8] = {'f', (char)('a' + i / 100), (char)('0' + i / 10 % 10), (char)('0' + i % 10)};
        memcpy(at, &e, sizeof(e));
        memcpy(at + sizeof(e), name, sizeof(name));
        at += sizeof(e) + sizeof(name);
    }
    reply->result = at - data;
}

static uint8_t byte_at(uint64_t pos)
{
    return (uint8_t)(pos * 7 + pos / 256);
}

static void answer_read(const struct hostfs_request *r, struct hostfs_reply *reply, uint8_t *data)
{
    uint64_t n = r->offset >= FILE_SIZE ? 0 : MIN(r->size, FILE_SIZE - r->offset);
    for (uint64_t i = 0; i < n; i++)
        data[i] = byte_at(r->offset + i);
    reply->result = (int64_t)n;
    if (n < r->size)
        give_attr(reply, nodes[r->node].ino, nodes[r->node].mode);
}

static void answer(const struct hostfs_request *r, struct hostfs_reply *reply, uint8_t *data)
{
    ASSERT(r->node < HOSTFS_NODES && r->size <= HOSTFS_DATA_SIZE + (r->op == HOSTFS_SETATTR ? 1UL << 62 : 0));
    switch (r->op) {
    case HOSTFS_LOOKUP:
        answer_lookup(r, reply, data);
        break;
    case HOSTFS_CREATE:
    case HOSTFS_MKDIR:
    case HOSTFS_TMPFILE:
        make_node(r, reply, 1000000 + r->result_node, r->mode);
        break;
    case HOSTFS_SYMLINK:
        make_node(r, reply, 1000000 + r->result_node, S_IFLNK | 0777);
        break;
    case HOSTFS_READ:
        answer_read(r, reply, data);
        break;
    case HOSTFS_WRITE:
        reply->result = (int64_t)r->size;
        reply->offset = FILE_SIZE;
        give_attr(reply, nodes[r->node].ino, nodes[r->node].mode);
        break;
    case HOSTFS_READDIR:
        answer_readdir(r, reply, data);
        break;
    case HOSTFS_READLINK:
    case HOSTFS_GETXATTR:
        memcpy(data, "f1", 2);
        reply->result = 2;
        break;
    case HOSTFS_LISTXATTR:
        memcpy(data, "user.a", 7);
        reply->result = 7;
        break;
    case HOSTFS_STATFS:
        *(struct hostfs_statfs *)data = (struct hostfs_statfs){4096, 100, 50, 40, 10, 5};
        break;
    case HOSTFS_RENAME:
    case HOSTFS_UNLINK:
    case HOSTFS_RMDIR:
    case HOSTFS_FSYNC:
        break;
    case HOSTFS_LINK:
        give_attr(reply, nodes[r->other_node].ino, nodes[r->other_node].mode);
        break;
    default:
        give_attr(reply, nodes[r->node].ino, nodes[r->node].mode);
        break;
    }
}

static uint64_t strange(void)
{
    static const uint64_t values[] = {0,
                                      1,
                                      ~0ULL,
                                      1ULL << 63,
                                      (1ULL << 63) - 1,
                                      (uint64_t)-4,
                                      (uint64_t)-5,
                                      (uint64_t)-512,
                                      (uint64_t)-4095,
                                      (uint64_t)-4096,
                                      4096,
                                      HOSTFS_DATA_SIZE,
                                      HOSTFS_DATA_SIZE + 1,
                                      1ULL << 62,
                                      1ULL << 32,
                                      ~0U};
    return values[choose(ARRAY_COUNT(values))];
}

static void spoil(void *bytes, size_t size)
{
    for (uint32_t n = 1 + choose(8); n > 0; n--)
        ((uint8_t *)bytes)[choose((uint32_t)size)] = (uint8_t)choose(256);
}

static void lie(struct hostfs_reply *reply, uint8_t *data, unsigned slot)
{
    uint32_t kind = choose(40);
    if (kind == 0)
        shared()->completed |= 1U << choose(32);
    else if (kind == 1)
        shared()->forget_tail = (uint32_t)strange();
    else if (kind < 6)
        reply->result = (int64_t)strange();
    else if (kind < 12)
        spoil(&reply->attr, sizeof(reply->attr));
    else if (kind < 16)
        reply->flags = choose(8);
    else if (kind < 20)
        reply->offset = strange();
    else if (kind < 28)
        spoil(data, 256);
    else if (kind < 34)
        reply->attr.size = strange();
    else
        delayed |= 1U << slot;
}

static void forget(void)
{
    if (shared()->forget_head - shared()->forget_tail > HOSTFS_FORGETS)
        return; /* a lie */
    for (; shared()->forget_tail != shared()->forget_head; shared()->forget_tail++)
        ASSERT((shared()->forgets[shared()->forget_tail % HOSTFS_FORGETS] & ~HOSTFS_RELEASE) < HOSTFS_NODES);
}

/* The kernel rings: every request is answered, now or with the next. */
void hostcall_kick(uint64_t vcpu_mask)
{
    uint32_t late = delayed;
    delayed = 0;
    forget();
    while (shared()->submitted) {
        unsigned slot = (unsigned)__builtin_ctz(shared()->submitted);
        struct hostfs_slot *s = (struct hostfs_slot *)(area + HOSTFS_SLOTS_OFFSET) + slot;
        uint8_t *data = area + HOSTFS_DATA_OFFSET + (size_t)slot * HOSTFS_DATA_SIZE;
        shared()->submitted &= ~(1U << slot);
        s->reply = (struct hostfs_reply){.result = 0};
        answer(&s->request, &s->reply, data);
        if (choose(1000) < rate)
            lie(&s->reply, data, slot);
        if (!(delayed >> slot & 1))
            shared()->completed |= 1U << slot;
    }
    shared()->completed |= late;
}

/* ---- the program ---- */

static const char *const names[] = {"/h/f1",    "/h/f2",   "/h/d1",     "/h/d1/f3", "/h/d1/d2",   "/h/l1",
                                    "/h/l1/f1", "/h/none", "/h/d1/new", "/h",       "/h/d1/d2/f1"};
static int fds[8];
static uint8_t *buffer;
#define BUFFER_SIZE 700000U

static const char *name(void)
{
    return names[choose(ARRAY_COUNT(names))];
}

static int *some_fd(void)
{
    return &fds[choose(ARRAY_COUNT(fds))];
}

static void step_open(void)
{
    static const int flags[] = {O_RDONLY,           O_RDWR,
                                O_RDWR | O_CREAT,   O_WRONLY | O_TRUNC,
                                O_RDWR | O_APPEND,  O_RDONLY | O_DIRECTORY,
                                O_RDWR | O_TMPFILE, O_RDWR | O_CREAT | O_EXCL};
    int *fd = some_fd();
    if (*fd >= 0)
        CALL1(close, *fd);
    *fd = (int)CALL4(openat, AT_FDCWD_, name(), flags[choose(ARRAY_COUNT(flags))], 0644);
}

static void step_page(void)
{
    struct file *file = fd_get(*some_fd());
    if (!file)
        return;
    const struct inode_ops *ops = file->inode->ops;
    if (ops->read_page && choose(2))
        (void)ops->read_page(file->inode, choose(100), buffer);
    else if (ops->write_page && file_writable(file))
        (void)ops->write_page(file->inode, choose(100), buffer);
    file_put(file);
}

static void step_file(void)
{
    int fd = *some_fd();
    uint32_t size = choose(4) ? choose(9000) : choose(BUFFER_SIZE);
    switch (choose(10)) {
    case 0:
    case 1:
        CALL3(read, fd, buffer, size);
        break;
    case 2:
        CALL4(pread64, fd, buffer, size, choose(400000));
        break;
    case 3:
        CALL3(write, fd, buffer, size);
        break;
    case 4:
        CALL3(lseek, fd, choose(100000), choose(5));
        break;
    case 5:
        CALL2(ftruncate, fd, choose(1000000));
        break;
    case 6:
        CALL3(getdents64, fd, buffer, size);
        break;
    case 7:
        CALL2(fstat, fd, buffer);
        break;
    case 8:
        CALL1(fsync, fd);
        break;
    default:
        step_page();
        break;
    }
}

static void step_name(void)
{
    switch (choose(14)) {
    case 0:
        CALL2(stat, name(), buffer);
        break;
    case 1:
        CALL2(lstat, name(), buffer);
        break;
    case 2:
        CALL3(readlink, name(), buffer, 4096);
        break;
    case 3:
        CALL2(mkdir, name(), 0755);
        break;
    case 4:
        CALL1(unlink, name());
        break;
    case 5:
        CALL1(rmdir, name());
        break;
    case 6:
        CALL2(rename, name(), name());
        break;
    case 7:
        CALL2(link, name(), name());
        break;
    case 8:
        CALL2(symlink, "f1", name());
        break;
    case 9:
        CALL4(getxattr, name(), "user.a", buffer, choose(70000));
        break;
    case 10:
        CALL3(listxattr, name(), buffer, choose(70000));
        break;
    case 11:
        CALL5(setxattr, name(), "user.a", buffer, choose(66000), 0);
        break;
    case 12:
        CALL2(statfs, name(), buffer);
        break;
    default:
        CALL2(chmod, name(), 0600 + choose(64));
        break;
    }
}

void hostile_step(uint32_t lie_rate)
{
    rate = lie_rate;
    switch (choose(4)) {
    case 0:
        step_open();
        break;
    case 1:
        step_name();
        break;
    default:
        step_file();
        break;
    }
}

void hostile_init(hostile_choose_fn choose_fn, void (*on_lie)(const char *what))
{
    choose = choose_fn;
    hosted_on_lie = on_lie;
    if (!area) {
        area = hosted_page_alloc(HOSTFS_AREA_SIZE);
        buffer = hosted_page_alloc(ALIGN_UP(BUFFER_SIZE, 4096));
    }
    memset(area, 0, HOSTFS_DATA_OFFSET);
    memset(buffer, 'x', BUFFER_SIZE);
    shared()->magic = HOSTFS_MAGIC;
    shared()->folder_count = 1;
    shared()->sleeping = 1; /* so that each request rings */
    shared()->folders[0].flags = BOOT_FOLDER_IDS;
    shared()->folders[0].root = (struct hostfs_attr){.ino = 1, .mode = S_IFDIR | 0755, .nlink = 2};
    nodes[0].ino = 1;
    nodes[0].mode = S_IFDIR | 0755;
    delayed = 0;
    for (size_t i = 0; i < ARRAY_COUNT(fds); i++)
        fds[i] = -1;
    struct boot_blob blob = {(uint64_t)area, HOSTFS_AREA_SIZE};
    struct super_block *root = tmpfs_new(0, 0755);
    ASSERT(root && vfs_mount("/", root, 0) == 0);
    hosted_init();
    hosted_process.fs = fs_context_new();
    ASSERT(vfs_mkdir(AT_FDCWD_, "/h", 0755) == 0 && hostfs_client_init(&blob));
    hostfs_set_reclaim(hostfs_windows_reclaim);
    struct hostfs *fs = hostfs_new(0, hostfs_folder(0), "/h");
    ASSERT(fs && vfs_mount("/h", &fs->sb, MS_NOSUID | MS_NODEV) == 0);
}

#define CHECK(condition)                                                                                               \
    do {                                                                                                               \
        if (!(condition))                                                                                              \
            return __LINE__;                                                                                           \
    } while (0)

int hostile_honest_check(void)
{
    static const uint32_t sizes[] = {1, 1000, 4096, 65536, 100000, BUFFER_SIZE};
    rate = 0;
    for (size_t i = 0; i < ARRAY_COUNT(sizes); i++) {
        int fd = (int)CALL4(openat, AT_FDCWD_, "/h/d1/l1", O_RDWR, 0);
        uint64_t pos = 0;
        int64_t n;
        CHECK(fd >= 0);
        while ((n = CALL3(read, fd, buffer, sizes[i])) > 0 && pos < (sizes[i] == 1 ? 3000 : FILE_SIZE)) {
            for (int64_t k = 0; k < n; k++)
                CHECK(buffer[k] == byte_at(pos + (uint64_t)k));
            pos += (uint64_t)n;
        }
        CHECK(sizes[i] == 1 || (pos == FILE_SIZE && n == 0));
        CHECK(CALL3(write, fd, buffer, sizes[i]) == (int64_t)sizes[i]);
        CHECK(CALL1(close, fd) == 0);
    }
    int dir = (int)CALL4(openat, AT_FDCWD_, "/h/d1", O_RDONLY | O_DIRECTORY, 0);
    int64_t bytes = 0, n;
    while ((n = CALL3(getdents64, dir, buffer, 1000)) > 0)
        bytes += n;
    CHECK(n == 0 && bytes == 302 * 24);
    CHECK(CALL1(close, dir) == 0);
    CHECK(CALL2(stat, "/h/none", buffer) == -ENOENT);
    return 0;
}
