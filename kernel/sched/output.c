/* Output that waits for what it follows from (contract in output.h). */
#include "kernel/sched/output.h"

#include <linux/errno.h>

#include "kernel/sched/wait.h"

bool output_held;
static TAILQ_HEAD(, output_hold) holds = TAILQ_HEAD_INITIALIZER(holds);
static struct wait_queue released = {TAILQ_HEAD_INITIALIZER(released.entries)};

static void look(void)
{
    const struct output_hold *hold;
    bool held = false;
    TAILQ_FOREACH (hold, &holds, link)
        held = held || hold->safe < hold->acknowledged;
    output_held = held;
}

void output_hold_add(struct output_hold *hold)
{
    TAILQ_INSERT_TAIL(&holds, hold, link);
}

bool output_may_be_held(void)
{
    return !TAILQ_EMPTY(&holds);
}

void output_acknowledged(struct output_hold *hold, uint64_t sequence)
{
    hold->acknowledged = MAX(hold->acknowledged, sequence);
    look();
}

void output_safe(struct output_hold *hold, uint64_t sequence)
{
    hold->safe = MAX(hold->safe, sequence);
    look();
    wake_up_all(&released, 0);
}

/* For one volume, as far as it was acknowledged when the wait began: what others sync meanwhile is not waited for. */
static int wait_for(const struct output_hold *hold)
{
    struct wait_entry entry;
    uint64_t sequence = hold->acknowledged;
    int error = 0;
    wait_entry_init(&entry, NULL);
    wait_queue_add(&released, &entry);
    for (;;) {
        task_prepare_sleep_killable();
        if (hold->safe >= sequence || error == -EINTR)
            break;
        error = task_sleep(NO_DEADLINE);
    }
    task_cancel_sleep();
    wait_queue_remove(&entry);
    return hold->safe >= sequence ? 0 : -EINTR;
}

int output_wait(void)
{
    const struct output_hold *hold;
    int error = 0;
    TAILQ_FOREACH (hold, &holds, link)
        error = error < 0 ? error : wait_for(hold);
    return error;
}
