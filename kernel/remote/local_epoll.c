/* epoll sets in two parts (contract in local_epoll.h). */
#include "kernel/remote/local_epoll.h"

#include <asm/unistd_64.h>
#include <linux/errno.h>

#include "kernel/fs/epoll.h"
#include "kernel/fs/poll_time.h"
#include "kernel/lib/list.h"
#include "kernel/lib/string.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/mm/uaccess.h"
#include "kernel/net/net.h"
#include "kernel/process/signal.h"
#include "kernel/process/table.h"
#include "kernel/remote/borrower.h"
#include "kernel/remote/client.h"
#include "kernel/remote/loan_message.h"
#include "kernel/remote/member.h"
#include "kernel/remote/waiting.h"
#include "kernel/sched/task.h"

#define HALVES_MAX 16
#define EVENTS_FAST 64

/* The part here of the set at epfd. */
struct half {
    LIST_ENTRY(half) entry;
    unsigned users; /* waits, and one while it is in the list */
    int epfd;
    bool closed;
    bool armed; /* the init enclave will say when there is something in its part */
    bool fired; /* it has */
    uint64_t id;
    struct file *file;
};

static LIST_HEAD(, half) halves = LIST_HEAD_INITIALIZER(halves);
static unsigned half_count;
static uint64_t last_id;
static bool dissolved;

static struct half *find(int epfd)
{
    struct half *h;
    LIST_FOREACH (h, &halves, entry)
        if (h->epfd == epfd)
            return h;
    return NULL;
}

static void put(struct half *h)
{
    if (--h->users > 0)
        return;
    file_put(h->file);
    kfree(h);
}

static void say_watch(const struct half *h, bool on)
{
    struct watch_message m = {
        .message = {MESSAGE_WATCH, 0, process_first()->pid, 0}, .id = h->id, .fd = h->epfd, .on = on};
    if (client_post(&m.message, sizeof(m)) < 0)
        member_end("no memory to watch a descriptor");
}

static struct half *half_new(int epfd)
{
    struct half *h = half_count < HALVES_MAX ? kzalloc(sizeof(*h)) : NULL;
    if (!h)
        return NULL;
    h->file = epoll_file_new();
    if (!h->file) {
        kfree(h);
        return NULL;
    }
    h->users = 1;
    h->epfd = epfd;
    LIST_INSERT_HEAD(&halves, h, entry);
    half_count++;
    return h;
}

static void half_end(struct half *h)
{
    LIST_REMOVE(h, entry);
    half_count--;
    h->closed = true;
    if (h->armed)
        say_watch(h, false);
    wake_up_all(epoll_file_queue(h->file), 0);
    put(h);
}

int local_epoll_descriptor(const struct file *ep_file)
{
    const struct half *h;
    LIST_FOREACH (h, &halves, entry)
        if (h->file == ep_file)
            return h->epfd;
    return -1;
}

bool local_epoll_has(int epfd)
{
    return find(epfd) != NULL;
}

bool local_epoll_any(void)
{
    return half_count > 0;
}

void local_epoll_close(int epfd)
{
    struct half *h = find(epfd);
    if (h)
        half_end(h);
}

void local_epoll_close_range(unsigned first, unsigned last)
{
    struct half *h, *next;
    LIST_FOREACH_SAFE (h, &halves, entry, next)
        if ((unsigned)h->epfd >= first && (unsigned)h->epfd <= last)
            half_end(h);
}

void local_epoll_end(void)
{
    (void)borrower_end(process_first());
    local_epoll_close_range(0, INT32_MAX);
}

void local_epoll_reset(void)
{
    local_epoll_end();
    dissolved = false;
}

void local_epoll_dissolve(void)
{
    dissolved = true;
    while (borrower_end(process_first()) > 0) /* one in use goes as soon as who uses it has run */
        task_yield();
    local_epoll_close_range(0, INT32_MAX);
}

static void receive_fired(struct record *record)
{
    const struct watch_message *m = (const struct watch_message *)record->data;
    bool other = record->size >= sizeof(*m) && waiting_fired(m);
    struct half *h = record->size >= sizeof(*m) && !other ? find(m->fd) : NULL;
    if (h && h->id == m->id) {
        h->armed = false;
        h->fired = true;
        wake_up(epoll_file_queue(h->file), EPOLLIN);
    }
    kfree(record);
}

void local_epoll_init(void)
{
    client_on_message(MESSAGE_WATCH_FIRED, receive_fired);
}

/* ---- epoll_ctl ---- */

/* Is there such a set at all? It has nothing at fd, since what is polled there is not lent. */
static int64_t check_set(int epfd, int fd)
{
    borrower_tell_begun(); /* of fd, if it began here */
    int64_t r = remote_call(__NR_epoll_ctl, (const uint64_t[6]){(uint64_t)epfd, EPOLL_CTL_DEL, (uint64_t)fd});
    return r == -ENOENT ? 0 : r;
}

static bool ctl(int epfd, int op, int fd, struct file *file, uaddr_t user_event, int64_t *ret_result)
{
    struct epoll_event event = {0};
    struct half *h = find(epfd);
    if (!h && (op != EPOLL_CTL_ADD || dissolved))
        return false;
    if (op != EPOLL_CTL_DEL && copy_from_user(&event, user_event, sizeof(event)) < 0) {
        *ret_result = -EFAULT;
        return true;
    }
    if (!h && (*ret_result = check_set(epfd, fd)) < 0)
        return true;
    /* What was here may not be here any more after the sleeps. */
    if (!tcp_borrowed(file) || !(h || (h = find(epfd)) || (!dissolved && (h = half_new(epfd)))))
        return false;
    if (find(epfd) != h)
        return false;
    *ret_result = epoll_file_control(h->file, op, fd, file, &event);
    return true;
}

bool local_epoll_ctl(const uint64_t args[6], int64_t *ret_result)
{
    int epfd = (int)args[0], fd = (int)args[2];
    struct file *file;
    if (find(fd)) { /* a set in another one */
        local_epoll_dissolve();
        return false;
    }
    if (!borrower_find(fd, &file))
        return false;
    bool done = ctl(epfd, (int)args[1], fd, file, args[3], ret_result);
    if (!done)
        borrower_tell_begun();
    file_put(file);
    return done;
}

/* ---- epoll_wait ---- */

/* What is in the init enclave's part: events, or -errno. If that was all, we shall hear when there is more. */
static int64_t collect_there(struct half *h, struct epoll_event *events, size_t max)
{
    const uint64_t args[6] = {(uint64_t)h->epfd, 0, max, 0};
    h->fired = false;
    int64_t n = remote_call_into(__NR_epoll_wait, args, 1, events, max * sizeof(*events));
    if (n > (int64_t)max)
        member_end("more events of the init enclave than were asked for");
    if (n < 0 || h->closed)
        return n;
    if ((size_t)n < max && !h->armed) {
        h->armed = true;
        h->fired = false;
        h->id = ++last_id;
        say_watch(h, true);
    } else if ((size_t)n == max) {
        h->fired = true;
    }
    return n;
}

static int sleep(struct half *h, uint64_t deadline_ns)
{
    struct wait_entry wait;
    int r = 0;
    wait_entry_init(&wait, NULL);
    wait_queue_add_exclusive(epoll_file_queue(h->file), &wait);
    task_prepare_sleep(true);
    if (epoll_file_ready(h->file) || h->fired || !h->armed || h->closed)
        task_cancel_sleep();
    else
        r = task_sleep(deadline_ns);
    wait_queue_remove(&wait);
    return r;
}

/* Events in both parts, or -errno; -ESTALE: it is no set in two parts any more. */
static int64_t wait_events(struct half *h, struct epoll_event *events, size_t max, uint64_t deadline_ns)
{
    bool looked = false;
    int slept = 0;
    for (;;) {
        size_t count = epoll_file_collect(h->file, events, max);
        if (count < max && (h->fired || !h->armed) && !h->closed) {
            int64_t n = collect_there(h, events + count, max - count);
            if (n < 0 && count == 0 && !h->closed)
                return n;
            count += n > 0 ? (size_t)n : 0;
        }
        if (count > 0)
            return (int64_t)count;
        if (h->closed)
            return -ESTALE;
        if (slept)
            return slept == -EINTR ? -EINTR : 0;
        if (!looked) {
            looked = true;
            if (net_poll_ready() || h->fired)
                continue;
        }
        if (deadline_ns == 0)
            return 0;
        slept = sleep(h, deadline_ns);
    }
}

static int64_t wait_user(struct half *h, uaddr_t user_events, int max, uint64_t deadline_ns)
{
    struct epoll_event events[EVENTS_FAST] = {0}; /* the init enclave's word that it filled some */
    if (max <= 0 || max > INT32_MAX / (int)sizeof(events[0]))
        return -EINVAL;
    h->users++;
    int64_t n = wait_events(h, events, MIN((size_t)max, (size_t)EVENTS_FAST), deadline_ns);
    put(h);
    if (n > 0 && copy_to_user(user_events, events, (size_t)n * sizeof(events[0])) < 0)
        return -EFAULT;
    return n;
}

bool local_epoll_wait(uint64_t nr, const uint64_t args[6], int64_t *ret_result)
{
    struct half *h = find((int)args[0]);
    uint64_t deadline = NO_DEADLINE;
    int r = 0;
    if (!h)
        return false;
    if (nr == __NR_epoll_pwait2)
        r = deadline_from_user(args[3], &deadline);
    else if ((int)args[3] >= 0)
        deadline = deadline_after((unsigned)args[3] / 1000, (unsigned)args[3] % 1000 * 1000000ULL);
    if (r == 0 && nr != __NR_epoll_wait)
        r = signal_mask_temporary_user(args[4], args[5]);
    if (r < 0) {
        *ret_result = r;
        return true;
    }
    *ret_result = wait_user(h, args[1], (int)args[2], deadline);
    signal_mask_restore_unless_interrupted(*ret_result);
    return *ret_result != -ESTALE;
}
