/* Objects of System V IPC: keys, ids and permissions (contract in ipc.h). */
#include "kernel/ipc/ipc.h"

#include <linux/capability.h>
#include <linux/errno.h>

#include "kernel/fs/inode.h"
#include "kernel/process/credentials.h"
#include "kernel/process/process.h"

int64_t ipc_now(void)
{
    return time_now().sec;
}

static int check_permission(const struct ipc_object *object, unsigned flags)
{
    const struct credentials *c = &process_self()->credentials;
    const struct ipc64_perm *p = &object->perm;
    unsigned wanted = (flags >> 6 | flags >> 3 | flags) & 7, granted = p->mode;
    if (c->euid == p->uid || c->euid == p->cuid)
        granted >>= 6;
    else if (credentials_in_group(c, p->gid) || credentials_in_group(c, p->cgid))
        granted >>= 3;
    return (wanted & ~granted) && !process_capable(CAP_IPC_OWNER) ? -EACCES : 0;
}

struct ipc_object *ipc_find(const struct ipc_table *table, int id)
{
    struct ipc_object *object;
    TAILQ_FOREACH (object, &table->objects, entry)
        if (object->id == id)
            return object;
    return NULL;
}

static int make(struct ipc_table *table, int key, uint64_t size, int flags)
{
    const struct credentials *c = &process_self()->credentials;
    struct ipc_object *object;
    if (table->count >= table->max)
        return -ENOSPC;
    int r = table->make(size, &object);
    if (r < 0)
        return r;
    object->id = table->last_id++;
    object->refcount = 1;
    object->perm = (struct ipc64_perm){.key = key,
                                       .uid = c->euid,
                                       .gid = c->egid,
                                       .cuid = c->euid,
                                       .cgid = c->egid,
                                       .mode = flags & 0777,
                                       .seq = (unsigned short)object->id};
    TAILQ_INSERT_TAIL(&table->objects, object, entry);
    table->count++;
    return object->id;
}

int ipc_get(struct ipc_table *table, int key, uint64_t size, int flags)
{
    struct ipc_object *object = NULL;
    if (key != IPC_PRIVATE)
        TAILQ_FOREACH (object, &table->objects, entry)
            if (object->perm.key == key)
                break;
    if (!object)
        return key == IPC_PRIVATE || (flags & IPC_CREAT) ? make(table, key, size, flags) : -ENOENT;
    if ((flags & IPC_CREAT) && (flags & IPC_EXCL))
        return -EEXIST;
    int r = table->check(object, size);
    if (r == 0)
        r = check_permission(object, (unsigned)flags & 0777);
    return r < 0 ? r : object->id;
}

int ipc_access(const struct ipc_table *table, int id, unsigned mode, struct ipc_object **ret_object)
{
    *ret_object = ipc_find(table, id);
    return *ret_object ? check_permission(*ret_object, mode) : -EINVAL;
}

bool ipc_is_owner(const struct ipc_object *object)
{
    uint32_t euid = process_self()->credentials.euid;
    return euid == object->perm.uid || euid == object->perm.cuid || process_capable(CAP_SYS_ADMIN);
}

void ipc_set(struct ipc_object *object, const struct ipc64_perm *perm)
{
    object->perm.uid = perm->uid;
    object->perm.gid = perm->gid;
    object->perm.mode = (object->perm.mode & ~0777u) | (perm->mode & 0777);
}

void ipc_put(struct ipc_table *table, struct ipc_object *object)
{
    if (--object->refcount == 0)
        table->free(object);
}

void ipc_remove(struct ipc_table *table, struct ipc_object *object)
{
    object->removed = true;
    TAILQ_REMOVE(&table->objects, object, entry);
    table->count--;
    ipc_put(table, object);
}
