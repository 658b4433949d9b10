/* Socket files and the socket system calls. */
#include "kernel/net/socket.h"

void socket_init(void)
{
}
