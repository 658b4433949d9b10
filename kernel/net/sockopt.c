/* Options at SOL_SOCKET, stored and answered as Linux does; other levels go to the family. */
#include <asm/errno.h>
#include <asm/socket.h>
#include <linux/capability.h>
#include <linux/time_types.h>

#include "kernel/lib/string.h"
#include "kernel/net/socket.h"
#include "kernel/process/process.h"

#define BUFFER_MAX 212992 /* net.core.rmem_max and wmem_max */
#define RCVBUF_MIN 2304
#define SNDBUF_MIN 4608
#define NS_PER_SEC 1000000000ULL

/* Options that are one bit, freely settable, with no effect beyond being remembered or read elsewhere. */
#define BOOLEAN_OPTIONS                                                                                                \
    (1ULL << SO_REUSEADDR | 1ULL << SO_DONTROUTE | 1ULL << SO_BROADCAST | 1ULL << SO_KEEPALIVE |                       \
     1ULL << SO_OOBINLINE | 1ULL << SO_NO_CHECK | 1ULL << SO_REUSEPORT | 1ULL << SO_PASSCRED | 1ULL << SO_PASSSEC |    \
     1ULL << SO_RXQ_OVFL | 1ULL << SO_SELECT_ERR_QUEUE | 1ULL << SO_WIFI_STATUS | 1ULL << SO_NOFCS |                   \
     1ULL << SO_LOCK_FILTER)

static int timeout_set(uint64_t *timeout_ns, const void *value, size_t size)
{
    struct __kernel_sock_timeval tv;
    if (size < sizeof(tv))
        return -EINVAL;
    memcpy(&tv, value, sizeof(tv));
    if (tv.tv_usec < 0 || tv.tv_usec >= 1000000)
        return -EDOM;
    if (tv.tv_sec < 0)
        *timeout_ns = 1; /* Linux: a negative time means no waiting */
    else if ((uint64_t)tv.tv_sec > INT64_MAX / NS_PER_SEC / 2)
        *timeout_ns = 0;
    else
        *timeout_ns = (uint64_t)tv.tv_sec * NS_PER_SEC + (uint64_t)tv.tv_usec * 1000;
    return 0;
}

static void buffer_set(struct socket *sock, int name, uint32_t wanted)
{
    bool send = name == SO_SNDBUF;
    *(send ? &sock->sndbuf : &sock->rcvbuf) =
        MAX(MIN(wanted, (uint32_t)BUFFER_MAX) * 2, (uint32_t)(send ? SNDBUF_MIN : RCVBUF_MIN));
    sock->options |= 1ULL << name;
}

static int linger_set(struct socket *sock, const void *value, size_t size)
{
    if (size < sizeof(struct linger))
        return -EINVAL;
    memcpy(&sock->linger, value, sizeof(struct linger));
    sock->linger.on = sock->linger.on != 0;
    return 0;
}

static int socket_level_set(struct socket *sock, int name, const void *value, size_t size)
{
    int number;
    if (name == SO_BINDTODEVICE)
        return size && *(const char *)value && !process_capable(CAP_NET_RAW) ? -EPERM : -ENODEV;
    if (size < sizeof(int))
        return -EINVAL;
    memcpy(&number, value, sizeof(number));
    if (name >= 0 && name < 64 && (BOOLEAN_OPTIONS >> name & 1)) {
        if (name == SO_PASSCRED && sock->family != AF_UNIX && sock->family != AF_NETLINK)
            return -EOPNOTSUPP;
        sock->options = (sock->options & ~(1ULL << name)) | (uint64_t)(number != 0) << name;
        return 0;
    }
    switch (name) {
    case SO_TYPE:
    case SO_PROTOCOL:
    case SO_DOMAIN:
    case SO_ERROR:
    case SO_ACCEPTCONN:
    case SO_PEERCRED:
        return -ENOPROTOOPT;
    case SO_DEBUG:
        return number && !process_capable(CAP_NET_ADMIN) ? -EACCES : 0;
    case SO_SNDBUFFORCE:
    case SO_RCVBUFFORCE:
        if (!process_capable(CAP_NET_ADMIN))
            return -EPERM;
        buffer_set(sock, name == SO_SNDBUFFORCE ? SO_SNDBUF : SO_RCVBUF, (uint32_t)MAX(number, 0));
        return 0;
    case SO_SNDBUF:
    case SO_RCVBUF:
        buffer_set(sock, name, (uint32_t)number);
        return 0;
    case SO_PRIORITY:
        if ((number < 0 || number > 6) && !process_capable(CAP_NET_ADMIN) && !process_capable(CAP_NET_RAW))
            return -EPERM;
        sock->priority = (uint32_t)number;
        return 0;
    case SO_MARK:
        if (!process_capable(CAP_NET_ADMIN) && !process_capable(CAP_NET_RAW))
            return -EPERM;
        sock->mark = (uint32_t)number;
        return 0;
    case SO_LINGER:
        return linger_set(sock, value, size);
    case SO_RCVLOWAT:
        sock->rcvlowat = number < 0 ? INT32_MAX : (uint32_t)MAX(number, 1);
        return 0;
    case SO_RCVTIMEO_OLD:
    case SO_RCVTIMEO_NEW:
        return timeout_set(&sock->rcv_timeout_ns, value, size);
    case SO_SNDTIMEO_OLD:
    case SO_SNDTIMEO_NEW:
        return timeout_set(&sock->snd_timeout_ns, value, size);
    case SO_PEEK_OFF:
        if (sock->family != AF_UNIX && !(sock->family == AF_INET || sock->family == AF_INET6))
            return -EOPNOTSUPP;
        sock->peek_off = number;
        return 0;
    case SO_BUSY_POLL:
        return number < 0 ? -EINVAL : !process_capable(CAP_NET_ADMIN) ? -EPERM : 0;
    case SO_INCOMING_CPU:
        return 0; /* a hint */
    default:
        return -ENOPROTOOPT;
    }
}

int socket_setsockopt(struct socket *sock, int level, int name, const void *value, size_t size)
{
    if (level != SOL_SOCKET)
        return sock->ops->setsockopt ? sock->ops->setsockopt(sock, level, name, value, size) : -ENOPROTOOPT;
    int r = socket_level_set(sock, name, value, size);
    if (r == 0 && sock->ops->option_changed)
        sock->ops->option_changed(sock, name);
    return r;
}

static int answer(void *value, size_t *size, const void *result, size_t result_size)
{
    *size = MIN(*size, result_size);
    memcpy(value, result, *size);
    return 0;
}

static int answer_timeout(void *value, size_t *size, uint64_t timeout_ns)
{
    struct __kernel_sock_timeval tv = {.tv_sec = (long long)(timeout_ns / NS_PER_SEC),
                                       .tv_usec = (long long)(timeout_ns % NS_PER_SEC / 1000)};
    return answer(value, size, &tv, sizeof(tv));
}

static int peer_name(struct socket *sock, void *value, size_t *size)
{
    uint8_t addr[MSG_NAME_MAX];
    int r = sock->ops->getname(sock, true, addr);
    if (r < 0)
        return -ENOTCONN;
    if (*size > (size_t)r || *size < (size_t)r)
        return -EINVAL;
    return answer(value, size, addr, (size_t)r);
}

static int socket_level_get(struct socket *sock, int name, void *value, size_t *size)
{
    int number;
    if (name >= 0 && name < 64 && (BOOLEAN_OPTIONS >> name & 1)) {
        number = socket_option(sock, name);
        return answer(value, size, &number, sizeof(number));
    }
    switch (name) {
    case SO_TYPE:
        number = sock->type;
        break;
    case SO_PROTOCOL:
        number = sock->protocol;
        break;
    case SO_DOMAIN:
        number = sock->family;
        break;
    case SO_ERROR:
        number = -socket_take_error(sock);
        break;
    case SO_ACCEPTCONN:
        number = sock->listening;
        break;
    case SO_SNDBUF:
        number = (int)sock->sndbuf;
        break;
    case SO_RCVBUF:
        number = (int)sock->rcvbuf;
        break;
    case SO_RCVLOWAT:
        number = (int)sock->rcvlowat;
        break;
    case SO_SNDLOWAT:
        number = 1;
        break;
    case SO_PRIORITY:
        number = (int)sock->priority;
        break;
    case SO_MARK:
        number = (int)sock->mark;
        break;
    case SO_PEEK_OFF:
        number = sock->peek_off;
        break;
    case SO_DEBUG:
    case SO_BUSY_POLL:
    case SO_BSDCOMPAT:
    case SO_TIMESTAMP_OLD:
    case SO_TIMESTAMPNS_OLD:
    case SO_TIMESTAMP_NEW:
    case SO_TIMESTAMPNS_NEW:
    case SO_ZEROCOPY:
    case SO_INCOMING_NAPI_ID:
        number = 0;
        break;
    case SO_INCOMING_CPU:
        number = -1;
        break;
    case SO_LINGER:
        return answer(value, size, &sock->linger, sizeof(sock->linger));
    case SO_RCVTIMEO_OLD:
    case SO_RCVTIMEO_NEW:
        return answer_timeout(value, size, sock->rcv_timeout_ns);
    case SO_SNDTIMEO_OLD:
    case SO_SNDTIMEO_NEW:
        return answer_timeout(value, size, sock->snd_timeout_ns);
    case SO_PEERCRED: {
        struct ucred none = {0, UINT32_MAX, UINT32_MAX};
        return answer(value, size, sock->peer_cred.pid ? &sock->peer_cred : &none, sizeof(none));
    }
    case SO_PEERNAME:
        return peer_name(sock, value, size);
    case SO_BINDTODEVICE:
        *size = 0;
        return 0;
    case SO_COOKIE: {
        uint64_t cookie = sock->file ? sock->file->inode->ino : 0;
        if (*size < sizeof(cookie))
            return -EINVAL;
        return answer(value, size, &cookie, sizeof(cookie));
    }
    default:
        return -ENOPROTOOPT;
    }
    return answer(value, size, &number, sizeof(number));
}

int socket_getsockopt(struct socket *sock, int level, int name, void *value, size_t *size)
{
    if (level == SOL_SOCKET)
        return socket_level_get(sock, name, value, size);
    return sock->ops->getsockopt ? sock->ops->getsockopt(sock, level, name, value, size) : -ENOPROTOOPT;
}
