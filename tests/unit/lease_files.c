/* Processes, files and descriptors of leases' world (contract in lease_kernel.h). */
#include "lease_kernel.h"
#include "lease_world.h"

#include <linux/errno.h>
#include <linux/fcntl.h>
#include <linux/fs.h>

#include "kernel/lib/string.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/mm/uaccess.h"
#include "kernel/net/loan.h"
#include "kernel/net/net.h"
#include "kernel/process/table.h"
#include "kernel/remote/accepting.h"
#include "kernel/remote/borrower.h"
#include "kernel/remote/leases.h"
#include "kernel/remote/posts.h"
#include "kernel/remote/spawn.h"
#include "kernel/remote/waiting.h"
#include "kernel/remote/work.h"

/* ---- the two processes, and the members they are in ---- */

struct remote_member members[2] = {{.number = 1}, {.number = 2}};
struct fd_table there[3], here;
struct remote_process remotes[2] = {{.member = &members[0]}, {.member = &members[1]}};
struct process init_side[2], member_side, pid1 = {.pid = 1};
struct process *runs_for = &member_side;

struct process *process_self(void)
{
    return runs_for;
}

struct process *process_first(void)
{
    return &member_side;
}

size_t process_count(void)
{
    return 1;
}

uint32_t remote_member_number(const struct remote_member *member)
{
    return member->number;
}

struct remote_member *remote_member_find(uint32_t number)
{
    return &members[number - 1];
}

struct link *remote_member_link(struct remote_member *member)
{
    return &member->link;
}

struct process *remote_process_of(const struct remote_member *member, const struct message *message)
{
    size_t i = member->number - 1;
    return message->pid == init_side[i].pid && !member->dead ? &init_side[i] : NULL;
}

void spawn_kill(struct remote_member *member)
{
    if (member == &members[0])
        FAIL("a member that keeps to the rules is killed");
    lease_world_counts.killed++;
    member->dead = true;
    leases_member_lost(member);
    posts_member_lost(member);
}

/* ---- files ---- */

struct world_file *names[PATHS];
static struct inode directory = {.refcount = 1, .mode = S_IFDIR | 0755};
static struct super_block root_super, other_super;
struct mount root_mount = {.sb = &root_super};
struct mount_list mounts = TAILQ_HEAD_INITIALIZER(mounts);

static void evict(struct inode *inode)
{
    kfree(container_of(inode, struct world_file, inode));
}

static const struct inode_ops world_inode_ops = {.evict = evict};

static ssize_t world_read(struct file *file, struct iov_iter *to, file_off_t *pos)
{
    FAIL("not by this way");
    return 0;
}

const struct file_ops world_file_ops = {.read = world_read, .llseek = file_llseek_size};

struct inode *inode_get(struct inode *inode)
{
    inode->refcount++;
    return inode;
}

void inode_put(struct inode *inode)
{
    if (inode && --inode->refcount == 0)
        inode->ops->evict(inode);
}

struct dentry *dentry_get(struct dentry *dentry)
{
    inode_get(dentry->inode);
    return dentry;
}

void dentry_put(struct dentry *dentry)
{
    inode_put(dentry->inode);
}

struct inode *dentry_parent_inode(const struct dentry *dentry)
{
    return &directory;
}

void set_contents(struct world_file *f, uint8_t seed)
{
    for (size_t i = 0; i < CONTENTS; i++)
        f->contents[i] = (uint8_t)(seed + i);
}

struct world_file *world_file_new(uint8_t seed, bool elsewhere)
{
    struct world_file *f = kzalloc(sizeof(*f));
    f->inode.ops = &world_inode_ops;
    f->inode.file_ops = &world_file_ops;
    f->inode.sb = elsewhere ? &other_super : &root_super;
    f->inode.mode = S_IFREG | 0644;
    f->mode = f->inode.mode;
    f->listening = seed % 4 > 0;
    f->inode.nlink = 1;
    f->inode.refcount = 1;
    f->inode.size = seed % CONTENTS;
    f->dentry.inode = &f->inode;
    set_contents(f, seed);
    return f;
}

struct world_file *world_of(const struct file *file)
{
    return container_of(file->inode, struct world_file, inode);
}

int tcp_listening_name(struct file *file, void *ret_addr)
{
    const struct world_file *f = world_of(file);
    memset(ret_addr, f->socket_name, ASSURANCE_NAME_MAX);
    return f->listening ? 1 + f->socket_name % ASSURANCE_NAME_MAX : 0;
}

/* Root's files are not this process's to change. */
bool file_mode_assured(const struct file *file)
{
    return file->inode->nlink == 0 && file->inode->uid % 2 == 0;
}

void file_mode_set(struct file *file, uint32_t mode, uint64_t age_ns)
{
    (void)age_ns;
    if (!file_mode_assured(file) || (mode & ~0777U))
        FAIL("a mode that may not be set");
    file->inode->mode = (file->inode->mode & S_IFMT) | mode;
}

void (*inode_settle_assured)(struct inode *inode);

uint64_t stat_uid, stat_size;

void inode_stat(struct inode *inode, struct statx *stat)
{
    *stat = (struct statx){.stx_mode = inode->mode, .stx_size = (uint64_t)inode->size, .stx_uid = inode->uid};
}

int inode_stat_to_user(struct inode *inode, uaddr_t buf)
{
    struct statx stat;
    inode->ops->getattr(inode, &stat);
    stat_uid = stat.stx_uid;
    stat_size = stat.stx_size;
    return 0;
}

bool inode_reads_leave_times(struct inode *inode)
{
    return true;
}

struct file *file_new_inode(struct inode *inode, const struct file_ops *ops, void *private, unsigned flags)
{
    struct file *file = kzalloc(sizeof(*file));
    *file = (struct file){.ops = ops, .inode = inode_get(inode), .flags = flags, .refcount = 1};
    return file;
}

struct file *file_get(struct file *file)
{
    file->refcount++;
    return file;
}

void file_put(struct file *file)
{
    if (--file->refcount > 0)
        return;
    if (file->ops->release)
        file->ops->release(file);
    if (file->dentry)
        dentry_put(file->dentry);
    inode_put(file->inode);
    kfree(file);
}

file_off_t file_llseek_size(struct file *file, file_off_t offset, int whence)
{
    return file->pos = whence == SEEK_CUR ? file->pos + offset : offset;
}

struct fd_table *fd_table_new(void)
{
    return &here;
}

bool fd_table_shared(const struct fd_table *table)
{
    return false;
}

struct file *fd_table_file(struct fd_table *table, int fd, bool *ret_cloexec)
{
    if (fd < 0 || fd >= FDS || !table->files[fd])
        return NULL;
    if (ret_cloexec)
        *ret_cloexec = table->cloexec[fd];
    return file_get(table->files[fd]);
}

int fd_table_set(struct fd_table *table, int fd, struct file *file, bool cloexec)
{
    if (fd < 0 || fd >= FDS)
        return -EBADF;
    if (table->files[fd])
        FAIL("a descriptor that is in use is set");
    table->files[fd] = file;
    table->cloexec[fd] = cloexec;
    return 0;
}

int fd_table_close(struct fd_table *table, int fd)
{
    struct file *file = fd >= 0 && fd < FDS ? table->files[fd] : NULL;
    if (!file)
        return -EBADF;
    table->files[fd] = NULL;
    file_put(file);
    return 0;
}

int fd_for_each(struct fd_table *table, int (*fn)(int fd, struct file *file, void *arg), void *arg)
{
    int r = 0;
    for (int fd = 0; r == 0 && fd < FDS; fd++)
        if (table->files[fd])
            r = fn(fd, table->files[fd], arg);
    return r;
}

int lowest(const struct fd_table *table)
{
    for (int fd = 0; fd < FDS; fd++)
        if (!table->files[fd])
            return fd;
    return -1;
}

/* ---- user memory: an address is a path's number, or 1000 for the empty one, or a byte of output from 2000 on ---- */

void path_text(uint64_t number, char *text)
{
    memcpy(text, "/a", 3);
    text[1] = (char)('a' + number % PATHS);
}

ssize_t strncpy_from_user(char *dst, uaddr_t src, size_t size)
{
    path_text(src, dst);
    return 2;
}

int path_from_user(uaddr_t addr, bool allow_empty, char **ret_path)
{
    *ret_path = kmalloc(3);
    path_text(addr, *ret_path);
    return 0;
}

int copy_from_user(void *dst, uaddr_t src, size_t size)
{
    for (size_t i = 0; i < size; i++)
        ((uint8_t *)dst)[i] = src == 1000 ? 0 : (uint8_t)(src + i);
    return 0;
}

uint8_t name_read;

int address_to_user(const void *addr, uint32_t size, uaddr_t user_addr, uaddr_t user_size)
{
    name_read = *(const uint8_t *)addr;
    if (size > ASSURANCE_NAME_MAX || (!hostile && size != 1U + name_read % ASSURANCE_NAME_MAX))
        FAIL("a name's size");
    return 0;
}

uint8_t was_read[CONTENTS];

size_t copy_to_iter(struct iov_iter *to, const void *src, size_t size)
{
    memcpy(was_read, src, size);
    to->count -= size;
    return size;
}

int vfs_lookup_on_root(const char *path, struct dentry **ret_dentry)
{
    const struct world_file *f = names[path[1] - 'a'];
    if (!f)
        return -ENOENT;
    *ret_dentry = dentry_get((struct dentry *)&f->dentry);
    return 0;
}

ssize_t vfs_read_kernel(struct file *file, void *buf, size_t size, file_off_t pos)
{
    memcpy(buf, container_of(file->inode, struct world_file, inode)->contents + pos, size);
    return (ssize_t)size;
}

/* ---- listening sockets: every file is one, too, if it listens ---- */

bool tcp_shared(struct file *file)
{
    return world_of(file)->shared;
}

bool tcp_share(struct file *file, struct tcp_loan *ret_loan)
{
    struct world_file *f = world_of(file);
    if (!f->listening)
        return false;
    f->shared = true;
    ret_loan->priority = f->option;
    return true;
}

/* The member's: its position is what connections have from it; it is closed once it has flags. */
int tcp_share_begin(const struct tcp_loan *loan, struct file **ret_file)
{
    static const struct file_ops listener_ops;
    if (byte() % 16 == 1)
        return -EMFILE;
    struct file *file = kzalloc(sizeof(*file));
    *file = (struct file){.ops = &listener_ops, .pos = loan->priority, .refcount = 1};
    *ret_file = file;
    return 0;
}

void tcp_share_close(struct file *file)
{
    if (file->flags)
        FAIL("a listening socket is closed twice");
    file->flags = 1;
    file_put(file);
}

void net_pump_begin(void)
{
}

uint32_t accepted_option;

/* Messages come while it sleeps. */
bool accepting_call(struct file *listener, uint64_t nr, const uint64_t args[6], int64_t *ret_result)
{
    if (byte() % 4 == 1 && !hostile)
        arrive_in_member();
    if (listener->flags)
        return false;
    accepted_option = (uint32_t)listener->pos;
    *ret_result = 0;
    return true;
}

void borrower_tell_begun(void)
{
}

void waiting_forget(void)
{
}
