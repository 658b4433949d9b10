/* Waiting here (contract in waiting.h). */
#include "kernel/remote/waiting.h"

#include <asm/unistd_64.h>
#include <linux/errno.h>

#include "kernel/fs/file.h"
#include "kernel/fs/poll_time.h"
#include "kernel/lib/string.h"
#include "kernel/mm/uaccess.h"
#include "kernel/process/table.h"
#include "kernel/remote/assured.h"
#include "kernel/remote/borrower.h"
#include "kernel/remote/client.h"
#include "kernel/remote/loan_message.h"
#include "kernel/remote/local_epoll.h"
#include "kernel/remote/member.h"
#include "kernel/sched/task.h"
#include "kernel/sched/wait.h"

#define WATCHED_MAX 8
#define WORDS_MAX 4 /* of a set */

struct watched {
    int fd;
    uint64_t id; /* 0: the place is free */
    bool begun;  /* since then it is not readable */
};

static struct watched watched[WATCHED_MAX];
static struct wait_queue news = {TAILQ_HEAD_INITIALIZER(news.entries)};
static uint64_t last_id;

static struct watched *find(int fd)
{
    for (size_t i = 0; i < WATCHED_MAX; i++)
        if (watched[i].id && watched[i].fd == fd)
            return &watched[i];
    return NULL;
}

static void say(const struct watched *w, bool on)
{
    struct watch_message m = {
        .message = {MESSAGE_WATCH, 0, process_first()->pid, 0}, .id = w->id, .fd = w->fd, .on = on};
    if (client_post_quietly(&m.message, sizeof(m)) < 0)
        member_end("no memory to watch a descriptor");
}

static void watch(int fd)
{
    for (size_t i = 0; i < WATCHED_MAX; i++) {
        if (watched[i].id)
            continue;
        watched[i] = (struct watched){.fd = fd, .id = ++last_id};
        say(&watched[i], true);
        return;
    }
}

static void end(struct watched *w)
{
    say(w, false);
    w->id = 0;
    wake_up_all(&news, 0);
}

bool waiting_fired(const struct watch_message *m)
{
    struct watched *w = find(m->fd);
    if (!w || w->id != m->id)
        return false;
    w->id = 0;
    wake_up_all(&news, 0);
    return true;
}

void waiting_answered(void)
{
    for (size_t i = 0; i < WATCHED_MAX; i++)
        watched[i].begun = watched[i].id != 0;
}

void waiting_closed(int fd)
{
    struct watched *w = find(fd);
    if (w)
        end(w);
}

void waiting_forget(void)
{
    for (size_t i = 0; i < WATCHED_MAX; i++)
        if (watched[i].id)
            end(&watched[i]);
}

void waiting_reset(void)
{
    memset(watched, 0, sizeof(watched));
}

/* ---- one call ---- */

struct wait_call {
    uint64_t set[WORDS_MAX];
    size_t words;
    int listening; /* the descriptor */
    struct file *listener;
    int others[WATCHED_MAX];
    size_t other_count;
};

static bool is_quiet(const struct wait_call *c)
{
    for (size_t i = 0; i < c->other_count; i++) {
        const struct watched *w = find(c->others[i]);
        if (!w || !w->begun)
            return false;
    }
    return true;
}

/* One listening socket to accept from, and others; false if there is something else. */
static bool sort_descriptor(struct wait_call *c, int fd)
{
    struct file *file = assured_listener(fd);
    if (file && c->listener) {
        file_put(file);
        return false;
    }
    if (file) {
        c->listening = fd;
        c->listener = file;
        return true;
    }
    if (borrower_find(fd, &file)) {
        file_put(file);
        return false;
    }
    if (local_epoll_has(fd) || c->other_count == WATCHED_MAX)
        return false;
    c->others[c->other_count++] = fd;
    return true;
}

/* Only what waits for input, with the signals that it has. */
static bool begin(struct wait_call *c, const uint64_t args[6])
{
    uint64_t mask[2] = {0, 0};
    int count = (int)args[0];
    *c = (struct wait_call){.words = ((size_t)MAX(count, 0) + 63) / 64};
    if (count <= 0 || c->words > WORDS_MAX || args[2] || args[3] ||
        copy_from_user(c->set, args[1], c->words * sizeof(c->set[0])) < 0 ||
        (args[5] && copy_from_user(mask, args[5], sizeof(mask)) < 0) || mask[0])
        return false;
    for (int fd = 0; fd < count; fd++)
        if ((c->set[fd / 64] >> (fd % 64) & 1) && !sort_descriptor(c, fd))
            return false;
    return c->listener != NULL;
}

/* -ERECALLED: the init enclave is to be asked. */
static int64_t wait(const struct wait_call *c, uint64_t deadline)
{
    struct wait_entry for_listener, for_others;
    int slept = 0;
    int64_t result;
    wait_entry_init(&for_listener, NULL);
    wait_entry_init(&for_others, NULL);
    tcp_share_watch(c->listener, &for_listener);
    wait_queue_add(&news, &for_others);
    for (;;) {
        task_prepare_sleep(true);
        result = tcp_share_closed(c->listener) || !is_quiet(c) ? -ERECALLED : tcp_share_ready(c->listener);
        if (result != 0 || slept || deadline == 0)
            break;
        slept = task_sleep(deadline);
    }
    task_cancel_sleep();
    wait_queue_remove(&for_listener);
    wait_queue_remove(&for_others);
    return result == 0 && slept == -EINTR ? -ERESTARTNOHAND : result;
}

static int64_t tell_set(const struct wait_call *c, uint64_t user_set, int64_t result)
{
    uint64_t set[WORDS_MAX] = {0};
    if (result > 0)
        set[c->listening / 64] = 1ULL << (c->listening % 64);
    if (result >= 0 && copy_to_user(user_set, set, c->words * sizeof(set[0])) < 0)
        return -EFAULT;
    return result;
}

static bool run(const struct wait_call *c, const uint64_t args[6], uint64_t deadline, int64_t *ret_result)
{
    if (!is_quiet(c)) {
        for (size_t i = 0; i < c->other_count; i++)
            if (!find(c->others[i]))
                watch(c->others[i]);
        return false;
    }
    int64_t result = wait(c, deadline);
    timeout_left_to_user(args[4], deadline);
    if (result == -ERECALLED)
        return false;
    *ret_result = tell_set(c, args[1], result);
    return true;
}

bool waiting_call(uint64_t nr, const uint64_t args[6], int64_t *ret_result)
{
    struct wait_call c;
    uint64_t deadline;
    if (nr != __NR_pselect6 || deadline_from_user(args[4], &deadline) < 0)
        return false;
    bool done = begin(&c, args) && run(&c, args, deadline, ret_result);
    if (c.listener)
        file_put(c.listener);
    return done;
}
