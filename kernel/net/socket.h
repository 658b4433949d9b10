/* Sockets, whatever their family: the object behind a socket file and the operations a family gives. */
#ifndef COFRE_KERNEL_NET_SOCKET_H
#define COFRE_KERNEL_NET_SOCKET_H
#include "kernel/lib/types.h"
void socket_init(void);
#endif
