/* Handles (contract in handle.h). */
#include "kernel/remote/handle.h"

#include <linux/errno.h>

#include "kernel/fs/tmpfs.h"
#include "kernel/fs/vfs.h"
#include "kernel/ipc/ipc.h"
#include "kernel/lib/string.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/remote/process_message.h"
#include "kernel/remote/shared_home.h"

void handle_table_init(struct handle_table *table, int pid)
{
    table->pid = pid;
    TAILQ_INIT(&table->handles);
    table->last = 0;
}

static void handle_free(struct handle_table *table, struct handle *handle)
{
    TAILQ_REMOVE(&table->handles, handle, entry);
    shm_detached(handle->file->inode, table->pid);
    file_put(handle->file);
    kfree(handle);
}

void handle_table_free(struct handle_table *table)
{
    struct handle *handle;
    while ((handle = TAILQ_FIRST(&table->handles)) != NULL)
        handle_free(table, handle);
}

static struct handle *add(struct handle_table *table, uint64_t number, struct file *file)
{
    struct handle *handle = kzalloc(sizeof(*handle));
    if (!handle)
        return NULL;
    *handle = (struct handle){.number = number, .count = 1, .file = file_get(file)};
    TAILQ_INSERT_TAIL(&table->handles, handle, entry);
    table->last = MAX(table->last, number);
    return handle;
}

int handle_table_copy(struct handle_table *to, const struct handle_table *from)
{
    const struct handle *handle;
    TAILQ_FOREACH (handle, &from->handles, entry)
        if (!add(to, handle->number, handle->file))
            return -ENOMEM;
    return 0;
}

/* An unchanged file of the root image that nobody here can write to is as good from the member's own image. */
static void describe(struct file *file, uint64_t number, struct file_info *ret_info)
{
    const struct inode *inode = file->inode;
    uint64_t nid = overlay_unchanged(file->inode);
    *ret_info = (struct file_info){
        .handle = number,
        .nid = nid,
        .object = nid && !file_writable(file) ? 0 : shared_home_name(file->inode),
        .dev = inode->sb ? inode->sb->dev : 0,
        .ino = inode->ino,
        .size = inode->size,
        .mode = inode->mode,
        .uid = inode->uid,
        .gid = inode->gid,
        .flags = file->flags & 3,
    };
    char *path = file_path(file, ret_info->path, sizeof(ret_info->path));
    if (path)
        memmove(ret_info->path, path, strlen(path) + 1);
    else if (file->dentry)
        string_copy(ret_info->path, dentry_name(file->dentry), sizeof(ret_info->path));
}

int handle_add(struct handle_table *table, struct file *file, struct file_info *ret_info)
{
    struct handle *handle;
    TAILQ_FOREACH (handle, &table->handles, entry) {
        if (handle->file == file) {
            handle->count++;
            describe(file, handle->number, ret_info);
            return 0;
        }
    }
    handle = add(table, table->last + 1, file);
    if (!handle)
        return -ENOMEM;
    describe(file, handle->number, ret_info);
    return 0;
}

static struct handle *find(const struct handle_table *table, uint64_t number)
{
    struct handle *handle;
    TAILQ_FOREACH (handle, &table->handles, entry)
        if (handle->number == number)
            return handle;
    return NULL;
}

struct file *handle_file(const struct handle_table *table, uint64_t number)
{
    const struct handle *handle = find(table, number);
    return handle ? handle->file : NULL;
}

size_t handle_count(const struct handle_table *table, const struct inode *inode)
{
    const struct handle *handle;
    size_t count = 0;
    TAILQ_FOREACH (handle, &table->handles, entry)
        count += handle->file->inode == inode;
    return count;
}

void handle_drop(struct handle_table *table, uint64_t number, uint64_t count)
{
    struct handle *handle = find(table, number);
    if (!handle)
        return;
    handle->count -= MIN(count, handle->count);
    if (handle->count == 0)
        handle_free(table, handle);
}
