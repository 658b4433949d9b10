/* Trying to bind published ports. */
#include "host/ports.h"

#include "host/error.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define IN_USE_WAIT_MS 500 /* what a killed container's io_uring held is let go of a moment after its end */

static int try_bind(const struct port_mapping *m)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(m->host_port)};
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(m->host_port)};
    const struct sockaddr *addr = m->family == AF_INET6 ? (const void *)&in6 : (const void *)&in;
    int type = m->protocol == IPPROTO_UDP ? SOCK_DGRAM : SOCK_STREAM, one = 1, ret = 0;
    int fd = socket(m->family == AF_INET6 ? AF_INET6 : AF_INET, type | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return 0; /* no such family: the application will see */
    if (m->family == AF_INET)
        memcpy(&in.sin_addr, m->ip, 4);
    else if (m->family == AF_INET6)
        memcpy(&in6.sin6_addr, m->ip, 16);
    if (type == SOCK_STREAM) /* connections of an earlier run that linger are no obstacle */
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (bind(fd, addr, m->family == AF_INET6 ? sizeof(in6) : sizeof(in)) < 0)
        ret = -errno;
    else if (type == SOCK_STREAM && listen(fd, 1) < 0)
        ret = -errno;
    close(fd);
    return ret;
}

static int try_for_a_moment(const struct port_mapping *m)
{
    int ret;

    for (int waited = 0; (ret = try_bind(m)) == -EADDRINUSE && waited < IN_USE_WAIT_MS; waited += 10)
        usleep(10000);
    return ret;
}

int ports_check(const struct run_options *options, char **ret_error)
{
    for (unsigned i = 0; i < options->port_count; i++) {
        const struct port_mapping *m = &options->ports[i];
        int ret = try_for_a_moment(m);

        if (ret < 0)
            return fail(ret_error, -ret, "publishing port %u failed: %s (%s)", m->host_port, strerror(-ret),
                        ret == -EADDRINUSE ? "stop what uses it, or publish another: -p OTHER:PORT"
                        : ret == -EACCES   ? "ports below 1024 need root"
                                           : "-p [IP:]HOSTPORT:PORT");
    }
    return 0;
}
