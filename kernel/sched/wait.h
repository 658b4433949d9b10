/*
 * Wait queues and timers: how a task sleeps and how anything wakes it. As in Linux, a waiter is a callback, so that
 * epoll, poll and plain sleepers use the same queues.
 */
#ifndef COFRE_KERNEL_SCHED_WAIT_H
#define COFRE_KERNEL_SCHED_WAIT_H

#include "kernel/lib/list.h"
#include "kernel/lib/types.h"

struct task;
struct wait_entry;

/* events: EPOLL* bits that became true (0 = unspecified). Returns true if an exclusive waiter was woken. */
typedef bool (*wait_fn)(struct wait_entry *entry, uint32_t events);

struct wait_entry {
    TAILQ_ENTRY(wait_entry) link;
    struct wait_queue *queue; /* NULL when on none */
    wait_fn fn;
    struct task *task;
    bool exclusive; /* wake_one stops after this one */
};

struct wait_queue {
    TAILQ_HEAD(wait_list, wait_entry) entries;
};

void wait_queue_init(struct wait_queue *queue);
/* An entry whose fn wakes `task` (NULL: the current one). */
void wait_entry_init(struct wait_entry *entry, struct task *task);
void wait_queue_add(struct wait_queue *queue, struct wait_entry *entry);
void wait_queue_add_exclusive(struct wait_queue *queue, struct wait_entry *entry);
void wait_queue_remove(struct wait_entry *entry); /* fine if on none */
bool wait_queue_active(const struct wait_queue *queue);

void wake_up(struct wait_queue *queue, uint32_t events); /* all plain waiters and one exclusive */
void wake_up_all(struct wait_queue *queue, uint32_t events);
void wake_up_next(struct wait_queue *queue, uint32_t events); /* one exclusive waiter: the plain ones know already */

#define NO_DEADLINE UINT64_MAX

/*
 * Sleeping, low level: task_prepare_sleep(); check the condition; task_sleep(); repeat. A wake-up between prepare and
 * sleep makes task_sleep return at once. Returns 0 when woken, -EINTR if interruptible and a signal is pending,
 * -ETIMEDOUT once CLOCK_MONOTONIC reaches deadline_ns. The kernel lock is released while asleep.
 */
void task_prepare_sleep(bool interruptible);
void task_prepare_sleep_killable(void); /* interruptible by nothing but what ends the process; may wake for no reason */
must_check int task_sleep(uint64_t deadline_ns);
void task_cancel_sleep(void); /* the condition came true after prepare: stay running */

/* Sleep on queue until condition; 0, -ERESTARTSYS or -ETIMEDOUT. */
#define wait_event_deadline(queue, condition, deadline_ns)                                                             \
    ({                                                                                                                 \
        int wait_result_ = 0;                                                                                          \
        if (!(condition)) {                                                                                            \
            struct wait_entry wait_entry_;                                                                             \
            wait_entry_init(&wait_entry_, NULL);                                                                       \
            wait_queue_add((queue), &wait_entry_);                                                                     \
            for (;;) {                                                                                                 \
                task_prepare_sleep(true);                                                                              \
                if (condition) {                                                                                       \
                    task_cancel_sleep();                                                                               \
                    wait_result_ = 0;                                                                                  \
                    break;                                                                                             \
                }                                                                                                      \
                if (wait_result_ != 0) {                                                                               \
                    task_cancel_sleep();                                                                               \
                    break;                                                                                             \
                }                                                                                                      \
                wait_result_ = task_sleep(deadline_ns);                                                                \
            }                                                                                                          \
            wait_queue_remove(&wait_entry_);                                                                           \
            if (wait_result_ == -4 /* EINTR */)                                                                        \
                wait_result_ = -ERESTARTSYS;                                                                           \
        }                                                                                                              \
        wait_result_;                                                                                                  \
    })
#define wait_event(queue, condition) wait_event_deadline(queue, condition, NO_DEADLINE)

/* Timers fire from the idle loop, the tick, or any kernel entry after their time; fn runs with the kernel lock held. */
struct timer {
    RB_ENTRY(timer) node;
    uint64_t deadline_ns; /* CLOCK_MONOTONIC */
    void (*fn)(struct timer *timer);
    bool armed;
    bool urgent;
};
void timer_init(struct timer *timer, void (*fn)(struct timer *timer));
void timer_arm(struct timer *timer, uint64_t deadline_ns); /* re-arms if armed */
/* For times much shorter than a tick: each return to user code looks at it, too. */
void timer_arm_urgent(struct timer *timer, uint64_t deadline_ns);
bool timer_cancel(struct timer *timer); /* true if it was armed */

#endif
