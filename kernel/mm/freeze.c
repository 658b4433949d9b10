/* Holding back changes of mappings while fork copies them. */
#include "kernel/mm/mm.h"
#include "kernel/sched/wait.h"

static struct wait_queue thaw_wait = {TAILQ_HEAD_INITIALIZER(thaw_wait.entries)};

void mm_freeze(void)
{
    mm_self()->frozen++;
}

void mm_thaw(void)
{
    if (--mm_self()->frozen == 0)
        wake_up_all(&thaw_wait, 0);
}

/* No signal ends this: it lasts as long as the copy does, and what follows could not be undone. */
void mm_wait_thaw(void)
{
    struct wait_entry entry;

    if (likely(mm_self()->frozen == 0))
        return;
    wait_entry_init(&entry, NULL);
    wait_queue_add(&thaw_wait, &entry);
    for (;;) {
        task_prepare_sleep(false);
        if (mm_self()->frozen == 0)
            break;
        (void)!task_sleep(NO_DEADLINE);
    }
    task_cancel_sleep();
    wait_queue_remove(&entry);
}
