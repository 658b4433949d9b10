/*
 * timer_create and its family. A periodic timer goes on only when its signal has been taken (posix_timer_dequeued),
 * which is also when its overruns are counted: so a fast timer cannot flood the queue.
 */
#include <linux/errno.h>
#include <linux/time.h>

#include "kernel/lib/string.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/mm/uaccess.h"
#include "kernel/process/clock.h"
#include "kernel/process/posix_timer.h"
#include "kernel/process/siginfo.h"
#include "kernel/process/table.h"
#include "kernel/syscalls/syscall.h"

#define TIMER_COUNT_MAX 4096
#define CPU_TIMER_STEP_NS 1000000ULL
#define IGNORED_TIMER_STEP_NS 1000000ULL
#ifndef TIMER_ABSTIME
#define TIMER_ABSTIME 1
#endif

struct posix_timer {
    struct timer timer;
    struct process *process;
    int id, clock;
    int notify, signal, tid; /* SIGEV_*; tid of the thread to tell, or 0 */
    uint64_t value;
    uint64_t expires; /* on its clock; 0 = disarmed */
    uint64_t interval;
    uint64_t overrun; /* being counted since the last signal was queued */
    int overrun_last; /* of the last signal taken */
    bool queued;
};

struct posix_timers {
    struct posix_timer *of[TIMER_COUNT_MAX];
};

static struct posix_timer *timer_of(const struct process *process, int id)
{
    return id >= 0 && id < TIMER_COUNT_MAX && process->posix_timers ? process->posix_timers->of[id] : NULL;
}

static struct posix_timer *timer_find(int id)
{
    return timer_of(process_self(), id);
}

static bool on_cpu_clock(const struct posix_timer *t)
{
    return !clock_is_timeline(t->clock);
}

static uint64_t timer_now(const struct posix_timer *t)
{
    uint64_t ns;
    return clock_read_bound(t->clock, &ns) < 0 ? 0 : ns;
}

static void timer_rearm(struct posix_timer *t)
{
    if (!on_cpu_clock(t)) {
        timer_arm(&t->timer, clock_deadline_at(t->clock, t->expires));
        return;
    }
    uint64_t now = timer_now(t);
    uint64_t left = t->expires > now ? t->expires - now : 0;
    timer_arm(&t->timer, clock_deadline_after(MAX(left / vcpu_count(), CPU_TIMER_STEP_NS)));
}

/* Move expires past now; returns the periods that went by besides the first. */
static uint64_t timer_forward(struct posix_timer *t, uint64_t now)
{
    if (now < t->expires)
        return 0;
    uint64_t periods = (now - t->expires) / t->interval + 1;
    t->expires += periods * t->interval;
    return periods;
}

static void timer_fire(struct timer *timer)
{
    struct posix_timer *t = container_of(timer, struct posix_timer, timer);
    uint64_t now = timer_now(t);
    if (t->expires == 0)
        return;
    if (now < t->expires) {
        timer_rearm(t);
        return;
    }
    if (t->notify == SIGEV_NONE) {
        if (t->interval)
            timer_forward(t, now);
        return;
    }
    struct signal_source source = {.signal = t->signal, .code = SI_TIMER, .pid = t->id, .value = t->value};
    struct task *task = t->tid ? task_find(t->tid) : NULL;
    if (t->tid && (!task || task->process != t->process))
        return;
    t->overrun = 0;
    t->queued = true;
    int r = signal_queue(t->process, task, &source, SIGNAL_SEND_TIMER);
    if (r == 0)
        return;
    t->queued = false;
    if (t->interval) {
        /* Nobody takes the signal: keep the time without spinning on tiny intervals. */
        timer_forward(t, now);
        timer_arm(&t->timer, MAX(on_cpu_clock(t) ? 0 : clock_deadline_at(t->clock, t->expires),
                                 clock_deadline_after(IGNORED_TIMER_STEP_NS)));
    } else {
        t->expires = 0;
    }
}

void posix_timer_dequeued(struct process *process, struct signal_source *source)
{
    struct posix_timer *t = timer_of(process, source->pid);
    source->uid = 0;
    if (!t || !t->queued)
        return;
    t->queued = false;
    if (t->interval == 0) {
        t->expires = 0;
        t->overrun_last = 0;
    } else {
        uint64_t periods = timer_forward(t, timer_now(t));
        uint64_t overrun = periods > 0 ? periods - 1 : 0;
        t->overrun_last = (int)MIN(overrun, (uint64_t)INT32_MAX);
        timer_rearm(t);
    }
    source->uid = (uint32_t)t->overrun_last;
}

static int sigevent_check(struct posix_timer *t, const sigevent_t *event)
{
    t->notify = event->sigev_notify;
    t->signal = event->sigev_signo;
    memcpy(&t->value, &event->sigev_value, sizeof t->value);
    switch (t->notify) {
    case SIGEV_NONE:
        return 0;
    case SIGEV_THREAD_ID:
        t->tid = event->_sigev_un._tid;
        if (!thread_find(t->tid))
            return -EINVAL;
        break;
    case SIGEV_SIGNAL:
    case SIGEV_THREAD:
        break;
    default:
        return -EINVAL;
    }
    return t->signal >= 1 && t->signal <= SIGNAL_MAX ? 0 : -EINVAL;
}

SYSCALL_DEFINE3(timer_create, int, clock, uaddr_t, user_event, uaddr_t, user_id)
{
    uint64_t now;
    int r = clock_read(clock, &now);
    if (r < 0)
        return r;
    if (clock == CLOCK_REALTIME_COARSE || clock == CLOCK_MONOTONIC_COARSE || clock == CLOCK_MONOTONIC_RAW)
        return -EOPNOTSUPP;
    sigevent_t event;
    if (user_event && copy_from_user(&event, user_event, sizeof event) < 0)
        return -EFAULT;
    struct process *process = process_self();
    if (!process->posix_timers && !(process->posix_timers = kzalloc(sizeof *process->posix_timers)))
        return -EAGAIN;
    struct posix_timer **timers = process->posix_timers->of;
    int id = 0;
    while (id < TIMER_COUNT_MAX && timers[id])
        id++;
    struct posix_timer *t = id < TIMER_COUNT_MAX ? kzalloc(sizeof *t) : NULL;
    if (!t)
        return -EAGAIN;
    t->process = process;
    t->id = id;
    t->clock = clock_bind(clock);
    t->notify = SIGEV_SIGNAL;
    t->signal = SIGALRM;
    t->value = (uint64_t)id;
    r = user_event ? sigevent_check(t, &event) : 0;
    if (r == 0)
        r = put_user32(user_id, (uint32_t)id);
    if (r < 0) {
        kfree(t);
        return r;
    }
    timer_init(&t->timer, timer_fire);
    timers[id] = t;
    return 0;
}

static void timer_value(const struct posix_timer *t, struct __kernel_itimerspec *ret)
{
    *ret = (struct __kernel_itimerspec){.it_interval = timespec_of_ns(t->interval)};
    if (t->expires == 0)
        return;
    uint64_t now = timer_now(t), expires = t->expires;
    if (now >= expires && t->interval)
        expires += ((now - expires) / t->interval + 1) * t->interval;
    bool over = now >= expires;
    /* An expired one-shot without notification reads as zero; one whose signal waits as about to expire. */
    if (over && t->notify == SIGEV_NONE)
        return;
    ret->it_value = timespec_of_ns(over ? (t->queued ? 0 : 1) : expires - now);
}

SYSCALL_DEFINE2(timer_gettime, int, id, uaddr_t, user_value)
{
    struct posix_timer *t = timer_find(id);
    if (!t)
        return -EINVAL;
    struct __kernel_itimerspec value;
    timer_value(t, &value);
    return copy_to_user(user_value, &value, sizeof value);
}

SYSCALL_DEFINE4(timer_settime, int, id, int, flags, uaddr_t, user_new, uaddr_t, user_old)
{
    struct __kernel_itimerspec new, old;
    if (!user_new)
        return -EINVAL;
    if (copy_from_user(&new, user_new, sizeof new) < 0)
        return -EFAULT;
    uint64_t value, interval;
    if (timespec_to_ns(&value, &new.it_value) < 0 || timespec_to_ns(&interval, &new.it_interval) < 0)
        return -EINVAL;
    struct posix_timer *t = timer_find(id);
    if (!t)
        return -EINVAL;
    timer_value(t, &old);
    timer_cancel(&t->timer);
    t->queued = false;
    t->interval = interval;
    t->overrun_last = 0;
    t->expires = 0;
    if (value) {
        uint64_t now = timer_now(t);
        t->expires = flags & TIMER_ABSTIME ? value : now + MIN(value, NS_MAX - now);
        timer_rearm(t);
        if (t->expires <= now) {
            timer_cancel(&t->timer);
            timer_fire(&t->timer);
        }
    }
    return user_old ? copy_to_user(user_old, &old, sizeof old) : 0;
}

SYSCALL_DEFINE1(timer_getoverrun, int, id)
{
    struct posix_timer *t = timer_find(id);
    return t ? t->overrun_last : -EINVAL;
}

static void timer_delete_one(struct posix_timer *t)
{
    timer_cancel(&t->timer);
    t->process->posix_timers->of[t->id] = NULL;
    kfree(t);
}

SYSCALL_DEFINE1(timer_delete, int, id)
{
    struct posix_timer *t = timer_find(id);
    if (!t)
        return -EINVAL;
    timer_delete_one(t);
    return 0;
}

void posix_timers_delete(struct process *process)
{
    for (int i = 0; process->posix_timers && i < TIMER_COUNT_MAX; i++) {
        if (process->posix_timers->of[i])
            timer_delete_one(process->posix_timers->of[i]);
    }
    kfree(process->posix_timers);
    process->posix_timers = NULL;
}
