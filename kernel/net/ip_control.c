/* Ancillary data of datagrams inside: time to live or hop limit, type of service or traffic class. */
#include "kernel/net/ip_control.h"

#include <asm/errno.h>

#include "kernel/lib/string.h"
#include "kernel/net/inet.h"
#include "kernel/net/scm.h"

static int parse_int(const void *data, size_t size, int min, int max, int16_t *ret_number)
{
    int number;
    if (size != sizeof(number))
        return -EINVAL;
    memcpy(&number, data, sizeof(number));
    if (number < min || number > max)
        return -EINVAL;
    *ret_number = (int16_t)number;
    return 0;
}

static int parse_one(const struct cmsg_header *header, const void *data, bool six, struct message *msg)
{
    size_t size = header->size - sizeof(*header);
    if (header->level == SOL_IP && header->type == IP_TTL)
        return parse_int(data, size, 1, 255, &msg->hops[0]);
    if (header->level == SOL_IP && header->type == IP_TOS) {
        if (size != sizeof(uint8_t))
            return parse_int(data, size, 0, 255, &msg->tclass[0]);
        msg->tclass[0] = *(const uint8_t *)data;
        return 0;
    }
    if (six && header->level == SOL_IPV6 && header->type == IPV6_HOPLIMIT)
        return parse_int(data, size, -1, 255, &msg->hops[1]);
    if (six && header->level == SOL_IPV6 && header->type == IPV6_TCLASS)
        return parse_int(data, size, -1, 255, &msg->tclass[1]);
    return 0;
}

int ip_control_parse(const void *control, size_t size, bool six, struct message *msg)
{
    for (size_t at = 0; size - at >= sizeof(struct cmsg_header);) {
        struct cmsg_header header;
        const uint8_t *here = (const uint8_t *)control + at;
        memcpy(&header, here, sizeof(header));
        if (header.size < sizeof(header) || header.size > size - at)
            return -EINVAL;
        int r = parse_one(&header, here + sizeof(header), six, msg);
        if (r < 0)
            return r;
        size_t step = CMSG_ALIGN(header.size);
        if (step >= size - at)
            break;
        at += step;
    }
    return 0;
}

struct ip_control ip_control_of(const struct inet_socket *in, const struct message *msg, bool v4)
{
    const int *options = in->cold->options;
    int hops = msg->hops[!v4], tclass = msg->tclass[!v4];
    if (hops < 0)
        hops = options[v4 ? INET_TTL : INET_HOPS];
    if (tclass < 0)
        tclass = options[v4 ? INET_TOS : INET_TCLASS];
    return (struct ip_control){.hops = (uint8_t)(hops < 0 ? INET_HOPS_DEFAULT : hops),
                               .tclass = (uint8_t)MAX(tclass, 0)};
}

void ip_control_deliver(const struct inet_socket *in, struct message *msg, bool v4, struct ip_control control)
{
    const int *options = in->cold->options;
    int hops = control.hops, tclass = control.tclass;
    if (v4) {
        if (options[INET_RECVTTL])
            message_put_control(msg, SOL_IP, IP_TTL, &hops, sizeof(hops));
        if (options[INET_RECVTOS])
            message_put_control(msg, SOL_IP, IP_TOS, &control.tclass, sizeof(control.tclass));
    } else {
        if (options[INET_RECVHOPLIMIT])
            message_put_control(msg, SOL_IPV6, IPV6_HOPLIMIT, &hops, sizeof(hops));
        if (options[INET_RECVTCLASS])
            message_put_control(msg, SOL_IPV6, IPV6_TCLASS, &tclass, sizeof(tclass));
    }
}
