/*
 * System V IPC: shared memory, semaphores, message queues. All of it lives in the init enclave, where members' calls
 * are run by agents; only attaching memory happens where the caller is.
 */
#ifndef COFRE_KERNEL_IPC_IPC_H
#define COFRE_KERNEL_IPC_IPC_H

#include <linux/ipc.h>

#include "kernel/lib/list.h"
#include "kernel/lib/types.h"

struct file;
struct inode;
struct process;
struct seq;

/* What a kind has in common; first in each object. */
struct ipc_object {
    TAILQ_ENTRY(ipc_object) entry;
    int id;
    struct ipc64_perm perm;
    unsigned refcount; /* the table's, and one for each task that sleeps on it */
    bool removed;      /* by IPC_RMID: sleepers find that out */
};

struct ipc_table {
    TAILQ_HEAD(, ipc_object) objects; /* by id */
    int last_id;
    int count, max;
    /* A new object, of which the table sets the rest; or an error. */
    int (*make)(uint64_t size, struct ipc_object **ret_object);
    /* Is an existing one large enough? 0 or -EINVAL. */
    int (*check)(const struct ipc_object *object, uint64_t size);
    void (*free)(struct ipc_object *object);
};

/* The "get" calls: an id or -errno. */
int ipc_get(struct ipc_table *table, int key, uint64_t size, int flags);
struct ipc_object *ipc_find(const struct ipc_table *table, int id); /* NULL */
/* By id, and with permission for mode (as in S_IRUGO and S_IWUGO). 0, -EINVAL or -EACCES. */
must_check int ipc_access(const struct ipc_table *table, int id, unsigned mode, struct ipc_object **ret_object);
/* May the caller IPC_SET and IPC_RMID? */
bool ipc_is_owner(const struct ipc_object *object);
void ipc_set(struct ipc_object *object, const struct ipc64_perm *perm);
void ipc_put(struct ipc_table *table, struct ipc_object *object);
void ipc_remove(struct ipc_table *table, struct ipc_object *object);
int64_t ipc_now(void); /* seconds */

/* A process has ended: its SEM_UNDO. */
void ipc_process_ended(const struct process *process);

/*
 * shmat: the segment as a file of which a member gets a handle (shm_open_segment runs in the init enclave), and mapping
 * it, where the caller is.
 */
must_check int shm_open_segment(int id, int flags, struct file **ret_file);
int64_t shm_map(struct file *file, uaddr_t addr, int flags);
/* Handles of members to an inode, each of which stands for an attached segment: kernel/remote. */
size_t shm_attached_elsewhere(const struct inode *inode);
/* A process has one attach less of what may be a segment. */
void shm_detached(const struct inode *inode, int pid);

/* /proc/sysvipc: the objects of a kind as Linux shows them, all of them, to whoever reads. */
void shm_show(struct seq *seq);
void sem_show(struct seq *seq);
void msg_show(struct seq *seq);

#endif
