/* Files of the init enclave in a member (contract in remote_file.h). */
#include "kernel/remote/remote_file.h"

#include <linux/errno.h>
#include <linux/fcntl.h>

#include "kernel/fs/vfs.h"
#include "kernel/lib/string.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/remote/check.h"
#include "kernel/remote/client.h"
#include "kernel/sched/task.h"

struct remote_inode {
    struct inode inode; /* first */
    LIST_ENTRY(remote_inode) entry;
    struct inode *root; /* of this enclave's root image; referenced; NULL: by handle */
    uint64_t object;    /* struct file_info */
    LIST_HEAD(, remote_file) files;
};

/* file->private */
struct remote_file {
    LIST_ENTRY(remote_file) entry, by_inode;
    struct file *file; /* the one there is; not referenced */
    struct file_info info;
    uint64_t count; /* references to the handle that are to be given back */
};

static LIST_HEAD(, remote_inode) inodes = LIST_HEAD_INITIALIZER(inodes);
static LIST_HEAD(, remote_file) files = LIST_HEAD_INITIALIZER(files);

/* The file systems that the init enclave's files are of, by their device number alone. */
struct remote_super {
    struct super_block sb;
    LIST_ENTRY(remote_super) entry;
};

static LIST_HEAD(, remote_super) supers = LIST_HEAD_INITIALIZER(supers);

static struct super_block *remote_super(uint64_t dev)
{
    struct remote_super *s;
    LIST_FOREACH (s, &supers, entry)
        if (s->sb.dev == dev)
            return &s->sb;
    s = kzalloc(sizeof(*s));
    if (!s)
        return NULL;
    s->sb.type = "remote";
    s->sb.dev = dev;
    LIST_INSERT_HEAD(&supers, s, entry);
    return &s->sb;
}

static struct remote_inode *remote_inode(const struct inode *inode)
{
    return container_of(inode, struct remote_inode, inode);
}

static int read_handle(const struct remote_inode *i, uint64_t index, void *page)
{
    const struct remote_file *f = LIST_FIRST(&i->files);
    struct handle_message m = {.message = {MESSAGE_HANDLE_READ, 0, process_self()->pid, task_current()->tid},
                               .handle = f->info.handle,
                               .index = index,
                               .count = 1};
    struct record *record;
    int r = client_request(&m.message, sizeof(m), &record);
    if (r < 0)
        return -EIO;
    const struct read_answer *answer = (const struct read_answer *)record->data;
    r = record->size >= sizeof(*answer) + PAGE_SIZE && answer->result == 1 ? 0 : -EIO;
    if (r == 0)
        memcpy(page, answer->pages, PAGE_SIZE);
    kfree(record);
    return r;
}

static int remote_read_page(struct inode *inode, uint64_t index, void *page)
{
    struct remote_inode *i = remote_inode(inode);
    return i->root ? i->root->ops->read_page(i->root, index, page) : read_handle(i, index, page);
}

static ssize_t remote_read_pages(struct inode *inode, uint64_t index, size_t count, void *pages)
{
    struct remote_inode *i = remote_inode(inode);
    if (i->root && i->root->ops->read_pages)
        return i->root->ops->read_pages(i->root, index, count, pages);
    int r = remote_read_page(inode, index, pages);
    return r < 0 ? r : 1;
}

static int64_t remote_root_block(struct inode *inode, uint64_t index)
{
    struct remote_inode *i = remote_inode(inode);
    return i->root && i->root->ops->root_block ? i->root->ops->root_block(i->root, index) : -1;
}

/* Pages of shared files go back by kernel/mm/shared.c. */
static int no_write_page(struct inode *inode, uint64_t index, const void *page)
{
    (void)inode;
    (void)index;
    (void)page;
    return -EIO;
}

static void remote_evict(struct inode *inode)
{
    struct remote_inode *i = remote_inode(inode);
    LIST_REMOVE(i, entry);
    inode_put(i->root);
    kfree(i);
}

/* Nobody waits for an answer: without memory for the message the handle stays until the process ends. */
static void release(struct file *file)
{
    struct remote_file *f = file->private;
    struct handle_message m = {.message = {MESSAGE_HANDLE_PUT, 0, process_self()->pid, 0},
                               .handle = f->info.handle,
                               .count = (uint32_t)f->count};
    (void)!client_post(&m.message, sizeof(m));
    LIST_REMOVE(f, entry);
    LIST_REMOVE(f, by_inode);
    kfree(f);
}

/* msync. */
static int sync_handle(struct file *file, bool data_only)
{
    const struct remote_file *f = file->private;
    struct handle_message m = {.message = {MESSAGE_HANDLE_SYNC, 0, process_self()->pid, task_current()->tid},
                               .handle = f->info.handle};
    struct record *record;
    (void)data_only;
    int r = client_request(&m.message, sizeof(m), &record);
    if (r < 0)
        return r;
    const struct number_message *answer = (const struct number_message *)record->data;
    r = record->size < sizeof(*answer) ? -EPROTO : answer->number == 0 ? 0 : answer_error(answer->number);
    kfree(record);
    return r;
}

static const struct inode_ops plain_ops = {.read_page = remote_read_page,
                                           .read_pages = remote_read_pages,
                                           .root_block = remote_root_block,
                                           .evict = remote_evict};
static const struct inode_ops shared_inode_ops = {
    .read_page = remote_read_page, .write_page = no_write_page, .evict = remote_evict};
static const struct file_ops file_ops = {.fsync = sync_handle, .release = release};

static struct remote_file *find(uint64_t handle)
{
    struct remote_file *f;
    LIST_FOREACH (f, &files, entry)
        if (f->info.handle == handle)
            return f;
    return NULL;
}

uint64_t remote_file_object(const struct inode *inode)
{
    return inode->ops == &shared_inode_ops ? remote_inode(inode)->object : 0;
}

struct inode *remote_file_inode(uint64_t object)
{
    struct remote_inode *i;
    LIST_FOREACH (i, &inodes, entry)
        if (i->object == object && object != 0)
            return &i->inode;
    return NULL;
}

static struct inode *inode_new(const struct file_info *info)
{
    struct super_block *sb = remote_super(info->dev);
    struct remote_inode *i = sb ? kzalloc(sizeof(*i)) : NULL;
    if (!i)
        return NULL;
    inode_init(&i->inode, sb, info->object ? &shared_inode_ops : &plain_ops, info->mode);
    i->inode.ino = info->ino;
    i->inode.uid = info->uid;
    i->inode.gid = info->gid;
    i->object = info->object;
    if (info->nid && !info->object && fs_root_inode(info->nid, &i->root) < 0)
        i->root = NULL;
    LIST_INIT(&i->files);
    LIST_INSERT_HEAD(&inodes, i, entry);
    return &i->inode;
}

int remote_file_open(const struct file_info *info, struct file **ret_file)
{
    if (!file_info_ok(info))
        return -EPROTO;
    struct remote_file *f = find(info->handle);
    if (f) {
        f->count++;
        f->file->inode->size = info->size;
        *ret_file = file_get(f->file);
        return 0;
    }
    f = kzalloc(sizeof(*f));
    struct inode *inode = remote_file_inode(info->object);
    inode = !f ? NULL : inode ? inode_get(inode) : inode_new(info);
    if (!inode) {
        kfree(f);
        return -ENOMEM;
    }
    inode->size = info->size;
    f->file = file_new_inode(inode, &file_ops, f, info->flags & 3);
    if (f->file) {
        f->info = *info;
        f->count = 1;
        LIST_INSERT_HEAD(&files, f, entry);
        LIST_INSERT_HEAD(&remote_inode(inode)->files, f, by_inode);
    }
    inode_put(inode);
    if (!f->file) {
        kfree(f);
        return -ENOMEM;
    }
    if (info->path[0])
        f->file->dentry = dentry_new_detached(f->file->inode, info->path); /* without: nameless, and no worse */
    *ret_file = f->file;
    return 0;
}

const struct file_info *remote_file_info(const struct file *file)
{
    return &((const struct remote_file *)file->private)->info;
}

int remote_file_request(struct message *message, size_t size, struct file **ret_file)
{
    struct record *record;
    int r = client_request(message, size, &record);
    if (r < 0)
        return r;
    const struct file_answer *answer = (const struct file_answer *)record->data;
    if (record->size < sizeof(struct number_message))
        r = -EPROTO;
    else if (answer->result < 0 || record->size < sizeof(*answer))
        r = answer_error(answer->result);
    else if ((answer->info.flags & 3) == O_WRONLY)
        r = -EACCES;
    else
        r = remote_file_open(&answer->info, ret_file);
    kfree(record);
    return r;
}

int remote_file_get(int fd, struct file **ret_file)
{
    struct number_message m = {{MESSAGE_HANDLE_GET, 0, process_self()->pid, task_current()->tid}, fd};
    return remote_file_request(&m.message, sizeof(m), ret_file);
}
