/* Timers: a tree by deadline. */
#include "kernel/sched/sched.h"
#include "kernel/sched/time.h"
#include "kernel/sched/wait.h"

RB_HEAD(timer_tree, timer);
static struct timer_tree timers = RB_INITIALIZER(&timers);
static struct timer *first; /* cached leftmost */
unsigned timers_urgent;

static int timer_compare(const struct timer *a, const struct timer *b)
{
    if (a->deadline_ns != b->deadline_ns)
        return a->deadline_ns < b->deadline_ns ? -1 : 1;
    return a < b ? -1 : a > b;
}

RB_PROTOTYPE(timer_tree, timer, node, timer_compare)
RB_GENERATE(timer_tree, timer, node, timer_compare)

void timer_init(struct timer *timer, void (*fn)(struct timer *timer))
{
    *timer = (struct timer){.fn = fn};
}

void timer_arm(struct timer *timer, uint64_t deadline_ns)
{
    timer_cancel(timer);
    timer->deadline_ns = deadline_ns;
    timer->armed = true;
    RB_INSERT(timer_tree, &timers, timer);
    if (!first || timer_compare(timer, first) < 0)
        first = timer;
}

void timer_arm_urgent(struct timer *timer, uint64_t deadline_ns)
{
    timer_arm(timer, deadline_ns);
    timer->urgent = true;
    timers_urgent++;
}

bool timer_cancel(struct timer *timer)
{
    if (!timer->armed)
        return false;
    if (timer == first)
        first = RB_NEXT(timer_tree, &timers, timer);
    RB_REMOVE(timer_tree, &timers, timer);
    timer->armed = false;
    timers_urgent -= timer->urgent;
    timer->urgent = false;
    return true;
}

uint64_t timers_next_ns(void)
{
    return first ? first->deadline_ns : NO_DEADLINE;
}

void timers_run(uint64_t now_ns)
{
    while (first && first->deadline_ns <= now_ns) {
        struct timer *timer = first;
        timer_cancel(timer);
        timer->fn(timer);
    }
}
