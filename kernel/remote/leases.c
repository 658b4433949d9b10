/* Leases of files (contract in leases.h). */
#include "kernel/remote/leases.h"

#include <asm/ioctls.h>
#include <asm/unistd_64.h>
#include <linux/errno.h>
#include <linux/fcntl.h>
#include <linux/fs.h>

#include "abi/stats.h"
#include "kernel/fs/file.h"
#include "kernel/fs/vfs.h"
#include "kernel/lib/list.h"
#include "kernel/lib/string.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/net/loan.h"
#include "kernel/process/process.h"
#include "kernel/process/remote_ops.h"
#include "kernel/remote/lease_message.h"
#include "kernel/remote/server.h"
#include "kernel/remote/spawn.h"
#include "kernel/remote/work.h"
#include "kernel/sched/output.h"
#include "kernel/sched/time.h"
#include "kernel/sched/wait.h"
#include "kernel/syscalls/table.h"

/* Where files change all the time, leases would only be granted to be ended. */
#define QUIET_NS 100000000ULL

struct lease {
    TAILQ_ENTRY(lease) entry;
    uint64_t id;
    int pid;
    uint32_t assurance; /* enum assurance; 0: of a file by its path */
    struct file *file;  /* referenced; NULL: of a name */
};

/* A member that has leases, or had. */
struct lessee {
    TAILQ_ENTRY(lessee) entry;
    const struct remote_member *member;
    TAILQ_HEAD(, lease) leases;
    size_t count;
    uint64_t asked;              /* the BREAK that it has not answered; 0: none */
    uint64_t sync_asked, synced; /* the last SYNC it was sent, and the last it has answered */
};

static TAILQ_HEAD(, lessee) lessees = TAILQ_HEAD_INITIALIZER(lessees);
static struct wait_queue answers = {TAILQ_HEAD_INITIALIZER(answers.entries)};
static uint64_t last_id, last_break, last_sync;
static uint64_t changes;    /* so many have begun */
static unsigned running;    /* and not ended */
static uint64_t changed_ns; /* when the last one ended leases */

/* ---- who has what ---- */

static struct lessee *lessee_find(const struct remote_member *member)
{
    struct lessee *l;
    TAILQ_FOREACH (l, &lessees, entry)
        if (l->member == member)
            return l;
    return NULL;
}

static struct lessee *lessee_new(const struct remote_member *member)
{
    struct lessee *l = kzalloc(sizeof(*l));
    if (!l)
        return NULL;
    l->member = member;
    TAILQ_INIT(&l->leases);
    TAILQ_INSERT_TAIL(&lessees, l, entry);
    return l;
}

static void lease_free(struct lessee *l, struct lease *lease)
{
    TAILQ_REMOVE(&l->leases, lease, entry);
    l->count--;
    if (lease->assurance == ASSURANCE_MODE)
        lease->file->inode->mode_assured--;
    if (lease->file)
        file_put(lease->file);
    kfree(lease);
}

static void free_all(struct lessee *l)
{
    struct lease *lease;
    while ((lease = TAILQ_FIRST(&l->leases)) != NULL)
        lease_free(l, lease);
}

static struct lease *lease_find(const struct lessee *l, uint64_t id)
{
    struct lease *lease;
    TAILQ_FOREACH (lease, &l->leases, entry)
        if (lease->id == id)
            return lease;
    return NULL;
}

void leases_member_lost(const struct remote_member *member)
{
    struct lessee *l = lessee_find(member);
    if (!l)
        return;
    free_all(l);
    TAILQ_REMOVE(&lessees, l, entry);
    kfree(l);
    wake_up_all(&answers, 0);
}

/* ---- ending them ---- */

static bool any_left(void)
{
    const struct lessee *l;
    TAILQ_FOREACH (l, &lessees, entry)
        if (l->count > 0)
            return true;
    return false;
}

/* False: it was to be told and could not, and is gone. */
static bool tell(const struct lessee *l, uint32_t type, uint64_t number)
{
    struct lease_number_message m = {{.type = type}, .number = number};
    struct remote_member *member = remote_member_find(remote_member_number(l->member));
    if (link_send(remote_member_link(member), &m, sizeof(m)) != -ENOMEM)
        return true;
    spawn_kill(member);
    return false;
}

static bool ask(struct lessee *l)
{
    if (l->count == 0 || l->asked)
        return true;
    l->asked = ++last_break;
    return tell(l, MESSAGE_LEASE_BREAK, l->asked);
}

static void ask_all(void)
{
    struct lessee *l = TAILQ_FIRST(&lessees);
    while (l)
        l = ask(l) ? TAILQ_NEXT(l, entry) : TAILQ_FIRST(&lessees); /* others may have gone with it */
}

/* Not interruptible: what ends them is about to happen. */
static void end_all(void)
{
    struct wait_entry entry;
    ask_all();
    wait_entry_init(&entry, NULL);
    wait_queue_add(&answers, &entry);
    for (;;) {
        task_prepare_sleep(false);
        if (!any_left())
            break;
        (void)!task_sleep(NO_DEADLINE);
    }
    task_cancel_sleep();
    wait_queue_remove(&entry);
}

void leases_end_soon(void)
{
    ask_all();
    changed_ns = time_monotonic_ns();
}

static void change_begin(void)
{
    changes++;
    running++;
    if (any_left())
        end_all();
    changed_ns = time_monotonic_ns();
}

static void change_end(void)
{
    running--;
}

void leases_settle(const struct process *process)
{
    if (!process->remote)
        return;
    change_begin();
    change_end();
}

/* ---- hearing of modes that were set ---- */

static bool may_set_mode(const struct lessee *l, const struct inode *inode)
{
    const struct lease *lease;
    TAILQ_FOREACH (lease, &l->leases, entry)
        if (lease->assurance == ASSURANCE_MODE && lease->file->inode == inode)
            return true;
    return false;
}

/* What the caller's own member has told came before the call. */
static void sync_others(const struct inode *inode, uint64_t number)
{
    const struct process *process = process_self();
    struct lessee *l = TAILQ_FIRST(&lessees);
    while (l) {
        bool own = process->remote && process->remote->member == l->member;
        bool sends = !own && l->sync_asked < number && may_set_mode(l, inode);
        if (sends)
            l->sync_asked = number;
        bool there = !sends || tell(l, MESSAGE_LEASE_SYNC, number);
        l = there ? TAILQ_NEXT(l, entry) : TAILQ_FIRST(&lessees); /* as in ask_all() */
    }
}

/* Who may not set it any more has said so after all it had told, or is gone. */
static bool any_unheard(const struct inode *inode, uint64_t number)
{
    const struct lessee *l;
    TAILQ_FOREACH (l, &lessees, entry)
        if (l->sync_asked >= number && l->synced < number && may_set_mode(l, inode))
            return true;
    return false;
}

/* Not interruptible: what comes next has no error for it. */
static void settle_modes(struct inode *inode)
{
    uint64_t number = ++last_sync;
    struct wait_entry entry;
    sync_others(inode, number);
    wait_entry_init(&entry, NULL);
    wait_queue_add(&answers, &entry);
    for (;;) {
        task_prepare_sleep(false);
        if (!any_unheard(inode, number))
            break;
        (void)!task_sleep(NO_DEADLINE);
    }
    task_cancel_sleep();
    wait_queue_remove(&entry);
}

/* ---- what changes files, or looks at descriptors of others ---- */

static bool open_changes(unsigned flags)
{
    return (flags & O_ACCMODE) != O_RDONLY || (flags & (O_CREAT | O_TRUNC | O_TMPFILE)) & ~O_DIRECTORY;
}

static bool fcntl_changes(unsigned command)
{
    switch (command) {
    case F_DUPFD:
    case F_DUPFD_CLOEXEC:
    case F_GETFD:
    case F_SETFD:
    case F_GETFL:
    case F_SETFL:
    case F_GETPIPE_SZ:
    case F_SETPIPE_SZ:
    case F_GETOWN:
    case F_SETOWN:
        return false;
    default: /* locks: closing a file ends them */
        return true;
    }
}

/* A listening socket that members accept from: they know what connections have from it. */
static bool is_shared(int fd)
{
    struct file *file = fd_get(fd);
    bool result = file && tcp_shared(file);
    if (file)
        file_put(file);
    return result;
}

static bool is_listening(int fd)
{
    uint8_t name[ASSURANCE_NAME_MAX];
    struct file *file = fd_get(fd);
    bool result = file && tcp_listening_name(file, name) > 0;
    if (file)
        file_put(file);
    return result;
}

/* One without a name is not leased: who looks at its mode asks for it. */
static bool has_name(int fd)
{
    struct file *file = fd_get(fd);
    bool result = file && file->inode->nlink > 0;
    if (file)
        file_put(file);
    return result;
}

static bool may_change(const struct trap_frame *frame)
{
    switch (frame->orig_rax) {
    case __NR_shutdown: /* its name may be another one later */
        return is_listening((int)frame->rdi);
    case __NR_fchmod:
        return has_name((int)frame->rdi);
    case __NR_open:
        return open_changes((unsigned)frame->rsi);
    case __NR_openat:
        return open_changes((unsigned)frame->rdx);
    case __NR_fcntl:
        return (unsigned)frame->rsi == F_SETFL ? is_shared((int)frame->rdi) : fcntl_changes((unsigned)frame->rsi);
    case __NR_ioctl:
        return ((unsigned)frame->rsi == FIONBIO || (unsigned)frame->rsi == FIOASYNC) && is_shared((int)frame->rdi);
    case __NR_listen:
    case __NR_setsockopt:
        return is_shared((int)frame->rdi);
    default:
        return true;
    }
}

static int64_t changing(struct trap_frame *frame)
{
    syscall_fn fn = syscall_functions()[frame->orig_rax];
    if (!may_change(frame))
        return fn(frame);
    change_begin();
    int64_t result = fn(frame);
    change_end();
    return result;
}

/*
 * Writing, truncating by descriptor, allocating, and mapping for writing are not here: they need a descriptor that was
 * opened for writing, and while there is one the file is not leased.
 */
static const uint16_t changing_calls[] = {
    __NR_open,        __NR_openat,      __NR_openat2,      __NR_creat,
    __NR_truncate,    __NR_mkdir,       __NR_mkdirat,      __NR_mknod,
    __NR_mknodat,     __NR_rmdir,       __NR_unlink,       __NR_unlinkat,
    __NR_rename,      __NR_renameat,    __NR_renameat2,    __NR_link,
    __NR_linkat,      __NR_symlink,     __NR_symlinkat,    __NR_chmod,
    __NR_fchmod,      __NR_fchmodat,    __NR_chown,        __NR_lchown,
    __NR_fchown,      __NR_fchownat,    __NR_utime,        __NR_utimes,
    __NR_futimesat,   __NR_utimensat,   __NR_setxattr,     __NR_lsetxattr,
    __NR_fsetxattr,   __NR_removexattr, __NR_lremovexattr, __NR_fremovexattr,
    __NR_bind,        __NR_shutdown,    __NR_flock,        __NR_fcntl,
    __NR_mount,       __NR_umount2,     __NR_pivot_root,   __NR_inotify_add_watch,
    __NR_pidfd_getfd, __NR_kcmp,        __NR_ioctl,        __NR_listen,
    __NR_setsockopt,
};

/* ---- granting ---- */

/* Does the path lead there without leaving the file system of the root, and without anything that is of one process? */
static bool leads_to(const char *path, const struct file *file)
{
    struct dentry *dentry;
    if (vfs_lookup_on_root(path, &dentry) < 0)
        return false;
    bool same = dentry == file->dentry;
    dentry_put(dentry);
    return same;
}

static bool may_lease(const struct file *file)
{
    const struct inode *inode = file->inode, *dir = file->dentry ? dentry_parent_inode(file->dentry) : NULL;
    return S_ISREG(inode->mode) && dir && inode->sb == TAILQ_FIRST(&mounts)->sb && !inode->sb->ops && file->ops->read &&
           !file->ops->open && !file->ops->release && inode->nlink > 0 && inode->write_count == 0 &&
           inode->size <= (file_off_t)LEASE_SIZE_MAX && !inode->locks && !inode->watches && !dir->watches &&
           !inode->mappings && !inode->shared && inode_reads_leave_times(file->inode);
}

static bool is_unchanged(uint64_t seen)
{
    return running == 0 && changes == seen;
}

static bool is_quiet(uint64_t seen)
{
    return is_unchanged(seen) && time_monotonic_ns() - changed_ns >= QUIET_NS;
}

static bool read_piece(const struct lease *lease, void *buf, size_t offset, size_t size)
{
    return vfs_read_kernel(lease->file, buf, size, (file_off_t)offset) == (ssize_t)size;
}

/* What of the contents did not fit in the first message. buf is as large as that. */
static int send_more(struct link *link, const struct lease *lease, void *buf, size_t size)
{
    struct lease_more_message *m = buf;
    int r = 0;
    for (size_t at = LEASE_PIECE_MAX, n; r == 0 && at < size; at += n) {
        n = MIN(size - at, LEASE_PIECE_MAX);
        *m = (struct lease_more_message){
            .message = {MESSAGE_LEASE_MORE, 0, lease->pid, 0}, .id = lease->id, .offset = at};
        r = read_piece(lease, m->bytes, at, n) ? link_send(link, m, sizeof(*m) + n) : -EIO;
    }
    return r;
}

/* Nothing here sleeps: leases do not mix, and nothing changes meanwhile. */
static int send(struct remote_member *member, const struct lease *lease, const char *path, uint64_t era)
{
    struct link *link = remote_member_link(member);
    size_t path_size = strlen(path) + 1, size = (size_t)lease->file->inode->size, first = MIN(size, LEASE_PIECE_MAX);
    struct lease_message *m = kzalloc(sizeof(*m) + path_size + first);
    if (!m)
        return -ENOMEM;
    m->message = (struct message){MESSAGE_LEASE, 0, lease->pid, 0};
    m->id = lease->id;
    m->era = era;
    m->size = (uint32_t)size;
    m->path_size = (uint32_t)path_size;
    inode_stat(lease->file->inode, &m->stat);
    memcpy(m->bytes, path, path_size);
    link_cork();
    int r =
        read_piece(lease, m->bytes + path_size, 0, first) ? link_send(link, m, sizeof(*m) + path_size + first) : -EIO;
    if (r == 0)
        r = send_more(link, lease, m, size);
    link_uncork();
    kfree(m);
    return r;
}

/* NULL: there is no room, or no memory. */
static struct lease *lease_add(struct remote_member *member, const struct process *process, struct file *file,
                               struct lessee **ret_lessee)
{
    struct lessee *l = lessee_find(member);
    if (!l && !(l = lessee_new(member)))
        return NULL;
    /* What the member has not read yet is in this enclave's memory. */
    bool may = l->count < LEASE_COUNT_MAX && !l->asked && !link_backlogged(remote_member_link(member));
    struct lease *lease = may ? kzalloc(sizeof(*lease)) : NULL;
    if (!lease)
        return NULL;
    *lease = (struct lease){.id = ++last_id, .pid = process->pid, .file = file ? file_get(file) : NULL};
    TAILQ_INSERT_TAIL(&l->leases, lease, entry);
    l->count++;
    *ret_lessee = l;
    return lease;
}

static void grant(struct remote_member *member, const struct process *process, struct file *file, const char *path,
                  uint64_t era)
{
    struct lessee *l;
    struct lease *lease = lease_add(member, process, file, &l);
    if (lease && send(member, lease, path, era) < 0)
        lease_free(l, lease); /* what of it was sent is forgotten with the next one */
}

/* ---- assurances ---- */

static void assure(struct remote_member *member, const struct process *process, const struct call_head *head,
                   struct lease_assurance_message *m, struct file *file)
{
    struct lessee *l;
    struct lease *lease = lease_add(member, process, file, &l);
    if (!lease)
        return;
    lease->assurance = m->kind;
    if (m->kind == ASSURANCE_MODE)
        file->inode->mode_assured++;
    m->message = (struct message){MESSAGE_LEASE_ASSURANCE, 0, process->pid, 0};
    m->id = lease->id;
    m->era = head->lease_era;
    m->fd = (int)head->args[0];
    if (link_send(remote_member_link(member), m, sizeof(*m)) < 0)
        lease_free(l, lease);
}

static void share(struct remote_member *member, const struct process *process, const struct call_head *head, int fd,
                  struct file *file)
{
    struct lease_listener_message m = {.era = head->lease_era, .fd = fd};
    struct lessee *l;
    if (output_may_be_held() || !tcp_share(file, &m.loan))
        return;
    struct lease *lease = lease_add(member, process, NULL, &l);
    if (!lease)
        return;
    lease->assurance = ASSURANCE_ACCEPT;
    m.message = (struct message){MESSAGE_LEASE_LISTENER, 0, process->pid, 0};
    m.id = lease->id;
    if (link_send(remote_member_link(member), &m, sizeof(m)) < 0)
        lease_free(l, lease);
}

static void offer_assurance(struct remote_member *member, const struct process *process, const struct call_head *head)
{
    struct lease_assurance_message m = {.kind = 0};
    bool watched = head->nr == __NR_epoll_ctl; /* who adds a listening socket to a set is going to accept from it */
    int fd = (int)head->args[watched ? 2 : 0];
    struct file *file = fd_table_file(process->files, fd, NULL);
    if (!file)
        return;
    int size = head->nr == __NR_getsockname ? tcp_listening_name(file, m.name) : 0;
    if (size > 0) {
        m.kind = ASSURANCE_NAME;
        m.size = (uint32_t)size;
        assure(member, process, head, &m, NULL);
    } else if (watched || head->nr == __NR_accept || head->nr == __NR_accept4) {
        share(member, process, head, fd, file);
    } else if (head->nr == __NR_fchmod && file_mode_assured(file)) {
        m.kind = ASSURANCE_MODE;
        assure(member, process, head, &m, file);
    }
    file_put(file);
}

void leases_offer(struct remote_member *member, struct process *process, const struct call_head *head, int64_t result,
                  uint64_t seen)
{
    char *path;
    if (head->lease_era == 0 || result < 0 || !process->files || !process->remote ||
        process->remote->member != member || process->ended || fd_table_shared(process->files))
        return;
    /* A server adds its sockets when it has just started, and then asks for nothing until connections come. */
    if (head->nr == __NR_epoll_ctl ? !is_unchanged(seen) : !is_quiet(seen))
        return;
    if (head->nr != __NR_openat) {
        offer_assurance(member, process, head);
        return;
    }
    struct file *file = fd_table_file(process->files, (int)result, NULL);
    if (!file)
        return;
    if (may_lease(file) && path_from_user(head->args[1], false, &path) == 0) {
        if (path[0] == '/' && strlen(path) < LEASE_PATH_MAX && leads_to(path, file) && may_lease(file) &&
            is_quiet(seen))
            grant(member, process, file, path, head->lease_era);
        kfree(path);
    }
    file_put(file);
}

/* ---- what members say ---- */

static void receive_broken(struct remote_member *member, struct record *record)
{
    const struct lease_number_message *m = (const struct lease_number_message *)record->data;
    struct lessee *l = record->size >= sizeof(*m) ? lessee_find(member) : NULL;
    if (l && l->asked && l->asked == m->number) {
        l->asked = 0;
        free_all(l);
        wake_up_all(&answers, 0);
    }
    kfree(record);
}

static void receive_synced(struct remote_member *member, struct record *record)
{
    const struct lease_number_message *m = (const struct lease_number_message *)record->data;
    struct lessee *l = record->size == sizeof(*m) ? lessee_find(member) : NULL;
    if (l && m->number > l->synced && m->number <= l->sync_asked) {
        l->synced = m->number;
        wake_up_all(&answers, 0);
    }
    kfree(record);
}

static void receive_drop(struct remote_member *member, struct record *record)
{
    const struct lease_number_message *m = (const struct lease_number_message *)record->data;
    struct lessee *l = record->size >= sizeof(*m) ? lessee_find(member) : NULL;
    struct lease *lease = l && m->number ? lease_find(l, m->number) : NULL;
    if (lease)
        lease_free(l, lease);
    else if (l && m->number == 0)
        free_all(l);
    if (l)
        wake_up_all(&answers, 0);
    kfree(record);
}

/* The file, open once more. */
static struct file *open_again(const struct lease *lease, const struct lease_opened_message *m)
{
    struct file *from = lease->file;
    struct file *file = file_new_inode(from->inode, from->ops, NULL, O_RDONLY | O_LARGEFILE | m->flags);
    if (!file)
        return NULL;
    file->dentry = dentry_get(from->dentry);
    file->pos = m->pos;
    return file;
}

static bool install(struct remote_member *member, const struct lease_opened_message *m)
{
    struct lessee *l = lessee_find(member);
    const struct lease *lease = l ? lease_find(l, m->id) : NULL;
    struct process *process = remote_process_of(member, &m->message);
    if (!lease || lease->assurance || !process || !process->files || lease->pid != process->pid || m->pos < 0 ||
        (m->flags & ~O_NONBLOCK))
        return false;
    struct file *old = fd_table_file(process->files, m->fd, NULL), *file = old ? NULL : open_again(lease, m);
    if (old)
        file_put(old);
    if (!file)
        return false;
    if (fd_table_set(process->files, m->fd, file, m->cloexec != 0) == 0)
        return true;
    file_put(file);
    return false;
}

/* The application has its descriptor: if that cannot be, for want of memory, its enclave ends. */
static void receive_opened(struct remote_member *member, struct record *record)
{
    const struct lease_opened_message *m = (const struct lease_opened_message *)record->data;
    if (record->size < sizeof(*m) || !install(member, m))
        spawn_kill(member);
    kfree(record);
}

static bool change_mode(struct remote_member *member, const struct lease_mode_message *m)
{
    struct lessee *l = lessee_find(member);
    const struct lease *lease = l ? lease_find(l, m->id) : NULL;
    const struct process *process = remote_process_of(member, &m->message);
    if (!lease || lease->assurance != ASSURANCE_MODE || !process || lease->pid != process->pid ||
        (m->mode & ~ASSURANCE_MODE_BITS))
        return false;
    file_mode_set(lease->file, m->mode, m->age_ns);
    return true;
}

static void receive_mode(struct remote_member *member, struct record *record)
{
    const struct lease_mode_message *m = (const struct lease_mode_message *)record->data;
    if (record->size != sizeof(*m) || !change_mode(member, m))
        spawn_kill(member);
    kfree(record);
}

uint64_t leases_changes(void)
{
    return changes;
}

void leases_init(void)
{
    static syscall_fn table[STATS_SYSCALL_MAX];
    memcpy(table, syscall_functions(), sizeof(table));
    for (size_t i = 0; i < ARRAY_COUNT(changing_calls); i++)
        if (table[changing_calls[i]])
            table[changing_calls[i]] = changing;
    syscall_use(table);
    remote_member_on_message(MESSAGE_LEASE_BROKEN, receive_broken);
    remote_member_on_message(MESSAGE_LEASE_DROP, receive_drop);
    remote_member_on_message(MESSAGE_LEASE_OPENED, receive_opened);
    remote_member_on_message(MESSAGE_LEASE_MODE, receive_mode);
    remote_member_on_message(MESSAGE_LEASE_SYNCED, receive_synced);
    inode_settle_assured = settle_modes;
}
