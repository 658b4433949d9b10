/* The rest of the kernel, as far as the network needs it, and the fake host (contract in net_world.h). */
#include "net_world.h"

#include <asm/errno.h>
#include <asm/fcntl.h>
#include <linux/in.h>
#include <linux/stat.h>

#include "hosted_libc.h"
#include "kernel/arch/hostcall.h"
#include "kernel/arch/untrusted.h"
#include "kernel/boot/boot.h"
#include "kernel/fs/file.h"
#include "kernel/fs/fs_context.h"
#include "kernel/fs/poll.h"
#include "kernel/fs/vfs.h"
#include "kernel/lib/printk.h"
#include "kernel/lib/random.h"
#include "kernel/lib/string.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/mm/uaccess.h"
#include "kernel/net/net.h"
#include "kernel/net/socket_types.h"
#include "kernel/process/kill.h"
#include "kernel/process/process.h"
#include "kernel/process/signal.h"
#include "kernel/sched/output.h"
#include "kernel/sched/sched.h"
#include "kernel/sched/task.h"
#include "kernel/sched/time.h"
#include "kernel/sched/wait.h"

/* Nothing is held back here. */
bool output_held;
int output_wait(void)
{
    return 0;
}

struct world world;
struct host_chan host_chans[WORLD_CHANNELS];

static struct policy the_policy;
static struct boot_params the_params;
static struct process the_process;
static struct task the_task;
static struct fs_context the_fs = {.umask = 022};
static int signals[65];

/* ---- ends ---- */

void printk(enum log_level level, const char *format, ...)
{
    (void)level, (void)format;
}

void panic_at(const char *file, int line, const char *format, ...)
{
    (void)line, (void)format;
    hosted_abort(file);
    __builtin_unreachable();
}

void host_lied(const char *what)
{
    if (!world.lie_armed)
        hosted_abort(what);
    world.lie_text = what;
    longjmp(world.lie, 1);
}

size_t string_copy(char *dst, const char *src, size_t size)
{
    size_t length = strlen(src), n = MIN(length, size - 1);
    memcpy(dst, src, n);
    dst[n] = 0;
    return length;
}

/* ---- the process and its task ---- */

struct process *process_self(void)
{
    return &the_process;
}

bool process_capable(int capability)
{
    (void)capability;
    return true;
}

struct fs_context *fs_current(void)
{
    return &the_fs;
}

struct task *task_current(void)
{
    return &the_task;
}

unsigned vcpu_index(void)
{
    return 0;
}

int signal_send_task(struct task *task, const struct signal_source *source)
{
    (void)task;
    signals[source->signal]++;
    return 0;
}

bool signal_pending(const struct task *task)
{
    (void)task;
    return false;
}

void signal_send_owner(const struct file *file, int signal)
{
    (void)file;
    signals[signal]++;
}

int world_signals(int signal)
{
    return signals[signal];
}

void signal_mask_temporary(sigset64_t mask)
{
    (void)mask;
}

int sigset_from_user(sigset64_t *ret_set, uint64_t addr, size_t size)
{
    (void)addr, (void)size;
    *ret_set = 0;
    return 0;
}

void task_prepare_sleep(bool interruptible)
{
    the_task.interruptible = interruptible;
    the_task.woken = false;
}

void task_cancel_sleep(void)
{
}

void task_wake(struct task *task)
{
    task->woken = true;
}

int task_sleep(uint64_t deadline_ns)
{
    for (int i = 0; i < 4 && !the_task.woken; i++) {
        if (world.idle)
            world.idle();
        net_poll_ready();
    }
    if (the_task.woken)
        return 0;
    if (!the_task.interruptible)
        hosted_abort("asleep for ever");
    return deadline_ns == NO_DEADLINE ? -EINTR : -ETIMEDOUT;
}

void world_timer(void)
{
    if (timers_next_ns() != NO_DEADLINE)
        timers_run(timers_next_ns());
}

/* ---- boot, time, chance ---- */

const struct policy *policy(void)
{
    return &the_policy;
}

const struct boot_params *boot_params(void)
{
    return &the_params;
}

uint64_t time_monotonic_ns(void)
{
    return world.now_ns += 1000;
}

uint64_t random_u64(void)
{
    static uint64_t state = 88172645463325252ULL;
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

/* ---- application memory: the program's own, but for the first page ---- */

bool user_range_ok(uaddr_t addr, size_t size)
{
    (void)size;
    return addr >= PAGE_SIZE;
}

size_t user_prepare(uaddr_t addr, size_t size, bool write)
{
    (void)write;
    return addr >= PAGE_SIZE ? size : 0;
}

size_t copy_from_user_partial(void *dst, uaddr_t src, size_t size)
{
    if (src < PAGE_SIZE)
        return 0;
    memcpy(dst, (const void *)src, size);
    return size;
}

size_t copy_to_user_partial(uaddr_t dst, const void *src, size_t size)
{
    if (dst < PAGE_SIZE)
        return 0;
    memcpy((void *)dst, src, size);
    return size;
}

size_t clear_user_partial(uaddr_t dst, size_t size)
{
    if (dst < PAGE_SIZE)
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

int get_user32(uint32_t *dst, uaddr_t src)
{
    return copy_from_user(dst, src, 4);
}

int put_user32(uaddr_t dst, uint32_t value)
{
    return copy_to_user(dst, &value, 4);
}

int put_user64(uaddr_t dst, uint64_t value)
{
    return copy_to_user(dst, &value, 8);
}

/* ---- files ---- */

static struct file *fds[WORLD_FDS];
static uint64_t next_ino = 1;

struct file *file_new_anon(const char *name, const struct file_ops *ops, void *private, unsigned flags)
{
    struct file *file = kzalloc(sizeof(*file));
    struct inode *inode = file ? kzalloc(sizeof(*inode)) : NULL;
    (void)name;
    if (!inode) {
        kfree(file);
        return NULL;
    }
    inode->ino = next_ino++;
    *file = (struct file){.ops = ops, .inode = inode, .private = private, .flags = flags, .refcount = 1};
    return file;
}

struct file *file_get(struct file *file)
{
    file->refcount++;
    return file;
}

void file_put(struct file *file)
{
    if (!file || --file->refcount > 0)
        return;
    epoll_file_released(file);
    if (file->ops->release)
        file->ops->release(file);
    kfree(file->inode);
    kfree(file);
}

struct file *fd_get(int fd)
{
    return fd >= 0 && fd < WORLD_FDS && fds[fd] ? file_get(fds[fd]) : NULL;
}

int fd_room(void)
{
    return 0;
}

int fd_install(struct file *file, int min, bool cloexec)
{
    (void)cloexec;
    for (int fd = min; fd < WORLD_FDS; fd++) {
        if (!fds[fd]) {
            fds[fd] = file;
            return fd;
        }
    }
    return -EMFILE;
}

int fd_close(int fd)
{
    struct file *file = fd >= 0 && fd < WORLD_FDS ? fds[fd] : NULL;
    if (!file)
        return -EBADF;
    fds[fd] = NULL;
    file_put(file);
    return 0;
}

int world_fd_set(int fd, struct file *file)
{
    if (fd < 0 || fd >= WORLD_FDS)
        return -EBADF;
    struct file *old = fds[fd];
    fds[fd] = file;
    file_put(old);
    return 0;
}

int world_close(int fd)
{
    return fd_close(fd);
}

int64_t world_read(int fd, void *buf, size_t size)
{
    struct file *file = fd_get(fd);
    struct iov_iter it;
    if (!file)
        return -EBADF;
    iov_iter_user(&it, (uaddr_t)buf, size);
    int64_t r = file->ops->read ? file->ops->read(file, &it, NULL) : -EINVAL;
    file_put(file);
    return r;
}

int64_t world_write(int fd, const void *buf, size_t size)
{
    struct file *file = fd_get(fd);
    struct iov_iter it;
    if (!file)
        return -EBADF;
    iov_iter_user(&it, (uaddr_t)buf, size);
    int64_t r = file->ops->write ? file->ops->write(file, &it, NULL) : -EINVAL;
    file_put(file);
    return r;
}

int64_t world_ioctl(int fd, unsigned command, void *arg)
{
    struct file *file = fd_get(fd);
    if (!file)
        return -EBADF;
    int64_t r = file->ops->ioctl ? file->ops->ioctl(file, command, (uint64_t)arg) : -ENOTTY;
    file_put(file);
    return r;
}

/* There is no file system: unix sockets have abstract names here. */
int vfs_lookup(int dfd, const char *path, unsigned lookup_flags, struct dentry **ret_dentry)
{
    (void)dfd, (void)path, (void)lookup_flags, (void)ret_dentry;
    return -ENOENT;
}

int vfs_mknod(int dfd, const char *path, uint32_t mode, uint64_t rdev, struct dentry **ret_dentry)
{
    (void)dfd, (void)path, (void)mode, (void)rdev, (void)ret_dentry;
    return -EROFS;
}

struct inode *dentry_inode(const struct dentry *dentry)
{
    (void)dentry;
    return NULL;
}

void dentry_put(struct dentry *dentry)
{
    (void)dentry;
}

int inode_permission(struct inode *inode, unsigned mask)
{
    (void)inode, (void)mask;
    return 0;
}

struct inode *inode_get(struct inode *inode)
{
    return inode;
}

void inode_put(struct inode *inode)
{
    (void)inode;
}

/* ---- the host ---- */

static uint32_t dirty_taken[WORLD_CHANNELS];
static uint32_t ready_head[2], dirty_tail[2]; /* the borrower's own are second */
static uint32_t next_odd = CHANNEL_FIRST_SOCKET;

void hostcall_park(uint64_t deadline_ns, bool pump)
{
    (void)deadline_ns;
    if (pump && world.idle)
        world.idle();
}

int hostcall_socket(struct hostcall_socket *op)
{
    return world.socket ? world.socket(op) : host_socket(op);
}

static void host_open(uint32_t number, int family, int type)
{
    struct channel *s = &world.channels[number];
    host_chans[number] = (struct host_chan){.open = true, .family = family, .type = type};
    s->rx_head = s->rx_base = s->rx_tail = 0;
    s->tx_head = s->tx_base = s->tx_tail = 0;
    s->kernel_flags = 0;
    s->host_error = 0;
    s->host_events = 0;
}

static void host_close(uint32_t number, bool reset)
{
    struct host_chan *c = &host_chans[number];
    c->open = false;
    c->closed = true;
    c->reset = reset;
    if (number % 2 == 0)
        host_event(number, CHAN_EV_CLOSED, 0);
}

static uint32_t odd_channel(void)
{
    for (uint32_t i = 0; i < WORLD_CHANNELS; i++) {
        uint32_t number = next_odd;
        next_odd = (next_odd + 2) % WORLD_CHANNELS;
        if (number >= CHANNEL_FIRST_SOCKET && !host_chans[number].open)
            return number;
    }
    return 0;
}

static uint32_t accepted_channel(const struct host_chan *listener, struct ring_accept *ret_record)
{
    struct sockaddr_in peer = {.sin_family = AF_INET, .sin_port = 0x3930}, local = {.sin_family = AF_INET};
    uint32_t number = odd_channel();
    if (!number)
        return 0;
    host_open(number, AF_INET, SOCK_STREAM);
    world.channels[number].host_events = CHAN_EV_CONNECTED;
    host_chans[number].connected = true;
    host_chans[number].own = listener->own;
    memcpy(&peer.sin_addr, "\xcb\0\x71\7", 4);
    memcpy(&local.sin_addr, "\xac\x11\0\5", 4);
    *ret_record = (struct ring_accept){.channel = number, .addr_size = sizeof(peer), .local_size = sizeof(local)};
    memcpy(ret_record->addr, &peer, sizeof(peer));
    memcpy(ret_record->local, &local, sizeof(local));
    return number;
}

static int share(struct hostcall_socket *op, const struct host_chan *c)
{
    uint32_t number = c->open && c->listening && c->demand ? odd_channel() : 0;
    if (!number)
        return -EINVAL;
    host_open(number, c->family, SOCK_STREAM);
    host_chans[number].own = host_chans[number].listening = host_chans[number].demand = true;
    op->value = number;
    return 0;
}

static int accept_on_demand(struct hostcall_socket *op, struct host_chan *c)
{
    struct ring_accept record;
    if (!c->open || !c->listening || !c->demand)
        return -EINVAL;
    if (c->clients == 0)
        return -EAGAIN;
    if (!accepted_channel(c, &record))
        return -EMFILE;
    c->clients--;
    memcpy(op->optval, &record, sizeof(record));
    op->optlen = sizeof(record);
    return 0;
}

static int demand(struct hostcall_socket *op, struct host_chan *c)
{
    if (!c->open || !c->listening)
        return -EINVAL;
    c->demand = op->value;
    while (!c->demand && c->clients > 0 && host_accept(op->channel))
        c->clients--;
    return 0;
}

static void give(uint32_t number)
{
    host_pump(); /* whatever it was dirty for */
    host_chans[number].own = false;
    world.channels[number].dirty_queued = world.channels[number].ready_queued = 0;
}

static void give_all(void)
{
    for (uint32_t n = CHANNEL_FIRST_SOCKET; n < WORLD_CHANNELS; n++) {
        if (!host_chans[n].own)
            continue;
        if (host_chans[n].listening)
            host_close(n, false);
        give(n);
    }
}

int host_socket(struct hostcall_socket *op)
{
    struct host_chan *c = &host_chans[op->channel % WORLD_CHANNELS];
    switch (op->op) {
    case SOCKET_CREATE:
        if (c->open)
            return -EINVAL;
        host_open(op->channel, op->family, op->type & 0xf);
        return 0;
    case SOCKET_BIND: {
        struct sockaddr_in *in = (struct sockaddr_in *)op->addr;
        if (!in->sin_port)
            in->sin_port = 0x5678;
        memcpy(c->bound, op->addr, sizeof(c->bound));
        c->bound_size = op->addr_size;
        return 0;
    }
    case SOCKET_LISTEN:
        c->listening = true;
        return 0;
    case SOCKET_CONNECT: {
        struct sockaddr_in local = {.sin_family = AF_INET, .sin_port = 0x1234};
        memcpy(&local.sin_addr, "\xac\x11\0\5", 4);
        memcpy(op->addr, &local, sizeof(local));
        op->addr_size = sizeof(local);
        c->connecting = c->type == SOCK_STREAM;
        return c->type == SOCK_STREAM ? -EINPROGRESS : 0;
    }
    case SOCKET_SHUTDOWN:
        c->shut_write = true;
        return 0;
    case SOCKET_CLOSE:
        host_close(op->channel, op->value & CLOSE_RESET);
        return 0;
    case SOCKET_DEMAND:
        return demand(op, c);
    case SOCKET_SHARE:
        return share(op, c);
    case SOCKET_ACCEPT:
        return accept_on_demand(op, c);
    case SOCKET_READY:
        op->value = c->clients > 0;
        return c->open && c->listening && c->demand ? 0 : -EINVAL;
    case SOCKET_GIVE:
        if (op->channel == GIVE_ALL)
            give_all();
        else
            give(op->channel);
        return 0;
    default:
        return 0;
    }
}

void host_ready(uint32_t number)
{
    bool own = host_chans[number].own;
    struct arena_queue *ready = own ? world.own_ready : world.ready;
    if (!ready) /* it is of a member of this world */
        return;
    if (__atomic_exchange_n(&world.channels[number].ready_queued, 1, __ATOMIC_SEQ_CST))
        return;
    ready->entries[ready_head[own]++ & (WORLD_CHANNELS - 1)] = number;
    __atomic_store_n(&ready->head, ready_head[own], __ATOMIC_RELEASE);
}

void host_event(uint32_t number, uint32_t events, int error)
{
    world.channels[number].host_error = error;
    __atomic_fetch_or(&world.channels[number].host_events, events, __ATOMIC_RELEASE);
    host_ready(number);
}

static void wishes(uint32_t number)
{
    struct host_chan *c = &host_chans[number];
    uint32_t flags = world.channels[number].kernel_flags;
    if (!c->open || c->type != SOCK_STREAM)
        return;
    if (c->listening && c->demand && (flags & CHAN_K_WANT_ACCEPT)) {
        c->wanted = c->clients == 0;
        if (!c->wanted)
            host_event(number, CHAN_EV_ACCEPTABLE, 0);
    }
    c->shut_write |= (flags & CHAN_K_SHUT_WR) != 0;
    if (flags & CHAN_K_CLOSE)
        host_close(number, (flags & CHAN_K_RESET) != 0);
}

static void pump(struct arena_queue *dirty, bool own)
{
    uint32_t *tail = &dirty_tail[own];
    if (dirty->head - *tail > WORLD_CHANNELS)
        *tail = dirty->head; /* somebody lies in the kernel's name */
    while (*tail != dirty->head) {
        uint32_t number = dirty->entries[(*tail)++ & (WORLD_CHANNELS - 1)] & (WORLD_CHANNELS - 1);
        dirty->tail = *tail;
        if (host_chans[number].open && host_chans[number].own != own && !world.lie_armed)
            hosted_abort("a channel is dirty where nobody looks");
        __atomic_exchange_n(&world.channels[number].dirty_queued, 0, __ATOMIC_SEQ_CST);
        dirty_taken[number]++;
        wishes(number);
    }
}

void host_pump(void)
{
    pump(world.dirty, false);
    if (world.own_dirty)
        pump(world.own_dirty, true);
}

uint32_t host_dirty_taken(uint32_t number)
{
    return dirty_taken[number];
}

static uint8_t *ring_byte(uint32_t number, bool tx, uint32_t index)
{
    const struct channel *s = &world.channels[number];
    uint32_t base = tx ? s->tx_base : s->rx_base;
    return world.rings + ((size_t)number * 2 + tx) * WORLD_RING + ((index - base) & (WORLD_RING - 1));
}

size_t host_put(uint32_t number, const void *data, size_t size)
{
    struct host_chan *c = &host_chans[number];
    struct channel *s = &world.channels[number];
    uint32_t used = c->rx_head - s->rx_tail;
    if (used == 0)
        s->rx_base = c->rx_head;
    size = MIN(size, (size_t)(WORLD_RING - used));
    for (size_t i = 0; i < size; i++)
        *ring_byte(number, false, c->rx_head + (uint32_t)i) = ((const uint8_t *)data)[i];
    c->rx_head += (uint32_t)size;
    __atomic_store_n(&s->rx_head, c->rx_head, __ATOMIC_RELEASE);
    host_ready(number);
    return size;
}

size_t host_take(uint32_t number, void *data, size_t size)
{
    struct host_chan *c = &host_chans[number];
    struct channel *s = &world.channels[number];
    size = MIN(size, (size_t)(s->tx_head - c->tx_tail));
    for (size_t i = 0; i < size; i++)
        ((uint8_t *)data)[i] = *ring_byte(number, true, c->tx_tail + (uint32_t)i);
    c->tx_tail += (uint32_t)size;
    __atomic_store_n(&s->tx_tail, c->tx_tail, __ATOMIC_RELEASE);
    if (s->kernel_flags & CHAN_K_WANT_ROOM)
        host_ready(number);
    return size;
}

uint32_t host_accept(uint32_t listener)
{
    struct ring_accept record;
    uint32_t number = accepted_channel(&host_chans[listener], &record);
    if (number)
        host_put(listener, &record, sizeof(record));
    return number;
}

void host_client(uint32_t listener)
{
    struct host_chan *c = &host_chans[listener];
    if (!c->demand) {
        host_accept(listener);
        return;
    }
    c->clients++;
    if (c->wanted)
        host_event(listener, CHAN_EV_ACCEPTABLE, 0);
    c->wanted = false;
}

void host_datagram(uint32_t number, uint16_t from_port, const void *data, uint32_t size)
{
    uint8_t record[WORLD_RING] = {0};
    struct ring_datagram header = {.size = size, .addr_size = sizeof(struct sockaddr_in)};
    struct sockaddr_in from = {.sin_family = AF_INET, .sin_port = (uint16_t)(from_port << 8 | from_port >> 8)};
    memcpy(&from.sin_addr, "\xcb\0\x71\7", 4);
    memcpy(header.addr, &from, sizeof(from));
    memcpy(record, &header, sizeof(header));
    memcpy(record + sizeof(header), data, size);
    host_put(number, record, sizeof(header) + ALIGN_UP(size, 8U));
}

static void arena_make(void)
{
    uint64_t queue = ALIGN_UP(sizeof(struct arena_queue) + WORLD_CHANNELS * 4, 4096);
    struct arena_header h = {.magic = ARENA_MAGIC, .channel_count = WORLD_CHANNELS, .ring_size = WORLD_RING};
    h.ready_offset = 4096;
    h.dirty_offset = h.ready_offset + queue;
    h.channels_offset = h.dirty_offset + queue;
    h.rings_offset = ALIGN_UP(h.channels_offset + WORLD_CHANNELS * sizeof(struct channel), 4096);
    world.arena_size = h.rings_offset + 2ULL * WORLD_CHANNELS * WORLD_RING;
    world.arena = hosted_page_alloc(world.arena_size);
    memset(world.arena, 0, world.arena_size);
    world.header = (struct arena_header *)world.arena;
    *world.header = h;
    world.ready = (struct arena_queue *)(world.arena + h.ready_offset);
    world.dirty = (struct arena_queue *)(world.arena + h.dirty_offset);
    world.channels = (struct channel *)(world.arena + h.channels_offset);
    world.rings = world.arena + h.rings_offset;
}

static void prepare(void)
{
    the_policy.flags = POLICY_PORTS_ANY | POLICY_CONNECT_ANY;
    the_process.pid = 1;
    for (size_t i = 0; i < ARRAY_COUNT(the_process.limits); i++)
        the_process.limits[i] = (struct rlimit64){1024, 1024};
    arena_make();
    the_params.arena = (struct boot_blob){(uint64_t)world.arena, world.arena_size};
}

void world_init(void)
{
    prepare();
    net_init();
}

void world_init_borrower(bool has_pump)
{
    prepare();
    if (!has_pump)
        return;
    size_t size = MEMBER_QUEUE_SIZE(WORLD_CHANNELS);
    uint8_t *queues = hosted_page_alloc(2 * size);
    memset(queues, 0, 2 * size);
    world.own_ready = (struct arena_queue *)queues;
    world.own_dirty = (struct arena_queue *)(queues + size);
    the_params.queues = (struct boot_blob){(uint64_t)queues, 2 * size};
}
