/*
 * What must not be seen outside before something is safe elsewhere (volumes with freshness `output`): a task that would
 * send waits until all that was acknowledged before is. A leaf: whoever sends asks, whoever acknowledges says.
 */
#ifndef COFRE_KERNEL_SCHED_OUTPUT_H
#define COFRE_KERNEL_SCHED_OUTPUT_H

#include "kernel/lib/list.h"
#include "kernel/lib/types.h"

struct output_hold {
    TAILQ_ENTRY(output_hold) link;
    uint64_t acknowledged, safe; /* both only grow */
};

void output_hold_add(struct output_hold *hold);
void output_acknowledged(struct output_hold *hold, uint64_t sequence);
void output_safe(struct output_hold *hold, uint64_t sequence);

bool output_may_be_held(void); /* is there anything that could ask for that? */
extern bool output_held;       /* something is acknowledged and not safe */
int output_wait(void) must_check;
/* Right before bytes leave. Sleeps. 0, or -EINTR if the current task is to end: then they must not. */
static inline must_check int output_settle(void)
{
    return unlikely(output_held) ? output_wait() : 0;
}

#endif
