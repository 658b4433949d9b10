/* A connection of `cofre exec`: from its request to the end of its command (contract in command.h). */
#include <asm/errno.h>
#include <linux/eventpoll.h>

#include "kernel/boot/refuse.h"
#include "kernel/command/command.h"
#include "kernel/command/request.h"
#include "kernel/fs/poll.h"
#include "kernel/fs/tty.h"
#include "kernel/lib/printk.h"
#include "kernel/lib/string.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/net/channel.h"
#include "kernel/process/table.h"
#include "kernel/sched/task.h"

/* ---- the connection ---- */

static bool is_gone(const struct command_session *s)
{
    return chan_events(s->chan, NULL) & (CHAN_EV_EOF | CHAN_EV_ERROR | CHAN_EV_TX_CLOSED);
}

static bool has_room(struct chan *c, uint32_t wanted)
{
    if (chan_tx_room(c, wanted) < wanted) {
        chan_want_room(c, true);
        return chan_tx_room(c, wanted) >= wanted;
    }
    chan_want_room(c, false);
    return true;
}

void command_frame_put(struct chan *c, uint32_t type, const void *data, size_t size)
{
    struct exec_frame frame = {type, (uint32_t)size};
    chan_tx_copy_kernel(c, &frame, 0, sizeof(frame));
    chan_tx_copy_kernel(c, data, sizeof(frame), (uint32_t)size);
    chan_tx_commit(c, (uint32_t)(sizeof(frame) + size));
}

static void send(struct command_session *s, uint32_t type, const void *data, size_t size)
{
    uint32_t wanted = (uint32_t)(sizeof(struct exec_frame) + size);
    (void)wait_event(&s->wait, is_gone(s) || has_room(s->chan, wanted));
    if (!is_gone(s))
        command_frame_put(s->chan, type, data, size);
}

static void send_refusal(struct command_session *s, int status, const char *text)
{
    struct {
        struct exec_end end;
        char text[EXEC_TEXT_MAX];
    } m = {.end.status = (uint32_t)status};
    string_copy(m.text, text, sizeof(m.text));
    send(s, EXEC_REFUSED, &m, sizeof(m.end) + strlen(m.text));
}

/* False: the other side is gone before all of it came. */
static bool receive(struct command_session *s, void *to, uint32_t size)
{
    for (uint32_t done = 0; done < size;) {
        (void)wait_event(&s->wait, is_gone(s) || chan_rx_used(s->chan) > 0);
        uint32_t piece = MIN(chan_rx_used(s->chan), size - done);
        if (piece == 0)
            return false;
        chan_rx_copy_kernel(s->chan, (char *)to + done, 0, piece);
        chan_rx_consume(s->chan, piece);
        done += piece;
    }
    return true;
}

/* ---- the request ---- */

/* Has the command been started? If not, the other side knows why, or is gone. */
static bool begin(struct command_session *s)
{
    struct command_request request;
    struct exec_frame frame;
    char *bytes, text[EXEC_TEXT_MAX] = "";
    int status = STATUS_REFUSED;
    if (!receive(s, &frame, sizeof(frame)))
        return false;
    if (frame.type != EXEC_REQUEST || frame.size > EXEC_REQUEST_MAX) {
        send_refusal(s, status, "the request is not one of this kernel's interface");
        return false;
    }
    bytes = kmalloc(frame.size + 2);
    if (!bytes) {
        send_refusal(s, status, "no kernel memory for the request");
        return false;
    }
    if (!receive(s, bytes, frame.size)) {
        kfree(bytes);
        return false;
    }
    const char *wrong = command_request_decode(bytes, frame.size, &request);
    if (wrong)
        snprintf(text, sizeof(text), "the request is malformed: %s", wrong);
    else if (command_request_allowed(&request, text, sizeof(text)))
        status = command_start(s, &request, text, sizeof(text));
    kfree(bytes);
    if (status)
        send_refusal(s, status, text);
    return status == 0;
}

/* ---- moving bytes ---- */

static void read_window(struct command_session *s)
{
    struct exec_window window;
    chan_rx_copy_kernel(s->chan, &window, sizeof(struct exec_frame), sizeof(window));
    chan_rx_consume(s->chan, sizeof(struct exec_frame) + sizeof(window));
    if (s->tty)
        tty_set_winsize(s->tty, window.rows, window.columns, 0, 0);
}

/* The next frame's head, if it is here. Nonsense ends the session. */
static bool read_head(struct command_session *s)
{
    struct exec_frame frame;
    uint32_t used = chan_rx_used(s->chan);
    if (used < sizeof(frame))
        return false;
    chan_rx_copy_kernel(s->chan, &frame, 0, sizeof(frame));
    if (frame.type == EXEC_WINDOW && frame.size == sizeof(struct exec_window)) {
        if (used < sizeof(frame) + sizeof(struct exec_window))
            return false;
        read_window(s);
        return true;
    }
    chan_rx_consume(s->chan, sizeof(frame));
    if (frame.type == EXEC_INPUT && frame.size <= EXEC_DATA_MAX)
        s->input_left = frame.size;
    else if (frame.type == EXEC_INPUT_END && frame.size == 0)
        s->drop_input = !s->tty;
    else
        s->done = true;
    return true;
}

static ssize_t write_input(struct command_session *s, size_t size)
{
    struct iov_iter from;
    uint32_t events = file_poll(s->input, NULL);
    if (events & (EPOLLERR | EPOLLHUP)) { /* nobody reads any more */
        s->drop_input = true;
        return 0;
    }
    if (!(events & EPOLLOUT))
        return 0;
    chan_rx_copy_kernel(s->chan, s->buffer, 0, (uint32_t)size);
    iov_iter_kernel(&from, s->buffer, size);
    return s->input->ops->write(s->input, &from, NULL);
}

/* Something was done. */
static bool step_input(struct command_session *s)
{
    if (s->input_left == 0)
        return read_head(s);
    uint32_t used = MIN(chan_rx_used(s->chan), s->input_left), size = MIN(used, (uint32_t)sizeof(s->buffer));
    if (size == 0)
        return false;
    ssize_t done = size;
    if (s->input && !s->drop_input)
        done = write_input(s, size);
    if (s->drop_input)
        return true;
    if (done <= 0)
        return false;
    chan_rx_consume(s->chan, (uint32_t)done);
    s->input_left -= (uint32_t)done;
    return true;
}

static bool step_output(struct command_session *s, int i)
{
    struct iov_iter to;
    if (!s->output[i] || s->drop_output[i] ||
        !has_room(s->chan, sizeof(struct exec_frame) + (uint32_t)sizeof(s->buffer)))
        return false;
    uint32_t events = file_poll(s->output[i], NULL);
    if (!(events & EPOLLIN)) {
        s->drop_output[i] = !s->tty && (events & EPOLLHUP);
        return s->drop_output[i];
    }
    iov_iter_kernel(&to, s->buffer, sizeof(s->buffer));
    ssize_t got = s->output[i]->ops->read(s->output[i], &to, NULL);
    if (got <= 0)
        return false;
    command_frame_put(s->chan, i ? EXEC_ERRORS : EXEC_OUTPUT, s->buffer, (size_t)got);
    return true;
}

static bool has_output(const struct command_session *s)
{
    for (int i = 0; i < 2; i++)
        if (s->output[i] && !s->drop_output[i] && (file_poll(s->output[i], NULL) & EPOLLIN))
            return true;
    return false;
}

static void send_end(struct command_session *s)
{
    int status = s->process->exit_status;
    struct exec_end end = {.status = (uint32_t)(status & 0x7f ? 128 + (status & 0x7f) : status >> 8 & 0xff)};
    send(s, EXEC_ENDED, &end, sizeof(end));
    s->done = true;
}

/* Whatever can be done without waiting. False: nothing. What it wrote before its end is sent before that. */
static bool step(struct command_session *s)
{
    bool ended = s->process->zombie;
    if (is_gone(s)) {
        s->done = true;
        return true;
    }
    bool done = step_input(s);
    done |= step_output(s, 0);
    done |= step_output(s, 1);
    if (!done && ended && !has_output(s)) {
        send_end(s);
        done = true;
    }
    return done;
}

/* ---- waiting ---- */

static bool on_news(struct wait_entry *entry, uint32_t events)
{
    struct command_session *s = container_of(entry, struct command_waiter, entry)->session;
    (void)events;
    s->news = true;
    task_wake(s->task);
    return false;
}

static void watch_queue(struct command_session *s, struct wait_queue *queue)
{
    ASSERT(s->waiter_count < COMMAND_QUEUES);
    struct command_waiter *waiter = &s->waiters[s->waiter_count++];
    wait_entry_init(&waiter->entry, NULL);
    waiter->entry.fn = on_news;
    waiter->session = s;
    wait_queue_add(queue, &waiter->entry);
}

struct session_table {
    struct poll_table table;
    struct command_session *session;
};

static void watch_file(struct poll_table *table, struct file *file, struct wait_queue *queue)
{
    (void)file;
    watch_queue(container_of(table, struct session_table, table)->session, queue);
}

static void watch(struct command_session *s)
{
    struct session_table table = {{watch_file}, s};
    s->news = false;
    watch_queue(s, &s->wait);
    watch_queue(s, &s->process->exit_wait);
    if (s->input)
        (void)file_poll(s->input, &table.table);
    for (int i = 0; i < 2; i++)
        if (s->output[i])
            (void)file_poll(s->output[i], &table.table);
}

static void unwatch(struct command_session *s)
{
    while (s->waiter_count > 0)
        wait_queue_remove(&s->waiters[--s->waiter_count].entry);
}

static void drop(struct file **file, bool *wanted)
{
    if (*wanted && *file) {
        file_put(*file);
        *file = NULL;
    }
    *wanted = false;
}

static bool wants_drop(const struct command_session *s)
{
    return s->drop_input || s->drop_output[0] || s->drop_output[1];
}

static void sleep_for_news(struct command_session *s)
{
    for (;;) {
        task_prepare_sleep(false);
        if (s->news)
            break;
        (void)!task_sleep(NO_DEADLINE);
    }
    task_cancel_sleep();
}

/* Files go only while nothing of theirs is watched. */
static void serve(struct command_session *s)
{
    while (!s->done) {
        watch(s);
        while (!s->done && !wants_drop(s) && step(s))
            if (task_need_resched())
                task_yield();
        if (!s->done && !wants_drop(s))
            sleep_for_news(s);
        unwatch(s);
        drop(&s->input, &s->drop_input);
        drop(&s->output[0], &s->drop_output[0]);
        drop(&s->output[1], &s->drop_output[1]);
    }
}

void command_session_run(void *arg)
{
    struct command_session *s = arg;
    s->task = task_current();
    if (begin(s)) {
        send(s, EXEC_STARTED, NULL, 0);
        serve(s);
    }
    s->drop_input = s->drop_output[0] = s->drop_output[1] = true;
    drop(&s->input, &s->drop_input);
    drop(&s->output[0], &s->drop_output[0]);
    drop(&s->output[1], &s->drop_output[1]);
    if (s->tty)
        tty_put(s->tty);
    if (s->process)
        process_put(s->process);
    s->chan->owner = NULL;
    chan_close(s->chan, false, false);
    kfree(s);
}
