/* Wait queues: lists of callbacks. */
#include "kernel/sched/wait.h"

#include "kernel/sched/task.h"

static bool wake_task(struct wait_entry *entry, uint32_t events)
{
    (void)events;
    task_wake(entry->task);
    return true;
}

void wait_queue_init(struct wait_queue *queue)
{
    TAILQ_INIT(&queue->entries);
}

void wait_entry_init(struct wait_entry *entry, struct task *task)
{
    *entry = (struct wait_entry){.fn = wake_task, .task = task ? task : task_current()};
}

void wait_queue_add(struct wait_queue *queue, struct wait_entry *entry)
{
    entry->queue = queue;
    entry->exclusive = false;
    TAILQ_INSERT_HEAD(&queue->entries, entry, link); /* plain ones before exclusive ones */
}

void wait_queue_add_exclusive(struct wait_queue *queue, struct wait_entry *entry)
{
    entry->queue = queue;
    entry->exclusive = true;
    TAILQ_INSERT_TAIL(&queue->entries, entry, link);
}

void wait_queue_remove(struct wait_entry *entry)
{
    if (!entry->queue)
        return;
    TAILQ_REMOVE(&entry->queue->entries, entry, link);
    entry->queue = NULL;
}

bool wait_queue_active(const struct wait_queue *queue)
{
    return !TAILQ_EMPTY(&queue->entries);
}

static void wake(struct wait_queue *queue, uint32_t events, bool all)
{
    struct wait_entry *entry, *next;
    TAILQ_FOREACH_SAFE (entry, &queue->entries, link, next) {
        bool exclusive = entry->exclusive; /* the callback may free the entry */
        if (entry->fn(entry, events) && exclusive && !all)
            return;
    }
}

void wake_up(struct wait_queue *queue, uint32_t events)
{
    wake(queue, events, false);
}

void wake_up_next(struct wait_queue *queue, uint32_t events)
{
    struct wait_entry *entry, *next;
    TAILQ_FOREACH_SAFE (entry, &queue->entries, link, next)
        if (entry->exclusive && entry->fn(entry, events))
            return;
}

void wake_up_all(struct wait_queue *queue, uint32_t events)
{
    wake(queue, events, true);
}
