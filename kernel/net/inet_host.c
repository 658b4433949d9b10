/* The host's half of TCP and UDP sockets: one host call each, answers checked. */
#include <asm/errno.h>
#include <asm/socket.h>

#include "kernel/arch/hostcall.h"
#include "kernel/boot/boot.h"
#include "kernel/lib/printk.h"
#include "kernel/lib/string.h"
#include "kernel/net/inet.h"
#include "kernel/sched/output.h"
#include "kernel/sched/time.h"

#define CLOSING_NS 50000000ULL /* a vCPU that computes has its host pump every 4 ms */

bool inet_port_allowed(int type, uint16_t port)
{
    const struct policy *p = policy();
    if (policy_allows(POLICY_PORTS_ANY))
        return true;
    const struct policy_port *list = (const struct policy_port *)((const char *)p + p->ports.offset);
    uint16_t protocol = type == SOCK_STREAM ? IPPROTO_TCP : IPPROTO_UDP;
    for (uint32_t i = 0; i < p->ports.count; i++)
        if (list[i].port == port && list[i].protocol == protocol)
            return true;
    return false;
}

/* The host's errors are its word, but only numbers an application can know. */
static int run(struct hostcall_socket *op)
{
    int r = hostcall_socket(op);
    if (r < -EHWPOISON)
        host_lied("socket operation: error number");
    return r > 0 ? 0 : r;
}

int inet_host_family(const struct inet_socket *in, const struct endpoint *to)
{
    return in->sock.family == AF_INET || ip_is_v4(to->ip) ? AF_INET : AF_INET6;
}

int inet_host_create(struct inet_socket *in, int family, void (*news)(struct chan *, uint32_t))
{
    if (in->chan)
        return 0;
    struct chan *c = chan_alloc(news, in);
    if (!c)
        return -ENOBUFS;
    struct hostcall_socket op = {.op = SOCKET_CREATE,
                                 .channel = c->number,
                                 .family = family,
                                 .type = in->sock.type,
                                 .protocol = in->sock.protocol};
    int r = run(&op);
    if (r < 0) {
        chan_unalloc(c);
        return r;
    }
    in->chan = c;
    in->chan_family = family;
    inet_options_replay(in);
    return 0;
}

static void op_address(struct hostcall_socket *op, const struct inet_socket *in, const struct endpoint *ep)
{
    op->addr_size = (uint32_t)endpoint_write(in->chan_family, ep, op->addr);
}

int inet_host_bind(struct inet_socket *in, struct endpoint *endpoint)
{
    const struct chan *c = in->chan;
    struct hostcall_socket op = {.op = SOCKET_BIND, .channel = c->number};
    struct endpoint answer;
    op_address(&op, in, endpoint);
    int r = run(&op);
    /* The port may be that of a socket which is closed but for the host's part. */
    uint64_t deadline = r == -EADDRINUSE ? time_monotonic_ns() + CLOSING_NS : 0;
    while (r == -EADDRINUSE && chan_wait_closed(deadline)) {
        if (in->chan != c || in->bound)
            return -EINVAL; /* two calls at once */
        op_address(&op, in, endpoint);
        r = run(&op);
    }
    if (r < 0)
        return r;
    if (!endpoint->port) {
        if (!endpoint_from_host(op.addr, op.addr_size, &answer) || !answer.port)
            host_lied("bound address");
        endpoint->port = answer.port;
    }
    return 0;
}

int inet_host_listen(struct inet_socket *in, int backlog)
{
    struct hostcall_socket op = {.op = SOCKET_LISTEN, .channel = in->chan->number, .value = backlog};
    return run(&op);
}

int inet_host_connect(struct inet_socket *in, const struct endpoint *to)
{
    struct hostcall_socket op = {.op = SOCKET_CONNECT, .channel = in->chan->number};
    struct endpoint answer;
    op_address(&op, in, to);
    int r = output_settle();
    if (r == 0)
        r = run(&op);
    if (r < 0 && r != -EINPROGRESS)
        return r;
    if (endpoint_from_host(op.addr, op.addr_size, &answer) && answer.port) {
        memcpy(in->local.ip, answer.ip, 16);
        in->local.scope = answer.scope;
        if (!in->bound)
            in->local.port = answer.port;
        ip_learn_own(answer.ip);
    }
    return r;
}

void inet_host_close(struct inet_socket *in, bool reset)
{
    if (!in->chan)
        return;
    inet_options_forget(in);
    chan_close(in->chan, reset, true);
    in->chan = NULL;
}

void inet_host_leave(struct inet_socket *in, bool reset)
{
    if (!in->chan)
        return;
    inet_options_forget(in);
    chan_close(in->chan, reset, false);
    in->chan = NULL;
}

int inet_host_setsockopt(struct inet_socket *in, int level, int name, const void *value, size_t size)
{
    struct hostcall_socket op = {
        .op = SOCKET_SETOPT, .channel = in->chan->number, .level = level, .name = name, .optlen = (uint32_t)size};
    if (size > sizeof(op.optval))
        return -EINVAL;
    memcpy(op.optval, value, size);
    return run(&op);
}
