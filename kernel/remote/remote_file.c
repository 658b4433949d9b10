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
    struct file *file;  /* the one there is; not referenced */
    struct inode *root; /* of this enclave's root image; referenced; NULL: by handle */
    struct file_info info;
    uint64_t count; /* references to the handle that are to be given back */
};

static LIST_HEAD(, remote_inode) inodes = LIST_HEAD_INITIALIZER(inodes);

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
    struct handle_message m = {.message = {MESSAGE_HANDLE_READ, 0, process_self()->pid, task_current()->tid},
                               .handle = i->info.handle,
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

/* Nobody waits for an answer: without memory for the message the handle stays until the process ends. */
static void remote_evict(struct inode *inode)
{
    struct remote_inode *i = remote_inode(inode);
    struct handle_message m = {.message = {MESSAGE_HANDLE_PUT, 0, process_self()->pid, 0},
                               .handle = i->info.handle,
                               .count = (uint32_t)i->count};
    (void)!client_post(&m.message, sizeof(m));
    LIST_REMOVE(i, entry);
    inode_put(i->root);
    kfree(i);
}

static const struct inode_ops inode_ops = {.read_page = remote_read_page, .evict = remote_evict};
static const struct file_ops file_ops = {.mmap = NULL};

static struct remote_inode *find(uint64_t handle)
{
    struct remote_inode *i;
    LIST_FOREACH (i, &inodes, entry)
        if (i->info.handle == handle)
            return i;
    return NULL;
}

int remote_file_open(const struct file_info *info, struct file **ret_file)
{
    if (!file_info_ok(info))
        return -EPROTO;
    struct remote_inode *i = find(info->handle);
    if (i) {
        i->count++;
        *ret_file = file_get(i->file);
        return 0;
    }
    struct super_block *sb = remote_super(info->dev);
    i = sb ? kzalloc(sizeof(*i)) : NULL;
    if (!i)
        return -ENOMEM;
    inode_init(&i->inode, sb, &inode_ops, info->mode);
    i->inode.ino = info->ino;
    i->inode.size = info->size;
    i->inode.uid = info->uid;
    i->inode.gid = info->gid;
    i->info = *info;
    i->count = 1;
    if (info->nid && fs_root_inode(info->nid, &i->root) < 0)
        i->root = NULL;
    LIST_INSERT_HEAD(&inodes, i, entry);
    i->file = file_new_inode(&i->inode, &file_ops, NULL, O_RDONLY);
    inode_put(&i->inode);
    if (!i->file)
        return -ENOMEM;
    if (info->path[0])
        i->file->dentry = dentry_new_detached(&i->inode, info->path); /* without: nameless, and no worse */
    *ret_file = i->file;
    return 0;
}

const struct file_info *remote_file_info(const struct file *file)
{
    return &remote_inode(file->inode)->info;
}

int remote_file_get(int fd, struct file **ret_file)
{
    struct number_message m = {{MESSAGE_HANDLE_GET, 0, process_self()->pid, task_current()->tid}, fd};
    struct record *record;
    int r = client_request(&m.message, sizeof(m), &record);
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
