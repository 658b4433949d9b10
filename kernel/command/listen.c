/* Where the host asks for commands: the listening channel (contract in command.h). */
#include <asm/errno.h>
#include <asm/socket.h>
#include <linux/socket.h>

#include "kernel/arch/hostcall.h"
#include "kernel/boot/boot.h"
#include "kernel/boot/refuse.h"
#include "kernel/command/command.h"
#include "kernel/lib/printk.h"
#include "kernel/lib/string.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/net/channel.h"
#include "kernel/sched/task.h"

#define AF_UNIX_ 1
#define SOCK_STREAM_ 1
#define BACKLOG 16
#define SESSION_MAX 64

static struct {
    struct chan *chan;
    struct wait_queue wait;
    unsigned sessions;
} listener;

static void listener_news(struct chan *c, uint32_t events)
{
    (void)c;
    (void)events;
    wake_up_all(&listener.wait, 0);
}

static void session_news(struct chan *c, uint32_t events)
{
    struct command_session *session = c->owner;
    (void)events;
    if (session)
        wake_up_all(&session->wait, 0);
}

static void run(void *arg)
{
    command_session_run(arg);
    listener.sessions--;
}

static void turn_away(struct chan *c)
{
    struct {
        struct exec_end end;
        char text[40];
    } full = {{STATUS_REFUSED}, "too many commands at once"};
    command_frame_put(c, EXEC_REFUSED, &full, sizeof(full.end) + strlen(full.text));
    chan_close(c, false, false);
}

static void accept_one(void)
{
    struct ring_accept record;
    if (chan_rx_used(listener.chan) < sizeof(record))
        host_lied("accept record: size");
    chan_rx_copy_kernel(listener.chan, &record, 0, sizeof(record));
    chan_rx_consume(listener.chan, sizeof(record));
    struct command_session *session = listener.sessions < SESSION_MAX ? kzalloc(sizeof(*session)) : NULL;
    if (session)
        wait_queue_init(&session->wait);
    struct chan *c = chan_adopt(record.channel, session_news, session);
    if (session && c) {
        session->chan = c;
        listener.sessions++;
        if (kernel_thread_start("command", run, session))
            return;
        listener.sessions--;
        c->owner = NULL;
    }
    kfree(session);
    if (c)
        turn_away(c);
}

static void listen(void *arg)
{
    (void)arg;
    for (;;) {
        (void)wait_event(&listener.wait, chan_rx_used(listener.chan) > 0);
        accept_one();
    }
}

static int open_listener(void)
{
    struct hostcall_socket op = {.op = SOCKET_CREATE, .family = AF_UNIX_, .type = SOCK_STREAM_};
    wait_queue_init(&listener.wait);
    listener.chan = chan_alloc(listener_news, NULL);
    if (!listener.chan)
        return -ENOBUFS;
    op.channel = listener.chan->number;
    int r = hostcall_socket(&op);
    if (r < 0) {
        chan_unalloc(listener.chan);
        return r;
    }
    op = (struct hostcall_socket){.op = SOCKET_LISTEN, .channel = listener.chan->number, .value = BACKLOG};
    return hostcall_socket(&op);
}

void command_init(void)
{
    if (!(boot_params()->flags & BOOT_EXEC) || (!policy_allows(POLICY_EXEC_ANY) && policy()->exec_commands.count == 0))
        return;
    int r = open_listener();
    if (r < 0 || !kernel_thread_start("commands", listen, NULL))
        printk(LOG_WARNING, "commands from the host (cofre exec) cannot be taken: error %d\n", -r);
}
