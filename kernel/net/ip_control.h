/*
 * Ancillary data of datagrams inside (ip(7), RFC 3542): IP_TTL and IP_TOS, IPV6_HOPLIMIT and IPV6_TCLASS. The host is
 * not told of it, and tells nothing of it.
 */
#ifndef COFRE_KERNEL_NET_IP_CONTROL_H
#define COFRE_KERNEL_NET_IP_CONTROL_H

#include "kernel/lib/types.h"

struct inet_socket;
struct message;

/* What a datagram's header says. */
struct ip_control {
    uint8_t hops, tclass;
};

/* Reads what sendmsg was given, in kernel memory, into msg->hops and msg->tclass; other kinds are passed over. 0,
 * -EINVAL. */
int ip_control_parse(const void *control, size_t size, bool six, struct message *msg) must_check;
/* Of a datagram that in sends: as msg says, else as the socket's options do. */
struct ip_control ip_control_of(const struct inet_socket *in, const struct message *msg, bool v4);
/* To recvmsg, as far as in's options ask for it. */
void ip_control_deliver(const struct inet_socket *in, struct message *msg, bool v4, struct ip_control control);

#endif
