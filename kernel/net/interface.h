/* The network interfaces the application sees: lo, and eth0 when the host can reach anything. */
#ifndef COFRE_KERNEL_NET_INTERFACE_H
#define COFRE_KERNEL_NET_INTERFACE_H

#include "kernel/lib/types.h"

struct interface {
    int index;
    const char *name;
    uint32_t flags; /* IFF_* */
    uint32_t mtu;
    uint16_t type; /* ARPHRD_* */
    uint8_t mac[6];
    bool has_v4, has_v6;
    uint8_t v4[4], v6[16];
    uint8_t v4_prefix, v6_prefix;
};

/* Number i from 0; NULL past the last. Asks the host once for its address. */
const struct interface *interface_at(unsigned i);
const struct interface *interface_by_name(const char *name);
const struct interface *interface_by_index(int index);

#endif
