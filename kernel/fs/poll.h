/* poll, select and epoll share this: a file's poll operation registers waiters through a poll_table. */
#ifndef COFRE_KERNEL_FS_POLL_H
#define COFRE_KERNEL_FS_POLL_H

#include <linux/eventpoll.h>

#include "kernel/sched/wait.h"

struct file;

struct poll_table {
    /* Registers interest in queue; called by file operations through poll_wait(). */
    void (*queue_fn)(struct poll_table *table, struct file *file, struct wait_queue *queue);
};

static inline void poll_wait(struct poll_table *table, struct file *file, struct wait_queue *queue)
{
    if (table && table->queue_fn)
        table->queue_fn(table, file, queue);
}

uint32_t file_poll(struct file *file, struct poll_table *table);
/* The last reference of file is going: remove it from every epoll set. */
void epoll_file_released(struct file *file);

#endif
